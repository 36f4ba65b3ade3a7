"""Row filters, with one meaning for pandas frames, Arrow tables and Arrow datasets.

A filter is a list of terms ``(column, operator, value)`` that must all hold, or a list of such lists,
one of which must hold, as in `pyarrow.parquet.read_table`. The operators are ``= == != < <= > >=``,
``in``, ``not in``, ``is null`` and ``is not null``. What they mean does not depend on where the data is:

* A missing value (None, NaN, NaT, NA; in Arrow null or NaN) satisfies ``is null`` and nothing else:
  not ``!=``, and not ``not in``. None and NaN are no values to compare with.
* Integers, decimals, times and durations compare exactly, whatever the type and the unit of the value:
  no integer equals 2.5, and all are less than 1e30. For a column of floats the value is first rounded
  to the column's type, as numpy does. -0.0 equals 0.0.
* Text compares by code points, bytes by bytes.
* A category (in Arrow, a dictionary) compares as the value that it stands for. If it has an order of
  its own, only ``=``, ``!=``, ``in`` and ``not in`` are defined.
* What is of another kind is not compared, but refused with a `TypeError`: a bool with a number, a
  date with a datetime, a datetime without a time zone with one that has one, a decimal with a float.
  Text is not parsed.

How it works: each column that a filter names is viewed as an Arrow array, and `literals` turns each
value into one of exactly that array's type, or finds that all or none of that type satisfy the term. So
nothing is left for Arrow to convert, and the same calls make a mask from an array and an expression
from a dataset's field.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bridge.codecs.labels import check_hashes
from bridge.errors import EncodeError, an
from bridge.selection.literals import (
    check_label,
    check_value,
    comparable_type,
    literal_for,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Filters",
    "Term",
    "check_filters",
    "filter_expression",
    "find_columns",
    "frame_mask",
    "table_mask",
]

# Each term is a pass over a column. People write a few; a list of keys is one term, with 'in'.
MAX_TERMS = 64

# A longer list of keys is a table of its own.
MAX_IN_VALUES = 100_000

# Names that are read to guess which one was meant, characters of it that count, and names that are shown.
MAX_GUESSED = 10_000
MAX_GUESSED_CHARS = 100
MAX_LISTED = 10

# Bytes of a sparse column when each of its rows has a value: as many as an answer may have.
MAX_DENSE = 256 * 1024 * 1024

# Operators with one value, by the function of pyarrow.compute that each one is.
COMPARISONS = {
    "=": "equal",
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
ORDERINGS = ("<", "<=", ">", ">=")
MEMBERSHIPS = ("in", "not in")
NULL_TESTS = ("is null", "is not null")
OPERATORS = (*COMPARISONS, *MEMBERSHIPS, *NULL_TESTS)


class Term(NamedTuple):
    """A condition on a column. The value is a list for memberships, and None for null tests."""

    column: Any
    op: str
    value: Any


# All terms of one of the groups must hold.
Filters: TypeAlias = tuple[tuple[Term, ...], ...]


class _Column(NamedTuple):
    """A column that a filter names."""

    dtype: str  # as its users know it
    type: pa.DataType
    data: Any  # a pyarrow ChunkedArray, or an Expression


def check_filters(filters: Any) -> Filters | None:
    """Return filters in the form of groups of terms, checked as far as that needs no data.

    Parameters
    ----------
    filters
        None, a list of terms, or a list of lists of terms. A term is a tuple or a list ``(column,
        operator, value)``, without a value for null tests. The value for ``in`` and ``not in`` is a
        list, tuple, set, or 1-d array.

    Returns
    -------
    tuple of tuples of Term, or None
        None if there is nothing to filter by.

    Raises
    ------
    EncodeError
        If the filters have another form, an operator is unknown, or a value is not comparable.

    Examples
    --------
    >>> check_filters([("price", ">", 100), ("symbol", "in", {"A"})])
    ((Term(column='price', op='>', value=100), Term(column='symbol', op='in', value=['A'])),)
    """
    if filters is None:
        return None
    if isinstance(filters, str):
        raise EncodeError(
            f"the filter {shown(filters)} is text; give a list of terms: 'price > 60' is [('price', '>', 60)]"
        )
    if not isinstance(filters, list | tuple) or _is_term(filters):
        raise _no_filters(filters)
    if not filters:
        return None
    groups = [filters] if _is_term(filters[0]) else filters
    for group in groups:
        if not isinstance(group, list | tuple) or not group:
            raise _no_filters(group)
    count = sum(map(len, groups))
    if count > MAX_TERMS:
        raise EncodeError(
            f"the filters have {count} terms, more than {MAX_TERMS}; use 'in', or several reads"
        )
    return tuple(tuple(map(_check_term, group)) for group in groups)


def find_columns(names: Sequence[Any], labels: Iterable[Any]) -> list[list[int]]:
    """Find columns by their labels.

    Parameters
    ----------
    names
        The labels of all columns. Those that are tuples are also found by what they begin with.
    labels
        What to look for.

    Returns
    -------
    list of list of int
        For each label the positions of the columns that have it, at least one.

    Raises
    ------
    KeyError
        If no column has it.
    WireError
        If the labels are such as `check_hashes` refuses.
    """
    labels = list(labels)
    check_hashes(labels)
    places: dict[Any, list[int]] = {label: [] for label in labels}
    lengths = {len(label) for label in places if isinstance(label, tuple)} - {0}
    for place, name in enumerate(names):
        beginnings = [name]
        if isinstance(name, tuple) and name:
            beginnings += [name[0], *(name[:length] for length in lengths if length < len(name))]
        for beginning in beginnings:
            if beginning in places:
                places[beginning].append(place)
    for label in labels:
        if not places[label]:
            raise KeyError(_unknown(label, names))
    return [places[label] for label in labels]


def frame_mask(df: pd.DataFrame, filters: Filters) -> np.ndarray[Any, Any]:
    """Return which rows of a DataFrame pass.

    Parameters
    ----------
    df
        Columns that the filters name are viewed as Arrow; those of objects are converted.
    filters
        As `check_filters` returns them.

    Returns
    -------
    ndarray
        bool, shape ``(len(df),)``.

    Raises
    ------
    KeyError
        If a column does not exist.
    TypeError
        If a value is of another kind than its column, or the column is not comparable.
    ValueError
        If several columns have the label.
    """

    def column(label: Any, place: int) -> _Column:
        series = df.iloc[:, place]
        data = _arrow_of(label, series)
        return _Column(str(series.dtype), data.type, data)

    return _as_mask(_condition(list(df.columns), filters, column))


def table_mask(table: pa.Table, filters: Filters) -> np.ndarray[Any, Any]:
    """Return which rows of an Arrow table pass.

    Parameters
    ----------
    table
        Any table.
    filters
        As `check_filters` returns them.

    Returns
    -------
    ndarray
        bool, shape ``(num_rows,)``.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `frame_mask` does.
    """

    def column(_label: Any, place: int) -> _Column:
        data = table.column(place)
        return _Column(str(data.type), data.type, data)

    return _as_mask(_condition(table.column_names, filters, column))


def filter_expression(schema: pa.Schema, filters: Filters) -> Any:
    """Return filters as an expression, by which a dataset skips what it need not read.

    Parameters
    ----------
    schema
        The dataset's.
    filters
        As `check_filters` returns them.

    Returns
    -------
    pyarrow.compute.Expression
        True for the rows that `table_mask` marks, false for all others, never null.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `frame_mask` does.
    """
    import pyarrow.compute as pc

    def column(label: Any, place: int) -> _Column:
        type_ = schema.types[place]
        return _Column(str(type_), type_, pc.field(label))

    return _condition(schema.names, filters, column)


# ── the form ──────────────────────────────────────────────────────────────────────────────────────


def _is_term(item: Any) -> bool:
    # A group of terms has a term, not a text, in the second place.
    return isinstance(item, list | tuple) and len(item) in (2, 3) and isinstance(item[1], str)


def _check_term(item: Any) -> Term:
    if not _is_term(item):
        raise _no_filters(item)
    column, op, *values = item
    column = check_label(column)
    if op not in OPERATORS:
        raise EncodeError(f"unknown operator {shown(op)}; use one of {', '.join(OPERATORS)}")
    if op in NULL_TESTS:
        if values and values[0] is not None:
            raise EncodeError(f"{op!r} takes no value; write ({shown(column)}, {op!r})")
        return Term(column, op, None)
    if not values:
        raise EncodeError(f"({shown(column)}, {op!r}) has no value to compare with")
    return Term(column, op, _check_values(op, *values) if op in MEMBERSHIPS else check_value(*values))


def _check_values(op: str, values: Any) -> list[Any]:
    is_list = isinstance(values, list | tuple | set | frozenset) or getattr(values, "ndim", 0) == 1
    if not is_list:
        raise EncodeError(f"{op!r} needs a list of values, not {an(type(values).__name__)}")
    if len(values) > MAX_IN_VALUES:
        raise EncodeError(
            f"the list for {op!r} has {len(values)} values, more than {MAX_IN_VALUES}; use several reads"
        )
    return [check_value(value) for value in values]


def _no_filters(item: Any) -> EncodeError:
    return EncodeError(
        f"{an(type(item).__name__)} of another form stands among the filters; give a list of terms, as "
        "[('price', '>', 100), ('symbol', 'in', ['A', 'B'])], or a list of such lists"
    )


def _unknown(label: Any, names: Sequence[Any]) -> str:
    by_text = {_text(name): name for name in islice(names, MAX_GUESSED)}
    close = difflib.get_close_matches(_text(label)[:MAX_GUESSED_CHARS], by_text, n=1)
    meant = shown(by_text[close[0]]) if close else ""
    guess = f"did you mean {meant}? " if meant not in ("", shown(label)) else ""  # nan is not nan
    listed = ", ".join(shown(name) for name in islice(names, MAX_LISTED)) or "none"
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"no column {shown(label)}; {guess}the columns are: {listed}{more}"


def _text(label: Any) -> str:
    try:
        return str(label)
    except ValueError:  # of too many digits
        return shown(label)


# ── the condition ─────────────────────────────────────────────────────────────────────────────────


def _condition(names: Sequence[Any], filters: Filters, column_of: Callable[[Any, int], _Column]) -> Any:
    """Return filters as one mask or expression, which is never null."""
    import pyarrow.compute as pc

    labels = list(dict.fromkeys(term.column for group in filters for term in group))
    columns = {}
    for label, places in zip(labels, find_columns(names, labels), strict=True):
        if len(places) > 1:
            raise ValueError(f"{len(places)} columns have the label {shown(label)}; a filter needs one")
        columns[label] = column_of(label, places[0])

    def mask(term: Term) -> Any:
        dtype, type_, data = columns[term.column]
        try:
            return _match(data, type_, term.op, term.value)
        except TypeError as exc:
            raise TypeError(f"column {shown(term.column)} is {dtype}, which {exc}") from exc

    # Kleene's functions are those that datasets can prove false from the statistics of a file.
    return reduce(pc.or_kleene, (reduce(pc.and_kleene, map(mask, group)) for group in filters))


def _match(data: Any, type_: pa.DataType, op: str, value: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(type_):
        return _match_dictionary(data, type_, op, value)
    missing = pc.is_null(data, nan_is_null=True)
    if op == "is null":
        return missing
    known = pc.invert(missing)
    if op == "is not null" or pa.types.is_null(type_):
        return known
    # What is not known gives null or nonsense here; false and null is false.
    test = _is_in if op in MEMBERSHIPS else _compare
    return pc.and_kleene(known, test(data, type_, op, value))


def _compare(data: Any, type_: pa.DataType, op: str, value: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    literal = literal_for(type_, COMPARISONS[op], value)
    if isinstance(literal, bool):
        return pa.scalar(literal)
    function, operand = literal
    type_ = comparable_type(type_)
    compare = getattr(pc, function)  # a value of COMPARISONS
    return compare(data.cast(type_), pa.scalar(operand, type_))


def _is_in(data: Any, type_: pa.DataType, op: str, values: list[Any]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not values:  # also for types that have no comparison
        return pa.scalar(op == "not in")
    literals = [literal_for(type_, "equal", value) for value in values]
    operands = [literal[1] for literal in literals if not isinstance(literal, bool)]
    if pa.types.is_floating(type_):
        operands += [-zero for zero in operands if zero == 0]  # is_in tells 0.0 from -0.0
    type_ = comparable_type(type_)
    found = pc.is_in(data.cast(type_), value_set=pa.array(operands, type_))
    return found if op == "in" else pc.invert(found)


def _match_dictionary(data: Any, type_: pa.DataType, op: str, value: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if type_.ordered and op in ORDERINGS:
        raise TypeError(f"has an order of its own, unknown to {op!r}; list the wanted values with 'in'")
    if isinstance(data, pc.Expression):
        return _match(data.cast(type_.value_type), type_.value_type, op, value)
    # Each value of the dictionary is compared once, not once for each row that has it.
    chunks = [
        _match(chunk.dictionary, type_.value_type, op, value)
        .take(chunk.indices)
        .fill_null(op == "is null")
        for chunk in data.chunks
    ]
    return pa.chunked_array(chunks, pa.bool_())


def _as_mask(condition: Any) -> np.ndarray[Any, Any]:
    mask: np.ndarray[Any, Any] = condition.to_numpy()
    return mask


def _arrow_of(label: Any, series: pd.Series[Any]) -> pa.ChunkedArray:
    """Return a pandas column as Arrow, mostly as a view, with null for what is missing."""
    import pandas as pd
    import pyarrow as pa

    dtype = series.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert("UTC")  # Arrow does not know every zone that pandas does
    elif isinstance(dtype, pd.SparseDtype):
        _check_dense(label, len(series) * np.dtype(dtype.subtype).itemsize)
        series = pd.Series(series.to_numpy())
    elif isinstance(dtype, np.dtype) and not dtype.isnative:
        series = series.astype(dtype.newbyteorder("="))
    try:
        data = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
        raise TypeError(f"column {shown(label)} is {dtype}, which has no comparison: {exc}") from exc
    data = data if isinstance(data, pa.ChunkedArray) else pa.chunked_array([data])
    if isinstance(dtype, np.dtype) and dtype.hasobject and pa.types.is_temporal(data.type):
        _check_objects(label, series, data)
    return data


def _check_dense(label: Any, nbytes: int) -> None:
    if nbytes > MAX_DENSE:  # in its sparse form it may have had a few bytes
        raise ValueError(
            f"column {shown(label)} is sparse, and to compare its rows takes {nbytes} bytes, more than "
            f"{MAX_DENSE}; filter by other columns, or read it and filter there"
        )


def _check_objects(label: Any, series: pd.Series[Any], data: pa.ChunkedArray) -> None:
    # Arrow takes the class of the first for that of all, and drops what does not fit into it.
    if data.drop_null().to_pylist() != series.dropna().tolist():
        raise TypeError(
            f"column {shown(label)} mixes dates or times of several kinds, which have no comparison; "
            "make them one kind, as with pandas.to_datetime"
        )
