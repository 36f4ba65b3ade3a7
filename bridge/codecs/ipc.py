"""Arrow IPC streams: tables to bytes and back, and what the bytes of a peer may not hold.

Arrow's own writer and reader do the work. Its writer hands over the memory of the columns as it is, so
a stream is a list of pieces that were not copied, with a little framing between them.

Its reader checks that a stream is well formed, and `layout.validate` that the data is. What it obeys all
the same is refused here before it starts: compressed bodies, delta dictionaries, views of more buffers
than there are and buffers that share bytes, because a few bytes of them claim any amount of memory;
big-endian data, because it is rewritten before it is validated; and every extension type that is not Arrow's
own (`EXTENSIONS`), because reading one runs the code that somebody registered under its name. The
end-of-stream mark must stand at the end.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from bridge.codecs import ALIGNMENT, COPY_BELOW, Buffer
from bridge.codecs.expansion import entries
from bridge.codecs.flatbuffers import field_at, follow, read_number
from bridge.codecs.layout import all_fields, cleaned, validate
from bridge.codecs.zones import is_arrow_zone
from bridge.errors import EncodeError, WireError

__all__ = ["EXTENSIONS", "EXTENSION_NAME", "UNMADE", "read_stream", "write_stream"]

# Extension types that are part of Arrow's own format: Arrow alone parses their parameters.
EXTENSIONS = frozenset(
    {"arrow.bool8", "arrow.fixed_shape_tensor", "arrow.json", "arrow.opaque", "arrow.uuid"}
)

# Types that Arrow has, but pyarrow has no class of array for: intervals in months, or in days and milliseconds.
UNMADE = frozenset({pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME})

# The key in a field's metadata by which Arrow finds the class of an extension type.
EXTENSION_NAME = b"ARROW:extension:name"

# Writes smaller than this are joined to one piece: a table of 10,000 short chunks must not become
# 10,000 frames. Copying so little costs less than a frame does.
JOIN_BELOW = 64 * 1024

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"

# Chunks of more than 2**31 - 1 rows are ordinary here.
WRITE_OPTIONS = pa.ipc.IpcWriteOptions(allow_64bit=True)


def write_stream(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> list[Buffer]:
    """Return record batches as one Arrow IPC stream.

    Returns
    -------
    list of memoryview
        The stream in pieces. Arrow buffers of at least `JOIN_BELOW` bytes are views of the columns'
        own memory. A slice sends no more than it shows, except of a dictionary, and of views inside
        other types.

    Raises
    ------
    EncodeError
        If Arrow cannot write them.
    """
    sink = _Pieces()
    try:
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema, options=WRITE_OPTIONS) as writer:
            for batch in batches:
                writer.write_batch(_compact(cleaned(batch)))
    except pa.ArrowException as exc:
        raise EncodeError(f"Arrow cannot write this table: {exc}") from exc
    return [memoryview(piece) for piece in sink.pieces if len(piece)]


def read_stream(pieces: list[Buffer], count: Callable[[str, int], None]) -> pa.Table:
    """Read an Arrow IPC stream that a peer sent in pieces.

    Parameters
    ----------
    count
        Is told what takes time to check beyond the bytes, before it is checked: see `weight.LIMITS`.

    Returns
    -------
    pyarrow.Table
        Validated in full; a chunk for each record batch. A view of the pieces where those are large
        and adjacent in memory, else of one copy of them.

    Raises
    ------
    WireError
        If the bytes are not one whole stream, or break a rule of Arrow's or of this module.
    """
    stream = _joined(pieces)
    try:
        _check_messages(stream)
        with pa.ipc.open_stream(stream) as reader:
            table = pa.Table.from_batches(list(reader), reader.schema)
        for column in all_fields(table.schema):
            _check_field(column)
        table.validate()
        count("entries", entries(table))
        validate(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error) as exc:
        raise WireError(f"not a valid Arrow stream: {exc}") from exc
    return table


# ── writing ───────────────────────────────────────────────────────────────────────────────────────


class _Pieces(io.RawIOBase):
    """A file that keeps what is written: long writes as they are, runs of short ones joined."""

    def __init__(self) -> None:
        self._run = bytearray()
        self.pieces: list[bytearray | memoryview] = [self._run]

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if view.nbytes < JOIN_BELOW:
            self._run += view
        else:
            self._run = bytearray()
            self.pieces += [view, self._run]
        return view.nbytes


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rewrite columns of views that hold more than they show: Arrow writes all that they hold."""
    for number, column in enumerate(batch.columns):
        packed = _PACKED.get(column.type)
        if packed is not None and _is_loose(column):
            column = column.cast(packed).cast(column.type)
            batch = batch.set_column(number, batch.schema.field(number), column)
    return batch


_PACKED = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def _is_loose(column: pa.Array) -> bool:
    _, views, *data = column.buffers()
    held = sum(buffer.size for buffer in data)
    if held < JOIN_BELOW:
        return False
    # A view is 16 bytes: its length, then at most 12 bytes of text, or where the text is.
    lengths = np.frombuffer(views, "<i4")[::4][column.offset : column.offset + len(column)]
    shown = int(lengths[lengths > 12].sum(dtype=np.int64))
    return 2 * shown < held and shown < 2**31


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def _joined(pieces: list[Buffer]) -> pa.Buffer:
    """Return the bytes of all pieces as one buffer: a view where they are adjacent and many."""
    arrays = [np.frombuffer(piece, np.uint8) for piece in pieces if piece.nbytes]
    starts = [array.__array_interface__["data"][0] for array in arrays]
    ends = [start + array.nbytes for start, array in zip(starts, arrays, strict=True)]
    nbytes = sum(array.nbytes for array in arrays)
    if nbytes >= COPY_BELOW and starts[1:] == ends[:-1] and starts[0] % ALIGNMENT == 0:
        return pa.foreign_buffer(starts[0], nbytes, base=arrays)
    return pa.py_buffer(np.concatenate([np.empty(0, np.uint8), *arrays]))


def _check_messages(stream: pa.Buffer) -> None:
    """Refuse what Arrow's reader would obey, before it allocates: see the module's docstring."""
    source = pa.BufferReader(stream)
    end = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        start, end = end, source.tell()
        if (end - (message.body.size if message.body else 0)) % ALIGNMENT:
            raise WireError(f"the body of the message at byte {start} is not aligned to {ALIGNMENT}")
        metadata = bytes(message.metadata)
        header = follow(metadata, read_number("<I", metadata, 0), _MESSAGE_HEADER)
        if message.type == "schema" and start == 0:
            _check_schema(metadata, header, stream[:end])
        elif message.type == "record batch" and start:
            _check_batch(metadata, header, message.body.size)
        elif message.type == "dictionary" and start:
            _check_dictionary(metadata, header, message.body.size)
        else:
            raise WireError(f"a message of type {message.type} stands at byte {start}")
    if bytes(stream[end:]) != END_OF_STREAM:
        raise WireError(f"{stream.size - end} bytes follow the last message; expected the end mark")


def _check_schema(metadata: bytes, header: int, message: pa.Buffer) -> None:
    endianness = field_at(metadata, header, _SCHEMA_ENDIANNESS)
    if endianness is not None and read_number("<h", metadata, endianness) != 0:
        raise WireError("the Arrow stream is big-endian; expected little-endian")
    if EXTENSION_NAME not in metadata:
        return
    # Arrow makes extension types by this key as soon as it reads a schema, so it reads a copy in
    # which the key is another.
    disguised = EXTENSION_NAME.replace(b":", b"_")
    schema = pa.ipc.read_schema(pa.py_buffer(bytes(message).replace(EXTENSION_NAME, disguised)))
    for column in all_fields(schema):
        name = (column.metadata or {}).get(disguised)
        if name is not None and name.decode("utf-8", "replace") not in EXTENSIONS:
            raise WireError(
                f"the extension type {name[:40]!r} is not one of {', '.join(sorted(EXTENSIONS))}",
                code="unsupported",
            )


def _check_dictionary(metadata: bytes, header: int, nbytes: int) -> None:
    is_delta = field_at(metadata, header, _DICTIONARY_IS_DELTA)
    if is_delta is not None and read_number("<B", metadata, is_delta):
        raise WireError("the Arrow stream has a delta dictionary; send a replacement")
    _check_batch(metadata, follow(metadata, header, _DICTIONARY_BATCH), nbytes)


def _check_batch(metadata: bytes, header: int, nbytes: int) -> None:
    if field_at(metadata, header, _BATCH_COMPRESSION) is not None:
        raise WireError("the Arrow stream is compressed; send it without compression")
    vector = follow(metadata, header, _BATCH_BUFFERS)
    buffers = read_number("<I", metadata, vector)
    _check_places(metadata, vector + 4, buffers, nbytes)
    if field_at(metadata, header, _BATCH_VARIADIC_COUNTS) is None:
        return
    counts = follow(metadata, header, _BATCH_VARIADIC_COUNTS)
    total = sum(
        abs(read_number("<q", metadata, counts + 4 + 8 * i))
        for i in range(read_number("<I", metadata, counts))
    )
    if total > buffers:
        raise WireError(f"the Arrow stream claims {total} buffers of views, but has {buffers}")


def _check_places(metadata: bytes, at: int, buffers: int, nbytes: int) -> None:
    """Refuse buffers of a body of so many bytes that do not stand in it one after the other."""
    if at + 16 * buffers > len(metadata):
        raise WireError("the Arrow metadata points outside itself")
    end = 0
    for start, length in struct.iter_unpack("<qq", metadata[at : at + 16 * buffers]):
        if length:
            if not 0 < length <= nbytes or not end <= start <= nbytes - length:
                raise WireError(
                    f"the Arrow stream has a buffer of {length} bytes at byte {start} of a body of {nbytes}, "
                    f"after one that ends at byte {end}; expected buffers that share no bytes, in order"
                )
            end = start + length


def _check_field(column: pa.Field) -> None:
    # Arrow does not ask whether these are UTF-8; Python does, when it is asked for them.
    _, zone = column.name, getattr(column.type, "tz", None)
    # pandas hands the name to ZoneInfo, which looks for a file of it.
    if zone is not None and not is_arrow_zone(zone):
        raise WireError(
            f"{column.name!r} has the time zone {zone[:40]!r}, which is unknown here", code="unsupported"
        )
    if column.type.id in UNMADE:
        raise WireError(
            f"{column.name!r} is of the type {column.type}, of which pyarrow makes no arrays",
            code="unsupported",
        )
    # An older pyarrow does not know all of Arrow's own extension types, and keeps them as metadata.
    if EXTENSION_NAME in (column.metadata or ()):
        raise WireError(
            f"{column.name!r} has an extension type that pyarrow {pa.__version__} does not know",
            code="unsupported",
        )


# ── the metadata ────────────────────────────────────────────────────────────────────────────────────

# Numbers of fields in the tables of Arrow's Message.fbs and Schema.fbs.
_MESSAGE_HEADER = 2
_SCHEMA_ENDIANNESS = 0
_BATCH_BUFFERS = 2
_BATCH_COMPRESSION = 3
_BATCH_VARIADIC_COUNTS = 4
_DICTIONARY_BATCH = 1
_DICTIONARY_IS_DELTA = 2
