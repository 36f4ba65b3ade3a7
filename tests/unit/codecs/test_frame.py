from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import pandas as hpd

from bridge import codecs
from bridge.codecs import strict_json
from bridge.errors import WireError
from tests.check import check_codec, check_refused
from tests.samples import frames

LARGE = 20_000  # rows: columns of 8 bytes are then larger than what a reader copies


@pytest.mark.parametrize("make", frames.SAMPLES.values(), ids=frames.SAMPLES)
def test_comes_back_identical(make):
    check_codec(make())


@pytest.mark.parametrize(("make", "word"), frames.REFUSED.values(), ids=frames.REFUSED)
def test_is_refused_with_a_way_out(make, word):
    check_refused(make(), word)


COLUMNS = [
    hpd.column("i", elements=st.integers(-(2**63), 2**63 - 1), dtype=np.int64),
    hpd.column("f", elements=st.floats(), dtype=np.float64),
    hpd.column("s", elements=st.text(st.characters(codec="utf-8")) | st.none(), dtype=object),
    hpd.column("o", elements=st.none() | st.booleans() | st.integers() | st.dates(), dtype=object),
]


@given(hpd.data_frames(COLUMNS), st.booleans())
def test_any_frame_comes_back_identical(frame, is_str):
    check_codec(frame.astype({"s": "str"}) if is_str else frame)


@given(st.data())
def test_any_part_of_a_frame_comes_back_identical(data):
    whole = frames.SAMPLES["frame: rich"]()
    rows = data.draw(st.slices(len(whole)))
    columns = data.draw(st.lists(st.integers(0, whole.shape[1] - 1)))
    check_codec(whole.iloc[rows, columns])


# ── memory ────────────────────────────────────────────────────────────────────────────────────────


def _received(obj: Any) -> tuple[Any, list[memoryview]]:
    descriptor, buffers = codecs.encode(obj)
    return descriptor, [memoryview(bytearray(buffer)) for buffer in buffers]


FLOATS = {
    "columns together": lambda: pd.DataFrame({column: np.arange(LARGE / 1) for column in "abc"}),
    "an array by rows": lambda: pd.DataFrame(np.arange(3.0 * LARGE).reshape(LARGE, 3)),
    "an array by columns": lambda: pd.DataFrame(np.asfortranarray(np.ones((LARGE, 3)))),
}


@pytest.mark.parametrize("make", FLOATS.values(), ids=FLOATS)
def test_a_frame_of_floats_is_one_buffer_that_nobody_copies(make):
    frame = make().set_axis(range(3), axis=1)
    _, [sent] = codecs.encode(frame)
    assert sent.nbytes == 3 * 8 * LARGE
    assert np.shares_memory(frame.to_numpy(), np.frombuffer(sent, np.uint8))

    descriptor, [received] = _received(frame)
    result = codecs.decode(descriptor, [received])
    assert np.shares_memory(result.to_numpy(), np.frombuffer(received, np.uint8))


def test_columns_that_lie_apart_are_sent_from_where_they_lie():
    frame = pd.DataFrame(index=range(LARGE))
    for column in "abc":
        frame[column] = np.arange(LARGE / 1)
    _, buffers = codecs.encode(frame)
    for number, buffer in enumerate(buffers[-3:]):
        assert np.shares_memory(frame.iloc[:, number].to_numpy(), np.frombuffer(buffer, np.uint8))


VIEWED = {
    "dates": lambda series: series.array._ndarray,
    "categories": lambda series: series.array.codes,
    "nullable": lambda series: series.array._data,
    "text": lambda series: np.frombuffer(series.array.__arrow_array__().chunk(0).buffers()[2], np.uint8),
    "periods": lambda series: series.array._ndarray,
}
LONG = {
    "dates": lambda: pd.date_range("2024", periods=LARGE, freq="s", tz="UTC"),
    "categories": lambda: pd.Categorical(np.arange(4 * LARGE) % 5),
    "nullable": lambda: pd.array(np.arange(LARGE), "Int64"),
    "text": lambda: pd.array([f"text {row}" for row in range(LARGE)], "str"),
    "periods": lambda: pd.period_range("2024", periods=LARGE, freq="s"),
}


@pytest.mark.parametrize("kind", LONG)
def test_extension_columns_are_copied_on_neither_side(kind):
    series = pd.Series(LONG[kind]())
    _, buffers = codecs.encode(series)
    memory = VIEWED[kind](series)
    assert any(np.shares_memory(memory, np.frombuffer(buffer, np.uint8)) for buffer in buffers)

    descriptor, received = _received(series)
    result = VIEWED[kind](codecs.decode(descriptor, received))
    assert any(np.shares_memory(result, np.frombuffer(buffer, np.uint8)) for buffer in received)


def test_a_slice_of_text_does_not_send_its_parent():
    series = pd.Series([f"text {row}" for row in range(LARGE)])
    _, buffers = codecs.encode(series[5:8])
    assert sum(buffer.nbytes for buffer in buffers) < 100


@pytest.mark.parametrize("offset", [0, 1, 4])
def test_a_result_is_aligned_and_writable_wherever_its_bytes_were_received(offset):
    frame = frames.SAMPLES["frame: rich and large"]()
    descriptor, buffers = codecs.encode(frame)
    moved = [memoryview(bytes(offset) + bytes(buffer))[offset:] for buffer in buffers]
    result = codecs.decode(descriptor, moved)
    for column in ("count", "weight", "ok"):
        assert result[column].to_numpy().flags.aligned
    for number in range(result.shape[1]):
        result.iloc[0, number] = result.iloc[1, number]
    pd.testing.assert_series_equal(result.iloc[0], result.iloc[1], check_names=False)


def test_writing_into_a_result_changes_nothing_else():
    frame = pd.DataFrame({"a": np.zeros(LARGE), "b": np.zeros(LARGE)})
    descriptor, received = _received(frame)
    result = codecs.decode(descriptor, received)
    result.iloc[0, 0] = 9.0
    assert (result["a"].sum(), result["b"].sum(), frame["a"].sum()) == (9.0, 0.0, 0.0)


# ── size of the descriptor ────────────────────────────────────────────────────────────────────────

WIDE = {
    "floats": lambda: pd.DataFrame(np.zeros((2, 10_000)), columns=[f"name {i}" for i in range(10_000)]),
    "objects": lambda: pd.DataFrame(np.full((2, 10_000), "x", object), columns=range(10_000)),
    "mixed": lambda: frames.wide(10_000),
}


@pytest.mark.parametrize("make", WIDE.values(), ids=WIDE)
def test_ten_thousand_columns_have_a_small_descriptor(make):
    frame = make()
    descriptor, received = _received(frame)
    assert len(strict_json.dumps(descriptor)) < 2048
    result = codecs.decode(descriptor, received)
    assert result.columns.equals(frame.columns)
    assert list(result.dtypes) == list(frame.dtypes)
    assert result.equals(frame)


def test_columns_of_arrow_dtypes_share_their_buffers():
    frame = pd.DataFrame({column: pd.array([column], "int64[pyarrow]") for column in range(500)})
    _, buffers = codecs.encode(frame)
    assert len(buffers) < 5


# ── what a peer may not send ──────────────────────────────────────────────────────────────────────


def _index(*, stop: int) -> dict[str, Any]:
    return {"kind": "index", "range": [0, stop, 1]}


def _block(columns: Any, rows: int = 2, width: int = 1) -> dict[str, Any]:
    values = {"kind": "array", "dtype": "|u1", "shape": [width, rows], "order": "C"}
    return {"columns": columns, "values": values}


HOSTILE: dict[str, tuple[Any, str]] = {
    "a column twice": ([_block([0, 1, 1]), _block([0, 1, 1])], "each of its 2 columns once"),
    "no block for a column": ([_block([0, 1, 1])], "each of its 2 columns once"),
    "columns beyond the last": ([_block([0, 1, 1]), _block([2, 3, 1])], "each of its 2 columns once"),
    "negative columns": ([_block([0, 1, 1]), _block([-1, 0, 1])], "a block's columns are"),
    "too many columns": (
        [_block([0, 1, 1]), _block([1, 2, 1]), _block([0, 1, 1])],
        "more than its 2 columns",
    ),
    "an empty placement": ([_block([0, 0, 1])], "a block's columns are"),
    "a step of zero": ([_block([0, 2, 0])], "a block's columns are"),
    "an endless placement": ([_block([0, 2**62, 1])], "a block's columns are"),
    "a placement of texts": ([_block(["0", 1, 1])], "a block's columns are"),
    "a placement of floats": (
        [_block({"kind": "array", "dtype": "<f2", "shape": [1], "order": "C"})],
        "only dtypes of the kinds 'i'",
    ),
    "too few rows": ([_block([0, 1, 1], rows=1, width=2)], "has the shape"),
    "too few columns": ([_block([0, 2, 1])], "has the shape"),
    "no values": ([{"columns": [0, 1, 1]}], "expected a JSON object"),
    "values of another kind": (
        [{"columns": [0, 1, 1], "values": {"kind": "tree", "value": 1}}],
        "where only 'array' can be",
    ),
    "a list for a block": ([[0, 1, 1]], "expected a JSON object"),
    "a tree for a table": (
        [{"columns": [0, 1, 1], "table": {"kind": "tree", "value": 1}}],
        "not a table",
    ),
    "a text for all": ("blocks", "expected list"),
}


@pytest.mark.parametrize(("blocks", "match"), HOSTILE.values(), ids=HOSTILE)
def test_blocks_are_checked(blocks, match):
    descriptor = {"kind": "frame", "index": _index(stop=2), "columns": _index(stop=2), "blocks": blocks}
    with pytest.raises(WireError, match=match):
        codecs.decode(descriptor, [bytes(2)] * 2)


def test_a_claim_of_columns_costs_no_memory():
    frame = {"kind": "frame", "index": _index(stop=0), "blocks": []}
    with pytest.raises(WireError, match="at most 4194304"):
        codecs.decode({**frame, "columns": _index(stop=2**40)}, [])
    with pytest.raises(WireError, match="262145 columns; a message of 0 bytes may have at most 262144"):
        codecs.decode({**frame, "columns": _index(stop=2**18 + 1)}, [])
    wide = _block([0, 2**18, 1], rows=0, width=2**18)
    many = {**frame, "columns": _index(stop=2**18), "blocks": [wide] * 10_000}
    with pytest.raises(WireError, match="more than its 262144 columns"):
        codecs.decode(many, [b""] * 10_000)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"index": {"kind": "tree", "value": 1}}, "not an index"),
        ({"index": _index(stop=3)}, "shape"),
        ({"values": {"kind": "tree", "value": [1, 2]}}, "'array'"),
        ({"attrs": {"kind": "tree", "value": [1]}}, "expected a dict"),
        ({"unique": 1}, "expected bool"),
        ({"name": {"kind": "tree", "value": [1]}}, "cannot be a name"),
    ],
    ids=str,
)
def test_parts_of_a_series_are_checked(change, match):
    values = {"kind": "array", "dtype": "|u1", "shape": [2], "order": "C"}
    with pytest.raises(WireError, match=match):
        codecs.decode({"kind": "series", "index": _index(stop=2), "values": values} | change, [bytes(2)])


def test_labels_that_are_not_unique_cannot_claim_to_be():
    descriptor, received = _received(pd.Series([1, 2], index=[7, 7]))
    with pytest.raises(WireError, match="said to be unique"):
        codecs.decode({**descriptor, "unique": True}, received)


def test_blocks_in_a_buffer_are_strict_json():
    descriptor = {"kind": "frame", "index": _index(stop=0), "columns": _index(stop=0), "blocks": None}
    assert codecs.decode(descriptor, [b"[]"]).empty
    for text in (b"{}", b"[NaN]", b"\xff", b"[", b""):
        with pytest.raises(WireError):
            codecs.decode(descriptor, [text])


VALUES: list[Any] = [
    *(None, True, 1.5, "", [], {}, [[]], "../../etc/passwd", -1, 0, 1, 2, 2**31, 2**62, 2**63, 10**39),
    *("|u1", "<i8", "<f8", "<M8[ns]", "<M8[D]", "<U3", "|V0", [2], [0], [1, 2], [2**62], [0, 2**62]),
    *([0, 1, 1], [0, 2**40, 1], [1, 0, -1], [1, "D"], [0, "ME"], [1, "B"], "Europe/Paris", [0, 3600, 0]),
    *("datetime", "period", "categorical", "masked", "interval", "sparse", "string", "arrow", "NaT"),
    *("array", "objects", "extension", "index", "series", "frame", "tree", "pandas-scalar"),
    {"kind": "tree", "value": [1]},
    {"kind": "index", "range": [0, 3, 1]},
    {"kind": "pandas-scalar", "type": "NA"},
]


def _places(value: Any) -> list[tuple[Any, Any]]:
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [place for key, item in inside for place in ((value, key), *_places(item))]


SMALL = [name for name in frames.SAMPLES if "large" not in name and "many" not in name]


@given(st.sampled_from(SMALL), st.data())
def test_a_changed_message_is_an_object_or_a_wire_error(name, data):
    descriptor, buffers = codecs.encode(frames.SAMPLES[name]())
    descriptor, received = copy.deepcopy(descriptor), [bytearray(buffer) for buffer in buffers]
    for _ in range(data.draw(st.integers(0, 2))):
        place, key = data.draw(st.sampled_from([(None, None), *_places(descriptor)]))
        if place is not None:
            place[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    for buffer in received:
        if buffer and data.draw(st.booleans()):
            buffer[data.draw(st.integers(0, len(buffer) - 1))] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        codecs.decode(descriptor, received)


# ── before pandas 3 ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in frames.FRAMES if "column of" not in name])
def test_frames_can_be_built_without_blocks_too(name, monkeypatch):
    monkeypatch.delattr(pd.api, "internals")
    check_codec(frames.FRAMES[name]())
