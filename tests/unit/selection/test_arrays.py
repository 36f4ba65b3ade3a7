"""Selections of arrays: what a user writes between the brackets, sent as JSON, does what numpy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge import selection
from bridge.codecs import BufferReader, strict_json
from bridge.errors import EncodeError, WireError

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAY = np.arange(3 * 4 * 5).reshape(3, 4, 5)


def travel(index):
    """The index as it comes out of a message."""
    buffers: list = []
    text = strict_json.dumps(selection.array_to_wire(index, buffers))
    reader = BufferReader([bytes(buffer) for buffer in buffers])
    received = selection.array_from_wire(strict_json.loads(text), reader)
    reader.finish()
    return received


def receive(value, *buffers):
    return selection.array_from_wire(value, BufferReader(buffers))


def assert_as_numpy(array, index):
    expected = array[index]
    received = travel(index)
    shape = selection.array_result_shape(array.shape, received)
    result = selection.select_array(array, received)
    assert shape == expected.shape
    assert all(type(size) is int for size in shape)
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED"):
        assert result.flags[flag] == expected.flags[flag]
    assert result.strides == expected.strides
    np.testing.assert_array_equal(result, expected)


@st.composite
def arrays_and_taking_indices(draw):
    """An array, and an index with one list or mask among slices, integers, new axes and '...'."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    array = np.arange(np.prod(shape)).reshape(shape)
    place = draw(st.integers(0, len(shape) - 1))
    last = draw(st.integers(place, len(shape) - 1))
    index = []
    for axis, size in enumerate(shape[: last + 1]):
        if axis == place:
            positions = st.integers(-size, size - 1)
            index.append(
                draw(
                    st.lists(positions, max_size=4)
                    | st.lists(positions, max_size=4).map(lambda p: np.array(p, np.int16))
                    | hnp.arrays(bool, size)
                    | hnp.arrays(bool, size).map(list)
                )
            )
        else:
            index.append(draw(st.integers(-size, size - 1) | st.slices(size)))
    for _ in range(draw(st.integers(0, 2))):
        index.insert(draw(st.integers(0, len(index))), None)
    if draw(st.booleans()):
        # Where '...' stands for the axes that are left, it may stand at the end; for none, anywhere.
        end = len(index)
        index.insert(draw(st.integers(0, end)) if last == len(shape) - 1 else end, Ellipsis)
    return array, tuple(index)


@given(st.data())
def test_any_basic_index_selects_what_numpy_selects(data):
    shape = data.draw(SHAPES)
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=8))
    assert_as_numpy(np.arange(np.prod(shape), dtype="f8").reshape(shape), index)


@given(arrays_and_taking_indices())
def test_a_list_or_mask_among_other_items_selects_what_numpy_selects(array_and_index):
    assert_as_numpy(*array_and_index)


@pytest.mark.parametrize(
    "index",
    [
        np.int8(1),
        np.array(1),
        slice(np.int64(0), np.array(2)),
        slice(None, None, -1),
        slice(-(2**200), 2**200),
        slice(2**200, None, -(2**200)),
        (Ellipsis, None),
        ([0, 2], slice(None), 1),
        (1, slice(None), [0, 2]),
        (1, None, [0, 2]),
        (1, Ellipsis, [0, 2], 0),
        (slice(None), 1, Ellipsis, [0, 2]),
        (slice(None), 1, [0, 2]),
        [],
        ((0, 2), 1),
        range(2),
        [True, False, True],
        np.array([], np.int32),
        np.array([1, 2], ">u2"),
        (),
        Ellipsis,
        None,
    ],
    ids=repr,
)
def test_what_numpy_takes_as_an_index_is_taken(index):
    assert_as_numpy(ARRAY, index)


def test_an_integer_for_every_axis_gives_a_scalar_and_an_ellipsis_an_array():
    assert type(selection.select_array(np.arange(3.0), travel(1))) is np.float64
    assert selection.select_array(np.array(5), travel(())) == np.int64(5)
    assert isinstance(selection.select_array(np.array(5), travel(...)), np.ndarray)


def test_a_basic_index_gives_a_view():
    result = selection.select_array(ARRAY, travel((slice(None, None, -1), 2)))
    assert np.shares_memory(result, ARRAY)


def test_the_wire_form_is_what_a_stranger_would_write():
    assert selection.array_to_wire((slice(0, 1000), 3), []) == [[0, 1000, None], 3]
    assert selection.array_to_wire((Ellipsis, None, slice(None, None, -2)), []) == [
        "...",
        None,
        [None, None, -2],
    ]


def test_the_result_of_a_huge_selection_is_known_without_building_it():
    shape = (2**40, 2**40, 2)
    assert selection.array_result_shape(shape, (slice(None, None, 2),)) == (2**39, 2**40, 2)
    take = np.zeros(1000, np.int64)
    assert selection.array_result_shape(shape, (0, slice(None), take)) == (1000, 2**40)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (3, "index 3 is out of bounds for axis 0, which has size 3"),
        ((Ellipsis, -6), "index -6 is out of bounds for axis 2, which has size 5"),
        ((slice(None), [0, 1, 9, -1]), "index 9 is out of bounds for axis 1, which has size 4"),
        ((slice(None), [0, -5]), "index -5 is out of bounds for axis 1"),
        ((slice(0), [9]), "index 9 is out of bounds for axis 1"),
        ((0, 0, 0, 0), "too many indices: the array has 3 axes, 4 are indexed"),
        ((slice(None), [True, False]), "the mask for axis 1 has 2 items; the axis has 4"),
        ((None,) * 62, "the result would have 65 axes"),
    ],
)
def test_an_index_that_does_not_fit_names_the_axis_and_its_size(index, words):
    received = travel(index)
    with pytest.raises(IndexError, match=words):
        selection.array_result_shape(ARRAY.shape, received)
    with pytest.raises(IndexError, match=words):
        selection.select_array(ARRAY, received)
    with pytest.raises(IndexError):
        ARRAY[index]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (True, "True is no index"),
        (np.True_, "is no index"),
        (np.array(True), "is no index"),
        (1.0, "float of float64"),
        (np.array([1.0]), "ndarray of float64"),
        (np.array([], float), "ndarray of float64"),
        ("price", "take the field of the result"),
        (["a"], "list of <U1"),
        ([None], "list of object"),
        ([[0, 1], [1]], "is no list of integers"),
        ([[0, 1], [1, 2]], "2 dimensions"),
        ([[]], "float64"),
        (np.ones((3, 4), bool), "2 dimensions"),
        (([0], [1]), "more than one list or mask"),
        (np.ix_([True, False, True], [0, 1]), "2 dimensions"),
        ((Ellipsis, Ellipsis), "more than once"),
        (slice(None, None, 0), "step 0"),
        (slice("a", None), "not a slice of integers"),
        (slice(1.5), "not a slice of integers"),
        (2**63, "64 bits"),
        (np.array([2**63], np.uint64), "63 bits"),
        ((0,) * 65, "at most 64 axes"),
        ({}, "no index"),
    ],
    ids=repr,
)
def test_what_is_no_index_is_refused_here_with_the_alternative(index, words):
    with pytest.raises(EncodeError, match=words):
        selection.array_to_wire(index, [])


TAKE = {"kind": "array", "dtype": "<i8", "shape": [2], "order": "C"}


def take(**changes):
    return [{"take": TAKE | changes}]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "...",
        3,
        [True],
        [1.0],
        ["1"],
        ["…"],
        [2**63],
        [-(2**63) - 1],
        [[]],
        [[1, 2]],
        [[1, 2, 3, 4]],
        [[0, 1, 0]],
        [[0, True, 1]],
        [[0.0, 1, 1]],
        [[0, 2**63, 1]],
        [["0", 1, 1]],
        [[[0, 1, 1]]],
        ["...", "..."],
        [0] * 65,
        [{}],
        [{"take": None}],
        [{"take": TAKE, "more": 1}],
        [{"take": TAKE}, {"take": TAKE}],
        take(kind="scalar"),
        take(kind="tree"),
        take(kind=1),
        take(dtype="<f8"),
        take(dtype="<i4"),
        take(dtype="<u8"),
        take(dtype="|O"),
        take(dtype="<M8[ns]"),
        take(shape=[]),
        take(shape=[1, 2]),
        take(shape=[3]),
        take(shape=[-2]),
        take(shape=[2**62]),
        take(shape=[True]),
    ],
    ids=repr,
)
def test_a_selection_outside_the_protocol_is_a_wire_error(value):
    with pytest.raises(WireError):
        receive(value, np.arange(2))


def test_a_list_without_its_buffer_is_a_wire_error():
    with pytest.raises(WireError):
        receive(take())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["...", "<i8", "|b1", "array"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["take", "kind", "dtype", "shape", "order"]) | st.text(max_size=3), inner
        )
    ),
    max_leaves=12,
)


@given(JSON | st.lists(JSON, max_size=3))
def test_any_json_is_an_index_or_a_wire_error(value):
    try:
        index = receive(value, np.arange(2))
    except WireError:
        return
    try:
        shape = selection.array_result_shape(ARRAY.shape, index)
    except IndexError:
        return
    assert ARRAY[index].shape == shape
