"""Values for people and for programs: as text, and as JSON."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from bridge.display import lines, nbytes_text, shape_text
from bridge.errors import BridgeError, an

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["array_text", "first_items", "header_of", "plain", "rows_of", "text"]

# Rows and columns of a table that are shown.
ROWS = 10
COLUMNS = 20
# Items of an array that are shown, along each axis and in all.
ITEMS_PER_AXIS = 8
ITEMS = 1000
# Values in JSON, of which each takes some 100 bytes, and for how many a row of a table counts beside its own.
CELLS = 2**24
ROW = 8
# Characters in the names of columns.
NAMES = 2**24


def text(value: Any) -> str:
    """Return any value as people read it, without what a terminal would obey."""
    with _showing(value, "be printed"):
        return lines(_text(value))


def _text(value: Any) -> str:
    frame = _as_frame(value)
    if frame is not None:
        beyond = len(frame) - ROWS
        return f"{frame.head(ROWS).to_string(max_cols=COLUMNS)}" + (
            f"\n… {beyond} more rows" if beyond > 0 else ""
        )
    if _package(value) == "numpy" and hasattr(value, "dtype"):
        return f"{array_text(value.dtype, value.shape, value.nbytes)}\n{value}"
    return value if isinstance(value, str) else repr(value)


def array_text(dtype: Any, shape: Sequence[int], nbytes: int) -> str:
    """Return what an array is, in a line."""
    return f"{dtype} {shape_text(shape)}, {nbytes_text(nbytes)}"


def plain(value: Any) -> Any:
    """Return a value as JSON has it: missing values as null, dates in ISO form, bytes in base64.

    What JSON has nothing for is text. Tables are lists of rows.
    """
    with _showing(value, "be printed as JSON"):
        return _plain(value, _Room())


def rows_of(value: Any) -> Iterator[Any] | None:
    """Return the rows of a table as dicts, the items of an array or a list, or None of anything else."""
    with _showing(value, "be printed as JSON"):
        room = _Room()
        is_list = isinstance(value, list | tuple)
        rows = (_plain(row, room) for row in value) if is_list else _rows_of(value, room)
        return _each(value, rows) if isinstance(rows, list | Iterator) else None


def _each(value: Any, rows: Iterable[Any]) -> Iterator[Any]:
    with _showing(value, "be printed as JSON"):
        yield from rows


def header_of(table: Any) -> list[str]:
    """Return what the columns of a table are called, those of its index too."""
    with _showing(table, "be printed"):
        frame: Any = _as_frame(table)
        return [*map(str, frame.index.names), *_names(frame)]


class _Room:
    """How much more there may be in a value that is printed as JSON."""

    def __init__(self) -> None:
        self._left = CELLS

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError(f"it has more than {CELLS:,} values")


def _plain(value: Any, room: _Room) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        str(value)  # what Python refuses of a very long one
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item, room) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, room) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, complex):
        return [_plain(value.real, room), _plain(value.imag, room)]
    if isinstance(value, Decimal):
        return None if value.is_nan() else str(value)
    rows = _rows_of(value, room)
    if rows is not None:
        return list(rows) if isinstance(rows, Iterator) else rows
    if type(value).__name__ in ("NaTType", "NAType"):  # that compare with nothing
        return None
    if _package(value) == "scipy":  # the text of which is cut
        raise TypeError("a sparse matrix has no form there")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def _rows_of(value: Any, room: _Room) -> Any:
    package = _package(value)
    frame = _as_frame(value)
    if frame is not None:
        room.take(len(frame) * (ROW + len(frame.columns)))
        names = _names(frame)
        columns = [_column(frame.iloc[:, place], room) for place in range(len(names))]
        return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    if package == "pandas" and hasattr(value, "isna"):
        room.take(len(value))
        return _column(value, room)
    if package == "numpy" and hasattr(value, "dtype"):
        room.take(value.size)
        listed = _moments(value) if value.dtype.kind in "Mm" else value.tolist()
        return _plain(listed, room)
    return None


def _names(frame: pd.DataFrame) -> list[str]:
    names: list[str] = []
    left = NAMES
    for label in frame.columns:
        names.append(str(label))
        left -= len(names[-1])
        if left < 0:  # labels of several levels are far longer than what came
            raise ValueError(f"its columns have names of more than {NAMES:,} characters in all")
    return names


def first_items(shape: Sequence[int], index: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Narrow an index, which fits an array of this shape, to the first of the items that it selects.

    Examples
    --------
    >>> first_items((1000, 16), (slice(100, None), ...))
    (slice(100, 108, 1), slice(0, 8, 1))
    """
    left = ITEMS
    narrowed: list[Any] = []
    for item, length in reversed(list(_by_axis(shape, index))):
        if isinstance(item, slice):
            steps = range(length)[item]
            steps = steps[: min(ITEMS_PER_AXIS, left)]
            left //= max(1, len(steps))
            item = slice(steps.start, steps.stop if steps.stop >= 0 else None, steps.step)
        narrowed.append(item)
    return tuple(reversed(narrowed))


def _by_axis(shape: Sequence[int], index: Sequence[Any]) -> list[tuple[Any, int]]:
    """Return an item of the index for each axis, with the length of it; a new axis has none."""
    missing = len(shape) - sum(item is not None and item is not ... for item in index)
    if ... not in index:
        index = (*index, ...)
    place = index.index(...)
    lengths = iter(shape)
    items = chain(index[:place], [slice(None)] * missing, index[place + 1 :])
    return [(item, 0 if item is None else next(lengths)) for item in items]


@contextlib.contextmanager
def _showing(value: Any, what: str) -> Iterator[None]:
    """Show what Python and libraries say of a value that has no text as one sentence."""
    try:
        yield
    except BridgeError:
        raise
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        NotImplementedError,
        MemoryError,
        RecursionError,
    ) as exc:
        raise click.ClickException(
            f"{an(type(value).__name__)} cannot {what}: {str(exc) or type(exc).__name__}; read it in Python"
        ) from exc


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _as_frame(value: Any) -> pd.DataFrame | None:
    package = _package(value)
    if package == "pandas" and hasattr(value, "columns"):
        frame: pd.DataFrame = value
        return frame
    if package == "pyarrow" and hasattr(value, "column_names"):
        from bridge.remote.frame import frame_of

        return frame_of(value)
    return None


def _moments(values: Any) -> Any:
    """Return datetimes or timedeltas as lists of text: numpy itself would make integers of nanoseconds."""
    import numpy as np

    texts: Any = np.where(np.isnat(values), None, values.astype(str))
    return texts.tolist()


def _column(values: Any, room: _Room) -> Iterator[Any]:

    if str(values.dtype) == "category":  # many rows may have one long value
        known = [_plain(item, room) for item in values.dtype.categories.tolist()]
        codes = getattr(values, "cat", values).codes.tolist()
        yield from (None if code < 0 else known[code] for code in codes)
        return
    for item, is_missing in zip(values.tolist(), values.isna().tolist(), strict=True):
        yield None if is_missing else _plain(item, room)
