"""Servers that are killed, restarted and stopped while they are being read from."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zmq

import bridge
from tests.faults import naive
from tests.faults.evidence import (
    arrived_of,
    check_only_what_was_missing_was_asked_again,
    read_noting_progress,
)
from tests.faults.proxy import Proxy
from tests.faults.served import MIB, numbers, serving

NBYTES = 4 * MIB
# More than connections have on the way: what is killed in the midst of this has not sent the rest.
LARGE = 64 * MIB
# While a server starts, a client has to wait.
PATIENCE = 40.0


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "file.npy", numbers(LARGE))
    return str(tmp_path / "file.npy")


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("at", [0.01, pytest.param(0.4, marks=pytest.mark.slow), 0.8])
def test_a_server_restarted_with_a_file_is_asked_only_for_what_was_missing(path, pool, at):
    sources = {"file": ["file", path]}
    with (
        serving(sources) as (url, process),
        Proxy(url) as proxy,
        bridge.connect(proxy.url, timeout=PATIENCE) as client,
    ):
        proxy.after(int(at * LARGE), process.kill)
        reading = pool.submit(read_noting_progress, client, "file", proxy)
        process.wait()
        with serving(sources, url=url):
            assert np.array_equal(reading.result(), numbers(LARGE))
        assert client.last is not None
        assert client.last.retries > 0
        check_only_what_was_missing_was_asked_again(proxy, client.last)


@pytest.mark.parametrize("nbytes", [LARGE, LARGE // 2, 80])
def test_a_server_restarted_with_other_values_gives_those_whole(pool, nbytes):
    with (
        serving({"array": ["numbers", LARGE]}) as (url, process),
        Proxy(url) as proxy,
        bridge.connect(proxy.url, timeout=PATIENCE) as client,
    ):
        proxy.after(LARGE // 2, process.kill)
        reading = pool.submit(client.read, "array")
        process.wait()
        with serving({"array": ["numbers", nbytes, 1]}, url=url):
            assert np.array_equal(reading.result(), numbers(nbytes, seed=1))


def test_a_server_restarted_twice_with_other_values_is_a_change(pool):
    def values(seed):
        return {"array": ["numbers", LARGE, seed]}

    with (
        serving(values(0)) as (url, first),
        Proxy(url) as proxy,
        bridge.connect(proxy.url, timeout=PATIENCE) as client,
    ):
        proxy.after(LARGE // 2, first.kill)
        reading = pool.submit(client.read, "array")
        first.wait()
        with serving(values(1), url=url) as (_, second):
            proxy.after(LARGE // 2, second.kill)
            second.wait()
        with serving(values(2), url=url):
            with pytest.raises(bridge.Changed, match="'array' was replaced on the server twice"):
                reading.result()
            assert np.array_equal(client.read("array"), numbers(LARGE, seed=2))


@pytest.mark.parametrize("source", ["array", "file"])
def test_a_server_that_died_is_an_error_within_the_timeout_that_says_how_much_had_arrived(path, source):
    sources = {"array": ["numbers", LARGE], "file": ["file", path]}
    with (
        serving(sources) as (url, process),
        Proxy(url) as proxy,
        bridge.connect(proxy.url) as client,
    ):
        proxy.after(LARGE // 2, process.kill)
        with pytest.raises(bridge.TransportError) as caught:
            client.read(source, timeout=1.0)
    arrived, total = arrived_of(caught.value)
    assert 0 < arrived < total == LARGE
    assert f"{arrived} of {LARGE} bytes had arrived" in caught.value.__notes__


def test_when_its_server_is_restarted_the_naive_client_waits_in_vain(path, pool):
    sources = {"file": ["file", path]}
    with serving(sources, program="naive") as (url, process), Proxy(url) as proxy:
        proxy.after(LARGE // 2, process.kill)
        reading = pool.submit(naive.read, proxy.url, "file", timeout=3.0)
        process.wait()
        with serving(sources, url=url, program="naive"), pytest.raises(zmq.Again):
            reading.result()


@pytest.mark.parametrize("timeout", [30.0, 5.0])
def test_a_server_that_is_stopped_for_a_while_is_waited_for(timeout):
    # With the shorter one, the client tries another connection in the meantime.
    with (
        serving({"array": ["numbers", NBYTES]}) as (url, process),
        Proxy(url) as proxy,
        bridge.connect(proxy.url, timeout=timeout) as client,
    ):

        def stop():
            process.send_signal(signal.SIGSTOP)
            threading.Timer(3.0, process.send_signal, [signal.SIGCONT]).start()

        proxy.after(NBYTES // 4, stop)
        assert np.array_equal(client.read("array"), numbers(NBYTES))
