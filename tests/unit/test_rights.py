"""What a peer may not see is not there: not in the catalogue, and not in any answer."""

from __future__ import annotations

import json
import queue
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridge import codecs, wire
from bridge.rights import NOTHING, Peer, Rights
from bridge.service import Service
from bridge.sources.memory import ArraySource
from bridge.threads import DaemonThreads
from bridge.wire import Request

MARK = "sixteen characters"
LIMITED = Peer(rights=Rights(only=("run42/*", "log?")))
READER = Peer(rights=Rights(may_write=False))
LIMITED_READER = Peer(rights=Rights(may_write=False, only=LIMITED.rights.only))
ADA, BOB = (Peer(key=f"{name} SHA256:{name}") for name in ("ada", "bob"))
NAMES = ["run42/wave", "run42/note", "run43/wave", "secret", "log1"]
# What there is, beside "run42/wave": it looks like what is asked for.
HIDDEN = ["secret", "run43/wave", "run42"]
ONE = codecs.encode(np.arange(3))


@pytest.fixture
def service():
    service = Service(writable=True)
    service.update(dict.fromkeys(NAMES, np.arange(3)))

    def run42(x=1):
        return x

    service.query(run42)
    return service


def ask(service, op, peer=LIMITED, *, buffers=(), **keys):
    request = Request(id=1, op=op, keys=keys, buffers=buffers)
    return service.handle(wire.pack_request(request), peer)


def error(frames):
    return json.loads(bytes(frames[0]))["error"]


OPS = {
    "get": {},
    "describe": {},
    "call": {},
    "delete": {},
    "put": {"object": ONE.descriptor, "buffers": ONE.buffers},
    "append": {"object": ONE.descriptor, "buffers": ONE.buffers},
}


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("name", HIDDEN)
def test_a_name_that_is_hidden_is_answered_as_one_that_does_not_exist(service, op, name):
    with_it = ask(service, op, name=name, **OPS[op])
    names = list(service)
    del service[name]
    without_it = ask(service, op, name=name, **OPS[op])
    assert [bytes(frame) for frame in with_it] == [bytes(frame) for frame in without_it]
    assert error(with_it)["code"] in ("not_found", "forbidden")
    assert name in names


def test_the_catalogue_has_only_what_may_be_seen(service):
    entries = json.loads(bytes(ask(service, "list")[0]))["entries"]
    assert [entry["name"] for entry in entries] == ["log1", "run42/note", "run42/wave"]


def test_pages_of_the_catalogue_end_where_what_may_be_seen_ends(service):
    reply = json.loads(bytes(ask(service, "list", limit=2)[0]))
    assert [entry["name"] for entry in reply["entries"]] == ["log1", "run42/note"]
    assert reply["more"]
    reply = json.loads(bytes(ask(service, "list", after="run42/note")[0]))
    assert [entry["name"] for entry in reply["entries"]] == ["run42/wave"]
    assert not reply["more"]


def test_a_hint_names_only_what_may_be_seen(service):
    assert "did you mean 'run42/wave'?" in error(ask(service, "get", name="run42/wav"))["message"]
    message = error(ask(service, "get", name="secre"))["message"]
    assert "secret" not in message
    assert "there are 3 names" in message


def test_what_may_be_seen_can_be_read_and_written(service):
    assert len(ask(service, "get", name="run42/wave")) == 2
    ask(service, "put", name="run42/new", **OPS["put"])
    assert "run42/new" in service
    assert "error" not in json.loads(bytes(ask(service, "delete", name="run42/new")[0]))
    assert "run42/new" not in service


def vanishing(service, name):
    """An array that is deleted, under the name that it is served by, as soon as somebody has found it."""

    class Vanishing(ArraySource):
        def appended(self, rows):
            service._sources.pop(name)
            return super().appended(rows)

    return Vanishing(np.arange(3))


def test_who_appends_to_what_is_deleted_meanwhile_learns_of_no_hidden_name(service):
    for name in ("run42/secret-plan", "run42/q"):
        service["run43/secret-plan"] = np.arange(3)
        service._sources[name] = vanishing(service, name)
        failure = error(ask(service, "append", name=name, **OPS["append"]))
        assert failure["code"] == "not_found"
        assert "run43" not in failure["message"]


def test_who_puts_what_is_deleted_meanwhile_learns_of_no_hidden_name(service):
    class Forgetting(dict):
        def __setitem__(self, name, source):
            pass

    service["run43/secret-plan"] = np.arange(3)
    service._sources = Forgetting(service._sources)
    failure = error(ask(service, "put", name="run42/secret-plan", **OPS["put"]))
    assert failure["code"] == "not_found"
    assert "run43" not in failure["message"]


@pytest.mark.parametrize("prefix", ["", "lab/"])
def test_a_put_leaves_the_files_whose_names_are_hidden_and_does_not_name_them(tmp_path, prefix):
    for name in ("x.npy", "y.npy"):
        np.save(tmp_path / name, np.arange(5))
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "x.parquet")
    (tmp_path / "y.csv").write_text("a,b\n1,2\n")
    service = Service(writable=True)
    service.mount(tmp_path, prefix=prefix)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    narrow = Peer(rights=Rights(only=(f"{prefix}x", f"{prefix}y")))
    for name in ("x", "y"):
        failure = error(ask(service, "put", narrow, name=prefix + name, **OPS["put"]))
        assert failure["code"] == "unsupported"
        assert failure["message"] == f"{name!r} is taken by another file; choose another name"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    wide = Peer(rights=Rights(only=(f"{prefix}x*",)))
    assert "version" in outcome(ask(service, "put", wide, name=f"{prefix}x", **OPS["put"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.csv", "y.npy"]


@pytest.mark.parametrize("op", ["put", "append", "delete"])
@pytest.mark.parametrize("name", ["run42/wave", "nothing"])
def test_who_may_only_read_changes_nothing(service, op, name):
    failure = error(ask(service, op, READER, name=name, **OPS[op]))
    assert failure["code"] == "forbidden"
    assert "your key may only read" in failure["message"]
    assert len(service) == len(NAMES) + 1


def test_to_write_takes_the_servers_leave_and_the_keys():
    service = Service(writable=["mine/"])
    peer = Peer(rights=Rights(only=("mine/*", "theirs/*")))
    ask(service, "put", peer, name="mine/x", **OPS["put"])
    assert list(service) == ["mine/x"]
    assert error(ask(service, "put", peer, name="theirs/x", **OPS["put"]))["code"] == "forbidden"


def announce(service, name, peer):
    """Begin to put one object in parts, under the token MARK."""
    begin = Request(
        id=1,
        op="put",
        keys={"name": name, "object": ONE.descriptor, "transfer": MARK},
        lengths=[len(buffer) for buffer in ONE.buffers],
    )
    service.handle(wire.pack_request(begin), peer)


def test_who_lost_a_right_while_it_sent_does_not_finish(service):
    announce(service, "run42/new", LIMITED)
    ask(service, "part", transfer=MARK, offset=0, buffers=ONE.buffers)
    assert error(ask(service, "done", LIMITED_READER, transfer=MARK))["code"] == "forbidden"
    assert "run42/new" not in service


def outcome(frames):
    """The code of the failure that a reply tells of, or what else it has."""
    reply = json.loads(bytes(frames[0]))
    return reply["error"]["code"] if "error" in reply else reply


STOLEN_BY = {
    "another key": (ADA, BOB),
    "a key that continues the token": (ADA, Peer(key="bob\0ada SHA256:ada")),
    "the key, which may see less now": (ADA, Peer(key=ADA.key, rights=Rights(only=("log?",)))),
    "nobody known": (ADA, Peer()),
}


@pytest.mark.parametrize("case", STOLEN_BY)
def test_a_transfer_is_there_for_whom_it_was_begun_alone(service, case):
    owner, thief = STOLEN_BY[case]
    token = outcome(ask(service, "get", owner, name="run42/wave", max_bytes=0))["transfer"]
    part = {"transfer": token, "offset": 0, "length": 24}
    assert outcome(ask(service, "part", thief, **part)) == "expired"
    for op in ("cancel", "done"):
        ask(service, op, thief, transfer=token)
    assert outcome(ask(service, "part", owner, **part))["part"] == [0, 24]
    ask(service, "done", owner, transfer=token)
    assert outcome(ask(service, "part", owner, **part)) == "expired"


@pytest.mark.parametrize("case", STOLEN_BY)
def test_what_is_being_put_is_there_for_whom_it_was_begun_alone(service, case):
    owner, thief = STOLEN_BY[case]
    announce(service, "run42/new", owner)
    assert outcome(ask(service, "part", thief, transfer=MARK, offset=0, buffers=[b"x"])) == "expired"
    for op in ("cancel", "done"):
        ask(service, op, thief, transfer=MARK)
    ask(service, "part", owner, transfer=MARK, offset=0, buffers=ONE.buffers)
    assert "version" in outcome(ask(service, "done", owner, transfer=MARK))
    assert bytes(ask(service, "get", name="run42/new")[1]) == np.arange(3).tobytes()


@pytest.mark.parametrize("case", STOLEN_BY)
def test_a_call_is_there_for_whom_it_was_begun_alone(service, case):
    owner, thief = STOLEN_BY[case]

    def count():
        yield from range(3)

    service.stream(count)
    assert "object" in outcome(ask(service, "call", owner, name="count", call=MARK))
    assert outcome(ask(service, "wait", thief, call=MARK)) == "expired"
    ask(service, "cancel", thief, call=MARK)
    assert outcome(ask(service, "wait", owner, call=MARK))["call"] == MARK


def test_no_token_reads_as_another_token_of_a_key_that_saw_more(service):
    wide = Peer(key=ADA.key, rights=Rights(only=("log1", "run42/*")))
    narrow = Peer(key=ADA.key, rights=Rights(only=("run42/*",)))

    def count():
        yield from range(3)

    service.stream(count)
    announce(service, "log1", wide)
    token = outcome(ask(service, "get", wide, name="log1", max_bytes=0))["transfer"]
    part = {"offset": 0, "length": 24}
    for forged in (f"{token}\0log1", f"{token}\0{ADA.key}\0log1", f"log1\0{token}"):
        assert outcome(ask(service, "part", narrow, transfer=forged, **part)) == "expired"
    forged = f"{MARK}\0log1"
    written = ask(service, "part", narrow, transfer=forged, offset=0, buffers=ONE.buffers)
    assert outcome(written) == "expired"
    all_of_it = Peer(key=ADA.key, rights=Rights(only=("count", "run42/*")))
    assert "object" in outcome(ask(service, "call", all_of_it, name="count", call=MARK))
    assert outcome(ask(service, "wait", narrow, call=f"{MARK}\0count")) == "expired"
    assert outcome(ask(service, "part", wide, transfer=token, **part))["part"] == [0, 24]


def test_the_slow_streams_of_one_client_leave_threads_to_the_others(gate):
    executor = DaemonThreads(4)
    service = Service(streams=executor)

    def slow():
        gate.wait(30)
        yield 1

    def quick():
        yield 2

    for function in (slow, quick):
        service.stream(function)
    greedy, modest = Peer(client="greedy"), Peer(client="modest")
    for number in range(8):
        begun = ask(service, "call", greedy, name="slow", call=f"{MARK} {number}", wait=0)
        assert "call" in outcome(begun)
    assert "object" in outcome(ask(service, "call", modest, name="quick", call=MARK, wait=10))
    gate.set()
    for number in range(8):
        assert "object" in outcome(ask(service, "wait", greedy, call=f"{MARK} {number}", wait=30))
    executor.shutdown(cancel_futures=True)


@pytest.mark.parametrize("op", wire.OPS)
def test_who_has_no_rights_any_more_is_told_so_whatever_it_asks(service, op):
    keys = {"name": "run42/wave", "transfer": MARK, "call": MARK, "offset": 0, "length": 1}
    keys |= {"object": ONE.descriptor} if op in ("put", "append") else {}
    if op == "put":
        del keys["transfer"]
    buffers = ONE.buffers if op in ("put", "append") else ()
    failure = error(ask(service, op, Peer(rights=NOTHING), buffers=buffers, **keys))
    assert failure["code"] == "forbidden"
    assert "your key is not allowed any more" in failure["message"]


# ── rights that change while a request waits ──────────────────────────────────────────────────────


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def slow(gate):
    """A service that makes what is asked for when the gate opens."""

    def slow():
        gate.wait()
        return 1

    with ThreadPoolExecutor(1) as executor:
        service = Service(executor=executor)
        service.query(slow)
        service.channel("log")
        yield service
        gate.set()


WAITING: dict[str, tuple[str, dict[str, Any]]] = {
    "who follows": ("get", {"name": "log", "start": 0, "wait": 60}),
    "who calls": ("call", {"name": "slow"}),
    "who waits for what was called": ("wait", {"call": MARK}),
}


def answer_after(service, gate, who, change):
    """The answer to a request of a key whose rights change while it waits."""
    op, keys = WAITING[who]
    rights = Rights()
    peer = Peer(key="ada SHA256:ada", rights=rights, now=lambda: rights)
    if op == "wait":
        assert outcome(ask(service, "call", peer, name="slow", call=MARK, wait=0))["call"] == MARK
    replies = queue.SimpleQueue()
    service.begin(wire.pack_request(Request(id=1, op=op, keys=keys)), replies.put, peer)
    assert replies.empty()
    rights = change
    gate.set()
    service["log"].append([1, 2])
    service.tick()
    return outcome(replies.get(timeout=30))


@pytest.mark.parametrize("change", [NOTHING, Rights(only=("other",))], ids=["denied", "narrowed"])
@pytest.mark.parametrize("who", WAITING)
def test_who_loses_its_rights_while_it_waits_gets_nothing_more(slow, gate, who, change):
    assert answer_after(slow, gate, who, change) == "forbidden"


class Later(Executor):
    """Does what was submitted when it is told to."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, /, *args, **kwargs):
        self.tasks.append(lambda: fn(*args, **kwargs))
        return Future()

    def work(self):
        while self.tasks:
            self.tasks.pop(0)()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (NOTHING, "not allowed any more"),
        (Rights(may_write=False), "may only read"),
        (Rights(only=("other",)), "other"),
    ],
)
@pytest.mark.parametrize("op", ["put", "append", "delete"])
def test_who_may_write_no_more_when_its_turn_comes_changes_nothing(tmp_path, op, change, words):
    threads = Later()
    service = Service(threads=threads, writable=True)
    service.mount(tmp_path)
    np.save(tmp_path / "file.npy", np.arange(3.0))
    service.update(x=np.arange(3))
    rights, replies = Rights(), queue.SimpleQueue()
    peer = Peer(rights=rights, now=lambda: rights)
    name = "file" if op == "delete" else "x"
    keys = {} if op == "delete" else {"object": ONE.descriptor}
    request = Request(
        id=1, op=op, keys={"name": name, **keys}, buffers=() if op == "delete" else ONE.buffers
    )
    service.begin(wire.pack_request(request), replies.put, peer)
    assert replies.empty()
    version = service["x"].entry()["version"]
    rights = change
    threads.work()
    failure = error(replies.get(timeout=30))
    assert failure["code"] == "forbidden"
    assert words in failure["message"]
    assert (tmp_path / "file.npy").exists()
    assert service["x"].entry()["version"] == version


@pytest.mark.parametrize(
    "change", [Rights(), Rights(may_write=False), Rights(only=("*",)), Rights(requests_per_second=1.0)]
)
@pytest.mark.parametrize("who", WAITING)
def test_who_may_still_have_the_answer_gets_it(slow, gate, who, change):
    assert "object" in answer_after(slow, gate, who, change)


def test_other_names_do_not_matter_to_who_waits_for_one(slow, gate):
    assert "object" in answer_after(slow, gate, "who follows", Rights(only=("log",)))


def test_patterns_are_of_whole_names_and_case_counts():
    rights = Rights(only=("Run*",))
    assert rights.sees("Run42/x")
    assert not rights.sees("run42/x")
    assert not rights.sees("my Run42/x")
    assert Rights(only=("x[0]",)).sees("x[0]")
    assert not Rights(only=("[!a]*",)).sees("secret")
    assert Rights().sees("anything")
    assert not NOTHING.sees("anything")
