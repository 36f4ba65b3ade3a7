"""Arrays that are not in memory: in files, or computed when they are asked for.

`ArrayReader` serves whatever can be opened as an `OpenArray`. `ComputedArray` makes one of anything that
has a shape, a dtype and takes slices, as the arrays of h5py, zarr, dask and xarray do. Their own indexing
differs from numpy's in the details (steps backwards, lists of positions, new axes), so they are only ever
asked for slices that go forward, with one for each axis; the rest is done by numpy, on what came.

A large selection is not computed at once: it is sent as `Blocks`, each made when its first bytes are
asked for.
"""

from __future__ import annotations

import contextlib
import operator
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np

from bridge import codecs, selection
from bridge.codecs import BufferReader, Encoded, array
from bridge.codecs.dtypes import to_wire
from bridge.errors import BridgeError, EncodeError, remote_error
from bridge.sources import Plan
from bridge.sources.memory import check_no_form

__all__ = [
    "MAX_WASTE",
    "Array",
    "ArrayReader",
    "Blocks",
    "ComputedArray",
    "OpenArray",
    "computing",
    "is_scalar",
    "without_ellipsis",
]

# A block is about this large, and a whole number of the array's own chunks where those allow it: each
# chunk is computed, or unpacked, as a whole. Larger than a block can be, they are cut.
BLOCK_NBYTES = 16 * 1024 * 1024
MAX_BLOCK_NBYTES = 128 * 1024 * 1024
# The windows of a transfer come nearly in order; those in flight lie in two blocks.
KEPT_BLOCKS = 2

# Positions on an axis are read together with what lies between them, if that is not more than so many times
# as much.
MAX_WASTE = 16

Array: TypeAlias = "np.ndarray[Any, Any]"
Index: TypeAlias = tuple[Any, ...]


class OpenArray(Protocol):
    """One version of an array, while it is being read."""

    version: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def lazily(self, index: Index) -> Encoded | None:
        """Return the answer for an index with buffers that are read when they are sent; None if it cannot."""

    def select(self, index: Index) -> Any:
        """Return what numpy would give for an index."""


class ArrayReader:
    """The source of an array that is opened anew for each answer; a selection is a numpy index.

    Parameters
    ----------
    open_array
        Opens it. Raises `BridgeError` if it cannot be read.
    """

    in_memory = False

    def __init__(self, open_array: Callable[[], OpenArray]) -> None:
        self._open = open_array

    def entry(self) -> dict[str, Any]:
        opened = self._open()
        return {
            "kind": "array",
            "version": opened.version,
            "dtype": to_wire(opened.dtype),
            "shape": list(opened.shape),
            "nbytes": array.nbytes_of(opened.shape, opened.dtype),
        }

    def skeleton(self) -> None:
        return None

    def plans_quickly(self, select: Any) -> bool:
        return False  # it is opened

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        check_no_form(form)
        opened = self._open()
        index = (...,) if select is None else selection.array_from_wire(select, reader)
        shape = selection.array_result_shape(opened.shape, index)
        lazily = opened.lazily(index)
        nbytes = array.nbytes_of(shape, opened.dtype)
        return Plan(
            version=opened.version,
            nbytes=nbytes,
            encode=(lambda: codecs.encode(opened.select(index))) if lazily is None else (lambda: lazily),
            quick=False,
            views=0 if lazily is None else nbytes,
        )


class ComputedArray:
    """Anything with ``shape``, ``dtype`` and ``[...]``, as an `OpenArray`. One thread at a time reads it.

    Parameters
    ----------
    obj
        The array of another library.
    version
        Of what it holds.
    guard
        Makes a context for each read: it may raise afterwards what makes the read void.

    Raises
    ------
    EncodeError
        If its dtype cannot be sent, its shape is not known before it is computed, or it has a mask, which would
        be lost on the way.
    """

    def __init__(
        self,
        obj: Any,
        *,
        version: str,
        guard: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self.version = version
        self.shape = _known_shape(obj)
        if isinstance(getattr(obj, "_meta", None), np.ma.MaskedArray):  # what dask says of its blocks
            raise EncodeError(
                "a masked array that is computed for each read would lose its mask; serve x.compute(), or "
                "dask.array.ma.filled(x, value)"
            )
        self.dtype: np.dtype[Any] = np.dtype(obj.dtype)
        to_wire(self.dtype)
        self._obj = obj
        self._guard = guard
        self._lock = threading.Lock()

    def lazily(self, index: Index) -> Encoded | None:
        index = without_ellipsis(index, len(self.shape))
        if any(isinstance(item, np.ndarray) for item in index) or self.dtype.kind == "T":
            return None
        shape = selection.array_result_shape(self.shape, index)
        if array.nbytes_of(shape, self.dtype) <= BLOCK_NBYTES:
            return None
        axes = self._axes(index)
        descriptor = {"kind": "array", "dtype": to_wire(self.dtype), "shape": list(shape), "order": "C"}
        return Encoded(descriptor, [Blocks(self, axes)])

    def select(self, index: Index) -> Any:
        scalar = is_scalar(index, len(self.shape))
        index = without_ellipsis(index, len(self.shape))
        axes = self._axes(index)
        # All axes are kept while reading, and numpy puts them where they belong.
        box = self.read(axes)
        rest = iter(axes)
        result = box[tuple(None if item is None else _left_to_do(item, next(rest)) for item in index)]
        return result if scalar else np.asarray(result)

    def read(self, axes: list[Any]) -> Array:
        """Return the items at the given positions, a range or an array of integers for each axis."""
        shape = tuple(map(len, axes))
        if not all(shape):
            return np.empty(shape, self.dtype)
        taken = next((i for i, positions in enumerate(axes) if isinstance(positions, np.ndarray)), None)
        if taken is not None:
            return self._take(axes, taken)
        forward = tuple(
            slice(min(r[0], r[-1]), max(r[0], r[-1]) + 1, abs(r.step))
            if len(r) > 1
            else slice(r[0], r[0] + 1)
            for r in axes
        )
        with self._lock, self._guard():
            values: Array = np.asarray(self._obj[forward])
        if values.shape != shape or values.dtype != self.dtype:
            raise remote_error(
                "failed",
                f"this array gave {values.shape} of {values.dtype} where {shape} of {self.dtype} was asked for",
            )
        backwards = tuple(
            slice(None, None, -1 if len(positions) > 1 and positions.step < 0 else 1)
            for positions in axes
        )
        result: Array = values[backwards]
        return result

    def chunk_length(self, axis: int) -> int:
        """Return how many positions of an axis the array computes together."""
        chunks = getattr(self._obj, "chunks", None)
        if not isinstance(chunks, tuple) or len(chunks) != len(self.shape):
            return 1
        length = chunks[axis]
        return max(1, *length) if isinstance(length, tuple) else max(1, int(length))

    def _take(self, axes: list[Any], axis: int) -> Array:
        positions, places = np.unique(axes[axis], return_inverse=True)
        low, high = int(positions[0]), int(positions[-1]) + 1
        if high - low <= MAX_WASTE * len(positions):
            box = self.read([*axes[:axis], range(low, high), *axes[axis + 1 :]])
            places = axes[axis] - low
        else:
            parts = ([*axes[:axis], range(p, p + 1), *axes[axis + 1 :]] for p in positions.tolist())
            # Without the dtype it would come in the order of bytes of this computer.
            box = np.concatenate([self.read(part) for part in parts], axis, dtype=self.dtype)
        return box[(slice(None),) * axis + (places,)]

    def _axes(self, index: Index) -> list[Any]:
        items = [item for item in index if item is not None]
        return [_positions(item, n) for item, n in zip(items, self.shape, strict=True)]


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Tell who asked for it what a computation of the user's raised, as of a query function."""
    try:
        yield
    except (BridgeError, MemoryError):
        raise
    except Exception as exc:
        name = type(exc).__name__
        raise remote_error("failed", f"it cannot be computed: {name}: {exc}", name) from exc


class Blocks:
    """The bytes of a selection in C order, as a buffer whose parts are computed when they are asked for.

    It has a length, and slices. A few blocks are kept, whatever its size.

    Parameters
    ----------
    source
        The array.
    axes
        The positions that are selected on each of its axes.
    """

    def __init__(self, source: ComputedArray, axes: list[range]) -> None:
        shape = [len(positions) for positions in axes]
        itemsize = source.dtype.itemsize
        # The first axis of which one position is no more than a block; those before it are walked.
        axis = 0
        while axis < len(shape) - 1 and prod(shape[axis + 1 :]) * itemsize > BLOCK_NBYTES:
            axis += 1
        self._source = source
        self._axes = axes
        self._axis = axis
        self._length = shape[axis]
        self._row_nbytes = prod(shape[axis + 1 :]) * itemsize
        chunk = source.chunk_length(axis)
        rows = max(1, BLOCK_NBYTES // self._row_nbytes)
        if chunk * self._row_nbytes <= MAX_BLOCK_NBYTES:
            rows = max(chunk, rows - rows % chunk)
        self._rows = min(rows, self._length)
        self._nbytes = prod(shape) * itemsize
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], Future[memoryview]] = {}

    def __len__(self) -> int:
        return self._nbytes

    def __getitem__(self, part: slice) -> bytes | memoryview:
        offset, stop, step = part.indices(self._nbytes)
        if step != 1:
            raise ValueError(f"computed bytes are read forward, not in steps of {step}")
        pieces = []
        while offset < stop:
            outer, row = divmod(offset // self._row_nbytes, self._length)
            run = row // self._rows
            start = (outer * self._length + run * self._rows) * self._row_nbytes
            block = self._block(outer, run)
            piece = block[offset - start : stop - start]
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_into(self, part: memoryview, start: int) -> None:
        """Fill a part of memory with the bytes from `start` on."""
        part[:] = self[start : start + len(part)]

    def _block(self, outer: int, run: int) -> memoryview:
        # Who needs a block that another thread is making waits for it, and not for its turn to look: until
        # then it might have been dropped.
        with self._lock:
            block = self._kept.pop((outer, run), None)
            is_new = block is None
            if block is None:
                block = Future()
                while len(self._kept) >= KEPT_BLOCKS:
                    self._kept.pop(next(iter(self._kept)))  # the least recently used
            self._kept[outer, run] = block
        if is_new:
            try:
                block.set_result(self._compute(outer, run))
            except BaseException as exc:
                with self._lock:
                    self._kept.pop((outer, run), None)
                block.set_exception(exc)
        return block.result()

    def _compute(self, outer: int, run: int) -> memoryview:
        axes = list(self._axes)
        for axis in reversed(range(self._axis)):
            outer, position = divmod(outer, len(axes[axis]))
            axes[axis] = axes[axis][position : position + 1]
        axes[self._axis] = axes[self._axis][run * self._rows : (run + 1) * self._rows]
        values = np.ascontiguousarray(self._source.read(axes))
        return values.reshape(-1).view(np.uint8).data


def is_scalar(index: Index, ndim: int) -> bool:
    """Whether numpy gives a scalar, not an array, for an index."""
    return len(index) == ndim and all(isinstance(item, int) for item in index)


def without_ellipsis(index: Index, ndim: int) -> Index:
    """Return the same index with an item for each axis."""
    missing = ndim - sum(item is not None and item is not ... for item in index)
    if not any(item is ... for item in index):
        index = (*index, ...)
    place = next(i for i, item in enumerate(index) if item is ...)
    return (*index[:place], *(slice(None),) * missing, *index[place + 1 :])


def _known_shape(obj: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(n) for n in obj.shape)
    except TypeError as exc:
        raise EncodeError(
            f"how long this {type(obj).__name__} is, is known once it is computed; serve x.compute(), or, of "
            "dask, an array after x.compute_chunk_sizes(), or a frame: series.to_frame()"
        ) from exc


def _positions(item: Any, length: int) -> Any:
    if isinstance(item, slice):
        return range(length)[item]
    if isinstance(item, int):
        position = range(length)[item]
        return range(position, position + 1)
    if item.dtype == np.bool_:
        return np.flatnonzero(item)
    return np.where(item < 0, item + length, item)


def _left_to_do(item: Any, positions: Any) -> Any:
    """Return what is left to do for an item of an index when its axis holds only what it selects."""
    if isinstance(item, np.ndarray):
        return np.arange(len(positions))
    return 0 if isinstance(item, int) else slice(None)
