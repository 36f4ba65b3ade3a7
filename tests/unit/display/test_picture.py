"""Tiny pictures of any numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.display import picture
from tests.unit.display.test_markup import Reader

numbers = st.none() | st.floats(-1e12, 1e12)


@given(st.lists(st.integers(0, 10**12)))
def test_any_counts_are_bars(counts):
    reader = Reader(picture.histogram(counts))
    assert reader.tags == ["svg", "path"]
    text = picture.histogram_text(counts)
    assert len(text) == len(counts)
    assert [count > 0 for count in counts] == [char != " " for char in text]


@given(st.lists(numbers))
def test_any_values_are_a_line(values):
    drawn = picture.line(values)
    assert Reader(drawn).tags == ["svg", "path"]
    assert "nan" not in drawn


@given(st.lists(st.lists(numbers, max_size=5), max_size=5))
def test_any_matrix_is_a_thumbnail(rows):
    drawn = picture.thumbnail(rows)
    assert drawn.count("z") == sum(value is not None for row in rows for value in row)


def test_a_line_has_gaps_where_values_are_missing():
    assert picture.line([1.0, 2.0, None, 3.0]).count("M") == 2


def test_the_highest_value_is_the_darkest():
    drawn = picture.thumbnail([[0.0, 1.0]])
    low, high = drawn.split("<path")[1:]
    assert 'fill-opacity="0.06"' in low
    assert "M0 0" in low
    assert 'fill-opacity="0.94"' in high
    assert "M4 0" in high
