"""Messages that were in order, and then were changed."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import codecs, wire
from bridge.errors import WireError
from bridge.wire import Reply, Request
from tests import hostile
from tests.vectors import check

MESSAGES = {name: hostile.frames_of(name) for name in check.names() if "invalid" not in name}
REQUESTS = sorted(name for name in MESSAGES if name.startswith("requests/"))
REPLIES = sorted(name for name in MESSAGES if not name.startswith("requests/"))

SERVED = check.served()

# Values that mean something to some key, and any other JSON.
VALUES: Any = st.sampled_from([*hostile.JUNK, *hostile.SHAPES, *wire.OPS, *"xtofg"]) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(max_size=9), items, max_size=4),
    max_leaves=9,
)


def _places(value: Any, path: tuple = ()) -> list[tuple]:
    """List where in a JSON value another one may be put, but for the whole."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [place for key, item in items for place in ((*path, key), *_places(item, (*path, key)))]


def _edited(draw: st.DrawFn, header: bytes) -> bytes:
    """Change a header as JSON."""
    value = json.loads(header)
    for _ in range(draw(st.integers(1, 3))):
        *parents, key = draw(st.sampled_from(_places(value)))
        place = value
        for parent in parents:
            place = place[parent]
        match draw(st.sampled_from(["set", "delete", "copy", "add"])):
            case "set":
                place[key] = copy.deepcopy(draw(VALUES))
            case "delete" if len(value) > 1:
                del place[key]
            case "copy" if isinstance(place, list):
                place.append(copy.deepcopy(place[key]))
            case "add" if isinstance(place, dict):
                place[draw(st.text(max_size=9))] = copy.deepcopy(draw(VALUES))
    return json.dumps(value).encode()


def _spoiled(draw: st.DrawFn, frame: bytes) -> bytes:
    """Change some bytes."""
    match draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
        case "flip":
            data = bytearray(frame)
            for _ in range(draw(st.integers(1, 4)) if data else 0):
                data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
            return bytes(data)
        case "cut":
            return frame[: draw(st.integers(0, len(frame)))]
        case "insert":
            place = draw(st.integers(0, len(frame)))
            return frame[:place] + draw(st.binary(max_size=9)) + frame[place:]
    start, stop = sorted((draw(st.integers(0, len(frame))), draw(st.integers(0, len(frame)))))
    return frame[:stop] + frame[start:]


def _shuffled(draw: st.DrawFn, frames: list[bytes]) -> list[bytes]:
    """Lose, repeat, swap or spoil whole frames."""
    frames = list(frames)
    if not frames:
        return frames
    which = draw(st.integers(0, len(frames) - 1))
    match draw(st.sampled_from(["lose", "repeat", "swap", "spoil", "add"])):
        case "lose":
            del frames[which]
        case "repeat":
            frames.insert(which, frames[which])
        case "swap":
            other = draw(st.integers(0, len(frames) - 1))
            frames[which], frames[other] = frames[other], frames[which]
        case "spoil":
            frames[which] = _spoiled(draw, frames[which])
        case "add":
            frames.insert(which, draw(st.binary(max_size=9)))
    return frames


@st.composite
def _changed(draw: st.DrawFn, names: list[str]) -> list[bytes]:
    header, *buffers = MESSAGES[draw(st.sampled_from(names))]
    match draw(st.sampled_from(["edit", "spoil", "shuffle", "all"])):
        case "edit":
            return [_edited(draw, header), *buffers]
        case "spoil":
            return [_spoiled(draw, header), *buffers]
        case "shuffle":
            return _shuffled(draw, [header, *buffers])
    return _shuffled(draw, [_edited(draw, header), *buffers])


def _unpacked(unpack: Any, frames: Any) -> Any:
    """Return the message, or the one error that may be raised."""
    try:
        return unpack(frames)
    except WireError as error:
        return error


@settings(max_examples=600)
@given(_changed(REQUESTS))
def test_a_changed_request_is_a_request_or_a_wire_error(frames):
    request = _unpacked(wire.unpack_request, frames)
    if isinstance(request, Request):
        assert wire.unpack_request(wire.pack_request(request)) == request
    else:
        assert request.code in ("bad_request", "unsupported", "too_large")


@settings(max_examples=600)
@given(_changed(REQUESTS))
def test_a_changed_request_gets_one_reply_in_order(frames):
    reply = wire.unpack_reply(SERVED.handle(frames))
    assert reply.id == wire.request_id_of(frames)
    assert reply.error is None or reply.error.code not in ("internal", "failed")


@settings(max_examples=600)
@given(_changed(REPLIES))
def test_a_changed_reply_is_a_reply_or_a_wire_error(frames):
    reply = _unpacked(wire.unpack_reply, frames)
    if isinstance(reply, Reply):
        assert reply.error is not None or _repacked(reply) == reply
        wire.part_of(frames[0])
    else:
        assert reply.code in ("bad_request", "unsupported", "too_large")


@settings(max_examples=600)
@given(_changed([name for name in REPLIES if name.startswith("objects/")]))
def test_a_changed_object_is_an_object_or_a_wire_error(frames):
    reply = _unpacked(wire.unpack_reply, frames)
    if isinstance(reply, Reply) and reply.lengths is None:
        obj = _unpacked(lambda r: codecs.decode(r.keys.get("object"), r.buffers), reply)
        # What was let through is a value like any other: it can be looked at and sent on.
        if not isinstance(obj, WireError):
            repr(obj)
            codecs.encode(obj)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=99), max_size=5))
def test_bytes_of_any_sort_get_one_reply_in_order(frames):
    reply = wire.unpack_reply(SERVED.handle(frames))
    assert reply.id is None
    assert reply.error is not None
    assert reply.error.code in ("bad_request", "unsupported", "too_large")


def _repacked(reply: Reply) -> Reply:
    return wire.unpack_reply(wire.pack_reply(reply))
