"""The client: connect, look, read, call.

A Client knows the catalogue and makes handles; how a request gets its answer is `bridge.exchange`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

from bridge import __version__, codecs, display
from bridge.codecs import Allocate, Buffer
from bridge.display import Progress
from bridge.display.cards import catalogue_card
from bridge.errors import Changed, IdleTimeout, Lagged, RemoteError, TransportError, WireError
from bridge.exchange import (
    BUSY_SECONDS,
    CONNECT_SECONDS,
    WAIT,
    Answer,
    Exchange,
    Question,
    Receipt,
)
from bridge.giving_up import pause
from bridge.limits import MIB
from bridge.reach import reach
from bridge.remote import RemoteArray, Ways, handle_of
from bridge.threads import DaemonThreads
from bridge.transport import DEFAULT_URL
from bridge.wire import Reply, is_name

__all__ = ["Client", "connect"]

# Without any progress for so long, a call gives up.
DEFAULT_TIMEOUT = 30.0
# Names that are completed are not older, if the server tells them within the time that nobody notices.
NAMES_SECONDS = 5.0
COMPLETION_SECONDS = 0.2
# When that look is given up.
LOOK_SECONDS = 5.0
# Of a catalogue, as text: with what Python needs for it, some hundred megabytes.
MAX_CATALOGUE: Final = 64 * MIB


class Client(Mapping[str, Any]):
    """A connection to a server: a mapping of its names to handles.

    May be used from several threads at once, pickled (it carries its address and connects again), and
    used after a fork. Made by `connect`.

    Parameters
    ----------
    url
        The server's address.
    server_key
        The server's public key, in hex; see `connect`.
    timeout
        Seconds without any progress after which a call raises `IdleTimeout`. Large objects make progress with
        each window of 64 KiB or more; other messages, of up to 256 KiB or what is given to `call` and
        `append`, when all of their bytes are here.
    """

    # For completion: the look that was begun last.
    _look: Future[list[dict[str, Any]]]

    def __init__(
        self, url: str, *, server_key: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self._start(url, timeout, server_key)

    def read(
        self,
        name: str,
        index: Any = None,
        *,
        into: Any = None,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Fetch what the server holds under a name.

        Parameters
        ----------
        name
            A name of the catalogue; of a channel, see `follow`.
        index
            For an array, a numpy index; None for all of it.
        into, progress, timeout
            As in `RemoteArray.read`.

        Returns
        -------
        object
            The object itself, identical to the one that is served: writable and owned by the caller.

        Raises
        ------
        RemoteError
            If the server has no such name (also a `KeyError`), or the index does not fit.
        TransportError
            If the server cannot be reached; `IdleTimeout` if it does not answer.
        Changed
            If the data was replaced, twice, while it was being read.
        """
        if index is None and into is None:
            return self._fetch(name, progress=progress, timeout=timeout)[0]
        handle = self[name]
        if not isinstance(handle, RemoteArray):
            raise TypeError(f"{name!r} is no array; b[{name!r}] offers what can be selected of it")
        return handle.read(index, into=into, progress=progress, timeout=timeout)

    def read_many(self, names: Iterable[str], *, timeout: float | None = None) -> list[Any]:
        """Fetch several objects; small ones cost one round trip's latency together.

        Returns
        -------
        list
            In the order of `names`.

        Raises
        ------
        RemoteError
            The first failure.
        """
        if isinstance(names, str):  # not its letters
            raise TypeError(f"read_many takes a list of names: [{names!r}]")
        questions = [
            self._question(
                "get", {"name": name, "max_bytes": self._exchange.inline_bytes}, timeout=timeout
            )
            for name in names
        ]
        return [self._decoded(answer) for answer in self._exchange.fetch_many(questions)]

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a query function on the server, and return its result.

        The arguments travel in one message: on a slow link, all of them must arrive within the timeout. Large
        ones are better `put`, under a name.

        Raises
        ------
        RemoteError
            If the function raised; also an instance of the builtin exception that it raised.
        EncodeError
            If an argument cannot be sent exactly.
        """
        with contextlib.closing(self.stream(name, **arguments)) as results:
            found = list(itertools.islice(results, 2))
        if len(found) != 1:
            raise TypeError(f"{name!r} is a stream; iterate over b.stream({name!r}, ...)")
        return found[0]

    def stream(self, name: str, /, **arguments: Any) -> Generator[Any, None, None]:
        """Call a stream on the server, and iterate over its values as they are made.

        Closing the iterator, or leaving the loop and dropping it, stops the stream on the server.

        Raises
        ------
        RemoteError
            If the stream raised, after the values before.
        """
        keys: dict[str, Any] = {"name": name}
        buffers: Sequence[Buffer] = ()
        if arguments:
            keys["args"], buffers = codecs.encode(arguments)
        with contextlib.closing(self._exchange.call(self._question("call", keys, buffers))) as answers:
            for answer in answers:
                yield self._decoded(answer)

    def follow(
        self, name: str, *, start: str | int = "end", timeout: float | None = None
    ) -> Generator[Any, None, None]:
        """Iterate over the rows of a live channel, as they are appended. It goes on for ever.

        Parameters
        ----------
        name
            Of a channel.
        start
            "begin": all rows that are kept, "end": those that come from now on, or the number of a row.
        timeout
            Seconds after which a server that does not answer is given up; by default the client's. A channel
            that is silent is waited for.

        Yields
        ------
        object
            Runs of rows, in order and without gaps, as they were appended: DataFrames, Arrow tables, arrays
            or lists.

        Raises
        ------
        Lagged
            If rows were dropped before they were read.
        Changed
            If the channel is another now: the server was restarted.
        """
        seconds = self.timeout if timeout is None else timeout
        keys = {"name": name, "start": start, "wait": WAIT * seconds}
        if start == "end":  # from this call on, not from the first look at the iterator
            reply = self._ask("get", {**keys, "wait": 0.0}, timeout=timeout)
            keys |= {"start": reply.key("next", int), "version": reply.key("version", str)}
        return self._followed(keys, timeout)

    def put(
        self,
        name: str,
        obj: Any,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> None:
        """Have the server serve an object under a name, instead of what was there.

        It takes its place whole and at once, when all of it has arrived.

        Raises
        ------
        EncodeError
            If the object cannot be sent exactly.
        RemoteError
            If the server does not allow it (also a `PermissionError`).
        """
        self._send("put", name, obj, progress=progress, timeout=timeout)

    def append(self, name: str, rows: Any, *, timeout: float | None = None) -> int:
        """Add rows to a channel or a table on the server, and return how many it has then.

        The request is not repeated where the connection is lost: whether it was heard is not known. The rows
        travel in one message: on a slow link, all of them must arrive within the timeout.
        """
        return int(self._send("append", name, rows, progress=None, timeout=timeout).key("rows", int))

    def __delitem__(self, name: str) -> None:
        """Have the server serve nothing under a name any more, where it allows writing.

        The request is not repeated where the connection is lost: whether it was heard is not known.
        """
        self._ask("delete", {"name": name})

    def entries(self) -> list[dict[str, Any]]:
        """Ask for the catalogue, and return its entries in the order of their names.

        Returns
        -------
        list of dict
            JSON objects with ``name``, ``kind``, ``nbytes`` and what else the server tells of each.
        """
        return self._entries()

    def _entries(self, deadline: float = math.inf) -> list[dict[str, Any]]:
        """Ask for the catalogue, until a time of `time.monotonic`."""
        entries: list[dict[str, Any]] = []
        keys: dict[str, Any] = {}
        left = MAX_CATALOGUE
        while True:
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                raise IdleTimeout(f"{self.url} goes on with its catalogue, and time is over")
            reply = self._ask("list", keys, timeout=min(self.timeout, seconds))
            page = reply.key("entries", list)
            if any(type(entry) is not dict or type(entry.get("name")) is not str for entry in page):
                raise WireError("the server's catalogue has an entry without a name")
            left -= sum(len(str(entry)) for entry in page)
            if left < 0:
                raise WireError(
                    f"the server's catalogue is larger than {MAX_CATALOGUE} characters; read what is wanted by "
                    "its name"
                )
            entries += page
            if not reply.keys.get("more") or not page:
                break
            if keys.get("after", "") >= page[-1]["name"]:
                raise WireError("the server's catalogue does not come in the order of its names")
            keys = {"after": page[-1]["name"]}
        self._catalogue = entries
        self._names_at = time.monotonic()
        return entries

    def ping(self) -> float:
        """Return the seconds that one round trip to the server takes."""
        start = time.perf_counter()
        self._ask("hello", {})
        return time.perf_counter() - start

    @property
    def info(self) -> dict[str, Any]:
        """What the server said of itself: version, instance, features and limits. No I/O."""
        return dict(self._hello)

    @property
    def last(self) -> Receipt | None:
        """The receipt of the last object that was fetched, in any thread; None before the first."""
        return self._last

    def close(self) -> None:
        """Close the connections at once, and the tunnel of ssh. A later call opens new ones."""
        self._exchange.close()
        self._reach.close()

    def __getitem__(self, name: str) -> Any:
        """Ask what the server holds under a name, and return its handle.

        Returns
        -------
        RemoteArray, RemoteTable, RemoteObject, RemoteQuery, RemoteStream or RemoteChannel
            By what it is. Not annotated as their union: nobody could index it without telling first.
        """
        answer = self._exchange.fetch(self._question("describe", {"name": name}))
        skeleton = (
            codecs.decode(answer.keys["object"], answer.buffers) if "object" in answer.keys else None
        )
        ways = Ways(
            fetch=self._fetch,
            call=self.call,
            stream=self.stream,
            follow=self.follow,
            rate=self._rate,
        )
        return handle_of(answer.key("entry", dict), ways, skeleton)

    def __contains__(self, name: object) -> bool:
        if not is_name(name):
            return False
        try:
            self._ask("describe", {"name": name})
        except RemoteError as exc:
            if exc.code == "not_found":
                return False
            raise
        return True

    # Of a Mapping, these would ask the server for all that it has, or whether it has anything.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        """Ask for the catalogue, and iterate over its names in order."""
        return iter([entry["name"] for entry in self.entries()])

    def __len__(self) -> int:
        return len(self.entries())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "timeout": self.timeout, "hello": self._hello}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state["url"], state["timeout"])
        self._heed(state["hello"])

    def __dask_tokenize__(self) -> Any:
        return "zbridge", self.url

    def __repr__(self) -> str:
        if self._names_at == -math.inf:  # as of a copy: nobody asked yet what there is
            return f"<Client {self.url}>"
        return f"<Client {self.url}\n{display.catalogue_text(self._catalogue)}>"

    def _repr_html_(self) -> str:
        facts = [f"zbridge {display.text(self._hello.get('version', '?'))} there, {__version__} here"]
        facts.append(self._reach.security)
        if math.isfinite(self._round_trip):
            facts.append(f"round trip ≤ {display.seconds_text(self._round_trip)}")
        return catalogue_card(self.url, facts, self._catalogue)

    def _ipython_key_completions_(self) -> list[str]:
        """Return the names for ``b["wav<TAB>``: those of the last look, if it was just now or takes long."""
        if time.monotonic() - self._names_at > NAMES_SECONDS and self._look.done():
            with contextlib.suppress(Exception):  # nobody wants to see it in the middle of a line
                deadline = time.monotonic() + LOOK_SECONDS
                self._look = DaemonThreads(1).submit(self._entries, deadline)
                wait([self._look], COMPLETION_SECONDS)
        return [entry["name"] for entry in self._catalogue]

    def _start(self, url: str, timeout: float, server_key: str | None = None) -> None:
        self._reach = reach(url, server_key)
        self._exchange = Exchange(self._reach.url, self._reach.link)
        self.url = self._reach.address
        self.timeout = timeout
        self._hello: dict[str, Any] = {}
        self._catalogue = []
        self._names_at = -math.inf
        self._look = Future()
        self._look.cancel()
        # The shortest that the server ever took to answer a small question.
        self._round_trip = math.inf
        self._last: Receipt | None = None

    def _rate(self) -> float | None:
        return self._exchange.rate

    def _heed(self, hello: dict[str, Any]) -> None:
        self._hello = hello
        self._exchange.heed(hello)

    def _handshake(self, seconds: float) -> None:
        self._reach.open()  # to type a password for ssh may take longer
        deadline = time.monotonic() + seconds
        reply = self._ask("hello", {"client": {"features": []}}, timeout=seconds)
        self._heed(reply.key("hello", dict))
        self._entries(deadline)

    def _fetch(
        self,
        name: str,
        *,
        select: Any = None,
        buffers: Sequence[Buffer] = (),
        form: str | None = None,
        allocate: Allocate = codecs.allocate,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> tuple[Any, str]:
        keys: dict[str, Any] = {"name": name, "max_bytes": self._exchange.inline_bytes}
        if select is not None:
            keys["select"] = select
        if form is not None:
            keys["as"] = form
        with display.progress_bar(name, progress) as bar:
            answer = self._exchange.fetch(
                Question(
                    op="get",
                    keys=keys,
                    buffers=buffers,
                    timeout=self.timeout if timeout is None else timeout,
                    allocate=allocate,
                    progress=bar,
                )
            )
        return self._decoded(answer), answer.version

    def _followed(self, keys: dict[str, Any], timeout: float | None) -> Generator[Any, None, None]:
        while True:
            asked = time.monotonic()
            try:
                answer = self._exchange.fetch(self._question("get", keys, timeout=timeout))
            except RemoteError as exc:
                if exc.code == "changed":
                    raise Changed(exc.message) from exc
                raise
            if "lost" in answer.keys:
                raise Lagged(answer.key("lost", int))
            rows = self._decoded(answer) if "object" in answer.keys else []
            keys = keys | {
                "start": _following(keys, answer, rows),
                "version": answer.key("version", str),
            }
            if "object" in answer.keys:
                yield rows
            elif time.monotonic() - asked < BUSY_SECONDS:
                pause(BUSY_SECONDS)  # a server that does not wait as it should is not to keep us busy

    def _send(
        self, op: str, name: str, obj: Any, *, progress: Progress | None, timeout: float | None
    ) -> Reply:
        descriptor, buffers = codecs.encode(obj)
        keys = {"name": name, "object": descriptor}
        with display.progress_bar(name, progress) as bar:
            question = replace(self._question(op, keys, buffers, timeout=timeout), progress=bar)
            return self._exchange.put(question) if op == "put" else self._exchange.ask(question)

    def _decoded(self, answer: Answer) -> Any:
        obj, self._last = answer.decode()
        return obj

    def _question(
        self,
        op: str,
        keys: dict[str, Any],
        buffers: Sequence[Buffer] = (),
        *,
        timeout: float | None = None,
    ) -> Question:
        seconds = self.timeout if timeout is None else timeout
        return Question(op=op, keys=keys, buffers=buffers, timeout=seconds)

    def _ask(self, op: str, keys: dict[str, Any], *, timeout: float | None = None) -> Reply:
        start = time.perf_counter()
        reply = self._exchange.ask(self._question(op, keys, timeout=timeout))
        self._round_trip = min(self._round_trip, time.perf_counter() - start)
        return reply


def connect(
    url: str | None = None, *, server_key: str | None = None, timeout: float = DEFAULT_TIMEOUT
) -> Client:
    """Connect to a server, and make sure that it answers.

    Parameters
    ----------
    url
        ``tcp://host:port`` or ``host``; ``bridge://KEY@host:port``, as a server with keys prints it;
        ``ssh://user@host`` for a server that only its own computer reaches: the one that this user runs there,
        else that on port 5555, or ``ssh://user@host/port``; by default the environment variable ``BRIDGE_URL``,
        else ``tcp://127.0.0.1:5555``.
    server_key
        The public key that the server must have, in hex, as in the address above; by default that by which it
        is known (``zbridge trust``). Where there is one, all traffic is encrypted, and the server must know the
        key of this user (``zbridge keys``).
    timeout
        For later calls: seconds without any progress after which they raise `IdleTimeout`.

    Returns
    -------
    Client
        A mapping of the server's names to handles.

    Raises
    ------
    TransportError
        If no server answers within 5 seconds, with the stage that was not passed; or if the server does not
        have its key, or does not know ours.

    Examples
    --------
    >>> import bridge, numpy as np
    >>> with bridge.serve(x=np.arange(3)) as srv, bridge.connect(srv.url) as b:
    ...     b.read("x")
    array([0, 1, 2])
    """
    address = url or os.environ.get("BRIDGE_URL") or DEFAULT_URL
    client = Client(address, server_key=server_key, timeout=timeout)
    try:
        client._handshake(min(timeout, CONNECT_SECONDS))
    except IdleTimeout as exc:
        client.close()
        raise TransportError(
            f"{client.url} answers, but its catalogue does not come; is the server overloaded?"
            if client.info
            else f"{client.url} speaks ZeroMQ, but no zbridge server answers there; is it another program's "
            "port, or is the server stopped?"
        ) from exc
    except BaseException:
        client.close()
        raise
    return client


def _following(keys: dict[str, Any], answer: Answer, rows: Any) -> int:
    """Return the number of the row to ask for next, which is that of the row after these."""
    start = keys["start"]
    following: int = answer.key("next", int)
    if isinstance(start, int) and hasattr(rows, "__len__") and following != start + len(rows):
        raise WireError(
            f"the server sent {len(rows)} rows of {keys['name']!r} from {start} on, and says that {following} "
            "is next"
        )
    return following
