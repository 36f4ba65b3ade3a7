"""Tables of other libraries that are computed when they are asked for: datasets, lazy frames, relations.

Their version is that of the moment when they are assigned to a name, but for datasets of files, whose files
are looked at: assign them again when what stands behind them has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bridge import selection
from bridge.codecs import Encoded
from bridge.selection import TableSelection
from bridge.sources import Source
from bridge.sources.files import version_of
from bridge.sources.tables import (
    OpenTable,
    ScannedTable,
    TableReader,
    check_schema,
    pieces_of,
    row_nbytes,
    selected_columns,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["dataset_source", "lazy_frame_source", "relation_source"]


def dataset_source(dataset: Any) -> Source:
    """Return the source of a `pyarrow.dataset.Dataset`: columns, rows and filters are left to it."""
    fixed = uuid4().hex[:16]
    kept: list[OpenTable] = []

    def open_table() -> OpenTable:
        version = _files_version(dataset) or fixed
        if not kept or kept[0].version != version:
            pieces = [p for part in dataset.get_fragments() for p in pieces_of(part, dataset.schema)]
            table = ScannedTable(
                version=version,
                schema=dataset.schema,
                dataset=lambda: dataset,
                pieces=pieces,
                nbytes=0,
            )
            table.nbytes = int(table.num_rows * row_nbytes(table, table.schema.names))
            kept[:] = [table]
        return kept[0]

    return TableReader(open_table)


def lazy_frame_source(frame: Any) -> Source:
    """Return the source of a `polars.LazyFrame`: columns and rows are left to it."""
    import polars as pl

    def read(columns: list[str], rows: range | None) -> pa.Table:
        part = frame.select(columns)
        return (part if rows is None else part.slice(rows.start, len(rows))).collect().to_arrow()

    return _computed(read, int(frame.select(pl.len()).collect().item()), frame.collect_schema().names())


def relation_source(relation: Any) -> Source:
    """Return the source of a relation of duckdb: columns and rows are left to it.

    A connection of duckdb serves one thread at a time, so read others of the same connection elsewhere.
    """
    import pyarrow as pa

    def read(columns: list[str], rows: range | None) -> pa.Table:
        names = ['"{}"'.format(name.replace('"', '""')) for name in columns]
        part = relation.project(", ".join(names))
        return pa.table(part if rows is None else part.limit(len(rows), offset=rows.start))

    return _computed(read, len(relation), list(relation.columns))


def _computed(
    read: Callable[[list[str], range | None], pa.Table], num_rows: int, names: list[str]
) -> Source:
    table = _ComputedTable(read, num_rows, names)
    return TableReader(lambda: table)


class _ComputedTable:
    """A table of which a library computes some columns and a range of rows."""

    def __init__(
        self, read: Callable[[list[str], range | None], pa.Table], num_rows: int, names: list[str]
    ) -> None:
        self._read = read
        self._lock = threading.Lock()
        self.version = uuid4().hex[:16]
        self.schema = read(names, range(0)).schema
        check_schema(self.schema)
        self.num_rows = num_rows
        self.nbytes = 0
        self.nbytes = int(num_rows * row_nbytes(self, names))

    def lazily(self, wanted: TableSelection) -> Encoded | None:
        return None

    def plan(self, wanted: TableSelection) -> selection.Plan[pa.Table]:
        columns = selected_columns(self.schema, wanted)
        if wanted.filters is not None:
            tested = [term.column for group in wanted.filters for term in group]
            needed = selected_columns(self.schema, TableSelection(columns=list(dict.fromkeys(tested))))
            with self._lock:
                table = self._read(list(dict.fromkeys([*columns, *needed])), None)
            filtered = TableSelection(columns=columns, filters=wanted.filters, rows=wanted.rows)
            return selection.plan_table(table, filtered)
        rows = range(self.num_rows)[wanted.rows or slice(None)]
        forward = range(min(rows, default=0), max(rows, default=-1) + 1)

        def build() -> pa.Table:
            with self._lock:
                table = self._read(columns or self.schema.names[:1], forward).select(columns)
            return selection.select_table(table, TableSelection(rows=slice(None, None, rows.step)))

        return selection.Plan(len(rows), int(len(rows) * row_nbytes(self, columns)), build)


def _files_version(dataset: Any) -> str | None:
    files = getattr(dataset, "files", None)
    if not files:
        return None
    infos = dataset.filesystem.get_file_info(files)
    return version_of([(info.path, info.size, info.mtime_ns) for info in infos])
