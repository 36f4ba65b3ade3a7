"""Timeouts, Ctrl-C, lost replies and restarts leave the client usable, and nothing hangs."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bridge
from tests import peers
from tests.processes import line_of, output_of, serving, started

# From Ctrl-C to the prompt.
PROMPTLY = 0.5
# A program that has nothing left to do ends within this, whatever is still open.
TO_EXIT = 2.0

VALUES = np.arange(5)
LARGE = np.arange(5 * 1024 * 1024, dtype=np.float64)  # 40 MiB

SERVER = """
import threading, numpy, bridge
server = bridge.Server("tcp://127.0.0.1:0")
server["x"] = numpy.arange(5)

@server.query
def wait():
    print("entered", flush=True)
    threading.Event().wait()

print(server.url, flush=True)
server.run()
"""


@pytest.fixture
def entered():
    """Is set when the query `wait` has begun."""
    return threading.Event()


@pytest.fixture
def released():
    """Lets the query `wait` return."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def server(server, entered, released):
    server.update({"x": VALUES, "large": LARGE})

    @server.query
    def wait():
        entered.set()
        released.wait()
        return "late"

    return server


def test_a_lost_reply_is_a_timeout_and_may_come_as_late_as_it_likes():
    service = bridge.Service()
    service.update({"x": VALUES, "y": VALUES + 1})
    late = []

    def answer(socket, frames):
        reply = [*frames[:2], *service.handle(frames[2:])]
        if b'"x"' in frames[2]:
            late.append(reply)
        else:
            for message in [*late, reply]:
                socket.send_multipart(message)

    with peers.router(answer) as url, bridge.connect(url) as b:
        with pytest.raises(bridge.IdleTimeout, match=r"for 0\.3 s, asked for 'get' of 'x'"):
            b.read("x", timeout=0.3)
        np.testing.assert_array_equal(b.read("y"), VALUES + 1)
        np.testing.assert_array_equal(b.read("y"), VALUES + 1)


def test_ctrl_c_ends_a_waiting_call_and_the_next_call_works(server, entered):
    code = """
import sys, bridge
with bridge.connect(sys.argv[1]) as b:
    try:
        b.call("wait")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(b.read("x"), flush=True)
"""
    with started("-c", code, server.url) as process:
        entered.wait()
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert line_of(process) == "interrupted"
        assert time.monotonic() - sent < PROMPTLY
        assert line_of(process) == str(VALUES)
        assert process.wait() == 0


def test_ctrl_c_ends_a_call_to_a_host_that_swallows_everything():
    code = """
import signal, sys, time, bridge

signal.signal(signal.SIGALRM, signal.default_int_handler)
b = bridge.Client(sys.argv[1])
signal.setitimer(signal.ITIMER_REAL, 0.3)
start = time.monotonic()
try:
    b.call("wait")
except KeyboardInterrupt:
    print(time.monotonic() - start)
"""
    with peers.black_hole() as url:
        assert 0.3 <= float(output_of("-c", code, url)) < 0.3 + PROMPTLY


def test_ctrl_c_anywhere_in_a_transfer_leaves_the_client_usable(server):
    code = """
import itertools, signal, sys, numpy, bridge

def interrupt_in(seconds):
    windows = itertools.count()

    def after_the_first(done, total):
        if next(windows) == 0:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    return after_the_first

signal.signal(signal.SIGALRM, signal.default_int_handler)
with bridge.connect(sys.argv[1]) as b:
    large = b["large"]
    for number in range(20):
        try:
            large.read(progress=interrupt_in(number * 2e-4 + 1e-5))
        except KeyboardInterrupt:
            print("interrupted")
        assert b.read("x").tolist() == [0, 1, 2, 3, 4]
    assert (b.read("large") == numpy.arange(5 * 1024 * 1024)).all()
"""
    assert output_of("-c", code, server.url).count("interrupted") > 10


def test_a_server_that_dies_in_the_middle_of_a_call_is_noticed_long_before_the_timeout():
    # A timeout longer than this test may take: whoever waits for it fails.
    with (
        serving("-c", SERVER) as (url, process),
        bridge.connect(url, timeout=1000) as b,
        ThreadPoolExecutor() as pool,
    ):
        call = pool.submit(b.call, "wait")
        assert line_of(process) == "entered"
        process.kill()
        with pytest.raises(bridge.TransportError, match="lost") as caught:
            call.result()
    assert not isinstance(caught.value, bridge.IdleTimeout)


def test_a_server_that_is_restarted_between_two_calls_is_found_again():
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server["x"] = VALUES
        client = bridge.connect(server.url)
        np.testing.assert_array_equal(client.read("x"), VALUES)
    with client, bridge.Server(client.url) as server:
        server["x"] = VALUES + 1
        np.testing.assert_array_equal(client.read("x"), VALUES + 1)


def test_a_server_of_the_same_process_is_found_again_too():
    with bridge.Client("inproc://again", timeout=PROMPTLY) as client:
        for value in (VALUES, VALUES + 1):
            with bridge.serve(x=value, url=client.url):
                np.testing.assert_array_equal(client.read("x"), value)


@pytest.fixture
def restarting():
    """A client of `large`, and the progress callback that restarts the server in each transfer.

    Each of the servers that follow serves the next of the arrays that the callback was made with.
    """
    servers = [bridge.serve(large=LARGE)]

    def restart_with(*arrays):
        following = iter(arrays)
        before = LARGE.nbytes

        def progress(done, total):
            nonlocal before
            if done <= before and (array := next(following, None)) is not None:  # a transfer begins
                url = servers[-1].url
                servers[-1].close()
                servers.append(bridge.serve(large=array, url=url))
            before = done

        return progress

    with bridge.connect(servers[0].url) as client:
        yield client, restart_with
    servers[-1].close()


def test_a_transfer_survives_a_restart_of_the_server(restarting):
    client, restart_with = restarting
    result = client["large"].read(progress=restart_with(LARGE + 1))
    np.testing.assert_array_equal(result, LARGE + 1)


def test_data_that_is_replaced_twice_during_one_read_is_an_error(restarting):
    client, restart_with = restarting
    with pytest.raises(bridge.Changed, match="'large' was replaced on the server twice"):
        client["large"].read(progress=restart_with(LARGE + 1, LARGE + 2))
    np.testing.assert_array_equal(client.read("large"), LARGE + 2)


def test_a_program_ends_with_an_open_client_and_a_query_that_never_returns():
    code = """
import threading, bridge
entered = threading.Event()
server = bridge.Server("tcp://127.0.0.1:0")

@server.query
def wait():
    entered.set()
    threading.Event().wait()

server.start()
b = bridge.connect(server.url)
threading.Thread(target=b.call, args=["wait"], daemon=True).start()
entered.wait()
print("the end", flush=True)
"""
    with started("-c", code) as process:
        assert line_of(process) == "the end"
        assert process.wait(TO_EXIT) == 0


def test_a_program_ends_with_requests_that_nobody_reads():
    service = bridge.Service()

    def answer_until_called(socket, frames):
        if b'"call"' in frames[2]:
            called.set()
            stopped.wait()
        socket.send_multipart([*frames[:2], *service.handle(frames[2:])])

    code = """
import sys, numpy, bridge
b = bridge.connect(sys.argv[1], timeout=0.3)
for _ in range(3):
    try:
        b.call("f", data=numpy.zeros(7 * 1024 * 1024))
    except bridge.IdleTimeout:
        pass
b.close()
print("the end", flush=True)
"""
    called, stopped = threading.Event(), threading.Event()
    with peers.router(answer_until_called) as url, started("-c", code, url) as process:
        try:
            assert line_of(process) == "the end"
            assert process.wait(TO_EXIT) == 0
            assert called.is_set()
        finally:
            stopped.set()
