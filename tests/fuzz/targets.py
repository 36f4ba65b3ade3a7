"""The targets: each takes the bytes of one input, and raises nothing but `BridgeError`.

A table says for each what to begin with, and how many bytes the limits allow.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

import bridge
from bridge import codecs, wire
from bridge.codecs import strict_json
from bridge.codecs.ipc import read_stream, write_stream
from bridge.errors import BridgeError, IdleTimeout, WireError
from bridge.exchange.question import Answer, Farewell, Question
from bridge.exchange.windows import Fetch, Put
from bridge.limits import STANDARD, Limits
from bridge.remote.frame import frame_of
from bridge.service import Service
from bridge.wire import Frame, Reply
from tests.fuzz.guard import Broken
from tests.fuzz.inputs import frames_in, joined, messages_in, vectors
from tests.samples import tables
from tests.vectors import check

MIB = 1024 * 1024


class Target(NamedTuple):
    """A row of `TARGETS`.

    Attributes
    ----------
    declared
        Bytes that one input may ask for; the guard allows twice as many. An input has 64 KiB, and what is
        served to it less.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    declared: int


# ── header ────────────────────────────────────────────────────────────────────────────────────────


def header(data: bytes) -> None:
    """Both ends read the frames of a message."""
    frames = frames_in(data)
    wire.request_id_of(frames)
    wire.part_of(frames[0])
    with contextlib.suppress(WireError):
        wire.unpack_reply(frames)
    request = wire.unpack_request(frames)
    if wire.unpack_request(wire.pack_request(request)) != request:
        raise Broken("a request is another when it was packed again")


def headers() -> list[bytes]:
    folders = ("requests", "replies", "invalid-requests", "invalid-replies")
    return [joined([frames]) for frames in vectors(*folders)]


# ── descriptor ────────────────────────────────────────────────────────────────────────────────────


def descriptor(data: bytes) -> None:
    """An object is rebuilt, and sent again."""
    text, *buffers = frames_in(data)
    obj = codecs.decode(strict_json.loads(text), buffers)
    codecs.encode(obj)


def descriptors() -> list[bytes]:
    found = []
    for text, *buffers in vectors("objects", "invalid-objects"):
        with contextlib.suppress(WireError):
            found.append(joined([[strict_json.dumps(strict_json.loads(text)["object"]), *buffers]]))
    return found


# ── selection ─────────────────────────────────────────────────────────────────────────────────────


def selection(data: bytes) -> None:
    """A part is selected from an array, a frame and a table."""
    text, *buffers = frames_in(data)
    lengths = ",".join(str(len(buffer)) for buffer in buffers).encode()
    for name in (b"x", b"t", b"a"):
        header = b'{"bridge":1,"id":1,"op":"get","name":"%s","select":%s,"buffers":[%s]}'
        _check_reply(_to_select_from().handle([header % (name, text, lengths), *buffers]))


@cache
def _to_select_from() -> Service:
    service = Service()
    service["x"] = np.arange(60.0).reshape(5, 4, 3)
    service["t"] = pd.DataFrame(
        {
            "a": [1, 2, 3],
            "s": ["a", None, "c"],
            "d": pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin"),
            "c": pd.Categorical(["x", "y", "x"]),
            "o": [1, "x", None],
        }
    )
    service["a"] = pa.table(
        {
            "a": [1, 2, None],
            "s": pa.array(["a", "b", None]).dictionary_encode(),
            "n": pa.array([1, 2, 3], pa.decimal128(9, 2)),
            "t": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
            "l": [[1], None, []],
        }
    )
    return service


def selections() -> list[bytes]:
    found = []
    for text, *buffers in vectors("requests", "invalid-requests"):
        with contextlib.suppress(WireError):
            keys = strict_json.loads(text)
            if isinstance(keys, dict) and "select" in keys:
                found.append(joined([[strict_json.dumps(keys["select"]), *buffers]]))
    terms = (
        ["a", "=", 1],
        ["s", "in", ["a", "c"]],
        ["d", "<", 5],
        ["n", ">=", 1.5],
        ["c", "is null", None],
    )
    for term in terms:
        value = {"kind": "tree", "value": [term]}
        found.append(json.dumps({"columns": [term[0]], "filters": [term], "rows": [0, 2, 1]}).encode())
        found.append(json.dumps({"filters": value}).encode())
    return found


# ── arrow ─────────────────────────────────────────────────────────────────────────────────────────


def arrow(data: bytes) -> None:
    """An Arrow stream of a peer is read, turned into a frame, and sent again."""
    table = read_stream([memoryview(data)], codecs.BufferReader([data]).count)
    with contextlib.suppress(BridgeError):
        frame_of(table)
    codecs.encode(table)


def streams() -> list[bytes]:
    found = []
    for make in tables.SAMPLES.values():
        table = make()
        if isinstance(table, pa.Table) and table.nbytes < 8192:
            with contextlib.suppress(BridgeError):
                found.append(b"".join(write_stream(table.schema, table.to_batches())))
    return found


# ── server ────────────────────────────────────────────────────────────────────────────────────────

# Stands in inputs for the token that the server gave last.
TOKEN = b"$token"


def server(data: bytes) -> None:
    """A server's end of transfers, calls and channels: some requests, one after the other."""
    service = _served()
    token = b"none"
    replies: list[list[Frame]] = []
    messages = messages_in(data)
    for text, *buffers in messages:
        service.begin([text.replace(TOKEN, token), *buffers], replies.append)
        for header, *_ in replies[-1:]:
            token = str(strict_json.loads(header).get("transfer", "none")).encode()
        service.tick()
    service.timers.run(math.inf, 0.0)  # all waits are over
    service.close()
    if len(replies) != len(messages):
        raise Broken(f"{len(messages)} requests had {len(replies)} replies")
    for reply in replies:
        _check_reply(reply)


_LIMITS = Limits(upload=4 * MIB, held=4 * MIB)


def _served() -> Service:
    service = Service(writable=True, limits=_LIMITS)
    service["x"] = _NUMBERS
    service.channel("log", keep_rows=10).append(np.arange(6.0))

    @service.query
    def f(a: Any, b: Any = 1) -> Any:
        return a

    @service.stream
    def s() -> Iterator[int]:
        yield from range(3)

    return service


_NUMBERS = np.arange(1000.0)


def _check_reply(frames: list[Frame]) -> None:
    reply = wire.unpack_reply(frames)
    if reply.error is not None and reply.error.code in ("internal", "failed"):
        raise Broken(str(reply.error))


def requests() -> list[bytes]:
    def message(op: str, *buffers: bytes, **keys: Any) -> list[bytes]:
        lengths = {"buffers": [len(buffer) for buffer in buffers]} if buffers else {}
        return [strict_json.dumps({"bridge": 1, "id": 1, "op": op, **keys, **lengths}), *buffers]

    up, call = {"transfer": "0123456789abcdef"}, {"call": "0123456789abcdef"}
    down = {"transfer": TOKEN.decode()}
    array = {"kind": "array", "dtype": "<f8", "shape": [2], "order": "C"}
    put = message("put", name="w", object=array, **up, buffers=[16])
    get = message("get", name="x", max_bytes=10)
    calls = message("call", name="s", wait=0, **call)
    conversations = [
        [
            get,
            *(message("part", **down, offset=o, length=4000) for o in (0, 4000)),
            message("done", **down),
        ],
        [get, message("cancel", **down), message("part", **down, offset=0, length=8)],
        [put, message("part", bytes(8), **up, offset=0), message("part", bytes(8), **up, offset=8)],
        [
            put,
            message("part", bytes(16), **up, offset=0),
            message("done", **up),
            message("delete", name="w"),
        ],
        [
            calls,
            *(message("wait", **call, start=i, wait=0) for i in (1, 1, 2, 3)),
            message("cancel", **call),
        ],
        [message("get", name="log", start=s, wait=1) for s in ("begin", "end", 3)],
        [
            message("append", bytes(16), name="log", object=array),
            message("list"),
            message("describe", name="x"),
        ],
    ]
    return [
        *(joined([frames]) for frames in vectors("requests", "invalid-requests")),
        *map(joined, conversations),
    ]


# ── client ────────────────────────────────────────────────────────────────────────────────────────


def client(data: bytes) -> None:
    """A client's end of a transfer, to here or to the server: what the server answers, message by message."""
    first, *replies = messages_in(data)
    pool = _Pool(replies)
    if first == [b"put"]:
        put = Question(op="put", keys={"name": "w"}, buffers=[memoryview(bytes(300_000))], timeout=60.0)
        Put(pool, put).run()  # type: ignore[arg-type]
        return
    reply = wire.unpack_reply(first)
    question = Question(op="get", keys={"name": "x"}, timeout=60.0, allocate=_allocate)
    if reply.lengths is None:
        answer = Answer(keys=reply.keys, buffers=reply.buffers, first_seconds=0.0, seconds=0.0)
    else:
        answer = Fetch(pool, question, 0.0, 256 * 1024).run(reply)  # type: ignore[arg-type]
    answer.decode()


def _allocate(what: Any, lengths: Sequence[int]) -> list[memoryview]:
    # The user decides how much he fetches; here, as much as an input can fill.
    if sum(lengths) > MIB:
        raise WireError("more than this client wants")
    return codecs.allocate(what, lengths)


class _Pool:
    """Stands for a pool with one link, and for that link: gives the replies of an input."""

    url = "tcp://fuzz"
    most_in_request = STANDARD.request

    def __init__(self, replies: list[list[bytes]]) -> None:
        self._replies = iter(replies)
        self._id = 0

    @contextlib.contextmanager
    def link(self, *_: Any) -> Iterator[_Pool]:
        yield self

    def send(self, _: Any, question: Question) -> int:
        self._id += 1
        request = wire.Request(id=self._id, op=question.op, keys=question.keys, buffers=question.buffers)
        wire.pack_request(replace(request, lengths=question.lengths))
        return self._id

    def ask(self, question: Question) -> Reply:
        reply = wire.unpack_reply(self._next())
        if reply.error is not None:
            raise reply.error
        return reply

    def tell(self, farewell: list[Farewell]) -> None:
        for op, keys in farewell:
            wire.pack_request(wire.Request(id=0, op=op, keys=keys))

    def receive(self, _: float, place: Callable[[bytes], Any] | None = None) -> list[Any]:
        """As `Link.receive` does."""
        header, *frames = self._next()
        places = None if place is None else place(header)
        if places is None:
            return [header, *frames]
        if [len(view) for view in places] != [len(frame) for frame in frames]:
            raise WireError("the frames are not as announced")
        for view, frame in zip(places, frames, strict=True):
            view[:] = frame
        return [header, *places]

    def _next(self) -> list[bytes]:
        frames = next(self._replies, None)
        if frames is None:
            raise IdleTimeout("the input is over")
        return frames


def replies() -> list[bytes]:
    array = {"kind": "array", "dtype": "<f8", "shape": [50_000], "order": "C"}
    start = {
        "bridge": 1,
        "id": 0,
        "version": "1",
        "object": array,
        "transfer": "t",
        "buffers": [400_000],
    }
    begin = [strict_json.dumps(start)]
    window = 64 * 1024

    def part(number: int, offset: int, nbytes: int, key: str = "part") -> list[bytes]:
        keys = {"bridge": 1, "id": number, key: [offset, nbytes], "buffers": [nbytes]}
        return [strict_json.dumps(keys), bytes(nbytes)]

    busy, expired = (
        [strict_json.dumps({"bridge": 1, "id": 1, "error": {"code": code, "message": ""}})]
        for code in ("busy", "expired")
    )
    received = [strict_json.dumps({"bridge": 1, "id": 1, "part": [0, window]})]
    small = strict_json.dumps({**start, "object": {**array, "shape": [2, 3]}, "buffers": [48]})
    parts = [
        strict_json.dumps({"bridge": 1, "id": 1, "part": [0, 48], "buffers": [20, 28]}),
        b"1" * 20,
        b"2" * 28,
    ]
    again = [small, parts[0].replace(b'"id":1', b'"id":2'), *parts[1:]]
    conversations = [
        [begin, part(1, 0, window), part(2, window, window)],
        [begin, busy],
        [begin, expired, begin],
        [[small], parts],
        [[small], expired, [small], again[1:]],
        [[b"put"], [b'{"bridge":1,"id":1}'], received],
        *([frames] for frames in vectors("replies", "objects", "invalid-replies")),
    ]
    return [data for data in map(joined, conversations) if len(data) < 2**18]


# ── session ───────────────────────────────────────────────────────────────────────────────────────

# A ZMTP 3.0 greeting and READY, as a DEALER sends them.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
# A message that begins with this frame is sent as it is, not as frames of ZMTP.
RAW = b"raw"


def session(data: bytes) -> None:
    """A whole session of a stranger with a server on a socket; then an honest client is answered."""
    server, honest = live()
    host, _, port = server.url.removeprefix("tcp://").rpartition(":")
    first, *others = messages_in(data)
    with (
        socket.create_connection((host, int(port)), timeout=5.0) as stranger,
        contextlib.suppress(ConnectionError, TimeoutError),
    ):  # the server may hang up, or say nothing
        if first[0] != RAW:
            shake_hands(stranger)
        stranger.sendall(b"".join(map(_on_the_wire, [first, *others])))
        stranger.settimeout(0.002)
        stranger.recv(65536)
    if honest.read("x").tobytes() != _NUMBERS.tobytes():
        raise Broken("an honest client got something else")


def shake_hands(stranger: socket.socket) -> None:
    """Become a peer of ZMTP. In steps: libzmq refuses a READY that comes together with the greeting."""
    stranger.sendall(GREETING)
    left = len(GREETING)
    while left:
        left -= len(stranger.recv(left)) or left
    stranger.sendall(READY)


def _on_the_wire(frames: list[bytes]) -> bytes:
    if frames[0] == RAW:
        return b"".join(frames[1:])
    return zmtp([b"", *frames])


def zmtp(frames: list[bytes]) -> bytes:
    """A message as frames of ZMTP: flags (1: more follow, 2: the length has eight bytes), length, bytes."""
    *_, last = range(len(frames))
    return b"".join(
        struct.pack(">BQ", 2 | (number != last), len(frame)) + frame
        for number, frame in enumerate(frames)
    )


@cache
def live() -> tuple[bridge.Server, bridge.Client]:
    server = bridge.Server("tcp://127.0.0.1:0", writable=["w/"], limits=_LIMITS)
    server["x"] = _NUMBERS
    server.channel("log").append(np.arange(6.0))

    @server.query
    def f(a: Any, b: Any = 1) -> Any:
        return a

    return server.start(), bridge.connect(server.url)


def sessions() -> list[bytes]:
    raw = [
        bytes(100),
        b"GET / HTTP/1.1\r\n\r\n",
        GREETING[:20],
        GREETING,
        GREETING * 2,
        GREETING + READY,
    ]
    late = [b"\x02" + b"\xff" * 8, b"\x01\x00" * 500, zmtp([b"label"] * 50), READY, b"\x04\x05\x04PING"]
    return [
        *requests(),
        *(joined([[RAW, data]]) for data in raw),
        *(joined([[b"x"], [RAW, data]]) for data in late),
    ]


TARGETS = {
    "header": Target(header, headers, 4 * MIB),
    "descriptor": Target(descriptor, descriptors, 8 * MIB),
    "selection": Target(selection, selections, 8 * MIB),
    "arrow": Target(arrow, streams, 8 * MIB),
    "server": Target(server, requests, 8 * MIB),
    "client": Target(client, replies, 8 * MIB),
    "session": Target(session, sessions, 16 * MIB),
}


def warm_up(name: str) -> None:
    """Have everything imported and read that is when it is first needed."""
    "".encode("utf-32-be")  # which decodes no vector, but what the fuzzer makes of them
    for vector in check.names():
        if not vector.startswith("invalid-"):
            check.check(vector)
    target = TARGETS[name]
    for seed in target.seeds():
        with contextlib.suppress(BridgeError):
            target.run(seed)
