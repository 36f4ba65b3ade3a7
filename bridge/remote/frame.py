"""DataFrames of pandas and polars, of the Arrow tables that a peer sent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bridge.codecs import strict_json
from bridge.display import text
from bridge.errors import WireError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["bare", "frame_of", "polars_of"]

# Levels of an index that is noted. pandas sorts the labels of each; nobody has as many.
MAX_LEVELS: Final = 64
# How pandas calls the columns of an index without a name.
_UNNAMED = re.compile(r"__index_level_[0-9]+__")


def frame_of(
    table: pa.Table, *, types_mapper: Callable[[pa.DataType], Any] | None = None
) -> pd.DataFrame:
    """Convert an Arrow table of a peer to a DataFrame, with the index that pandas had noted in it.

    Arrow's own conversion hands what the metadata says to parsers of Python and numpy. Here only the index
    is taken from it: the names of columns, or the numbers of a range.

    Parameters
    ----------
    table
        A Table or a RecordBatch.
    types_mapper
        From Arrow's types to pandas' dtypes, as in `pyarrow.Table.to_pandas`.

    Raises
    ------
    WireError
        If pandas has no form for a value, such as a time of day in nanoseconds.
    """
    import pyarrow as pa

    try:
        frame: pd.DataFrame = _unwrapped(table, types_mapper).to_pandas(
            ignore_metadata=True, types_mapper=types_mapper
        )
        return _with_noted_index(frame, (table.schema.metadata or {}).get(b"pandas", b"{}"))
    except (
        pa.ArrowException,
        ArithmeticError,
        NotImplementedError,  # an index of halves
        TypeError,
        ValueError,
    ) as exc:
        raise WireError(
            f"the server's table has no form in pandas: {exc}; fetch it with to_arrow()"
        ) from exc


def polars_of(table: pa.Table | pa.Schema) -> pl.DataFrame:
    """Convert an Arrow table of a peer to a DataFrame of polars.

    Parameters
    ----------
    table
        A Table, or the schema of one without rows.

    Raises
    ------
    WireError
        If polars has no form for a type, or no room for the rows.
    """
    import polars as pl
    import pyarrow as pa

    try:
        frame = pl.from_arrow(table.empty_table() if isinstance(table, pa.Schema) else table)
    except (
        pl.exceptions.PanicException,  # no Exception: what polars had not thought of
        pl.exceptions.PolarsError,
        pa.ArrowException,
        ArithmeticError,
        LookupError,  # an interval of months
        MemoryError,
        NotImplementedError,
        TypeError,
        ValueError,
    ) as exc:
        raise WireError(
            f"the server's table has no form in polars: {text(exc)}; fetch it with to_arrow()"
        ) from exc
    if not isinstance(frame, pl.DataFrame):
        raise WireError(
            "the server's table has no columns, so no form in polars; fetch it with to_arrow()"
        )
    return frame


def bare(rows: pd.DataFrame) -> pd.DataFrame:
    """Take from a DataFrame what is said of all of it: its attrs, and that no label occurs twice.

    pandas compares it where it joins parts, in ways that fail, and what is true of a part may not be of all.
    """
    rows.attrs = {}
    flags: Any = rows.flags
    flags.allows_duplicate_labels = True
    return rows


def _unwrapped(table: pa.Table, types_mapper: Callable[[pa.DataType], Any] | None) -> pa.Table:
    """Take times in a time zone, and codes, out of runs and extension types: Arrow dies of them there."""
    import pyarrow as pa

    for number, field in enumerate(table.schema):
        kinds = [field.type]
        while isinstance(kinds[-1], pa.BaseExtensionType | pa.RunEndEncodedType):
            kinds.append(getattr(kinds[-1], "storage_type", None) or kinds[-1].value_type)
        is_deadly = pa.types.is_dictionary(kinds[-1]) or getattr(kinds[-1], "tz", None)
        if kinds[1:] and is_deadly and not (types_mapper and types_mapper(field.type)):
            import pyarrow.compute as pc

            column = table.column(number)
            for kind in kinds[1:]:
                has_runs = pa.types.is_run_end_encoded(column.type)
                column = pc.run_end_decode(column) if has_runs else column.cast(kind)
            table = table.set_column(number, field.name, column)
    return table


def _with_noted_index(frame: pd.DataFrame, note: bytes) -> pd.DataFrame:
    import pandas as pd

    try:
        noted = strict_json.loads(note)
    except WireError:
        return frame
    index = noted.get("index_columns") if isinstance(noted, dict) else None
    if not isinstance(index, list) or not index or len(index) > MAX_LEVELS:
        return frame
    if all(isinstance(name, str) for name in index):
        found = Counter(frame.columns)
        if len(set(index)) == len(index) and all(found[name] == 1 for name in index):
            frame = frame.set_index(index)
            frame.index.names = [None if _UNNAMED.fullmatch(name) else name for name in index]
    elif len(index) == 1 and isinstance(index[0], dict):
        start, stop, step, name = (index[0].get(key) for key in ("start", "stop", "step", "name"))
        if type(start) is int and type(stop) is int and type(step) is int and step != 0:
            labels = range(start, stop, step)
            if len(labels) == len(frame):
                frame.index = pd.RangeIndex(labels, name=name if isinstance(name, str) else None)
    return frame
