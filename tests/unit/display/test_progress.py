"""A bar for those who look and wait, and for nobody else."""

from __future__ import annotations

import importlib.util
import io
import sys
import threading
from types import ModuleType

import tqdm.notebook

from bridge.display import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_sees_a_bar_who_does_not_look(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar("x", None) as show:
        assert show is None


def test_on_a_terminal_a_bar_appears_when_it_takes_long(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "BAR_SECONDS", -1)
    with progress.progress_bar("waveform", None) as show:
        assert show is not None
        show(0, 100)
        show(50, 100)
        show(100, 100)
    assert "waveform" in terminal.getvalue()


def test_on_a_terminal_nothing_appears_when_it_is_soon_over(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.progress_bar("waveform", None) as show:
        assert show is not None
        show(0, 100)
        show(100, 100)
    assert terminal.getvalue() == ""


def test_other_threads_draw_no_bars(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    seen = []

    def watch():
        with progress.progress_bar("x", None) as show:
            seen.append(show)

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_callback_of_the_user_is_used_as_it_is():
    def mine(done: int, total: int) -> None:
        pass

    with progress.progress_bar("x", mine) as show:
        assert show is mine


def test_a_notebook_with_widgets_has_a_bar_of_widgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert progress._tqdm() is tqdm.notebook.tqdm


def test_a_notebook_without_widgets_has_text_that_is_not_red(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(progress, "BAR_SECONDS", -1)
    with progress.progress_bar("waveform", None) as show:
        assert show is not None
        show(1, 100)
    written = capsys.readouterr()
    assert "waveform" in written.out
    assert written.err == ""
