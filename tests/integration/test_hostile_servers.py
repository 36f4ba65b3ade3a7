"""Whatever a server answers, its client raises an error of ours in time, or returns a checked object."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pyarrow as pa
import pytest

import bridge
from bridge.errors import BridgeError
from tests import hostile, peers

ARRAY: dict = {"kind": "array", "dtype": "<f8", "shape": [2], "order": "C"}
MIB = 1024 * 1024
SECONDS = 0.5


def reply(*frames, **keys):
    """What a hostile server says to `get`: keys of the header, and frames."""
    return keys, frames


def stream_of(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


# A string column whose offsets point far beyond its data.
TEXTS = stream_of(pa.table({"s": ["abc"]})).replace(b"\0\0\0\0\x03\0\0\0", b"\0\0\0\0\xff\xff\xff\x7f")
CLAIM = {"transfer": "t", "version": "1"}

ANSWERS = {
    "fewer bytes than announced": reply(bytes(8), object=ARRAY, buffers=[16]),
    "more bytes than announced": reply(bytes(24), object=ARRAY, buffers=[16]),
    "another length than its shape": reply(bytes(8), object=ARRAY, buffers=[8]),
    "a frame too many": reply(bytes(16), b"", object=ARRAY, buffers=[16]),
    "40,000 frames": reply(*[b""] * 40_000, object=ARRAY, buffers=[0] * 40_000),
    "a frame that was not announced": reply(bytes(16), object=ARRAY),
    "no object": reply(),
    "an object of another type": reply(object=[ARRAY]),
    "a kind without a hash": reply(object={"kind": []}, buffers=[16], **CLAIM),
    "a claim of 2**61 bytes": reply(object={**ARRAY, "shape": [2**58]}, buffers=[2**61], **CLAIM),
    "a claim of 2**60 bytes of a table": reply(
        object={"kind": "table", "rows": 1, "streams": [1]}, buffers=[2**60], **CLAIM
    ),
    "a claim that is no length": reply(object=ARRAY, buffers=[-1], **CLAIM),
    "a token that is no text": reply(object=ARRAY, buffers=[16], transfer=7),
    "offsets beyond the data": reply(
        TEXTS, object={"kind": "table", "rows": 1, "streams": [1]}, buffers=[len(TEXTS)]
    ),
    "a pickle": reply(b"\x80\x04N.", object={"kind": "pickle"}, buffers=[4]),
}


GREETINGS: dict[str, dict] = {"hello": {"hello": {}}, "list": {"entries": [], "more": False}}


@contextlib.contextmanager
def client_of(answer):
    """A client of a server that gives this answer to whatever follows the greetings."""

    def serve(router, message):
        request = json.loads(message[2])
        keys, frames = (GREETINGS[request["op"]], ()) if request["op"] in GREETINGS else answer(request)
        header = {"bridge": 1, "id": request["id"], **keys}
        router.send_multipart([message[0], b"", json.dumps(header).encode(), *frames])

    with peers.router(serve) as url, bridge.connect(url, timeout=SECONDS) as client:
        yield client


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_outside_the_protocol_is_an_error_of_ours(answer):
    with client_of(lambda request: answer) as client:
        with pytest.raises(BridgeError):
            client.read("x")
        assert client.ping() > 0


def test_no_hostile_object_reaches_the_user_unchecked():
    objects = [*hostile.objects()][::40]
    answers = iter([reply(*frames, object=it, buffers=[*map(len, frames)]) for _, it, frames in objects])
    with client_of(lambda request: next(answers)) as client:
        for name, *_ in objects:
            try:
                client.read("x")
            except BridgeError:
                continue
            except Exception as exc:
                pytest.fail(f"{name}: {exc!r}")
    assert next(answers, None) is None


PART: dict = {"object": {**ARRAY, "shape": [MIB // 8]}, "buffers": [MIB], **CLAIM}
PARTS = {
    "of another length": lambda offset, length: ([offset, length], [bytes(length - 1)]),
    "of another place": lambda offset, length: ([offset + 1, length], [bytes(length)]),
    "in no frames": lambda offset, length: ([offset, length], []),
    "of nothing but its name": lambda offset, length: (None, []),
    "in 30,000 frames": lambda offset, length: ([offset, length], [b""] * 30_000),
    "of another type": lambda offset, length: ([str(offset), True], [bytes(length)]),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_that_was_not_asked_for_is_an_error_of_ours(part):
    def answer(request):
        if request["op"] != "part":
            return PART, ()
        place, frames = part(request["offset"], request["length"])
        return {"part": place, "buffers": [len(frame) for frame in frames]}, frames

    with client_of(answer) as client, pytest.raises(BridgeError):
        client.read("x")


def test_replies_to_nobody_do_not_keep_a_client_waiting():
    with client_of(lambda request: ({"id": 2**40}, ())) as client, pytest.raises(bridge.IdleTimeout):
        client.read("x")


def test_the_metadata_of_a_table_is_not_obeyed():
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({"pandas": "__import__('os').getpid()"})
    stream = stream_of(table)
    keys = {"object": {"kind": "table", "rows": 2, "streams": [1]}, "buffers": [len(stream)]}
    with client_of(lambda request: (keys, [stream])) as client:
        np.testing.assert_array_equal(client.read("x")["a"], [1, 2])
