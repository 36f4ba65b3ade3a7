"""What the protocol takes, what it refuses and with which code, and what it packs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge import wire
from bridge.errors import RemoteError, WireError, remote_error
from bridge.limits import STANDARD
from bridge.wire import Frame, Reply, Request

NO_IDS: tuple[Any, ...] = (None, -1, True, 1.0, "7", [], 2**63)
# Of one buffer of 2 bytes.
NO_LENGTHS: tuple[Any, ...] = (None, 2, "2", {}, [], [1], [3], [2, 0], [True, 1], [-2], [2.0], [None])


def _frames(*buffers: Frame, **header: Any) -> list[Frame]:
    return [json.dumps({"bridge": 1, "id": 7, **header}).encode(), *buffers]


def _error(frames: list[Frame]) -> RemoteError:
    error = wire.unpack_reply(frames).error
    assert error is not None
    return error


def _code(unpack, frames) -> str:
    with pytest.raises(WireError) as caught:
        unpack(frames)
    return caught.value.code


def test_a_request_comes_back_as_it_was_packed():
    keys = {"name": "größe", "select": [3]}
    request = Request(id=2**63 - 1, op="get", keys=keys, buffers=[b"abc", b""])
    assert wire.unpack_request(wire.pack_request(request)) == request


def test_a_reply_comes_back_as_it_was_packed():
    reply = Reply(id=0, keys={"object": {"kind": "tree", "value": "größe"}}, buffers=[b"abc", b""])
    assert wire.unpack_reply(wire.pack_reply(reply)) == reply


def test_a_transfer_names_its_lengths_and_has_no_frames():
    reply = Reply(id=7, keys={"object": {}, "transfer": "token"}, lengths=[8, 2**40])
    frames = wire.pack_reply(reply)
    assert len(frames) == 1
    assert json.loads(bytes(frames[0]))["buffers"] == [8, 2**40]
    assert wire.unpack_reply(frames) == reply


def test_a_failure_comes_back_as_the_error_that_it_tells_of():
    error = remote_error("not_found", "no 'x' here", "KeyError", "Traceback …")
    reply = wire.unpack_reply(wire.pack_failure(7, error))
    assert reply.id == 7
    assert isinstance(reply.error, RemoteError)
    assert isinstance(reply.error, KeyError)
    assert reply.error.args == error.args
    assert vars(reply.error) == vars(error)


def test_headers_are_compact_json_with_the_version_first():
    assert wire.pack_request(Request(id=1, op="hello")) == [b'{"bridge":1,"id":1,"op":"hello"}']
    assert wire.pack_reply(Reply(id=1)) == [b'{"bridge":1,"id":1}']


def test_buffers_are_passed_on_as_the_objects_that_they_were():
    buffer = memoryview(bytearray(100))
    [_, sent] = wire.pack_reply(Reply(id=1, buffers=[buffer]))
    assert sent is buffer
    [received] = wire.unpack_reply(_frames(buffer, buffers=[100])).buffers
    assert received is buffer


def test_keys_that_are_not_known_are_ignored():
    request = wire.unpack_request(_frames(op="list", later={"than": "this"}))
    assert request.keys == {}


@pytest.mark.parametrize(
    ("op", "sent", "kept"),
    [
        ("get", {"name": "x", "args": {"a": 1}, "client": {}}, {"name"}),
        ("get", {"name": "x", "start": 0, "select": [[1, 2, 3]]}, {"name", "start"}),
        ("wait", {"call": "0123456789abcdef", "object": {"a": 1}}, {"call"}),
    ],
    ids=["get", "follow", "wait"],
)
def test_keys_that_an_op_does_not_look_at_are_not_kept(op, sent, kept):
    request = wire.unpack_request(_frames(op=op, **sent))
    assert request.keys == {key: sent[key] for key in kept}


def test_null_is_the_same_as_absent():
    request = wire.unpack_request(_frames(op="get", name="x", select=None, buffers=None))
    assert request == Request(id=7, op="get", keys={"name": "x"}, buffers=[])


@pytest.mark.parametrize("unpack", [wire.unpack_request, wire.unpack_reply])
@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"{"],
        [b"[]"],
        [b"GET / HTTP/1.1"],
        [b"\xff"],
        [b'\xef\xbb\xbf{"bridge":1,"id":7,"op":"hello"}'],
        [b'{"id":7,"op":"hello"}'],
        [b'{"bridge":true,"id":7,"op":"hello"}'],
        [b'{"bridge":"1","id":7,"op":"hello"}'],
        [b'{"bridge":1.0,"id":7,"op":"hello"}'],
        [b'{"bridge":1,"id":7,"id":8,"op":"hello"}'],
        [b'{"bridge":1,"id":NaN,"op":"hello"}'],
        *(_frames(id=value, op="hello") for value in NO_IDS),
        *(_frames(b"ab", op="hello", buffers=value) for value in NO_LENGTHS),
        _frames(op="hello", buffers=[0]),
    ],
    ids=repr,
)
def test_what_breaks_a_rule_is_a_bad_request(unpack, frames):
    assert _code(unpack, frames) == "bad_request"


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"op": None},
        {"op": 1},
        {"op": ["get"]},
        {"op": "get"},
        {"op": "get", "name": 1},
        {"op": "get", "name": ""},
        {"op": "get", "name": "x" * 1025},
        {"op": "get", "name": "ü" * 513},
        {"op": "get", "name": "x", "select": "x"},
        {"op": "get", "name": "x", "as": 1},
        {"op": "get", "name": "x", "max_bytes": -1},
        {"op": "get", "name": "x", "max_bytes": True},
        {"op": "get", "name": "x", "max_bytes": 2**63},
        {"op": "get", "name": "x", "max_bytes": 1e6},
        {"op": "call", "name": "x", "args": []},
        {"op": "call"},
        {"op": "describe"},
        {"op": "part", "transfer": "t", "offset": 0},
        {"op": "part", "transfer": "t", "length": 1},
        {"op": "part", "offset": 0, "length": 1},
        {"op": "part", "transfer": 1, "offset": 0, "length": 1},
        {"op": "part", "transfer": "t", "offset": -1, "length": 1},
        {"op": "done"},
        {"op": "list", "limit": "5"},
        {"op": "list", "after": 5},
        {"op": "hello", "client": "me"},
    ],
    ids=repr,
)
def test_a_request_with_a_key_that_is_missing_or_of_another_type_is_a_bad_request(header):
    assert _code(wire.unpack_request, _frames(**header)) == "bad_request"


def test_a_name_may_have_1024_bytes():
    name = "ü" * 512
    assert wire.unpack_request(_frames(op="get", name=name)).keys["name"] == name


def test_an_op_of_a_later_version_is_unsupported():
    assert _code(wire.unpack_request, _frames(op="rename")) == "unsupported"


@pytest.mark.parametrize(("version", "side"), [(2, "this side"), (0, "the sending side")])
@pytest.mark.parametrize("unpack", [wire.unpack_request, wire.unpack_reply])
def test_another_major_version_is_refused_with_the_side_that_must_upgrade(unpack, version, side):
    with pytest.raises(WireError, match=f"upgrade zbridge on {side}") as caught:
        unpack(_frames(bridge=version, op="hello"))
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize(
    ("unpack", "limit"),
    [
        (wire.unpack_request, STANDARD.request_header),
        (wire.unpack_reply, STANDARD.reply_header),
    ],
)
def test_a_header_is_measured_before_it_is_parsed(unpack, limit):
    header = bytes(_frames(op="hello")[0])
    assert unpack([header.ljust(limit)]).id == 7
    assert _code(unpack, [header.ljust(limit + 1)]) == "too_large"
    assert _code(unpack, [b"\xff" * (limit + 1)]) == "too_large"


@pytest.mark.parametrize(
    ("unpack", "limit"),
    [(wire.unpack_request, STANDARD.request), (wire.unpack_reply, STANDARD.reply)],
)
def test_the_lengths_of_buffers_are_added_up_before_they_are_compared(unpack, limit):
    assert _code(unpack, _frames(op="hello", buffers=[limit, 1])) == "too_large"
    assert _code(unpack, _frames(op="hello", buffers=[10**39])) == "too_large"


def test_there_are_limits_to_the_number_of_buffers_and_to_a_transfer():
    many = [0] * (STANDARD.buffers + 1)
    assert _code(wire.unpack_reply, _frames(buffers=many)) == "too_large"
    assert _code(wire.unpack_reply, _frames(transfer="t", buffers=many)) == "too_large"
    assert _code(wire.unpack_reply, _frames(transfer="t", buffers=[2**62, 1])) == "too_large"
    assert wire.unpack_reply(_frames(transfer="t", buffers=[2**62])).lengths == [2**62]


def test_a_transfer_with_frames_is_refused():
    assert _code(wire.unpack_reply, _frames(b"ab", transfer="t", buffers=[2])) == "bad_request"


def test_a_failure_may_have_no_id_but_an_answer_must():
    assert wire.unpack_reply(_frames(id=None, error={"code": "busy", "message": "m"})).id is None
    assert _code(wire.unpack_reply, _frames(id=None)) == "bad_request"


@pytest.mark.parametrize(
    "error",
    ["busy", [], 1, {"code": 1}, {"code": "busy", "message": 1}, {"code": "busy", "type": None}],
    ids=repr,
)
def test_a_failure_that_is_no_object_of_texts_is_refused(error):
    assert _code(wire.unpack_reply, _frames(error=error)) == "bad_request"


def test_a_failure_code_of_a_later_server_means_that_the_request_failed():
    error = _error(_frames(error={"code": "tired", "message": "tomorrow"}))
    assert (error.code, error.message) == ("failed", "tomorrow")


def test_a_failure_fits_into_a_header_whatever_its_texts_are():
    # A control character takes 6 bytes in JSON.
    for text in ("\x00" * 10**6, "\U0001f321" * 10**6, "\ud800" * 10**6):
        error = _error(wire.pack_failure(7, remote_error("failed", text, "ValueError", text)))
        assert error.code == "failed"
        assert len(error.message) > 1000
        assert len(error.remote_traceback) > 1000


def test_the_end_of_a_long_traceback_is_kept():
    error = remote_error("failed", "m", "ValueError", "first line\n" + "x" * 10**6 + "\nlast line")
    assert _error(wire.pack_failure(7, error)).remote_traceback.endswith("last line")


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (_frames(op="nonsense"), 7),
        (_frames(op="hello", buffers="x"), 7),
        (_frames(id=True, op="hello"), None),
        ([b"{"], None),
        ([], None),
    ],
)
def test_the_id_is_found_in_a_broken_request_where_it_is_readable(frames, expected):
    assert wire.request_id_of(frames) == expected


def test_a_key_that_a_reply_must_have_is_checked():
    reply = Reply(id=1, keys={"more": True, "entries": {}})
    assert reply.key("more", bool) is True
    for name, cls in [("more", int), ("entries", list), ("absent", str)]:
        with pytest.raises(WireError, match=name):
            reply.key(name, cls)


def test_a_part_is_recognised_by_its_header_alone():
    header = _frames(part=[100, 8], buffers=[5, 3])[0]
    assert wire.part_of(header) == (7, 100, [5, 3])


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"part": None},
        {"part": [0]},
        {"part": [0, 1, 2]},
        {"part": [-1, 1]},
        {"part": [True, 1]},
        {"part": "01"},
        {"part": [0, 1], "id": None},
        {"part": [0, 1], "buffers": [-1]},
        {"part": [0, 1], "bridge": 2},
        {"error": {"code": "expired", "message": "m"}},
    ],
    ids=repr,
)
def test_what_is_no_part_in_order_is_left_for_later(header):
    assert wire.part_of(_frames(**header)[0]) is None


def test_the_ops_and_codes_are_those_of_the_specification():
    for word in (*wire.OPS, *(f"``{word}``" for word in ("name", "select", "as", "args", "max_bytes"))):
        assert word in (wire.__doc__ or "")
