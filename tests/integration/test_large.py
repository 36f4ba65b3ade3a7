"""Larger than one message: transfers in windows, reading in place, and in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bridge
from tests.check import difference

MIB = 1024 * 1024
ROWS, COLUMNS = 1024 * 1024, 5
# 40 MiB, no two items alike, so that a window in the wrong place shows.
ARRAY = np.arange(ROWS * COLUMNS, dtype=np.float64).reshape(ROWS, COLUMNS)
FRAME = pd.DataFrame(
    {"x": ARRAY[:, 0], "y": ARRAY[:, 1], "t": ARRAY[:, 2].astype("M8[s]")}
    | {"n": ARRAY[:, 3].astype(np.int32), "s": pd.Series(["a", "bb", None, "Größe"] * (ROWS // 4))}
)
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)


@pytest.fixture(scope="module")
def server():
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server.update({"array": ARRAY, "f_order": np.asfortranarray(ARRAY), "frame": FRAME})
        server.update({"table": TABLE, "small": np.arange(5), "rows": ARRAY[:1000]})
        server["tree"] = {"a": ARRAY[: ROWS // 2], "b": [ARRAY[ROWS // 2 :], "the end"]}

        @server.query
        def whole(part: str):
            return {"array": ARRAY, "frame": FRAME, "table": TABLE}[part]

        yield server


@pytest.fixture
def client(server):
    with bridge.connect(server.url) as client:
        yield client


@pytest.mark.parametrize(("name", "expected"), [("array", ARRAY), ("frame", FRAME), ("table", TABLE)])
def test_what_is_larger_than_a_window_comes_identically(client, name, expected):
    for result in (client.read(name), client[name].read(), client.call("whole", part=name)):
        assert type(result) is type(expected)
        assert np.array_equal(result, expected) if name == "array" else result.equals(expected)
        assert client.last.windows > 5
        assert client.last.nbytes > 35 * MIB


def test_large_results_are_writable_and_owned_by_the_caller(client):
    array = client.read("array")
    assert array.flags.writeable
    assert array.flags.aligned
    frame = client.read("frame")
    frame.loc[0, "x"] = 9.0
    assert frame["x"][0] == 9.0
    assert FRAME["x"][0] == 0.0


def test_a_large_part_and_a_tree_of_large_parts_come_identically(client):
    assert difference(ARRAY[::-2, 1:4].copy(), client["array"][::-2, 1:4]) is None
    tree = client.read("tree")
    np.testing.assert_array_equal(tree["a"], ARRAY[: ROWS // 2])
    np.testing.assert_array_equal(tree["b"][0], ARRAY[ROWS // 2 :])
    assert tree["b"][1] == "the end"


@pytest.mark.parametrize(
    ("name", "order"), [("array", "C"), ("f_order", "F"), ("array", "F"), ("f_order", "C")]
)
def test_reading_into_an_array_fills_it(client, name, order):
    into = np.empty(ARRAY.shape, order=order)
    assert client.read(name, into=into) is into
    np.testing.assert_array_equal(into, ARRAY)


def test_reading_text_of_no_fixed_width_into_an_array_fills_it(server, client):
    server["text"] = text = np.array(["long" * 9, "b"] * 50_000, np.dtypes.StringDType())
    into = np.empty_like(text)
    assert client.read("text", into=into) is into
    np.testing.assert_array_equal(into, text)
    with pytest.raises(ValueError, match="which only an array holds"):
        client.read("text", into=bytearray(text.nbytes))


def test_reading_into_a_view_fills_the_view_alone(client):
    base = np.zeros((1000, 2 * COLUMNS))
    assert client["rows"].read(into=base[:, ::2]) is not None
    np.testing.assert_array_equal(base[:, ::2], ARRAY[:1000])
    assert not base[:, 1::2].any()


def test_reading_into_a_memmap_fills_the_file(client, tmp_path):
    into = np.memmap(tmp_path / "array.bin", np.float64, "w+", shape=ARRAY.shape)
    assert client.read("array", into=into) is into
    into.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "array.bin").reshape(ARRAY.shape), ARRAY)


@pytest.mark.parametrize("name", ["array", "f_order", "rows"])
def test_reading_into_a_bytearray_gives_the_items_in_c_order(client, name):
    into = bytearray(client[name].nbytes)
    assert client.read(name, into=into) is into
    assert into == ARRAY[: len(client[name])].tobytes()


def test_a_part_is_read_into_its_place(client):
    into = np.empty((ROWS // 2, 2))
    assert client["array"].read(np.s_[::2, 1:3], into=into) is into
    np.testing.assert_array_equal(into, ARRAY[::2, 1:3])


def test_the_destination_is_allocated_once_and_written_in_place(client):
    into = np.empty(ARRAY.shape)
    address = into.ctypes.data
    result = client.read("array", into=into)
    assert result.ctypes.data == address
    assert client.last.windows > 5


@pytest.mark.parametrize(
    ("into", "message"),
    [
        (np.empty(ARRAY.shape, np.float32), "into is float32"),
        (np.empty(ARRAY.shape, ">f8"), "into is >f8"),
        (np.empty((COLUMNS, ROWS)), r"into is float64 \(5, 1048576\)"),
        (np.empty(ARRAY.size), "into is float64"),
        (bytearray(10), "into has 10 bytes; the answer will have 41943040"),
        (np.broadcast_to(np.float64(0), ARRAY.shape), "read-only"),
        (bytes(ARRAY.nbytes), "read-only"),
    ],
    ids=["dtype", "byte order", "shape", "dimensions", "size", "read-only array", "read-only bytes"],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(server, client, into, message):
    handle = client["array"]
    client.read("small")
    before = client.last
    with pytest.raises(ValueError, match=message):
        handle.read(into=into)
    assert client.last is before


@pytest.mark.parametrize("size", [{}, {"nbytes": "7MiB"}, {"nbytes": 10 * MIB}, {"rows": 300_000}])
def test_blocks_end_to_end_are_the_whole(client, size):
    blocks = list(client["array"].blocks(**size))
    assert all(block.flags.writeable for block in blocks)
    assert len({len(block) for block in blocks[:-1]}) <= 1
    np.testing.assert_array_equal(np.concatenate(blocks), ARRAY)


@pytest.mark.parametrize("name", ["frame", "table"])
@pytest.mark.parametrize("rows", [300_001, ROWS])
def test_batches_end_to_end_are_the_whole(client, name, rows):
    batches = list(client[name].batches(rows=rows))
    assert {len(batch) for batch in batches[:-1]} <= {rows}
    if name == "table":
        assert pa.concat_tables(batches).equals(TABLE)
    else:
        pd.testing.assert_frame_equal(pd.concat(batches), FRAME)


def test_batches_of_a_selection_are_the_selection(client):
    selected = client["frame"].filter([("n", ">", 1000)]).select(["n", "s"]).slice(10, 250_000)
    pd.testing.assert_frame_equal(pd.concat(selected.batches(rows=70_000)), selected.read())


def test_blocks_notice_that_the_array_was_replaced(server, client):
    server["changing"] = ARRAY[:1000]
    blocks = client["changing"].blocks(rows=100)
    np.testing.assert_array_equal(next(blocks), ARRAY[:100])
    server["changing"] = ARRAY[1000:2000]
    with pytest.raises(bridge.Changed, match="'changing' was replaced"):
        list(blocks)


def test_batches_notice_that_the_table_was_replaced(server, client):
    server["changing"] = TABLE[:1000]
    batches = client["changing"].batches(rows=100)
    assert next(batches).equals(TABLE[:100])
    server["changing"] = TABLE[1000:2000]
    with pytest.raises(bridge.Changed, match="'changing' was replaced"):
        list(batches)


def test_blocks_may_be_left_early(client):
    for block in client["array"].blocks(nbytes="4MiB"):
        np.testing.assert_array_equal(block, ARRAY[: len(block)])
        break
    np.testing.assert_array_equal(client.read("small"), np.arange(5))


@pytest.mark.parametrize("name", ["array", "frame", "table"])
def test_progress_grows_from_window_to_window_to_the_exact_total(client, name):
    calls = []
    client[name].read(progress=lambda done, total: calls.append((done, total)))
    done, totals = zip(*calls, strict=True)
    assert {*totals} == {client.last.nbytes} == {done[-1]}
    assert list(done) == sorted({*done})
    assert len(calls) == client.last.windows


def test_the_receipt_says_what_the_transfer_took(client):
    client.read("array")
    receipt = client.last
    assert receipt.nbytes == ARRAY.nbytes
    assert receipt.windows >= 10
    assert receipt.retries == 0
    assert 0 < receipt.first_seconds <= receipt.seconds
    assert receipt.decode_seconds >= 0
    assert receipt.rate > 0
    client.read("small")
    assert (client.last.nbytes, client.last.windows) == (40, 0)


def test_an_exception_in_the_progress_callback_ends_the_read_and_is_noted(client):
    class StopHere(Exception):
        pass

    def stop(done, total):
        raise StopHere

    with pytest.raises(StopHere) as caught:
        client.read("array", progress=stop)
    error: Any = caught.value
    assert 0 < error.arrived < error.total == ARRAY.nbytes
    assert f"of {ARRAY.nbytes} bytes had arrived" in error.__notes__[0]
    np.testing.assert_array_equal(client.read("small"), np.arange(5))


def test_reading_many_mixes_large_and_small_in_the_order_that_was_asked_for(client):
    names = ["small", "array", "tree", "small", "table", "rows"]
    small, array, tree, again, table, rows = client.read_many(names)
    np.testing.assert_array_equal(small, np.arange(5))
    np.testing.assert_array_equal(array, ARRAY)
    assert tree["b"][1] == "the end"
    np.testing.assert_array_equal(again, np.arange(5))
    assert table.equals(TABLE)
    np.testing.assert_array_equal(rows, ARRAY[:1000])


def test_reading_many_takes_more_than_are_under_way_at_once(client):
    results = client.read_many(["small", "rows"] * 150)
    assert [len(result) for result in results] == [5, 1000] * 150


def test_reading_none_gives_none(client):
    assert client.read_many([]) == []


def test_reading_many_with_a_missing_name_raises_and_leaves_the_client_usable(client):
    with pytest.raises(KeyError, match="no 'smal' here; did you mean 'small'"):
        client.read_many(["small", "smal", "array"])
    np.testing.assert_array_equal(client.read("small"), np.arange(5))
