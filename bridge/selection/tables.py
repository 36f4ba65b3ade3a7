"""Selections of tables: columns, rows and filters.

The JSON form is an object, of which all fields may be missing or null::

    {"filters": F, "rows": [start, stop, step], "columns": C}

``F`` is ``[[column, operator, value], …]``, terms that must all hold, or a list of such lists, one of
which must hold (see `bridge.selection.filters`), with 64 terms at most. ``C`` is a list of labels, each once.
Labels and values are written as in trees: a label of a MultiIndex is ``{"$tuple": […]}``, an instant
``{"$datetime": …}``; of the objects of other codecs only scalars may stand there. In the place of F or C the
descriptor of the same list as a tree may stand. Buffers are in the order filters, columns, and have 8 MiB
together at most.

The filters are applied first, `rows` to the rows that they left, `columns` last: a filter may name a
column that is not selected, and the bounds and the step of `rows` count as in Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np

from bridge import codecs
from bridge.codecs import Buffer, BufferReader
from bridge.errors import EncodeError, WireError, an
from bridge.selection.arrays import slice_from_wire, slice_to_wire
from bridge.selection.filters import check_filters, find_columns, frame_mask, table_mask
from bridge.selection.literals import check_label, shown

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Plan",
    "TableSelection",
    "plan_frame",
    "plan_table",
    "select_frame",
    "select_table",
    "table_from_wire",
    "table_to_wire",
]

# The widest tables in use (of gene expression) have some 60,000 columns.
MAX_COLUMNS = 100_000

# Of the JSON and the leaves of filters and columns together: as many as the longest lists of usual labels and
# values have. Its objects take some 30 times as much memory while they are read.
MAX_SELECTION = 8 * 1024 * 1024

# Lists of labels and values, and what numpy's and pandas' own are.
PLAIN = ("tree", "scalar", "pandas-scalar")

# Any larger step selects the same one row. Arrow adds steps up in 64 bits, and overflows with the largest.
MAX_STEP = 2**62

# Of so many values of an object column, spread evenly, the mean size is taken.
SAMPLED_OBJECTS = 1000

T = TypeVar("T")

# Row numbers: a range where they are regular, which needs no memory and mostly no copy.
_Rows: TypeAlias = "range | np.ndarray[Any, Any]"


@dataclass(frozen=True, kw_only=True)
class TableSelection:
    """The part of a table that a query asks for. What is None is not restricted.

    Parameters
    ----------
    columns
        A list of labels, each once, in the order of the result.
    rows
        A slice of the rows that pass the filters; bounds and step as in Python.
    filters
        A list of terms ``(column, operator, value)`` that must all hold, or a list of such lists, one
        of which must hold. It is kept in the second form.

    Raises
    ------
    EncodeError
        If one of them has another form. What needs the table to be checked is not checked here.
    """

    columns: Any = None
    rows: slice | None = None
    filters: Any = None

    def __post_init__(self) -> None:
        # No selection exists that was not checked, on either side.
        object.__setattr__(self, "columns", _check_columns(self.columns))
        object.__setattr__(self, "rows", _check_rows(self.rows))
        object.__setattr__(self, "filters", check_filters(self.filters))


@dataclass(frozen=True)
class Plan(Generic[T]):
    """A selected part of a table that was not built yet.

    Attributes
    ----------
    num_rows
        How many rows it has, exactly.
    nbytes
        How many bytes it holds: exact for columns of a fixed size, else by the mean size of the values.
    build
        Makes it.
    """

    num_rows: int
    nbytes: int
    build: Callable[[], T]


def table_to_wire(selection: TableSelection, buffers: list[Buffer]) -> dict[str, Any]:
    """Turn a selection into its JSON form.

    Parameters
    ----------
    selection
        What is None in it is left out.
    buffers
        Long lists, and values that are not JSON's, are appended.

    Raises
    ------
    EncodeError
        If a label or a value cannot be sent.

    Examples
    --------
    >>> table_to_wire(TableSelection(filters=[("price", ">", 100)], rows=slice(5)), [])
    {'filters': [[['price', '>', 100]]], 'rows': [None, 5, None]}
    """
    wire: dict[str, Any] = {}
    before = sum(map(len, buffers))
    if selection.filters is not None:
        groups = [[list(term) for term in group] for group in selection.filters]
        wire["filters"] = _tree_to_wire(groups, buffers)
    if selection.rows is not None:
        wire["rows"] = slice_to_wire(selection.rows)
    if selection.columns is not None:
        wire["columns"] = _tree_to_wire(selection.columns, buffers)
    nbytes = sum(map(len, buffers)) - before
    if nbytes > MAX_SELECTION:
        raise EncodeError(
            f"the filters and columns of the selection have {nbytes} bytes, more than {MAX_SELECTION}; use "
            "several reads"
        )
    return wire


def table_from_wire(value: Any, reader: BufferReader) -> TableSelection:
    """Turn the JSON form of a selection into the selection.

    Parameters
    ----------
    value
        What the peer sent.
    reader
        Buffers of labels and values are taken from it.

    Raises
    ------
    WireError
        If `value` breaks a rule of this module's docstring.
    """
    if type(value) is not dict:
        raise WireError(f"the selection of a table is an object, not {type(value).__name__}")
    unknown = value.keys() - {"filters", "rows", "columns"}
    if unknown:
        raise WireError(
            f"the selection holds {min(unknown)[:40]!r}; this version knows filters, rows, columns",
            code="unsupported",
        )
    filters = _tree_from_wire(value.get("filters"), reader)
    rows = None if value.get("rows") is None else slice_from_wire(value["rows"])
    columns = _tree_from_wire(value.get("columns"), reader)
    try:
        return TableSelection(columns=columns, rows=rows, filters=filters)
    except EncodeError as exc:
        raise WireError(str(exc)) from exc


def plan_frame(df: pd.DataFrame, selection: TableSelection) -> Plan[pd.DataFrame]:
    """Find the part of a DataFrame that a selection asks for.

    Parameters
    ----------
    df
        Its index is kept for the rows that are selected. A label that several columns have selects all
        of them, and so does the beginning of a label of a MultiIndex.
    selection
        What to select.

    Returns
    -------
    Plan
        Of a DataFrame, also for one column. Where the rows lie at regular distances, its columns of
        numpy dtypes are views of those of `df`; else the selected cells are copied.

    Raises
    ------
    KeyError
        If a column does not exist.
    TypeError, ValueError
        If a filter does not fit its column; see `bridge.selection.filters.frame_mask`.
    """
    columns = _find(list(df.columns), selection.columns)
    mask = None if selection.filters is None else frame_mask(df, selection.filters)
    rows = _rows(len(df), mask, selection.rows)

    def build() -> pd.DataFrame:
        frame = df if columns is None else _project(df, columns)
        # The slice itself where there is one: pandas keeps its bounds in the index, also of no rows.
        return frame.iloc[(selection.rows or slice(None)) if mask is None else _as_index(rows)]

    return Plan(len(rows), _frame_nbytes(df, columns, len(rows)), build)


def plan_table(table: pa.Table, selection: TableSelection) -> Plan[pa.Table]:
    """Find the part of an Arrow table that a selection asks for.

    Parameters
    ----------
    table
        A name that several columns have selects all of them.
    selection
        What to select.

    Returns
    -------
    Plan
        Of a table with the schema's metadata. Where the rows follow each other it shares the memory of
        `table`; else the selected cells are copied.

    Raises
    ------
    KeyError
        If a column does not exist.
    TypeError, ValueError
        If a filter does not fit its column; see `bridge.selection.filters.table_mask`.
    """
    columns = _find(table.column_names, selection.columns)
    mask = None if selection.filters is None else table_mask(table, selection.filters)
    rows = _rows(table.num_rows, mask, selection.rows)
    part = table if columns is None else table.select(columns)
    if isinstance(rows, range) and rows.step == 1:
        part = part.slice(rows.start, len(rows))
        return Plan(len(rows), part.nbytes, lambda: part)
    return Plan(len(rows), _table_nbytes(part, len(rows)), lambda: _pick(part, rows))


def select_frame(df: pd.DataFrame, selection: TableSelection) -> pd.DataFrame:
    """Return the part of a DataFrame that a selection asks for; see `plan_frame`."""
    return plan_frame(df, selection).build()


def select_table(table: pa.Table, selection: TableSelection) -> pa.Table:
    """Return the part of an Arrow table that a selection asks for; see `plan_table`."""
    return plan_table(table, selection).build()


# ── the form ──────────────────────────────────────────────────────────────────────────────────────


def _check_columns(columns: Any) -> list[Any] | None:
    if columns is None:
        return None
    if not isinstance(columns, list | tuple):
        raise EncodeError(f"columns is {an(type(columns).__name__)}; give a list of labels")
    if len(columns) > MAX_COLUMNS:
        raise EncodeError(
            f"{len(columns)} columns are named, more than {MAX_COLUMNS}; leave columns out to get all, "
            "or use several reads"
        )
    labels = [check_label(label) for label in columns]
    for label, count in Counter(labels).most_common(1):
        if count > 1:
            raise EncodeError(f"the column {shown(label)} is named {count} times; name it once")
    return labels


def _check_rows(rows: Any) -> slice | None:
    if rows is None:
        return None
    if not isinstance(rows, slice):
        raise EncodeError(f"rows is {an(type(rows).__name__)}; give a slice, as slice(0, 1000)")
    start, stop, step = slice_to_wire(rows)
    if step is not None:
        step = min(max(step, -MAX_STEP), MAX_STEP)
    return slice(start, stop, step)


def _tree_to_wire(value: list[Any], buffers: list[Buffer]) -> Any:
    descriptor = codecs.encode_into(value, buffers)
    return descriptor.get("value", descriptor)


def _tree_from_wire(value: Any, reader: BufferReader) -> Any:
    if value is None:
        return None
    if type(value) is list:
        value = {"kind": "tree", "value": value}
    if codecs.field(value, "kind", str) != "tree":
        raise WireError("filters and columns are lists, or the descriptors of lists as trees")
    reader.kinds = PLAIN  # what else there is takes time to make, only to be refused
    return codecs.decode_from(value, reader)


# ── which rows and columns ────────────────────────────────────────────────────────────────────────


def _find(names: list[Any], labels: list[Any] | None) -> list[int] | None:
    return None if labels is None else list(chain.from_iterable(find_columns(names, labels)))


def _rows(num_rows: int, mask: np.ndarray[Any, Any] | None, part: slice | None) -> _Rows:
    part = slice(None) if part is None else part
    if mask is None:
        return range(num_rows)[part]
    rows = np.flatnonzero(mask)[part]
    # A filter by what the table is sorted by finds rows that follow each other.
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return range(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _as_index(rows: _Rows) -> slice | np.ndarray[Any, Any]:
    if not isinstance(rows, range):
        return rows
    if not rows:
        return slice(0, 0)
    return slice(rows.start, rows.stop if rows.stop >= 0 else None, rows.step)


# ── pandas ────────────────────────────────────────────────────────────────────────────────────────


def _project(df: pd.DataFrame, columns: list[int]) -> pd.DataFrame:
    import pandas as pd

    # df.iloc[:, columns] would copy every row of them.
    views = {place: df.iloc[:, column] for place, column in enumerate(columns)}
    frame = pd.DataFrame(views, index=df.index, copy=False)
    frame.columns = df.columns.take(columns)
    frame.attrs = df.attrs
    return frame.set_flags(allows_duplicate_labels=df.flags.allows_duplicate_labels)


def _frame_nbytes(df: pd.DataFrame, columns: list[int] | None, num_rows: int) -> int:
    import pandas as pd

    whole = 0  # categories, all of which stay, whatever the rows
    each = 0.0 if isinstance(df.index, pd.RangeIndex) else df.index.nbytes / max(1, len(df))
    dtypes = list(df.dtypes)
    for column in range(len(dtypes)) if columns is None else columns:
        dtype = dtypes[column]
        if isinstance(dtype, np.dtype) and not dtype.hasobject:
            each += dtype.itemsize
            continue
        series = df.iloc[:, column]
        if isinstance(dtype, pd.CategoricalDtype):
            whole += dtype.categories.nbytes
            each += series.cat.codes.to_numpy().itemsize
        elif isinstance(dtype, np.dtype):
            each += _mean_nbytes(series)
        else:
            each += series.array.nbytes / max(1, len(df))
    return int(whole + each * num_rows)


def _mean_nbytes(objects: pd.Series[Any]) -> float:
    sample = objects.iloc[:: max(1, len(objects) // SAMPLED_OBJECTS)]
    total = sum(len(obj) if hasattr(obj, "__len__") else 8 for obj in sample)
    return 8 + total / max(1, len(sample))


# ── Arrow ─────────────────────────────────────────────────────────────────────────────────────────


def _table_nbytes(table: pa.Table, num_rows: int) -> int:
    import pyarrow as pa

    whole = sum(  # dictionaries, all of which stay, whatever the rows
        chunk.dictionary.nbytes
        for column in table.columns
        if pa.types.is_dictionary(column.type)
        for chunk in column.chunks
    )
    each = (table.nbytes - whole) / max(1, table.num_rows)
    return int(whole + each * num_rows)


def _pick(table: pa.Table, rows: _Rows) -> pa.Table:
    import pyarrow as pa

    if table.num_columns == 0:
        return table.slice(0, len(rows))
    keep = np.zeros(table.num_rows, np.bool_)
    keep[_as_index(rows)] = True
    # Not `take`, which joins chunks first, and so fails for text of more than 2 GiB.
    try:
        result = _without_views(table).filter(pa.array(keep))
        if len(rows) > 1 and rows[1] < rows[0]:
            result = result.take(np.arange(len(rows))[::-1])
    except pa.ArrowNotImplementedError as exc:
        raise TypeError(
            f"Arrow cannot pick single rows of these columns: {exc}; select other columns, or rows "
            "that follow each other"
        ) from exc
    return result.cast(table.schema)


def _without_views(table: pa.Table) -> pa.Table:
    # Arrow cannot pick from views of text, which polars makes; it can cast them.
    import pyarrow as pa

    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return table.cast(
        pa.schema([field.with_type(plain.get(field.type, field.type)) for field in table.schema])
    )
