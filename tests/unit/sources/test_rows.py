"""Runs of rows: what may be joined is joined exactly, the rest is left apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bridge.errors import EncodeError
from bridge.sources.rows import alike, checked_rows, joined, rows_from
from tests.check import difference
from tests.integration.sample_server import SAMPLES


def with_index(index):
    return pd.DataFrame({"a": np.arange(len(index))}, index=index)


def with_flag(frame):
    return frame.set_flags(allows_duplicate_labels=False)


ALIKE = {
    "lists": ([1, None], ["a"]),
    "arrays": (np.ones((3, 2)), np.zeros((1, 2))),
    "big-endian arrays": (np.arange(3, dtype=">i4"), np.arange(2, dtype=">i4")),
    "records with gaps": (
        np.zeros(2, np.dtype({"names": ["a"], "formats": ["u1"], "itemsize": 8})),
        np.ones(2, np.dtype({"names": ["a"], "formats": ["u1"], "itemsize": 8})),
    ),
    "frames": (pd.DataFrame({"a": [1], "b": ["x"]}), pd.DataFrame({"a": [2], "b": ["y"]})),
    "frames with a long and a short range": (with_index(pd.RangeIndex(3)), with_index(pd.Index([7]))),
    "categories": tuple(
        pd.DataFrame({"c": pd.Categorical([value], categories=["a", "b"])}) for value in "ab"
    ),
    "times": tuple(
        with_index(pd.DatetimeIndex([f"2024-01-0{day}"], tz="Europe/Vienna")) for day in (1, 2)
    ),
    "tables": (pa.table({"a": [1, None]}), pa.table({"a": [3]})),
    "batches": (pa.record_batch({"a": [1]}), pa.record_batch({"a": [2]})),
}

NOT_ALIKE = {
    "classes": ([1], np.ones(1)),
    "dtypes": (np.ones(1), np.ones(1, "f4")),
    "byte orders": (np.ones(1, ">f8"), np.ones(1, "<f8")),
    "shapes": (np.ones((1, 2)), np.ones((1, 3))),
    "numbers without rows": (np.array(1), np.array(1)),
    "masks": (np.ma.array([1], mask=[True]), np.ma.array([1], mask=[False])),
    "column names": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    "orders of columns": (pd.DataFrame({"a": [1], "b": [1]}), pd.DataFrame({"b": [1], "a": [1]})),
    "column dtypes": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
    "numbers of columns": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1], "b": [1]})),
    "index dtypes": (with_index(pd.RangeIndex(1)), with_index(pd.Index([1.0]))),
    "index names": (with_index(pd.RangeIndex(1)), with_index(pd.RangeIndex(1, name="i"))),
    "index levels": (
        with_index(pd.MultiIndex.from_tuples([(1, 2)])),
        with_index(pd.MultiIndex.from_tuples([(1, "2")])),
    ),
    "attrs": (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})),
    "flags": (with_flag(pd.DataFrame({"a": [1]})), with_flag(pd.DataFrame({"a": [2]}))),
    "schemas": (pa.table({"a": [1]}), pa.table({"a": [1.0]})),
    "metadata": (
        pa.table({"a": [1]}),
        pa.table({"a": [1]}).replace_schema_metadata({"unit": "m"}),
    ),
    "series": (pd.Series([1]), pd.Series([2])),
    "texts": ("a", "b"),
}
NOT_ALIKE["attrs"][0].attrs["calibration"] = np.ones(3)
NOT_ALIKE["attrs"][1].attrs["calibration"] = np.ones(3)


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE.keys())
def test_what_is_alike_is_joined_and_cut_again_without_a_change(pair):
    first, second = pair
    assert alike(first, second)
    assert alike(second, first)
    whole = joined(pair)
    assert len(whole) == len(first) + len(second)
    _same(whole[: len(first)], first)
    _same(rows_from(whole, len(first)), second)
    assert rows_from(whole, 0) is whole
    assert alike(whole, checked_rows(second)), "a third run can follow"


@pytest.mark.parametrize("pair", NOT_ALIKE.values(), ids=NOT_ALIKE.keys())
def test_what_would_change_or_fail_when_it_is_joined_is_not_alike(pair):
    assert not alike(*pair)


# What pandas would change: it uses this machine's byte order, and wants to hash categories.
CHANGED = {"frames/frame: column of big-endian", "frames/frame: column of category mixed"}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_what_pandas_would_change_is_not_joined(name):
    rows = SAMPLES[name]()
    with pytest.raises(EncodeError, match="pandas"):
        joined([rows, rows])


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - CHANGED))
def test_every_sample_that_is_joined_with_itself_is_unchanged(name):
    rows = SAMPLES[name]()
    if alike(rows, rows):
        whole = joined([rows, rows])
        assert alike(whole, checked_rows(rows))
        _same(rows_from(whole, len(rows)), rows)


def test_rows_are_cut_by_position_whatever_the_index():
    frame = with_index(pd.Index([3.0, 1.0, 2.0]))
    assert rows_from(frame, 2).index.tolist() == [2.0]


def test_arrow_tables_are_joined_without_a_copy():
    first, second = pa.table({"a": [1, 2]}), pa.table({"a": [3]})
    whole = joined([first, second])
    addresses = [chunk.buffers()[1].address for chunk in whole["a"].chunks]
    assert addresses == [t["a"].chunk(0).buffers()[1].address for t in (first, second)]


@pytest.mark.parametrize("rows", [None, 5, "ab", {"a": 1}, {1}, np.array(1), pd.Series([1])])
def test_what_has_no_rows_is_refused_with_what_has(rows):
    with pytest.raises(EncodeError, match="append a DataFrame, an Arrow table, an array"):
        checked_rows(rows)


def test_a_record_batch_is_a_table():
    assert checked_rows(pa.record_batch({"a": [1]})).equals(pa.table({"a": [1]}))


def _same(a, b):
    """As rows: the index may be written out, and a batch is a table."""
    if isinstance(a, pd.DataFrame):
        a, b = (frame.set_axis(pd.Index(list(frame.index)), axis=0) for frame in (a, b))
    if isinstance(a, pa.Table):
        a, b = a.combine_chunks(), checked_rows(b).combine_chunks()
    if isinstance(a, np.ndarray):
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    assert difference(a, b) is None
