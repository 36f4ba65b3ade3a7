"""Live channels: every follower gets every row in order, or is told how many it lost."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bridge
from bridge.sources import channel
from tests.faults.proxy import Proxy
from tests.integration.conftest import until
from tests.processes import line_of, started

FOLLOWERS = """
import sys, threading, bridge

url, followers, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
b = bridge.connect(url)
complete = []

def follow():
    at = 0
    for rows in b.follow("log", start="begin"):
        rows = rows["n"].tolist() if hasattr(rows, "columns") else list(rows)
        assert rows == list(range(at, at + len(rows))), (at, rows[:10])
        at += len(rows)
        if at >= total:
            complete.append(at)
            return

threads = [threading.Thread(target=follow) for _ in range(followers)]
for thread in threads:
    thread.start()
print("following", flush=True)
for thread in threads:
    thread.join()
print(complete == [total] * followers, flush=True)
"""


@pytest.fixture
def log(server):
    return server.channel("log")


def waiting(log):
    return len(log._waiting)


def numbers(followed, count):
    """The first rows that come."""
    rows: list[Any] = []
    while len(rows) < count:
        rows += list(next(followed))
    return rows


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: [n], id="lists"),
        pytest.param(lambda n: pd.DataFrame({"n": [n], "half": [n / 2]}), id="frames"),
    ],
)
def test_two_hundred_followers_get_every_row_of_a_thousand_a_second_in_order(server, log, make):
    seconds, rate, processes, followers = 2, 1000, 4, 50
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(started("-c", FOLLOWERS, server.url, followers, rate * seconds))
            for _ in range(processes)
        ]
        for client in clients:
            assert line_of(client) == "following"
        until(lambda: waiting(log) == processes * followers)
        threads = threading.active_count()
        begun = time.monotonic()
        for number in range(rate * seconds):
            log.append(make(number))
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        assert [line_of(client) for client in clients] == ["True"] * processes
        assert threading.active_count() <= threads + 40, "followers take no threads"


def test_followers_that_wait_take_no_thread(server, log, client):
    before = None
    with ThreadPoolExecutor(50) as pool:
        followers = [client.follow("log", start="begin") for _ in range(50)]
        followed = pool.map(next, followers)
        until(lambda: waiting(log) == 50)
        before = [t for t in threading.enumerate() if t.name.startswith("bridge-work")]
        log.append([1])
        assert list(followed) == [[1]] * 50
    assert len(before) <= 1


@pytest.mark.parametrize(
    ("start", "expected"),
    [("begin", [0, 1, 2, 3, 4, 5]), ("end", [5]), (2, [2, 3, 4, 5]), (5, [5])],
)
def test_a_follower_begins_where_it_says(log, client, start, expected):
    for number in range(5):
        log.append([number])
    followed = client.follow("log", start=start)
    log.append([5])
    assert numbers(followed, len(expected)) == expected


def test_a_channel_is_not_read_as_if_the_rows_at_hand_were_all_of_them(log, client):
    log.append([0])
    with pytest.raises(bridge.RemoteError, match="'log' is a channel; follow it"):
        client.read("log")
    with pytest.raises(bridge.RemoteError, match="'log' is a channel; follow it"):
        client.read_many(["log"])


@pytest.mark.parametrize("start", ["begin", "end", 3])
def test_what_is_no_channel_is_not_followed(server, client, start):
    server["array"] = np.arange(3)
    with pytest.raises(bridge.RemoteError, match="'array' is no channel to follow; read it"):
        next(client.follow("array", start=start))


def test_end_is_where_the_channel_ends_when_follow_is_called(log, client):
    log.append([0])
    followed = client.follow("log")
    log.append([1])
    log.append([2])
    assert numbers(followed, 2) == [1, 2]


def test_a_row_that_is_far_ahead_is_waited_for_and_not_asked_for_again_and_again(server, log):
    with (
        Proxy(server.url) as proxy,
        bridge.connect(proxy.url, timeout=2.0) as b,
        ThreadPoolExecutor() as pool,
    ):
        followed = pool.submit(next, b.follow("log", start=3))
        until(lambda: waiting(log) == 1)
        for number in range(5):
            log.append([number])
            time.sleep(0.02)
        assert followed.result()[0] == 3
        assert len([m for m in proxy.messages if m.way == "up" and m.header["op"] == "get"]) == 1


def test_a_silent_channel_is_waited_for(server, log):
    with bridge.connect(server.url, timeout=0.2) as b, ThreadPoolExecutor() as pool:
        followed = pool.submit(next, b.follow("log"))
        time.sleep(0.7)
        log.append(["at last"])
        assert followed.result() == ["at last"]


def test_a_follower_that_fell_behind_is_told_how_many_rows_it_lost(server, client):
    log = server.channel("log", keep_rows=10)
    log.append([0])
    followed = client.follow("log", start="begin")
    assert next(followed) == [0]
    for number in range(1, 100):
        log.append([number])
    begin = client["log"]  # the catalogue says where it begins
    assert begin.rows == 100
    with pytest.raises(bridge.Lagged) as lagged:
        next(followed)
    first = 100 - len(log)
    assert lagged.value.lost == first - 1
    assert numbers(client.follow("log", start="begin"), len(log)) == list(range(first, 100))


def test_fast_and_slow_followers_of_one_channel_all_get_every_row(log, client):
    slow, slower = client.follow("log", start="begin"), client.follow("log", start="begin")
    fast_rows, slow_rows = [], []
    fast = client.follow("log", start="begin")
    for number in range(300):
        log.append(np.array([number]))
        fast_rows += next(fast).tolist()
        if number % 50 == 49:
            slow_rows += next(slow).tolist()
    assert fast_rows == list(range(300))
    rest = numbers(slow, 300 - len(slow_rows))
    assert slow_rows + rest == list(range(300))
    assert numbers(slower, 300) == list(range(300))


def test_rows_of_any_kind_follow_each_other_as_they_were_appended(log, client):
    kinds = [
        pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]}, index=[7, 9]),
        pa.table({"a": [1, None]}),
        np.arange(6).reshape(3, 2),
        np.ma.array([1, 2], mask=[True, False]),
        [{"a": 1}, None, "text"],
        np.arange(500_000),  # a transfer
    ]
    followed = client.follow("log", start="begin")
    for rows in kinds:
        log.append(rows)
    for rows in kinds:
        batch = next(followed)
        assert type(batch) is type(rows)
        if isinstance(rows, pd.DataFrame):
            pd.testing.assert_frame_equal(batch, rows)
        elif isinstance(rows, np.ndarray):
            np.testing.assert_array_equal(batch, rows)
        else:
            assert batch == rows


def test_clients_append_where_they_may_and_rows_of_each_keep_their_order():
    with bridge.Server("tcp://127.0.0.1:0", writable=["log"]) as server:
        server.channel("log")
        server.channel("other")
        with bridge.connect(server.url) as b, ThreadPoolExecutor(4) as pool:

            def append(client):
                return [b.append("log", [(client, number)]) for number in range(50)]

            counts = list(pool.map(append, range(4)))
            rows = numbers(b.follow("log", start="begin"), 200)
            with pytest.raises(PermissionError):
                b.append("other", [1])
            with pytest.raises(TypeError, match="is no run of rows"):
                b.append("log", {"a": 1})
    assert sorted(itertools.chain(*counts)) == list(range(1, 201))
    for client in range(4):
        assert [number for who, number in rows if who == client] == list(range(50))


@pytest.mark.parametrize("serves_it", [True, False], ids=["with the channel", "without it"])
def test_a_follower_of_a_server_that_was_restarted_is_told(serves_it):
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server.channel("log").append([1])
        b = bridge.connect(server.url)
        followed = b.follow("log", start="begin")
        assert next(followed) == [1]
    with b, bridge.Server(b.url) as server:
        if serves_it:
            server.channel("log").append([1, 2, 3])
        with pytest.raises(bridge.Changed if serves_it else KeyError, match="'log'"):
            next(followed)


def test_no_row_is_lost_or_doubled_where_the_connection_is_cut(server, log):
    with Proxy(server.url) as proxy, bridge.connect(proxy.url) as b:
        followed = b.follow("log", start="begin")
        rows = []
        for number in range(60):
            log.append(np.array([number]))
            if number == 30:
                log.append(np.arange(31, 400_031))  # a transfer
            if number % 5 == 0:
                proxy.after(number if number < 30 else 100_000, proxy.cut)
            rows += next(followed).tolist()
            if number == 30:
                break
        while len(rows) < 400_031:
            rows += next(followed).tolist()
    assert rows == list(range(400_031))


def test_a_follower_that_is_interrupted_leaves_the_client_usable(server, log):
    code = """
import sys, bridge
with bridge.connect(sys.argv[1]) as b:
    try:
        for rows in b.follow("log"):
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(next(b.follow("log", start="begin")), flush=True)
"""
    with started("-c", code, server.url) as process:
        until(lambda: waiting(log) == 1)
        process.send_signal(signal.SIGINT)
        assert line_of(process) == "interrupted"
        log.append([1])
        assert line_of(process) == "[1]"


def test_nothing_is_left_of_followers_that_were_killed(server, log):
    code = "import sys, bridge; next(bridge.connect(sys.argv[1], timeout=1.0).follow('log'))"
    with started("-c", code, server.url) as process:
        until(lambda: waiting(log) == 1)
        process.kill()
        until(lambda: waiting(log) == 0)
    log.append([1])


def test_a_client_that_asks_for_more_followers_than_may_wait_is_refused(server, log, monkeypatch):
    monkeypatch.setattr(channel, "MAX_WAITING", 1)
    with bridge.connect(server.url) as b, ThreadPoolExecutor() as pool:
        first = pool.submit(next, b.follow("log"))
        until(lambda: waiting(log) == 1)
        with pytest.raises(bridge.RemoteError, match="wait already") as refused:
            next(b.follow("log", start=0))
        assert refused.value.code == "busy"
        log.append([1])
        assert first.result() == [1]
