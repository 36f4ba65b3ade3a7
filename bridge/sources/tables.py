"""Tables that are not in memory: in files, or computed when they are asked for.

`TableReader` serves whatever can be opened as an `OpenTable`. A `ScannedTable` is one that consists of
pieces whose numbers of rows are known, as the row groups of parquet files: only the columns that are wanted
are read, of the pieces in which the wanted rows are, and filters are left to `pyarrow.dataset`, which skips
what they rule out.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bridge import codecs, selection
from bridge.codecs import BufferReader, Encoded
from bridge.codecs.table import encode_as_one_stream
from bridge.selection import TableSelection
from bridge.selection.filters import find_columns
from bridge.sources import Plan
from bridge.sources.files import SeekableFile

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "OpenTable",
    "Piece",
    "ScannedTable",
    "TableReader",
    "check_schema",
    "fragment_batches",
    "pieces_of",
    "random_access",
    "row_nbytes",
    "selected_columns",
]


class OpenTable(Protocol):
    """One version of a table, while it is being read."""

    version: str
    schema: pa.Schema
    num_rows: int
    nbytes: int

    def lazily(self, wanted: TableSelection) -> Encoded | None:
        """Return the answer with buffers that are read when they are sent; None if it cannot."""

    def plan(self, wanted: TableSelection) -> selection.Plan[pa.Table]:
        """Find the selected part; see `bridge.selection.plan_table`."""


class TableReader:
    """The source of a table that is opened anew for each answer; a selection is columns, rows and filters.

    Parameters
    ----------
    open_table
        Opens it. Raises `BridgeError` if it cannot be read.
    """

    in_memory = False

    def __init__(self, open_table: Callable[[], OpenTable]) -> None:
        self._open = open_table

    def entry(self) -> dict[str, Any]:
        table = self._open()
        return {
            "kind": "table",
            "version": table.version,
            "format": "arrow",
            "rows": table.num_rows,
            "columns": len(table.schema),
            "nbytes": table.nbytes,
        }

    def skeleton(self) -> Encoded:
        return codecs.encode(self._open().schema.empty_table())

    def plans_quickly(self, select: Any) -> bool:
        return False  # it is opened

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        table = self._open()
        wanted = TableSelection() if select is None else selection.table_from_wire(select, reader)
        lazily = table.lazily(wanted)
        if lazily is not None:
            nbytes = sum(map(len, lazily.buffers))
            return Plan(table.version, nbytes, lambda: lazily, quick=False, views=nbytes)
        plan = table.plan(wanted)
        encode = codecs.encode if form is None else encode_as_one_stream
        return Plan(table.version, plan.nbytes, lambda: encode(plan.build()), quick=False)


class Piece(NamedTuple):
    """Some rows of a table that are read together.

    Attributes
    ----------
    num_rows
        How many they are.
    batches
        Reads them: given the names of columns, yields record batches in order.
    """

    num_rows: int
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]


class ScannedTable:
    """A table in pieces.

    Parameters
    ----------
    version
        Of what it holds.
    schema
        Of all of it.
    dataset
        Makes the `pyarrow.dataset.Dataset` of the same rows, for one scan.
    pieces
        All of it, in order.
    nbytes
        An estimate for all of it.
    guard
        Makes a context for each read: it may raise afterwards what makes the read void.

    Raises
    ------
    EncodeError, ValueError
        See `check_schema`.
    """

    def __init__(
        self,
        *,
        version: str,
        schema: pa.Schema,
        dataset: Callable[[], Any],
        pieces: Sequence[Piece],
        nbytes: int,
        guard: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        check_schema(schema)
        self.version = version
        self.schema = schema
        self.num_rows = sum(piece.num_rows for piece in pieces)
        self.nbytes = nbytes
        self._dataset = dataset
        self._pieces = pieces
        self._guard = guard

    def lazily(self, wanted: TableSelection) -> Encoded | None:
        return None

    def plan(self, wanted: TableSelection) -> selection.Plan[pa.Table]:
        columns = selected_columns(self.schema, wanted)
        condition = None
        num_rows = self.num_rows
        if wanted.filters is not None:
            condition = selection.filter_expression(self.schema, wanted.filters)
            with self._guard():
                num_rows = self._dataset().count_rows(filter=condition)
        rows = range(num_rows)[wanted.rows or slice(None)]

        def build() -> pa.Table:
            with self._guard():
                batches = self._batches(columns, condition, rows)
                return self._table(columns, batches, backwards=rows.step < 0)

        nbytes = len(rows) * row_nbytes(self, columns)
        return selection.Plan(len(rows), int(nbytes), build)

    def _batches(self, columns: list[str], condition: Any, rows: range) -> list[pa.RecordBatch]:
        """Return the selected rows, from front to back."""
        if not rows:
            return []
        rows = rows if rows.step > 0 else rows[::-1]
        if condition is not None:
            # What is read ahead is lost when the wanted rows end before the table.
            scanner = self._dataset().scanner(columns=columns, filter=condition)
            return list(_cut(scanner.to_batches(), 0, rows))
        if rows == range(self.num_rows):
            return list(self._dataset().to_batches(columns=columns))
        result: list[pa.RecordBatch] = []
        start = 0
        for piece in self._pieces:
            stop = start + piece.num_rows
            if start <= rows[-1] and stop > rows[0]:
                result += _cut(piece.batches(columns), start, rows)
            start = stop
        return result

    def _table(self, columns: list[str], batches: list[pa.RecordBatch], *, backwards: bool) -> pa.Table:
        import pyarrow as pa

        schema = pa.schema([self.schema.field(name) for name in columns], metadata=self.schema.metadata)
        table = pa.Table.from_batches(batches, batches[0].schema if batches else schema)
        if columns:  # else the number of rows would be lost
            # A scan leaves out what the schema says beside the types.
            table = pa.Table.from_arrays(table.columns, schema=schema)
        if backwards:
            table = selection.select_table(table, TableSelection(rows=slice(None, None, -1)))
        return table


def check_schema(schema: pa.Schema) -> None:
    """Raise what there is to say against sending tables of a schema.

    Raises
    ------
    EncodeError
        If a type cannot be sent.
    ValueError
        If columns have the same name: they cannot be told apart while reading.
    """
    for name, count in Counter(schema.names).most_common(1):
        if count > 1:
            raise ValueError(f"{count} of its columns are named {name!r}; give each a name of its own")
    codecs.encode(schema.empty_table())


def selected_columns(schema: pa.Schema, wanted: TableSelection) -> list[str]:
    """Return the names of the columns that a selection asks for.

    Raises
    ------
    KeyError
        If there is no such column.
    """
    if wanted.columns is None:
        return list(schema.names)
    places = find_columns(schema.names, wanted.columns)
    return [schema.names[place] for place in chain.from_iterable(places)]


def random_access(file: Any) -> pa.NativeFile:
    """Return an `OpenFile`, or what is like one, for Arrow's readers of files that are not streams."""
    import pyarrow as pa

    # Arrow asks for the size of a file by seeking to its end, in one thread while others read.
    return pa.PythonFile(SeekableFile(file, each_thread=True), mode="r")


def pieces_of(fragment: Any, schema: pa.Schema) -> Iterator[Piece]:
    """Yield the pieces of a fragment of a `pyarrow.dataset`: row groups where it has them."""
    if hasattr(fragment, "split_by_row_group"):
        for part in fragment.split_by_row_group(schema=schema):
            num_rows = sum(group.num_rows for group in part.row_groups)
            yield Piece(num_rows, partial(fragment_batches, part, schema))
    else:
        yield Piece(fragment.count_rows(), partial(fragment_batches, fragment, schema))


def fragment_batches(fragment: Any, schema: pa.Schema, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a fragment, in order, with some of its columns."""
    # Nothing is read ahead: whoever reads may stop, and should not have read what nobody wanted.
    batches: Iterator[pa.RecordBatch] = fragment.to_batches(
        schema=schema, columns=columns, batch_readahead=0, fragment_readahead=0
    )
    return batches


def row_nbytes(table: OpenTable, columns: list[str]) -> float:
    """Return how many bytes a row of some columns has: an estimate where their types leave it open."""
    widths = {field.name: _width(field.type) for field in table.schema}
    known = sum(width for width in widths.values() if width is not None)
    unknown = [name for name, width in widths.items() if width is None]
    rest = max(0.0, table.nbytes / max(1, table.num_rows) - known)
    each = rest / max(1, len(unknown))
    return sum(each if widths[name] is None else widths[name] or 0.0 for name in columns)


def _width(type_: pa.DataType) -> float | None:
    try:
        return float(type_.bit_width) / 8
    except ValueError:
        return None


def _cut(batches: Iterator[pa.RecordBatch], start: int, rows: range) -> Iterator[pa.RecordBatch]:
    """Yield what a range of rows, which goes forward, leaves of batches that begin with row `start`."""
    for batch in batches:
        stop = start + batch.num_rows
        # Of the range, what lies in this batch.
        first = max(0, -((rows.start - start) // rows.step)) if start > rows.start else 0
        inside = rows[first : first + len(range(rows[0] + first * rows.step, stop, rows.step))]
        if inside:
            if rows.step == 1:
                yield batch.slice(inside[0] - start, len(inside))
            else:
                part = slice(inside[0] - start, inside[-1] - start + 1, rows.step)
                yield from _picked(batch, part)
        start = stop
        if start > rows[-1]:
            return


def _picked(batch: pa.RecordBatch, part: slice) -> Sequence[pa.RecordBatch]:
    import pyarrow as pa

    table = selection.select_table(pa.Table.from_batches([batch]), TableSelection(rows=part))
    picked: Sequence[pa.RecordBatch] = table.combine_chunks().to_batches()
    return picked
