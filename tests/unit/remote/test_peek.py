"""A small look: how the sample is chosen, what is said of it, and when it is over."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import IdleTimeout
from bridge.remote import peek
from bridge.remote.summary import array_columns, array_picture, frame_columns
from tests.samples import arrays, frames
from tests.unit.display.test_markup import HOSTILE, Reader


def look(values, seconds=10.0):
    values = np.asanyarray(values)
    return peek.array_peek(
        "x", "array", values.shape, values.itemsize, lambda index, timeout: values[index], seconds
    )


def look_at_frame(frame, seconds=10.0, rows=None, read=None):
    reads = read or (lambda part, timeout: frame.iloc[part.start : part.stop])
    return peek.table_peek("t", "table", rows or len(frame), 8.0 * frame.shape[1], reads, seconds)


@given(st.lists(st.integers(1, 10**6), max_size=5), st.integers(1, 10**4))
def test_a_grid_is_small_and_spans_all_of_the_array(shape, itemsize):
    index = peek._grid(shape, itemsize)
    picked = [range(n)[part] for n, part in zip(shape, index, strict=True)]
    assert math.prod(map(len, picked)) * itemsize <= max(peek.SAMPLE_BYTES, itemsize) * 2 ** len(shape)
    for n, positions in zip(shape, picked, strict=True):
        assert positions[0] == 0
        assert n - positions[-1] <= positions.step


@given(st.integers(0, 10**9), st.floats(0, 10**6))
def test_runs_are_few_disjoint_and_within_the_table(rows, row_nbytes):
    parts = list(peek._runs(rows, row_nbytes))
    assert len(parts) <= peek.RUNS
    assert parts[0].start == 0
    taken = sorted((part.start, part.stop) for part in parts)
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(taken))
    assert taken[-1][1] == rows
    assert sum(map(len, parts)) <= peek.RUNS * peek.RUN_ROWS


def test_a_small_array_is_looked_at_whole_and_once():
    found = look([[1.0, np.nan], [3.0, -2.0]])
    (column,) = found.columns
    assert (column.lowest, column.highest, column.missing) == (-2.0, 3.0, 1)
    assert found.sampled == found.total == 4
    assert "of all 4" in repr(found)


def test_of_a_large_array_it_says_that_it_is_a_sample():
    found = look(np.arange(1_000_000.0))
    assert found.total == 1_000_000
    assert 4096 <= found.sampled <= 20_000
    assert f"of a sample: {found.sampled:,} of 1,000,000" in repr(found)
    np.testing.assert_array_equal(found.first, np.arange(8.0))


def test_an_array_that_takes_long_shows_its_first_items():
    values = np.arange(1_000_000.0)

    def read(index, timeout):
        if timeout is not None:
            raise IdleTimeout("too slow")
        return values[index]

    found = peek.array_peek("x", "array", values.shape, 8, read, 0.0)
    assert found.sampled == 8
    assert found.columns[0].highest == 7.0


def test_a_table_is_looked_at_until_the_time_is_over():
    frame = pd.DataFrame({"a": range(100_000)})
    asked = []

    def read(part, timeout):
        asked.append(timeout)
        return frame.iloc[part.start : part.stop]

    found = look_at_frame(frame, seconds=0.0, read=read)
    assert asked == [None]
    assert found.sampled == 512
    assert look_at_frame(frame).sampled == 8 * 512


def test_a_table_that_stops_answering_shows_what_came():
    frame = pd.DataFrame({"a": range(100_000)})

    def read(part, timeout):
        if part.start > 60_000:
            raise IdleTimeout("too slow")
        return frame.iloc[part.start : part.stop]

    assert look_at_frame(frame, read=read).sampled == 3 * 512


def test_the_first_rows_are_waited_for_and_their_failure_is_the_callers():
    def read(part, timeout):
        raise IdleTimeout("nothing came")

    with pytest.raises(IdleTimeout):
        look_at_frame(pd.DataFrame({"a": [1]}), read=read)


def test_where_a_filter_decides_the_first_that_pass_are_the_sample():
    frame = pd.DataFrame({"a": range(1000)})
    read = lambda part, timeout: frame.iloc[: len(part)]  # noqa: E731
    found = peek.table_peek("t", "table", None, 8.0, read, 1.0)
    assert "512 of those that pass" in repr(found)
    read = lambda part, timeout: frame.iloc[:3]  # noqa: E731
    assert "of all 3" in repr(peek.table_peek("t", "table", None, 8.0, read, 1.0))


@pytest.mark.parametrize("name", arrays.SAMPLES)
def test_any_array_that_travels_can_be_looked_at(name):
    found = look(arrays.SAMPLES[name]())
    assert repr(found)
    Reader(found._repr_html_())


@pytest.mark.parametrize("name", [name for name in frames.SAMPLES if name.startswith("frame:")])
def test_any_frame_that_travels_can_be_looked_at(name):
    frame = frames.SAMPLES[name]()
    found = look_at_frame(frame, rows=max(1, len(frame)))
    assert repr(found)
    Reader(found._repr_html_())


@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_data_is_shown_as_text(evil):
    found = look_at_frame(pd.DataFrame({evil: [evil] * 20}, index=[evil] * 20))
    assert not {"script", "img"} & set(Reader(found._repr_html_()).tags)
    assert "\x1b" not in repr(found)
    assert "\u202e" not in repr(found)


def test_a_histogram_counts_what_is_there():
    (column,) = frame_columns(pd.DataFrame({"a": [0.0] * 5 + [1.0] * 10 + [np.nan, np.inf]}))
    assert sum(column.counts) == 15
    assert (column.counts[0], column.counts[-1]) == (5, 10)
    assert (column.missing, column.highest) == (1, np.inf)


def test_times_have_bounds_and_text_has_its_most_frequent_values():
    frame = pd.DataFrame(
        {"when": pd.date_range("2020", periods=4), "what": pd.Categorical(["b", "a", "b", None])}
    )
    when, what = frame_columns(frame)
    assert (when.lowest, when.highest) == (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-04"))
    assert sum(when.counts) == 4
    assert (what.common, what.missing, what.counts) == (("b", "a"), 1, ())


def test_each_field_of_a_structured_array_has_its_line():
    values = np.array([(1, "x"), (2, "y")], dtype=[("a", ">i4"), ("b", "U1")])
    a, b = array_columns(values)
    assert (a.label, a.lowest, a.highest) == ("a", 1, 2)
    assert b.common == ("x", "y")


def test_masked_items_are_missing():
    (column,) = array_columns(np.ma.masked_array([1, 2, 3], [False, True, False]))
    assert (column.missing, column.lowest, column.highest) == (1, 1, 3)


def test_one_long_axis_is_a_line_and_two_are_a_thumbnail():
    assert "stroke" in array_picture(np.arange(20.0))
    assert array_picture(np.arange(400.0).reshape(20, 20)).count("z") == 400
    assert array_picture(np.zeros((3, 3))) == ""
    assert array_picture(np.array(["a"] * 100)) == ""
    assert len(array_picture(np.random.default_rng(0).random((500, 500)))) < 40_000


def test_a_look_does_not_outlast_its_time_by_what_the_sample_would_take():
    values = np.arange(1_000_000.0)
    given_time = []

    def read(index, timeout):
        given_time.append(timeout)
        return values[index]

    peek.array_peek("x", "array", values.shape, 8, read, 3.0)
    assert given_time[0] is None
    assert 0 < given_time[1] <= 3.0
