"""Limits of a server, on a socket."""

from __future__ import annotations

import contextlib
import pickle
import socket
import struct
import threading
import time

import numpy as np
import pytest

import bridge
from bridge.connections import Connections
from bridge.errors import EncodeError
from bridge.limits import STANDARD, Limits
from tests.faults.memory import only_on_linux
from tests.faults.proxy import Proxy
from tests.fuzz.targets import shake_hands
from tests.integration.conftest import until
from tests.processes import serving

KIB = 1024
MIB = 1024 * 1024
FREE = "tcp://127.0.0.1:0"


@pytest.fixture
def serve():
    servers = []

    def serve(**limits):
        servers.append(bridge.Server(FREE, limits=Limits(**limits)))
        servers[-1]["x"] = np.arange(5)
        return servers[-1].start()

    yield serve
    for server in servers:
        server.close()


def len_of(x):
    return len(x)


def connection_to(url):
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20.0)


@only_on_linux
@pytest.mark.parametrize("frame", [b"\x03" + struct.pack(">Q", MIB) + bytes(MIB), b"\x01\x00" * MIB])
def test_a_message_that_never_ends_is_cut_off(serve, frame, caplog):
    server = serve(request=4 * MIB, unfinished=16 * MIB)
    with connection_to(server.url) as stranger:
        shake_hands(stranger)
        stranger.settimeout(1.0)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while True:  # until nobody takes it any more
                stranger.sendall(frame)
        until(lambda: "no whole request" in caplog.text)
    with bridge.connect(server.url) as client:
        assert list(client.read("x")) == [0, 1, 2, 3, 4]


@only_on_linux
def test_a_slow_request_does_not_answer_for_the_memory_that_others_take(serve, caplog):
    server = serve(unfinished=16 * MIB)
    pause = threading.Event()

    @server.query
    def size(x: np.ndarray) -> int:
        return x.nbytes

    @server.query
    def hungry() -> float:
        """Take memory step by step, as who computes, while half a request is here."""
        pieces = []
        for _ in range(20):
            pieces.append(np.ones(MIB))
            pause.wait(0.03)  # so long that the server looks at its connections in between
        return float(len(pieces))

    with Proxy(server.url) as proxy, bridge.connect(proxy.url) as slow, bridge.connect(server.url) as b:
        proxy.after(3 * MIB // 2, lambda: b.call("hungry"), way="up")
        assert slow.call("size", x=np.zeros(3 * MIB, "u1")) == 3 * MIB
    assert "closed" not in caplog.text


SERVER = """
import resource, numpy, bridge
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
server = bridge.Server("tcp://127.0.0.1:0", limits=bridge.Limits(request=16 * 2**20, unfinished=128 * 2**20))
server["large"] = numpy.zeros((8, 2**20))
@server.query
def len_of(x):
    return len(x)
server.start()
print(server.url, flush=True)
input()
"""


@only_on_linux
def test_a_slow_request_does_not_answer_for_the_answers_of_others():
    is_done = threading.Event()

    def read(url: str) -> None:
        with bridge.connect(url) as client:
            while not is_done.is_set():
                assert client["large"][::-1].nbytes == 64 * MIB  # a copy, which is kept until it is read

    with serving("-c", SERVER) as (url, _), Proxy(url, rate=8 * MIB) as proxy:
        reader = threading.Thread(target=read, args=(url,))
        reader.start()
        try:
            with bridge.connect(proxy.url) as slow:
                assert slow.call("len_of", x=bytes(16 * MIB)) == 16 * MIB
        finally:
            is_done.set()
            reader.join()


@only_on_linux
def test_a_server_that_had_no_descriptor_left_still_cuts_off_what_never_ends():
    with serving("-c", SERVER) as (url, _):
        with contextlib.ExitStack() as strangers:
            for _ in range(150):
                strangers.enter_context(connection_to(url))
            time.sleep(0.5)  # while none is left, the server looks at its connections many times
        with connection_to(url) as stranger:
            shake_hands(stranger)
            stranger.settimeout(2.0)
            with pytest.raises((ConnectionError, TimeoutError)):  # nobody takes it any more
                send_frames_of_nothing(stranger, 32 * MIB)


def send_frames_of_nothing(stranger, count):
    for _ in range(count // MIB):
        stranger.sendall(b"\x01\x00" * MIB)


@only_on_linux
def test_beyond_the_limit_those_connections_go_that_never_asked_for_anything(serve):
    server = serve(connections=3)
    with bridge.connect(server.url) as client:
        strangers = [connection_to(server.url) for _ in range(4)]
        for stranger in strangers:
            stranger.sendall(b"\xff")
        closed = 0
        for stranger in strangers:
            stranger.settimeout(0.5)
            try:
                while stranger.recv(100):
                    pass
                closed += 1
            except TimeoutError:
                pass
            except ConnectionError:
                closed += 1
            stranger.close()
        assert closed >= 2
        assert list(client.read("x")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("nbytes", [MIB + 1, 3 * MIB, 30 * MIB])
def test_arguments_beyond_the_limit_of_a_server_are_refused_here_with_the_way_out(serve, nbytes):
    server = serve(request=MIB)
    server.query(len_of)
    with bridge.connect(server.url) as client:
        assert client.call("len_of", x=bytes(MIB)) == MIB
        with pytest.raises(bridge.EncodeError, match=f"has {nbytes} bytes .* takes {MIB}, .* put large"):
            client.call("len_of", x=bytes(nbytes))
        assert client.call("len_of", x=b"abc") == 3


def test_a_server_may_take_larger_arguments_than_others(serve):
    server = serve(request=70 * MIB)
    server.query(len_of)
    with bridge.connect(server.url) as client:
        assert client.call("len_of", x=bytes(65 * MIB)) == 65 * MIB


@pytest.mark.parametrize("request_bytes", [64 * KIB, MIB])
def test_what_is_put_comes_in_parts_that_the_server_takes(serve, request_bytes):
    array = np.arange(4 * MIB)
    with (
        bridge.Server(FREE, writable=True, limits=Limits(request=request_bytes)) as server,
        bridge.connect(server.url) as client,
    ):
        for size in (10_000, 4 * MIB):  # one that fits into a usual request, and one of many parts
            client.put("y", array[:size])
            assert np.array_equal(client.read("y"), array[:size])


@pytest.mark.parametrize(
    "limits", [None, {}, {"request": None}, {"request": "1"}, {"request": True}, {"request": -1}]
)
def test_a_server_that_says_nothing_of_its_limits_has_those_of_the_protocol(serve, limits):
    client = bridge.connect(serve().url)
    client._exchange.heed({"limits": limits})
    assert client._exchange._pool.most_in_request == STANDARD.request
    client.close()


def test_what_a_server_says_of_its_limits_goes_with_a_copy_and_has_a_ceiling(serve):
    with bridge.connect(serve().url) as client:
        client._hello["limits"]["request"] = 2**20
        with pickle.loads(pickle.dumps(client)) as copy:
            assert copy._exchange._pool.most_in_request == 2**20
        client._exchange.heed({"limits": {"request": 10**30}})
        assert client._exchange._pool.most_in_request == STANDARD.reply


@only_on_linux
def test_each_connection_is_counted_once_and_an_honest_one_is_never_closed(caplog):
    """However much it sends in all: what counts is what belongs to no whole message."""
    with bridge.Server(FREE, writable=True, limits=Limits(unfinished=2**30)) as server:
        with (
            contextlib.closing(
                Connections(server._listener.url, Limits(unfinished=2**30))
            ) as connections,
            bridge.connect(server.url) as client,
        ):
            for _ in range(10):
                client.put("x", np.zeros(2**20))
                connections._seen = 0.0
                assert connections.shed(server._listener.messages) == []
            peers = [key[1] for key in connections._known]
            assert len(peers) == len(set(peers)) > 0
        assert "was closed" not in caplog.text


def test_where_requests_must_be_tiny_nothing_large_is_put():
    with (
        bridge.Server(FREE, writable=True, limits=Limits(request=1000)) as server,
        bridge.connect(server.url) as client,
    ):
        client.put("x", np.zeros(100))
        with pytest.raises(EncodeError, match="80000 bytes are to be put, and this server takes 1000"):
            client.put("x", np.zeros(10_000))


def test_a_query_that_takes_too_long_is_stopped(serve):
    server, release = serve(query_seconds=0.2), threading.Event()

    @server.query
    def slow() -> bool:
        release.wait(30)
        return bridge.cancelled()

    with bridge.connect(server.url) as client:
        with pytest.raises(bridge.RemoteError, match="stopped"):
            client.call("slow")
        release.set()
        assert list(client.read("x")) == [0, 1, 2, 3, 4]
