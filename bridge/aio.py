"""The client for asyncio: the same names, awaited.

Each call is one of the synchronous client, made in a thread, so there is one protocol, one pool of connections
and one way to resume what was lost; and it works in every event loop, on Windows in its default one too, which
cannot watch the sockets of ZeroMQ. A thread costs a call a tenth of a millisecond.

A task that is cancelled, or runs into ``asyncio.timeout``, has its call given up: the server is told, and
within about a tenth of a second the thread is out of it. Only then does the task go on, for until then
the call may write where the result was to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar

from bridge import client, remote
from bridge.giving_up import given_up_by
from bridge.threads import DaemonThreads

__all__ = ["Array", "Channel", "Client", "Object", "Query", "Stream", "Table", "connect"]

# So many calls are under way at once, each on a connection of its own; others wait for their turn.
MOST_CALLS: Final = 100
_END: Final = object()

P = ParamSpec("P")
T = TypeVar("T")
Run = Callable[..., Coroutine[Any, Any, Any]]


def connect(url: str | None = None, *, timeout: float = client.DEFAULT_TIMEOUT) -> Connecting:
    """Connect to a server: ``async with connect(url) as b``, or ``b = await connect(url)``.

    Parameters
    ----------
    url, timeout
        As for `bridge.connect`.

    Returns
    -------
    Connecting
        Awaited or entered, it gives a `Client`, or raises as `bridge.connect` does.

    Examples
    --------
    >>> import asyncio, bridge, numpy as np
    >>> async def main(url):
    ...     async with bridge.aio.connect(url) as b, asyncio.timeout(10):
    ...         return await asyncio.gather(b.read("x"), b.read("y"))
    >>> with bridge.serve(x=np.arange(3), y=np.arange(2)) as srv:
    ...     asyncio.run(main(srv.url))
    [array([0, 1, 2]), array([0, 1])]
    """
    return Connecting(url, timeout)


class Connecting:
    """A connection that is being made: await it, or enter it."""

    def __init__(self, url: str | None, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._client: Client | None = None

    if not TYPE_CHECKING:  # a type checker knows what is not there

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"there is no {name!r} before the connection is made; await it first: "
                "b = await aio.connect(url), or async with aio.connect(url) as b",
                name=name,
                obj=self,
            )

    def __await__(self) -> Generator[Any, Any, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self
        return self._client

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def _connect(self) -> Client:
        run = _in_threads(DaemonThreads(MOST_CALLS))
        return Client(await run(client.connect, self._url, timeout=self._timeout), run)


class _Face:
    """What stands before an object of the synchronous client."""

    def __init__(self, sync: Any, run: Run) -> None:
        self._sync = sync
        self._run = run

    def __repr__(self) -> str:
        return repr(self._sync)

    def _repr_html_(self) -> str:
        return str(self._sync._repr_html_())


def _awaited(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[Concatenate[_Face, P], Coroutine[Any, Any, T]]:
    """Return the same method, to be awaited."""

    @functools.wraps(method)
    async def call(self: _Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._run(method, self._sync, *args, **kwargs)
        return result

    return call


def _iterated(
    method: Callable[Concatenate[Any, P], Iterator[T]],
) -> Callable[Concatenate[_Face, P], AsyncGenerator[T, None]]:
    """Return the same method, for ``async for``."""

    @functools.wraps(method)
    async def iterate(self: _Face, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        values: Any = await self._run(method, self._sync, *args, **kwargs)
        try:
            while (value := await self._run(next, values, _END)) is not _END:
                yield value
        finally:
            await self._run(values.close)

    return iterate


def _narrowed(
    method: Callable[Concatenate[Any, P], remote.RemoteTable],
) -> Callable[Concatenate[_Face, P], Table]:
    """Return the same method, which does no I/O."""

    @functools.wraps(method)
    def narrow(self: _Face, /, *args: P.args, **kwargs: P.kwargs) -> Table:
        return Table(method(self._sync, *args, **kwargs), self._run)

    return narrow


def _attribute(name: str) -> Any:
    return property(operator.attrgetter(f"_sync.{name}"))


class _Data(_Face):
    """What is known of data on the server, without asking."""

    name = _attribute("name")
    nbytes = _attribute("nbytes")
    version = _attribute("version")
    plan = _attribute("plan")


class Array(_Data):
    """An array on the server: `bridge.RemoteArray`, awaited. ``await x[::1000, 3]`` fetches a part."""

    shape = _attribute("shape")
    dtype = _attribute("dtype")
    ndim = _attribute("ndim")
    size = _attribute("size")
    read = _awaited(remote.RemoteArray.read)
    blocks = _iterated(remote.RemoteArray.blocks)
    peek = _awaited(remote.RemoteArray.peek)
    __getitem__ = _awaited(remote.RemoteArray.__getitem__)


class Table(_Data):
    """A table on the server: `bridge.RemoteTable`, awaited where it fetches."""

    columns = _attribute("columns")
    num_rows = _attribute("num_rows")
    shape = _attribute("shape")
    dtypes = _attribute("dtypes")
    schema = _attribute("schema")
    select = _narrowed(remote.RemoteTable.select)
    filter = _narrowed(remote.RemoteTable.filter)
    slice = _narrowed(remote.RemoteTable.slice)
    head = _narrowed(remote.RemoteTable.head)
    part = _narrowed(remote.RemoteTable.part)
    read = _awaited(remote.RemoteTable.read)
    to_pandas = _awaited(remote.RemoteTable.to_pandas)
    to_arrow = _awaited(remote.RemoteTable.to_arrow)
    to_polars = _awaited(remote.RemoteTable.to_polars)
    batches = _iterated(remote.RemoteTable.batches)
    arrow_batches = _iterated(remote.RemoteTable.arrow_batches)
    peek = _awaited(remote.RemoteTable.peek)
    __getitem__ = _awaited(remote.RemoteTable.__getitem__)


class Object(_Data):
    """What is fetched whole: `bridge.RemoteObject`, awaited."""

    type_name = _attribute("type_name")
    read = _awaited(remote.RemoteObject.read)


class Query(_Face):
    """A function on the server: `bridge.RemoteQuery`, awaited."""

    name = _attribute("name")
    signature = _attribute("signature")
    __call__ = _awaited(remote.RemoteQuery.__call__)


class Stream(_Face):
    """A stream on the server: `bridge.RemoteStream`, for ``async for``."""

    name = _attribute("name")
    signature = _attribute("signature")
    __call__ = _iterated(remote.RemoteStream.__call__)


class Channel(_Face):
    """A live channel: `bridge.RemoteChannel`, for ``async for``."""

    name = _attribute("name")
    rows = _attribute("rows")
    follow = _iterated(remote.RemoteChannel.follow)


_FACES: dict[type, Callable[[Any, Run], Any]] = {
    remote.RemoteArray: Array,
    remote.RemoteTable: Table,
    remote.RemoteObject: Object,
    remote.RemoteQuery: Query,
    remote.RemoteStream: Stream,
    remote.RemoteChannel: Channel,
}


class Client(_Face):
    """A connection to a server: `bridge.Client`, awaited. Made by `connect`.

    ``x = await b["waveform"]`` gives a handle; ``async for name in b`` the names. `stream` and `follow` are
    iterated with ``async for``, and end on the server when the iterator is closed: `contextlib.aclosing`
    does that at once where the loop is left early. ``progress`` functions are called in another thread.
    """

    url = _attribute("url")
    timeout = _attribute("timeout")
    info = _attribute("info")
    last = _attribute("last")
    read = _awaited(client.Client.read)
    read_many = _awaited(client.Client.read_many)
    call = _awaited(client.Client.call)
    stream = _iterated(client.Client.stream)
    follow = _iterated(client.Client.follow)
    put = _awaited(client.Client.put)
    append = _awaited(client.Client.append)
    delete = _awaited(client.Client.__delitem__)
    entries = _awaited(client.Client.entries)
    ping = _awaited(client.Client.ping)
    close = _awaited(client.Client.close)

    async def __getitem__(self, name: str) -> Any:
        """Ask what the server holds under a name; awaited, this gives its handle."""
        handle = await self._run(client.Client.__getitem__, self._sync, name)
        return _FACES[type(handle)](handle, self._run)

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        """Ask for the catalogue, and iterate over its names in order."""
        for entry in await self.entries():
            yield entry["name"]

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()


def _in_threads(threads: DaemonThreads) -> Run:
    """Return what calls functions in threads, and gives them up where its task is cancelled."""

    async def run(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        gave_up = threading.Event()
        future = threads.submit(given_up_by, gave_up, function, *args, **kwargs)
        ended = asyncio.wrap_future(future)
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            gave_up.set()
            future.cancel()  # where it did not begin
            while not ended.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([ended])
            if not ended.cancelled():
                ended.exception()  # nobody else asks for it
            raise
        return ended.result()

    return run
