"""What is folded of a traceback; what IPython makes of it is tested with IPython."""

from __future__ import annotations

import sys

import pytest

import bridge
from bridge import tracebacks
from bridge.errors import remote_error


def test_a_short_traceback_is_not_folded():
    assert tracebacks.folded("one\ntwo\n") == "one\ntwo\n"
    assert tracebacks.folded("") == ""


def test_what_is_folded_says_how_much():
    shown = tracebacks.folded("\n".join(map(str, range(100))))
    assert shown.splitlines() == [
        "[... 96 lines are hidden: the error's remote_traceback has them]",
        *map(str, range(96, 100)),
    ]


def test_what_is_shown_of_an_error_is_the_same_class_and_message_and_the_error_stays_whole():
    error = remote_error("failed", "no", "ValueError", "line\n" * 100)
    error.add_note("noted")
    shown = error._folded()
    assert type(shown) is type(error)
    assert shown.message == "no"
    assert shown.__notes__ == ["noted"]
    assert "96 lines are hidden" in str(shown)
    assert error.remote_traceback == "line\n" * 100
    assert str(bridge.Lagged(3)._folded()) == str(bridge.Lagged(3))


def test_without_ipython_nothing_is_asked_of_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert tracebacks.in_ipython() is None
    error = KeyboardInterrupt()
    tracebacks.hide_frames(error)
    assert not hasattr(error, "_render_traceback_")


def test_frames_are_kept_up_to_the_first_of_ours():
    with pytest.raises(ValueError, match="is no size") as caught:
        bridge.options.confirm_above = "many"
    kept, hidden = tracebacks._frames_of_the_user(caught.value.__traceback__)
    assert hidden == 2
    assert kept is not None
    assert kept.tb_frame.f_code.co_name == "test_frames_are_kept_up_to_the_first_of_ours"
    assert kept.tb_next is None
