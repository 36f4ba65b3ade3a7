"""Arrow objects travel exactly, or are refused before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs
from bridge.codecs import table as table_codec
from bridge.codecs.ipc import JOIN_BELOW
from bridge.errors import EncodeError, WireError
from tests.check import check_codec, check_refused
from tests.samples import tables


@pytest.mark.parametrize("name", tables.SAMPLES)
def test_comes_back_identical(name: str) -> None:
    check_codec(tables.SAMPLES[name]())


@pytest.mark.parametrize("name", tables.REFUSED)
def test_is_refused_with_its_alternative(name: str) -> None:
    factory, word = tables.REFUSED[name]
    check_refused(factory(), word)


# ── Every type inside every other ─────────────────────────────────────────────────────────────────

# Arrays of 4, and ways to put an array of 4 into another of 4.
INNER: dict[str, Callable[[], pa.Array]] = {
    "int": lambda: pa.array([1, None, 2, 3]),
    "bool": lambda: pa.array([True, None, False, True]),
    "null": lambda: pa.nulls(4),
    "view": lambda: pa.array(["more than twelve bytes", "b", None, "c" * 13], pa.string_view()),
    "list": lambda: pa.array([[1], None, [], [2, 3]]),
    "list view": lambda: pa.array([[1], None, [], [2, 3]], pa.list_view(pa.int64())),
    "struct": lambda: pa.array([{"a": 1}, None, {"a": None}, {"a": 2}]),
    "runs": lambda: pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], pa.int32()), ["x", None]),
    "dictionary": lambda: pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "extension": lambda: pa.ExtensionArray.from_storage(
        pa.bool8(), pa.array([0, 1, None, 1], pa.int8())
    ),
}
TYPE_IDS = pa.array([0, 0, 0, 0], pa.int8())
WRAPPERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "list": lambda a: pa.ListArray.from_arrays([0, 1, 1, 3, 4], a),
    "list view": lambda a: pa.ListViewArray.from_arrays([2, 0, 1, 3], [1, 2, 1, 0], a),
    "fixed-size list": lambda a: pa.FixedSizeListArray.from_arrays(pa.concat_arrays([a, a]), 2),
    "map": lambda a: pa.MapArray.from_arrays([0, 1, 2, 3, 4], pa.array(["k"] * 4), a),
    "struct": lambda a: pa.StructArray.from_arrays([a], ["f"], mask=pa.array([False, True] * 2)),
    "sparse union": lambda a: pa.UnionArray.from_sparse(TYPE_IDS, [a]),
    "dense union": lambda a: pa.UnionArray.from_dense(TYPE_IDS, pa.array([0, 0, 2, 3], pa.int32()), [a]),
    "runs": lambda a: pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3, 4], pa.int32()), a),
    "dictionary": lambda a: pa.DictionaryArray.from_arrays(pa.array([3, 0, None, 1]), a),
    "opaque": lambda a: pa.ExtensionArray.from_storage(pa.opaque(a.type, "t", "v"), a),
}


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", INNER)
def test_every_type_in_every_other_is_identical_or_refused(inner: str, outer: str) -> None:
    for middle in (*WRAPPERS.values(), lambda a: a):
        try:
            array = WRAPPERS[outer](middle(INNER[inner]()))
        except pa.ArrowException:
            continue  # Arrow does not build it
        chunks = pa.chunked_array([array, array.slice(1, 2), array.slice(4)])
        for obj in (array, array.slice(1, 2), array.slice(3), chunks, pa.table({"x": chunks})):
            if is_kept(obj):
                check_codec(obj)
            else:
                assert dictionaries_and_extensions(array.type) > 1


def is_kept(obj: Any) -> bool:
    try:
        codecs.encode(obj)
    except EncodeError as exc:
        return "does not keep" not in str(exc)
    return True


def dictionaries_and_extensions(kind: pa.DataType) -> int:
    return str(kind).count("dictionary<") + str(kind).count("extension<")


# ── What is taken as a table ──────────────────────────────────────────────────────────────────────


def test_polars_frames_are_taken_as_tables() -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1.5], []]})
    result = codecs.decode(*codecs.encode(frame))
    assert tables.difference(pa.table(frame), result) is None
    assert pl.DataFrame(result).equals(frame)


def test_readers_of_batches_are_taken_as_tables() -> None:
    table = tables.SAMPLES["many chunks"]()
    result = codecs.decode(*codecs.encode(table.to_reader()))
    assert tables.difference(table, result) is None


def test_anything_with_an_arrow_stream_is_taken_as_a_table() -> None:
    class Producer:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.table({"a": [1, 2]}).__arrow_c_stream__(requested_schema)

    assert codecs.decode(*codecs.encode(Producer())) == pa.table({"a": [1, 2]})


# ── Copies ────────────────────────────────────────────────────────────────────────────────────────


def address(view: Any) -> int:
    start: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return start


def large_buffers(table: pa.Table) -> list[pa.Buffer]:
    return [
        buffer
        for column in table.columns
        for chunk in column.chunks
        for buffer in chunk.buffers()
        if buffer is not None and buffer.size >= JOIN_BELOW
    ]


def received_in_one_piece(buffers: Sequence[Any], *, offset: int = 0) -> tuple[Any, list[Any]]:
    """Return memory, and the buffers in it, end to end."""
    memory = np.empty(offset + sum(map(len, buffers)), np.uint8)
    views, at = [], offset
    for buffer in buffers:
        memory[at : at + len(buffer)] = np.frombuffer(buffer, np.uint8)
        views.append(memory[at : at + len(buffer)].data)
        at += len(buffer)
    return memory, views


def is_inside(buffer: pa.Buffer, memory: np.ndarray[Any, Any]) -> bool:
    start = address(memory)
    return bool(start <= buffer.address and buffer.address + buffer.size <= start + memory.nbytes)


def test_large_buffers_are_sent_from_their_own_memory() -> None:
    table = tables.SAMPLES["large"]()
    _, buffers = codecs.encode(table)
    sent = {address(buffer) for buffer in buffers}
    assert {buffer.address for buffer in large_buffers(table)} <= sent


def test_a_slice_of_numbers_is_sent_from_its_parents_memory() -> None:
    table = tables.SAMPLES["large"]().select(["f"])
    _, buffers = codecs.encode(table.slice(10, 20_000))
    assert table["f"].chunk(0).buffers()[1].address + 80 in {address(buffer) for buffer in buffers}


def _large_in_different_chunks() -> pa.Table:
    values = np.arange(60_001.0)
    texts = pa.array([str(value) for value in values])
    return pa.table({"a": pa.chunked_array([values[:9], values[9:]]), "b": texts, "c": values})


@pytest.mark.parametrize("factory", [tables.SAMPLES["large"], _large_in_different_chunks])
def test_what_arrives_in_one_piece_is_not_copied(factory: Callable[[], pa.Table]) -> None:
    table = factory()
    descriptor, buffers = codecs.encode(table)
    memory, views = received_in_one_piece(buffers)
    result = codecs.decode(descriptor, views)
    assert tables.difference(table, result) is None
    found = large_buffers(result)
    assert len(found) == len(large_buffers(table))
    assert all(is_inside(buffer, memory) for buffer in found)


def test_memory_in_use_is_kept_alive() -> None:
    descriptor, buffers = codecs.encode(tables.SAMPLES["large"]())
    result = codecs.decode(descriptor, received_in_one_piece(buffers)[1])
    assert tables.difference(tables.SAMPLES["large"](), result) is None


def test_what_arrives_unaligned_is_aligned() -> None:
    table = tables.SAMPLES["large"]()
    descriptor, buffers = codecs.encode(table)
    memory, views = received_in_one_piece(buffers, offset=3)
    result = codecs.decode(descriptor, views)
    assert tables.difference(table, result) is None
    assert all(buffer.address % codecs.ALIGNMENT == 0 for buffer in large_buffers(result))
    assert not any(is_inside(buffer, memory) for buffer in large_buffers(result))


def test_a_small_table_does_not_keep_a_large_message_alive() -> None:
    table = pa.table({"x": [1, 2, 3]})
    descriptor, buffers = codecs.encode(table)
    memory, views = received_in_one_piece(buffers)
    result = codecs.decode(descriptor, views)
    assert not is_inside(result["x"].chunk(0).buffers()[1], memory)


def test_many_small_chunks_are_few_buffers() -> None:
    table = pa.table({"x": pa.chunked_array([[i] for i in range(10_000)])})
    _, buffers = codecs.encode(table)
    assert len(buffers) == 1


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.string_view(), pa.binary_view()], ids=str)
def test_a_slice_does_not_send_its_parent(kind: pa.DataType) -> None:
    parent = pa.table(
        {"x": pa.array([f"a text of more than 12 bytes {i}" for i in range(50_000)], kind)}
    )
    _, buffers = codecs.encode(parent.slice(100, 10))
    assert sum(map(len, buffers)) < 2_000


def test_views_are_rewritten_only_where_much_is_saved() -> None:
    table = pa.table(
        {"x": pa.array([f"a text of more than 12 bytes {i}" for i in range(50_000)], pa.string_view())}
    )
    data = table["x"].chunk(0).buffers()[2:]
    _, buffers = codecs.encode(table)
    assert sum(map(len, buffers)) > sum(buffer.size for buffer in data)
    _, buffers = codecs.encode(table.slice(0, 40_000))
    assert sum(map(len, buffers)) > sum(buffer.size for buffer in data)


# ── The form on the wire ──────────────────────────────────────────────────────────────────────────


def test_the_buffers_are_a_standard_stream() -> None:
    table = tables.SAMPLES["large"]()
    descriptor, buffers = codecs.encode(table)
    assert descriptor == {"kind": "table", "rows": 50_000, "streams": [len(buffers)]}
    assert pa.ipc.open_stream(b"".join(buffers)).read_all() == table


def test_columns_with_different_chunks_are_in_streams_of_their_own() -> None:
    table = tables.SAMPLES["columns with different chunks"]()
    descriptor, buffers = codecs.encode(table)
    assert descriptor["streams"] == [1, 1, 1]
    assert np.frombuffer(buffers[0], "<i8").tolist() == [0, 1, 0, 2]
    assert pa.ipc.open_stream(buffers[1]).read_all().column_names == ["a", "c"]


def as_one_stream(obj: Any) -> list[memoryview]:
    return list(table_codec.encode_as_one_stream(obj).buffers)


@pytest.mark.parametrize(
    "name", ["large", "columns with different chunks", "no columns, 1000 rows", "slice"]
)
def test_encode_as_one_stream_is_one_standard_stream(name: str) -> None:
    table = tables.SAMPLES[name]()
    stream = b"".join(as_one_stream(table))
    result = pa.ipc.open_stream(stream).read_all()
    assert result.equals(table, check_metadata=True)
    assert result.num_rows == table.num_rows


def test_encode_as_one_stream_takes_what_encode_takes() -> None:
    for obj in (pa.record_batch({"a": [1]}), pl.DataFrame({"a": [1]})):
        assert pa.ipc.open_stream(b"".join(as_one_stream(obj))).read_all()["a"].to_pylist() == [1]
    with pytest.raises(EncodeError, match="extension"):
        as_one_stream(tables.REFUSED["extension type of somebody's own"][0]())


def test_encode_as_one_stream_sends_large_buffers_from_their_own_memory() -> None:
    table = tables.SAMPLES["large"]()
    sent = {address(buffer) for buffer in as_one_stream(table)}
    assert {buffer.address for buffer in large_buffers(table)} <= sent


# ── What a peer may not send ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rows": 2}, "3 rows"),
        ({"rows": -1}, "rows"),
        ({"rows": 2**63}, "rows"),
        ({"rows": True}, "rows"),
        ({"rows": 3.0}, "rows"),
        ({"rows": None}, "rows"),
        ({"streams": []}, "streams"),
        ({"streams": 1}, "streams"),
        ({"streams": [True]}, "streams"),
        ({"streams": [1.0]}, "streams"),
        ({"streams": [-1]}, "buffers"),
        ({"streams": [2]}, "buffers"),
        ({"streams": [2**62]}, "buffers"),
        ({"streams": [0]}, "end mark"),
        ({"streams": [1, 1]}, "buffers"),
        ({"kind": "arrow-array"}, "columns"),
        ({"kind": "arrow-chunked"}, "columns"),
    ],
)
def test_descriptors_are_checked(change: dict[str, Any], match: str) -> None:
    descriptor, buffers = codecs.encode(pa.table({"x": [1, 2, 3], "y": [1, 2, 3]}))
    with pytest.raises(WireError, match=match):
        codecs.decode(descriptor | change, buffers)
    for key in change:
        with pytest.raises(WireError, match=key):
            codecs.decode({k: v for k, v in descriptor.items() if k != key}, buffers)


@pytest.mark.parametrize("kind", ["batch", "arrow-array"])
@pytest.mark.parametrize("name", ["many chunks", "no chunks"])
def test_batches_and_arrays_are_one_chunk(kind: str, name: str) -> None:
    descriptor, buffers = codecs.encode(tables.SAMPLES[name]())
    with pytest.raises(WireError, match="chunk"):
        codecs.decode(descriptor | {"kind": kind}, buffers)


@pytest.mark.parametrize(
    "numbers",
    [[0, 1, 0], [0, 1, 0, 2, 0], [0, 1, 0, 3], [0, 1, 0, -1], [0, 0, 0, 2], [2**31 - 1] * 4, []],
    ids=str,
)
def test_each_column_is_in_one_stream(numbers: list[int]) -> None:
    descriptor, [_, *streams] = codecs.encode(tables.SAMPLES["columns with different chunks"]())
    with pytest.raises(WireError, match="stream"):
        codecs.decode(descriptor, [np.array(numbers, "<i8").tobytes(), *streams])
    with pytest.raises(WireError, match="stream"):
        codecs.decode(descriptor, [b"\0\0\0", *streams])


def test_streams_of_different_length_are_refused() -> None:
    streams = [b"".join(as_one_stream(pa.table({"x": [0] * n}))) for n in (2, 3)]
    with pytest.raises(WireError, match="rows"):
        codecs.decode(
            {"kind": "table", "rows": 2, "streams": [1, 1]},
            [np.array([0, 1], "<i8").tobytes(), *streams],
        )


def test_rows_without_memory_cost_none() -> None:
    table = pa.table({"x": pa.Array.from_buffers(pa.null(), 2**26, [None])})
    before = pa.total_allocated_bytes()
    assert codecs.decode(*codecs.encode(table)).num_rows == 2**26
    assert codecs.decode(*codecs.encode(table.select([]))).num_rows == 2**26
    assert pa.total_allocated_bytes() - before < 1_000_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["kind", "rows", "streams"]), JSON | st.lists(st.integers(-1, 3), max_size=3))
def test_any_descriptor_is_a_table_or_a_wire_error(key: str, value: Any) -> None:
    descriptor, buffers = codecs.encode(tables.SAMPLES["columns with different chunks"]())
    try:
        result = codecs.decode(descriptor | {key: value}, buffers)
    except WireError:
        return
    check_codec(result)


def test_a_time_zone_that_python_does_not_know_is_refused_on_both_sides() -> None:
    table = pa.table({"t": pa.array([0], pa.timestamp("s", tz="../../etc/passwd"))})
    check_refused(table, "time zone", "t")
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    pieces = [stream.getvalue().to_pybytes()]
    with pytest.raises(WireError, match="time zone"):
        codecs.decode({"kind": "table", "rows": 1, "streams": [1]}, pieces)
