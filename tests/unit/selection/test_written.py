"""Names and indexes as they are typed on a command line or behind a magic."""

from __future__ import annotations

import pytest

from bridge.selection.written import parse_rows, split_name


@pytest.mark.parametrize(
    ("text", "name", "index"),
    [
        ("x", "x", None),
        ("run/x[3]", "run/x", (3,)),
        ("x[-1, ...]", "x", (-1, ...)),
        ("x[:1000, None, 3]", "x", (slice(1000), None, 3)),
        ("x[::-2,]", "x", (slice(None, None, -2),)),
        ("run[1][0:2]", "run[1]", (slice(0, 2),)),
    ],
)
def test_a_name_may_be_followed_by_an_index(text, name, index):
    assert split_name(text) == (name, index)


@pytest.mark.parametrize(
    "text", ["", "1.5", "a", "1:2:3:4", "[1]", "1 2", "__import__('os')", "1,,2", "٣"]
)
def test_an_index_of_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="write"):
        split_name(f"x[{text}]")


@pytest.mark.parametrize("text", ["", "5", "a:b", "0:1e3", "1:2:3:4"])
def test_rows_of_anything_else_are_refused(text):
    with pytest.raises(ValueError, match="no rows; write 0:1000"):
        parse_rows(text)
