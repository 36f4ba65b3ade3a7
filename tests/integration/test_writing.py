"""Writing: off by default, whole and at once, and what was cut off leaves nothing."""

from __future__ import annotations

import itertools
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bridge
from bridge.limits import STANDARD, Limits
from bridge.transfer import Inbox
from tests.check import difference
from tests.faults.proxy import Proxy
from tests.integration.conftest import until
from tests.integration.sample_server import SAMPLES
from tests.processes import line_of, started

MIB = 1024 * 1024


@pytest.fixture
def server():
    with bridge.Server("tcp://127.0.0.1:0", writable=True) as server:
        yield server


def numbers(nbytes, seed=0):
    """No two items alike, within one and among those of different seeds."""
    return np.arange(seed << 40, (seed << 40) + nbytes // 8)


def seed_of(array):
    """Which `numbers` an array is, whole; an array that is a mixture is an error."""
    seed = int(array[0]) >> 40
    np.testing.assert_array_equal(array, numbers(array.nbytes, seed))
    return seed


def under_way(server):
    return len(server._service._inbox)


# ── where it goes ─────────────────────────────────────────────────────────────────────────────────


def test_of_two_directories_the_one_that_has_a_name_is_written_to(server, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        server.mount(folder)
    np.save(first / "a.npy", np.zeros(3))
    np.save(second / "b.npy", np.zeros(3))
    with bridge.connect(server.url) as b:
        for name in ("a", "b", "new"):
            b.put(name, np.ones(3))
            np.testing.assert_array_equal(b.read(name), np.ones(3))
        assert {path.name for path in first.iterdir()} == {"a.npy", "new.npy"}
        assert {path.name for path in second.iterdir()} == {"b.npy"}
        for name in ("b", "new", "a"):
            del b[name]
        assert list(b) == []


# ── who may write ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda b, name: b.put(name, [1]), id="put"),
        pytest.param(lambda b, name: b.put(name, numbers(4 * MIB)), id="put in windows"),
        pytest.param(lambda b, name: b.append(name, np.arange(3)), id="append"),
        pytest.param(lambda b, name: b.__delitem__(name), id="delete"),
    ],
)
def test_writing_is_forbidden_where_it_was_not_allowed(write):
    for writable in (False, ["mine/"], "mine/", ()):
        with bridge.Server("tcp://127.0.0.1:0", writable=writable) as server:
            for name in ("x", "yours/x", "mine", "\0"):
                server.update({name: np.arange(3)} if name.isprintable() else {})
                with bridge.connect(server.url) as b, pytest.raises(PermissionError) as forbidden:
                    write(b, name)
                assert isinstance(forbidden.value, bridge.RemoteError)
                assert forbidden.value.code == "forbidden"
                if name.isprintable():
                    np.testing.assert_array_equal(server[name]._values, np.arange(3))
            assert under_way(server) == 0


@pytest.mark.parametrize("writable", ["mine/", ["tmp/", "mine/"], True])
def test_names_with_an_allowed_beginning_are_written(writable):
    with (
        bridge.Server("tcp://127.0.0.1:0", writable=writable) as server,
        bridge.connect(server.url) as b,
    ):
        b.put("mine/x", np.arange(3))
        assert b.append("mine/x", np.arange(2)) == 5
        np.testing.assert_array_equal(b.read("mine/x"), [0, 1, 2, 0, 1])
        del b["mine/x"]
        assert "mine/x" not in b


@pytest.mark.parametrize("name", ["a\nb", "\0", "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_refused(client, name):
    with pytest.raises(ValueError, match="printable") as refused:
        client.put(name, [1])
    assert isinstance(refused.value, bridge.RemoteError)
    assert refused.value.code == "bad_request"


# ── put ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_comes_back_as_it_was_put(shared, name):
    obj = SAMPLES[name]()
    shared.put("it", obj)
    assert difference(obj, shared.read("it")) is None


@pytest.fixture(scope="module")
def shared():
    with bridge.Server("tcp://127.0.0.1:0", writable=True) as server, bridge.connect(server.url) as b:
        yield b


def test_an_object_that_cannot_be_sent_is_refused_and_what_was_there_stays(client):
    client.put("x", [1])
    with pytest.raises(bridge.EncodeError):
        client.put("x", print)
    assert client.read("x") == [1]


def test_a_large_object_is_seen_whole_and_at_once(server, client):
    large, progress = [numbers(100 * MIB, seed) for seed in (0, 1)], []
    server["x"] = large[0]
    stopped, seen = threading.Event(), []

    def read():
        with bridge.connect(server.url) as b:
            while not stopped.is_set():
                before = b["x"].version
                sample = b["x"][:: MIB // 8]
                (seed,) = set((sample >> 40).tolist())
                if before == b["x"].version:
                    seen.append((before, seed))

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read)
        client.put("x", large[1], progress=lambda done, total: progress.append((done, total)))
        stopped.set()
        reading.result()
    assert seed_of(client.read("x")) == 1
    assert progress[-1] == (100 * MIB, 100 * MIB)
    assert len(progress) >= 100 * MIB // STANDARD.window
    assert [seed for _, seed in seen] == sorted(seed for _, seed in seen)
    assert len(set(seen)) <= 2, "an old and a new version, each with its own bytes"
    assert under_way(server) == 0


def test_a_reader_in_a_loop_sees_an_old_or_a_new_object_and_never_a_mixture(server, client):
    server["x"] = numbers(2 * MIB, 0)
    stopped = threading.Event()

    def read():
        seeds = []
        with bridge.connect(server.url) as b:
            while not stopped.is_set():
                seeds.append(seed_of(b.read("x")))
        return seeds

    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for seed in range(1, 30):
            client.put("x", numbers(2 * MIB, seed))
        stopped.set()
        for reader in readers:
            seeds = reader.result()
            assert seeds == sorted(seeds)


def test_of_two_writers_of_one_name_one_wins_whole(server):
    def write(seed):
        with bridge.connect(server.url) as b:
            for _ in range(5):
                b.put("x", numbers(8 * MIB, seed))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, (1, 2)))
    with bridge.connect(server.url) as b:
        assert seed_of(b.read("x")) in (1, 2)
    assert under_way(server) == 0


PUTTING = """
import os, sys, numpy, bridge
with bridge.connect(sys.argv[1]) as b:
    try:
        b.put("x", numpy.ones(8 << 20), progress=lambda done, total: os.write(1, b"%d\\n" % done))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(b.read("x").tolist(), flush=True)
"""


def test_a_writer_that_was_killed_leaves_nothing(server, client, monkeypatch):
    monkeypatch.setattr("bridge.transfer.inbox.IDLE_SECONDS", 0.3)
    server["x"] = np.arange(3)
    with started("-c", PUTTING, server.url) as process:
        line_of(process)
        process.kill()
    until(lambda: under_way(server) == 0)
    np.testing.assert_array_equal(client.read("x"), np.arange(3))


def test_a_writer_that_is_interrupted_leaves_nothing_and_goes_on(server):
    server["x"] = np.arange(3)
    with started("-c", PUTTING, server.url) as process:
        line_of(process)
        process.send_signal(signal.SIGINT)
        while (line := line_of(process)) != "interrupted":
            assert int(line) > 0
        assert line_of(process) == "[0, 1, 2]"
    until(lambda: under_way(server) == 0)


def test_what_is_beyond_the_budget_is_refused_before_its_bytes_are_sent(server, client):
    server._service._inbox = Inbox(Limits(held=4 * MIB))
    sent = []
    with pytest.raises(bridge.RemoteError, match=f"takes {4 * MIB} at a time") as refused:
        client.put("x", numbers(8 * MIB), progress=lambda done, total: sent.append(done))
    assert refused.value.code == "too_large"
    assert sent == []
    client.put("x", numbers(4 * MIB))
    assert seed_of(client.read("x")) == 0


@pytest.mark.parametrize("mib", [1, 5, 15, 31])
def test_a_put_goes_on_where_the_connection_was_cut(server, mib):
    with Proxy(server.url) as proxy, bridge.connect(proxy.url) as b:
        proxy.after(mib * MIB, proxy.cut, way="up")
        b.put("x", numbers(32 * MIB))
        assert seed_of(b.read("x")) == 0
        assert proxy.passed["up"] < 60 * MIB, "it did not begin anew"
    assert under_way(server) == 0


@pytest.mark.parametrize("op", ["put", "done"])
def test_a_put_whose_beginning_or_end_is_not_answered_is_put_once_more(server, op):
    lost: list[str] = []
    handle = server._service.begin

    def begin(frames, reply, peer="", **options):
        if f'"op":"{op}"'.encode() in bytes(frames[0]).replace(b" ", b"") and not lost:
            lost.append(op)

            def lose(answer):
                proxy.cut()

            return handle(frames, lose, peer, **options)
        return handle(frames, reply, peer, **options)

    with Proxy(server.url) as proxy, bridge.connect(proxy.url) as b:
        server._service.begin = begin
        b.put("x", numbers(4 * MIB))
        assert seed_of(b.read("x")) == 0
    assert lost == [op]
    assert under_way(server) == 0


def test_a_put_survives_a_restart_of_the_server():
    server = bridge.Server("tcp://127.0.0.1:0", writable=True).start()
    restarted: list[bridge.Server] = []

    def progress(done, total):
        if not restarted:
            server.close()
            restarted.append(bridge.Server(b.url, writable=True).start())

    with bridge.connect(server.url) as b:
        b.put("x", numbers(16 * MIB), progress=progress)
        assert seed_of(b.read("x")) == 0
    restarted[0].close()


def test_a_put_that_the_server_cannot_take_leaves_what_was_there(server, client):
    server["x"] = np.arange(3)
    descriptor = {"kind": "array", "dtype": "<f8", "shape": [2**20], "order": "C"}
    question = client._question("put", {"name": "x", "object": descriptor}, [bytes(2**20 * 8 - 8)])
    with pytest.raises(bridge.RemoteError) as refused:
        client._exchange.put(question)
    assert isinstance(refused.value, bridge.RemoteError)
    assert refused.value.code == "bad_request"
    np.testing.assert_array_equal(client.read("x"), np.arange(3))
    assert under_way(server) == 0


# ── append and delete ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        pytest.param(np.ones((2, 3)), np.zeros((1, 3)), id="array"),
        pytest.param(pd.DataFrame({"a": [1.5]}, [7]), pd.DataFrame({"a": [2.5]}, [7]), id="frame"),
        pytest.param(
            pa.table({"a": ["x"]}), pa.table({"a": [None]}, pa.schema({"a": "string"})), id="table"
        ),
    ],
)
def test_rows_are_appended_to_what_is_served(client, rows, more):
    client.put("x", rows)
    before = client["x"]
    assert client.append("x", more) == len(rows) + len(more)
    whole = client.read("x")
    assert type(whole) is type(rows)
    assert difference(rows, whole[: len(rows)]) is None
    assert len(whole) == len(rows) + len(more)
    assert client["x"].version != before.version
    with pytest.raises(TypeError, match="cannot follow"):
        client.append("x", np.ones(3))
    assert difference(whole, client.read("x")) is None


def test_many_clients_append_to_one_table_and_no_row_is_lost(server, client):
    client.put("x", pd.DataFrame({"n": np.arange(0)}))
    numbers = itertools.count()

    def append(_):
        return client.append("x", pd.DataFrame({"n": [next(numbers)]}))

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(append, range(100)))
    assert sorted(counts) == list(range(1, 101))
    assert sorted(client.read("x")["n"]) == list(range(100))


def test_what_has_no_rows_takes_none(server, client):
    server["config"] = {"a": 1}
    server.query(test_what_has_no_rows_takes_none)
    for name in ("config", "test_what_has_no_rows_takes_none"):
        with pytest.raises(bridge.RemoteError, match="takes no rows") as refused:
            client.append(name, [1])
        assert refused.value.code == "unsupported"
    server["number"] = np.array(5)
    with pytest.raises(TypeError, match="cannot follow"):
        client.append("number", np.array(6))
    with pytest.raises(KeyError):
        client.append("no such name", [1])


def test_what_is_deleted_is_gone_for_all(server, client):
    client.put("x", [1])
    with bridge.connect(server.url) as other:
        assert other.read("x") == [1]
        del client["x"]
        with pytest.raises(KeyError):
            other.read("x")
        with pytest.raises(KeyError):
            del other["x"]
