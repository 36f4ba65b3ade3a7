"""The server: one ROUTER socket that speaks REP's side, and threads for what takes time.

One thread owns the socket. It reads a request and answers it at once where that takes no time; else it
hands the work to an executor and goes on reading. A finished reply comes back through a queue and a
wake-up, so one slow query holds nobody up, and a plain REQ client cannot tell this from a REP socket.
A peer that does not read its replies has its further requests wait.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from bridge import running
from bridge.catalogue import Catalogue
from bridge.connections import Connections
from bridge.display import list_text, nbytes_text, text
from bridge.display.cards import facts_card
from bridge.display.markup import element
from bridge.entrance import entrance_to, for_others
from bridge.limits import HEADER_COST, STANDARD, Limits
from bridge.service import Service
from bridge.sources.channel import Channel
from bridge.threads import DaemonThreads
from bridge.tracebacks import in_ipython
from bridge.transfer import MAX_IN_FLIGHT
from bridge.transport import DEFAULT_URL, Envelope, Listener, with_default_port
from bridge.wire import Frame, Frames

__all__ = ["Server", "serve"]

# How often the connections are looked at: as often as a fast one can send some tens of megabytes.
LOOK_SECONDS = 0.02
# Requests read from the socket between two looks at finished work: neither may starve the other.
BATCH = 32
# Results that were made at the same time go beyond that together, up to this.
MAX_UNSENT = 2 * MAX_IN_FLIGHT
BUSY = "you have too many requests under way; take their replies first"
NO_MEMORY = "the server has no memory for this request; try again later"
# Threads that make answers. A quarter is for one client, so that a long read of its own holds no other up.
THREADS: Final = 8
# Streams that are making a value at the same time; each takes a thread, many of which sleep.
MAX_STREAM_THREADS = 1000
# How long `close` waits for the work that is under way.
CLOSE_SECONDS = 5.0
# Who was heard within this time counts as a client in what is shown.
RECENT_SECONDS: Final = 60.0
# Of this machine alone, on a port that the system picks.
FREE_URL: Final = "tcp://127.0.0.1:0"

_log = logging.getLogger("bridge")


class Server(MutableMapping[str, Any]):
    """Serves what is assigned to its names.

    Parameters
    ----------
    url
        Where to listen: ``tcp://host:port`` (port 0 picks a free one), ``ipc://path`` or
        ``inproc://name``. The address is bound at once, requests are answered from `start` on.
    executor
        Where query functions run; by default in threads of this process. Of a Dask cluster:
        ``client.get_executor(pure=False)``, or equal calls are made once.
    insecure
        Accept an address that other computers reach without keys. Everybody there may read what is served.
    keys
        The directory with the server's key and those of the clients that it lets in: see ``zbridge keys``. By
        default none where only this computer reaches the address, and ``$BRIDGE_HOME``, else ``~/.zbridge``,
        where others do. With keys, all traffic is encrypted.
    tracebacks
        Whether clients see the traceback of a query that raised.
    writable
        Whether clients may put, append and delete; or the beginnings of the names where they may, such as
        ``"mine/"`` or ``["mine/", "tmp/"]``.
    limits
        How much of everything clients may have.

    Raises
    ------
    TransportError
        If the address is in use; or if it can be reached from elsewhere, no client is allowed to connect, and
        `insecure` is False.

    Examples
    --------
    >>> import numpy as np
    >>> with Server("tcp://127.0.0.1:0") as srv:
    ...     srv["waveform"] = np.arange(1000.0)
    ...     list(srv)
    ['waveform']
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        executor: Executor | None = None,
        insecure: bool = False,
        keys: str | Path | None = None,
        tracebacks: bool = False,
        writable: bool | str | Sequence[str] = False,
        limits: Limits = STANDARD,
    ) -> None:
        self._limits = limits
        self._entrance = entrance_to(with_default_port(url), keys=keys, insecure=insecure)
        self._listener = Listener(self._entrance.url, self._entrance.gate, limits)
        if self._entrance.is_open:
            _log.warning("%s is open to everybody who can reach it, and not encrypted", self.url)
        # What is the user's has threads of its own: a function that never returns holds no read up.
        self._threads = DaemonThreads(THREADS)
        self._queries = DaemonThreads()
        self._streams = DaemonThreads(MAX_STREAM_THREADS)
        self._service = Service(
            executor=executor if executor is not None else self._queries,
            threads=self._threads,
            streams=self._streams,
            tracebacks=tracebacks,
            writable=writable,
            limits=limits,
        )
        self._service.timers.on_add = self._listener.wake
        self._finished: deque[tuple[_Query, list[Frame]]] = deque()
        self._held: dict[bytes, deque[_Query]] = {}
        self._loads: dict[bytes | str, _Load] = {}  # of connections, and of keys
        self._making = 0  # bytes of answers, for all of them
        self._stopping = threading.Event()
        self._closed = False
        self._unlist: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._serve, name="bridge-server", daemon=True)
        self._watch = threading.Thread(target=self._shed, name="bridge-connections", daemon=True)

    @property
    def url(self) -> str:
        """The address that clients connect to, with its port; with keys, ``bridge://KEY@host:port``."""
        return self._entrance.address(self._listener.url)

    def __setitem__(self, name: str, obj: Any) -> None:
        """Serve an object under a name; see `Service.__setitem__`."""
        self._service[name] = obj

    def __getitem__(self, name: str) -> Any:
        """Return the source that is served under a name."""
        return self._service[name]

    def __delitem__(self, name: str) -> None:
        del self._service[name]

    # As of a `Catalogue`.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._service)

    def __len__(self) -> int:
        return len(self._service)

    def __repr__(self) -> str:
        return f"<Server {self.url}, {self._state}, {len(self)} names; {self._use}>"

    def _repr_html_(self) -> str:
        typed = f'import bridge\nb = bridge.connect("{for_others(self.url)}")'
        facts = {
            "serves": list_text(self, most=12) or "nothing yet",
            "on the other side": element("pre", typed),
            "so far": self._use,
        }
        return facts_card(text(self.url), f"server · {self._state}", facts)

    @property
    def _state(self) -> str:
        return "closed" if self._closed else "serving" if self._thread.is_alive() else "not started"

    @property
    def _use(self) -> str:
        heard = self._listener.heard(RECENT_SECONDS)
        connections = "1 connection" if heard == 1 else f"{heard} connections"
        return f"{connections} in the last minute, {nbytes_text(self._listener.sent)} sent"

    def query(
        self, function: Callable[..., Any] | None = None, /, *, cache: float = 0.0
    ) -> Callable[..., Any]:
        """Let a function answer queries, under its own name. A decorator; see `Service.query`."""
        return self._service.query(function, cache=cache)

    def stream(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Let a generator function serve its values one by one. A decorator; see `Service.stream`."""
        return self._service.stream(function)

    def channel(self, name: str, *, keep_rows: int = 1_000_000) -> Channel:
        """Open a live channel under a name, and return it; see `Service.channel`."""
        return self._service.channel(name, keep_rows=keep_rows)

    def mount(self, path: str | Path, *, prefix: str = "") -> None:
        """Serve the files of a directory; see `Service.mount`."""
        self._service.mount(path, prefix=prefix)

    def start(self) -> Server:
        """Answer requests in a background thread, and return this server."""
        if self._closed:
            raise RuntimeError("this server is closed; make a new one")
        if not self._thread.is_alive():
            self._thread.start()
            self._watch.start()
            if self._entrance.gate is None:
                self._unlist = running.enter(self._listener.url)
        return self

    def run(self) -> None:
        """Answer requests until Ctrl-C or SIGTERM, then close."""
        stopped = threading.Event()

        def stop(signum: int, frame: FrameType | None) -> None:
            stopped.set()

        in_main_thread = threading.current_thread() is threading.main_thread()
        previous = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
        try:
            self.start()
            # In slices: on Windows a wait without end does not see Ctrl-C.
            while self._thread.is_alive() and not stopped.wait(0.5):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            if in_main_thread:
                signal.signal(signal.SIGTERM, previous)
            self.close()

    def close(self) -> None:
        """Stop: answer what is finished, give up the rest, free the address. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._unlist()
        self._service.close()
        self._streams.shutdown()  # the streams are to be closed there
        for threads in (self._queries, self._threads):
            threads.shutdown(cancel_futures=True)
        self._stopping.set()
        if self._thread.is_alive():
            self._listener.wake()
            self._thread.join(CLOSE_SECONDS)
        else:
            self._listener.close(linger=0)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._listener.wait(self._service.tick())
                    self._read_requests()
                    self._send_finished()
                    self._begin_held()
                except MemoryError:
                    # One message is lost; the others are served when there is memory again.
                    _log.error("the server at %s has no memory for a message, and drops it", self.url)
            self._send_finished()
        except Exception:
            _log.exception("the server at %s stopped; this is a bug in zbridge", self.url)
        finally:
            self._listener.close()

    def _shed(self) -> None:
        """Close the connections that send what never becomes a request, as long as this serves."""
        with contextlib.closing(Connections(self._listener.url, self._limits)) as connections:
            while connections.are_known and not self._stopping.wait(LOOK_SECONDS):
                for sentence in connections.shed(self._listener.messages, self._service.held):
                    _log.error("%s", sentence)

    def _read_requests(self) -> None:
        for _ in range(BATCH):
            received = self._listener.receive()
            if received is None:
                return
            query = _Query(*received)
            try:
                self._take(query)
            except MemoryError:
                _log.error("the server at %s has no memory for a request, and refuses it", self.url)
                self._send(query, self._service.refuse(query.request, NO_MEMORY))
        self._listener.wake()  # there may be more

    def _take(self, query: _Query) -> None:
        """Begin with a request, or have it wait, or refuse it."""
        loads = [self._loads[who] for who in query.owners if who in self._loads]
        if not all(load.has_room(query, self._limits) for load in loads):
            # Who reads nothing at all would have these pile up, too.
            if self._listener.unsent(query.peer) <= 2 * self._limits.client_unread:
                self._send(query, self._service.refuse(query.request, BUSY))
        elif query.peer in self._held or not self._begin(query):
            self._enter(query)
            self._held.setdefault(query.peer, deque()).append(query)
            self._listener.wakes_when_sent = True

    def _begin(self, query: _Query) -> bool:
        """Begin with a request and return True, if it need not wait until replies are read, or for a turn."""
        owed = self._owed(query.peer)
        limits = self._limits
        if owed and (
            owed > limits.client_unread or self._listener.unsent_to_all + self._making > limits.unread
        ):
            return False
        peer = self._entrance.turn(query.envelope, self._owed, self._service.timers)
        if peer is None:
            return False
        making = self._service.begin(query.request, partial(self._reply, query), peer)
        if not query.is_answered:
            self._enter(query)
            query.making = making
            self._making += making
            for who in query.owners:
                self._loads[who].making += making
        return True

    def _begin_held(self) -> None:
        """Go on with the peers that have read what they were sent."""
        for peer, held in list(self._held.items()):
            while held and self._begin(held[0]):
                held.popleft()
            if not held:
                del self._held[peer]
        self._listener.wakes_when_sent = bool(self._held)

    def _owed(self, to: bytes | str) -> int:
        """Return how many bytes a connection or a key will be sent: ZeroMQ has them, or they are made."""
        load = self._loads.get(to)
        return self._listener.unsent(to) + (load.making if load is not None else 0)

    def _enter(self, query: _Query) -> None:
        """Count a request that is not answered at once, if it is not counted yet."""
        if not query.is_counted:
            query.is_counted = True
            for who in query.owners:
                load = self._loads.setdefault(who, _Load())
                load.requests += 1
                load.nbytes += query.nbytes

    def _leave(self, query: _Query) -> None:
        self._making -= query.making
        for who in query.owners:
            load = self._loads[who]
            load.requests -= 1
            load.nbytes -= query.nbytes
            load.making -= query.making
            if not load.requests:
                del self._loads[who]

    def _reply(self, query: _Query, reply: list[Frame]) -> None:
        if threading.current_thread() is self._thread:
            self._send(query, reply)
        else:
            self._finished.append((query, reply))
            self._listener.wake()

    def _send_finished(self) -> None:
        while self._finished:
            self._send(*self._finished.popleft())

    def _send(self, query: _Query, reply: list[Frame]) -> None:
        if query.is_answered:  # it was refused, and its answer was under way
            return
        query.is_answered = True
        if query.is_counted:
            self._leave(query)
        if self._listener.unsent(query.peer) > MAX_UNSENT:
            reply = self._service.refuse(query.request, BUSY)
        self._listener.send(query.envelope, reply)


@dataclass(slots=True, eq=False)
class _Query:
    """A request that is being answered."""

    envelope: Envelope
    request: Frames
    making: int = 0  # bytes of its answer, in another thread
    is_counted: bool = False
    is_answered: bool = False

    @property
    def peer(self) -> bytes:
        return self.envelope.connection

    @property
    def owners(self) -> tuple[bytes | str, ...]:
        """For whom it counts: its connection, and the key that this has proved."""
        envelope = self.envelope
        return (envelope.connection, envelope.user) if envelope.user else (envelope.connection,)

    @property
    def nbytes(self) -> int:
        """What it takes of memory while it waits, at most."""
        return sum(map(len, self.request)) + (HEADER_COST - 1) * len(self.request[0])


@dataclass(slots=True)
class _Load:
    """What a connection or a key waits for: requests, their bytes, and those of answers that are made."""

    requests: int = 0
    nbytes: int = 0
    making: int = 0

    def has_room(self, query: _Query, limits: Limits) -> bool:
        nbytes = self.nbytes + query.nbytes
        return self.requests < limits.client_requests and nbytes <= limits.client_request_bytes


# In IPython: what `serve` made last, by the address that was asked for. A cell that runs again finds it here.
_made_by_cells: dict[str | None, Server] = {}


def serve(sources: dict[str, Any] | None = None, /, *, url: str | None = None, **named: Any) -> Server:
    """Serve objects under names, and return the started server.

    In IPython and notebooks, where a cell is run again and again, the server takes the place of the one that
    was made there before for the same `url`: that one is closed, and this one has its address, where clients
    find it without connecting again. Elsewhere two servers are two.

    Parameters
    ----------
    sources
        Names and objects; for names that are no identifiers, such as "run/x".
    url
        Where to listen; by default on a free port of this machine, in a notebook on the same one each time.
        With port 0 it is a new server in a notebook too.
    **named
        More names and objects. The options of `Server`, such as ``writable``, are refused: they are for a
        `Server` of one's own. Objects of these names go into `sources`.

    Raises
    ------
    TypeError
        If a keyword is an option of `Server`, or an object cannot be served.

    Examples
    --------
    >>> import numpy as np
    >>> srv = serve({"run/x": np.arange(3)}, y=np.ones(2))
    >>> list(srv)
    ['run/x', 'y']
    >>> srv.close()
    """
    options = inspect.signature(Server).parameters
    for name in named:
        if name in options:
            raise TypeError(
                f"{name!r} is an option of Server, and serve takes names and objects: write Server({name}=…), "
                f"or serve({{{name!r}: …}}) for an object of that name"
            )
    objects = (sources or {}) | named
    server = Server(url or FREE_URL) if in_ipython() is None else _in_place_of_predecessor(url, objects)
    try:
        server.update(objects)
    except BaseException:
        server.close()
        raise
    return server.start()


def _in_place_of_predecessor(url: str | None, objects: dict[str, Any]) -> Server:
    if url is not None and url.endswith((":0", ":*")):
        return Server(url)
    predecessor = _made_by_cells.get(url)
    if predecessor is not None:
        Catalogue().update(objects)  # what cannot be served is refused while the old one still serves
        predecessor.close()
    server = Server(url or (predecessor.url if predecessor is not None else FREE_URL))
    _made_by_cells[url] = server
    return server
