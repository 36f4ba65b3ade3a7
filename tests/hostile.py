"""What a stranger may send: messages to break a server with. ``python -m tests.hostile`` watches one.

`requests` yields each with a name; `watch` answers all of them under an audit hook, and prints the
events that came, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bridge import codecs, wire
from bridge.errors import WireError
from bridge.wire import Frame
from tests.vectors import check

# What numpy, Python or a shell might make of a text.
TEXTS = (
    "O",
    "object",
    "f8,i8",
    "(1000000000)f8",
    "V9999999999",
    "|S99999999999",
    "<M8[10000000000000000000s]",
    "datetime64[ns, Europe/Berlin]",
    "category",
    "pickle",
    "__import__('os').system('id')",
    "{0.__class__.__mro__}",
    "%s%s%n",
    "../../../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "file:///etc/passwd",
    "\x00",
    "\x1b[2J",
    "ar\u202eray",
    "é" * 500,
)

NUMBERS = (
    *(-1, True, False, 1.5, 0.1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63)),
    *(10**39, -(10**39), 1e308, 5e-324),
)
SHAPES: tuple[Any, ...] = (
    *([-1], [2**63], [2**62], [0, 2**62], [2**32, 2**32], [2**61 + 1, 8], [True], [1.0], ["1"], [None]),
    *([1] * 65, [0] * 64, [2] * 64, [[1]], {}, "1", None),
)
JUNK: tuple[Any, ...] = (None, [], {}, "", [[]], [{}], {"kind": "tree"}, *TEXTS, *NUMBERS)

_ARRAY = {"kind": "array", "dtype": "<f8", "shape": [1], "order": "C"}


def requests() -> Iterator[tuple[str, list[Frame]]]:
    """Yield the hostile requests, to the server that `tests.vectors.check.served` makes."""
    yield from _garbage()
    yield from _headers()
    yield from _selections()
    yield from _arguments()


def objects() -> Iterator[tuple[str, Any, list[bytes]]]:
    """Yield hostile descriptors and their buffers."""
    for name in check.names():
        if name.startswith("invalid-objects/"):
            header, *buffers = frames_of(name)
            yield name, json.loads(header)["object"], buffers
    for value in JUNK:
        for key in _ARRAY:
            yield f"array with {key} {value!r:.40}", {**_ARRAY, key: value}, [bytes(8)]
        for kind in (kind for codec in codecs.CODECS for kind in codec.kinds):
            for key in _KEYS:
                yield f"{kind} with {key} {value!r:.40}", {"kind": kind, key: value}, [bytes(8)]
    for shape in SHAPES:
        for dtype in (
            "|u1",
            "<f8",
            "<U3",
            "|S0",
            [["a", "<f8", [3]]],
            {"strings": "nan", "coerce": True},
        ):
            yield f"{dtype} of the shape {shape}", {**_ARRAY, "dtype": dtype, "shape": shape}, [bytes(8)]


def frames_of(name: str) -> list[bytes]:
    """Return the frames of a conformance vector."""
    vector = json.loads((check.FOLDER / f"{name}.json").read_text("utf-8"))
    header = (
        b64decode(vector["header_base64"]) if "header_base64" in vector else vector["header"].encode()
    )
    return [header, *map(b64decode, vector["buffers"])]


# Of all kinds, as they may stand in a descriptor.
_KEYS = (
    "value",
    "values",
    "index",
    "class",
    "type",
    "levels",
    "range",
    "streams",
    "data",
    "codes",
    "dtype",
)


def _garbage() -> Iterator[tuple[str, list[Frame]]]:
    rng = random.Random(5)
    yield "nothing", []
    yield "an empty frame", [b""]
    yield "40,000 empty frames", [b""] * 40_000
    yield "HTTP", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "TLS", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
    yield "a pickle", [b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93."]
    yield "a memoryview that is no text", [memoryview(b"\xff\xfe")]
    for size in (1, 7, 100, 10_000, 200_000):
        yield f"{size} random bytes", [rng.randbytes(size)]
    yield "random frames", [rng.randbytes(9) for _ in range(100)]


def _headers() -> Iterator[tuple[str, list[Frame]]]:
    for name in check.names():
        if name.startswith("invalid-requests/"):
            yield name, [*frames_of(name)]
    for levels in (99, 101, 10_000, 30_000, 100_000):
        yield f"{levels} levels of lists", [b'{"x":' + b"[" * levels + b"]" * levels + b"}"]
        yield f"{levels} levels of objects", [b'{"x":' * levels + b"1" + b"}" * levels]
    for op in wire.OPS:
        for key in ("id", "name", "select", "as", "args", "max_bytes", "transfer", "offset", "after"):
            for value in JUNK:
                keys = {"name": "x", "transfer": "t", "offset": 0, "length": 1, key: value}
                yield f"{op} with {key} {value!r:.40}", _request(op=op, **keys)
    for value in JUNK:
        yield f"buffers {value!r:.40}", _request(b"12345678", op="get", name="x", buffers=value)
    for name in TEXTS:
        yield f"a name {name!r:.40}", _request(op="describe", name=name)


def _selections() -> Iterator[tuple[str, list[Frame]]]:
    big = 2**63 - 1
    slices: list[Any] = [[-big, big, 1], [big, -big, -1], [0, big, big], [None, None, -big], [0, 10, 0]]
    for item in [*slices, *JUNK, *([shape] for shape in SHAPES)]:
        yield f"select {item!r:.40}", _request(op="get", name="x", select=[item])
        yield f"rows {item!r:.40}", _request(op="get", name="t", select={"rows": item})
        yield f"columns {item!r:.40}", _request(op="get", name="t", select={"columns": [item]})
        for operator in ("=", "in", "<", "is null", "eval", None):
            filters = [["a", operator, item]]
            yield f"{operator} {item!r:.40}", _request(op="get", name="t", select={"filters": filters})
        filters = [[item, "=", 1]]
        yield f"filter {item!r:.40}", _request(op="get", name="t", select={"filters": filters})
    columns = json.dumps([f"column {i}" for i in range(1_000_000)]).encode()
    select: Any = {"columns": {"kind": "tree"}}
    yield "a million columns", _request(columns, op="get", name="t", select=select)
    filters_text = json.dumps([[["a", "=", i]] for i in range(100_000)]).encode()
    yield (
        "100,000 filters",
        _request(filters_text, op="get", name="t", select={"filters": {"kind": "tree"}}),
    )
    values = json.dumps([["a", "in", list(range(100_000))]]).encode()
    yield (
        "a long list to compare with",
        _request(values, op="get", name="t", select={"filters": {"kind": "tree"}}),
    )
    take = np.full(1_000_000, 3, "<i8").tobytes()
    descriptor: Any = {"kind": "array", "dtype": "<i8", "shape": [1_000_000], "order": "C"}
    yield "a million positions", _request(take, op="get", name="x", select=[{"take": descriptor}])
    for descriptor in ({**_ARRAY, "shape": [2**60]}, {"kind": "table", "rows": 2**62, "streams": [1]}):
        yield f"take {descriptor}", _request(bytes(8), op="get", name="x", select=[{"take": descriptor}])


def _arguments() -> Iterator[tuple[str, list[Frame]]]:
    for name, descriptor, buffers in objects():
        yield f"args: {name}", _request(*buffers, op="call", name="f", args=descriptor)
        inside = {"kind": "tree", "value": {"a": {"$object": descriptor}}}
        yield f"in args: {name}", _request(*buffers, op="call", name="f", args=inside)


def _request(*buffers: bytes, **keys: Any) -> list[Frame]:
    header = {"bridge": 1, "id": 1, **keys}
    if buffers:
        header.setdefault("buffers", [len(buffer) for buffer in buffers])
    return [json.dumps(header).encode(), *buffers]


# ── under an audit hook ───────────────────────────────────────────────────────────────────────────

# Events that are no door: names of attributes and ids that Python's own library looks at.
_HARMLESS = (
    "object.__getattr__",
    "object.__setattr__",
    "object.__delattr__",
    "builtins.id",
    "array.__new__",
)


def watch() -> None:
    """Answer all hostile requests and decode all hostile objects; print which audit events that caused."""
    all_requests, all_objects = list(requests()), list(objects())
    # The libraries behind the kinds are imported when the first of a kind is met, and time zones are
    # read from files of the system: that is done before, with messages that are in order.
    for name in check.names():
        if not name.startswith("invalid-"):
            check.check(name)
    service = check.served()
    events: list[tuple[str, str, str]] = []
    watched = ""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watched and event not in _HARMLESS:
            events.append((event, watched, str(arguments)[:200]))

    sys.addaudithook(hook)
    for name, frames in all_requests:
        watched = name
        service.handle(frames)
    for name, descriptor, buffers in all_objects:
        watched = name
        with suppress(WireError):
            codecs.decode(descriptor, buffers)
    watched = "the end"
    Path(os.devnull).open().close()
    watched = ""
    json.dump({"requests": len(all_requests), "objects": len(all_objects), "events": events}, sys.stdout)


if __name__ == "__main__":
    watch()
