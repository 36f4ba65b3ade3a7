"""The server of the benchmark: ``zbridge bench serve``.

A literal REP socket takes the orders of one client at a time, each a JSON object, and hands them to a worker: a
process that is started anew whenever the client begins with fresh processes, and that has the sockets on which
payloads travel. What is ordered is checked here, against closed tables and the limits; nothing else reaches a
worker. The orders::

    {"zbridge_bench": 1, "session": "…", "do": "hello"}    begin; the machine and the limits
    {…, "do": "start"}                                     a fresh worker; the ports of its sockets
    {…, "do": "prepare", "case": […], "making": true}      and the others of `ORDERS`, for the worker
    {…, "do": "ping"}                                      nothing; the client is still there
    {…, "do": "stop"}                                      the end; the load of the machine

The client makes up the name of its session. The answers are
``{"zbridge_bench": 1, "result": …}`` or ``{"zbridge_bench": 1, "error": {"code", "message"}}``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import zmq

from bridge.bench import cases, environment
from bridge.bench.child import Child, Failed
from bridge.bench.formats import FORMATS
from bridge.bench.lanes import DEFAULT_URL, LANES, full_url, split
from bridge.codecs import strict_json
from bridge.display import nbytes_text
from bridge.errors import RemoteError, TransportError, WireError
from bridge.keys import check_bind, is_local

__all__ = ["VERSION", "serve"]

VERSION: Final = 1
# An order is a few names and numbers.
MAX_ORDER: Final = 4096
# A client that says nothing for so long is gone; ours says something every few seconds.
SILENCE: Final = 30.0
# How long the loop waits before it looks at the clock again.
SLICE: Final = 0.1

# A worker may need so many times the bytes of a payload: it makes and encodes it, or decodes and compares it.
# JSON was measured to take 18 for an array and 24 for a DataFrame, beside the payloads.
MEMORY_FACTORS: Final = {"json": 30}
MEMORY_FACTOR: Final = 6

# What a worker is asked for, and the types of what comes with it.
ORDERS: Final[dict[str, dict[str, type]]] = {
    "prepare": {"case": list, "making": bool},
    "begin": {"keeping": bool},
    "end": {},
    "verify": {},
    "mark": {},
    "grown": {},
}


@dataclass(frozen=True)
class Limits:
    """What a client may do.

    Attributes
    ----------
    max_bytes
        Of one payload.
    max_duration
        Seconds of a session.
    unpickling
        Whether pickles that clients push are decoded.
    """

    max_bytes: int
    max_duration: float
    unpickling: bool


@dataclass(eq=False)
class Session:
    """What one client has started."""

    key: str
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    worker: Child | None = None

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


def serve(
    url: str = DEFAULT_URL,
    *,
    insecure: bool = False,
    one_off: bool = False,
    max_bytes: int = 2**30,
    max_duration: float = 3600.0,
    unpickling: bool = False,
    ready: Callable[[str], object] = lambda url: None,
    tell: Callable[[str], object] = lambda text: None,
) -> None:
    """Serve benchmarks until Ctrl-C: one client at a time.

    Parameters
    ----------
    url
        Where to listen. The workers listen on the three ports after it; with port 0, on free ones.
    insecure
        Accept an address that other computers reach: everybody there can have this computer work.
    one_off
        Stop when the first client is done, or gone.
    max_bytes
        The largest payload that is made here or taken, in bytes.
    max_duration
        The seconds after which a client's session is ended.
    unpickling
        Decode pickles that clients push.
    ready
        Is called once, with the address that was bound.
    tell
        Is called with lines for people.

    Raises
    ------
    TransportError
        If the address cannot be bound, or others reach it and `insecure` is False.
    """
    url = full_url(url)
    check_bind(url, insecure=insecure)
    limits = Limits(max_bytes=max_bytes, max_duration=max_duration, unpickling=unpickling)
    with _listening(url) as rep:
        bound = rep.get_string(zmq.LAST_ENDPOINT)
        host, port = split(url)
        ports = [port + number if port else 0 for number in range(1, 1 + len(LANES))]
        desk = _Desk(host, ports, limits, tell)
        ready(bound)
        if not is_local(url):
            tell("everybody who can reach this address can have this computer work")
        try:
            while not (one_off and desk.served):
                if rep.poll(int(SLICE * 1000)):
                    rep.send(desk.answer(rep.recv()))
                desk.look_at_the_clock()
        finally:
            desk.close()


class _Desk:
    """Takes orders, and has them done by the worker of the session."""

    def __init__(
        self, host: str, ports: list[int], limits: Limits, tell: Callable[[str], object]
    ) -> None:
        self._host = host
        self._ports = ports
        self._limits = limits
        self._tell = tell
        self._session: Session | None = None
        self.served = 0

    def answer(self, order: bytes) -> bytes:
        """Return the answer to an order; it never raises for what a client sent."""
        try:
            message: dict[str, Any] = {"result": self._do(_parsed(order))}
        except WireError as exc:
            message = {"error": {"code": exc.code, "message": str(exc)}}
        except RemoteError as exc:
            message = {"error": {"code": exc.code, "message": exc.message}}
        except Failed as exc:
            message = {"error": {"code": "failed", "message": str(exc)}}
        return strict_json.dumps({"zbridge_bench": VERSION} | message)

    def look_at_the_clock(self) -> None:
        """End a session that has lasted too long, or of which nothing is heard."""
        session, now = self._session, time.monotonic()
        if session is None:
            return
        if now - session.began > self._limits.max_duration:
            self._end(f"ended after {self._limits.max_duration:.0f} s, the longest that is allowed")
        elif now - session.heard > SILENCE:
            self._end(f"the client has said nothing for {SILENCE:.0f} s; given up")

    def close(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            self._end("stopped")

    def _do(self, order: dict[str, Any]) -> Any:
        do, key = order.pop("do", None), order.pop("session", None)
        if do == "hello":
            return self._hello(key)
        session = self._session
        if session is None or key != session.key:
            raise RemoteError("expired", "this session has ended; the server's terminal says why")
        session.heard = time.monotonic()
        if do == "ping":
            return None
        if do == "start":
            return self._start(session)
        if do == "stop":
            self._end("done")
            return environment.load()
        return self._ask_worker(session, str(do), order)

    def _hello(self, key: Any) -> dict[str, Any]:
        if type(key) is not str or not key:
            raise WireError("a session has a name, which the client makes up")
        if self._session is not None:
            raise RemoteError("busy", "another client is measuring here; wait until it is done")
        self._session = Session(key)
        self._tell("a client has begun")
        return {
            "environment": environment.describe(),
            "machine": environment.machine_id(),
            "available": environment.available_memory(),
            "max_bytes": self._limits.max_bytes,
            "max_duration": self._limits.max_duration,
            "unpickling": self._limits.unpickling,
        }

    def _start(self, session: Session) -> Any:
        session.close()
        session.worker = Child("server")
        return session.worker.ask(
            "open", host=self._host, ports=self._ports, max_bytes=self._limits.max_bytes
        )

    def _ask_worker(self, session: Session, do: str, order: dict[str, Any]) -> Any:
        types = ORDERS.get(do)
        if types is None or {key: type(value) for key, value in order.items()} != types:
            raise WireError(f"there is no order {do[:40]!r} with {', '.join(order)[:80] or 'nothing'}")
        if session.worker is None:
            raise WireError("start comes first")
        if do == "prepare":
            self._check(cases.from_wire(order["case"], max_bytes=self._limits.max_bytes))
        answer = session.worker.ask(do, **order)
        session.heard = time.monotonic()
        return answer

    def _check(self, case: cases.Case) -> None:
        need = case.size * MEMORY_FACTORS.get(case.format, MEMORY_FACTOR)
        available = environment.available_memory()
        if available is not None and need > available:
            raise WireError(
                f"{case.text} could need {nbytes_text(need)} of memory here; {nbytes_text(available)} are left",
                code="too_large",
            )
        if case.direction == "push" and FORMATS[case.format].unpickles and not self._limits.unpickling:
            raise RemoteError("forbidden", "the server decodes pickles only with --allow-pickle")

    def _end(self, why: str) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
            self.served += 1
            self._tell(why)


def _parsed(order: bytes) -> dict[str, Any]:
    value = strict_json.loads(order)
    if type(value) is not dict or value.pop("zbridge_bench", None) != VERSION:
        raise WireError(
            f"this is a benchmark server of version {VERSION}; ask it with: zbridge bench tcp://host:port"
        )
    return value


@contextlib.contextmanager
def _listening(url: str) -> Iterator[Any]:
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.setsockopt(zmq.LINGER, 0)
        rep.setsockopt(zmq.MAXMSGSIZE, MAX_ORDER)
        try:
            rep.bind(f"{url[:-2]}:*" if url.endswith(":0") else url)
        except zmq.ZMQError as exc:
            raise TransportError(
                f"cannot listen at {url}: {exc.strerror}; stop what listens there, or choose another "
                "address: tcp://host:port, of which port 0 is a free one"
            ) from exc
        yield rep
