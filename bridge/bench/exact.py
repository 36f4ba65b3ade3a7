"""What is different about an object that came back: nothing, or what a user would see.

Types, dtypes with their byte order, shape, memory order, every bit of the values, names, index, frequency,
attributes. What a format changes is said in one line each, however many columns it happened to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bridge.errors import an

__all__ = ["changes"]


def changes(sent: Any, came: Any) -> list[str]:
    """Say how what came differs from what was sent.

    Returns
    -------
    list of str
        Short sentences; empty when they are identical.

    Examples
    --------
    >>> changes(np.array([[1, 2]], "<i4"), np.array([[1.0, 2.0]]))
    ['dtype int32 became float64']
    """
    if type(came) is not type(sent):
        return [f"{an(type(sent).__name__)} became {an(type(came).__name__)}"]
    found = _of_arrays(sent, came) if isinstance(sent, np.ndarray) else _of_frames(sent, came)
    return list(dict.fromkeys(found))


def _of_arrays(sent: Any, came: Any) -> Iterator[str]:
    if came.dtype != sent.dtype:
        yield f"dtype {sent.dtype} became {came.dtype}"
    if came.shape != sent.shape:
        yield f"shape {sent.shape} became {came.shape}"
    elif _order(came) != _order(sent) and _order(sent) != "no":
        yield f"{_order(sent)} order became {_order(came)} order"
    if (came.dtype, came.shape) == (sent.dtype, sent.shape) and not _same_bits(sent, came):
        yield "values changed"


def _of_frames(sent: pd.DataFrame, came: pd.DataFrame) -> Iterator[str]:
    if came.shape != sent.shape:
        yield f"shape {sent.shape} became {came.shape}"
        return
    yield from _of_indexes("index", sent.index, came.index)
    yield from _of_indexes("columns", sent.columns, came.columns)
    if came.attrs != sent.attrs:
        yield "attrs were lost" if not came.attrs else "attrs changed"
    for number, (was, now) in enumerate(zip(sent.dtypes, came.dtypes, strict=True)):
        if now != was:
            yield f"dtype {was} became {now}"
        elif not _same_values(sent.iloc[:, number].array, came.iloc[:, number].array):
            yield f"values of {was} changed"


def _of_indexes(what: str, sent: pd.Index[Any], came: pd.Index[Any]) -> Iterator[str]:
    if type(came) is not type(sent):
        yield f"{what}: {type(sent).__name__} became {type(came).__name__}"
    elif came.dtype != sent.dtype:
        yield f"{what}: dtype {sent.dtype} became {came.dtype}"
    elif not came.equals(sent):
        yield f"values of the {what} changed"
    if came.names != sent.names:
        yield f"{what}: names {list(sent.names)} became {list(came.names)}"
    freq = getattr(sent, "freq", None)
    if freq is not None and getattr(came, "freq", None) != freq:
        yield f"{what}: the frequency was lost"


def _order(array: np.ndarray[Any, Any]) -> str:
    flags = array.flags
    return "C" if flags.c_contiguous else "F" if flags.f_contiguous else "no"


def _same_values(sent: Any, came: Any) -> bool:
    values = sent.to_numpy() if isinstance(sent.dtype, np.dtype) else None
    if values is not None and not values.dtype.hasobject:
        return _same_bits(values, came.to_numpy())
    return bool(sent.equals(came))


def _same_bits(sent: np.ndarray[Any, Any], came: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays of one dtype and shape hold the same bytes: also of a nan."""
    was, now = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (sent, came))
    return np.array_equal(was, now)
