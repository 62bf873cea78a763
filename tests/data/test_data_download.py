"""Downloads: resumed, checked, in place only when whole, and one sentence for all that can go wrong."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import layouts
import pytest
from click.testing import CliRunner

from benchmark.cli import main
from benchmark.data.archives import Archive
from benchmark.data.dataset import dataset_class, open_dataset
from benchmark.data.download import download
from benchmark.errors import DataError


class Server(ThreadingHTTPServer):
    """Serves one file. ``breaks_after``: bytes of an answer; ``asked``: the ranges that were asked for."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges = content, True
        self.breaks_after: int | None = None
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.tar"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if self.path != "/data.tar":
            self.send_error(404)
        elif start >= len(self.server.content):
            self.send_error(416)
        else:
            body = self.server.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: self.server.breaks_after])

    def log_message(self, *_: object) -> None:
        pass


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname="VOCdevkit/VOC2012")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return packed(layouts.make_voc(tmp_path_factory.mktemp("voc")) / "VOCdevkit" / "VOC2012")


@pytest.fixture
def server(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(content) as found:
        thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        publish(monkeypatch, found.url, content)
        yield found
        found.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes) -> None:
    """Let VOC be one archive at an address."""
    digest = hashlib.md5(content).hexdigest()
    archive = Archive("data.tar", "md5", digest, "VOCdevkit/VOC2012", url)
    monkeypatch.setattr(dataset_class("voc"), "archives", (archive,))


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        download("voc", root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_downloaded_can_be_used(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    root = tmp_path / "not yet there"
    assert download("voc", root, lambda *told_now: told.append(told_now)) == [root / "VOCdevkit" / "VOC2012"]
    assert len(open_dataset("voc", root).ids("train")) == 10
    assert sorted(path.name for path in root.iterdir()) == ["VOCdevkit", "data.tar"]
    assert told[-1] == (len(server.content), len(server.content))
    download("voc", root)
    assert len(server.asked) == 1


def test_it_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 1000
    message = refusal(tmp_path)
    assert message.startswith(f"{server.url} cannot be reached, or the connection broke (1,000 of ")
    assert (tmp_path / "data.tar.part").stat().st_size == 1000 and not (tmp_path / "data.tar").exists()
    server.breaks_after = None
    download("voc", tmp_path)
    assert server.asked == [None, "bytes=1000-"]
    assert (tmp_path / "data.tar").read_bytes() == server.content


def test_a_server_that_cannot_go_on_is_asked_for_all(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "data.tar.part").write_bytes(b"something else")
    download("voc", tmp_path)
    assert (tmp_path / "data.tar").read_bytes() == server.content


@pytest.mark.parametrize("more", [b"", b"too much"])
def test_a_part_that_is_all_there_is_checked(server: Server, tmp_path: Path, more: bytes) -> None:
    (tmp_path / "data.tar.part").write_bytes(server.content + more)
    if more:
        assert "expected " in refusal(tmp_path) and not list(tmp_path.iterdir())
    download("voc", tmp_path)
    assert (tmp_path / "data.tar").read_bytes() == server.content


def test_another_file_than_the_published_one_is_not_kept(server: Server, tmp_path: Path) -> None:
    expected = hashlib.md5(server.content).hexdigest()
    server.content = server.content[:-1] + b"x"
    found = hashlib.md5(server.content).hexdigest()
    assert refusal(tmp_path) == (
        f"archive {tmp_path / 'data.tar.part'} has the md5 {found}; expected {expected}, "
        "as it was published; it was removed"
    )
    assert not list(tmp_path.iterdir())


def test_an_archive_that_was_got_by_hand_needs_no_network(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.tar").write_bytes(server.content)
    download("voc", tmp_path)
    assert server.asked == [] and open_dataset("voc", tmp_path)


def test_a_wrong_archive_that_was_got_by_hand_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.tar").write_bytes(b"mine")
    assert refusal(tmp_path).endswith("; remove it to download it again")
    assert (tmp_path / "data.tar").read_bytes() == b"mine"


def test_without_a_network_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    publish(monkeypatch, "http://127.0.0.1:1/data.tar", content)
    message = refusal(tmp_path)
    assert message.startswith("http://127.0.0.1:1/data.tar cannot be reached") and "refused" in message
    assert message.endswith(
        f"get data.tar elsewhere, put it at {tmp_path / 'data.tar'} and run the command again"
    )


def test_an_address_that_is_gone_is_said(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    publish(monkeypatch, server.url.replace("data", "moved"), content)
    assert "/moved.tar answers 404 Not Found; get data.tar elsewhere" in refusal(tmp_path)


def test_an_archive_that_reaches_outside_is_refused(server: Server, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    (tmp_path / "root").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        publish(patch, server.url, buffer.getvalue())
        server.content = buffer.getvalue()
        assert "data.tar cannot be unpacked: " in refusal(tmp_path / "root")
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["data.tar"]


@pytest.mark.parametrize("content_of", [b"no archive", packed(Path(__file__).parent / "conftest.py")])
def test_what_cannot_be_unpacked_or_is_something_else_leaves_nothing_in_place(
    server: Server, tmp_path: Path, content_of: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = content_of
    publish(monkeypatch, server.url, content_of)
    message = refusal(tmp_path)
    assert "cannot be unpacked" in message or "has no folder VOCdevkit/VOC2012" in message
    assert [path.name for path in tmp_path.iterdir()] == ["data.tar"]


def test_a_full_disk_is_one_sentence(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmark.data.download._receive", full)
    assert refusal(tmp_path) == f"{tmp_path / 'data.tar.part'} cannot be written: No space left on device"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cityscapes", ("https://www.cityscapes-dataset.com/", "gtFine_trainvaltest.zip", "leftImg8bit")),
        ("ade", ("http://sceneparsing.csail.mit.edu/", "ADEChallengeData2016")),
        ("msrc", ("Microsoft Research",)),
        ("shapes", ("nothing to get",)),
        ("folder", ("of your own",)),
    ],
)
def test_what_cannot_be_downloaded_comes_with_instructions(
    tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(main, ["data", "download", name, "--data-root", str(tmp_path)])
    assert done.exit_code == 2 and done.stderr.startswith(f"cssbench: dataset {name} cannot be downloaded")
    assert all(word in done.stderr for word in words)
    assert not list(tmp_path.iterdir())


def test_the_command_says_where_the_data_are(server: Server, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["data", "download", "voc", "--data-root", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        str(tmp_path / "VOCdevkit" / "VOC2012"),
        "cssbench data check voc tells whether all is there.",
    ]
