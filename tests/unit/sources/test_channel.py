"""Channels as plain state: every row once and in order, or told how many are lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import codecs
from bridge.errors import EncodeError, RemoteError
from bridge.sources import channel as module
from bridge.sources.channel import MAX_BATCH, Channel
from bridge.sources.rows import MAX_JOINED_COLUMNS, joined


def nobody():
    """Is woken, and does nothing."""


class Timers:
    """Collects what a channel schedules, and does it on demand."""

    def __init__(self):
        self.due = []

    def __call__(self, when, function):
        self.due.append(function)

    def run(self):
        while self.due:
            self.due.pop(0)()


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def make(timers):
    return lambda keep_rows=1000: Channel(keep_rows=keep_rows, schedule=timers)


def rows_of(batch):
    return None if batch.rows is None else codecs.decode(*batch.rows)


def all_from(log, start=0):
    """Every batch from a row on."""
    batches = []
    while (batch := log.read(start)).rows is not None:
        batches.append(rows_of(batch))
        start = batch.following
    return batches


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(pd.DataFrame({"a": [1, 2, 3]}), id="frame"),
        pytest.param(pa.table({"a": [1, 2, 3]}), id="table"),
        pytest.param(np.arange(6).reshape(3, 2), id="array"),
        pytest.param([1, "b", None], id="list"),
    ],
)
def test_rows_are_numbered_and_read_from_any_number(make, rows):
    log = make()
    assert (log.append(rows), log.append(rows)) == (3, 6)
    assert (len(log), log.position("begin"), log.position("end"), log.position(4)) == (6, 0, 6, 4)
    for start in range(6):
        batches = all_from(log, start)
        assert sum(map(len, batches)) == 6 - start
        assert type(batches[0]) is type(rows)
    assert log.read(6).rows is None
    assert log.read(6).following == 6
    assert (log.entry()["rows"], log.entry()["begin"]) == (6, 0)


@pytest.mark.parametrize("rows", [None, 5, "text", b"bytes", {"a": 1}, np.array(1), pd.Series([1])])
def test_what_is_no_run_of_rows_is_refused(make, rows):
    log = make()
    with pytest.raises(EncodeError, match="append a DataFrame, an Arrow table"):
        log.append(rows)
    assert log.position("end") == 0


def test_rows_that_cannot_be_sent_are_refused(make):
    with pytest.raises(EncodeError):
        make().append([print])


def test_no_rows_change_nothing(make, timers):
    log, woken = make(), []
    log.wait(0, lambda: woken.append(True))
    assert log.append([]) == 0
    assert timers.due == woken == []


def test_rows_that_came_one_by_one_are_read_together(make):
    log = make()
    for number in range(100):
        log.append(np.array([number]))
    batch = log.read(0)
    np.testing.assert_array_equal(rows_of(batch), np.arange(100))
    assert batch.following == 100


def test_what_was_read_together_is_encoded_once(make):
    log = make()
    log.append([1])
    log.append([2])
    assert log.read(0).rows is log.read(0).rows
    assert log.read(1).rows is not log.read(0).rows


def test_nobody_waits_while_rows_are_joined_and_none_is_lost_or_doubled_meanwhile(monkeypatch):
    log = Channel(keep_rows=80, schedule=Timers())
    for number in range(10):
        log.append([number])
    joining, go_on = threading.Event(), threading.Event()

    def joined_late(pieces):
        joining.set()
        assert go_on.wait(10)
        return joined(pieces)

    monkeypatch.setattr(module, "joined", joined_late)
    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(log.read, 0)
        assert joining.wait(10)
        looks = threads.submit(lambda: (log.append([*range(10, 85)]), log.position("begin"), log.has(5)))
        try:
            assert looks.result(10) == (85, 5, False)
        finally:
            go_on.set()
        batch = reading.result(10)
    assert rows_of(batch) == [*range(10)]
    assert all_from(log, 10) == [[*range(10, 85)]]
    assert log.entry()["nbytes"] == sum(run.nbytes for run in log._runs)


def test_wide_rows_are_not_joined(make):
    log = make()
    for _ in range(3):
        log.append(pd.DataFrame(np.zeros((1, MAX_JOINED_COLUMNS + 1))))
    assert [len(rows) for rows in all_from(log)] == [1, 1, 1]


def test_a_batch_is_not_larger_than_a_message_or_is_one_append(make):
    log = make(keep_rows=10**9)
    small, large = np.zeros(MAX_BATCH // 3, np.uint8), np.zeros(2 * MAX_BATCH, np.uint8)
    for rows in (small, small, small, small, large, small):
        log.append(rows)
    sizes = [len(batch) for batch in all_from(log)]
    assert sum(sizes) == 5 * len(small) + len(large)
    assert all(size <= MAX_BATCH or size == len(large) for size in sizes)


def test_kinds_that_differ_are_not_joined(make):
    log = make()
    kinds = [[1], np.ones(1), np.ones(1, "f4"), pd.DataFrame({"a": [1]}), pa.table({"a": [1]}), [2]]
    for rows in kinds:
        log.append(rows)
    assert [type(batch) for batch in all_from(log)] == [type(rows) for rows in kinds]


def test_frames_that_pandas_would_change_are_not_joined(make):
    log = make()
    for number in range(3):
        log.append(pd.DataFrame({"a": np.array([number], ">i4")}))
    assert [batch["a"].dtype.str for batch in all_from(log)] == [">i4"] * 3


@pytest.mark.parametrize("nrows", [1, 3, 100])
@pytest.mark.parametrize("keep_rows", [1, 10, 1000])
def test_at_least_the_rows_to_keep_are_kept_and_not_many_more(make, keep_rows, nrows):
    log = make(keep_rows)
    for end in range(nrows, 3000, nrows):
        log.append(np.zeros(nrows))
        assert min(end, keep_rows) <= len(log)
        assert len(log) < keep_rows + max(nrows, keep_rows // module.KEPT_RUNS)
        assert log.entry()["nbytes"] == 8 * len(log)


def test_a_large_append_is_kept_whole(make):
    log = make(10)
    log.append(np.zeros(1000))
    assert len(log) == 1000
    log.append(np.zeros(9))
    assert len(log) == 1009
    log.append(np.zeros(1))
    assert len(log) == 10


def test_who_asks_for_dropped_rows_is_told_how_many_are_lost(make):
    log = make(keep_rows=10)
    for number in range(30):
        log.append([number])
    begin = log.position("begin")
    batch = log.read(7)
    assert (batch.rows, batch.lost, batch.following) == (None, begin - 7, begin)
    assert [row for rows in all_from(log, begin) for row in rows] == list(range(begin, 30))


def test_followers_wait_without_being_asked_again_and_are_woken_together(make, timers):
    log, woken = make(), []
    for follower in range(100):
        log.wait(0, lambda follower=follower: woken.append((follower, log.read(0))))
    assert timers.due == []
    log.append([1])
    log.append([2])
    assert (len(timers.due), woken) == (1, [])
    timers.run()
    assert [follower for follower, _ in woken] == list(range(100))
    assert {batch.following for _, batch in woken} == {2}
    assert len({id(batch.rows) for _, batch in woken}) == 1
    log.append([3])
    timers.run()
    assert len(woken) == 100


def test_who_waits_for_a_row_that_is_far_ahead_is_woken_when_it_comes(make, timers):
    log, woken = make(), []
    log.wait(2, lambda: woken.append(rows_of(log.read(2))))
    for number in range(4):
        log.append([number])
        timers.run()
    assert woken == [[2]]


def test_who_waits_for_what_came_a_moment_ago_is_woken(make, timers):
    log, woken = make(), []
    log.append([1])
    assert not log.has(0), "it may be joined with what comes next"
    log.wait(0, lambda: woken.append(rows_of(log.read(0))))
    timers.run()
    assert woken == [[1]]
    assert log.has(0)


def nothing() -> None:
    """What a follower does that does not care."""


def build(log: Channel) -> None:
    log.read(log.position("end") - 1)


def test_the_more_followers_the_rarer_they_are_woken(monkeypatch):
    times, taken = [], []
    log = Channel(keep_rows=10, schedule=lambda when, function: times.append((when, function)))
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    for followers in (1, 100, 10_000):
        for number in range(followers):
            log.wait(
                log.position("end"),
                lambda: taken.append(log.read(log.position("end") - 1)),
                client=number % 4,
            )
        log.append([1])
        times.pop()[1]()
        log.wait(log.position("end"), nobody)
        log.append([1])
        assert times[-1][0] == pytest.approx(
            1000 + min(module.GATHER_SECONDS * followers, module.MAX_GATHER_SECONDS)
        )
        times.pop()[1]()


def test_who_gives_up_waiting_is_called_once(make, timers):
    log, woken = make(), []

    def ready():
        woken.append(log.read(0).following)

    log.wait(0, ready)
    log.give_up_waiting(ready)
    log.give_up_waiting(ready)
    log.append([1])
    timers.run()
    assert woken == [0]


def test_there_is_a_limit_to_those_who_wait(make, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    log = make()
    log.wait(0, list, "a")
    log.wait(0, dict, "b")
    with pytest.raises(RemoteError) as failure:
        log.wait(0, set, "c")
    assert failure.value.code == "busy"


def test_those_who_wait_for_one_client_are_a_quarter_at_most(make, monkeypatch, timers):
    monkeypatch.setattr(module, "MAX_WAITING", 8)
    log = make()
    woken = []
    ready = [lambda n=n: woken.append(n) for n in range(5)]
    for again in range(2):
        log.wait(again, ready[0], "a")
        log.wait(again, ready[1], "a")
        with pytest.raises(RemoteError, match="2 followers of yours wait") as failure:
            log.wait(again, ready[2], "a")
        assert failure.value.code == "busy"
        log.wait(again, ready[3], "b")
        log.give_up_waiting(ready[0])
        log.wait(again, ready[4], "a")
        log.append([1])
        timers.run()
    assert woken == [0, 1, 3, 4] * 2


@settings(max_examples=200)
@given(data=st.data(), keep_rows=st.integers(1, 200))
def test_any_order_of_appends_and_reads_gives_every_row_once_or_says_how_many_are_lost(data, keep_rows):
    timers = Timers()
    log = Channel(keep_rows=keep_rows, schedule=timers)
    end = 0
    followers = [0, 0, 0]
    for _ in range(data.draw(st.integers(1, 60))):
        action = data.draw(st.sampled_from(["append", "append", "read", "wake"]))
        if action == "append":
            count = data.draw(st.sampled_from([1, 1, 1, 2, 17, 300]))
            kind = data.draw(st.sampled_from(["i8", "i4"]))
            end = log.append(np.arange(end, end + count, dtype=kind))
        elif action == "wake":
            log.wait(end - 1, nobody)
            timers.run()
        else:
            number = data.draw(st.integers(0, 2))
            start = followers[number]
            batch = log.read(start)
            followers[number] = batch.following
            if batch.lost:
                assert start + batch.lost == log.position("begin") == batch.following
            elif start < end:
                np.testing.assert_array_equal(rows_of(batch), np.arange(start, batch.following))
            else:
                assert batch.rows is None
    begin = log.position("begin")
    assert end - begin >= min(end, keep_rows)
    rest = [row for rows in all_from(log, begin) for row in rows.tolist()]
    assert rest == list(range(begin, end))
