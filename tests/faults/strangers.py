"""Strangers, who mean no good: ``python -m tests.faults.strangers NAME HOST PORT [KEY]``.

Each speaks ZMTP by hand, and goes on until it is killed, as fast as it can. KEY is the server's public key, in
hex, which is no secret.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from tests.fuzz.targets import GREETING, shake_hands, zmtp

MIB = 1024 * 1024


class Stranger:
    """Where a server listens, and what to do there."""

    def __init__(self, host: str, port: int, server_key: bytes) -> None:
        self._address = (host, port)
        self._server_key = server_key

    def connection(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=20.0)

    def peer(self, name: bytes = b"") -> socket.socket:
        """A connection that has been through the handshake, under a routing id of its own."""
        sock = self.connection()
        if not name:
            shake_hands(sock)
            return sock
        body = (
            b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity" + struct.pack(">I", len(name)) + name
        )
        sock.sendall(GREETING)
        sock.recv(64)
        sock.sendall(b"\x04" + bytes([len(body)]) + body)
        return sock

    def peer_of_no_name(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        """A socket that proves a key that nobody knows."""
        sock = context.socket(zmq.DEALER)
        sock.curve_publickey, sock.curve_secretkey = zmq.curve_keypair()
        sock.setsockopt(zmq.CURVE_SERVERKEY, self._server_key)
        sock.setsockopt(zmq.LINGER, 0)
        sock.connect("tcp://{}:{}".format(*self._address))
        return sock


def request(op: str, number: int = 1, **keys: Any) -> bytes:
    return zmtp([b"", json.dumps({"bridge": 1, "id": number, "op": op, **keys}).encode()])


def garbage(stranger: Stranger) -> None:
    with stranger.connection() as sock:
        sock.sendall(bytes(range(256)) * 256)
        sock.recv(1)


def http(stranger: Stranger) -> None:
    with stranger.connection() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(1)


def port_scan(stranger: Stranger) -> None:
    stranger.connection().close()


_open: list[socket.socket] = []


def half_open_handshakes(stranger: Stranger) -> None:
    if len(_open) < 400:
        _open.append(stranger.connection())
        _open[-1].sendall(GREETING[:33])
    else:
        time.sleep(0.1)
        _open.pop(0).close()


def a_frame_of_2_to_the_63(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        sock.sendall(b"\x02" + struct.pack(">Q", 2**63))
        sock.recv(1)


def claims_of_the_largest_frame(stranger: Stranger) -> None:
    if len(_open) < 200:
        _open.append(stranger.peer())
        _open[-1].sendall(b"\x02" + struct.pack(">Q", 64 * MIB) + bytes(1000))
    else:
        time.sleep(1.0)


def an_endless_multipart(stranger: Stranger) -> None:
    frame = b"\x03" + struct.pack(">Q", MIB) + bytes(MIB)
    with stranger.peer() as sock:
        while True:
            sock.sendall(frame)


def an_endless_multipart_of_nothing(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        while True:
            sock.sendall(b"\x01\x00" * 32_768)


def many_endless_multiparts(stranger: Stranger) -> None:
    frame = b"\x03" + struct.pack(">Q", MIB) + bytes(MIB)
    peers = [stranger.peer() for _ in range(16)]
    with contextlib.ExitStack() as stack:
        for sock in peers:
            stack.enter_context(sock)
        while True:
            for sock in peers:
                sock.sendall(frame)


def a_million_tiny_messages(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        while True:
            sock.sendall(b"\x00\x01x" * 20_000)


def a_hundred_thousand_labels(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        while True:
            sock.sendall(b"\x01\x01x" * 100_000 + b"\x01\x00" + request("hello")[11:])


def requests_without_reading(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        while True:
            sock.sendall(request("get", name="large") * 100)


def a_flood_of_hellos(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        threading.Thread(target=_swallow, args=(sock,), daemon=True).start()
        while True:
            sock.sendall(request("hello") * 100)


def a_flood_of_transfers(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        threading.Thread(target=_swallow, args=(sock,), daemon=True).start()
        while True:
            sock.sendall(request("get", name="large", max_bytes=1) * 100)


def forged_and_repeated_ids(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        threading.Thread(target=_swallow, args=(sock,), daemon=True).start()
        while True:
            for number in (*range(100), *[2**63 - 1] * 100):
                sock.sendall(request("get", number, name="small") * 10)


def requests_on_ever_new_connections(stranger: Stranger) -> None:
    with stranger.peer() as sock:
        sock.sendall(request("get", name="small") * 100)


def wrong_keys_in_a_flood(stranger: Stranger) -> None:
    with zmq.Context() as context:
        while True:
            peers = [stranger.peer_of_no_name(context) for _ in range(16)]
            monitors = [sock.get_monitor_socket(zmq.EVENT_DISCONNECTED) for sock in peers]
            for monitor in monitors:
                monitor.poll(100)
            for sock, monitor in zip(peers, monitors, strict=True):
                sock.disable_monitor()
                monitor.close()
                sock.close()


def equal_routing_ids(stranger: Stranger) -> None:
    for _ in range(10):
        with stranger.peer(b"me") as one, stranger.peer(b"me") as other:
            for sock in (one, other):
                with contextlib.suppress(ConnectionError):
                    sock.sendall(request("hello") * 200)


STRANGERS: dict[str, Callable[[Stranger], None]] = {
    function.__name__.replace("_", " "): function
    for function in (
        garbage,
        http,
        port_scan,
        half_open_handshakes,
        a_frame_of_2_to_the_63,
        claims_of_the_largest_frame,
        an_endless_multipart,
        an_endless_multipart_of_nothing,
        many_endless_multiparts,
        a_million_tiny_messages,
        a_hundred_thousand_labels,
        requests_without_reading,
        a_flood_of_hellos,
        a_flood_of_transfers,
        forged_and_repeated_ids,
        requests_on_ever_new_connections,
        wrong_keys_in_a_flood,
        equal_routing_ids,
    )
}


def _swallow(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(MIB):
            pass


def main(name: str, host: str, port: str, server_key: str = "") -> None:
    stranger = Stranger(host, int(port), bytes.fromhex(server_key) or secrets.token_bytes(32))
    act = STRANGERS[name]
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    while True:
        with contextlib.suppress(OSError):  # it was shown the door
            act(stranger)


if __name__ == "__main__":
    main(*sys.argv[1:])
