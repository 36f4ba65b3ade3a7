"""What is sent. A payload is made from its name and a size alone, so each end can make it for itself.

An array is named by its dtype, then by its order and its values where they are not C and random: ``f8``,
``c16-F``, ``f4-strided-smooth``, ``u1-zeros``. The values of every dtype are made from numbers between 0 and 1.
A DataFrame is named by what is in it: ``frame-mixed``. It has as many rows as the size allows, ``frame-wide``
as many columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

__all__ = ["FRAMES", "ArrayName", "Making", "build", "is_array", "nbytes_of", "parse", "touch"]

Array: TypeAlias = np.ndarray[Any, Any]
Rng: TypeAlias = np.random.Generator

PAGE: Final = 4096
# Of the values, not of the order of the runs: what is sent is the same in every run.
SEED: Final = 20_240_601
# An array is filled in pieces: its values before they have their dtype take up to 8 times its memory.
CHUNK: Final = 2**18
# Columns of an array in F order.
COLUMNS: Final = 16
# Rows of a frame of many columns.
WIDE_ROWS: Final = 100
# How many different strings there are in a column of them.
DISTINCT: Final = 4096

RECORD: Final = np.dtype([("time", "<i8"), ("value", "<f8"), ("channel", "<i4"), ("valid", "?")])


class Dtype(NamedTuple):
    """What an array is made of, and how from numbers between 0 and 1."""

    dtype: np.dtype[Any]
    convert: Callable[[Array], Array]


def _records(x: Array) -> Array:
    records = np.empty(len(x), RECORD)
    records["time"] = x * 1e15
    records["value"] = x
    records["channel"] = x * 64
    records["valid"] = x >= 0.5
    return records


DTYPES: Final = {
    "u1": Dtype(np.dtype("u1"), lambda x: x * 255),
    "f4": Dtype(np.dtype("<f4"), lambda x: x),
    "f8": Dtype(np.dtype("<f8"), lambda x: x),
    "c16": Dtype(np.dtype("<c16"), lambda x: x + 1j * (1 - x)),
    "datetime64": Dtype(np.dtype("<M8[ns]"), lambda x: (x * 1.7e18).astype("<i8").view("<M8[ns]")),
    "bool": Dtype(np.dtype("?"), lambda x: x >= 0.5),
    "S16": Dtype(np.dtype("S16"), lambda x: (x * 1e15).astype("<i8").astype("S16")),
    "struct": Dtype(RECORD, _records),
}
ORDERS: Final = ("C", "F", "strided")
VALUES: Final[dict[str, Callable[[Rng, int, int], Array]]] = {
    "random": lambda rng, start, stop: rng.random(stop - start),
    "smooth": lambda _, start, stop: (1 + np.sin(np.arange(start, stop) * 1e-3)) / 2,
    "zeros": lambda _, start, stop: np.zeros(stop - start),
}


class ArrayName(NamedTuple):
    """The parts of an array's name."""

    dtype: str
    order: str = "C"
    values: str = "random"


class Frame(NamedTuple):
    """How many bytes a row of a DataFrame takes, and what makes so many rows."""

    row: int
    make: Callable[[int, Rng], pd.DataFrame]


def parse(name: str) -> ArrayName | Frame:
    """Return what a payload's name means.

    Raises
    ------
    ValueError
        If it is none.
    """
    if name in FRAMES:
        return FRAMES[name]
    dtype, *rest = name.split("-")
    order = rest.pop(0) if rest and rest[0] in ORDERS else "C"
    values = rest.pop(0) if rest and rest[0] in VALUES else "random"
    if dtype not in DTYPES or rest:
        raise ValueError(
            f"{name[:40]!r} is no payload; write one of {', '.join(DTYPES)}, then -F or -strided, "
            f"then -smooth or -zeros; or one of {', '.join(FRAMES)}"
        )
    return ArrayName(dtype, order, values)


def is_array(name: str) -> bool:
    """Whether a payload is an array, not a DataFrame."""
    return isinstance(parse(name), ArrayName)


def build(name: str, size: int) -> Any:
    """Make a payload of about a size in bytes: of one item, or one row, at least.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    parts = parse(name)
    rng = np.random.default_rng(SEED)
    if isinstance(parts, ArrayName):
        return _array(parts, size, rng)
    return parts.make(max(1, size // parts.row), rng)


class Making:
    """Makes the payloads of one name and size after the other, and each once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], Any] = {}

    def make(self, name: str, size: int, *, opaque: bool) -> tuple[int, Any]:
        """Return the bytes of a payload and what is sent of it: itself, or as many bytes without a meaning."""
        if (name, size) not in self._made:
            self._made = {(name, size): build(name, size)}
        nbytes = nbytes_of(self._made[name, size])
        if not opaque:
            return nbytes, self._made[name, size]
        if ("", nbytes) not in self._made:
            self._made["", nbytes] = build("u1", nbytes)
        return nbytes, self._made["", nbytes]


def nbytes_of(obj: Any) -> int:
    """Return how many bytes of data there are in a payload; of a DataFrame, with its index."""
    if isinstance(obj, np.ndarray):
        return obj.nbytes
    return int(obj.memory_usage(index=True, deep=True).sum())


def touch(obj: Any) -> int:
    """Read a byte of each page of an object, so that all of it must be there."""
    return sum(int(piece[::PAGE].sum()) for piece in _memory(obj))


def _array(name: ArrayName, size: int, rng: Rng) -> Array:
    dtype, convert = DTYPES[name.dtype]
    count = max(1, size // dtype.itemsize)
    if name.order == "F":
        count = max(1, count // COLUMNS) * COLUMNS
    array = np.empty(count, dtype)
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        array[start:stop] = convert(VALUES[name.values](rng, start, stop)).astype(dtype)
    if name.order == "F":
        return array.reshape(COLUMNS, -1).T
    return np.repeat(array, 2)[::2] if name.order == "strided" else array


# ── DataFrames ────────────────────────────────────────────────────────────────────────────────────


def _floats(columns: int) -> Callable[[int, Rng], pd.DataFrame]:
    def make(rows: int, rng: Rng) -> pd.DataFrame:
        # Each column is one run of memory, as pandas keeps columns of one dtype.
        values = rng.random((columns, rows))
        return pd.DataFrame(values.T, columns=[f"c{number}" for number in range(columns)], copy=False)

    return make


def _wide(columns: int, rng: Rng) -> pd.DataFrame:
    return _floats(columns)(WIDE_ROWS, rng)


def _strings(length: int) -> Callable[[int, Rng], pd.DataFrame]:
    return lambda rows, rng: pd.DataFrame({"text": _texts(rows, length, rng)})


def _texts(rows: int, length: int, rng: Rng) -> pd.Series[str]:
    letters = rng.integers(ord("a"), ord("z") + 1, (DISTINCT, length), dtype=np.uint8)
    distinct = np.array([bytes(row).decode() for row in letters], object)
    return pd.Series(distinct[rng.integers(0, DISTINCT, rows)], dtype="str")


def _categories(rows: int, rng: Rng) -> pd.DataFrame:
    return pd.DataFrame({"city": _cities(rows, rng)})


def _cities(rows: int, rng: Rng) -> Any:
    cities = pd.Index(["Amsterdam", "Frankfurt", "London", "New York", "Singapore", "Tokyo", "Zürich"])
    return pd.Categorical.from_codes(rng.integers(0, len(cities), rows, dtype=np.int8), cities)


def _nullable(rows: int, rng: Rng) -> pd.DataFrame:
    missing = rng.random((3, rows)) < 0.1
    count = rng.integers(0, 1000, rows)
    return pd.DataFrame(
        {
            "count": pd.arrays.IntegerArray(count, missing[0]),
            "value": pd.arrays.FloatingArray(rng.random(rows), missing[1]),
            "valid": pd.arrays.BooleanArray(count > 500, missing[2]),
        }
    )


def _multiindex(rows: int, rng: Rng) -> pd.DataFrame:
    runs = -(-rows // 100)
    index = pd.MultiIndex.from_product([range(runs), range(100)], names=["run", "channel"])[:rows]
    return pd.DataFrame({"value": rng.random(rows)}, index=index)


def _mixed(rows: int, rng: Rng) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "symbol": _texts(rows, 4, rng),
            "venue": _cities(rows, rng),
            "settled": np.datetime64("2024-01-01", "ns") + np.sort(rng.integers(0, 10**16, rows)),
            "price": rng.random(rows),
            "size": rng.integers(1, 10_000, rows),
            "level": rng.integers(0, 10, rows, dtype=np.int32),
            "is_buy": rng.random(rows) < 0.5,
        }
    )
    frame.index = pd.date_range("2024-01-01", periods=rows, freq="ms", name="time", unit="ns")
    frame.attrs = {"source": "made for the benchmark"}
    return frame


FRAMES: Final = {
    "frame-float": Frame(8, _floats(1)),
    "frame-float100": Frame(800, _floats(100)),
    "frame-mixed": Frame(50, _mixed),
    "frame-short": Frame(12, _strings(4)),
    "frame-long": Frame(208, _strings(200)),
    "frame-category": Frame(1, _categories),
    "frame-nullable": Frame(20, _nullable),
    "frame-wide": Frame(8 * WIDE_ROWS, _wide),
    "frame-multiindex": Frame(11, _multiindex),
}


# ── touching ──────────────────────────────────────────────────────────────────────────────────────


def _memory(obj: Any) -> Iterator[Array]:
    """Yield the memory of an object as bytes."""
    if isinstance(obj, np.ndarray):
        if not obj.dtype.hasobject:  # objects were made one by one
            yield obj.ravel("K").view(np.uint8)
    elif isinstance(obj, pd.DataFrame):
        yield from _memory(obj.index)
        # pandas has no public way to its blocks; column by column would take longer than the transfer.
        for block in obj._mgr.blocks:
            yield from _memory(block.values)
    else:
        parts = next((parts for kind, parts in _PARTS.items() if isinstance(obj, kind)), lambda obj: [])
        for part in parts(obj):
            yield from _memory(part)


def _text_parts(array: Any) -> Iterator[Array]:
    text = array.__arrow_array__()
    for chunk in getattr(text, "chunks", [text]):
        yield from (np.frombuffer(buffer, np.uint8) for buffer in chunk.buffers() if buffer)


def _masked_parts(array: Any) -> Iterator[Array]:
    yield from (array._data, array._mask)


# What pandas keeps in memory that is numpy's or Arrow's, of columns and of indexes.
_PARTS: Final[dict[type, Callable[[Any], Iterable[Any]]]] = {
    pd.RangeIndex: lambda index: [],
    pd.MultiIndex: lambda index: index.codes,
    pd.Index: lambda index: [index._values],
    pd.Categorical: lambda array: [array.codes],
    pd.arrays.DatetimeArray: lambda array: [array._ndarray],
    pd.arrays.ArrowStringArray: _text_parts,
    pd.arrays.IntegerArray: _masked_parts,
    pd.arrays.FloatingArray: _masked_parts,
    pd.arrays.BooleanArray: _masked_parts,
}
