"""Arrow tables, record batches, chunked arrays and arrays.

::

    {"kind": "table", "rows": 1000, "streams": [5]}
    {"kind": "batch", "rows": 1000, "streams": [5]}
    {"kind": "arrow-chunked", "rows": 1000, "streams": [5]}      a table of one column
    {"kind": "arrow-array", "rows": 1000, "streams": [5]}        a record batch of one column

A stream is one Arrow IPC stream, cut into buffers anywhere; ``streams`` says into how many. A record
batch of a stream is one chunk of its columns. Columns with different chunks cannot share a stream, so
a table has one stream for each layout of chunks among its columns. Where that is more than one, a
buffer of "<i8" before the first says for each column in which stream it is; the table's metadata is that
of the first stream. Only a table without columns needs its ``rows``; all are checked against it. What
a stream may not hold is said in the module `ipc`.

An empty metadata is the same as none, as it is to Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from bridge.codecs import Buffer, BufferReader, Buffers, Descriptor, Encoded, count, field
from bridge.codecs.expansion import claims, entries
from bridge.codecs.ipc import EXTENSION_NAME, EXTENSIONS, UNMADE, read_stream, write_stream
from bridge.codecs.layout import all_fields
from bridge.codecs.zones import is_arrow_zone
from bridge.errors import EncodeError, WireError

__all__ = ["decode", "encode", "encode_as_one_stream"]

# Arrow counts in int64.
MAX_ROWS = 2**63 - 1


def encode(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn an Arrow object into its descriptor, with its bytes appended to `buffers`.

    Parameters
    ----------
    obj
        A `pyarrow.Table`, `RecordBatch`, `ChunkedArray` or `Array`, or anything with
        ``__arrow_c_stream__``, which is taken as a table.
    buffers
        Large Arrow buffers are appended as views of their own memory; see `ipc.write_stream`.

    Raises
    ------
    EncodeError
        If the object is of another class, is not valid, or holds an extension type that is not
        Arrow's own.
    """
    kind, table = _as_table(obj)
    _count(table, buffers)
    groups = _by_layout(table)
    if len(groups) > 1:
        stream_of = np.empty(table.num_columns, "<i8")
        for number, columns in enumerate(groups):
            stream_of[columns] = number
        buffers.append(memoryview(stream_of.tobytes()))
    parts = [table.select(columns) for columns in groups]
    streams = [write_stream(part.schema, _batches(part)) for part in parts]
    for stream in streams:
        buffers.extend(stream)
    return {"kind": kind, "rows": table.num_rows, "streams": [len(stream) for stream in streams]}


def decode(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild an Arrow object from its descriptor and the reader's next buffers.

    Returns
    -------
    pyarrow.Table, RecordBatch, ChunkedArray or Array
        Validated in full. A view of the buffers where those are large and adjacent in memory, else
        of one copy of them.

    Raises
    ------
    WireError
        If the bytes are not what the descriptor says, or break a rule of Arrow's or of this module.
    """
    rows = field(descriptor, "rows", int)
    counts = field(descriptor, "streams", list)
    if not 0 <= rows <= MAX_ROWS:
        raise WireError(f"'rows' is {rows}; expected 0 to {MAX_ROWS}")
    if not counts or any(type(number) is not int for number in counts):
        raise WireError(f"'streams' is {str(counts)[:40]}; expected a list of integers, not empty")
    stream_of = bytes(reader.take()) if len(counts) > 1 else None
    parts = [read_stream(reader.take_raw(number), reader.count) for number in counts]
    table = parts[0] if stream_of is None else _merged(parts, stream_of)
    if table.num_columns == 0 and table.num_rows == 0:
        table = pa.Table.from_batches([_without_columns(rows, table.schema)])
    if table.num_rows != rows:
        raise WireError(f"the Arrow stream has {table.num_rows} rows; its descriptor says {rows}")
    for what, number in claims(table):
        reader.count(what, number)
    return _FROM_TABLE[descriptor["kind"]](table)


def encode_as_one_stream(obj: Any) -> Encoded:
    """Encode an Arrow object as one standard Arrow IPC stream, for readers that know nothing else.

    Parameters
    ----------
    obj
        As for `encode`.

    Returns
    -------
    Encoded
        A table. Its buffers, end to end, are the stream; the large ones are views of the object's own
        memory. Columns with different chunks are cut at the borders of all.

    Raises
    ------
    EncodeError
        As for `encode`.
    """
    _, table = _as_table(obj)
    buffers = Buffers()
    _count(table, buffers)
    buffers.extend(write_stream(table.schema, table.to_batches()))
    buffers.check()
    return Encoded({"kind": "table", "rows": table.num_rows, "streams": [len(buffers)]}, buffers)


# ── encoding ──────────────────────────────────────────────────────────────────────────────────────

_KINDS: tuple[tuple[type, str, Callable[[Any], pa.Table]], ...] = (
    (pa.Table, "table", lambda obj: obj),
    (pa.RecordBatch, "batch", lambda obj: pa.Table.from_batches([obj])),
    (pa.ChunkedArray, "arrow-chunked", lambda obj: pa.table([obj], names=[""])),
    (pa.Array, "arrow-array", lambda obj: pa.table([obj], names=[""])),
)

# What to send in the place of what is refused.
_ALTERNATIVES: tuple[tuple[type, str], ...] = (
    (pa.Scalar, "obj.as_py(), or pyarrow.array([obj])"),
    (pa.Tensor, "obj.to_numpy()"),
    (pa.Schema, "obj.empty_table()"),
    (pa.Buffer, "numpy.frombuffer(obj, numpy.uint8)"),
    (object, "a pyarrow Table, RecordBatch, ChunkedArray or Array"),
)


def _as_table(obj: Any) -> tuple[str, pa.Table]:
    """Return the kind of an object, and the object as a table that can be sent."""
    name = f"{type(obj).__module__}.{type(obj).__qualname__}"
    rows = ((kind, convert) for cls, kind, convert in _KINDS if isinstance(obj, cls))
    kind, convert = next(rows, ("table", pa.table))
    if convert is pa.table and not hasattr(obj, "__arrow_c_stream__"):
        alternative = next(text for cls, text in _ALTERNATIVES if isinstance(obj, cls))
        raise EncodeError(f"{name} cannot be sent; send {alternative}")
    try:
        table = convert(obj)
        table.validate()
    except Exception as exc:  # whatever a foreign producer of a stream raises
        raise EncodeError(f"{name} does not give a valid Arrow table: {exc}") from exc
    _check_schema_survives(table.schema)
    return kind, table


def _count(table: pa.Table, buffers: list[Buffer]) -> None:
    for what, number in [("entries", entries(table)), *claims(table)]:
        count(buffers, what, number)


def _check_schema_survives(schema: pa.Schema) -> None:
    for column in all_fields(schema):
        _check_field(column)
    try:
        survivors = pa.ipc.read_schema(schema.serialize())
    except pa.ArrowException as exc:
        raise EncodeError(
            f"Arrow's IPC format does not keep the types of this table: {exc}; send it in other types"
        ) from exc
    # Field by field, for a type does not always see a difference deep inside itself.
    for column, survivor in zip(all_fields(schema), all_fields(survivors), strict=False):
        if not column.equals(survivor, check_metadata=True):
            raise EncodeError(
                f"Arrow's IPC format does not keep {column.name!r} of type {column.type}: a "
                "dictionary or an extension type in another is lost; send "
                "column.dictionary_decode() or array.storage"
            )


def _check_field(column: pa.Field) -> None:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None and not is_arrow_zone(kind.tz):
        raise EncodeError(
            f"{column.name!r} has the time zone {kind.tz!r}, which Python does not know; cast it to an IANA "
            'name such as "Europe/Berlin", or to an offset such as "+01:00"'
        )
    if isinstance(kind, pa.BaseExtensionType) and (
        isinstance(kind, pa.ExtensionType) or kind.extension_name not in EXTENSIONS
    ):
        raise EncodeError(
            f"{column.name!r} has the extension type {kind}, which is not Arrow's own; send its "
            "storage: array.storage, or column.cast(column.type.storage_type)"
        )
    if kind.id in UNMADE:
        raise EncodeError(
            f"{column.name!r} is of the type {kind}, of which pyarrow makes no arrays; send it without that "
            "column, or as integers"
        )
    if EXTENSION_NAME in (column.metadata or ()):
        raise EncodeError(
            f"the metadata of {column.name!r} names an extension type, "
            f"{column.metadata[EXTENSION_NAME]!r}, and would turn into it; "
            "send the field without it: field.remove_metadata()"
        )


def _by_layout(table: pa.Table) -> list[list[int]]:
    """Group the numbers of the columns by the lengths of their chunks, in order of appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, column in enumerate(table.columns):
        groups.setdefault(tuple(map(len, column.chunks)), []).append(number)
    return list(groups.values()) or [[]]


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield the chunks of a table whose columns have the same: empty ones too, unlike Arrow."""
    for chunks in zip(*(column.chunks for column in table.columns), strict=True):
        yield pa.RecordBatch.from_arrays(list(chunks), schema=table.schema)


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────


def _merged(parts: list[pa.Table], stream_of: bytes) -> pa.Table:
    """Put the columns of several streams in their order."""
    if len(stream_of) != 8 * sum(part.num_columns for part in parts):
        raise WireError(f"{len(stream_of)} bytes do not say for each column in which stream it is")
    columns = [iter(zip(part.schema, part.columns, strict=True)) for part in parts]
    ordered = []
    for number in np.frombuffer(stream_of, "<i8").tolist():
        item = next(columns[number], None) if 0 <= number < len(parts) else None
        if item is None:
            raise WireError(f"a column is said to be in stream {number}, where there is none")
        ordered.append(item)
    if len({part.num_rows for part in parts}) != 1:
        raise WireError("the streams of a table have different numbers of rows")
    schema = pa.schema([f for f, _ in ordered], metadata=parts[0].schema.metadata)
    return pa.Table.from_arrays([column for _, column in ordered], schema=schema)


def _without_columns(rows: int, schema: pa.Schema) -> pa.RecordBatch:
    # Not pyarrow.nulls, which takes a bit for each row.
    nulls = pa.Array.from_buffers(pa.null(), rows, [None])
    one = pa.schema([("", pa.null())], metadata=schema.metadata)
    return pa.record_batch([nulls], schema=one).select([])


def _table_as_batch(table: pa.Table) -> pa.RecordBatch:
    if not table.num_columns:
        return _without_columns(table.num_rows, table.schema)
    if any(column.num_chunks != 1 for column in table.columns):
        raise WireError("a record batch has one chunk in each column; this stream has more or none")
    return pa.RecordBatch.from_arrays([c.chunk(0) for c in table.columns], schema=table.schema)


def _table_as_chunked(table: pa.Table) -> pa.ChunkedArray:
    if table.num_columns != 1:
        raise WireError(f"{table.num_columns} columns are not one array")
    return table.column(0)


def _table_as_array(table: pa.Table) -> pa.Array:
    column = _table_as_chunked(table)
    if column.num_chunks != 1:
        raise WireError(f"{column.num_chunks} chunks are not one array")
    return column.chunk(0)


_FROM_TABLE: dict[str, Callable[[pa.Table], Any]] = {
    "table": lambda table: table,
    "batch": _table_as_batch,
    "arrow-chunked": _table_as_chunked,
    "arrow-array": _table_as_array,
}
