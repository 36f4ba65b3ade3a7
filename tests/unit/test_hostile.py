"""Whatever a stranger sends: one reply in order, no exception, and no door opens."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from typing import Any

import pytest

from bridge import codecs, wire
from bridge.errors import WireError
from bridge.service import Service
from tests import hostile
from tests.vectors import check


@pytest.fixture
def served(caplog) -> Service:
    caplog.set_level(logging.ERROR, "bridge")
    return check.served()


def _answered(service: Service, frames: list[wire.Frame]) -> wire.Reply:
    reply = wire.unpack_reply(service.handle(frames))
    assert reply.id == wire.request_id_of(frames)
    return reply


def _decoded(descriptor: Any, buffers: list[bytes]) -> Any:
    try:
        return codecs.decode(descriptor, buffers)
    except WireError as error:
        return error


def test_every_hostile_request_gets_one_reply_in_order(served, caplog):
    count = 0
    names = list(served)
    for name, frames in hostile.requests():
        reply = _answered(served, frames)
        # A bug of ours is as bad as an exception; the catalogue holds nothing that is `failed`.
        code = reply.error and reply.error.code
        assert code not in ("internal", "failed"), f"{name}: {reply.error}\n{caplog.text[-2000:]}"
        count += 1
    assert count > 10_000
    assert list(served) == names
    assert _answered(served, [b'{"bridge":1,"id":1,"op":"get","name":"x"}']).error is None


def test_every_hostile_object_is_a_value_or_a_wire_error():
    for name, descriptor, buffers in hostile.objects():
        result = _decoded(descriptor, buffers)
        if isinstance(result, WireError):
            assert result.code in wire.CODES
            assert len(str(result)) < 1000, f"{name}: a message that a peer can make this long"
        else:
            codecs.encode(result)


def test_no_hostile_message_imports_executes_opens_or_unpickles_anything():
    command = [sys.executable, "-m", "tests.hostile"]
    root = check.FOLDER.parents[2]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=55)
    assert run.stderr == ""
    seen = json.loads(run.stdout)
    assert seen["requests"] > 10_000
    assert seen["objects"] > 5_000
    # The one door was opened by the test itself, to show that it would have been seen.
    assert [(event, name) for event, name, _ in seen["events"]] == [("open", "the end")]


@pytest.mark.parametrize("name", [name for name in check.names() if "invalid" not in name])
def test_every_cut_and_every_flipped_byte_of_a_header_is_answered(served, name):
    header, *buffers = hostile.frames_of(name)
    rng = random.Random(name)
    for place in rng.sample(range(len(header)), min(len(header), 40)):
        _answered(served, [header[:place], *buffers])
        flipped = bytes([header[place] ^ (1 << rng.randrange(8))])
        _answered(served, [header[:place] + flipped + header[place + 1 :], *buffers])
    _answered(served, [header, *buffers, b""])
    _answered(served, [header, *buffers[1:]])
    _answered(served, [*buffers, header])
