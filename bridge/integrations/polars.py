"""polars: a lazy frame whose columns, rows and conditions are asked of the server.

What polars needs of the columns, and how many rows at most, is all that is fetched. Of its predicate, those
conditions are sent along that mean the same on both sides, or less: the server leaves out rows that polars
would drop, and never another. polars' whole predicate is then applied here to what came. So a condition
that cannot be sent costs time, and no row.

They differ in NaN, which to polars is greater than all numbers and to a filter of the server's is missing. So
"greater" is sent as "greater, or missing" for columns of floats.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from bridge.display import text
from bridge.errors import EncodeError, WireError
from bridge.remote import RemoteTable
from bridge.remote.frame import polars_of

try:
    import polars as pl
    from polars.io.plugins import register_io_source
except ImportError as exc:
    raise ImportError('scan_polars() needs polars: pip install "zbridge[polars]"') from exc

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["scan_polars"]

# Rows of a batch, where the server filters: it looks at all rows again for each batch.
FILTERED_ROWS: Final = 1_000_000
# Of the conditions in the form that is sent, groups one of which must hold; more of them help little.
MOST_GROUPS: Final = 50

# Groups of terms, as `RemoteTable.filter` takes them; None: no restriction.
Groups: TypeAlias = "list[list[tuple[Any, ...]]] | None"

_OPERATORS = {"Gt": ">", "GtEq": ">=", "Lt": "<", "LtEq": "<=", "Eq": "==", "NotEq": "!="}
# With these, NaN passes in polars.
_NAN_PASSES = {">", ">=", "!="}
_CLOSED = {"Both": (">=", "<="), "Left": (">=", "<"), "Right": (">", "<="), "None": (">", "<")}
_UNITS: dict[str, Any] = {"Milliseconds": "ms", "Microseconds": "us", "Nanoseconds": "ns"}

# What polars calls the types of literals, and the value that is sent for one. A literal of another type than
# its column is not sent.
_LITERALS: dict[str, Callable[[Any], Any]] = {
    **{f"{sign}Int{bits}": int for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": float,
    "Float64": float,
    "String": str,
    "Boolean": bool,
    "Date": lambda days: date(1970, 1, 1) + timedelta(days),
    "Datetime": lambda item: np.datetime64(item[0], _UNITS[item[1]]),
}


def scan_polars(table: RemoteTable) -> pl.LazyFrame:
    """Return a polars LazyFrame of a table on the server. Needs polars.

    Columns that a query does not need, rows beyond its limit, and rows that its simple conditions rule out
    (comparisons of a column with a value, ``is_in``, ``is_between``, ``is_null``, joined by & and |) are not
    fetched.

    Parameters
    ----------
    table
        A handle. What it selects already is all that is scanned.

    Returns
    -------
    polars.LazyFrame
        Of the data as it is now: once it is replaced on the server, collecting it fails.

    Raises
    ------
    EncodeError
        If the table is a DataFrame with a column of Python objects.
    TypeError
        If it is no table.

    Examples
    --------
    >>> import bridge, pandas as pd, polars as pl
    >>> frame = pd.DataFrame({"city": ["Bonn", "Oslo"], "t": [21.5, 14.0]})
    >>> with bridge.serve(weather=frame) as srv, bridge.connect(srv.url) as b:
    ...     warm = bridge.scan_polars(b["weather"]).filter(pl.col("t") > 20)
    ...     warm.select("city").collect().item()
    'Bonn'
    """
    if not isinstance(table, RemoteTable):
        raise TypeError(f"expected a table of a server, as b['weather'] is; got {table!r:.100}")
    table = table.pinned()
    arrow = table.schema
    columns = set(map(str, table.columns)) if table.num_rows != 0 else ()
    for field in arrow:
        if str(field.type) == "null" and field.name in columns:
            raise EncodeError(
                f"column {field.name!r} of {table.name!r} may hold Python objects, whose type in polars is "
                "known once all of them are here; use t.to_polars().lazy(), or t.select([…]) others first"
            )
    schema = polars_of(arrow).schema if arrow else pl.Schema()
    # Labels of pandas need not be text; those of an index come with every selection.
    labels = dict(zip(arrow.names, table.columns, strict=False))

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = table
        filtered = False
        if rows is not None:  # the first of all rows: a condition is for those
            wanted = wanted.head(rows)
        elif predicate is not None and (groups := _groups(predicate, schema, labels)) is not None:
            try:
                wanted = wanted.filter(groups)
                filtered = True
            except EncodeError:  # it has a filter or rows of its own
                pass
        if columns is not None:
            needed = dict.fromkeys(
                [*columns, *(predicate.meta.root_names() if predicate is not None else ())]
            )
            chosen = [labels[name] for name in needed if name in labels]
            wanted = wanted.select(chosen or table.columns[:1])
        for part in _in_turn(wanted) if filtered else wanted.arrow_batches(batch or 100_000):
            frame = polars_of(part)
            if any(schema.get(name, dtype) != dtype for name, dtype in frame.schema.items()):
                raise WireError(
                    f"the columns of {table.name!r} came as {text(dict(frame.schema))}; "
                    f"they were described as {text(dict(schema))}"
                )
            if predicate is not None:
                frame = frame.filter(predicate)
            yield frame if columns is None else frame.select(columns)

    try:
        return register_io_source(read, schema=schema, validate_schema=True, is_pure=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
        raise WireError(
            f"{table.name!r} has columns of which polars has no form: {text(exc)}; leave them out by "
            "t.select([…])"
        ) from exc


def _in_turn(table: RemoteTable) -> Iterator[pa.Table]:
    """Fetch what passes a filter; not ahead, for mostly all of it is in the first part."""
    for start in itertools.count(0, FILTERED_ROWS):
        part = table.slice(start, start + FILTERED_ROWS).to_arrow()
        yield part
        if len(part) < FILTERED_ROWS:
            return


def _groups(predicate: pl.Expr, schema: pl.Schema, labels: dict[str, Any]) -> Groups:
    """Return conditions that hold wherever the predicate does."""
    try:
        tree = json.loads(predicate.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError):  # it holds what has no such form, a Python function
        return None
    return _conditions(tree, schema, labels)


def _conditions(node: Any, schema: pl.Schema, labels: dict[str, Any]) -> Groups:
    match node:
        case {"BinaryExpr": {"left": left, "op": "And" | "LogicalAnd", "right": right}}:
            first, second = _conditions(left, schema, labels), _conditions(right, schema, labels)
            if first is None or second is None:
                return first if second is None else second
            groups = [[*a, *b] for a in first for b in second]
            return groups if len(groups) <= MOST_GROUPS else first
        case {"BinaryExpr": {"left": left, "op": "Or" | "LogicalOr", "right": right}}:
            first, second = _conditions(left, schema, labels), _conditions(right, schema, labels)
            if first is None or second is None or len(first) + len(second) > MOST_GROUPS:
                return None
            return [*first, *second]
        case {
            "BinaryExpr": {"left": {"Column": name}, "op": op, "right": {"Literal": {"Scalar": scalar}}}
        }:
            return _comparison(name, _OPERATORS.get(op), scalar, schema, labels)
        case {"Column": name}:
            return _comparison(name, "==", {"Boolean": True}, schema, labels)
        case {"Function": {"input": [{"Column": name}, *values], "function": {"Boolean": function}}}:
            return _function(name, function, values, schema, labels)
    return None


def _comparison(
    name: str, op: str | None, scalar: Any, schema: pl.Schema, labels: dict[str, Any]
) -> Groups:
    if op is None or name not in labels or not isinstance(scalar, dict):
        return None
    ((kind, value),) = scalar.items()
    dtype = schema[name]
    if kind not in _LITERALS or value is None or str(dtype.base_type()) != kind:
        return None
    if isinstance(dtype, pl.Datetime) and (dtype.time_zone or value[2]):
        return None
    try:
        term = (labels[name], op, _LITERALS[kind](value))
    except (OverflowError, ValueError):  # a date that Python does not have
        return None
    if dtype.is_float() and op in _NAN_PASSES:
        return [[term], [(labels[name], "is null")]]
    return [[term]]


def _function(
    name: str, function: Any, values: list[Any], schema: pl.Schema, labels: dict[str, Any]
) -> Groups:
    dtype = schema[name]
    if name not in labels or str(dtype.base_type()) not in _LITERALS:
        return None
    match function, values:
        case "Not", []:
            return _comparison(name, "==", {"Boolean": False}, schema, labels)
        case "IsNull", []:
            return [[(labels[name], "is null")]]
        case "IsNotNull", [] if not dtype.is_float():
            return [[(labels[name], "is not null")]]
        case {"IsBetween": {"closed": closed}}, [
            {"Literal": {"Scalar": low}},
            {"Literal": {"Scalar": high}},
        ]:
            above, below = _CLOSED[closed]
            first = _comparison(name, above, low, schema, labels)
            second = _comparison(name, below, high, schema, labels)
            return [[*a, *b] for a in first for b in second] if first and second else None
        case {"IsIn": {"nulls_equal": False}}, [{"Literal": {"Scalar": {"List": _}}} as literal]:
            if not (dtype.is_integer() or dtype == pl.String):
                return None
            text = io.StringIO(json.dumps(literal))
            items = pl.select(pl.Expr.deserialize(text, format="json").explode()).to_series()
            if items.dtype == dtype:
                return [[(labels[name], "in", items.drop_nulls().to_list())]]
    return None
