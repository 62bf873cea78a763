"""All that is wrong with a file of protocols, one sentence each, without the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.data.dataset import dataset_class
from benchmark.data.scenario import Labels, misfits
from benchmark.errors import DataError, MethodError, ProtocolError, unknown_name
from benchmark.family import Family, InvalidFileError
from benchmark.finding import find_method
from benchmark.protocols import load_family, load_preset


def findings(path: Path) -> tuple[str, ...]:
    """Return a sentence for each thing that is wrong with a file of protocols, none if it can be run.

    What the file says of its dataset is compared with the dataset's own classes and splits where those are
    known without the data. Raises ProtocolError for a file that cannot be read.
    """
    try:
        family = load_family(path)
    except InvalidFileError as error:
        return error.findings
    found = (*_of_dataset(family), *_of_model(family), *_of_method(family))
    return tuple(f"protocol file {path}: {finding}" for finding in found)


def _of_dataset(family: Family) -> Iterator[str]:
    try:
        kind = dataset_class(family.dataset.partition(":")[0])
    except DataError as error:
        yield f"key 'dataset': {error}"
        return
    if not hasattr(kind, "class_names"):
        return  # said by the data
    said = Labels("it", family.classes, family.background)
    yield from misfits(said, Labels(f"dataset {family.dataset}", kind.class_names, kind.has_background))
    for key, splits in family.splits.items():
        for name in (*splits.train, splits.test):
            if name not in kind.splits:
                yield f"key 'splits.{key}': {unknown_name('split', name, kind.splits)}"


def _of_model(family: Family) -> Iterator[str]:
    try:
        load_preset(family.model)
    except InvalidFileError as error:
        yield from (f"key 'model': {finding}" for finding in error.findings)
    except ProtocolError as error:
        yield f"key 'model': {error}"


def _of_method(family: Family) -> Iterator[str]:
    try:
        find_method(family.joint_method)
    except MethodError as error:
        yield f"key 'joint_method': {error}"
