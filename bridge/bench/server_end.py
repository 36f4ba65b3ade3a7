"""The server's end of the transfers, in a worker process: three sockets, and one case at a time.

A literal REP carries the formats; a plain socket is the roofline; a `Server` is what users of zbridge have.
Nothing is sent but payloads that are made here, and only what `prepare` says.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final

import zmq

from bridge import codecs
from bridge.bench import exact, payloads
from bridge.bench.cases import Case
from bridge.bench.formats import FORMATS
from bridge.bench.lanes import ACK, EXPANSION, LANES, MESSAGE_ROOM, Steady, send_all, tcp_address
from bridge.limits import Limits
from bridge.server import Server

__all__ = ["PUSHED", "SERVED", "TOUCH_PUSHED", "ServerEnd"]

# What a Server has: the payload, those that clients push, and a function that touches one of these.
SERVED: Final = "payload"
PUSHED: Final = "pushed/"
TOUCH_PUSHED: Final = "touch_pushed"


class ServerEnd:
    """Sends or takes what `prepare` says."""

    def __init__(self) -> None:
        self._making = payloads.Making()
        self._case: Case
        self._obj: Any = None
        self._received: Any = None
        self._is_kept = False
        self._failure: str | None = None
        self._encoding: defaultdict[int, list[float]] = defaultdict(list)
        self._cpu = 0.0

    def commands(self) -> dict[str, Callable[..., Any]]:
        """Return what can be asked of it, by name."""
        return {
            "open": self.open,
            "prepare": self.prepare,
            "begin": self.begin,
            "end": self.end,
            "verify": self.verify,
        }

    def open(self, *, host: str, ports: Sequence[int], max_bytes: int) -> dict[str, int]:
        """Listen, and return the ports by lane; one that is given as 0 is a free one."""
        rep_port, tcp_port, bridge_port = ports
        rep: Any = zmq.Context.instance().socket(zmq.REP)
        rep.setsockopt(zmq.MAXMSGSIZE, max_bytes + MESSAGE_ROOM)
        rep.setsockopt(zmq.LINGER, 0)
        rep.bind(f"tcp://{host}:{rep_port or '*'}")
        listener = socket.create_server(tcp_address(host, tcp_port))
        # Who started the benchmark's server has said who may reach it.
        self._server = Server(
            f"tcp://{host}:{bridge_port}",
            insecure=True,
            writable=PUSHED,
            limits=Limits(upload=EXPANSION * max_bytes + MESSAGE_ROOM),
        ).start()
        self._server.query(self.touch_pushed)
        self._max_bytes = max_bytes
        threading.Thread(target=self._answer_messages, args=(rep,), daemon=True).start()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        bound = (rep.get_string(zmq.LAST_ENDPOINT), listener.getsockname()[1], self._server.url)
        return {lane: int(str(at).rpartition(":")[2]) for lane, at in zip(LANES, bound, strict=True)}

    def prepare(self, *, case: Sequence[Any], making: bool) -> int | None:
        """Get ready for a case.

        Parameters
        ----------
        case
            The fields of a `Case`.
        making
            Whether its payload is needed here: to be sent, or to be compared with.

        Returns
        -------
        int or None
            The bytes of the payload.
        """
        self._case = Case(*case)
        for name in set(self._server) - {TOUCH_PUSHED}:
            del self._server[name]
        self._received = None
        row = FORMATS[self._case.format]
        nbytes = self._obj = None
        if making:
            nbytes, self._obj = self._making.make(
                self._case.payload, self._case.size, opaque=row.is_baseline
            )
        if row.lane == "bridge" and self._case.direction == "pull":
            self._server[SERVED] = self._obj
        return nbytes

    def begin(self, *, keeping: bool = False) -> None:
        """Count from here on; and keep what is pushed, to verify it."""
        self._failure = self._received = None
        self._is_kept = keeping
        self._encoding.clear()
        self._cpu = time.process_time()

    def end(self) -> dict[str, Any]:
        """Return CPU seconds of all threads, the seconds of each encoding by client, and what failed."""
        cpu = time.process_time() - self._cpu
        encoding = {str(number): seconds for number, seconds in self._encoding.items()}
        return {"cpu": cpu, "encode": encoding, "failure": self._failure}

    def verify(self) -> list[str]:
        """Say how what was pushed last differs from the payload."""
        is_put = FORMATS[self._case.format].lane == "bridge"
        received = self._pushed(f"{PUSHED}0") if is_put else self._received
        return exact.changes(self._obj, received)

    def touch_pushed(self, name: str) -> float:
        """Return the seconds that touching takes of what a client put."""
        start = perf_counter()
        payloads.touch(self._pushed(name))
        return perf_counter() - start

    def _pushed(self, name: str) -> Any:
        """Return what a client put, as views of where it lies."""
        plan = self._server[name].plan(None, codecs.BufferReader(()), None)
        return codecs.decode(*plan.encode())

    # ── REQ and REP ───────────────────────────────────────────────────────────────────────────────

    def _answer_messages(self, rep: Any) -> None:
        while True:
            rep.send_multipart(self._answer(rep.recv_multipart(copy=False)), copy=False)

    def _answer(self, message: Sequence[Any]) -> Sequence[Any]:
        """Return the frames of the payload, or the answer to those that came; empty if that failed."""
        try:
            return self._give(message) if self._case.direction == "pull" else [self._take(message)]
        except Exception as exc:  # whatever a format raises
            self._failure = f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}"
            return [b""]

    def _give(self, message: Sequence[Any]) -> Sequence[Any]:
        start = perf_counter()
        frames = FORMATS[self._case.format].encoded(self._obj)
        self._encoding[message[0].bytes[0]].append(perf_counter() - start)
        return frames

    def _take(self, message: Sequence[Any]) -> bytes:
        row, frames = FORMATS[self._case.format], [frame.buffer for frame in message]
        checked = row.checked(frames)
        self._cpu += checked.cpu
        start = perf_counter()
        obj = row.decoded(frames)
        decoded = perf_counter()
        payloads.touch(obj)
        end = perf_counter()
        if self._is_kept:
            self._received = obj
        return ACK.pack(checked.seconds, decoded - start, end - decoded)

    # ── a plain socket ────────────────────────────────────────────────────────────────────────────

    def _accept(self, listener: socket.socket) -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._answer_plainly, args=(sock,), daemon=True).start()

    def _answer_plainly(self, sock: socket.socket) -> None:
        steady = Steady(self._max_bytes)
        with sock:
            while True:
                try:
                    array = steady.receive(sock)
                    if len(array) == 0:
                        send_all(sock, self._obj)
                        continue
                except Exception as exc:  # it has gone, or asks for what is not there
                    self._failure = str(exc)
                    return
                start = perf_counter()
                payloads.touch(array)
                if self._is_kept:
                    self._received = array
                sock.sendall(ACK.pack(0.0, 0.0, perf_counter() - start))
