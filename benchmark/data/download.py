"""Getting the archives of a data set: resumed where it broke off, checked, and in place only when whole."""

from __future__ import annotations

import http
import http.client
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmark.data.archives import Archive
from benchmark.data.dataset import dataset_class
from benchmark.errors import DataError

OnBytes = Callable[[int, int | None], object]
_CHUNK_BYTES = 2**18
_TIMEOUT_SECONDS = 60


def download(name: str, root: Path, on_bytes: OnBytes = lambda received, total: None) -> list[Path]:
    """Put a data set into ``root`` as its layout asks; return the folders, those that were there already too.

    ``on_bytes`` is told how much of an archive is there and how much it has (None: the server does not say).
    Raises DataError with instructions for a data set behind a login, and one sentence for an address that
    cannot be reached, a checksum that differs, an archive that cannot be unpacked and a disk that is full.
    """
    kind = dataset_class(name)
    wanted = [archive for archive in kind.archives if archive.url is not None]
    if not wanted:
        raise DataError(
            f"dataset {name} cannot be downloaded from here. {kind.instructions}{_where(kind.archives, root)}"
        )
    for archive in wanted:
        if not (root / archive.folder).exists():
            _unpack(fetch(archive, root, on_bytes), archive, root)
    return [root / archive.folder for archive in wanted]


def _where(archives: tuple[Archive, ...], root: Path) -> str:
    folders = ", ".join(str(root / archive.folder) for archive in archives)
    return f" Unpack what you get into {root}, so that there is {folders}." if archives else ""


def fetch(archive: Archive, root: Path, on_bytes: OnBytes) -> Path:
    """Return the archive's file in ``root``, downloaded unless it is there. Raises DataError."""
    path, part = root / archive.name, root / f"{archive.name}.part"
    if path.is_file():
        fault = archive.fault(path)
        if fault:
            raise DataError(f"{fault}; remove it to download it again")
        return path
    try:
        root.mkdir(parents=True, exist_ok=True)
        _receive(str(archive.url), part, on_bytes)
    except urllib.error.HTTPError as error:
        raise DataError(
            f"{archive.url} answers {error.code} {error.reason}; {_by_hand(archive, path)}"
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{archive.url} cannot be reached, or the connection broke ({reason}); run the command again to "
            f"go on where it stopped, or {_by_hand(archive, path)}"
        ) from error
    except OSError as error:
        raise DataError(f"{part} cannot be written: {error.strerror}") from error
    fault = archive.fault(part)
    if fault:
        part.unlink()
        raise DataError(f"{fault}; it was removed")
    return part.replace(path)


def _by_hand(archive: Archive, path: Path) -> str:
    return f"get {archive.name} elsewhere, put it at {path} and run the command again"


def _receive(url: str, part: Path, on_bytes: OnBytes) -> None:
    """Append what ``part`` lacks; start anew where the server cannot go on in the middle."""
    received = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={received}-"} if received else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if received and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all is there: the checksum says whether it is right
        raise
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            received = 0
        length = answer.headers.get("Content-Length")
        total = received + int(length) if length else None
        with part.open("ab" if received else "wb") as file:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                received += len(chunk)
                on_bytes(received, total)
    if total is not None and received < total:
        raise ConnectionError(f"{received:,} of {total:,} bytes came")


def _unpack(path: Path, archive: Archive, root: Path) -> None:
    """Unpack beside the data, then move the archive's folder into place: it is there whole or not at all."""
    beside = Path(tempfile.mkdtemp(dir=root, prefix=".unpacking-"))
    try:
        with tarfile.open(path) as packed:
            packed.extractall(beside, filter="data")
        if not (beside / archive.folder).is_dir():
            raise DataError(f"archive {path} has no folder {archive.folder}; expected one")
        (root / archive.folder).parent.mkdir(parents=True, exist_ok=True)
        (beside / archive.folder).replace(root / archive.folder)
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(f"archive {path} cannot be unpacked: {reason}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(beside)
