"""CSV files, as tables: the types of the columns are inferred once for each version of a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bridge.sources import Source
from bridge.sources.files import OpenFile, SeekableFile, reading
from bridge.sources.tables import OpenTable, Piece, ScannedTable, TableReader, fragment_batches

__all__ = ["csv_source"]


class _Known(NamedTuple):
    """What was found out by reading a whole file."""

    version: str
    schema: Any
    num_rows: int
    nbytes: int


def csv_source(open_file: Callable[[], OpenFile]) -> Source:
    """Return the source of a CSV file, whose first line names the columns.

    The types are those that `pyarrow.csv.read_csv` infers, from all rows, not from the first ones.
    """
    kept: list[_Known] = []

    def open_table() -> OpenTable:
        file = open_file()
        known = kept[0] if kept else None
        if known is None or known.version != file.version:
            with reading(file):
                known = _inferred(file)
            kept[:] = [known]
        with reading(file):
            return _scanned(file, known)

    return TableReader(open_table)


def _inferred(file: OpenFile) -> _Known:
    from pyarrow import csv

    table = csv.read_csv(_readable(file), parse_options=_parse_options())
    return _Known(file.version, table.schema, table.num_rows, table.nbytes)


def _scanned(file: OpenFile, known: _Known) -> OpenTable:
    import pyarrow.dataset as ds
    from pyarrow import csv

    convert = csv.ConvertOptions(column_types=known.schema)
    file_format = ds.CsvFileFormat(
        parse_options=_parse_options(),
        default_fragment_scan_options=ds.CsvFragmentScanOptions(convert_options=convert),
    )

    def fragment() -> Any:  # can be read once
        return file_format.make_fragment(_readable(file))

    schema = known.schema
    return ScannedTable(
        version=known.version,
        schema=schema,
        dataset=lambda: ds.FileSystemDataset([fragment()], schema, file_format),
        pieces=[Piece(known.num_rows, lambda columns: fragment_batches(fragment(), schema, columns))],
        nbytes=known.nbytes,
        guard=partial(reading, file),
    )


def _readable(file: OpenFile) -> Any:
    import pyarrow as pa

    return pa.PythonFile(SeekableFile(file), mode="r")


def _parse_options() -> Any:
    from pyarrow import csv

    # A line break between quotes is part of the value.
    return csv.ParseOptions(newlines_in_values=True)
