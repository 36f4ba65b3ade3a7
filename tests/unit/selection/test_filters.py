"""A filter means the same for a pandas frame, an Arrow table and a dataset, and what it says.

The oracle is Python: its own comparisons of ints, floats, Decimals, Fractions and times are exact.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import selection
from bridge.codecs import BufferReader, strict_json
from bridge.errors import EncodeError
from bridge.selection import TableSelection, check_filters, filter_expression
from bridge.selection.filters import frame_mask, table_mask

COMPARE = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
UTC = dt.UTC


class Kind(NamedTuple):
    """Columns that hold the same values; what they are compared with; how pandas and Arrow hold them.

    `seen` is what a value, and one to compare with, is to the oracle.
    """

    values: st.SearchStrategy
    others: st.SearchStrategy
    dtypes: list[Any]
    types: list[pa.DataType]
    seen: Any = lambda value: value
    seen_other: Any = lambda value: value


def numbers(integers):
    """Numbers of all classes, on and between the integers."""
    return (
        integers
        | integers.map(lambda n: n + 0.5)
        | integers.map(np.int64)
        | integers.map(lambda n: Decimal(n) + Decimal("0.25"))
        | st.sampled_from([np.inf, -np.inf, Decimal("Infinity"), Decimal("1E-900")])
    )


def seconds(moment):
    """An instant without a time zone, in seconds since 1970, exactly."""
    if isinstance(moment, np.datetime64):
        return NUMPY_MOMENTS[moment]
    return Fraction(pd.Timestamp(moment).as_unit("ns").value, 10**9)


SMALL = st.integers(-4, 4)
HUGE = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1])
CENTS = st.integers(-300, 300).map(lambda n: Decimal(n).scaleb(-2))
TEXT = st.sampled_from(["", "a", "ab", "b", "é", "z", "\uffff", "😀"])
BYTES = TEXT.map(str.encode)
SECONDS = st.integers(-3, 3).map(lambda s: dt.datetime(1970, 1, 1) + dt.timedelta(seconds=s))
MOMENTS = (
    SECONDS
    | SECONDS.map(lambda t: t + dt.timedelta(microseconds=1))
    | SECONDS.map(pd.Timestamp)
    | SECONDS.map(lambda t: pd.Timestamp(t) + pd.Timedelta(1, "ns"))
)
NUMPY_MOMENTS = {
    np.datetime64("1969"): Fraction(-365 * 86_400),
    np.datetime64("1970-01"): Fraction(0),
    np.datetime64("1970-01-01T00:00:01"): Fraction(1),
    np.datetime64("1970-01-01T00:00:00.999999999999"): 1 - Fraction(1, 10**12),
    np.datetime64(-300_000_000, "Y"): Fraction(-300_000_000 * 146_097 // 400 * 86_400),
}
ZONES = st.sampled_from([UTC, dt.timezone(dt.timedelta(hours=5, seconds=1))])
AWARE = st.builds(lambda t, zone: t.replace(tzinfo=UTC).astimezone(zone), SECONDS, ZONES)
PAUSES = st.integers(-3, 3).map(lambda s: dt.timedelta(seconds=s))
DAYS = st.integers(-3, 3).map(lambda d: dt.date(1970, 1, 1) + dt.timedelta(days=d))
CLOCK = st.integers(0, 3).map(lambda s: dt.time(0, 0, s))

KINDS = {
    "int": Kind(
        SMALL,
        numbers(SMALL | st.sampled_from([127, 128, -128, -129])) | st.sampled_from([10**30, -1e300]),
        ["i1", ">i4", "i8", "Int8", "int64[pyarrow]", "category", "object", "Sparse[int64]"],
        [pa.int8(), pa.int64(), pa.dictionary(pa.int8(), pa.int16())],
    ),
    "uint64": Kind(
        HUGE,
        HUGE | HUGE.map(np.uint64) | HUGE.map(lambda n: Decimal(n) - Decimal("0.5")) | numbers(SMALL),
        ["u8", "uint64[pyarrow]"],
        [pa.uint64()],
    ),
    "float": Kind(
        st.sampled_from([0.0, -0.0, 0.5, -1.5, 3.0, np.inf, -np.inf]),
        numbers(SMALL) | st.just(-0.0),
        ["f2", "f4", "f8", ">f8", "Float32", "Float64", "double[pyarrow]", "category", "object"],
        [pa.float16(), pa.float32(), pa.float64(), pa.dictionary(pa.int8(), pa.float64())],
        seen_other=float,
    ),
    "float32": Kind(
        st.sampled_from([0.1, 0.2, 0.25]),
        st.sampled_from([0.1, 0.2, Decimal("0.1"), np.float32(0.1), np.float64(0.1)]),
        ["f4", "Float32"],
        [pa.float32()],
        np.float32,
        np.float32,
    ),
    "decimal": Kind(
        CENTS,
        CENTS | SMALL | SMALL.map(lambda n: Decimal(n).scaleb(-3)) | st.just(Decimal("-Infinity")),
        ["object", pd.ArrowDtype(pa.decimal128(10, 2))],
        [pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal128(38, 2), pa.decimal256(60, 5)],
    ),
    "bool": Kind(
        st.booleans(),
        st.booleans() | st.booleans().map(np.bool_),
        ["bool", "boolean", "bool[pyarrow]", "object", "category"],
        [pa.bool_()],
    ),
    "text": Kind(
        TEXT,
        TEXT | TEXT.map(np.str_),
        ["str", "string[python]", "string[pyarrow]", "object", "category"],
        [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ),
    "bytes": Kind(
        BYTES,
        BYTES,
        ["object", pd.ArrowDtype(pa.binary())],
        [pa.binary(), pa.large_binary(), pa.binary_view()],
    ),
    "fixed bytes": Kind(
        st.sampled_from([b"aa", b"ab", b"b\0"]), BYTES | st.just(b"ab"), [], [pa.binary(2)]
    ),
    "datetime": Kind(
        SECONDS,
        MOMENTS | st.sampled_from(list(NUMPY_MOMENTS)),
        ["M8[s]", "M8[ms]", "M8[us]", "M8[ns]", "category", "timestamp[us][pyarrow]", "object"],
        [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")],
        seconds,
        seconds,
    ),
    "aware datetime": Kind(
        AWARE,
        AWARE,
        ["datetime64[s, UTC]", "datetime64[ns, Europe/Berlin]"],
        [pa.timestamp("s", "UTC"), pa.timestamp("us", "America/New_York")],
    ),
    "timedelta": Kind(
        PAUSES,
        PAUSES | PAUSES.map(np.timedelta64) | PAUSES.map(pd.Timedelta),
        ["m8[s]", "m8[ns]", "object"],
        [pa.duration("s"), pa.duration("ns")],
        seen_other=pd.Timedelta,
    ),
    "date": Kind(DAYS, DAYS, ["object"], [pa.date32(), pa.date64()]),
    "time": Kind(
        CLOCK,
        CLOCK | CLOCK.map(lambda t: t.replace(microsecond=5)),
        ["object"],
        [pa.time32("s"), pa.time64("ns")],
    ),
}


def holds(kind, value, op, other):
    """Whether a value satisfies a term."""
    if value is None:
        return op == "is null"
    if op in ("is null", "is not null"):
        return op == "is not null"
    seen = kind.seen(value)
    if op in ("in", "not in"):
        return any(seen == kind.seen_other(item) for item in other) == (op == "in")
    return bool(COMPARE[op](seen, kind.seen_other(other)))


def terms(kind, column="x"):
    compare = st.tuples(st.just(column), st.sampled_from(list(COMPARE)), kind.others)
    member = st.tuples(
        st.just(column), st.sampled_from(["in", "not in"]), st.lists(kind.others, max_size=3)
    )
    null = st.tuples(st.just(column), st.sampled_from(["is null", "is not null"]))
    return compare | member | null


def travel(filters):
    """The filters as they come out of a message."""
    buffers: list = []
    text = strict_json.dumps(selection.table_to_wire(TableSelection(filters=filters), buffers))
    reader = BufferReader([bytes(buffer) for buffer in buffers])
    received = selection.table_from_wire(strict_json.loads(text), reader)
    reader.finish()
    return received.filters


# What has no way to say that a value is missing.
NO_MISSING = ("i1", ">i4", "i8", "u8", "bool", "Sparse[int64]")


def series_of(values, dtype):
    if dtype == "category":
        return pd.Series(values, dtype="object").astype("category")
    return pd.Series(values, dtype=dtype)


def table_of(values, type_):
    """A table of two chunks."""
    half = len(values) // 2
    return pa.table({"x": pa.chunked_array([values[:half], values[half:]], type_)})


def evaluated(expression, table):
    return ds.dataset(table).scanner(columns={"keep": expression}).to_table()["keep"].to_pylist()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@given(data=st.data())
def test_a_term_means_the_same_for_every_way_to_hold_the_values(kind, data):
    values = data.draw(st.lists(kind.values | st.none(), max_size=8))
    term = data.draw(terms(kind))
    filters = travel([term])
    _, op, *other = term
    expected = [holds(kind, value, op, *(other or [None])) for value in values]
    for dtype in kind.dtypes:
        if dtype not in NO_MISSING or None not in values:
            frame = series_of(values, dtype).to_frame("x")
            assert frame_mask(frame, filters).tolist() == expected, dtype
    for type_ in kind.types:
        table = table_of(values, type_)
        assert table_mask(table, filters).tolist() == expected, type_
        assert evaluated(filter_expression(table.schema, filters), table) == expected, type_


@given(data=st.data())
def test_all_terms_of_one_of_the_groups_must_hold(data):
    columns = ("int", "float", "text")
    rows = data.draw(st.lists(st.tuples(*(KINDS[c].values | st.none() for c in columns)), max_size=8))
    any_term = st.one_of([terms(KINDS[c], c) for c in columns])
    groups = data.draw(st.lists(st.lists(any_term, min_size=1, max_size=3), min_size=1, max_size=3))
    expected = [
        any(
            all(
                holds(KINDS[column], row[columns.index(column)], op, *(other or [None]))
                for column, op, *other in group
            )
            for group in groups
        )
        for row in rows
    ]
    filters = travel(groups[0] if len(groups) == 1 else groups)
    types = [pa.int64(), pa.float64(), pa.string()]
    arrays = [pa.array([row[i] for row in rows], type_) for i, type_ in enumerate(types)]
    table = pa.table(dict(zip(columns, arrays, strict=True)))
    assert table_mask(table, filters).tolist() == expected
    assert frame_mask(table.to_pandas(), filters).tolist() == expected
    assert evaluated(filter_expression(table.schema, filters), table) == expected


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1.0, np.nan, 2.0]),
        pd.Series([1.0, None, 2.0], dtype="Float64"),
        pd.Series([0.0, 0.0, 1.0], dtype="Float64") / pd.Series([1.0, 0.0, 1.0], dtype="Float64"),
        pd.Series([1.0, np.nan, 2.0], dtype=pd.ArrowDtype(pa.float64())),
        pd.Series(["a", None, "b"]),
        pd.Series(["a", None, "b"], dtype=object),
        pd.Series(["a", np.nan, "b"], dtype=object),
        pd.Series(["a", pd.NA, "b"], dtype=object),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.Series([dt.date(2020, 1, 1), pd.NaT, dt.date(2020, 1, 2)], dtype=object),
        pd.Series(pd.to_datetime(["2020-01-01", "NaT", "2020-01-02"], utc=True)),
        pd.Series(pd.to_timedelta([1, None, 2], unit="s")),
        pd.Series(pd.PeriodIndex(["2020-01", None, "2020-03"], freq="M")),
        pd.Series([[1], None, [2]]),
    ],
)
def test_a_missing_value_of_any_sort_is_null(values):
    assert frame_mask(values.to_frame("x"), travel([("x", "is null")])).tolist() == [False, True, False]
    assert frame_mask(values.to_frame("x"), travel([("x", "is not null")])).tolist() == [
        True,
        False,
        True,
    ]


def test_arrows_nan_is_as_missing_as_its_null():
    table = pa.table({"x": [1.0, float("nan"), None]})
    assert table_mask(table, travel([("x", "is null")])).tolist() == [False, True, True]
    assert table_mask(table, travel([("x", "!=", 5)])).tolist() == [True, False, False]


def test_a_column_of_nulls_only_satisfies_only_is_null():
    table = pa.table({"x": pa.nulls(2)})
    assert table_mask(table, travel([("x", "!=", 5)])).tolist() == [False, False]
    assert table_mask(table, travel([("x", "is null")])).tolist() == [True, True]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ([1, 2], "a", "cannot be compared with 'a' of type str; expected a number"),
        ([1, 2], True, "expected a number"),
        ([True], 1, "expected a bool"),
        (["a"], 1, "expected a str"),
        ([b"a"], "a", "expected bytes"),
        ([dt.datetime(2020, 1, 1)], "2020-01-01", "expected a datetime"),
        ([dt.datetime(2020, 1, 1)], dt.date(2020, 1, 1), "expected a datetime"),
        ([dt.datetime(2020, 1, 1)], dt.datetime(2020, 1, 1, tzinfo=UTC), "without a time zone"),
        ([dt.datetime(2020, 1, 1, tzinfo=UTC)], dt.datetime(2020, 1, 1), "with a time zone"),
        ([dt.date(2020, 1, 1)], dt.datetime(2020, 1, 1), "expected a date"),
        ([dt.timedelta(1)], np.timedelta64(1, "M"), "a fixed length"),
        ([Decimal("1.5")], 1.5, "as Decimal('1.5')"),
    ],
    ids=repr,
)
def test_values_of_another_kind_are_not_compared(column, value, words):
    frame, table = pd.DataFrame({"x": column}), pa.table({"x": column})
    for filters in (travel([("x", "<", value)]), travel([("x", "in", [value])])):
        with pytest.raises(TypeError, match=re.escape(words)) as from_frame:
            frame_mask(frame, filters)
        assert f"column 'x' is {frame.dtypes['x']}, which " in str(from_frame.value)
        with pytest.raises(TypeError, match=re.escape(words)) as from_table:
            table_mask(table, filters)
        with pytest.raises(TypeError) as from_schema:
            filter_expression(table.schema, filters)
        assert str(from_schema.value) == str(from_table.value)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([[1], [2]]),
        pd.Series(["a", 1], dtype=object),
        pd.Series([1j, 2j]),
        pd.Series([2**70, 1], dtype=object),
        pd.Series(pd.period_range("2020-01", periods=2, freq="M")),
        pd.Series(pd.interval_range(0, 2)),
    ],
)
def test_a_column_without_comparisons_is_named(values):
    with pytest.raises(TypeError, match=r"column 'x' is .*, which has no comparison"):
        frame_mask(values.to_frame("x"), travel([("x", "=", 1)]))


def test_in_an_empty_list_is_nothing_whatever_the_column_holds():
    table = pa.table({"list": [[1], None], "struct": [{"a": 1}, None], "text": ["a", None]})
    for name in table.column_names:
        assert table_mask(table, travel([(name, "in", [])])).tolist() == [False, False]
        assert table_mask(table, travel([(name, "not in", [])])).tolist() == [True, False]
        filtered = table.filter(filter_expression(table.schema, travel([(name, "not in", [])])))
        assert filtered == table.slice(0, 1)


@pytest.mark.parametrize(
    "values",
    [
        [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=UTC)],
        [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)],
        [pd.Timestamp("2020-01-01") + pd.Timedelta(1, "ns"), dt.datetime(9000, 1, 1)],
        [dt.time(1, tzinfo=UTC)],
    ],
    ids=["zones", "dates", "nanoseconds", "zone of a time"],
)
def test_objects_that_arrow_would_change_are_not_compared(values):
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    with pytest.raises(TypeError, match="mixes dates or times"):
        frame_mask(frame, travel([("x", "=", values[0])]))


def test_a_category_with_an_order_of_its_own_is_compared_for_equality_only():
    sizes = pd.Categorical(["S", "L", None], ["S", "M", "L"], ordered=True)
    frame = pd.DataFrame({"size": sizes})
    table = pa.Table.from_pandas(frame)
    assert frame_mask(frame, travel([("size", "!=", "S")])).tolist() == [False, True, False]
    assert table_mask(table, travel([("size", "!=", "S")])).tolist() == [False, True, False]
    filters = travel([("size", "<", "L")])
    for refuse in (
        lambda: frame_mask(frame, filters),
        lambda: table_mask(table, filters),
        lambda: filter_expression(table.schema, filters),
    ):
        with pytest.raises(TypeError, match="an order of its own"):
            refuse()


def test_an_unknown_column_is_answered_with_the_one_that_was_meant():
    frame = pd.DataFrame({"price": [1], "symbol": ["a"]})
    words = "no column 'prise'; did you mean 'price'\\? the columns are: 'price', 'symbol'$"
    with pytest.raises(KeyError) as error:
        frame_mask(frame, travel([("prise", "=", 1)]))
    assert re.fullmatch(words, error.value.args[0])
    with pytest.raises(KeyError, match="and 10 more"):
        table_mask(pa.table({f"c{i}": [1] for i in range(20)}), travel([("x", "=", 1)]))


def test_a_label_that_equals_nothing_is_not_said_to_be_meant():
    frame = pd.DataFrame({np.nan: [1], "b": [2]})
    with pytest.raises(KeyError, match="no column nan; the columns are: nan, 'b'"):
        frame_mask(frame, travel([(np.nan, "=", 1)]))


def test_a_label_of_two_columns_is_no_column_to_filter_by():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match="2 columns have the label 'a'"):
        frame_mask(frame, travel([("a", "=", 1)]))


def test_a_label_of_a_multiindex_is_a_tuple():
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    assert frame_mask(frame, travel([(("a", 2), "=", 4)])).tolist() == [False, True]


def test_filters_skip_row_groups_that_cannot_match(tmp_path):
    pq.write_table(pa.table({"x": range(100)}), tmp_path / "x.parquet", row_group_size=10)
    (fragment,) = ds.dataset(tmp_path / "x.parquet").get_fragments()
    for filters, groups in (([("x", ">", 89.5)], 1), ([[("x", "<", 5)], [("x", "=", 50)]], 2)):
        expression = filter_expression(fragment.physical_schema, travel(filters))
        assert len(fragment.split_by_row_group(expression)) == groups


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (
            "price > 100",
            "'price > 100' is text; give a list of terms: 'price > 60' is [('price', '>', 60)]",
        ),
        ({"price": 100}, "a dict of another form"),
        (("price", ">", 100), "a tuple of another form"),
        ([("price", ">", 100), "x"], "a list of another form"),
        ([("price",)], "a str of another form"),
        ([[]], "a list of another form"),
        ([("price", ">", 1, 2)], "a str of another form"),
        ([("price", "=>", 100)], "unknown operator '=>'; use one of ="),
        ([("price", "IN", [1])], "unknown operator 'IN'"),
        ([("price", ">")], "('price', '>') has no value"),
        ([("price", "is null", 1)], "takes no value"),
        ([("price", "=", None)], "'is null'"),
        ([("price", "=", float("nan"))], "nan is a missing value"),
        ([("price", "=", Decimal("sNaN"))], "NaN is a missing value"),
        ([("price", "=", np.datetime64("NaT"))], "NaT is a missing value"),
        ([("price", "=", pd.NaT)], "NaT is a missing value"),
        ([("price", "=", pd.NA)], "a NAType is nothing to compare with"),
        ([("price", "=", [1])], "a list is nothing to compare with"),
        ([("price", "=", 1j)], "a complex is nothing to compare with"),
        ([("price", "=", np.longdouble(1))], "nothing to compare with"),
        ([("price", "=", 2**1001)], "an int of 1002 bits"),
        ([("price", "=", Decimal("1E-1001"))], "more than 1000 digits"),
        ([("price", "=", "\ud800")], "no valid Unicode"),
        ([("price", "in", "AB")], "needs a list of values, not a str"),
        ([("price", "in", [1, None])], "'is null'"),
        ([("price", "in", range(3))], "needs a list of values, not a range"),
        ([("price", "in", [0] * 100_001)], "100001 values"),
        ([("price", "=", 1)] * 65, "65 terms, more than 64"),
        ([[("price", "=", 1)]] * 65, "65 terms, more than 64"),
        ([(["price"], "=", 1)], "columns cannot be asked for by a list"),
        ([({1, 2}, "=", 1)], "columns cannot be asked for by a set"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_filters_of_another_form_are_refused_here(filters, words):
    with pytest.raises(EncodeError, match=re.escape(words)):
        check_filters(filters)


@pytest.mark.parametrize(
    "values",
    [[1, 3], (1, 3), {1, 3}, np.array([1, 3]), pd.Series([1, 3]), pd.Index([1, 3])],
    ids=lambda v: type(v).__name__,
)
def test_the_values_for_in_are_any_list_or_array(values):
    table = pa.table({"x": [1, 2, 3, None]})
    assert table_mask(table, travel([("x", "in", values)])).tolist() == [True, False, True, False]


def test_checked_filters_are_left_as_they_are():
    filters = check_filters([("a", "in", [1]), ("b", "is null")])
    assert check_filters(filters) == filters
    assert check_filters([]) is None


def test_a_sparse_column_that_would_be_too_large_when_dense_is_not_filtered_by(monkeypatch):
    frame = pd.DataFrame({"a": pd.arrays.SparseArray(np.arange(100.0) // 99)})
    assert frame_mask(frame, travel([("a", ">", 0)])).sum() == 1
    monkeypatch.setattr("bridge.selection.filters.MAX_DENSE", 799)
    with pytest.raises(
        ValueError, match=r"column 'a' is sparse, .* takes 800 bytes, more than 799; filter by"
    ):
        frame_mask(frame, travel([("a", ">", 0)]))
