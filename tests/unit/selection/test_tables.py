"""Selections of tables: filters, then rows, then columns, with as few copies as can be."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs, selection
from bridge.codecs import BufferReader, strict_json
from bridge.errors import EncodeError, WireError
from bridge.selection import TableSelection

N = 50


def make_frame(index=None):
    floats = np.arange(3.0 * N).reshape(N, 3)
    frame = pd.DataFrame(floats, columns=["a", "b", "c"], index=index)
    frame["n"] = pd.array([i % 7 for i in range(N)], dtype="Int64")
    frame["s"] = [f"row {i}" for i in range(N)]
    frame["t"] = pd.date_range("2024-01-01", periods=N, freq="h", tz="Europe/Berlin")
    frame["k"] = pd.Categorical([f"c{i % 3}" for i in range(N)])
    frame.attrs["origin"] = "made up"
    return frame


FRAME = make_frame()
TABLE = pa.Table.from_pandas(FRAME)
CHUNKED = pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7, 0), TABLE.slice(7)])


def travel(**parts):
    """The selection as it comes out of a message."""
    buffers: list = []
    text = strict_json.dumps(selection.table_to_wire(TableSelection(**parts), buffers))
    reader = BufferReader([bytes(buffer) for buffer in buffers])
    received = selection.table_from_wire(strict_json.loads(text), reader)
    reader.finish()
    return received


def address(array):
    return array.__array_interface__["data"][0]


# ── the result ────────────────────────────────────────────────────────────────────────────────────


@given(
    columns=st.none() | st.lists(st.sampled_from(list(FRAME.columns)), unique=True),
    rows=st.none() | st.slices(N) | st.slices(3 * N),
    limit=st.none() | st.integers(-1, 7),
)
def test_filters_then_rows_then_columns(columns, rows, limit):
    filters = None if limit is None else [[("n", "<", limit)], [("s", "=", "row 6")]]
    received = travel(columns=columns, rows=rows, filters=filters)
    expected = FRAME
    if filters:
        expected = expected[(expected["n"] < limit) | (expected["s"] == "row 6")]
    expected = expected.iloc[rows or slice(None)]
    if columns is not None:
        expected = expected[columns]

    plan = selection.plan_frame(FRAME, received)
    result = plan.build()
    assert plan.num_rows == len(result)
    assert result.attrs == FRAME.attrs
    pd.testing.assert_frame_equal(result, expected)

    for table in (TABLE, CHUNKED):
        table_plan = selection.plan_table(table, received)
        built = table_plan.build()
        assert table_plan.num_rows == built.num_rows == len(expected)
        assert built.schema.metadata == TABLE.schema.metadata
        if columns != []:
            assert built.to_pydict() == expected_dict(expected)


def expected_dict(frame):
    return pa.Table.from_pandas(frame, preserve_index=False).to_pydict()


def test_no_selection_gives_everything():
    assert selection.select_table(TABLE, travel()) == TABLE
    pd.testing.assert_frame_equal(selection.select_frame(FRAME, travel()), FRAME)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([0] * N),
        pd.date_range("2024", periods=N, freq="D"),
        pd.MultiIndex.from_product([range(5), range(10)], names=["x", "y"]),
        pd.Index([f"r{i}" for i in range(N)], name="name"),
    ],
    ids=["repeated", "dates", "multi", "text"],
)
@pytest.mark.parametrize(
    "parts",
    [
        {"rows": slice(3, 9)},
        {"rows": slice(None, None, -2), "columns": ["s", "a"]},
        {"filters": [("n", "=", 3)], "columns": ["c", "k"]},
        {"columns": []},
    ],
    ids=["range", "steps", "filter", "none"],
)
def test_the_index_is_kept_for_the_rows_that_are_selected(index, parts):
    frame = make_frame(index)
    expected = frame[frame["n"] == 3] if "filters" in parts else frame
    expected = expected.iloc[parts.get("rows", slice(None))][parts.get("columns", list(frame))]
    pd.testing.assert_frame_equal(selection.select_frame(frame, travel(**parts)), expected)


def test_one_column_is_still_a_table():
    assert list(selection.select_frame(FRAME, travel(columns=["s"]))) == ["s"]
    assert selection.select_table(TABLE, travel(columns=["s"])).column_names == ["s"]


def test_without_columns_the_rows_are_still_counted():
    for parts in ({"rows": slice(0, 9, 2)}, {"filters": [("n", "=", 3)]}, {"rows": slice(5)}):
        received = travel(columns=[], **parts)
        expected = selection.plan_frame(FRAME, received).num_rows
        assert len(selection.select_frame(FRAME, received)) == expected > 0
        assert selection.select_table(TABLE, received).num_rows == expected


def test_a_label_of_several_columns_selects_them_all():
    frame = pd.DataFrame([[1, "x", 2.5]], columns=["a", "b", "a"])
    pd.testing.assert_frame_equal(selection.select_frame(frame, travel(columns=["a"])), frame[["a"]])
    table = pa.table([[1], ["x"], [2.5]], names=["a", "b", "a"])
    assert selection.select_table(table, travel(columns=["a"])).schema.types == [
        pa.int64(),
        pa.float64(),
    ]


def test_labels_are_what_pandas_has_for_labels():
    labels = [3, "3", ("a", 1), 2.5, dt.date(2024, 1, 1), pd.Timestamp("2024-01-01"), None, Decimal(1)]
    frame = pd.DataFrame([range(len(labels))])
    frame.columns = pd.Index(labels, dtype=object, tupleize_cols=False)
    for place, label in enumerate(labels):
        result = selection.select_frame(frame, travel(columns=[label]))
        assert result.to_numpy().tolist() == [[place]]
        assert list(result.columns) == [label]
    assert selection.select_frame(frame, travel(columns=[np.int64(3)])).iloc[0, 0] == 0


def test_the_beginning_of_a_multiindex_label_selects_all_below_it():
    columns = pd.MultiIndex.from_product([["x", "y"], ["a", "b"], [1, 2]], names=["u", "v", "w"])
    frame = pd.DataFrame([range(8)], columns=columns)
    for label in ("y", ("y",), ("x", "b")):
        result = selection.select_frame(frame, travel(columns=[label]))
        start = label if isinstance(label, tuple) else (label,)
        expected = frame.loc[:, [name for name in columns if name[: len(start)] == start]]
        pd.testing.assert_frame_equal(result, expected)


def test_an_unknown_column_is_answered_with_the_one_that_was_meant():
    for select, source in ((selection.select_frame, FRAME), (selection.select_table, TABLE)):
        with pytest.raises(KeyError, match="no column 'S'; the columns are: 'a', 'b'"):
            select(source, travel(columns=["a", "S"]))
    with pytest.raises(KeyError, match="did you mean 'price'"):
        selection.plan_table(pa.table({"price": [1]}), travel(columns=["prise"]))


def test_a_peers_label_is_not_parsed_as_a_date():
    frame = pd.DataFrame([[1, 2]], columns=pd.to_datetime(["2024-01-01", "2024-02-01"]))
    with pytest.raises(KeyError):
        selection.select_frame(frame, travel(columns=["2024"]))


def test_flags_are_kept():
    frame = make_frame().set_flags(allows_duplicate_labels=False)
    result = selection.select_frame(frame, travel(columns=["a"], rows=slice(3)))
    assert not result.flags.allows_duplicate_labels


@pytest.mark.parametrize("rows", [slice(None, None, -3), slice(4, 40, 9)], ids=["back", "steps"])
def test_rows_of_types_that_arrow_cannot_pick_from_directly(rows):
    values = [f"text {i}" if i % 4 else None for i in range(N)]
    schema = pa.schema(
        [pa.field("s", pa.string_view()), pa.field("b", pa.binary_view())], metadata={"k": "v"}
    )
    table = pa.table([values, [value and value.encode() for value in values]], schema=schema)
    result = selection.select_table(table, travel(rows=rows))
    assert result.schema.equals(schema, check_metadata=True)
    assert result["s"].to_pylist() == values[rows]


def test_rows_that_arrow_cannot_pick_are_refused_with_the_alternative():
    table = pa.table({"x": pa.array([["a"], ["b"], ["c"]], pa.list_(pa.string_view()))})
    assert selection.select_table(table, travel(rows=slice(1, 2))).to_pydict() == {"x": [["b"]]}
    with pytest.raises(TypeError, match="rows that follow each other"):
        selection.select_table(table, travel(rows=slice(None, None, 2)))


# ── copies and sizes ──────────────────────────────────────────────────────────────────────────────


def test_a_range_of_rows_of_some_columns_is_a_view_of_the_frame():
    result = selection.select_frame(FRAME, travel(columns=["c", "a", "n"], rows=slice(10, 20)))
    for name in ("a", "c"):
        assert address(result[name].to_numpy()) == address(FRAME[name].to_numpy()[10:])
    assert np.shares_memory(result["n"].array._data, FRAME["n"].array._data)


def test_a_range_of_rows_of_some_columns_is_a_view_of_the_table():
    result = selection.select_table(TABLE, travel(columns=["c", "s"], rows=slice(10, 20)))
    for name in ("c", "s"):
        (chunk,) = result[name].chunks
        expected = [buffer and buffer.address for buffer in TABLE[name].chunk(0).buffers()]
        assert [buffer and buffer.address for buffer in chunk.buffers()] == expected


def test_a_filter_by_what_the_table_is_sorted_by_copies_nothing():
    received = travel(columns=["a"], filters=[("t", ">=", FRAME["t"][30])])
    result = selection.select_frame(FRAME, received)
    assert address(result["a"].to_numpy()) == address(FRAME["a"].to_numpy()[30:])
    result = selection.select_table(TABLE, received)
    assert result["a"].chunk(0).buffers()[1].address == TABLE["a"].chunk(0).buffers()[1].address


def test_the_size_is_exact_for_columns_of_fixed_size():
    received = travel(columns=["a", "t"], filters=[("n", "=", 3)])
    assert selection.plan_frame(FRAME, received).nbytes == 7 * 16
    received = travel(columns=["a", "t"], rows=slice(10, 20))
    assert selection.plan_frame(FRAME, received).nbytes == 10 * 16
    assert selection.plan_table(TABLE, received).nbytes == 10 * 16


@pytest.mark.parametrize("dtype", ["str", "string[pyarrow]", "object", "category"])
def test_the_size_of_text_is_near_what_it_takes_as_arrow(dtype):
    frame = pd.DataFrame({"s": pd.Series(["x" * (i % 200) for i in range(5000)], dtype=dtype)})
    received = travel(rows=slice(None, None, 5))
    result = pa.Table.from_pandas(selection.select_frame(frame, received))
    assert 0.5 < selection.plan_frame(frame, received).nbytes / result.nbytes < 2
    table = pa.Table.from_pandas(frame)
    assert 0.5 < selection.plan_table(table, received).nbytes / result.nbytes < 2


def test_a_table_without_rows_can_be_selected_from():
    received = travel(filters=[("s", "=", "x")], rows=slice(None, None, -1))
    for frame in (FRAME.iloc[:0], FRAME.iloc[:0].astype(object)):
        assert selection.plan_frame(frame, received).num_rows == 0
        pd.testing.assert_frame_equal(selection.select_frame(frame, received), frame)
    result = selection.select_table(TABLE.slice(0, 0), received)
    assert result.equals(TABLE.slice(0, 0), check_metadata=True)


def test_categories_count_whole_as_they_all_travel():
    values = pd.Series([f"a long text {i}" for i in range(1000)], dtype="category")
    received = travel(rows=slice(None, None, 100))
    for plan in (
        selection.plan_frame(values.to_frame("x"), received),
        selection.plan_table(pa.Table.from_pandas(values.to_frame("x")), received),
    ):
        assert plan.num_rows == 10
        assert 15_000 < plan.nbytes < 30_000


# ── the form ──────────────────────────────────────────────────────────────────────────────────────


def test_the_wire_form_is_what_a_stranger_would_write():
    wire = {"columns": ["price"], "rows": [0, None, 2], "filters": [["price", ">", 100]]}
    received = selection.table_from_wire(wire, BufferReader([]))
    filters = ((("price", ">", 100),),)
    assert received == TableSelection(columns=["price"], rows=slice(0, None, 2), filters=filters)
    buffers: list = []
    sent = selection.table_to_wire(received, buffers)
    assert sent == wire | {"filters": [[["price", ">", 100]]]}
    assert buffers == []


def test_what_is_null_is_not_restricted():
    wire = {"columns": None, "rows": None, "filters": None}
    assert selection.table_from_wire(wire, BufferReader([])) == TableSelection()
    assert selection.table_to_wire(TableSelection(), []) == {}


def test_a_selection_that_no_server_takes_is_refused_here():
    keys = [f"{number:0100}" for number in range(90_000)]
    with pytest.raises(EncodeError, match=r"have 9[0-9]{6} bytes, more than 8388608; use several reads"):
        selection.table_to_wire(TableSelection(filters=[("who", "in", keys)]), [])


def test_long_lists_travel_as_buffers():
    columns = [f"gene {i}" for i in range(30_000)]
    keys = list(range(50_000))
    buffers: list = []
    parts = TableSelection(columns=columns, filters=[("key", "in", keys)])
    wire = selection.table_to_wire(parts, buffers)
    assert len(strict_json.dumps(wire)) < 200
    assert len(buffers) == 2
    assert travel(columns=columns, filters=[("key", "in", keys)]) == parts


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"columns": "price"}, "columns is a str; give a list of labels"),
        ({"columns": {"a": 1}}, "columns is a dict"),
        ({"columns": [["a"]]}, "columns cannot be asked for by a list"),
        ({"columns": ["a", "b", "a"]}, "the column 'a' is named 2 times"),
        ({"columns": range(3)}, "columns is a range"),
        ({"columns": list(range(100_001))}, "100001 columns are named"),
        ({"rows": 5}, "rows is an int; give a slice"),
        ({"rows": slice(0, 10, 0)}, "step 0"),
        ({"rows": slice("a")}, "not a slice of integers"),
        ({"filters": [("price", "like", "x")]}, "unknown operator 'like'"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_selection_of_another_form_is_refused_here(parts, words):
    with pytest.raises(EncodeError, match=words):
        TableSelection(**parts)


HOSTILE: list = [
    None,
    [],
    "columns",
    {"column": ["a"]},
    {"columns": "a"},
    {"columns": {}},
    {"columns": {"kind": "array"}},
    {"columns": {"kind": "tree"}},
    {"columns": {"kind": "tree", "value": 1}},
    {"columns": {"kind": "tree", "value": {"$tuple": 1}}},
    {"columns": [{}]},
    {"columns": [[]]},
    {"columns": ["a", "a"]},
    {"columns": [1, True]},
    {"columns": [{"$float": "NaN"}]},
    {"columns": [{"$tuple": [[]]}]},
    {"columns": [{"$int": "f" * 1000}]},
    {"columns": [{"$decimal": "1E+999999999999999999"}]},
    {"columns": [{"$object": {"kind": "array", "dtype": "<i8", "shape": [2], "order": "C"}}]},
    {"columns": list(range(100_001))},
    {"rows": 1},
    {"rows": []},
    {"rows": [0, 1, 0]},
    {"rows": [True, 1, 1]},
    {"rows": [0, 2**63, 1]},
    {"rows": {"start": 0}},
    {"filters": 1},
    {"filters": "a"},
    {"filters": {}},
    {"filters": ["a", "=", 1]},
    {"filters": [[]]},
    {"filters": [[[]]]},
    {"filters": [["a", "="]]},
    {"filters": [["a", "=", None]]},
    {"filters": [["a", "=", {}]]},
    {"filters": [["a", "=", [1]]]},
    {"filters": [["a", "eval", 1]]},
    {"filters": [["a", "__class__", 1]]},
    {"filters": [["a", 1, 1]]},
    {"filters": [[["a"], "=", 1]]},
    {"filters": [[{}, "=", 1]]},
    {"filters": [["a", "in", 1]]},
    {"filters": [["a", "in", "abc"]]},
    {"filters": [["a", "in", [[1]]]]},
    {"filters": [["a", "in", [None]]]},
    {"filters": [["a", "is null", 1]]},
    {"filters": [["a", "=", {"$int": "f" * 1_000_000}]]},
    {"filters": [["a", "=", {"$decimal": "1E-999999999999"}]]},
    {"filters": [["a", "=", {"$decimal": "sNaN"}]]},
    {"filters": [["a", "=", {"$float": "nan"}]]},
    {"filters": [["a", "=", 1]] * 1001},
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:50])
def test_a_selection_outside_the_protocol_is_a_wire_error(value):
    with pytest.raises(WireError):
        selection.table_from_wire(value, BufferReader([np.arange(2)]))


WORDS = [
    "a",
    "s",
    "=",
    "<",
    "in",
    "not in",
    "is null",
    "$tuple",
    "$int",
    "$decimal",
    "$float",
    "nan",
    "kind",
    "tree",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=2)
    ),
    max_leaves=12,
)
TERM = st.tuples(JSON, st.sampled_from(["=", "<", "in", "is null"]), JSON).map(list)


@given(
    st.fixed_dictionaries(
        {}, optional={"columns": JSON, "rows": JSON, "filters": JSON | st.lists(TERM, max_size=2)}
    )
)
def test_any_json_is_a_selection_or_a_wire_error(value):
    try:
        received = selection.table_from_wire(value, BufferReader([b'["a"]']))
    except WireError:
        return
    for select, source in ((selection.select_frame, FRAME), (selection.select_table, TABLE)):
        with suppress(KeyError, TypeError, ValueError):
            select(source, received)


@pytest.mark.parametrize("key", ["columns", "filters"])
@pytest.mark.parametrize(
    "obj", [pd.DataFrame({"a": []}), np.zeros(1), TABLE], ids=["df", "array", "table"]
)
def test_no_object_is_made_in_the_place_of_a_label_or_value(key, obj):
    encoded = codecs.encode([[obj]])
    select = {key: encoded.descriptor["value"]}
    with pytest.raises(WireError, match=r"the kind '\w+' has no place here; only tree, scalar"):
        selection.table_from_wire(select, BufferReader(encoded.buffers))


def test_labels_and_values_of_numpy_and_pandas_travel():
    wanted = TableSelection(
        columns=["a", pd.Timestamp("2024-02-29")],
        filters=[("a", "in", [np.datetime64("2024-02-29"), pd.Timedelta(3)])],
    )
    buffers: list = []
    wire = selection.table_to_wire(wanted, buffers)
    assert selection.table_from_wire(wire, BufferReader(buffers)) == wanted
