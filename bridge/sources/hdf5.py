"""HDF5 files: each dataset is an array, of which only the selection is read. Needs h5py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from bridge.sources import Source
from bridge.sources.arrays import ArrayReader, ComputedArray, OpenArray
from bridge.sources.files import OpenFile, SeekableFile, reading

if TYPE_CHECKING:
    import h5py

__all__ = ["hdf5_members"]


def hdf5_members(open_file: Callable[[], OpenFile]) -> dict[str, Source]:
    """Return the sources of the datasets in an HDF5 file, by their paths in it.

    Links to other files are not followed.
    """
    import h5py

    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    with _opened(open_file()) as content:
        content.visititems(visit)
    return {name: ArrayReader(partial(_open_dataset, open_file, name)) for name in names}


def _open_dataset(open_file: Callable[[], OpenFile], name: str) -> OpenArray:
    import h5py

    file = open_file()
    with reading(file):
        # Not closed before the last one who reads from it has gone.
        content = h5py.File(SeekableFile(file), "r")
        dataset = content[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            raise ValueError(f"{name} holds no array")
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"the data of {name} is in other files; copy it into this one")
        if dataset.dtype.hasobject:
            raise ValueError(
                f"{name} holds text of any length, or references; store text as fixed-length bytes"
            )
        return ComputedArray(dataset, version=file.version, guard=partial(reading, file))


@contextmanager
def _opened(file: OpenFile) -> Iterator[h5py.File]:
    import h5py

    with reading(file), h5py.File(SeekableFile(file), "r") as content:
        yield content
