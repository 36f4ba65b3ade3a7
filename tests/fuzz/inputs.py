"""What the inputs look like: frames and messages in one string of bytes, and how to change them.

The bytes of an input are cut at `FRAME` into frames, and where a target takes several messages, at
`MESSAGE` before. So the fuzzer's own changes (flip, insert, join two inputs) make sense, and an input can
be read and written by hand.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterable
from typing import Any

from tests import hostile
from tests.vectors import check

FRAME = b"\n\0--\0\n"
MESSAGE = b"\n\0==\0\n"

VALUES = [*hostile.JUNK, *hostile.SHAPES]


def frames_in(data: bytes) -> list[bytes]:
    return data.split(FRAME)


def messages_in(data: bytes) -> list[list[bytes]]:
    return [frames_in(message) for message in data.split(MESSAGE)]


def joined(messages: Iterable[Iterable[bytes]]) -> bytes:
    return MESSAGE.join(FRAME.join(frames) for frames in messages)


def vectors(*folders: str) -> list[list[bytes]]:
    """The frames of the conformance vectors in some folders."""
    return [hostile.frames_of(name) for name in check.names() if name.partition("/")[0] in folders]


def changed(data: bytes, rng: random.Random) -> bytes:
    """Change a value in a JSON text among the frames; bytes without one come back as they are."""
    messages = messages_in(data)
    frames = rng.choice(messages)
    places = [place for place, frame in enumerate(frames) if frame[:1] in (b"{", b"[")]
    if not places:
        return data
    place = rng.choice(places)
    try:
        value = json.loads(frames[place])
    except (ValueError, RecursionError):
        return data
    for _ in range(rng.randint(1, 3)):
        _change(value, rng)
    frames[place] = json.dumps(value).encode("utf-8", "surrogatepass")
    return joined(messages)


def _change(value: Any, rng: random.Random) -> None:
    """Replace, delete, double or add an item of a list or an object somewhere inside."""
    inside = [value]
    for item in inside:  # it grows while it is gone through
        items = item.values() if isinstance(item, dict) else item
        inside += [child for child in items if isinstance(child, list | dict)]
    chosen = rng.choice(inside)
    keys = list(chosen) if isinstance(chosen, dict) else list(range(len(chosen)))
    if not keys:
        return
    key = rng.choice(keys)
    match rng.randrange(4):
        case 0:
            chosen[key] = copy.deepcopy(rng.choice(VALUES))
        case 1:
            del chosen[key]
        case 2 if isinstance(chosen, list):
            chosen.insert(key, copy.deepcopy(chosen[key]))
        case 2:
            chosen[rng.choice(hostile.TEXTS)] = copy.deepcopy(chosen[key])
        case 3:
            other = rng.choice(keys)
            chosen[key], chosen[other] = chosen[other], chosen[key]
