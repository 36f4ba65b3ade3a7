"""A connection that cannot be made says at which stage it failed, and soon."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import zmq

import bridge
from tests import peers
from tests.processes import output_of

# `connect` tries for 5 s; these need no longer.
TIMEOUT = 0.5


@contextlib.contextmanager
def silent_listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def refused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"tcp://127.0.0.1:{port}"


@contextlib.contextmanager
def web_server():
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def rep_that_never_answers():
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.setsockopt(zmq.LINGER, 0)
        yield f"tcp://127.0.0.1:{rep.bind_to_random_port('tcp://127.0.0.1')}"


@contextlib.contextmanager
def publisher():
    with zmq.Context() as context, context.socket(zmq.PUB) as pub:
        yield f"tcp://127.0.0.1:{pub.bind_to_random_port('tcp://127.0.0.1')}"


@pytest.mark.parametrize(
    ("peer", "stage"),
    [
        (refused_port, "refused; is its server running?"),
        (
            lambda: contextlib.nullcontext("tcp://no-such-host.invalid"),
            "the name 'no-such-host.invalid' cannot",
        ),
        (lambda: contextlib.nullcontext("ipc:///nowhere/socket"), "no connection could be made"),
        (silent_listener, "if it is a server, it may be stopped or overloaded"),
        (web_server, "something listens there, but it does not speak ZeroMQ as a server does"),
        (publisher, "something listens there, but it does not speak ZeroMQ as a server does"),
        (rep_that_never_answers, "speaks ZeroMQ, but no zbridge server answers"),
    ],
    ids=["refused", "name", "path", "silent", "http", "pub", "rep"],
)
def test_the_error_names_the_stage(peer, stage):
    with peer() as url, pytest.raises(bridge.TransportError, match=stage) as caught:
        bridge.connect(url, timeout=TIMEOUT)
    assert url in str(caught.value)


def test_a_host_that_swallows_everything_is_given_up_in_time():
    start = time.monotonic()
    with (
        peers.black_hole() as url,
        pytest.raises(bridge.TransportError, match="in time; is a firewall between"),
    ):
        bridge.connect(url, timeout=TIMEOUT)
    assert time.monotonic() - start < 2 * TIMEOUT


def test_a_catalogue_that_does_not_come_is_given_up_in_the_same_time():
    def answer(socket, frames):
        request = json.loads(frames[2])
        if request["op"] == "hello":
            reply = {"bridge": 1, "id": request["id"], "hello": {"version": "1"}}
            socket.send_multipart([*frames[:2], json.dumps(reply).encode()])

    with (
        peers.router(answer) as url,
        pytest.raises(bridge.TransportError, match="answers, but its catalogue does not come"),
    ):
        bridge.connect(url, timeout=TIMEOUT)


def test_without_room_for_a_socket_the_error_says_so():
    code = """
import resource, bridge
server = bridge.serve(x=1)
client = bridge.connect(server.url)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
links = []
from bridge.transport import Link, Listener
for make in (lambda: Link(server.url), lambda: Listener("tcp://127.0.0.1:0")):
    try:
        while True:
            links.append(make())
    except bridge.TransportError as exc:
        print(exc, flush=True)
for link in links:
    link.close()
assert client.read("x") == 1
"""
    assert output_of("-c", code).count("too many files or connections") == 2


@pytest.mark.parametrize(("version", "side"), [(2, "this"), (0, "the sending")])
def test_a_server_of_another_major_version_says_which_side_to_upgrade(version, side):
    def answer(socket, frames):
        reply = {"bridge": version, "id": json.loads(frames[2])["id"], "hello": {}}
        socket.send_multipart([*frames[:2], json.dumps(reply).encode()])

    with (
        peers.router(answer) as url,
        pytest.raises(bridge.WireError, match=f"upgrade zbridge on {side} side"),
    ):
        bridge.connect(url)


@pytest.mark.parametrize(
    "reply",
    [
        [b"hi"],
        [b""],
        [b"{}"],
        [b'{"bridge": 1, "id": 1, "hello": 5}'],
        [b'{"bridge": 1, "id": 1, "error": 5}'],
        [b'{"bridge": 1, "id": 1, "hello": {}, "buffers": [3]}', b"four"],
    ],
    ids=["text", "empty", "no version", "hello", "error", "buffers"],
)
def test_a_server_that_answers_nonsense_is_named(reply):
    def answer(socket, frames):
        socket.send_multipart([*frames[:2], *reply])

    with peers.router(answer) as url, pytest.raises(bridge.WireError):
        bridge.connect(url, timeout=TIMEOUT)


def test_a_server_without_the_delimiter_of_rep_is_named():
    def answer(socket, frames):
        socket.send_multipart([frames[0], b"not empty", b"{}"])

    with peers.router(answer) as url, pytest.raises(bridge.WireError, match="without the delimiter"):
        bridge.connect(url, timeout=TIMEOUT)


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:x", "tcp://127.0.0.1:99999999", "carrier-pigeon://home", ""]
)
def test_what_is_no_address_is_refused(url, monkeypatch):
    monkeypatch.delenv("BRIDGE_URL", raising=False)
    with pytest.raises(bridge.TransportError):
        bridge.connect(url, timeout=TIMEOUT)


def test_without_an_address_the_environment_says_where(server, monkeypatch):
    server["x"] = np.arange(3)
    monkeypatch.setenv("BRIDGE_URL", server.url)
    with bridge.connect() as b:
        assert b.url == server.url
        assert b.read("x").tolist() == [0, 1, 2]


def test_the_scheme_may_be_left_out(server):
    with bridge.connect(server.url.removeprefix("tcp://")) as b:
        assert b.url == server.url
