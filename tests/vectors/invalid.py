"""Messages that break a rule, each with the failure code that says so and a word of our message.

The names are those of the files in ``v1/invalid-requests``, ``v1/invalid-replies`` and
``v1/invalid-objects``. They are never given a new meaning.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa


class Invalid(NamedTuple):
    """The frames, the code, and a word of the message."""

    header: bytes
    buffers: list[bytes]
    code: str
    says: str


def _raw(text: str | bytes, says: str, code: str = "bad_request") -> Invalid:
    return Invalid(text.encode() if isinstance(text, str) else text, [], code, says)


def _message(says: str, *buffers: bytes, code: str = "bad_request", **keys: Any) -> Invalid:
    header: dict[str, Any] = {"bridge": 1, "id": 1, **keys}
    if buffers and "buffers" not in keys:
        header["buffers"] = [len(buffer) for buffer in buffers]
    return Invalid(json.dumps(header).encode(), list(buffers), code, says)


# ── JSON and what all headers have: for requests and replies alike ────────────────────────────────

HEADERS: dict[str, Invalid] = {
    "json-empty": _raw("", "not JSON"),
    "json-cut": _raw('{"bridge":1,"id":1', "not JSON"),
    "json-followed-by-more": _raw('{"bridge":1,"id":1,"op":"hello"}{}', "not JSON"),
    "json-http": _raw("GET / HTTP/1.1\r\n\r\n", "not JSON"),
    "json-comment": _raw('{"bridge":1,"id":1,"op":"hello"/* */}', "not JSON"),
    "json-trailing-comma": _raw('{"bridge":1,"id":1,"op":"hello",}', "not JSON"),
    "json-control-character-in-text": _raw('{"bridge":1,"id":1,"op":"hel\nlo"}', "not JSON"),
    "json-leading-zero": _raw('{"bridge":1,"id":01,"op":"hello"}', "not JSON"),
    "json-not-utf-8": _raw(b'{"bridge":1,"id":1,"op":"hello","client":"\xff"}', "UTF-8"),
    "json-utf-16": _raw('{"bridge":1,"id":1,"op":"hello"}'.encode("utf-16"), "UTF-8"),
    "json-surrogate-in-utf-8": _raw(b'{"bridge":1,"id":1,"op":"\xed\xa0\x80"}', "UTF-8"),
    "json-byte-order-mark": _raw(b'\xef\xbb\xbf{"bridge":1,"id":1,"op":"hello"}', "JSON"),
    "json-list": _raw("[1,2]", "object"),
    "json-number": _raw("1", "object"),
    "json-null": _raw("null", "object"),
    "json-nan": _raw('{"bridge":1,"id":1,"op":"hello","x":NaN}', "NaN"),
    "json-infinity": _raw('{"bridge":1,"id":1,"op":"hello","x":-Infinity}', "Infinity"),
    "json-float-overflow": _raw('{"bridge":1,"id":1,"op":"hello","x":1e999}', "overflows"),
    "json-long-integer": _raw('{"bridge":1,"id":1,"op":"hello","x":' + "9" * 5000 + "}", "digits"),
    "json-key-twice": _raw('{"bridge":1,"id":1,"id":2,"op":"hello"}', "repeats"),
    "json-inner-key-twice": _raw('{"bridge":1,"id":1,"op":"hello","x":[{"a":1,"a":1}]}', "repeats"),
    "json-lone-surrogate": _raw('{"bridge":1,"id":1,"op":"hello","x":"\\ud800"}', "surrogate"),
    "json-lone-surrogate-in-a-key": _raw('{"bridge":1,"id":1,"op":"hello","\\udfff":1}', "surrogate"),
    "json-101-levels": _raw(
        '{"bridge":1,"id":1,"op":"hello","x":' + "[" * 100 + "]" * 100 + "}", "levels"
    ),
    "json-20000-levels": _raw('{"x":' + "[" * 20_000 + "]" * 20_000 + "}", "levels"),
    "version-missing": _raw('{"id":1,"op":"hello"}', "bridge"),
    "version-true": _raw('{"bridge":true,"id":1,"op":"hello"}', "bridge"),
    "version-text": _raw('{"bridge":"1","id":1,"op":"hello"}', "bridge"),
    "version-float": _raw('{"bridge":1.0,"id":1,"op":"hello"}', "bridge"),
    "version-2": _raw('{"bridge":2,"id":1,"op":"hello"}', "upgrade", "unsupported"),
    "version-0": _raw('{"bridge":0,"id":1,"op":"hello"}', "upgrade", "unsupported"),
    "id-missing": _raw('{"bridge":1,"op":"hello"}', "id"),
    "id-null": _raw('{"bridge":1,"id":null,"op":"hello"}', "id"),
    "id-true": _raw('{"bridge":1,"id":true,"op":"hello"}', "id"),
    "id-text": _raw('{"bridge":1,"id":"1","op":"hello"}', "id"),
    "id-negative": _raw('{"bridge":1,"id":-1,"op":"hello"}', "id"),
    "id-of-64-bits": _raw('{"bridge":1,"id":9223372036854775808,"op":"hello"}', "id"),
    "buffers-number": _message("buffers", op="hello", buffers=1),
    "buffers-of-text": _message("buffers", op="hello", buffers=["1"]),
    "buffers-of-true": _message("buffers", b"a", op="hello", buffers=[True]),
    "buffers-negative": _message("buffers", op="hello", buffers=[-1]),
    "buffers-more-than-frames": _message("buffers", b"a", op="hello", buffers=[1, 0]),
    "buffers-fewer-than-frames": _message("buffers", b"a", b"", op="hello", buffers=[1]),
    "buffers-left-out": _message("buffers", b"a", op="hello", buffers=None),
    "buffers-of-another-length": _message("bytes", b"a", b"bc", op="hello", buffers=[1, 1]),
    "buffers-too-large": _message("at most", op="hello", buffers=[2**62, 2**62], code="too_large"),
}

# ── requests, to a server that serves what the README says ────────────────────────────────────────

_X: dict[str, Any] = {"op": "get", "name": "x"}
_T: dict[str, Any] = {"op": "get", "name": "t"}
_ARRAY = {"kind": "array", "dtype": "<i8", "shape": [1], "order": "C"}
_ONE = b"\x01" + b"\x00" * 7

REQUESTS: dict[str, Invalid] = {
    **HEADERS,
    "header-too-long": _raw('{"bridge":1,"id":1,"op":"hello"}'.ljust(65_537), "header", "too_large"),
    "op-missing": _message("op"),
    "op-number": _message("op", op=3),
    "op-unknown": _message("unknown op", op="eval", code="unsupported"),
    "op-in-capitals": _message("unknown op", op="GET", code="unsupported"),
    "name-missing": _message("name", op="get"),
    "name-number": _message("name", op="get", name=1),
    "name-empty": _message("name", op="get", name=""),
    "name-of-1025-bytes": _message("name", op="get", name="é" * 512 + "x"),
    "name-unknown": _message("did you mean 'x'?", op="get", name="xx", code="not_found"),
    "name-of-a-path": _message(
        "no '../../etc/passwd'", op="get", name="../../etc/passwd", code="not_found"
    ),
    "get-of-a-query": _message("call", op="get", name="f", code="unsupported"),
    "call-of-an-array": _message("read it", op="call", name="x", code="unsupported"),
    "select-text": _message("select", **_X, select="0:10"),
    "select-object-of-an-array": _message("list", **_X, select={"columns": []}),
    "select-list-of-a-table": _message("object", **_T, select=[0]),
    "select-of-an-object": _message("whole", op="get", name="o", select=[0], code="unsupported"),
    "select-true": _message("selection", **_X, select=[True]),
    "select-float": _message("selection", **_X, select=[1.0]),
    "select-text-item": _message("selection", **_X, select=[".."]),
    "select-64-bits": _message("selection", **_X, select=[2**63]),
    "select-two-numbers": _message("slice", **_X, select=[[0, 1]]),
    "select-step-0": _message("step", **_X, select=[[0, 1, 0]]),
    "select-slice-of-text": _message("slice", **_X, select=[["0", None, None]]),
    "select-slice-of-64-bits": _message("slice", **_X, select=[[0, 2**63, None]]),
    "select-two-ellipses": _message("more than once", **_X, select=["...", 0, "..."]),
    "select-65-items": _message("65", **_X, select=[None] * 65),
    "select-too-many-axes": _message("too many", **_X, select=[0, 0, 0]),
    "select-out-of-bounds": _message("out of bounds", **_X, select=[4]),
    "select-two-takes": _message(
        "more than one", _ONE, _ONE, **_X, select=[{"take": _ARRAY}, {"take": _ARRAY}]
    ),
    "select-take-of-float": _message("int64", _ONE, **_X, select=[{"take": {**_ARRAY, "dtype": "<f8"}}]),
    "select-take-of-text": _message("array", **_X, select=[{"take": {"kind": "tree", "value": [0]}}]),
    "select-take-of-two-axes": _message(
        "axes", _ONE, **_X, select=[{"take": {**_ARRAY, "shape": [1, 1]}}]
    ),
    "select-take-out-of-bounds": _message(
        "out of bounds", b"\x04" + b"\x00" * 7, **_X, select=[{"take": _ARRAY}]
    ),
    "select-take-without-its-buffer": _message("buffers", **_X, select=[{"take": _ARRAY}]),
    "select-mask-too-short": _message(
        "mask", b"\x01", **_X, select=[{"take": {**_ARRAY, "dtype": "|b1"}}]
    ),
    "select-buffer-left-over": _message("left over", b"a", **_X, select=[0]),
    "select-unknown-key": _message("order_by", **_T, select={"order_by": ["a"]}, code="unsupported"),
    "select-columns-of-text": _message("str", **_T, select={"columns": "a"}),
    "select-unknown-column": _message("zz", **_T, select={"columns": ["zz"]}),
    "select-column-twice": _message("times", **_T, select={"columns": ["a", "a"]}),
    "select-rows-step-0": _message("step", **_T, select={"rows": [0, 1, 0]}),
    "select-rows-number": _message("slice", **_T, select={"rows": 3}),
    "select-unknown-operator": _message("~", **_T, select={"filters": [["a", "~", 1]]}),
    "select-filter-of-two": _message("no value", **_T, select={"filters": [["a", ">"]]}),
    "select-filter-of-another-kind": _message("number", **_T, select={"filters": [["a", ">", "1"]]}),
    "select-filter-of-null": _message("is null", **_T, select={"filters": [["a", "=", None]]}),
    "as-unknown": _message("arrow", **_T, **{"as": "parquet"}, code="unsupported"),
    "as-arrow-of-an-array": _message("table", **_X, **{"as": "arrow"}, code="unsupported"),
    "as-number": _message("as", **{**_T, "as": 1}),
    "max-bytes-negative": _message("max_bytes", **_X, max_bytes=-1),
    "max-bytes-float": _message("max_bytes", **_X, max_bytes=1e6),
    "max-bytes-of-64-bits": _message("max_bytes", **_X, max_bytes=2**63),
    "args-list": _message("args", op="call", name="f", args=[1]),
    "args-not-a-dict": _message("dict", op="call", name="f", args={"kind": "tree", "value": [1]}),
    "args-missing": _message("f: ", op="call", name="f"),
    "args-unknown": _message("z", op="call", name="f", args={"kind": "tree", "value": {"a": 1, "z": 2}}),
    "args-of-an-unknown-kind": _message(
        "unknown kind", op="call", name="f", args={"kind": "pickle"}, code="unsupported"
    ),
    "args-with-a-buffer-left-over": _message(
        "left over", b"a", op="call", name="f", args={"kind": "tree", "value": {"a": 1}}
    ),
    "call-with-buffers-alone": _message("args", b"a", op="call", name="g"),
    "list-limit-text": _message("limit", op="list", limit="10"),
    "list-after-number": _message("after", op="list", after=1),
    "part-without-length": _message("length", op="part", transfer="t", offset=0),
    "part-with-a-negative-offset": _message("offset", op="part", transfer="t", offset=-1, length=1),
    "part-of-no-transfer": _message(
        "no such transfer", op="part", transfer="t", offset=0, length=1, code="expired"
    ),
    "done-without-transfer": _message("transfer", op="done"),
    "call-with-a-short-token": _message("16", op="call", name="g", call="guess", wait=1),
    "call-with-a-negative-wait": _message("wait", op="call", name="g", call="c" * 22, wait=-1),
    "call-with-a-wait-of-text": _message("wait", op="call", name="g", call="c" * 22, wait="1"),
    "call-of-a-stream-without-a-token": _message("'call'", op="call", name="s"),
    "wait-without-call": _message("call", op="wait"),
    "wait-for-no-call": _message("no such call", op="wait", call="c" * 22, code="expired"),
    "follow-from-the-middle": _message("'middle'", op="get", name="log", start="middle"),
    "follow-from-a-negative-row": _message("start", op="get", name="log", start=-1),
    "follow-another-channel": _message(
        "another channel", op="get", name="log", start=0, version="before", code="changed"
    ),
    "put-without-object": _message("object", op="put", name="w/x"),
    "put-where-it-is-not-allowed": _message(
        "not writable", op="put", name="x", object={"kind": "tree", "value": 1}, code="forbidden"
    ),
    "put-of-an-unknown-kind": _message(
        "unknown kind", op="put", name="w/x", object={"kind": "pickle"}, code="unsupported"
    ),
    "put-with-a-short-token": _message(
        "16", op="put", name="w/x", object={"kind": "tree", "value": 1}, transfer="guess"
    ),
    "put-of-more-than-is-taken": _message(
        "4294967296",
        op="put",
        name="w/x",
        object={"kind": "array", "dtype": "|u1", "shape": [2**40], "order": "C"},
        transfer="c" * 22,
        buffers=[2**40],
        code="too_large",
    ),
    "part-of-nothing-that-is-put": _message(
        "no such transfer", b"abc", op="part", transfer="c" * 22, offset=0, code="expired"
    ),
    "append-to-another-kind": _message(
        "cannot follow",
        op="append",
        name="w/x",
        object={"kind": "tree", "value": [1]},
    ),
    "append-where-it-is-not-allowed": _message(
        "not writable", op="append", name="log", object={"kind": "tree", "value": [1]}, code="forbidden"
    ),
    "delete-where-it-is-not-allowed": _message("not writable", op="delete", name="x", code="forbidden"),
    "delete-of-nothing": _message("no 'w/y' here", op="delete", name="w/y", code="not_found"),
}

# ── replies ───────────────────────────────────────────────────────────────────────────────────────

REPLIES: dict[str, Invalid] = {
    **HEADERS,
    "error-text": _message("error", error="busy"),
    "error-list": _message("error", error=["busy"]),
    "error-code-number": _message("error", error={"code": 1, "message": "m"}),
    "error-message-null": _message("error", error={"code": "busy", "message": None}),
    "error-with-an-id-of-text": _message("id", error={"code": "busy", "message": "m"}, id="x"),
    "transfer-with-frames": _message("without frames", b"a", transfer="t"),
    "transfer-too-large": _message("at most", transfer="t", buffers=[2**62, 1], code="too_large"),
    "transfer-of-negative-length": _message("buffers", transfer="t", buffers=[-1]),
}

# ── objects: each in a reply that is in order but for its object ──────────────────────────────────


def _object(
    descriptor: Any, *buffers: bytes, says: str, code: str = "bad_request"
) -> Callable[[], Invalid]:
    return lambda: _message(says, *buffers, code=code, object=descriptor)


def _array(
    *buffers: bytes, says: str, code: str = "bad_request", **fields: Any
) -> Callable[[], Invalid]:
    return _object({**_ARRAY, **fields}, *(buffers or (_ONE,)), says=says, code=code)


def _tree(value: Any, *buffers: bytes, says: str, code: str = "bad_request") -> Callable[[], Invalid]:
    return _object({"kind": "tree", "value": value}, *buffers, says=says, code=code)


_STRINGS = {"strings": "unset", "coerce": True}
_INT = {"kind": "array", "dtype": "<i8", "order": "C"}
_RANGE = {"kind": "index", "range": [0, 2, 1]}
_TWO = {**_INT, "shape": [2]}
_TWO_BYTES = struct.pack("<2q", 0, 1)
_BLOCK: dict[str, Any] = {"columns": [0, 1, 1], "values": {**_INT, "shape": [1, 2]}}


def _frame(
    *buffers: bytes, says: str, code: str = "bad_request", **fields: Any
) -> Callable[[], Invalid]:
    frame = {
        "kind": "frame",
        "index": _RANGE,
        "columns": {"kind": "index", "range": [0, 1, 1]},
        "blocks": [_BLOCK],
    }
    return _object({**frame, **fields}, *(buffers or (_TWO_BYTES,)), says=says, code=code)


def _extension(name: str, *buffers: bytes, says: str, code: str = "bad_request", **fields: Any) -> Any:
    return _object({"kind": "extension", "type": name, **fields}, *buffers, says=says, code=code)


def _stream(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in table if isinstance(table, list) else [table]:
            writer.write(batch)
    return bytes(sink.getvalue())


def _table(make: Callable[[], bytes], *, says: str, code: str = "bad_request", **fields: Any) -> Any:
    def invalid() -> Invalid:
        descriptor = {"kind": "table", "rows": 3, "streams": [1], **fields}
        return _message(says, make(), code=code, object=descriptor)

    return invalid


_NUMBERS = pa.record_batch({"n": pa.array([1, 2, 3], pa.int64())})
_TEXT = pa.record_batch({"s": pa.array(["a", "b", "c"])})
_DICTIONARY = pa.record_batch({"d": pa.array(["a", "b", "a"]).dictionary_encode()})


def _patched(data: bytes, old: bytes, new: bytes) -> bytes:
    if data.count(old) != 1:
        raise ValueError("the bytes to be spoiled are not where they were")
    return data.replace(old, new)


def _delta_dictionary() -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    kind = pa.dictionary(pa.int32(), pa.string())
    with pa.ipc.new_stream(sink, pa.schema([("d", kind)]), options=options) as writer:
        for words in (["a"], ["a", "b"]):
            values = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(words))
            writer.write_batch(pa.record_batch([values], ["d"]))
    return bytes(sink.getvalue())


def _unknown_extension() -> bytes:
    field = pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "pandas.period"})
    return _stream(pa.record_batch([pa.array([1, 2, 3])], schema=pa.schema([field])))


def _nested(depth: int) -> Any:
    descriptor: Any = {"kind": "tree", "value": 1}
    for _ in range(depth):
        descriptor = {"kind": "tree", "value": {"$object": descriptor}}
    return descriptor


OBJECTS: dict[str, Callable[[], Invalid]] = {
    "kind-missing": _object({}, says="kind"),
    "kind-number": _object({"kind": 1}, says="kind"),
    "kind-unknown": _object({"kind": "pickle"}, says="unknown kind", code="unsupported"),
    "descriptor-text": _object("array", says="object"),
    "descriptor-null": _object(None, says="object"),
    "buffer-missing": _object(_ARRAY, says="buffers"),
    "buffer-left-over": _array(_ONE, b"", says="left over"),
    "buffer-too-short": _array(b"1234567", says="bytes"),
    "buffer-too-long": _array(b"123456789", says="bytes"),
    # dtypes
    **{
        f"dtype-{name}": _array(dtype=text, says="dtype")
        for name, text in {
            "object": "|O",
            "object-letter": "O",
            "without-byte-order": "i8",
            "native-byte-order": "=i8",
            "name": "int64",
            "list-in-text": "f8,i8",
            "repeated": "(1000000000)f8",
            "of-one-byte-with-an-order": ">i1",
            "longdouble": "<f16",
            "leading-zero": "<f08",
            "trailing-space": "<f8 ",
            "trailing-newline": "<f8\n",
            "other-digits": "<f\u0668",
            "unknown-unit": "<M8[xs]",
            "multiple-of-0": "<M8[0s]",
            "multiple-too-large": "<M8[9999999999s]",
            "fraction-of-a-unit": "<M8[s/3]",
            "void-too-large": "|V9999999999",
            "text-too-large": "<U999999999",
            "bytes-with-an-order": "<S3",
            "empty": "",
        }.items()
    },
    "dtype-number": _array(dtype=8, says="dtype"),
    "dtype-null": _array(dtype=None, says="dtype"),
    "dtype-object-as-a-field": _array(dtype=[["a", "O", []]], says="dtype"),
    "dtype-field-of-two": _array(dtype=[["a", "<i8"]], says="field"),
    "dtype-field-name-number": _array(dtype=[[1, "<i8", []]], says="field"),
    "dtype-field-name-twice": _array(dtype=[["a", "<i4", []], ["a", "<i4", []]], says="dtype"),
    "dtype-strings-as-a-field": _array(dtype=[["a", _STRINGS, []]], says="fields"),
    "dtype-fields-that-overlap": _array(
        dtype={
            "fields": [["a", "<i4", [], 0, None], ["b", "<i4", [], 2, None]],
            "itemsize": 8,
            "align": False,
        },
        says="overlap",
    ),
    "dtype-fields-beyond-the-itemsize": _array(
        dtype={"fields": [["a", "<i8", [], 4, None]], "itemsize": 8, "align": False}, says="itemsize"
    ),
    "dtype-sub-array-too-large": _array(dtype=[["a", "<i8", [2**31, 2**31]]], says="size"),
    "dtype-strings-with-another-na": _array(dtype={"strings": "NA", "coerce": True}, says="strings"),
    # shapes
    "shape-number": _array(shape=1, says="shape"),
    "shape-negative": _array(shape=[-1], says="shape"),
    "shape-two-negatives": _array(shape=[-1, -1], says="shape"),
    "shape-true": _array(shape=[True], says="shape"),
    "shape-float": _array(shape=[1.0], says="shape"),
    "shape-text": _array(shape=["1"], says="shape"),
    "shape-of-64-bits": _array(shape=[2**63], says="shape"),
    "shape-that-overflows": _array(shape=[2**32, 2**32], says="larger"),
    "shape-that-wraps-to-1": _array(shape=[2**61 + 1, 8], says="larger"),
    "shape-empty-but-too-large": _array(b"", shape=[0, 2**62, 2**62], says="larger"),
    "shape-of-65-axes": _array(shape=[1] * 65, says="axes"),
    "shape-larger-than-the-buffer": _array(shape=[2**40], says="bytes"),
    "order-missing": _object({"kind": "array", "dtype": "<i8", "shape": [1]}, _ONE, says="order"),
    "order-unknown": _array(order="K", says="order"),
    # strings, scalars, masks
    "strings-beyond-the-text": _array(
        b"", struct.pack("<2q", 0, 9), b"abc", dtype=_STRINGS, says="offsets"
    ),
    "strings-that-fall": _array(
        b"", struct.pack("<3q", 0, 3, 1), b"a", dtype=_STRINGS, shape=[2], says="offsets"
    ),
    "strings-not-utf-8": _array(b"", struct.pack("<2q", 0, 1), b"\xff", dtype=_STRINGS, says="UTF-8"),
    "strings-missing-without-an-na": _array(
        b"\x00", struct.pack("<2q", 0, 0), b"", dtype=_STRINGS, says="missing"
    ),
    "strings-with-too-many-bits": _array(
        b"\xff\xff", struct.pack("<2q", 0, 0), b"", dtype=_STRINGS, says="bits"
    ),
    "scalar-of-another-size": _object({"kind": "scalar", "dtype": "<f8"}, b"1234", says="bytes"),
    "scalar-of-strings": _object({"kind": "scalar", "dtype": _STRINGS}, says="fields"),
    "scalar-not-unicode": _object(
        {"kind": "scalar", "dtype": "<U1"}, b"\xff\xff\xff\xff", says="Unicode"
    ),
    "masked-of-another-shape": _object(
        {
            "kind": "masked",
            "data": _ARRAY,
            "mask": {**_TWO, "dtype": "|b1"},
            "fill": None,
            "hard": False,
        },
        _ONE,
        b"\x00\x01",
        says="mask",
    ),
    "masked-of-integers": _object(
        {"kind": "masked", "data": _ARRAY, "mask": _ARRAY, "fill": None, "hard": False},
        _ONE,
        _ONE,
        says="mask",
    ),
    "masked-hard-number": _object(
        {"kind": "masked", "data": _ARRAY, "mask": None, "fill": None, "hard": 1}, _ONE, says="hard"
    ),
    # frames and their parts
    "frame-without-blocks": _frame(b"", says="blocks", blocks={}),
    "frame-without-a-column": _frame(says="each", columns={"kind": "index", "range": [0, 2, 1]}),
    "frame-with-a-column-twice": _frame(_TWO_BYTES, _TWO_BYTES, says="columns", blocks=[_BLOCK, _BLOCK]),
    "frame-with-too-few-rows": _frame(says="shape", index={"kind": "index", "range": [0, 3, 1]}),
    "frame-with-a-block-beyond": _frame(says="columns", blocks=[{**_BLOCK, "columns": [1, 2, 1]}]),
    "frame-with-a-negative-block": _frame(says="columns", blocks=[{**_BLOCK, "columns": [-1, 0, 1]}]),
    "frame-with-2-to-62-columns": _frame(
        says="columns", columns={"kind": "index", "range": [0, 2**62, 1]}
    ),
    "frame-of-records": _frame(
        says="dtypes",
        blocks=[{**_BLOCK, "values": {**_BLOCK["values"], "dtype": [["a", "<i8", []]]}}],
    ),
    "frame-with-an-index-of-text": _frame(says="axis", index={"kind": "tree", "value": "a"}),
    "frame-with-attrs-of-a-list": _frame(says="attrs", attrs={"kind": "tree", "value": []}),
    "frame-unique-number": _frame(says="unique", unique=1),
    "series-of-another-length": _object(
        {"kind": "series", "index": {"kind": "index", "range": [0, 3, 1]}, "values": _TWO},
        _TWO_BYTES,
        says="shape",
    ),
    "series-with-a-name-of-a-list": _object(
        {"kind": "series", "name": {"kind": "tree", "value": []}, "index": _RANGE, "values": _TWO},
        _TWO_BYTES,
        says="name",
    ),
    "index-range-step-0": _object({"kind": "index", "range": [0, 1, 0]}, says="range"),
    "index-range-of-64-bits": _object({"kind": "index", "range": [0, 2**63, 1]}, says="range"),
    "index-of-two-axes": _object(
        {"kind": "index", "values": {**_INT, "shape": [1, 2]}}, _TWO_BYTES, says="axes"
    ),
    "index-freq-of-numbers": _object(
        {"kind": "index", "values": _TWO, "freq": [1, "D"]}, _TWO_BYTES, says="frequency"
    ),
    "index-freq-unknown": _object(
        {"kind": "index", "values": {**_TWO, "dtype": "<M8[ns]"}, "freq": [1, "QQ"]},
        _TWO_BYTES,
        says="frequency",
        code="unsupported",
    ),
    "index-multi-with-a-code-beyond": _object(
        {"kind": "index", "levels": [_RANGE], "codes": [_TWO], "sortorder": None},
        struct.pack("<2q", 0, 2),
        says="codes",
    ),
    "index-multi-without-levels": _object(
        {"kind": "index", "levels": [], "codes": [], "sortorder": None}, says="levels"
    ),
    "objects-code-unknown": _object(
        {
            "kind": "series",
            "index": _RANGE,
            "values": {"kind": "objects", "codes": {**_TWO, "dtype": "|u1"}},
        },
        b"\x00\x07",
        says="codes",
    ),
    "objects-without-their-cells": _object(
        {
            "kind": "series",
            "index": _RANGE,
            "values": {"kind": "objects", "codes": {**_TWO, "dtype": "|u1"}},
        },
        b"\x00\x06",
        says="cells",
    ),
    "extension-unknown": _extension("Period[D]", says="unknown", code="unsupported"),
    "extension-zone-of-a-path": _extension(
        "datetime",
        _TWO_BYTES,
        zone="../../../etc/passwd",
        values={**_TWO, "dtype": "<M8[ns]"},
        says="zone",
        code="unsupported",
    ),
    "extension-zone-beyond-a-day": _extension(
        "datetime", _TWO_BYTES, zone=[1, 0, 0], values={**_TWO, "dtype": "<M8[ns]"}, says="zone"
    ),
    "extension-dates-in-days": _extension(
        "datetime", _TWO_BYTES, zone=None, values={**_TWO, "dtype": "<M8[D]"}, says="dates"
    ),
    "extension-category-beyond": _extension(
        "categorical",
        struct.pack("<2q", 0, 2),
        ordered=False,
        codes=_TWO,
        categories=_RANGE,
        says="codes",
    ),
    "extension-mask-of-integers": _extension(
        "masked", _TWO_BYTES, _TWO_BYTES, values=_TWO, mask=_TWO, says="dtypes"
    ),
    "extension-interval-closed-unknown": _extension(
        "interval", _TWO_BYTES, _TWO_BYTES, closed="open", left=_TWO, right=_TWO, says="closed"
    ),
    "extension-sparse-out-of-order": _extension(
        "sparse",
        _TWO_BYTES,
        struct.pack("<2i", 1, 0),
        length=3,
        fill={"kind": "tree", "value": 0},
        values=_TWO,
        indices={**_TWO, "dtype": "<i4"},
        says="positions",
    ),
    "extension-sparse-beyond-its-end": _extension(
        "sparse",
        _TWO_BYTES,
        struct.pack("<2i", 0, 3),
        length=3,
        fill={"kind": "tree", "value": 0},
        values=_TWO,
        indices={**_TWO, "dtype": "<i4"},
        says="positions",
    ),
    "extension-period-of-an-unknown-freq": _extension(
        "period", _TWO_BYTES, freq=[1, "eval"], values=_TWO, says="frequency", code="unsupported"
    ),
    "pandas-scalar-unknown": _object(
        {"kind": "pandas-scalar", "type": "DateOffset"}, says="unknown", code="unsupported"
    ),
    "pandas-scalar-of-another-unit": _object(
        {"kind": "pandas-scalar", "type": "Timedelta", "value": 1, "unit": "D"}, says="unit"
    ),
    # Arrow
    "table-of-garbage": _table(lambda: b"ARROW1\x00\x00 or not", says="Arrow"),
    "table-of-nothing": _table(lambda: b"", says="end mark"),
    "table-cut": _table(lambda: _stream(_NUMBERS)[:-40], says="Arrow"),
    "table-without-its-end": _table(lambda: _stream(_NUMBERS)[:-8], says="end mark"),
    "table-followed-by-more": _table(lambda: _stream(_NUMBERS) + b"\x00" * 8, says="end mark"),
    "table-of-another-length": _table(lambda: _stream(_NUMBERS), rows=4, says="rows"),
    "table-rows-negative": _table(lambda: _stream(_NUMBERS), rows=-1, says="rows"),
    "table-streams-negative": _table(lambda: _stream(_NUMBERS), streams=[-1], says="buffers"),
    "table-streams-empty": _table(lambda: _stream(_NUMBERS), streams=[], says="streams"),
    "table-streams-true": _table(lambda: _stream(_NUMBERS), streams=[True], says="streams"),
    "table-compressed": _table(lambda: _stream(_NUMBERS, compression="zstd"), says="compress"),
    "table-with-a-delta-dictionary": _table(_delta_dictionary, rows=2, says="delta"),
    "table-with-an-extension-type": _table(_unknown_extension, says="extension", code="unsupported"),
    "table-text-beyond-its-data": _table(
        lambda: _patched(
            _stream(_TEXT), struct.pack("<4i", 0, 1, 2, 3), struct.pack("<4i", 0, 1, 2, 99)
        ),
        says="Arrow",
    ),
    "table-text-not-utf-8": _table(
        lambda: _patched(_stream(_TEXT), b"abc\x00", b"a\xffc\x00"), says="Arrow"
    ),
    "table-dictionary-index-beyond": _table(
        lambda: _patched(_stream(_DICTIONARY), struct.pack("<3i", 0, 1, 0), struct.pack("<3i", 0, 9, 0)),
        says="Arrow",
    ),
    "batch-of-two": lambda: _message(
        "one chunk",
        _stream(pa.table({"n": pa.chunked_array([[1], [2, 3]])})),
        object={"kind": "batch", "rows": 3, "streams": [1]},
    ),
    "arrow-array-of-two-columns": lambda: _message(
        "columns",
        _stream(pa.record_batch({"a": [1], "b": [2]})),
        object={"kind": "arrow-array", "rows": 1, "streams": [1]},
    ),
    # sparse
    "sparse-class-unknown": _object(
        {"kind": "sparse", "class": "eval", "shape": [1, 1], "data": _ARRAY}, _ONE, says="class"
    ),
    "sparse-index-beyond": _object(
        {
            "kind": "sparse",
            "class": "csr_array",
            "shape": [1, 2],
            "data": _ARRAY,
            "indices": _ARRAY,
            "indptr": _TWO,
        },
        _ONE,
        b"\x02" + b"\x00" * 7,
        _TWO_BYTES,
        says="indices",
    ),
    "sparse-indptr-that-falls": _object(
        {
            "kind": "sparse",
            "class": "csr_array",
            "shape": [1, 2],
            "data": _ARRAY,
            "indices": _ARRAY,
            "indptr": _TWO,
        },
        _ONE,
        _ONE,
        struct.pack("<2q", 0, -1),
        says="indptr",
    ),
    # trees
    "tree-without-a-value": _object({"kind": "tree"}, says="buffers"),
    "tree-unknown-value": _tree({"$pickle": "gASVAAAA"}, says="unknown", code="unsupported"),
    "tree-tuple-of-a-number": _tree({"$tuple": 1}, says="$tuple"),
    "tree-dict-of-a-list": _tree({"$dict": []}, says="$dict"),
    "tree-int-in-capitals": _tree({"$int": "FF"}, says="$int"),
    "tree-float-finite": _tree({"$float": "1.5"}, says="$float"),
    "tree-bytes-not-base64": _tree({"$bytes": "a-_="}, says="$bytes"),
    "tree-bytes-with-white-space": _tree({"$bytes": "AAE=\n"}, says="$bytes"),
    "tree-bytes-without-their-buffer": _tree({"$bytes": None}, says="buffers"),
    "tree-str-of-text": _tree({"$str": "a"}, says="$str"),
    "tree-date-that-is-none": _tree({"$date": "2023-02-29"}, says="$date"),
    "tree-date-in-other-digits": _tree({"$date": "\u0662024-02-29"}, says="$date"),
    "tree-datetime-fold-2": _tree({"$datetime": ["2024-02-29T00:00:00", None, 2]}, says="$datetime"),
    "tree-datetime-zone-of-a-path": _tree(
        {"$datetime": ["2024-02-29T00:00:00", "/etc/localtime", 0]}, says="zone", code="unsupported"
    ),
    "tree-timedelta-of-two": _tree({"$timedelta": [1, 2]}, says="$timedelta"),
    "tree-timedelta-too-large": _tree({"$timedelta": [10**9, 0, 0]}, says="$timedelta"),
    "tree-decimal-with-underscores": _tree({"$decimal": "1_000"}, says="$decimal"),
    "tree-uuid-in-braces": _tree({"$uuid": "{12345678123456781234567812345678}"}, says="$uuid"),
    "tree-object-of-text": _tree({"$object": "array"}, says="object"),
    "tree-in-a-buffer-with-a-key-twice": _object({"kind": "tree"}, b'{"a":1,"a":2}', says="repeats"),
    "tree-in-a-buffer-not-json": _object({"kind": "tree"}, b"[1,", says="not JSON"),
    "nested-too-deep": lambda: _message("nested", object=_nested(32)),
}
