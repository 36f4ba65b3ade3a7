"""Whatever comes in over the socket, the server lives and an honest client is answered."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import numpy as np
import pytest
import zmq

import bridge

VALUES = np.arange(5)
PING = json.dumps({"bridge": 1, "id": 1, "op": "hello"}).encode()

# A ZMTP 3.0 greeting: signature, version, mechanism, as-server, filler.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"


@pytest.fixture
def server(server):
    server["x"] = VALUES
    return server


@pytest.fixture
def dealer(server):
    """A raw socket that sends what it likes."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(server.url)
        yield socket


def tcp(server):
    host, _, port = server.url.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)))


def reply_to(dealer):
    """The next reply's frames, without the envelope."""
    assert dealer.poll(5000), "no reply came"
    frames = dealer.recv_multipart()
    return frames[frames.index(b"") + 1 :]


def assert_answers(server):
    with bridge.connect(server.url) as b:
        np.testing.assert_array_equal(b.read("x"), VALUES)


NO_ZEROMQ = {
    "nothing": b"",
    "zeros": bytes(1000),
    "all bytes": bytes(range(256)) * 40,
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "half a signature": GREETING[:5],
    "a signature": GREETING[:10],
    "a greeting": GREETING,
    "another mechanism": GREETING.replace(b"NULL", b"EVIL"),
    "half a handshake": GREETING + READY[:7],
    "a handshake": GREETING + READY,
    "half a frame": GREETING + READY + b"\x00\x7fhello",
    "a message that goes on": GREETING + READY + b"\x01\x00\x01\x01a",
    "a frame of 2**63 - 1 bytes": GREETING + READY + b"\x02\x7f" + b"\xff" * 7,
    "a frame of 2**64 - 1 bytes": GREETING + READY + b"\x02" + b"\xff" * 8,
}


@pytest.mark.parametrize("data", NO_ZEROMQ.values(), ids=NO_ZEROMQ)
def test_what_is_no_zeromq_hurts_nobody(server, data):
    with tcp(server) as stays, tcp(server) as goes:
        for connection in (stays, goes):
            with contextlib.suppress(ConnectionError):  # the server hangs up when it has seen enough
                connection.sendall(data)
        goes.close()
        assert_answers(server)
    assert_answers(server)


def test_a_peer_of_an_older_zmtp_does_not_stop_the_server(server):
    with tcp(server) as old:  # version 1.0 has no greeting: the length of a frame, its flags, its bytes
        old.sendall(b"\x01\x00" + b"\x01\x01" + b"\x24\x00" + PING[:35])
        assert_answers(server)
    assert_answers(server)


def test_many_connections_that_never_speak_hold_nobody_up(server):
    connections = [tcp(server) for _ in range(100)]
    try:
        assert_answers(server)
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "frames",
    [
        [b"no delimiter"],
        [b""],
        [b"a", b"b", b"c"],
        [b"label"] * 300 + [b"", PING],
        [b"x"] * 100_000,
        [bytes(256), b"", PING],
        [b"label", bytes(10_000_000), b"", PING],
    ],
    ids=[
        "one frame",
        "nothing after it",
        "three frames",
        "300 labels",
        "100000 frames",
        "a long label",
        "10 MB",
    ],
)
def test_what_has_no_envelope_to_answer_to_is_dropped(server, dealer, frames):
    dealer.send_multipart(frames)
    dealer.send_multipart([b"", PING])
    assert b'"hello"' in reply_to(dealer)[0]
    assert not dealer.poll(0)
    assert_answers(server)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"not json"], "bad_request"),
        ([b"\xff\xfe"], "bad_request"),
        ([b"[" * 60_000], "bad_request"),
        ([b"x" * 70_000], "too_large"),
        ([b'{"bridge": 1, "id": 1, "op": "hello"}', b"a frame too many"], "bad_request"),
        ([b'{"bridge": 1, "id": 1, "op": "fly"}'], "unsupported"),
        ([b'{"bridge": 2, "id": 1, "op": "hello"}'], "unsupported"),
        ([PING] + [b"x"] * 100_000, "bad_request"),
        ([PING] + [bytes(34 * 1024 * 1024)] * 2, "bad_request"),
    ],
    ids=["text", "bytes", "depth", "length", "frames", "op", "version", "100000 frames", "68 MiB"],
)
def test_a_broken_request_is_answered_with_a_failure(server, dealer, frames, code):
    dealer.send_multipart([b"", *frames])
    (header,) = reply_to(dealer)
    assert json.loads(header)["error"]["code"] == code
    assert_answers(server)


def test_envelopes_of_proxies_come_back_as_they_were(server, dealer):
    longest = bytes(255)
    dealer.send_multipart([b"one", longest, b"", PING])
    assert dealer.poll(5000)
    assert dealer.recv_multipart()[:3] == [b"one", longest, b""]


def test_a_plain_req_socket_with_correlation_is_answered(server):
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.setsockopt(zmq.LINGER, 0)
        req.setsockopt(zmq.REQ_CORRELATE, 1)
        req.connect(server.url)
        req.send(PING)
        assert req.poll(5000)
        assert b'"hello"' in req.recv()


def test_a_peer_that_never_reads_its_replies_holds_nobody_up(server, dealer):
    server["large"] = np.zeros(4 * 1024 * 1024)
    request = json.dumps({"bridge": 1, "id": 1, "op": "get", "name": "large"}).encode()
    for _ in range(64):
        dealer.send_multipart([b"", request])
    assert_answers(server)


def test_small_replies_that_nobody_reads_do_not_pile_up():
    limits = bridge.Limits(client_unread=100_000, client_requests=50)
    with (
        bridge.Server("tcp://127.0.0.1:0", limits=limits) as server,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as rude,
    ):
        server["x"] = VALUES
        server["small"] = np.zeros(220)
        rude.setsockopt(zmq.LINGER, 0)
        rude.setsockopt(zmq.SNDHWM, 0)
        rude.setsockopt(zmq.RCVHWM, 1)
        rude.setsockopt(zmq.RCVBUF, 4096)
        rude.connect(server.url)
        for number in range(12_000):
            request = {"bridge": 1, "id": number, "op": "get", "name": "small"}
            rude.send_multipart([b"", json.dumps(request).encode()])
        sent = -1
        while sent != server._listener.sent:
            sent = server._listener.sent
            time.sleep(0.5)
        assert sent < 12 * 2**20  # most of it is in the system's buffers
        assert_answers(server)


def test_equal_ids_of_one_peer_are_each_answered(server, dealer):
    for _ in range(3):
        dealer.send_multipart([b"", PING])
    for _ in range(3):
        assert json.loads(reply_to(dealer)[0])["id"] == 1


def test_nobody_takes_the_replies_of_another_by_claiming_his_routing_id(server):
    with (
        zmq.Context() as context,
        context.socket(zmq.DEALER) as one,
        context.socket(zmq.DEALER) as other,
    ):
        for named in (one, other):
            named.setsockopt(zmq.LINGER, 0)
            named.setsockopt(zmq.ROUTING_ID, b"me")
        one.connect(server.url)
        one.send_multipart([b"", PING])
        assert b'"hello"' in reply_to(one)[0]
        other.connect(server.url)
        other.send_multipart([b"", PING])
        for _ in range(20):
            one.send_multipart([b"", PING])
            assert b'"hello"' in reply_to(one)[0]
        assert not other.poll(0)
        assert_answers(server)
