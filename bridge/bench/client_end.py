"""The client's end of the transfers, in a worker process: asks, and times what comes.

Every way has one function for a transfer, which returns a `Took` and what came. All are timed alike: from
before the request, or the encoding of what is pushed, until a byte of each page was read at the goal.
"""

from __future__ import annotations

import gc
import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import zmq

from bridge import client
from bridge.bench import exact, payloads
from bridge.bench.cases import Case
from bridge.bench.child import Failed
from bridge.bench.formats import FORMATS
from bridge.bench.lanes import ACK, Steady, receive_into, send_all, tcp_address
from bridge.bench.server_end import PUSHED, SERVED, TOUCH_PUSHED
from bridge.errors import WireError

__all__ = ["ClientEnd"]

# Until a plain socket is given up; a firewall may say nothing.
CONNECT_SECONDS: Final = 5.0


@dataclass(slots=True)
class Took:
    """Seconds, and bytes on the way.

    Attributes
    ----------
    total
        From the beginning to the end, as the client sees it.
    encode, decode, touch
        What of it this end knows; the rest but for what the server tells is the transfer.
    wire
        Bytes of the message, without what ZeroMQ and TCP put around them; None where this is not known.
    unasked
        CPU seconds of this end that no format asks for: of checking what came.
    """

    total: float = 0.0
    encode: float = 0.0
    decode: float = 0.0
    touch: float = 0.0
    wire: int | None = None
    unasked: float = 0.0


class ClientEnd:
    """Fetches or sends what `prepare` says."""

    def __init__(self) -> None:
        self._making = payloads.Making()
        self._case: Case
        self._obj: Any = None
        self._transfers: dict[tuple[str, str], Callable[[], tuple[Took, Any]]] = {
            ("pull", "rep"): self._pull_message,
            ("push", "rep"): self._push_message,
            ("pull", "tcp"): self._pull_plainly,
            ("push", "tcp"): self._push_plainly,
            ("pull", "bridge"): self._read,
            ("push", "bridge"): self._put,
        }

    def commands(self) -> dict[str, Callable[..., Any]]:
        """Return what can be asked of it, by name."""
        return {"open": self.open, "prepare": self.prepare, "once": self.once, "time": self.time}

    def open(self, *, host: str, ports: Mapping[str, int], number: int, max_bytes: int) -> None:
        """Connect to a worker of the server, as the client of a number below 256.

        More than `max_bytes` in one message are not taken. What zbridge itself fetches has no bound but memory.
        """
        self._number = bytes([number])
        self._name = f"{PUSHED}{number}"
        self._req: Any = zmq.Context.instance().socket(zmq.REQ)
        self._req.setsockopt(zmq.LINGER, 0)
        self._req.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        self._max_bytes = max_bytes
        self._req.connect(f"tcp://{host}:{ports['rep']}")
        self._sock = socket.create_connection(tcp_address(host, ports["tcp"]), timeout=CONNECT_SECONDS)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._steady = Steady(max_bytes)
        self._bridge = client.connect(f"tcp://{host}:{ports['bridge']}")

    def prepare(self, *, case: Sequence[Any], making: bool, timeout: float) -> int | None:
        """Get ready for a case; see `ServerEnd.prepare`. A transfer that takes longer than `timeout` fails."""
        self._case = Case(*case)
        row = FORMATS[self._case.format]
        nbytes = self._obj = None
        if making:
            nbytes, self._obj = self._making.make(
                self._case.payload, self._case.size, opaque=row.is_baseline
            )
        self._req.setsockopt(zmq.RCVTIMEO, int(timeout * 1000))
        self._sock.settimeout(timeout)
        self._bridge.timeout = timeout
        self._transfer = self._transfers[self._case.direction, row.lane]
        return nbytes

    def once(self, *, verifying: bool = False) -> dict[str, Any]:
        """Transfer once: to warm up, to verify, or to measure memory."""
        took, obj = self._transfer()
        changes = exact.changes(self._obj, obj) if verifying else None
        return {"wire": took.wire, "changes": changes}

    def time(self, *, count: int) -> list[list[float]]:
        """Transfer `count` times, after one that is not counted.

        Each process waits for its turn for seconds, and a virtual machine gives memory that is free for so
        long back to its host: touching 256 MiB of it again was measured to take 0.5 s, and 0.03 s when it had
        been in use just before. That is the machine's time, not the format's.

        Returns
        -------
        list of list
            Seconds: total, encode, decode, touch and CPU of all threads, of each transfer.
        """
        gc.collect()
        self._transfer()
        samples = []
        for _ in range(count):
            cpu = time.process_time()
            took = self._transfer()[0]  # what came is gone before the next comes
            cpu = time.process_time() - cpu - took.unasked
            samples.append([took.total, took.encode, took.decode, took.touch, cpu])
        return samples

    # ── REQ and REP ───────────────────────────────────────────────────────────────────────────────

    def _pull_message(self) -> tuple[Took, Any]:
        row = FORMATS[self._case.format]
        start = perf_counter()
        self._req.send(self._number)
        frames = [frame.buffer for frame in self._answer()]
        transfer = perf_counter() - start
        checked = row.checked(frames)
        start = perf_counter()
        obj = row.decoded(frames)
        decoded = perf_counter()
        payloads.touch(obj)
        end = perf_counter()
        took = Took(
            transfer + end - start,
            decode=decoded - start,
            touch=end - decoded,
            wire=sum(frame.nbytes for frame in frames),
            unasked=checked.cpu,
        )
        return took, obj

    def _push_message(self) -> tuple[Took, Any]:
        encode = FORMATS[self._case.format].encoded
        start = perf_counter()
        frames = encode(self._obj)
        encoded = perf_counter()
        self._req.send_multipart(frames, copy=False)
        (answer,) = self._answer()
        end = perf_counter()
        check, decode, touch = _seconds(answer.buffer)
        wire = sum(memoryview(frame).nbytes for frame in frames)
        return Took(end - start - check, encoded - start, decode, touch, wire), None

    def _answer(self) -> Any:
        frames: list[Any] = []
        room = self._max_bytes
        try:
            while not frames or frames[-1].more:
                frames.append(self._req.recv(copy=False))
                room -= len(frames[-1])
                if room < 0:
                    raise Failed("the server sent more than the case explains")
        except zmq.Again as exc:
            raise Failed("the server did not answer in time") from exc
        if not frames[0].buffer.nbytes:
            raise Failed("the server could not do its part")
        return frames

    # ── a plain socket ────────────────────────────────────────────────────────────────────────────

    def _pull_plainly(self) -> tuple[Took, Any]:
        start = perf_counter()
        send_all(self._sock, b"")
        array = self._steady.receive(self._sock)
        came = perf_counter()
        payloads.touch(array)
        end = perf_counter()
        return Took(end - start, touch=end - came, wire=array.nbytes), array

    def _push_plainly(self) -> tuple[Took, Any]:
        answer = bytearray(ACK.size)
        start = perf_counter()
        send_all(self._sock, self._obj)
        receive_into(self._sock, memoryview(answer))
        end = perf_counter()
        *_, touch = _seconds(answer)
        return Took(end - start, touch=touch, wire=self._obj.nbytes), None

    # ── zbridge ───────────────────────────────────────────────────────────────────────────────────
    # What its Server and Client do is not cut in two: encoding a payload, and decoding one that is pushed, is
    # part of the transfer.

    def _read(self) -> tuple[Took, Any]:
        start = perf_counter()
        obj = self._bridge.read(SERVED)
        came = perf_counter()
        payloads.touch(obj)
        end = perf_counter()
        receipt = self._bridge.last
        decode = receipt.decode_seconds if receipt else 0.0
        return Took(end - start, decode=decode, touch=end - came), obj

    def _put(self) -> tuple[Took, Any]:
        start = perf_counter()
        self._bridge.put(self._name, self._obj)
        seconds = perf_counter() - start
        # The other formats answer when the payload was touched; put does when it is there.
        touch = self._bridge.call(TOUCH_PUSHED, name=self._name)
        return Took(seconds + touch, touch=touch), None


def _seconds(answer: Any) -> tuple[float, ...]:
    """Return the times that a server says it took."""
    times = ACK.unpack(answer)
    if not all(0.0 <= seconds < math.inf for seconds in times):
        raise WireError(f"the server says that it took {times} seconds")
    return times
