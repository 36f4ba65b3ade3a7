"""Arrays in ``.npy`` files, and in the members of ``.npz`` files: only what a selection needs is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from operator import mul
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy_format

from bridge import selection
from bridge.codecs import Encoded, array
from bridge.codecs.dtypes import to_wire
from bridge.sources import Source
from bridge.sources.arrays import (
    MAX_WASTE,
    Array,
    ArrayReader,
    OpenArray,
    is_scalar,
    without_ellipsis,
)
from bridge.sources.files import FileRange, OpenFile, SeekableFile, reading

__all__ = ["npy_source", "npz_members"]

# A selection that is not one range of the file is put together from reads of at most this many bytes, and
# where less than one byte in MAX_WASTE of a read would be used, from smaller ones.
MAX_READ = 64 * 1024 * 1024
# A read costs about as much as copying so many bytes.
MIN_READ = 64 * 1024

# The header of a file in a zip archive: 30 bytes, the last of which say how long name and extra are.
ZIP_HEADER = 30


def npy_source(open_file: Callable[[], OpenFile]) -> Source:
    """Return the source of a ``.npy`` file."""

    def open_array() -> OpenArray:
        file = open_file()
        with reading(file):
            return _NpyFile(file, 0, file.nbytes)

    return ArrayReader(open_array)


def npz_members(open_file: Callable[[], OpenFile]) -> dict[str, Source]:
    """Return the sources of the arrays in a ``.npz`` file, by their names in it."""
    file = open_file()
    with reading(file), zipfile.ZipFile(SeekableFile(file)) as archive:
        names = [info.filename for info in archive.infolist() if info.filename.endswith(".npy")]
    return {
        name.removesuffix(".npy"): ArrayReader(partial(_open_member, open_file, name)) for name in names
    }


def _open_member(open_file: Callable[[], OpenFile], name: str) -> OpenArray:
    file = open_file()
    with reading(file), zipfile.ZipFile(SeekableFile(file)) as archive:
        member = archive.getinfo(name)
        if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
            header = file.read(member.header_offset, ZIP_HEADER)
            start = ZIP_HEADER + sum(np.frombuffer(header, "<u2", 2, 26).tolist())
            return _NpyFile(file, member.header_offset + start, member.file_size)
    return _PackedArray(file, member)


class _PackedArray:
    """A compressed member. It is unpacked as a whole, when a part of it is read."""

    def __init__(self, file: OpenFile, member: zipfile.ZipInfo) -> None:
        self._file = file
        self._member = member
        self.version = file.version
        with self._unpacking() as unpacked:
            self.shape, self._fortran, self.dtype = _read_header(unpacked)
            to_wire(self.dtype)
            needed = array.nbytes_of(self.shape, self.dtype)
            # By what the archive says of it; what it really holds is seen when it is read.
            if needed > member.file_size:
                raise ValueError(
                    f"{member.filename} has {member.file_size} bytes, where its header says {needed}"
                )

    def lazily(self, index: tuple[Any, ...]) -> None:
        return None

    def select(self, index: tuple[Any, ...]) -> Any:
        with self._unpacking() as unpacked:
            _read_header(unpacked)
            data = bytearray(unpacked.read(array.nbytes_of(self.shape, self.dtype)))
            order: Literal["F", "C"] = "F" if self._fortran else "C"
            values: Array = np.ndarray(self.shape, self.dtype, data, order=order)
        return selection.select_array(values, index)

    @contextmanager
    def _unpacking(self) -> Iterator[IO[bytes]]:
        with (
            reading(self._file),
            zipfile.ZipFile(SeekableFile(self._file)) as archive,
            archive.open(self._member) as unpacked,
        ):
            yield unpacked


class _NpyFile:
    """An open ``.npy`` file, and where each item of its array is.

    Parameters
    ----------
    file
        The open file.
    start, nbytes
        Where in it the ``.npy`` file is.
    """

    def __init__(self, file: OpenFile, start: int, nbytes: int) -> None:
        self._file = file
        self.version = file.version
        header = SeekableFile(file)
        header.seek(start)
        self.shape, fortran, self.dtype = _read_header(header)
        to_wire(self.dtype)  # refuses what the codec would refuse
        self._offset = header.tell()
        needed = self._offset - start + array.nbytes_of(self.shape, self.dtype)
        if needed > nbytes:
            raise ValueError(
                f"it has {nbytes} bytes, where its header says {needed}: it was not written to the end"
            )
        # An array of this shape whose memory does not exist: indexing it gives the addresses of the items,
        # and nothing is ever read through it.
        item = np.ndarray((), self.dtype, bytes(self.dtype.itemsize))
        strides = _strides(self.shape, self.dtype.itemsize, fortran=fortran)
        self._map = np.lib.stride_tricks.as_strided(item, self.shape, strides, writeable=False)

    def lazily(self, index: tuple[Any, ...]) -> Encoded | None:
        """Return the answer for an index whose items are one range of the file in order, else None."""
        if any(isinstance(item, np.ndarray) for item in index) or is_scalar(index, len(self.shape)):
            return None
        view = self._view(index)
        if not view.flags.forc:
            return None
        descriptor = {
            "kind": "array",
            "dtype": to_wire(self.dtype),
            "shape": list(view.shape),
            "order": "F" if view.flags.fnc else "C",
        }
        return Encoded(descriptor, [FileRange(self._file, self._offset_of(view), view.nbytes)])

    def select(self, index: tuple[Any, ...]) -> Any:
        """Read the items of an index, and return what numpy would give for it."""
        takes = [item for item in index if isinstance(item, np.ndarray)]
        if not takes:
            view = self._view(index)
            result = np.empty(view.shape, self.dtype)
            self._read(view, result)
            return result[()] if is_scalar(index, len(self.shape)) else result
        # One axis is taken item by item. To have the axes where numpy puts them, all are kept while reading
        # (an integer as a slice of one), and numpy indexes the result.
        (positions,) = takes
        if positions.dtype == np.bool_:
            positions = np.flatnonzero(positions)
        index = without_ellipsis(index, len(self.shape))
        kept = [_as_slice(item) for item in index if item is not None]
        axis = next(axis for axis, item in enumerate(kept) if isinstance(item, np.ndarray))
        box = np.empty(
            [len(positions) if i == axis else len(range(n)[kept[i]]) for i, n in enumerate(self.shape)],
            self.dtype,
        )
        for i, position in enumerate(positions.tolist()):
            kept[axis] = _as_slice(position)
            self._read(self._view(tuple(kept)), box[(slice(None),) * axis + (slice(i, i + 1),)])
        return box[tuple(_after_reading(item, len(positions)) for item in index)]

    def _view(self, index: tuple[Any, ...]) -> Array:
        # The ellipsis makes an index of integers give a 0-d view, where a scalar would be read.
        return self._map[index if any(item is ... for item in index) else (*index, ...)]

    def _offset_of(self, view: Array) -> int:
        return self._offset + _address(view) - _address(self._map)

    def _read(self, view: Array, out: Array) -> None:
        """Read the items of a view into an array of its shape."""
        for part, target in _parts(view, out):
            low, high = np.lib.array_utils.byte_bounds(part)
            start = self._offset + low - _address(self._map)
            data = self._file.read(start, high - low)
            target[...] = np.ndarray(
                part.shape, part.dtype, data, offset=_address(part) - low, strides=part.strides
            )


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy_format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it is of .npy version {version}; save its array again with np.save")
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = _HEADERS[version](file)
    return header


_HEADERS: dict[tuple[int, int], Callable[[io.IOBase], Any]] = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def _parts(view: Array, out: Array) -> Iterator[tuple[Array, Array]]:
    """Cut a view into parts that are worth a read each, together with their targets."""
    if not view.size:
        return
    low, high = np.lib.array_utils.byte_bounds(view)
    span = high - low
    if span <= MIN_READ or (span <= MAX_READ and span <= MAX_WASTE * view.nbytes) or view.size == 1:
        yield view, out
        return
    axis = max(range(view.ndim), key=lambda axis: abs(view.strides[axis]) * (view.shape[axis] - 1))
    middle = view.shape[axis] // 2
    for half in (slice(None, middle), slice(middle, None)):
        index = (slice(None),) * axis + (half,)
        yield from _parts(view[index], out[index])


def _address(view: Array) -> int:
    address: int = view.__array_interface__["data"][0]
    return address


def _as_slice(item: Any) -> Any:
    return slice(item, item + 1 or None) if isinstance(item, int) else item


def _after_reading(item: Any, taken: int) -> Any:
    """Return what is left to do for an item of an index when its axis holds only what it selects."""
    if isinstance(item, np.ndarray):
        return np.arange(taken)
    if isinstance(item, int):
        return 0
    return None if item is None else slice(None)


def _strides(shape: tuple[int, ...], itemsize: int, *, fortran: bool) -> tuple[int, ...]:
    axes = shape if fortran else shape[::-1]
    strides = tuple(accumulate((itemsize, *axes[:-1]), mul)) if axes else ()
    return strides if fortran else strides[::-1]
