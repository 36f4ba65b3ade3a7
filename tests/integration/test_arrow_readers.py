"""polars, duckdb, pyarrow and pandas read a handle as they read any table, and again and again."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import bridge
from bridge.integrations.polars import _groups
from bridge.remote import RemoteTable
from tests.processes import output_of

NAN = float("nan")
FROM_ARROW: Any = pd.DataFrame.from_arrow  # type: ignore[attr-defined]  # the stubs are of pandas 2
DAY = dt.datetime(2024, 2, 29)
LOCAL = pl.DataFrame(
    {
        "n": [1, 2, None, 4, 5, -(2**62), 2**53 + 1, 0] * 4,
        "small": pl.Series([1, None, 3, -128, 127, 0, 7, 7] * 4, dtype=pl.Int8),
        "x": [0.5, NAN, None, -0.0, float("inf"), -1.5, 3.0, 1e300] * 4,
        "f": pl.Series([0.1, NAN, None, 0.0, 2.5, -1.0, 7.0, 0.3] * 4, dtype=pl.Float32),
        "s": ["a", "", None, "ä", "b", "a", "\U0001f600", "\uffff"] * 4,
        "flag": [True, False, None, True] * 8,
        "day": [DAY.date(), None, dt.date(1969, 12, 31), dt.date(1, 1, 1)] * 8,
        "time": [DAY, None, dt.datetime(1969, 12, 31, 23), dt.datetime(9999, 1, 1)] * 8,
        "kind": pl.Series(["u", "v", None, "u"] * 8, dtype=pl.Categorical),
        "list": [[1], [], None, [2, None]] * 8,
    }
)
PANDAS = pd.DataFrame(
    {
        "n": [1, 2, 3, 4] * 25,
        "x": [0.5, np.nan, 3.0, np.inf] * 25,
        "s": pd.array(["a", None, "b", "c"] * 25, dtype="str"),
        "row": range(100),
    },
    index=pd.Index(list(range(100, 200)), name="key"),
)


@pytest.fixture(scope="module")
def b():
    with bridge.serve(arrow=LOCAL.to_arrow(), pandas=PANDAS) as server, bridge.connect(server.url) as b:
        yield b


@pytest.mark.parametrize("name", ["arrow", "pandas"])
@pytest.mark.parametrize(
    "read",
    [
        pa.table,
        lambda t: pa.RecordBatchReader.from_stream(t).read_all(),
        lambda t: pl.DataFrame(t).to_arrow(),
        lambda t: t.to_polars().to_arrow(),
        lambda t: bridge.scan_polars(t).collect().to_arrow(),
        lambda t: pa.table(duckdb.sql("select * from t")),
        lambda t: pa.Table.from_pandas(FROM_ARROW(t), preserve_index=False),
    ],
    ids=["pyarrow", "reader", "polars", "to_polars", "scan_polars", "duckdb", "pandas"],
)
def test_a_handle_is_read_whole_and_again(b, name, read):
    t = b[name].select(["n", "x", "s"])
    expected = t.to_arrow()
    for _ in range(2):
        result = read(t)
        assert result.num_rows == expected.num_rows
        for column in ("n", "x", "s"):
            values, wanted = (
                pd.Series(table.column(column).to_pylist()) for table in (result, expected)
            )
            pd.testing.assert_series_equal(values, wanted)


def test_duckdb_selects_from_a_handle(b):
    t = b["pandas"]  # noqa: F841 - duckdb finds it by its name
    sql: Any = duckdb.sql
    assert sql("select sum(n), max(key) from t where s = 'b'").fetchall() == [(75, 198)]
    assert sql("select count(*) from t join t as u using (key)").fetchall() == [(100,)]


# ── scan_polars ───────────────────────────────────────────────────────────────────────────────────

COMPARED: dict[str, list[Any]] = {
    "n": [0, 1, 4, 2**53, -(2**62), 2**53 + 1],
    "small": [0, 3, -128, 127, 200],
    "x": [0.0, -0.0, 0.5, 3.0, float("inf"), NAN, 1, 2**53 + 1],
    "f": [0.1, 0.0, 2.5, 0.30000001192092896, 7],
    "s": ["a", "", "ä", "\U0001f600", "zz"],
    "day": [DAY.date(), dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "time": [DAY, dt.datetime(1969, 12, 31, 23), dt.datetime(9999, 1, 1)],
    "kind": ["u", "w"],
}
OPERATORS = ["__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "eq_missing"]


@st.composite
def conditions(draw):
    column = draw(st.sampled_from([*COMPARED, "flag", "list"]))
    col = pl.col(column)
    if column == "flag":
        return draw(st.sampled_from([col, ~col, col.is_null(), col == True, col.is_not_null()]))  # noqa: E712
    if column == "list":
        return draw(st.sampled_from([col.is_null(), col.is_not_null(), col.list.len() > 0]))
    value = st.sampled_from(COMPARED[column])
    forms = [getattr(col, op)(draw(value)) for op in OPERATORS]
    if column in {"n", "small", "s"}:
        forms.append(col.is_in([draw(value), draw(value)]))
    if column != "kind":
        closed = draw(st.sampled_from(["both", "left", "right", "none"]))
        forms.append(col.is_between(pl.lit(draw(value)), pl.lit(draw(value)), closed))
    forms += [col.is_null(), col.is_not_null()]
    if column in {"n", "x"}:
        forms += [col * 2 > draw(value), col > pl.col("small")]
    return draw(st.sampled_from(forms))


PREDICATES = st.recursive(
    conditions(),
    lambda inner: (
        st.tuples(inner, inner).map(lambda p: p[0] & p[1])
        | st.tuples(inner, inner).map(lambda p: p[0] | p[1])
        | inner.map(lambda p: ~p)
    ),
    max_leaves=5,
)


@given(
    predicate=PREDICATES,
    columns=st.none() | st.lists(st.sampled_from(LOCAL.columns), min_size=1, max_size=3, unique=True),
    first=st.none() | st.integers(0, 40),
    last=st.none() | st.integers(0, 10),
)
def test_a_query_gives_what_it_gives_on_the_same_data_here(b, predicate, columns, first, last):
    results = []
    for lazy in (bridge.scan_polars(b["arrow"]), LOCAL.lazy()):
        lazy = lazy if first is None else lazy.head(first)
        lazy = lazy.filter(predicate)
        lazy = lazy if last is None else lazy.head(last)
        results.append((lazy if columns is None else lazy.select(columns)).collect())
    assert_frame_equal(*results, check_exact=True, categorical_as_str=True)


@pytest.mark.parametrize(
    ("predicate", "groups"),
    [
        (pl.col("n") > 2, [[("n", ">", 2)]]),
        (pl.col("x") >= 2.5, [[("x", ">=", 2.5)], [("x", "is null")]]),
        (pl.col("x") < 2.5, [[("x", "<", 2.5)]]),
        ((pl.col("n") == 2) & (pl.col("s") != "a"), [[("n", "==", 2), ("s", "!=", "a")]]),
        ((pl.col("n") == 2) | pl.col("s").is_null(), [[("n", "==", 2)], [("s", "is null")]]),
        ((pl.col("n") == 2) & (pl.col("n") * 2 > 3), [[("n", "==", 2)]]),
        ((pl.col("n") == 2) | (pl.col("n") * 2 > 3), None),
        (pl.col("s").is_in(["a", "b"]), [[("s", "in", ["a", "b"])]]),
        (pl.col("n").is_between(1, 3, "left"), [[("n", ">=", 1), ("n", "<", 3)]]),
        (pl.col("day") > DAY.date(), [[("day", ">", DAY.date())]]),
        (pl.col("time") > DAY, [[("time", ">", np.datetime64(DAY, "us"))]]),
        (~pl.col("flag"), [[("flag", "==", False)]]),
        (pl.col("x").is_not_null(), None),
        (pl.col("n") > 2.5, None),
        (pl.col("s").map_elements(len, pl.Int64) > 1, None),
    ],
    ids=str,
)
def test_conditions_that_mean_the_same_on_the_server_are_sent(monkeypatch, b, predicate, groups):
    sent = []

    def groups_of(*args):
        sent.append(_groups(*args))
        return sent[-1]

    monkeypatch.setattr("bridge.integrations.polars._groups", groups_of)
    bridge.scan_polars(b["arrow"]).filter(predicate).collect()
    assert sent == [groups]


def test_columns_rows_and_conditions_are_left_to_the_server(b):
    lazy = bridge.scan_polars(b["pandas"])
    lazy.filter(pl.col("n") == 99).collect()
    nothing = b.last.nbytes
    lazy.select("n").collect()
    whole_column = b.last.nbytes
    lazy.select("n").head(2).collect()
    assert nothing < whole_column
    assert b.last.nbytes < whole_column


def test_what_passes_a_condition_comes_in_parts(monkeypatch, b):
    monkeypatch.setattr("bridge.integrations.polars.FILTERED_ROWS", 4)
    query = pl.col("n") < 5
    assert_frame_equal(
        bridge.scan_polars(b["arrow"]).filter(query).collect(),
        LOCAL.filter(query),
        categorical_as_str=True,
    )


def test_the_index_of_pandas_is_a_column(b):
    lazy = bridge.scan_polars(b["pandas"])
    assert lazy.collect_schema().names() == ["n", "x", "s", "row", "key"]
    result = lazy.filter(pl.col("row") > 97, pl.col("key") < 199).select("key", "row").collect()
    assert result.rows() == [(198, 98)]
    assert lazy.select("key").collect().height == 100


def test_labels_that_are_no_text_are_found_by_their_text(server, client):
    server["t"] = pd.DataFrame({0: [1, 2], 1: ["a", "b"]})
    lazy = bridge.scan_polars(client["t"])
    assert lazy.filter(pl.col("0") > 1).select("1").collect().rows() == [("b",)]


def test_the_columns_of_a_table_are_looked_at_together(server, client, monkeypatch):
    asked = []
    server["t"] = pa.table([pa.nulls(0)] * 50, names=[f"c{i}" for i in range(50)])
    columns: Any = RemoteTable.columns

    def listed(self):
        asked.append(self)
        return columns.fget(self)

    monkeypatch.setattr(RemoteTable, "columns", property(listed))
    assert bridge.scan_polars(client["t"]).collect().width == 50
    assert len(asked) < 10


def test_what_a_handle_selects_is_what_is_scanned(b):
    t = b["arrow"].select(["n", "s"])
    narrowed = {
        "rows": (t.slice(3, 9), LOCAL[3:9]),
        "the last rows": (t.slice(-9), LOCAL[-9:]),
        "backwards": (t.slice(None, None, -2), LOCAL[::-2]),
        "filter": (t.filter([("n", ">", 1)]), LOCAL.filter(pl.col("n") > 1)),
    }
    for handle, local in narrowed.values():
        lazy = bridge.scan_polars(handle).filter(pl.col("s") == "a")
        assert_frame_equal(lazy.collect(), local.select("n", "s").filter(pl.col("s") == "a"))
        assert_frame_equal(bridge.scan_polars(handle).head(3).collect(), local.select("n", "s").head(3))


def test_a_column_of_objects_is_refused_with_the_way_out(server, client):
    server["t"] = pd.DataFrame({"n": [1, 2], "cells": [{"a": 1}, None]})
    with pytest.raises(bridge.EncodeError, match=r"column 'cells' of 't'.*t\.to_polars\(\)\.lazy"):
        bridge.scan_polars(client["t"])
    assert bridge.scan_polars(client["t"].select(["n"])).collect().rows() == [(1,), (2,)]


def test_what_is_no_table_is_not_scanned(server, client):
    server["x"] = pd.Series([1, 2]).to_numpy()
    with pytest.raises(TypeError, match=r"expected a table of a server.*got <RemoteArray 'x'"):
        bridge.scan_polars(client["x"])


def test_data_that_was_replaced_in_between_is_not_mixed(server, client):
    server["t"] = LOCAL.to_arrow()
    lazy = bridge.scan_polars(client["t"])
    server["t"] = LOCAL.to_arrow()
    with pytest.raises((bridge.Changed, pl.exceptions.ComputeError), match="was replaced on the server"):
        lazy.collect()


def test_missing_polars_is_named_with_its_extra():
    code = """
import sys
sys.modules["polars"] = None
import bridge
try:
    bridge.scan_polars
except ImportError as exc:
    print(exc)
"""
    assert 'pip install "zbridge[polars]"' in output_of("-c", code)
