"""What people see, also of what a peer sent in the place of a catalogue."""

from __future__ import annotations

import io
import sys
import threading
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
    assert len(display.text("x" * 1000)) == display.TEXT
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


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_sees_a_bar_who_does_not_look(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with display.progress_bar("x", None) as progress:
        assert progress is None


def test_on_a_terminal_a_bar_appears_when_it_takes_long(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(display, "BAR_SECONDS", -1)
    with display.progress_bar("waveform", None) as progress:
        assert progress is not None
        progress(0, 100)
        progress(50, 100)
        progress(100, 100)
    assert "waveform" in terminal.getvalue()


def test_on_a_terminal_nothing_appears_when_it_is_soon_over(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with display.progress_bar("waveform", None) as progress:
        assert progress is not None
        progress(0, 100)
        progress(100, 100)
    assert terminal.getvalue() == ""


def test_other_threads_draw_no_bars(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    seen = []

    def watch():
        with display.progress_bar("x", None) as progress:
            seen.append(progress)

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_callback_of_the_user_is_used_as_it_is():
    def mine(done: int, total: int) -> None:
        pass

    with display.progress_bar("x", mine) as progress:
        assert progress is mine
