"""Runs of rows: DataFrames, Arrow tables, arrays, lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from bridge.errors import EncodeError, an

__all__ = ["alike", "checked_rows", "joined", "rows_from"]

# Wider rows are not joined: pandas takes about 10 µs for each column of each piece.
MAX_JOINED_COLUMNS: Final = 1000


def checked_rows(rows: Any) -> Any:
    """Return a run of rows, an Arrow record batch as a table.

    Raises
    ------
    EncodeError
        If it is none.
    """
    kind = _kind(rows)
    if kind is None:
        raise EncodeError(
            f"{an(type(rows).__name__)} is no run of rows; append a DataFrame, an Arrow table, an array of one "
            "dimension or more, or a list"
        )
    if kind == "pyarrow" and type(rows).__name__ == "RecordBatch":
        import pyarrow as pa

        return pa.Table.from_batches([rows])
    return rows


def alike(a: Any, b: Any) -> bool:
    """Whether rows may be joined: the same class, columns and dtypes, and not too many columns."""
    kind = _kind(a)
    if type(a) is not type(b) or kind is None:
        return False
    if kind == "builtins":
        return True
    if kind == "numpy":
        # A mask, or what else a subclass has, is not joined by numpy.
        same = type(a) is np.ndarray and a.dtype == b.dtype and a.shape[1:] == b.shape[1:]
        return bool(same and a.dtype.itemsize)
    # Without columns, nobody counts the rows.
    if kind == "pandas":
        return 0 < len(a.columns) <= MAX_JOINED_COLUMNS and _frames_are_alike(a, b)
    few = 0 < a.num_columns <= MAX_JOINED_COLUMNS
    return few and bool(a.schema.equals(b.schema, check_metadata=True))


def joined(pieces: Sequence[Any]) -> Any:
    """Return runs of rows that are alike as one; Arrow tables are not copied.

    Raises
    ------
    EncodeError
        If that would change them.
    """
    kind = _kind(pieces[0])
    if kind == "numpy":
        # With its dtype: numpy would choose the byte order of this machine.
        return np.concatenate(pieces, dtype=pieces[0].dtype)
    if kind == "builtins":
        return [row for piece in pieces for row in piece]
    if kind == "pandas":
        return _joined_frames(pieces)
    import pyarrow as pa

    return pa.concat_tables(checked_rows(piece) for piece in pieces)


def rows_from(rows: Any, number: int) -> Any:
    """Return the rows from a number on: a view, but of a list."""
    if number == 0:
        return rows
    return rows.iloc[number:] if _kind(rows) == "pandas" else rows[number:]


def _kind(rows: Any) -> str | None:
    """Return the package of something that has rows, or None."""
    if isinstance(rows, np.ndarray):
        return "numpy" if rows.ndim else None
    package = type(rows).__module__.partition(".")[0]
    names = {"builtins": ("list",), "pandas": ("DataFrame",), "pyarrow": ("Table", "RecordBatch")}
    return package if type(rows).__name__ in names.get(package, ()) else None


def _joined_frames(frames: Sequence[Any]) -> Any:
    import pandas as pd

    try:
        whole = pd.concat(frames)
    except Exception as exc:  # categories that cannot be hashed, for one
        raise EncodeError(f"pandas cannot join these frames: {exc}") from exc
    if not _frames_are_alike(whole, frames[0]):
        raise EncodeError("pandas would change the dtypes of these frames where it joins them")
    return whole


def _frames_are_alike(a: Any, b: Any) -> bool:
    return (
        a.columns.identical(b.columns)
        and all(x == y for x, y in zip(a.dtypes, b.dtypes, strict=True))
        and _index_dtypes(a.index) == _index_dtypes(b.index)
        and not (a.attrs or b.attrs)  # these hold anything, also what cannot be compared
        and a.flags.allows_duplicate_labels
        and b.flags.allows_duplicate_labels
    )


def _index_dtypes(index: Any) -> tuple[Any, ...]:
    dtypes = list(index.dtypes) if index.nlevels > 1 else [index.dtype]
    return (*index.names, *dtypes)
