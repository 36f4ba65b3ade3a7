"""Handles: what they ask for, and what they refuse to ask for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs, selection
from bridge.codecs import BufferReader
from bridge.codecs.dtypes import to_wire
from bridge.errors import Changed, EncodeError, WireError
from bridge.remote import Ways, answered, handle_of
from bridge.remote.frame import frame_of, polars_of
from tests.samples import tables

X = np.arange(24.0).reshape(6, 4)
FRAME = pd.DataFrame({"a": range(10), "b": list("abcdefghij")})
ARRAY_ENTRY = {"name": "x", "kind": "array", "dtype": "<f8", "shape": [6, 4], "nbytes": 192}
TABLE_ENTRY = {"name": "t", "kind": "table", "format": "pandas", "rows": 10, "columns": 2}


class Asked:
    """A way to fetch that notes what it was asked for, and gives the next of some results."""

    def __init__(self, *results):
        self.results = list(results)
        self.selections = []

    def __call__(self, name, *, select=None, **options):
        self.selections.append(select)
        return self.results.pop(0)


def handle(entry: Any, fetch: Any = None, call: Any = None, skeleton: Any = None) -> Any:
    return handle_of(entry, Ways(fetch=fetch, call=call, stream=call, follow=call), skeleton)


def array(*results):
    asked = Asked(*results)
    return handle(ARRAY_ENTRY, asked), asked


def table(*results):
    asked = Asked(*results)
    return handle(TABLE_ENTRY, asked, skeleton=FRAME.iloc[:0]), asked


@pytest.mark.parametrize(
    ("index", "select"),
    [
        (3, [3]),
        (np.s_[1:5:2], [[1, 5, 2]]),
        (np.s_[..., 0], ["...", 0]),
        (None, [None]),
        (np.s_[None, 2:], [None, [2, None, None]]),
    ],
    ids=str,
)
def test_an_index_is_asked_for_in_its_json_form(index, select):
    x, asked = array((X[index], "v"))
    np.testing.assert_array_equal(x[index], X[index])
    assert asked.selections == [select]


def test_reading_all_selects_nothing():
    x, asked = array((X, "v"))
    assert x.read() is X
    assert asked.selections == [None]


@pytest.mark.parametrize("index", ["a", 1.5, ([0], [1]), np.s_[..., ...], {}], ids=str)
def test_an_index_that_is_none_is_refused_before_anything_is_asked(index):
    x, asked = array()
    with pytest.raises(EncodeError):
        x[index]
    assert asked.selections == []


def test_an_index_that_does_not_fit_is_refused_before_anything_is_asked_where_into_needs_its_shape():
    x, asked = array()
    with pytest.raises(IndexError):
        x.read(6, into=np.empty(4))
    assert asked.selections == []


def test_what_comes_elsewhere_is_copied_into_its_place():
    x, _ = array((X.copy(), "v"))
    into = np.empty_like(X)
    assert x.read(into=into) is into
    np.testing.assert_array_equal(into, X)


def test_a_scalar_is_copied_into_its_place():
    x, _ = array((X[2, 3], "v"))
    into = np.empty(())
    assert x.read((2, 3), into=into)[()] == X[2, 3]


@pytest.mark.parametrize(
    "values", [X[:1], X.astype("f4"), X.astype(">f8"), X[0, 0], {"a": X}], ids=["row", *"f>sd"]
)
@pytest.mark.parametrize("make", [np.zeros_like, lambda x: bytearray(x.nbytes)], ids=["array", "bytes"])
def test_what_does_not_fit_into_its_place_any_more_is_a_change(values, make):
    x, _ = array((values, "v"))
    into = make(X)
    with pytest.raises(Changed, match=r"'x' was replaced on the server since this handle was made"):
        x.read(into=into)
    assert not any(memoryview(into).cast("B"))


def test_blocks_are_runs_of_the_first_axis():
    x, asked = array((X[0:4], "v"), (X[4:6], "v"))
    blocks = list(x.blocks(rows=4))
    np.testing.assert_array_equal(np.concatenate(blocks), X)
    assert asked.selections == [[[0, 4, None]], [[4, 8, None]]]


def test_a_block_has_at_least_one_row():
    x, asked = array(*((X[row : row + 1], "v") for row in range(6)))
    assert len(list(x.blocks(nbytes=1))) == 6
    assert asked.selections[-1] == [[5, 6, None]]


def test_two_versions_are_a_change():
    x, _ = array((X[0:3], "v1"), (X[3:6], "v2"))
    with pytest.raises(Changed, match="'x' was replaced"):
        list(x.blocks(rows=3))


@pytest.mark.parametrize(
    "size", [{"rows": 0}, {"rows": -1}, {"nbytes": "many"}, {"nbytes": 0}, {"nbytes": -5}], ids=str
)
def test_sizes_of_blocks_that_are_none_are_refused_at_once(size):
    x, asked = array()
    with pytest.raises(ValueError, match=r"rows is|nbytes is|is no size"):
        x.blocks(**size)
    assert asked.selections == []


def test_what_has_no_dimensions_has_neither_length_nor_blocks():
    x = handle({**ARRAY_ENTRY, "shape": []})
    assert (x.ndim, x.size) == (0, 1)
    with pytest.raises(TypeError, match="no length"):
        len(x)
    with pytest.raises(ValueError, match="read it whole"):
        x.blocks()


NARROWED = {
    "whole": (lambda t: t, None),
    "select": (lambda t: t.select(["b"]), {"columns": ["b"]}),
    "slice": (lambda t: t.slice(2, 5), {"rows": [2, 5, None]}),
    "backwards": (lambda t: t.slice(2, None, -1), {"rows": [2, None, -1]}),
    "head": (lambda t: t.head(), {"rows": [0, 5, None]}),
    "head of a slice": (lambda t: t.slice(2, 9).head(3), {"rows": [2, 5, None]}),
    "head of a short slice": (lambda t: t.slice(2, 4).head(3), {"rows": [2, 4, None]}),
    "head of a tail": (lambda t: t.slice(7).head(3), {"rows": [7, 10, None]}),
    "head of a head": (lambda t: t.head(8).head(3), {"rows": [0, 3, None]}),
    "head from the end": (lambda t: t.slice(-5).head(2), {"rows": [5, 7, None]}),
    "head of a step": (lambda t: t.slice(1, 9, 3).head(2), {"rows": [1, 7, 3]}),
    "head backwards": (lambda t: t.slice(None, None, -1).head(20), {"rows": [9, None, -1]}),
    "a part beyond the rows": (lambda t: t.slice(None, None, -1).part(10, 12), {"rows": [0, 0, None]}),
    "a part of what passes": (
        lambda t: t.filter([("a", ">", 1)]).slice(2, 5).part(1, 9),
        {"filters": [[["a", ">", 1]]], "rows": [3, 5, None]},
    ),
    "filter": (lambda t: t.filter([("a", ">", 1)]), {"filters": [[["a", ">", 1]]]}),
    "filter by what is not selected": (
        lambda t: t.select(["b"]).filter([("a", ">", 1)]),
        {"columns": ["b"], "filters": [[["a", ">", 1]]]},
    ),
}


def expected_of(select):
    """What an honest server answers."""
    parts = selection.table_from_wire(select or {}, BufferReader([]))
    return selection.select_frame(FRAME, parts)


@pytest.mark.parametrize(("narrow", "select"), NARROWED.values(), ids=NARROWED)
def test_narrowing_is_asked_for_at_once(narrow, select):
    t, asked = table((expected_of(select), "v"))
    narrow(t).read()
    assert asked.selections == [select]


def test_narrowing_leaves_the_handle_as_it_was():
    t, _ = table()
    t.select(["a"]).slice(0, 3)
    assert (t.columns, t.num_rows) == (["a", "b"], 10)


def test_a_table_has_columns_and_is_no_sequence_of_them():
    t, asked = table()
    assert ("a" in t, "x" in t, 0 in t) == (True, False, False)
    with pytest.raises(TypeError, match="not iterable"):
        list(t)
    with pytest.raises(TypeError, match=r"a list of columns: \['ab'\]"):
        t.select("ab")
    assert asked.selections == []


@pytest.mark.parametrize("wrap", [np.asarray, np.mean], ids=lambda wrap: wrap.__name__)
def test_a_table_is_not_wrapped_in_an_array_that_lacks_its_labels(wrap):
    t, asked = table()
    with pytest.raises(TypeError, match=r"write b\['t'\].to_pandas\(\)"):
        wrap(t)
    assert asked.selections == []


REFUSED = {
    "filter after slice": lambda t: t.slice(0, 5).filter([("a", ">", 1)]),
    "filter twice": lambda t: t.filter([("a", ">", 1)]).filter([("a", "<", 5)]),
    "slice twice": lambda t: t.slice(0, 5).slice(0, 2),
    "head from the end": lambda t: t.filter([("a", ">", 1)]).slice(-5).head(2),
    "negative head": lambda t: t.slice(0, 5).head(-1),
    "batches from the end": lambda t: t.filter([("a", ">", 1)]).slice(-5).batches(),
    "batches of a step": lambda t: t.filter([("a", ">", 1)]).slice(0, 8, 2).batches(),
    "step 0": lambda t: t.slice(0, 8, 0),
    "filter as text": lambda t: t.filter("a > 1"),
    "unknown operator": lambda t: t.filter([("a", "~", 1)]),
}


@pytest.mark.parametrize("narrow", REFUSED.values(), ids=REFUSED)
def test_what_would_be_ambiguous_or_wrong_is_refused_before_anything_is_asked(narrow):
    t, asked = table()
    with pytest.raises(EncodeError):
        list(narrow(t))
    assert asked.selections == []


def test_a_column_that_is_not_there_is_refused_before_anything_is_asked():
    t, asked = table()
    for ask in (lambda: t["c"], lambda: t[["a", "c"]], lambda: t.select(["a"]).select(["b"])):
        with pytest.raises(KeyError, match="has no column"):
            ask()
    assert asked.selections == []


def test_batches_are_runs_of_rows_up_to_the_selections_end():
    t, asked = table((FRAME[2:5], "v"), (FRAME[5:8], "v"), (FRAME[8:9], "v"))
    assert pd.concat(t.slice(2, 9).batches(rows=3)).equals(FRAME[2:9])
    assert [select["rows"] for select in asked.selections] == [[2, 5, None], [5, 8, None], [8, 9, None]]


def test_batches_go_the_way_of_the_slice():
    t, asked = table((FRAME[9:5:-2], "v"), (FRAME[5:1:-2], "v"), (FRAME[1:0:-2], "v"))
    assert pd.concat(t.slice(None, None, -2).batches(rows=2)).equals(FRAME[::-2])
    assert [select["rows"] for select in asked.selections] == [[9, 5, -2], [5, 1, -2], [1, None, -2]]


def test_batches_of_filtered_rows_ask_for_no_more_than_the_slice():
    t, asked = table((FRAME[0:4], "v"))
    assert len(pd.concat(t.filter([("a", ">=", 0)]).slice(0, 4).batches(rows=4))) == 4
    assert len(asked.selections) == 1


def test_batches_of_filtered_rows_end_with_a_short_one():
    t, _ = table((FRAME[0:4], "v"), (FRAME[4:6], "v"), (FRAME[:0], "v"))
    assert [len(batch) for batch in t.filter([("a", ">=", 0)]).batches(rows=4)] == [4, 2]


def test_an_arrow_table_is_described_by_its_skeleton():
    skeleton = pa.table({"a": pa.array([], pa.int8()), "b": pa.array([], pa.string())})
    t = handle({**TABLE_ENTRY, "format": "arrow"}, skeleton=skeleton)
    assert t.columns == ["a", "b"]
    assert t.schema == skeleton.schema
    assert t.select(["b"]).schema == skeleton.select(["b"]).schema
    assert [str(dtype) for dtype in t.dtypes] == ["int8", "str"]


def test_a_query_passes_its_arguments_by_name():
    entry = {
        "name": "f",
        "kind": "query",
        "parameters": [{"name": "a"}, {"name": "b"}, {"name": "rest", "any": True}],
    }
    calls = []
    f = handle(entry, call=lambda name, **given: calls.append((name, given)))
    f(1, b=2)
    f(1, 2, c=3)
    assert calls == [("f", {"a": 1, "b": 2}), ("f", {"a": 1, "b": 2, "c": 3})]
    with pytest.raises(TypeError, match="takes 2 arguments, not 3"):
        f(1, 2, 3)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"name": 5, "kind": "array"},
        {"name": "x", "kind": "hologram"},
        {"name": "x", "kind": None},
        {"name": "x", "kind": ["array"]},
        {**ARRAY_ENTRY, "nbytes": -1},
        {**ARRAY_ENTRY, "nbytes": True},
        {**ARRAY_ENTRY, "nbytes": 10**40},
        {**ARRAY_ENTRY, "shape": [2**64]},
        {**ARRAY_ENTRY, "dtype": "O"},
        {**TABLE_ENTRY, "rows": "10"},
        {**TABLE_ENTRY, "rows": -1},
        {**TABLE_ENTRY, "rows": 10**30},
    ],
    ids=str,
)
def test_an_entry_that_breaks_the_protocol_is_refused(entry):
    with pytest.raises(WireError):
        handle(entry, skeleton=FRAME.iloc[:0])


@pytest.mark.parametrize("format_", ["pandas", "arrow", "stone", None, []], ids=str)
def test_a_table_without_the_columns_of_its_format_is_refused(format_):
    skeletons: list[Any] = [None, X, {}, 5, FRAME["a"], FRAME if format_ != "pandas" else pa.table({})]
    for skeleton in skeletons:
        with pytest.raises(WireError, match="has no columns or rows"):
            handle({**TABLE_ENTRY, "format": format_}, skeleton=skeleton)


def noting(index, **columns):
    """A table of a peer who claims that these columns are its index."""
    return pa.table(columns).replace_schema_metadata({"pandas": json.dumps({"index_columns": index})})


HALVES = pa.array(np.array([1, 2], np.float16))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"t": pa.array([1], pa.time64("ns"))}),
        pa.table({"t": pa.DictionaryArray.from_arrays(pa.array([0, 1]), HALVES)}),
        noting(["t"], t=HALVES),
        noting(["t", "u"], t=[{"a": 1}], u=[1]),
        noting([{"kind": "range", "start": 0, "stop": 2**63 + 5, "step": 1}], t=[1]),
    ],
    ids=["nanoseconds", "categories of halves", "index of halves", "index of dicts", "endless range"],
)
def test_a_table_that_pandas_has_no_form_for_says_so(table):
    with pytest.raises(WireError, match=r"no form in pandas.*to_arrow\(\)"):
        frame_of(table)


def test_an_index_that_no_frame_has_is_not_made():
    columns = {str(i): [i] for i in range(65)}
    assert frame_of(noting(list(columns)[:64], **columns)).index.nlevels == 64
    for index in (list(columns), ["1", "1"], ["1"] * 60, ["65"]):
        frame = frame_of(noting(index, **columns))
        assert frame.shape == (1, 65)
        assert frame.index.nlevels == 1


@pytest.mark.parametrize("name", ["month_interval", "day_time_interval"])
def test_a_table_that_polars_has_no_form_for_says_so(name):
    with pytest.raises(WireError, match=r"no form in polars.*to_arrow\(\)"):
        polars_of(tables.of_intervals(name))


def opaque(array):
    return pa.ExtensionArray.from_storage(pa.opaque(array.type, "t", "v"), array)


CODES = pa.array(["a", None]).dictionary_encode()
TIMES = pa.array([0, None], pa.timestamp("ns", "Europe/Berlin"))
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), TIMES)


# Arrow's own conversion ends the process.
@pytest.mark.parametrize(
    ("array", "rows", "dtype"),
    [
        (RUNS, 3, "datetime64[ns, Europe/Berlin]"),
        (RUNS.slice(1), 2, "datetime64[ns, Europe/Berlin]"),
        (opaque(TIMES), 2, "datetime64[ns, Europe/Berlin]"),
        (opaque(CODES), 2, "category"),
    ],
    ids=["runs", "slice of runs", "opaque times", "opaque codes"],
)
def test_times_in_a_time_zone_and_codes_inside_other_types_come_to_pandas(array, rows, dtype):
    table = pa.table({"x": array})
    for obj in (table, table.to_batches()[0]):
        frame = frame_of(obj)
        assert (str(frame["x"].dtype), len(frame)) == (dtype, rows)
    frame = frame_of(table, types_mapper=pd.ArrowDtype)
    assert frame["x"].dtype == pd.ArrowDtype(array.type)


bounds = st.none() | st.integers(-8, 8)


@given(bounds, bounds, st.none() | st.integers(-4, 4).filter(bool))
def test_no_slice_gives_more_than_its_bounds_allow(start, stop, step):
    chosen = slice(start, stop, step)
    most = answered.most_rows(chosen)
    lengths = [len(range(n)[chosen]) for n in range(100)]
    assert max(lengths) == most if most is not None else True


SCALARS = {
    "a number of the other byte order": (np.arange(3, dtype=">f8"), 1),
    "short text in a wide array": (np.array(["a", "abc"]), 0),
    "text without a width": (np.array(["a", "b"], np.dtypes.StringDType()), 0),
    "text that is missing": (np.array(["a", np.nan], np.dtypes.StringDType(na_object=np.nan)), 1),
    "what is masked": (np.ma.array([1, 2], mask=[False, True]), 1),
    "a record": (np.zeros(2, [("a", ">f8"), ("b", "U3")]), 1),
    "an instant": (np.array(["2020-01-01"], "M8[D]"), 0),
}


@pytest.mark.parametrize(("values", "index"), SCALARS.values(), ids=SCALARS)
def test_an_item_is_what_numpy_gives_for_it(values, index):
    entry = {"name": "x", "kind": "array", "dtype": to_wire(values.dtype), "shape": list(values.shape)}
    results = [codecs.decode(*codecs.encode(part)) for part in (values[index], values, values[:1])]
    asked = Asked(*((result, "v") for result in results))
    x = handle({**entry, "version": "v"}, asked)
    assert type(x[index]) is type(results[0])
    assert x.read().dtype == x[:1].dtype == values.dtype
