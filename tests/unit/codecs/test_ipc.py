"""What a peer's Arrow IPC stream may not hold is refused before Arrow obeys it."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs
from bridge.codecs import flatbuffers, ipc
from bridge.errors import EncodeError, WireError
from tests.samples import tables

EXTENSION_NAME = "ARROW:extension:name"


def stream_of(table: pa.Table, **options: Any) -> bytes:
    """Return the stream that Arrow itself writes, without any of our rules."""
    sink = io.BytesIO()
    write_options = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, table.schema, options=write_options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def decode_stream(stream: bytes | bytearray, rows: int, kind: str = "table") -> Any:
    return codecs.decode({"kind": kind, "rows": rows, "streams": [1]}, [stream])


@contextmanager
def refused(match: str | None = None) -> Iterator[None]:
    before = pa.total_allocated_bytes()
    with pytest.raises(WireError, match=match):
        yield
    assert pa.total_allocated_bytes() - before < 1_000_000


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_bodies_are_refused_before_they_are_opened(codec: str) -> None:
    stream = bytearray(stream_of(pa.table({"x": np.zeros(10_000)}), compression=codec))
    with refused("compress"):
        decode_stream(stream, 10_000)
    # The claimed size of the first buffer: 80,000 bytes become 2**50.
    at = stream.index(struct.pack("<q", 80_000))
    stream[at : at + 8] = struct.pack("<q", 2**50)
    with refused("compress"):
        decode_stream(stream, 10_000)


def test_compressed_dictionaries_are_refused() -> None:
    column = pa.array(["a"] * 100).dictionary_encode()
    with refused("compress"):
        decode_stream(stream_of(pa.table({"x": column}), compression="zstd"), 100)


def test_delta_dictionaries_are_refused() -> None:
    chunks = [tables._codes(["a"], [0]), tables._codes(["a", "b"], [1])]
    table = pa.table({"x": pa.chunked_array(chunks)})
    with refused("delta"):
        decode_stream(stream_of(table, emit_dictionary_deltas=True), 2)


def test_views_of_more_buffers_than_there_are_are_refused() -> None:
    stream = bytearray(stream_of(pa.table({"x": pa.array(["a" * 13] * 3, pa.string_view())})))
    [message] = [m for m in pa.ipc.MessageReader.open_stream(bytes(stream)) if m.type == "record batch"]
    metadata = bytes(message.metadata)
    header = flatbuffers.follow(metadata, struct.unpack_from("<I", metadata)[0], 2)
    counts = flatbuffers.follow(metadata, header, ipc._BATCH_VARIADIC_COUNTS) + 4
    assert struct.unpack_from("<q", metadata, counts) == (1,)
    at = stream.index(metadata) + counts
    for claim in (2**31 - 1, 2**62, -1, -(2**63), 4):
        stream[at : at + 8] = struct.pack("<q", claim)
        with refused():
            decode_stream(stream, 3)


def test_buffers_that_share_bytes_are_refused() -> None:
    table = pa.table({"x": np.arange(1000), "y": np.arange(1000)})
    stream = bytearray(stream_of(table))
    [message] = [m for m in pa.ipc.MessageReader.open_stream(bytes(stream)) if m.type == "record batch"]
    metadata = bytes(message.metadata)
    header = flatbuffers.follow(metadata, struct.unpack_from("<I", metadata)[0], 2)
    places = flatbuffers.follow(metadata, header, ipc._BATCH_BUFFERS) + 4
    assert struct.unpack_from("<8q", metadata, places) == (0, 0, 0, 8000, 8000, 0, 8000, 8000)
    at = stream.index(metadata) + places + 48
    for start, length in [(0, 8000), (7992, 8000), (8008, 8000), (-8, 8000), (8000, -8), (2**62, 2**62)]:
        stream[at : at + 16] = struct.pack("<qq", start, length)
        with refused("share no bytes"):
            decode_stream(stream, 1000)
    stream[at : at + 16] = struct.pack("<qq", 8000, 8000)
    assert decode_stream(stream, 1000) == table
    at = stream.index(metadata) + places - 4
    stream[at : at + 4] = struct.pack("<I", 2**32 - 1)
    with refused():
        decode_stream(stream, 1000)


@pytest.mark.parametrize("name", ["month_interval", "day_time_interval"])
def test_types_of_which_pyarrow_makes_no_arrays_are_refused_at_both_ends(name: str) -> None:
    table = tables.of_intervals(name)
    with refused("pyarrow makes no arrays"):
        decode_stream(stream_of(table), 1)
    with pytest.raises(EncodeError, match="pyarrow makes no arrays"):
        codecs.encode(table)


def test_streams_of_other_writers_are_read() -> None:
    texts = ["a text of more than twelve bytes", None, "b"]
    frame = pl.DataFrame({"a": texts * 9, "b": [[1, 2], [], None] * 9, "c": texts * 9}).with_columns(
        pl.col("c").cast(pl.Categorical)
    )
    sink = io.BytesIO()
    frame.write_ipc_stream(sink)
    assert pl.DataFrame(decode_stream(sink.getvalue(), len(frame))).equals(frame)


@pytest.fixture
def registered() -> Iterator[None]:
    pa.register_extension_type(tables.Opened())
    yield
    pa.unregister_extension_type("tests.opened")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("place", ["column", "list", "struct", "dictionary"])
def test_extension_types_of_a_peer_are_not_made(place: str) -> None:
    opened = pa.ExtensionArray.from_storage(tables.Opened(), pa.array([1]))
    column = {
        "column": lambda: opened,
        "list": lambda: pa.ListArray.from_arrays([0, 1], opened),
        "struct": lambda: pa.StructArray.from_arrays([opened], ["x"]),
        "dictionary": lambda: pa.DictionaryArray.from_arrays(pa.array([0]), opened),
    }[place]()
    stream = stream_of(pa.table({"x": column}))
    assert b"tests.opened" in stream
    made = tables.Opened.made
    with pytest.raises(WireError, match=r"tests\.opened") as caught:
        decode_stream(stream, 1)
    assert caught.value.code == "unsupported"
    assert tables.Opened.made == made


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "names", [["arrow.uuid", "tests.opened"], ["tests.opened", "arrow.uuid"]], ids=str
)
def test_extension_types_are_not_made_from_repeated_keys(names: list[str]) -> None:
    metadata = pa.KeyValueMetadata([(EXTENSION_NAME, name) for name in names])
    field = pa.field("x", pa.binary(16), metadata=metadata)
    stream = stream_of(pa.table({"x": [b"0" * 16]}, schema=pa.schema([field])))
    assert stream.count(EXTENSION_NAME.encode()) == 2
    made = tables.Opened.made
    with pytest.raises(WireError):
        decode_stream(stream, 1)
    assert tables.Opened.made == made


def test_extension_types_need_the_storage_that_arrow_gives_them() -> None:
    field = pa.field("x", pa.int8(), metadata={EXTENSION_NAME: "arrow.uuid"})
    stream = stream_of(pa.table({"x": [1]}, schema=pa.schema([field])))
    with refused("storage"):
        decode_stream(stream, 1)


def test_big_endian_streams_are_refused() -> None:
    stream = bytearray(stream_of(pa.table({"x": [1]})))
    metadata = bytes(next(iter(pa.ipc.MessageReader.open_stream(bytes(stream)))).metadata)
    header = flatbuffers.follow(metadata, struct.unpack_from("<I", metadata)[0], 2)
    # The field is left out, for it is zero. Its place is given as that of another, which is not.
    vtable = header - struct.unpack_from("<i", metadata, header)[0]
    at = stream.index(metadata) + vtable + 4
    stream[at : at + 2] = metadata[vtable + 6 : vtable + 8]
    with refused("big-endian"):
        decode_stream(stream, 1)


@pytest.mark.parametrize("text", [b"NAMES", b"Japan", b"CHILD"])
def test_names_that_are_not_utf8_are_refused(text: bytes) -> None:
    schema = pa.schema([("NAMES", pa.timestamp("s", "Japan")), ("s", pa.struct([("CHILD", pa.int8())]))])
    stream = stream_of(schema.empty_table())
    assert text in stream
    with refused("utf-8"):
        decode_stream(stream.replace(text, b"\xff\xfe\xfd\xfc\xfb"), 0)


def test_texts_that_are_not_utf8_are_refused() -> None:
    stream = stream_of(pa.table({"x": ["value"]}))
    with refused("UTF8"):
        decode_stream(stream.replace(b"value", b"\xff\xfe\xfd\xfc\xfb"), 1)


def test_dictionary_indices_are_checked() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 5]), pa.array(["a"]), safe=False)
    with refused("out of bounds"):
        decode_stream(stream_of(pa.table({"x": column})), 2)


def test_offsets_are_checked() -> None:
    stream = bytearray(stream_of(pa.table({"x": ["ab", "cd"]})))
    at = stream.index(struct.pack("<3i", 0, 2, 4))
    for offsets in [(0, 2, 99), (0, -2, 4), (4, 2, 0), (0, 2**31 - 1, 4)]:
        stream[at : at + 12] = struct.pack("<3i", *offsets)
        with refused():
            decode_stream(stream, 2)


def test_bodies_out_of_line_are_refused() -> None:
    stream = stream_of(pa.table({"x": [1, 2]}))
    [length] = struct.unpack_from("<i", stream, 4)
    shifted = (
        stream[:4]
        + struct.pack("<i", length + 4)
        + stream[8 : 8 + length]
        + bytes(4)
        + stream[8 + length :]
    )
    assert pa.ipc.open_stream(shifted).read_all() == pa.table({"x": [1, 2]})
    with refused("aligned"):
        decode_stream(shifted, 2)


NOT_ONE_WHOLE_STREAM: dict[str, Callable[[bytes], bytes]] = {
    "without its end": lambda stream: stream[: -len(ipc.END_OF_STREAM)],
    "with a byte too many": lambda stream: stream + b"\0",
    "with two ends": lambda stream: stream + ipc.END_OF_STREAM,
    "twice": lambda stream: stream + stream,
    "cut in its data": lambda stream: stream[:-100],
    "cut in its schema": lambda stream: stream[:40],
    "without its start": lambda stream: stream[8:],
    "nothing": lambda stream: b"",
    "an end alone": lambda stream: ipc.END_OF_STREAM,
    "an Arrow file": lambda stream: b"ARROW1\0\0" + stream,
    "JSON": lambda stream: b'{"bridge": 1}',
}


@pytest.mark.parametrize("name", NOT_ONE_WHOLE_STREAM)
def test_what_is_not_one_whole_stream_is_refused(name: str) -> None:
    stream = stream_of(pa.table({"x": range(100)}))
    with refused():
        decode_stream(NOT_ONE_WHOLE_STREAM[name](stream), 100)


SMALL = [
    name for name in tables.SAMPLES if name not in {"large", "slice", "many columns", "many chunks"}
]


@given(st.sampled_from(SMALL), st.data())
def test_any_bytes_are_a_table_or_a_wire_error(name: str, data: st.DataObject) -> None:
    descriptor, buffers = codecs.encode(tables.SAMPLES[name]())
    received = [bytearray(buffer) for buffer in buffers]
    target = data.draw(st.sampled_from(received))
    at = data.draw(st.integers(0, len(target) - 1))
    target[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    try:
        result = codecs.decode(descriptor, received)
    except WireError:
        return
    result.validate(full=True)


def test_thousands_of_flipped_bits_are_tables_or_wire_errors() -> None:
    rng = random.Random(20)
    sent = [codecs.encode(tables.SAMPLES[name]()) for name in SMALL]
    for _ in range(5_000):
        descriptor, buffers = rng.choice(sent)
        received = [bytearray(buffer) for buffer in buffers]
        for _ in range(rng.choice([1, 1, 2, 3])):
            target = rng.choice(received)
            # More of them at the end, where the data is: most others break the metadata's own checks.
            at = len(target) - 1 - int(len(target) * rng.random() ** 2)
            target[at] ^= 1 << rng.randrange(8)
        try:
            result = codecs.decode(descriptor, received)
        except WireError:
            continue
        result.validate(full=True)
