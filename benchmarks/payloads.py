"""What is fetched. A payload is made from its name alone, so every process can make it for itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

__all__ = ["build", "difference", "is_array", "nbytes", "size_of", "touch"]

PAGE: Final = 4096
# Of the data, not of the order of the runs: what is fetched is the same in every run.
SEED: Final = 20_240_601
COLUMNS: Final = 32

# Bytes for arrays and float frames, rows for mixed frames.
_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "k": 10**3, "M": 10**6}


def build(name: str) -> Any:
    """Make a payload.

    Parameters
    ----------
    name
        A kind and a size: ``array-800B`` (float64, one axis), ``floats-256MiB`` (a DataFrame of 32 float
        columns), ``mixed-1M`` (a DataFrame of so many rows of dates, strings, categories, integers and
        booleans).

    Raises
    ------
    ValueError
        If the name is not of this form.
    """
    kind, size = _parsed(name)
    return _KINDS[kind](size, np.random.default_rng(SEED))


def size_of(name: str) -> int:
    """Return the size in a payload's name: bytes, or rows of a mixed frame."""
    return _parsed(name)[1]


def is_array(name: str) -> bool:
    """Whether a payload is an array, not a DataFrame."""
    return _parsed(name)[0] == "array"


def nbytes(obj: Any) -> int:
    """Return how many bytes a payload takes where it lies."""
    return sum(piece.nbytes for piece in _pieces(obj))


def touch(obj: Any) -> int:
    """Read one value of each page of a payload, so that all of it must be there."""
    total = 0
    for piece in _pieces(obj):
        step = max(1, PAGE // piece.itemsize)
        total ^= int(piece[::step].view(f"u{piece.itemsize}").sum())
    return total


def difference(obj: Any, name: str) -> str | None:
    """Say how what came differs from the payload that was served, or None."""
    expected = build(name)
    if isinstance(expected, np.ndarray):
        if not isinstance(obj, np.ndarray) or obj.dtype != expected.dtype:
            return f"{type(obj).__name__} of {getattr(obj, 'dtype', 'no dtype')}; a float64 array was served"
        return None if np.array_equal(obj, expected) else "other values came than were served"
    try:
        pd.testing.assert_frame_equal(obj, expected, check_exact=True)
    except AssertionError as exc:
        return " ".join(str(exc).split())
    return None


def _pieces(obj: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield views of the memory of a payload, each with one axis."""
    if isinstance(obj, np.ndarray):
        yield obj.reshape(-1)
        return
    for label in obj.columns:
        column = obj[label]
        if isinstance(column.dtype, pd.CategoricalDtype):
            yield column.cat.codes.to_numpy()
        elif isinstance(column.dtype, pd.StringDtype):
            text = column.array.__arrow_array__()
            for chunk in getattr(text, "chunks", [text]):
                yield from (np.frombuffer(buffer, np.uint8) for buffer in chunk.buffers() if buffer)
        else:
            yield column.to_numpy()


def _array(size: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.random(size // 8)


def _floats(size: int, rng: np.random.Generator) -> pd.DataFrame:
    # Each column is one contiguous run of memory, as pandas keeps columns of one dtype.
    values = rng.random((COLUMNS, size // COLUMNS // 8))
    return pd.DataFrame(values.T, columns=[f"c{number}" for number in range(COLUMNS)], copy=False)


def _mixed(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    symbols = [f"{number:X}" for number in range(0xA000, 0xB000)]
    venues = pd.Index(["Amsterdam", "Frankfurt", "London", "New York", "Singapore", "Tokyo", "Zürich"])
    orders = rng.integers(0, 10**12, rows)
    return pd.DataFrame(
        {
            "time": np.datetime64("2024-01-01", "ns") + np.sort(rng.integers(0, 10**16, rows)),
            "symbol": pd.Series(rng.choice(symbols, rows), dtype="str"),
            "order": pd.Series([f"order-{number}" for number in orders], dtype="str"),
            "venue": pd.Categorical.from_codes(rng.integers(0, len(venues), rows), venues),
            "price": rng.random(rows),
            "size": rng.integers(1, 10_000, rows),
            "level": rng.integers(0, 10, rows, dtype=np.int32),
            "is_buy": rng.random(rows) < 0.5,
        }
    )


_KINDS: Final[dict[str, Callable[[int, np.random.Generator], Any]]] = {
    "array": _array,
    "floats": _floats,
    "mixed": _mixed,
}


def _parsed(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"([a-z]+)-(\d+)([A-Za-z]*)", name)
    if match is None or match[1] not in _KINDS or (match[3] or "B") not in _UNITS:
        raise ValueError(
            f"the payload {name!r} is not one of {', '.join(_KINDS)}, a dash, and a size such as 256MiB or 1M"
        )
    return match[1], int(match[2]) * _UNITS[match[3] or "B"]
