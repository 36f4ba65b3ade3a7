"""Query functions: slow ones are waited for, dead servers noticed, unwanted ones stopped, on any executor."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import bridge
from bridge import calls
from bridge.exchange.pool import CANCEL_SECONDS
from tests.faults.proxy import Proxy
from tests.integration.conftest import until
from tests.processes import line_of, output_of, serving, started

SPAWN = multiprocessing.get_context("spawn")
PROMPTLY = 0.5

SERVER = """
import threading, time, bridge
server = bridge.Server("tcp://127.0.0.1:0")

@server.query
def wait():
    print("entered", flush=True)
    while not bridge.cancelled():
        time.sleep(0.01)
    print("cancelled", flush=True)

@server.query
def add(a, b=1):
    return a + b

print(server.url, flush=True)
server.run()
"""


def double(values):
    return 2 * values


def fail():
    raise LookupError("told you")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def unsendable():
    return {"f": double}


def process_id():
    return os.getpid()


def test_a_call_that_takes_longer_than_the_timeout_is_waited_for(server):
    @server.query
    def take(seconds: float):
        time.sleep(seconds)
        return "done"

    with bridge.connect(server.url, timeout=0.2) as b:
        assert b.call("take", seconds=1.0) == "done"
    assert len(server._service._calls) == 0


def test_a_server_that_stops_in_the_middle_of_a_call_is_noticed_within_the_timeout():
    with serving("-c", SERVER) as (url, process), bridge.connect(url, timeout=1.0) as b:
        with ThreadPoolExecutor() as pool:
            call = pool.submit(b.call, "wait")
            assert line_of(process) == "entered"
            process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            with pytest.raises(bridge.IdleTimeout):
                call.result()
            assert time.monotonic() - stopped < 1.0 + PROMPTLY + CANCEL_SECONDS
            process.send_signal(signal.SIGCONT)
        assert b.call("add", a=2) == 3


def test_a_server_that_is_killed_in_the_middle_of_a_call_is_noticed_within_the_timeout():
    with (
        serving("-c", SERVER) as (url, process),
        bridge.connect(url, timeout=1.0) as b,
        ThreadPoolExecutor() as pool,
    ):
        call = pool.submit(b.call, "wait")
        assert line_of(process) == "entered"
        process.kill()
        killed = time.monotonic()
        with pytest.raises(bridge.TransportError):
            call.result()
        assert time.monotonic() - killed < 1.0 + PROMPTLY + CANCEL_SECONDS


def test_ctrl_c_cancels_a_running_call_and_the_next_one_works():
    code = """
import sys, bridge
with bridge.connect(sys.argv[1]) as b:
    try:
        b.call("wait")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(b.call("add", a=2), flush=True)
"""
    with serving("-c", SERVER) as (url, server), started("-c", code, url) as client:
        assert line_of(server) == "entered"
        client.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert line_of(client) == "interrupted"
        assert time.monotonic() - sent < PROMPTLY
        assert line_of(server) == "cancelled"
        assert line_of(client) == "3"
        assert client.wait() == 0


def test_ctrl_c_in_a_queued_call_means_that_it_never_runs():
    ran, entered, released = [], threading.Event(), threading.Event()
    code = """
import sys, bridge
with bridge.connect(sys.argv[1]) as b:
    print("asking", flush=True)
    try:
        b.call("note", what="queued")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
    with (
        ThreadPoolExecutor(1) as pool,
        bridge.Server("tcp://127.0.0.1:0", executor=pool) as server,
        ThreadPoolExecutor() as others,
    ):

        @server.query
        def note(what: str):
            ran.append(what)
            entered.set()
            released.wait(30)

        with bridge.connect(server.url) as b, started("-c", code, server.url) as client:
            first = others.submit(b.call, "note", what="first")
            assert entered.wait(30)
            assert line_of(client) == "asking"
            until(lambda: len(server._service._calls) == 2)
            client.send_signal(signal.SIGINT)
            assert line_of(client) == "interrupted"
            until(lambda: len(server._service._calls) == 1)
            b.ping()  # is answered when what took the call out has been done to its end
            released.set()
            first.result()
            b.call("note", what="last")
    assert ran == ["first", "last"]


def test_a_call_whose_client_was_killed_expires(server, monkeypatch):
    monkeypatch.setattr(calls, "IDLE_SECONDS", 0.2)
    entered, given_up = threading.Event(), threading.Event()

    @server.query
    def wait():
        entered.set()
        while not bridge.cancelled():
            time.sleep(0.01)
        given_up.set()

    code = "import sys, bridge; bridge.connect(sys.argv[1], timeout=0.2).call('wait')"
    with started("-c", code, server.url) as client:
        assert entered.wait(30)
        client.kill()
        assert given_up.wait(30)
    until(lambda: len(server._service._calls) == 0)


def test_a_call_that_is_longer_than_its_expiry_but_waited_for_does_not_expire(server, monkeypatch):
    monkeypatch.setattr(calls, "IDLE_SECONDS", 0.3)

    @server.query
    def take():
        time.sleep(2.5)  # three looks at what expired
        return bridge.cancelled()

    with bridge.connect(server.url, timeout=0.3) as b:
        assert b.call("take") is False


def test_a_connection_that_is_cut_while_a_call_runs_does_not_lose_the_result(server):
    count, entered, released = [], threading.Event(), threading.Event()

    @server.query
    def work():
        count.append(1)
        entered.set()
        released.wait(30)
        return "done"

    with Proxy(server.url) as proxy, bridge.connect(proxy.url) as b, ThreadPoolExecutor() as pool:
        call = pool.submit(b.call, "work")
        assert entered.wait(30)
        proxy.cut()
        time.sleep(0.1)
        released.set()
        assert call.result() == "done"
    assert count == [1]


def test_large_arguments_that_do_not_fit_are_refused_before_they_are_sent(server, client):
    server.query(double)
    with pytest.raises(bridge.EncodeError, match=r"this server takes 67108864, .* in a request"):
        client.call("double", values=np.zeros(9 * 1024 * 1024))
    np.testing.assert_array_equal(client.call("double", values=np.ones(3)), 2 * np.ones(3))


def test_a_server_that_closes_ends_the_calls_that_are_under_way():
    with bridge.Server("tcp://127.0.0.1:0") as server:
        entered = threading.Event()

        @server.query
        def wait():
            entered.set()
            while not bridge.cancelled():
                time.sleep(0.01)

        with bridge.connect(server.url, timeout=2.0) as b, ThreadPoolExecutor() as pool:
            call = pool.submit(b.call, "wait")
            assert entered.wait(30)
            server.close()
            with pytest.raises((bridge.RemoteError, bridge.TransportError)):
                call.result()


# ── executors ─────────────────────────────────────────────────────────────────────────────────────


def check_executor(executor):
    """What holds on every executor."""
    with (
        bridge.Server("tcp://127.0.0.1:0", executor=executor) as server,
        bridge.connect(server.url) as b,
    ):
        for function in (double, fail, unsendable, process_id):
            server.query(function)
        np.testing.assert_array_equal(b.call("double", values=np.ones(300_000)), 2 * np.ones(300_000))
        with pytest.raises(LookupError, match="told you"):
            b.call("fail")
        with pytest.raises(TypeError, match="'unsendable' returned what cannot be sent"):
            b.call("unsendable")
        with ThreadPoolExecutor(8) as pool:
            results = pool.map(lambda n: b.call("double", values=n), range(50))
            assert list(results) == [2 * n for n in range(50)]
        return b.call("process_id")


def test_queries_run_in_threads_by_default():
    assert check_executor(None) == os.getpid()


def test_queries_run_in_a_thread_pool():
    with ThreadPoolExecutor(2) as pool:
        assert check_executor(pool) == os.getpid()


def test_queries_run_in_a_process_pool_and_a_worker_that_dies_is_a_clear_failure():
    with ProcessPoolExecutor(1, SPAWN) as pool:
        assert check_executor(pool) != os.getpid()
        with (
            bridge.Server("tcp://127.0.0.1:0", executor=pool) as server,
            bridge.connect(server.url) as b,
        ):
            server.query(die)
            server["x"] = np.arange(3)
            for _ in range(2):
                with pytest.raises(bridge.RemoteError, match=r"BrokenProcessPool.*terminated") as error:
                    b.call("die")
                assert error.value.code == "failed"
            np.testing.assert_array_equal(b.read("x"), np.arange(3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the cluster warns of is its own
def test_queries_run_on_a_dask_cluster_and_a_worker_that_dies_is_a_clear_failure():
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as dask:
        executor = dask.get_executor(pure=False, retries=0)
        assert check_executor(executor) != os.getpid()
        with (
            bridge.Server("tcp://127.0.0.1:0", executor=executor) as server,
            bridge.connect(server.url) as b,
        ):
            for function in (die, double, process_id):
                server.query(function)
            server.query(key_and_workers)
            with pytest.raises(bridge.RemoteError, match="KilledWorker") as error:
                b.call("die")
            assert error.value.code == "failed"
            assert b.call("double", values=4) == 8
            assert b.call("key_and_workers", key=1, workers=2) == [1, 2]


def key_and_workers(key, workers):
    """Whose arguments are called like those of an executor."""
    return [key, workers]


# ── results that are kept ─────────────────────────────────────────────────────────────────────────


def test_a_query_with_a_cache_is_called_once_for_the_same_arguments(server, client):
    called = []

    @server.query(cache=60)
    def work(a, b=0):
        called.append((a, b))
        if a == "fail":
            raise ValueError(a)
        return np.zeros(a) if a == LARGE else [a, b]

    for _ in range(3):
        assert client.call("work", a=1) == [1, 0]
        assert client.call("work", a=1.0) == [1.0, 0]
        assert client.call("work", a=[1], b="x") == [[1], "x"]
        assert type(client.call("work", a=True)[0]) is bool
    assert len(called) == 4
    for _ in range(2):
        with pytest.raises(ValueError, match="fail"):
            client.call("work", a="fail")
        assert len(client.call("work", a=LARGE)) == LARGE
    assert len(called) == 8, "failures and large results are not kept"


LARGE = 3 * 1024 * 1024  # 24 MiB of float64


def test_a_result_that_is_kept_and_comes_as_a_transfer_is_whole(server, client):
    @server.query(cache=60)
    def million():
        return np.arange(1_000_000)

    for _ in range(3):
        np.testing.assert_array_equal(client.call("million"), np.arange(1_000_000))


def test_a_process_that_calls_and_ends_complains_of_nothing(server):
    server.query(double)
    code = "import sys, bridge; print(bridge.connect(sys.argv[1]).call('double', values=2))"
    with contextlib.closing(bridge.connect(server.url)) as b:
        assert output_of("-c", code, server.url) == "4\n"
        assert b.call("double", values=3) == 6
