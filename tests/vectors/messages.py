"""The requests and replies of which there are vectors, but for the replies with objects.

A name here is the name of a file in ``v1/requests`` or ``v1/replies``. Names are never given a new meaning.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.errors import remote_error
from bridge.wire import CODES, Reply, Request

TAKE = {"kind": "array", "dtype": "<i8", "shape": [2], "order": "C"}
MASK = {"kind": "array", "dtype": "|b1", "shape": [4], "order": "C"}


def _request(op: str, *buffers: bytes, **keys: Any) -> Request:
    return Request(id=1, op=op, keys=keys, buffers=list(buffers))


REQUESTS: dict[str, Request] = {
    "hello": _request("hello"),
    "hello-with-client": _request("hello", client={"version": "0.1.0", "features": []}),
    "list": _request("list"),
    "list-page": _request("list", after="o", limit=1),
    "describe": _request("describe", name="t"),
    "get": _request("get", name="x"),
    "get-the-largest-id": Request(id=2**63 - 1, op="get", keys={"name": "x"}, buffers=[]),
    "get-position": _request("get", name="x", select=[3, -1]),
    "get-slice": _request("get", name="x", select=[[1, 4, 2]]),
    "get-reversed": _request("get", name="x", select=[[None, None, -1]]),
    "get-ellipsis-and-new-axis": _request("get", name="x", select=[None, "...", 0]),
    "get-take": _request("get", np.array([3, 0], "<i8").tobytes(), name="x", select=[{"take": TAKE}]),
    "get-mask": _request("get", b"\x01\x00\x00\x01", name="x", select=[{"take": MASK}, 0]),
    "get-nothing-selected": _request("get", name="x", select=[]),
    "get-columns": _request("get", name="t", select={"columns": ["s"]}),
    "get-rows": _request("get", name="t", select={"rows": [0, 2, None]}),
    "get-filtered": _request("get", name="t", select={"filters": [["a", ">", 1], ["s", "!=", "z"]]}),
    "get-filtered-by-one-of-two": _request(
        "get", name="t", select={"filters": [[["a", "<", 2]], [["s", "in", ["c"]]]]}
    ),
    "get-as-arrow": _request("get", name="t", **{"as": "arrow"}),
    "get-as-a-transfer": _request("get", name="x", max_bytes=0),
    "get-the-largest-max-bytes": _request("get", name="x", max_bytes=2**63 - 1),
    "call": _request("call", name="f", args={"kind": "tree", "value": {"a": 1}}),
    "call-without-args": _request("call", name="g"),
    "call-with-an-array": _request(
        "call",
        np.arange(3.0).tobytes(),
        name="f",
        args={
            "kind": "tree",
            "value": {
                "a": {"$object": {"kind": "array", "dtype": "<f8", "shape": [3], "order": "C"}},
                "b": {"$tuple": [1, "ü"]},
            },
        },
    ),
    "part": _request("part", transfer="dG9rZW4", offset=0, length=1048576),
    "done": _request("done", transfer="dG9rZW4"),
    "call-that-waits": _request("call", name="g", call="c2l4dGVlbiBieXRlcyE", wait=2.5),
    "call-of-a-stream": _request("call", name="s", call="c2l4dGVlbiBieXRlcyE", wait=10),
    "wait": _request("wait", call="c2l4dGVlbiBieXRlcyE", wait=0),
    "wait-for-a-value": _request("wait", start=3, call="c2l4dGVlbiBieXRlcyE", wait=0.5),
    "cancel": _request("cancel", call="c2l4dGVlbiBieXRlcyE"),
    "cancel-what-is-put": _request("cancel", transfer="c2l4dGVlbiBieXRlcyE"),
    "follow-from-the-beginning": _request("get", name="log", start="begin"),
    "follow-from-the-end": _request("get", name="log", start="end", wait=0.0),
    "follow-from-a-row": _request("get", name="log", start=2, wait=5),
    "put": _request(
        "put",
        np.arange(3.0).tobytes(),
        name="w/new",
        object={"kind": "array", "dtype": "<f8", "shape": [3], "order": "C"},
    ),
    "put-as-a-transfer": Request(
        id=1,
        op="put",
        keys={
            "name": "w/new",
            "object": {"kind": "array", "dtype": "<f8", "shape": [300_000], "order": "C"},
            "transfer": "c2l4dGVlbiBieXRlcyE",
        },
        lengths=[2_400_000],
    ),
    "append": _request(
        "append",
        np.arange(3).astype("<i8").tobytes(),
        name="w/x",
        object={"kind": "array", "dtype": "<i8", "shape": [3], "order": "C"},
    ),
    "delete": _request("delete", name="w/x"),
}

# Other ways to write a request, and the request that it is.
OTHER_REQUESTS: dict[str, tuple[str, Request]] = {
    "unknown-keys": (
        '{"bridge":1,"id":1,"op":"get","name":"x","priority":{"a":[1]}}',
        REQUESTS["get"],
    ),
    "null-keys": (
        '{"bridge":1,"id":1,"op":"get","name":"x","select":null,"max_bytes":null,"buffers":null}',
        REQUESTS["get"],
    ),
    "white-space": (
        ' {\n\t"bridge" : 1, "id" : 1,\r\n "op" : "get", "name" : "x" }\n',
        REQUESTS["get"],
    ),
    "another-order": ('{"name":"x","op":"get","id":1,"bridge":1}', REQUESTS["get"]),
    "escaped-text": ('{"bridge":1,"id":1,"op":"\\u0067et","name":"\\u0078"}', REQUESTS["get"]),
    "a-surrogate-pair": (
        '{"bridge":1,"id":1,"op":"list","after":"\\ud83c\\udf21"}',
        _request("list", after="\U0001f321"),
    ),
    "empty-buffers": ('{"bridge":1,"id":1,"op":"get","name":"x","buffers":[]}', REQUESTS["get"]),
}

_FLOATS = {"kind": "array", "dtype": "<f8", "shape": [4, 3], "order": "C"}
_LIMITS = {"request_header": 65536, "request": 67108864, "reply": 268435456}
_ENTRY = {"name": "x", "kind": "array", "dtype": "<f8", "shape": [4, 3], "nbytes": 96, "doc": ""}

REPLIES: dict[str, Reply] = {
    "hello": Reply(
        id=1,
        keys={"hello": {"version": "0.1.0", "instance": "5c1f", "features": [], "limits": _LIMITS}},
    ),
    "list": Reply(id=1, keys={"entries": [_ENTRY], "more": True}),
    "describe": Reply(id=1, keys={"entry": _ENTRY}),
    "get": Reply(
        id=1,
        keys={"version": "5c1f.3", "object": _FLOATS},
        buffers=[np.arange(12.0).tobytes()],
    ),
    "transfer": Reply(
        id=1,
        keys={"version": "5c1f.3", "object": _FLOATS, "transfer": "dG9rZW4"},
        lengths=[96],
    ),
    "transfer-of-4-exbibytes": Reply(
        id=1,
        keys={
            "object": {"kind": "array", "dtype": "|u1", "shape": [2**62], "order": "C"},
            "transfer": "dG9rZW4",
        },
        lengths=[2**62],
    ),
    "part": Reply(id=1, keys={"part": [4, 6]}, buffers=[b"ab", b"cdef"]),
    "done": Reply(id=2**63 - 1),
    "not-yet": Reply(id=1, keys={"call": "c2l4dGVlbiBieXRlcyE"}),
    "a-value-of-a-stream": Reply(
        id=1,
        keys={"object": {"kind": "tree", "value": 1}, "call": "c2l4dGVlbiBieXRlcyE"},
    ),
    "the-end-of-a-stream": Reply(id=1),
    "rows-of-a-channel": Reply(
        id=1,
        keys={"version": "5c1f", "next": 12, "object": {**_FLOATS, "shape": [2, 3]}},
        buffers=[np.arange(6.0).tobytes()],
    ),
    "no-rows-yet": Reply(id=1, keys={"version": "5c1f", "next": 12}),
    "rows-lost": Reply(id=1, keys={"version": "5c1f", "next": 100, "lost": 88}),
    "put": Reply(id=1, keys={"version": "5c1f.4"}),
    "append": Reply(id=1, keys={"rows": 12}),
    "an-empty-buffer": Reply(id=1, keys={"part": [0, 1]}, buffers=[b"", b"a"]),
    **{
        f"failure-{code}": Reply(id=1, error=remote_error(code, f"what happened: {code}"))
        for code in CODES
    },
    "failure-without-an-id": Reply(id=None, error=remote_error("bad_request", "not JSON")),
    "failure-with-a-type": Reply(
        id=1, error=remote_error("not_found", "no 'wavefrom' here; did you mean 'waveform'?", "KeyError")
    ),
    "failure-with-a-traceback": Reply(
        id=1, error=remote_error("failed", "größe", "ValueError", 'Traceback\n  File "x.py", line 1\n')
    ),
}

OTHER_REPLIES: dict[str, tuple[str, Reply]] = {
    "failure-with-a-code-of-later": (
        '{"bridge":1,"id":1,"error":{"code":"tired","message":"tomorrow"}}',
        Reply(id=1, error=remote_error("failed", "tomorrow")),
    ),
    "failure-with-other-keys": (
        '{"bridge":1,"id":1,"error":{"code":"busy","message":"m","after":3},"object":{},"version":"v"}',
        Reply(id=1, error=remote_error("busy", "m")),
    ),
    "no-error": ('{"bridge":1,"id":1,"error":null}', Reply(id=1)),
}
