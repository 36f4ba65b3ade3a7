"""The client for asyncio: the same names; a task that is cancelled releases what it held on the server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import aio, remote
from tests import peers
from tests.integration.conftest import until
from tests.processes import output_of

X = np.arange(24.0).reshape(6, 4)
LARGE = np.arange(4 * 1024 * 1024, dtype=np.float64)  # 32 MiB
FRAME = pd.DataFrame({"a": range(10), "b": list("abcdefghij")})


class Held:
    """Queries that wait until they are released, or given up."""

    def __init__(self):
        self.released = threading.Event()
        self.entered = threading.Semaphore(0)
        self.given_up = threading.Semaphore(0)

    def wait(self, number: int = 0) -> int:
        self.entered.release()
        while not self.released.wait(0.005):
            if bridge.cancelled():
                self.given_up.release()
                break
        return number


@pytest.fixture
def held():
    held = Held()
    yield held
    held.released.set()


@pytest.fixture
def server(held):
    with bridge.Server("tcp://127.0.0.1:0", writable=True) as server:
        server.update({"x": X, "large": LARGE, "t": FRAME, "tree": {"a": [1, None]}})

        def wait(number: int = 0):
            return held.wait(number)

        def ticks(count: int):
            yield from range(count)

        server.query(wait)
        server.stream(ticks)
        server.channel("log")
        yield server


def run(server, task):
    """Run ``task(b)`` with a client of the server, and return its result."""

    async def main():
        async with aio.connect(server.url) as b:
            return await task(b)

    return asyncio.run(main())


def is_idle(server):
    """Whether the server keeps nothing for anybody: no transfer, no call."""
    service = server._service
    return not len(service._outbox) and not len(service._inbox) and not len(service._calls)


# ── the same names ────────────────────────────────────────────────────────────────────────────────


def test_what_the_client_does_is_done_when_it_is_awaited(server):
    async def task(b):
        assert [name async for name in b] == ["large", "log", "t", "ticks", "tree", "wait", "x"]
        assert [entry["name"] for entry in await b.entries()][-1] == "x"
        np.testing.assert_array_equal(await b.read("large"), LARGE)
        assert b.last.nbytes == LARGE.nbytes
        assert await b.read_many(["tree", "tree"]) == [{"a": [1, None]}] * 2
        await b.put("mine", X + 1)
        np.testing.assert_array_equal(await b.read("mine", np.s_[:2]), X[:2] + 1)
        assert await b.append("mine", X) == 12
        await b.delete("mine")
        with pytest.raises(KeyError, match="no 'mine' here"):
            await b["mine"]
        assert 0 < await b.ping() < 30
        assert b.info["instance"]
        assert b.url == server.url
        assert server.url in repr(b)
        assert server.url in b._repr_html_()
        assert "float64" in (await b["x"])._repr_html_()

    run(server, task)


def test_an_argument_may_be_called_as_ours_are(server):
    def named(event: int = 0, function: int = 0, method: int = 0):
        return [event, function, method]

    server.query(named)

    async def task(b):
        return [await b.call("named", **{name: 1}) for name in ("event", "function", "method")]

    assert run(server, task) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_connection_that_was_not_awaited_says_so():
    with pytest.raises(AttributeError, match="no 'read' before the connection is made; await it first"):
        aio.connect("tcp://127.0.0.1:1").read("x")  # type: ignore[attr-defined]


def test_handles_have_their_attributes_and_are_awaited_to_fetch(server, held):
    async def task(b):
        x, t, tree, wait, ticks = await asyncio.gather(
            *(b[name] for name in ("x", "t", "tree", "wait", "ticks"))
        )
        assert (x.name, x.shape, x.dtype, x.ndim, x.size, x.nbytes) == ("x", (6, 4), X.dtype, 2, 24, 192)
        np.testing.assert_array_equal(await x[::2, 1], X[::2, 1])
        into = np.empty_like(X)
        assert await x.read(into=into) is into
        blocks = [block async for block in x.blocks(rows=4)]
        np.testing.assert_array_equal(np.concatenate(blocks), X)
        assert (t.columns, t.num_rows, t.shape) == (["a", "b"], 10, (10, 2))
        part = t.filter([("a", ">", 3)]).select(["b"]).head(2)
        pd.testing.assert_frame_equal(await part.to_pandas(), FRAME.loc[4:5, ["b"]])
        pd.testing.assert_series_equal(await t["a"], FRAME["a"])
        assert (await t.slice(2, 4).to_arrow()).column("a").to_pylist() == [2, 3]
        assert [len(batch) async for batch in t.batches(rows=4)] == [4, 4, 2]
        assert await tree.read() == {"a": [1, None]}
        held.released.set()
        assert await wait(number=7) == 7
        assert [value async for value in ticks(3)] == [0, 1, 2]

    run(server, task)


@pytest.mark.parametrize(
    ("face", "sync"),
    [
        (aio.Client, bridge.Client),
        *((aio._FACES[cls], cls) for cls in aio._FACES),
    ],
    ids=lambda cls: f"{cls.__module__}.{cls.__name__}",
)
def test_no_name_is_missing(face, sync):
    instead = {"keys", "items", "values", "get"}  # of a Mapping, each a request
    local = {
        "labels",
        "member",
        "pinned",
        "to_dask",
        "to_xarray",
    }  # to be handed to others, who fetch in threads of their own
    names = {name for name, _ in inspect.getmembers(sync) if not name.startswith("_")}
    assert names - instead - local <= {name for name in dir(face) if not name.startswith("_")}


def test_a_client_is_connected_by_await_too(server):
    async def main():
        b = await aio.connect(server.url)
        try:
            return await b.read("x")
        finally:
            await b.close()

    np.testing.assert_array_equal(asyncio.run(main()), X)


def test_nobody_there_is_the_error_of_the_synchronous_client():
    async def main():
        async with aio.connect("tcp://127.0.0.1:1", timeout=0.1):
            pass

    with pytest.raises(bridge.TransportError, match=r"cannot reach tcp://127\.0\.0\.1:1"):
        asyncio.run(main())


def test_one_client_serves_one_loop_after_the_other(server):
    b = asyncio.run(aio.connect(server.url)._connect())
    for _ in range(2):
        np.testing.assert_array_equal(asyncio.run(b.read("x")), X)
    asyncio.run(b.close())


# ── overlapping ───────────────────────────────────────────────────────────────────────────────────


def test_calls_overlap_and_the_loop_goes_on_meanwhile(server, held):
    async def task(b):
        calls = [asyncio.create_task(b.call("wait", number=n)) for n in range(4)]
        for _ in calls:  # all of them are in it before any is out
            while not held.entered.acquire(blocking=False):
                await asyncio.sleep(0.001)
        np.testing.assert_array_equal(await b.read("large"), LARGE)
        assert not any(call.done() for call in calls)
        held.released.set()
        return await asyncio.gather(*calls)

    assert run(server, task) == [0, 1, 2, 3]


def test_rows_that_are_appended_are_followed(server):
    async def task(b):
        async with contextlib.aclosing(b.follow("log", start="begin")) as batches:
            await b.append("log", FRAME[:3])
            first = await anext(batches)
            await b.append("log", FRAME[3:])
            return pd.concat([first, await anext(batches)])

    pd.testing.assert_frame_equal(run(server, task), FRAME)


# ── cancelling ────────────────────────────────────────────────────────────────────────────────────


def test_a_call_that_is_cancelled_is_given_up_on_the_server(server, held):
    async def task(b):
        call = asyncio.create_task(b.call("wait"))
        while not held.entered.acquire(blocking=False):
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(held.given_up.acquire)
        await asyncio.to_thread(until, lambda: is_idle(server))
        np.testing.assert_array_equal(await b.read("x"), X)  # the client works on

    run(server, task)


def test_a_time_limit_ends_a_call(server, held):
    async def task(b):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await b.call("wait")
        await asyncio.to_thread(until, lambda: is_idle(server))
        held.released.set()
        return await b.call("wait", number=3)

    assert run(server, task) == 3


def test_a_read_that_is_cancelled_halfway_writes_no_more_and_leaves_no_transfer(server):
    async def task(b):
        into = np.zeros_like(LARGE)
        loop, started, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def progress(done, total):
            loop.call_soon_threadsafe(started.set)
            go_on.wait()

        x = await b["large"]
        read = asyncio.create_task(x.read(into=into, progress=progress))
        await started.wait()
        assert not is_idle(server)
        read.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await read
        after = into.copy()
        assert not np.array_equal(after, LARGE)
        await asyncio.to_thread(until, lambda: is_idle(server))
        np.testing.assert_array_equal(await b.read("large"), LARGE)
        np.testing.assert_array_equal(into, after)

    run(server, task)


def test_a_put_that_is_cancelled_halfway_changes_nothing(server):
    async def task(b):
        loop, started, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def progress(done, total):
            loop.call_soon_threadsafe(started.set)
            go_on.wait()

        put = asyncio.create_task(b.put("x", LARGE, progress=progress))
        await started.wait()
        put.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await put
        await asyncio.to_thread(until, lambda: is_idle(server))
        np.testing.assert_array_equal(await b.read("x"), X)

    run(server, task)


@pytest.mark.parametrize("name", ["stream", "blocks"])
def test_an_iterator_that_is_left_early_is_closed_on_the_server(server, name):
    async def task(b):
        values = (
            b.stream("ticks", count=10**9) if name == "stream" else (await b["large"]).blocks(rows=1000)
        )
        async with contextlib.aclosing(values):
            async for _ in values:
                break
        await asyncio.to_thread(until, lambda: is_idle(server))

    run(server, task)


def test_a_follower_that_is_cancelled_while_nothing_comes_is_forgotten(server):
    async def task(b):
        async def follow():
            async for _ in b.follow("log"):
                pass

        follower = asyncio.create_task(follow())
        await asyncio.sleep(0.05)
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower
        return await b.append("log", FRAME)

    assert run(server, task) == 10


def test_a_connection_that_is_not_made_can_be_cancelled():
    async def main(url):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await aio.connect(url)
        return time.monotonic() - begun

    with peers.black_hole() as url:
        assert asyncio.run(main(url)) < 3.0  # it would be tried for 5 seconds


def test_of_more_calls_than_there_are_threads_the_last_can_be_cancelled_before_they_begin(server, held):
    async def task(b):
        calls = [asyncio.create_task(b.call("wait")) for _ in range(aio.MOST_CALLS)]
        await asyncio.sleep(0)
        last = asyncio.create_task(b.put("never", X))
        await asyncio.sleep(0)
        last.cancel()
        with pytest.raises(asyncio.CancelledError):
            await last
        held.released.set()
        await asyncio.gather(*calls)
        assert "never" not in server

    run(server, task)


# ── no event loop where none is wanted ────────────────────────────────────────────────────────────


def test_the_synchronous_client_and_the_server_never_import_asyncio():
    code = """
import sys, bridge, numpy as np
with bridge.serve(x=np.arange(3), large=np.zeros(1_000_000)) as srv, bridge.connect(srv.url) as b:
    b.read("x"), b.read("large"), repr(b), b["x"][:2], list(b["x"].blocks())
print("asyncio" in sys.modules)
bridge.aio.connect
print("asyncio" in sys.modules)
"""
    assert output_of("-c", code).split() == ["False", "True"]


def test_every_handle_has_a_face():
    handles = {getattr(remote, name) for name in remote.__all__ if name.startswith("Remote")}
    assert handles == set(aio._FACES)
