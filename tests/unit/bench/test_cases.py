from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.bench import cases
from bridge.bench.cases import Case
from bridge.errors import WireError


def test_a_sweep_has_its_cases_from_small_to_large():
    found = cases.all_cases(["pull"], ["raw", "tcp"], ["f8"], [2000, 1000, 1000])
    assert found == [
        Case("pull", "raw", "f8", 1000),
        Case("pull", "tcp", "f8", 1000),
        Case("pull", "raw", "f8", 2000),
        Case("pull", "tcp", "f8", 2000),
    ]


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("1KiB", [1024]), ("1KiB..1GiB:x4", [4**n for n in range(5, 16)]), ("800B, 1e3", [800, 1000])],
)
def test_sizes_are_written_as_people_say_them(text, sizes):
    assert cases.parse_sizes(text) == sizes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0",
        "1KiB..2KiB",
        "2KiB..1KiB:x2",
        "1KiB..2KiB:x1",
        "0..9:x2",
        "1..9:x0",
        "-1",
        "1..1e40:x2",
    ],
)
def test_other_sizes_are_refused(text):
    with pytest.raises(ValueError, match=r"size"):
        cases.parse_sizes(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "soon", "1e3", "2 weeks", "1min 30s"])
def test_other_durations_are_refused(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        cases.parse_seconds(text)


@pytest.mark.parametrize(
    ("directions", "formats", "names", "message"),
    [
        (["up"], ["raw"], ["f8"], "'up' is no direction"),
        (["pull"], ["xml"], ["f8"], "'xml' is no format; there are json, pickle"),
        (["pull"], ["raw"], ["f7"], "'f7' is no payload"),
    ],
)
def test_names_are_those_of_the_tables(directions, formats, names, message):
    with pytest.raises(ValueError, match=message):
        cases.all_cases(directions, formats, names, [1000])


def test_a_format_says_what_it_does_not_carry():
    assert Case("pull", "arrow", "f8", 1).cannot == "arrow carries frames, not arrays"
    assert Case("pull", "npy", "frame-wide", 1).cannot == "npy carries arrays, not frames"
    assert Case("pull", "arrow", "frame-wide", 1).cannot is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=5),
        max_leaves=8,
    )
)
def test_what_a_client_names_is_a_case_or_refused(value):
    try:
        case = cases.from_wire(value, max_bytes=1000)
    except WireError:
        return
    assert case.direction in cases.DIRECTIONS


@pytest.mark.parametrize(
    "value",
    [
        ["pull", "raw", "f8", True],
        ["pull", "raw", "f8", -1],
        ["pull", "raw", "f8", 1001],
        ["pull", "raw", "f8", 2**70],
        ["pull", "raw", "O", 8],
        ["pull", "raw", "f8", 8, 8],
    ],
)
def test_cases_that_are_none_are_refused(value):
    with pytest.raises(WireError):
        cases.from_wire(value, max_bytes=1000)
    assert cases.from_wire(["pull", "raw", "f8", 1000], max_bytes=1000).size == 1000
