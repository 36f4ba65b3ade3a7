"""Sizes, shapes and catalogues as text, also of what a peer sent in the place of one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import display

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=5), items, max_size=3),
    max_leaves=8,
)


# What terminals obey, and what shows a line's end before its beginning.
EVIL = "\x1b[2J\x07\r\x9b1m\u202e\u2066\x7f"


def is_harmless(shown: str) -> bool:
    return not set(EVIL) - set("[2J1m") & set(shown)


@pytest.mark.parametrize("kind", ["array", "table", "broken", "channel", "query", "stream", "object"])
def test_no_text_of_a_peer_commands_the_terminal(kind):
    keys = ("name", "type", "dtype", "rows", "columns", "error", "returns")
    entry = dict.fromkeys(keys, EVIL) | {"kind": kind, "shape": [EVIL]}
    entry["parameters"] = [{"name": EVIL, "type": EVIL, "default": EVIL}]
    shown = display.catalogue_text([entry])
    assert is_harmless(shown)
    assert "\\x1b[2J" in shown
    assert is_harmless(display.list_text([EVIL]))


def test_the_text_of_a_peer_is_cut_in_a_list_and_whole_in_lines():
    assert display.text("a\nb\tc" + "x" * 1000).startswith("a\\nb\\tcxxx")
    assert len(display.text("x" * 1000)) == display.plain.TEXT
    assert display.lines("one\n\ttwo Größe 🙂\x1b") == "one\n\ttwo Größe 🙂\\x1b"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20, "1.0 MiB"),
        (3 * 2**29, "1.5 GiB"),
        (2**40, "1.0 TiB"),
        (2**62, "4194304.0 TiB"),
    ],
)
def test_sizes_are_shown_in_powers_of_1024(nbytes, text):
    assert display.nbytes_text(nbytes) == text


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        (512, 512),
        ("0", 0),
        ("64MiB", 64 * 2**20),
        ("64 mib", 64 * 2**20),
        ("1.5 GB", 1_500_000_000),
        ("2k", None),
        ("10B", 10),
        ("1e6", 10**6),
        ("1TiB", 2**40),
        ("", None),
        ("MiB", None),
        ("-1", None),
        (-5, None),
        ("1.2.3", None),
        (".", None),
        ("1e400", None),
        ("1 MiB/s", None),
    ],
)
def test_sizes_are_read_as_people_write_them(text, nbytes):
    if nbytes is None:
        with pytest.raises(ValueError, match="no size"):
            display.parse_nbytes(text)
    else:
        assert display.parse_nbytes(text) == nbytes


def test_a_long_list_says_how_much_is_left_out():
    assert display.list_text([]) == ""
    assert display.list_text(range(6)) == "0, 1, 2, 3, 4, 5"
    assert display.list_text(range(8)) == "0, 1, 2, 3, 4, 5, … 2 more"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (2e-6, "2 µs"),
        (0.0123, "12.3 ms"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (61, "1 min 01 s"),
        (3 * 3600 + 60, "3 h 01 min"),
    ],
)
def test_times_are_shown_in_the_unit_that_people_use(seconds, text):
    assert display.seconds_text(seconds) == text


def test_shapes_are_shown_with_their_axes():
    assert display.shape_text((1000, 16)) == "1000 × 16"
    assert display.shape_text((0,)) == "0"
    assert display.shape_text(()) == "scalar"


def test_a_signature_is_shown_as_python_writes_it():
    entry = {
        "name": "spectrum",
        "parameters": [
            {"name": "channel", "type": "int"},
            {"name": "window", "type": "str", "default": "'hann'"},
            {"name": "n", "default": "3"},
            {"name": "options", "any": True},
        ],
        "returns": "np.ndarray",
    }
    expected = "spectrum(channel: int, window: str = 'hann', n=3, **options) -> np.ndarray"
    assert display.signature_text(entry) == expected


def test_a_catalogue_is_shown_a_line_for_each_name():
    entries: list[dict[str, Any]] = [
        {"name": "x", "kind": "array", "dtype": "<f8", "shape": [4, 3], "nbytes": 96},
        {"name": "r", "kind": "array", "dtype": [["a", "<f8", []]], "shape": [1], "nbytes": 8},
        {"name": "t", "kind": "table", "rows": 5, "columns": 2, "nbytes": 2048},
        {"name": "f", "kind": "query", "parameters": []},
        {"name": "c", "kind": "object", "type": "dict", "nbytes": 0},
    ]
    lines = display.catalogue_text(entries).splitlines()
    assert len(lines) == 5
    for line, words in zip(
        lines,
        ["'x' <f8 4 × 3, 96 B", "'r' structured", "5 rows × 2 columns, 2.0 KiB", "f()", "dict, 0 B"],
        strict=True,
    ):
        assert words in " ".join(line.split())


def test_a_long_catalogue_says_how_much_is_left_out():
    entries = [{"name": str(i), "kind": "query"} for i in range(100)]
    text = display.catalogue_text(entries)
    assert len(text.splitlines()) == 21
    assert text.endswith("… 80 more")
    assert "nothing is served" in display.catalogue_text([])


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "kind",
                "type",
                "dtype",
                "shape",
                "nbytes",
                "rows",
                "columns",
                "parameters",
                "returns",
            ]
        ),
        JSON | st.sampled_from(["array", "table", "query", "object"]),
    )
)
def test_whatever_a_peer_sends_as_an_entry_can_be_shown(entry):
    assert is_harmless(display.catalogue_text([entry]))
    assert is_harmless(display.signature_text(entry))
