"""How much a slice gives at most, of however much there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import selection
from bridge.remote.answered import _longest, most_rows

BOUNDS = st.none() | st.integers(-12, 12)
STEPS = st.none() | st.integers(-4, 4).filter(bool)
SLICES = st.builds(slice, BOUNDS, BOUNDS, STEPS)


def count(rows, length):
    return len(range(*rows.indices(length)))


@given(SLICES)
def test_a_slice_gives_no_more_than_is_said_and_that_is_not_far_off(rows):
    most = most_rows(rows)
    counts = [count(rows, length) for length in range(60)]
    if most is None:
        assert count(rows, 10**6) > 10**5
    else:
        assert max(counts) <= most <= max(counts) + 1


@given(st.lists(SLICES, max_size=3), st.lists(st.integers(0, 30), min_size=3, max_size=3))
def test_an_index_gives_of_no_array_more_than_of_the_longest(index, shape):
    given_index = (*index, Ellipsis)
    most = selection.array_result_shape(*_longest(3, given_index))
    there = selection.array_result_shape(tuple(shape), given_index)
    assert len(there) == len(most)
    assert all(n <= m for n, m in zip(there, most, strict=True))


@pytest.mark.parametrize(
    "rows", [None, slice(None), slice(5, None), slice(None, None, -1), slice(-1, 0, -1)]
)
def test_of_some_slices_the_length_is_known_to_nobody(rows):
    assert most_rows(rows) is None
