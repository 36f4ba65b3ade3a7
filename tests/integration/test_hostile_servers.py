"""Whatever a server answers, its client raises an error of ours in time, or returns a checked object."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bridge
from bridge import codecs
from bridge.codecs import dtypes
from bridge.errors import BridgeError
from bridge.selection.filters import find_columns
from tests import hostile, peers

ARRAY: dict = {"kind": "array", "dtype": "<f8", "shape": [2], "order": "C"}
MIB = 1024 * 1024
SECONDS = 0.5


def reply(*frames, **keys):
    """What a hostile server says to `get`: keys of the header, and frames."""
    return keys, frames


def stream_of(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


# A string column whose offsets point far beyond its data.
TEXTS = stream_of(pa.table({"s": ["abc"]})).replace(b"\0\0\0\0\x03\0\0\0", b"\0\0\0\0\xff\xff\xff\x7f")
CLAIM = {"transfer": "t", "version": "1"}

ANSWERS = {
    "fewer bytes than announced": reply(bytes(8), object=ARRAY, buffers=[16]),
    "more bytes than announced": reply(bytes(24), object=ARRAY, buffers=[16]),
    "another length than its shape": reply(bytes(8), object=ARRAY, buffers=[8]),
    "a frame too many": reply(bytes(16), b"", object=ARRAY, buffers=[16]),
    "40,000 frames": reply(*[b""] * 40_000, object=ARRAY, buffers=[0] * 40_000),
    "a frame that was not announced": reply(bytes(16), object=ARRAY),
    "no object": reply(),
    "an object of another type": reply(object=[ARRAY]),
    "a kind without a hash": reply(object={"kind": []}, buffers=[16], **CLAIM),
    "a claim of 2**61 bytes": reply(object={**ARRAY, "shape": [2**58]}, buffers=[2**61], **CLAIM),
    "a claim of 2**60 bytes of a table": reply(
        object={"kind": "table", "rows": 1, "streams": [1]}, buffers=[2**60], **CLAIM
    ),
    "a claim that is no length": reply(object=ARRAY, buffers=[-1], **CLAIM),
    "a token that is no text": reply(object=ARRAY, buffers=[16], transfer=7),
    "offsets beyond the data": reply(
        TEXTS, object={"kind": "table", "rows": 1, "streams": [1]}, buffers=[len(TEXTS)]
    ),
    "a pickle": reply(b"\x80\x04N.", object={"kind": "pickle"}, buffers=[4]),
}


GREETINGS: dict[str, dict] = {"hello": {"hello": {}}, "list": {"entries": [], "more": False}}


@contextlib.contextmanager
def client_of(answer):
    """A client of a server that gives this answer to whatever follows the greetings."""

    def serve(router, message):
        request = json.loads(message[2])
        keys, frames = (GREETINGS[request["op"]], ()) if request["op"] in GREETINGS else answer(request)
        header = {"bridge": 1, "id": request["id"], **keys}
        router.send_multipart([message[0], b"", json.dumps(header).encode(), *frames])

    with peers.router(serve) as url, bridge.connect(url, timeout=SECONDS) as client:
        yield client


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_outside_the_protocol_is_an_error_of_ours(answer):
    with client_of(lambda request: answer) as client:
        with pytest.raises(BridgeError):
            client.read("x")
        assert client.ping() > 0


def test_no_hostile_object_reaches_the_user_unchecked():
    objects = [*hostile.objects()][::40]
    answers = iter([reply(*frames, object=it, buffers=[*map(len, frames)]) for _, it, frames in objects])
    with client_of(lambda request: next(answers)) as client:
        for name, *_ in objects:
            try:
                client.read("x")
            except BridgeError:
                continue
            except Exception as exc:
                pytest.fail(f"{name}: {exc!r}")
    assert next(answers, None) is None


PART: dict = {"object": {**ARRAY, "shape": [MIB // 8]}, "buffers": [MIB], **CLAIM}
PARTS = {
    "of another length": lambda offset, length: ([offset, length], [bytes(length - 1)]),
    "of another place": lambda offset, length: ([offset + 1, length], [bytes(length)]),
    "in no frames": lambda offset, length: ([offset, length], []),
    "of nothing but its name": lambda offset, length: (None, []),
    "in 30,000 frames": lambda offset, length: ([offset, length], [b""] * 30_000),
    "of another type": lambda offset, length: ([str(offset), True], [bytes(length)]),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_that_was_not_asked_for_is_an_error_of_ours(part):
    def answer(request):
        if request["op"] != "part":
            return PART, ()
        place, frames = part(request["offset"], request["length"])
        return {"part": place, "buffers": [len(frame) for frame in frames]}, frames

    with client_of(answer) as client, pytest.raises(BridgeError):
        client.read("x")


def test_replies_to_nobody_do_not_keep_a_client_waiting():
    with client_of(lambda request: ({"id": 2**40}, ())) as client, pytest.raises(bridge.IdleTimeout):
        client.read("x")


def test_the_metadata_of_a_table_is_not_obeyed():
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({"pandas": "__import__('os').getpid()"})
    stream = stream_of(table)
    keys = {"object": {"kind": "table", "rows": 2, "streams": [1]}, "buffers": [len(stream)]}
    with client_of(lambda request: (keys, [stream])) as client:
        np.testing.assert_array_equal(client.read("x")["a"], [1, 2])


# ── what was described is not what comes ──────────────────────────────────────────────────────────

FRAME = pd.DataFrame({"a": [1.0, 2.0]})
TABLE = pa.table({"a": [1.0, 2.0]})
ARRAY_ENTRY: dict = {"kind": "array", "dtype": "<f8", "shape": [1000, 1000], "nbytes": 8_000_000}
TABLE_ENTRY: dict = {"kind": "table", "format": "pandas", "rows": 10, "columns": 1, "nbytes": 80}
ARROW_ENTRY: dict = {**TABLE_ENTRY, "format": "arrow"}


def sent(obj, **keys):
    descriptor, buffers = codecs.encode(obj)
    return {**keys, "object": descriptor, "buffers": [len(b) for b in buffers]}, [*map(bytes, buffers)]


@contextlib.contextmanager
def handle_of(entry, skeleton, answer, version="1"):
    """The handle of what is described as `entry`, which is read as `answer`: an object, or a reply."""
    described = {"entry": {"name": "x", "version": "1", **entry}}
    described_as = (described, ()) if skeleton is None else sent(skeleton, **described)
    answered = answer if isinstance(answer, tuple) else sent(answer, version=version)
    with client_of(lambda request: described_as if request["op"] == "describe" else answered) as client:
        yield client["x"]


def text_of(shown):
    return repr(shown), shown._repr_html_()


ARRAY_READS: dict[str, Any] = {
    "peek": lambda x: text_of(x.peek()),
    "read": lambda x: x.read(),
    "slice": lambda x: x[0:2],
    "asarray": np.asarray,
    "iterate": lambda x: next(iter(x)),
    "blocks": lambda x: list(x.blocks(rows=500)),
    "dask": lambda x: x.to_dask().compute(),
    "xarray": lambda x: x.to_xarray().to_numpy(),
    "into": lambda x: x.read(into=np.zeros((1000, 1000))),
}
NO_ARRAYS = {
    "a dict": {"a": 1},
    "text": "hi",
    "a DataFrame": FRAME,
    "a vector": np.arange(3.0),
    "another dtype": np.zeros((2, 2), "f4"),
}


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("answer", NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_an_array_that_is_answered_with_something_else_is_an_error_of_ours(answer, version):
    with handle_of(ARRAY_ENTRY, None, answer, version) as x:
        for name, read in ARRAY_READS.items():
            try:
                found = read(x)
            except BridgeError:
                continue
            # What was replaced may be another array now.
            is_array = version == "2" and isinstance(found, np.ndarray)
            assert is_array, f"{name} gave {found!r:.80}"


TABLE_READS: dict[str, Any] = {
    "peek": lambda t: text_of(t.peek()),
    "read": lambda t: t.read(),
    "to_pandas": lambda t: t.to_pandas(),
    "to_arrow": lambda t: t.to_arrow(),
    "a column": lambda t: t["a"],
    "a slice": lambda t: t[0:2],
    "batches": lambda t: list(t.batches()),
    "arrow_batches": lambda t: list(t.arrow_batches()),
    "polars": lambda t: t.to_polars(),
    "dask": lambda t: t.to_dask().compute(),
}
NO_TABLES = {
    "an array": np.arange(3.0),
    "a dict": {"a": 1},
    "a number": 5,
    "a Series": FRAME["a"],
    "no columns": FRAME[[]],
    "another column": FRAME.rename(columns={"a": "b"}),
}


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("entry", [TABLE_ENTRY, ARROW_ENTRY], ids=["pandas", "arrow"])
@pytest.mark.parametrize("answer", NO_TABLES.values(), ids=NO_TABLES)
def test_a_table_that_is_answered_with_something_else_is_an_error_of_ours(answer, entry, version):
    skeleton = FRAME[:0] if entry is TABLE_ENTRY else TABLE[:0]
    with handle_of(entry, skeleton, answer, version) as t:
        for name, read in TABLE_READS.items():
            try:
                found = read(t)
            except BridgeError:
                continue
            # What was replaced may have other columns now.
            is_frame = version == "2" and isinstance(answer, pd.DataFrame) and entry is TABLE_ENTRY
            assert is_frame, f"{name} gave {found!r:.80}"


def test_a_slice_that_is_answered_with_more_rows_than_it_has_is_refused():
    many = pa.table({"a": pa.nulls(2**20)})
    for version in ("1", "2"):
        with handle_of({**ARROW_ENTRY, "rows": 2**30}, many[:0], many, version) as t:
            with pytest.raises(bridge.WireError, match="asked for at most 2 rows of 'x'"):
                t[0:2]
            with pytest.raises(bridge.WireError, match="at most"):
                t.peek()
            with pytest.raises(bridge.WireError, match="at most"):
                t.filter([("a", "is null")]).peek()


def test_an_array_of_nothing_is_no_longer_than_it_was_asked_for():
    for dtype in ("|V0", "|S0"):
        descriptor = {"kind": "array", "dtype": dtype, "shape": [2**25], "order": "C"}
        answer = reply(b"", object=descriptor, version="1", buffers=[0])
        entry = {**ARRAY_ENTRY, "dtype": dtype, "shape": [100], "nbytes": 0}
        refused = pytest.raises(bridge.WireError, match=r"asked for .*\[0:100\] of 'x'.*33554432")
        with handle_of(entry, None, answer) as x, refused:
            x.peek()


def test_what_has_grown_since_it_was_described_is_read_whole():
    grown = pd.DataFrame({"a": np.arange(20.0)})
    for version in ("1", "2"):
        with handle_of(TABLE_ENTRY, FRAME[:0], grown, version) as t:
            assert len(t.read()) == 20
        with handle_of({**ARRAY_ENTRY, "shape": [10]}, None, np.arange(20.0), version) as x:
            assert len(x.read()) == len(x[5:]) == 20


NO_FORM_IN_POLARS = {
    "a decimal of 256 bits": pa.array([None, None], pa.decimal256(76, 3)),
    "an interval": pa.array([None, None], pa.month_day_nano_interval()),
    "a union": pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array([1, 2])),
    "lists of nothing": pa.array([[], []], pa.list_(pa.int32(), 0)),
    "bytes of no length": pa.array([b"", b""], pa.binary(0)),
}


@pytest.mark.parametrize("values", NO_FORM_IN_POLARS.values(), ids=NO_FORM_IN_POLARS)
def test_what_polars_has_no_form_for_is_an_error_of_ours(values, capfd):
    table = pa.table({"a": values})
    with handle_of({**ARROW_ENTRY, "rows": len(table)}, table[:0], table) as t:
        for read in (t.to_polars, lambda: bridge.scan_polars(t).collect()):
            with pytest.raises(BridgeError):
                read()
    capfd.readouterr()  # what polars writes where it panics


def test_a_column_of_another_type_than_described_is_an_error_when_polars_reads_it():
    refused = pytest.raises((BridgeError, pl.exceptions.ComputeError), match="they were described as")
    with handle_of({**ARROW_ENTRY, "rows": 2}, TABLE[:0], pa.table({"a": [1, 2]})) as t, refused:
        bridge.scan_polars(t).collect()


# ── descriptions of what there cannot be ──────────────────────────────────────────────────────────


def test_an_array_of_more_bytes_than_64_bits_count_is_refused():
    for entry in (
        {"shape": [2**63 - 1] * 64},
        {"shape": [2**60]},
        {"shape": [2**62, 2], "dtype": "|V0"},
    ):
        refused = pytest.raises(bridge.WireError, match="expected less than 2")
        with refused, handle_of({**ARRAY_ENTRY, **entry}, None, np.zeros(0)):
            pass


def test_dask_makes_no_more_partitions_than_there_are_rows():
    with handle_of({**TABLE_ENTRY, "nbytes": 2**62}, FRAME[:0], FRAME[:0]) as t:
        assert t.to_dask().npartitions == 10
    with handle_of({**TABLE_ENTRY, "nbytes": 2**62, "rows": 0}, FRAME[:0], FRAME[:0]) as t:
        assert t.to_dask().npartitions == 1


def test_dask_makes_no_more_blocks_of_an_array_than_it_can_hold():
    entry = {**ARRAY_ENTRY, "shape": [2**59]}
    refused = pytest.raises(bridge.WireError, match="more than 1,000,000 blocks")
    with handle_of(entry, None, np.zeros(0)) as x, refused:
        x.to_dask()


SHARED = pd.DataFrame([[1, 2.0, "x"]], columns=["a", "a", "b"])


@pytest.mark.parametrize(
    ("entry", "skeleton"),
    [
        (TABLE_ENTRY, SHARED[:0]),
        (ARROW_ENTRY, pa.table([[1], [2.0], ["x"]], names=["a", "a", "b"])[:0]),
    ],
    ids=["pandas", "arrow"],
)
def test_a_label_that_columns_share_stands_for_all_of_them(entry, skeleton):
    with handle_of({**entry, "rows": 1, "columns": 3}, skeleton, 0) as t:
        shared = t.select(["a"])
        assert len(shared.dtypes) == 2
        assert shared._repr_html_().count("<tr>") == 3
        if entry is ARROW_ENTRY:
            assert shared.schema.names == ["a", "a"]
        else:
            with pytest.raises(BridgeError, match="no schema in Arrow"):
                _ = shared.schema


def test_a_label_that_cannot_be_looked_for_is_refused():
    frame = pd.DataFrame([[1, 2]], columns=pd.Index([[1], "b"], dtype=object))
    refused = pytest.raises(bridge.WireError, match="a label that cannot be looked for")
    with refused, handle_of({**TABLE_ENTRY, "rows": 1}, frame[:0], frame):
        pass


def test_a_column_is_found_beside_a_label_of_any_length():
    columns = pd.Index([tuple(range(20_000)), "b"], dtype=object, tupleize_cols=False)
    frame = pd.DataFrame([[1.0, 2.0]], columns=columns)
    tracemalloc.start()
    with handle_of({**TABLE_ENTRY, "rows": 1, "columns": 2}, frame[:0], frame[["b"]]) as t:
        assert t["b"].tolist() == [2.0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MIB  # not one for each length that it has


def test_trees_in_trees_are_no_deeper_than_python_can_go():
    levels = 90
    deeper = b"[" * levels + b'{"$object":{"kind":"tree"}}' + b"]" * levels
    frames = [deeper] * 9 + [b"1"]
    answer = reply(*frames, object={"kind": "tree"}, buffers=[*map(len, frames)], version="1")
    with client_of(lambda _: answer) as client, pytest.raises(bridge.WireError, match="too deeply"):
        client.read("x")


DIGITS = pd.DataFrame({10**5000: [1.0], "a": pd.Series([10**5000], dtype=object)})


def test_numbers_of_more_digits_than_python_writes_are_shown_without_them():
    with handle_of({**TABLE_ENTRY, "rows": 1, "columns": 2}, DIGITS[:0], DIGITS) as t:
        for shown in (*text_of(t), *text_of(t.peek())):
            assert "int without a text" in shown or "DataFrame without a text" in shown
        with pytest.raises(KeyError, match=r"no column 'zz'.*int without a text"):
            t["zz"]
    with pytest.raises(KeyError, match=r"no column 'zz'.*<int without a text>"):
        find_columns(list(DIGITS.columns), ["zz"])


def test_labels_that_are_missing_in_another_way_are_other_labels():
    frame = pd.DataFrame([[1.0, 2.0]], columns=[np.nan, np.nan])
    other = frame.set_axis(pd.Index([pd.NaT, pd.NaT], dtype=object), axis=1)
    entry = {**TABLE_ENTRY, "rows": 1, "columns": 2}
    with handle_of(entry, frame[:0], frame) as t:
        assert t.peek().sampled == 1
    with handle_of(entry, frame[:0], other) as t, pytest.raises(bridge.WireError, match="the columns"):
        t.peek()


def test_an_array_of_nothing_is_looked_at_however_long_its_axes_are():
    entry = {**ARRAY_ENTRY, "shape": [0, 2**40]}
    answer = reply(b"", object={**ARRAY, "shape": [0, 2**40]}, buffers=[0], version="1")
    with handle_of(entry, None, answer) as x:
        assert "of all 0" in repr(x.peek())
    with handle_of(entry, None, np.zeros((0, 0))) as x:
        assert x.to_dask().shape == (0, 2**40)


def test_a_masked_array_that_is_filled_with_text_is_looked_at():
    values: Any = np.ma.masked_array([1.0, 2.0, 3.0] * 4, [False, False, True] * 4)
    values._fill_value = np.array("N/A")
    with handle_of({**ARRAY_ENTRY, "shape": [12]}, None, values) as x:
        [column] = x.peek().columns
        assert (column.lowest, column.highest, column.missing) == (1, 2, 4)
        assert x.peek().picture


@pytest.mark.parametrize(
    "values", [np.zeros(3, "V0"), np.array(["a"], np.dtypes.StringDType())], ids=str
)
def test_what_dask_makes_no_blocks_of_is_said_in_a_sentence(values):
    dtype = dtypes.to_wire(values.dtype)
    entry = {**ARRAY_ENTRY, "dtype": dtype, "shape": list(values.shape)}
    with handle_of(entry, None, values[:0]) as x, pytest.raises(TypeError, match=r"to_dask\(chunks=…\)"):
        x.to_dask()


@pytest.mark.parametrize(
    "dtype",
    [
        [["<img src=x onerror=alert(1)>", "<f8", []]],
        [["a", [["<b>", "<f8", []]], [2]]],
        {"fields": [["a", "|u1", [], 0, "<i>"]], "itemsize": 1, "align": False},
    ],
    ids=str,
)
def test_no_name_of_a_field_is_markup_where_dask_shows_it(dtype):
    values = np.zeros(0, dtypes.from_wire(dtype))
    entry = {**ARRAY_ENTRY, "dtype": dtype, "shape": [10]}
    with handle_of(entry, None, values) as x, pytest.raises(bridge.WireError, match="for HTML"):
        x.to_dask()


def test_a_date_that_python_does_not_have_is_looked_at_all_the_same():
    table = pa.table({"a": pa.array([2**62, 1], pa.timestamp("s", "Europe/Berlin"))})
    with handle_of({**ARROW_ENTRY, "rows": 2}, table[:0], table) as t:
        assert "Peek 'x'" in repr(t.peek())
        assert "2 rows" in t.peek()._repr_html_()


SPARSE: dict = {
    "kind": "extension",
    "type": "sparse",
    "length": 2**28,
    "fill": {"kind": "scalar", "dtype": "<f8"},
    "values": {"kind": "array", "dtype": "<f8", "shape": [0], "order": "C"},
    "indices": {"kind": "array", "dtype": "<i4", "shape": [0], "order": "C"},
}
LONG_FRAMES = {
    "sparse": reply(
        bytes(8),
        b"",
        b"",
        object={
            "kind": "frame",
            "index": {"kind": "index", "range": [0, 2**28, 1]},
            "columns": {"kind": "index", "range": [0, 1, 1]},
            "blocks": [{"columns": [0, 1, 1], "values": SPARSE}],
        },
        buffers=[8, 0, 0],
        version="1",
    ),
    "without columns": reply(
        object={
            "kind": "frame",
            "index": {"kind": "index", "range": [0, 2**40, 1]},
            "columns": {"kind": "index", "range": [0, 0, 1]},
            "blocks": [],
        },
        version="1",
    ),
}


@pytest.mark.parametrize("answer", LONG_FRAMES.values(), ids=LONG_FRAMES)
def test_a_look_at_a_table_is_no_longer_than_its_sample(answer):
    with handle_of({**TABLE_ENTRY, "rows": 10**6}, FRAME[:0], answer) as t, pytest.raises(BridgeError):
        t.peek()


CLAIMED = {
    "in the shape": ({"shape": [2**27], "nbytes": 8}, {**ARRAY, "shape": [2**27]}),
    "in the answer": ({"shape": [4], "nbytes": 32}, {**ARRAY, "shape": [2**27]}),
}


@pytest.mark.parametrize(("entry", "descriptor"), CLAIMED.values(), ids=CLAIMED)
def test_no_size_in_a_description_passes_the_limit_of_what_nobody_asked_for(
    entry, descriptor, monkeypatch
):
    monkeypatch.setattr(bridge.options, "confirm_above", "1MiB")
    answer = reply(object=descriptor, buffers=[2**30], **CLAIM)
    refused = pytest.raises(ValueError, match=r"more than bridge\.options\.confirm_above")
    with handle_of({**ARRAY_ENTRY, **entry}, None, answer) as x, refused:
        np.asarray(x)


def test_no_answer_passes_the_limit_of_an_arrow_stream_that_nobody_asked_for(monkeypatch):
    monkeypatch.setattr(bridge.options, "confirm_above", "1MiB")
    answer = reply(object={"kind": "table", "rows": 10, "streams": [1]}, buffers=[2**30], **CLAIM)
    refused = pytest.raises(ValueError, match=r"more than bridge\.options\.confirm_above")
    with handle_of(ARROW_ENTRY, TABLE[:0], answer) as t, refused:
        pa.table(t)
