"""Streams: pulled a little ahead, in order, and closed whatever becomes of their client."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import bridge
from bridge import calls
from bridge.calls import PREFETCH
from tests.faults.proxy import Proxy
from tests.integration.conftest import until
from tests.processes import line_of, started

LARGE = 2_500_000  # 20 MB: more than is asked for in one message, however fast the link is


@pytest.fixture
def made():
    """The numbers that the stream `count` made."""
    return []


@pytest.fixture
def closed():
    """Is set when a stream `count` was closed."""
    return threading.Event()


@pytest.fixture
def server(server, made, closed):
    @server.stream
    def count(n: int = 10**9, size: int = 0):
        try:
            for number in range(n):
                made.append(number)
                yield np.full(size, number) if size else number
        finally:
            closed.set()

    return server


def ran_ahead(made, taken):
    return len(made) == taken + PREFETCH


def no_calls(server):
    return len(server._service._calls) == 0


def has_made(made, count):
    return len(made) == count


def test_every_value_comes_once_and_in_order_and_the_generator_ends(server, client, closed):
    assert list(client.stream("count", n=500)) == list(range(500))
    assert list(client["count"](n=3)) == [0, 1, 2]
    assert list(client.stream("count", n=0)) == []
    assert closed.wait(30)
    assert no_calls(server)


def test_a_slow_client_lets_the_stream_run_ahead_by_a_bounded_number(server, client, made):
    values = client.stream("count")
    for taken in range(1, 20):
        assert next(values) == taken - 1
        until(partial(ran_ahead, made, taken))
    time.sleep(0.1)
    assert len(made) == 19 + PREFETCH
    values.close()


def test_a_stream_is_closed_when_its_client_leaves_the_loop(server, client, closed):
    for value in client.stream("count"):
        if value == 3:
            break
    assert closed.wait(30)
    until(lambda: no_calls(server))
    assert client.ping() > 0


def test_a_stream_that_outlives_its_client_is_closed_too_and_leaves_no_connection(server, closed):
    with bridge.connect(server.url) as client:
        values = client.stream("count")
        assert next(values) == 0
    values.close()
    assert closed.wait(30)
    until(lambda: no_calls(server))
    assert not client._exchange._pool._links


def test_a_stream_is_closed_when_its_client_is_interrupted(server, closed):
    code = """
import os, sys, bridge
with bridge.connect(sys.argv[1]) as b:
    try:
        for value in b.stream("count"):
            os.write(1, b"%d\\n" % value)  # a line at once, or none
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(list(b.stream("count", n=2)), flush=True)
"""
    with started("-c", code, server.url) as process:
        line_of(process)
        process.send_signal(signal.SIGINT)
        while (line := line_of(process)) != "interrupted":
            assert int(line) > 0
        assert closed.wait(30)
        assert line_of(process) == "[0, 1]"
    until(lambda: no_calls(server))


def test_a_stream_is_closed_when_its_client_was_killed(server, closed, monkeypatch):
    monkeypatch.setattr(calls, "IDLE_SECONDS", 0.2)
    code = """
import sys, time, bridge
values = bridge.connect(sys.argv[1]).stream("count")
print(next(values), flush=True)
time.sleep(1000)
"""
    with started("-c", code, server.url) as process:
        assert line_of(process) == "0"
        process.kill()
        assert closed.wait(30)
    until(lambda: no_calls(server))


def test_what_is_raised_in_mid_stream_comes_after_the_values_before(server, client):
    @server.stream
    def fails(n: int):
        yield from range(n)
        raise LookupError("told you")

    values = client.stream("fails", n=5)
    assert [next(values) for _ in range(5)] == list(range(5))
    with pytest.raises(LookupError, match="told you"):
        next(values)
    assert no_calls(server)


def test_a_value_that_cannot_be_sent_comes_after_the_values_before(server, client):
    @server.stream
    def mixed():
        yield 1
        yield print

    values = client.stream("mixed")
    assert next(values) == 1
    with pytest.raises(TypeError, match="'mixed' returned what cannot be sent"):
        next(values)


def test_large_values_come_whole(server, client):
    for number, value in enumerate(client.stream("count", n=6, size=LARGE)):
        np.testing.assert_array_equal(value, np.full(LARGE, number))
    assert client.last.windows > 1


def test_many_streams_go_on_at_once_though_each_blocks(server, client):
    released = threading.Event()

    @server.stream
    def slow(number: int):
        yield number
        released.wait(30)
        yield number + 1

    def follow(number):
        values = client.stream("slow", number=number)
        first = next(values)
        begun.release()
        return [first, *values]

    begun = threading.Semaphore(0)
    with ThreadPoolExecutor(60) as pool:
        results = pool.map(follow, range(60))
        for _ in range(60):
            assert begun.acquire(timeout=30)
        server["x"] = np.arange(3)
        np.testing.assert_array_equal(client.read("x"), np.arange(3))
        released.set()
        assert list(results) == [[number, number + 1] for number in range(60)]


def test_a_stream_that_is_silent_for_longer_than_the_timeout_is_waited_for(server):
    @server.stream
    def sleepy():
        for number in range(3):
            time.sleep(0.5)
            yield number

    with bridge.connect(server.url, timeout=0.2) as b:
        assert list(b.stream("sleepy")) == [0, 1, 2]


@pytest.mark.parametrize("size", [0, LARGE])
def test_no_value_is_lost_or_doubled_where_the_connection_is_cut(server, size):
    with Proxy(server.url) as proxy, bridge.connect(proxy.url) as b:
        for number, value in enumerate(b.stream("count", n=40, size=size)):
            assert np.all(value == number)
            if number % 4 == 0:  # in the middle of the next reply, each time at another place
                proxy.after(number, proxy.cut)
        assert number == 39
        assert len({message.connection for message in proxy.messages}) > 5


def test_a_stream_whose_server_closes_is_a_failure_and_not_the_end(server):
    with bridge.connect(server.url, timeout=0.5) as b:
        values = b.stream("count")
        next(values)
        server.close()
        with pytest.raises((bridge.RemoteError, bridge.TransportError)):
            list(values)


def test_a_server_that_closes_closes_its_streams(server, client, closed):
    values = client.stream("count")
    next(values)
    server.close()
    assert closed.wait(30)


def test_a_stream_that_is_called_like_a_function_is_a_mistake_that_is_told(server, client):
    with pytest.raises(TypeError, match=r"'count' is a stream; iterate over b\.stream"):
        client.call("count")
    until(lambda: no_calls(server))


def test_a_stream_that_was_given_up_frees_its_thread(server, client):
    client.ping()
    for _ in range(50):
        next(client.stream("count"))
    until(lambda: no_calls(server))
    assert server._streams._count < 20
