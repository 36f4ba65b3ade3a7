"""Connections that are cut, closed by half, swallowed, parted, slow, and that change bytes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import zmq

import bridge
from bridge.transfer import MIN_IN_FLIGHT
from tests.faults import naive
from tests.faults.evidence import (
    arrived_of,
    check_only_what_was_missing_was_asked_again,
    read_noting_progress,
    until,
)
from tests.faults.proxy import Proxy
from tests.faults.served import ANYWHERE, MIB, numbers, serving

NBYTES = 3 * MIB
EXPECTED = numbers(NBYTES)
# Headers, requests and handshakes of one read are less.
FRAMING = 20_000


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "file.npy"
    np.save(path, EXPECTED)
    return {
        "array": ["numbers", NBYTES],
        "file": ["file", str(path)],
        "frame": ["frame", NBYTES],
        "small": ["numbers", 80],
    }


@pytest.fixture(scope="module")
def server(sources):
    with serving(sources) as (url, _):
        yield url


@pytest.fixture(scope="module")
def naive_server(sources):
    with serving({"array": sources["array"]}, program="naive") as (url, _):
        yield url


@pytest.fixture
def proxy(server):
    with Proxy(server) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    with bridge.connect(proxy.url, timeout=20) as client:
        yield client


def seeds(count, *, quick):
    """So many numbers, of which the first few are tried in every run."""
    return [
        pytest.param(seed, marks=[pytest.mark.slow] if seed >= quick else []) for seed in range(count)
    ]


def is_right(name, result):
    values = result.to_numpy().T.reshape(-1) if name == "frame" else result
    return np.array_equal(values, EXPECTED)


@pytest.mark.parametrize("seed", seeds(100, quick=34))
@pytest.mark.parametrize("name", ["array", "file", "frame"])
def test_a_connection_cut_at_any_byte_is_made_up_for(client, proxy, name, seed):
    chance = random.Random(f"{name} {seed}")
    action = chance.choice([proxy.cut, proxy.half_close])
    proxy.after(chance.randrange(NBYTES + FRAMING), action)
    assert is_right(name, read_noting_progress(client, name, proxy))
    check_only_what_was_missing_was_asked_again(proxy, client.last)
    assert is_right(name, client.read(name))


@pytest.mark.parametrize("seed", range(10))
def test_a_connection_cut_in_any_request_is_made_up_for(client, proxy, seed):
    proxy.after(random.Random(seed).randrange(3000), proxy.cut, way="up")
    assert is_right("array", client.read("array"))


@pytest.mark.parametrize("seed", range(5))
def test_a_connection_that_is_cut_again_and_again_makes_progress_all_the_same(client, proxy, seed):
    chance = random.Random(seed)

    def cut():
        proxy.cut()
        proxy.after(chance.randrange(150_000, NBYTES // 4), cut)

    proxy.after(chance.randrange(NBYTES // 4), cut)
    assert is_right("array", client.read("array"))
    assert client.last.retries > 0


def test_a_loss_is_noticed_also_when_the_next_connection_stands_already(proxy):
    with bridge.connect(proxy.url, timeout=600) as client:  # longer than this test may take

        def lose_and_connect_again(done, total):
            if proxy.handshakes == 1:
                proxy.now(proxy.cut)
                until(lambda: proxy.handshakes == 2)

        assert is_right("array", client.read("array", progress=lose_and_connect_again))


@pytest.mark.parametrize("seed", range(3))
def test_cut_in_mid_reply_the_naive_client_waits_in_vain(naive_server, seed):
    with Proxy(naive_server) as proxy:
        proxy.after(random.Random(seed).randrange(200, NBYTES), proxy.cut)
        with pytest.raises(zmq.Again):
            naive.read(proxy.url, "array", timeout=0.5)


def test_a_server_that_refuses_connections_from_now_on_is_a_clear_error(client, proxy):
    proxy.after(NBYTES // 2, proxy.refuse)
    with pytest.raises(bridge.TransportError) as caught:
        client.read("array", timeout=1.0)
    arrived, total = arrived_of(caught.value)
    assert 0 < arrived < total == NBYTES


def test_a_connection_that_swallows_everything_is_replaced(client, proxy):
    proxy.after(NBYTES // 2, proxy.swallow)
    result = client.read("array", timeout=2.0)
    assert is_right("array", result)
    assert client.last.retries > 0


def test_a_network_that_swallows_everything_is_an_idle_timeout(client, proxy):
    proxy.after(NBYTES // 2, proxy.partition)
    with pytest.raises(bridge.IdleTimeout) as caught:
        client.read("array", timeout=1.0)
    arrived, total = arrived_of(caught.value)
    assert 0 < arrived < total == NBYTES


def test_swallowed_in_mid_reply_the_naive_client_waits_in_vain(naive_server):
    with Proxy(naive_server) as proxy:
        proxy.after(NBYTES // 2, proxy.swallow)
        with pytest.raises(zmq.Again):
            naive.read(proxy.url, "array", timeout=2.0)


@pytest.mark.parametrize("timeout", [4.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_a_transfer_survives_a_partition_that_heals(client, proxy, timeout):
    # With the shorter one, connections are given up and tried again in the meantime.
    seconds = 2.5 if timeout < 10 else 5.0
    proxy.after(NBYTES // 2, lambda: proxy.partition(seconds))
    assert is_right("array", client.read("array", timeout=timeout))


@pytest.mark.parametrize("piece", [1, 7])
def test_a_small_answer_comes_right_in_the_smallest_pieces(server, piece):
    with Proxy(server, piece=piece) as proxy, bridge.connect(proxy.url) as client:
        assert np.array_equal(client.read("small"), numbers(80))


@pytest.mark.parametrize("piece", [1000, 1460])
def test_a_large_answer_comes_right_in_small_pieces(server, piece):
    with Proxy(server, piece=piece) as proxy, bridge.connect(proxy.url) as client:
        assert is_right("array", client.read("array"))


# Of a message or a window, nothing shows before its end: so slow may a link be.
SECONDS = 1.0
SLOW = 5 * 64_000  # as 64 kB/s for a timeout of five seconds


@pytest.mark.parametrize("nbytes", [250_000, 800_000])
def test_a_slow_link_is_waited_for_as_long_as_something_arrives(nbytes):
    expected = numbers(nbytes)
    with (
        bridge.Server(ANYWHERE, writable=True) as server,
        Proxy(server.url, rate=SLOW) as proxy,
        bridge.connect(proxy.url, timeout=SECONDS) as client,
    ):
        server["x"] = expected
        assert np.array_equal(client.read("x"), expected)
        client.put("y", expected)
        assert client.last is not None
        assert client.last.retries == 0
        with bridge.connect(server.url) as beside:
            assert np.array_equal(beside.read("y"), expected)


def test_a_link_that_becomes_slow_is_waited_for_too():
    nbytes = 20 * MIB  # more than is asked for in one message, however fast the link was
    with (
        serving({"array": ["numbers", nbytes]}) as (url, _),
        Proxy(url) as proxy,
        bridge.connect(proxy.url, timeout=SECONDS) as client,
    ):

        def slow_down(done, total):
            if done > nbytes - MIB:
                proxy.rate = SLOW

        assert np.array_equal(client.read("array"), numbers(nbytes))
        assert np.array_equal(client.read("array", progress=slow_down), numbers(nbytes))


def test_what_was_deleted_is_not_deleted_again_where_the_reply_is_lost():
    with (
        bridge.Server(ANYWHERE, writable=True) as server,
        Proxy(server.url) as proxy,
        bridge.connect(proxy.url) as client,
    ):
        server["x"] = EXPECTED
        client.ping()
        proxy.after(1, proxy.cut)
        with pytest.raises(bridge.TransportError, match="was lost"):
            del client["x"]
        assert list(client) == []


def test_many_answers_survive_a_cut(client, proxy):
    names = ["small"] * 30 + ["array"] + ["small"] * 30
    for seed in range(10):
        proxy.after(random.Random(seed).randrange(10_000), proxy.cut)
        results = client.read_many(names)
        assert is_right("array", results.pop(30))
        assert all(np.array_equal(result, numbers(80)) for result in results)


def framing_of(server):
    """The places of all that is not payload, in a read's first windows and before them.

    Those are asked for together; from then on, each read has windows of its own sizes.
    """
    with Proxy(server) as proxy, bridge.connect(proxy.url) as client:
        first = len(proxy.frames)
        client.read("array")
    places: list[int] = []
    at = payload = 0
    for size in proxy.frames[first:]:
        head = 2 if size < 256 else 9
        is_payload = size > 1000
        places += range(at, at + head + (0 if is_payload else size))
        at += head + size
        payload += size if is_payload else 0
        if payload == MIN_IN_FLIGHT:
            break
    return places


@pytest.mark.parametrize("seed", seeds(100, quick=10))
def test_a_flipped_bit_in_the_framing_is_no_wrong_byte_in_the_array(server, proxy, seed):
    chance = random.Random(seed)
    place = chance.choice(framing_of(server))
    with bridge.connect(proxy.url) as client:
        proxy.after(place, lambda: proxy.flip(chance.randrange(8)))
        try:
            result = client.read("array", timeout=1.0)
        except bridge.BridgeError:
            proxy.after(0, lambda: None)
        else:
            # In the descriptor, the flip may have made it another array of the same bytes: ">i8". As with
            # those of the payload, that is for TCP's checksums or for encryption to find.
            assert result.tobytes() == EXPECTED.tobytes()
        assert is_right("array", client.read("array"))
