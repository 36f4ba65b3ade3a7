"""Functions that are called at their times, and waits that end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.timers import Timers


def test_timers_run_in_the_order_of_their_times_and_say_when_the_next_is_due():
    timers, ran, added = Timers(), [], []
    timers.on_add = lambda: added.append(True)
    timers.add(3.0, lambda: ran.append(3))
    timers.add(1.0, lambda: ran.append(1))
    take_back = timers.add(2.0, lambda: ran.append(2))
    assert len(added) == 2, "who sleeps is woken for an earlier time only"
    assert timers.run(0.5, 10.0) == 0.5
    take_back()
    assert timers.run(2.5, 10.0) == 0.5
    assert timers.run(3.5, 10.0) == 10.0
    assert ran == [1, 3]


def test_a_wait_with_a_limit_ends_once():
    timers = Timers()
    given: list[str] = []
    waiting: list[Any] = []
    timers.limit(5.0, waiting.append, lambda deliver: deliver("late"), given.append)
    waiting[0]("in time")
    timers.run(time.monotonic() + 10, 1.0)
    assert given == ["in time"]
    timers.limit(5.0, waiting.append, lambda deliver: deliver("late"), given.append)
    timers.run(time.monotonic() + 10, 1.0)
    assert given == ["in time", "late"]
    timers.limit(5.0, lambda deliver: deliver("at once"), lambda _: pytest.fail("late"), given.append)
    timers.run(time.monotonic() + 10, 1.0)
    assert given == ["in time", "late", "at once"]


def test_what_was_taken_back_is_not_kept_until_its_time():
    timers, ran = Timers(), []
    timers.add(2.0, lambda: ran.append("first"))
    for _ in range(100):
        timers.add(1000.0, ran.clear)()
    assert len(timers) <= 3
    take_back = timers.add(3.0, lambda: ran.append("last"))
    timers.run(5.0, 1.0)
    take_back()
    take_back()
    assert (ran, len(timers)) == (["first", "last"], 0)
