"""Check the vectors: ``python -m tests.vectors.check``, with ``-O`` too.

Nothing here is an ``assert``, so all of it also holds where assertions are left out.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridge import codecs, wire
from bridge.codecs import strict_json
from bridge.errors import RemoteError, WireError
from bridge.service import Service
from bridge.timers import Timers
from bridge.wire import Frame, Reply, Request
from tests.check import difference
from tests.vectors.objects import OBJECTS
from tests.vectors.readable import readable

FOLDER = Path(__file__).parent / "v1"


class Failed(Exception):
    """A vector does not hold."""


def names() -> list[str]:
    """Return the names of all vectors: their paths below `FOLDER`, without ``.json``."""
    paths = sorted(FOLDER.glob("*/*.json"))
    return [path.relative_to(FOLDER).with_suffix("").as_posix() for path in paths]


def check(name: str) -> None:
    """Raise `Failed`, or whatever goes wrong, unless this library agrees with a vector."""
    vector = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    header = b64decode(vector["header_base64"]) if "header_base64" in vector else None
    frames = [
        vector["header"].encode() if header is None else header,
        *map(b64decode, vector["buffers"]),
    ]
    kind, _, own_name = name.partition("/")
    _CHECKS[kind](own_name, vector, frames)


class _Impatient(Timers):
    """Those of a server where nothing comes that is waited for."""

    def limit(self, seconds: float, *arguments: Any) -> None:
        super().limit(min(seconds, 0.05), *arguments)


def served() -> Service:
    """Return the server that the requests are for; the README says what it serves."""
    service = Service(writable=["w/"])
    service.timers = _Impatient()
    service["w/x"] = np.arange(2).astype("<i8")
    service.channel("log").append(np.arange(6.0).reshape(2, 3))
    service["x"] = np.arange(12.0).reshape(4, 3)
    service["t"] = pd.DataFrame({"a": np.array([1, 2, 3], "<i8"), "s": ["a", "b", "c"]})
    service["o"] = {"k": 1}

    @service.query
    def f(a, b=1):
        return a

    @service.query
    def g():
        return None

    @service.stream
    def s():
        yield 1

    return service


def request_as_json(request: Request) -> dict[str, Any]:
    transfer = {} if request.lengths is None else {"lengths": request.lengths}
    return {"id": request.id, "op": request.op, **request.keys, **transfer}


def reply_as_json(reply: Reply) -> dict[str, Any]:
    if reply.error is not None:
        error = reply.error
        texts = {"code": error.code, "message": error.message}
        optional = {"type": error.type_name, "traceback": error.remote_traceback}
        texts |= {key: text for key, text in optional.items() if text}
        return {"id": reply.id, "error": texts}
    transfer = {} if reply.lengths is None else {"lengths": reply.lengths}
    return {"id": reply.id, **reply.keys, **transfer}


# ── valid ─────────────────────────────────────────────────────────────────────────────────────────


def _check_request(name: str, vector: Any, frames: list[Frame]) -> None:
    request = wire.unpack_request(frames)
    _expect(request_as_json(request), vector["request"])
    _expect_frames(wire.pack_request(request), _packed(vector, frames))
    reply = wire.unpack_reply(served().handle(frames))
    _expect(reply.id, request.id)
    if reply.error is not None:
        _expect(reply.error.code, "expired")
        _expect(request.op in ("part", "wait"), True)


def _check_reply(name: str, vector: Any, frames: list[Frame]) -> None:
    reply = wire.unpack_reply(frames)
    _expect(reply_as_json(reply), vector["reply"])
    if reply.error is not None:
        _expect_frames(wire.pack_failure(reply.id, reply.error), _packed(vector, frames))
    else:
        _expect_frames(wire.pack_reply(reply), _packed(vector, frames))


def _check_object(name: str, vector: Any, frames: list[Frame]) -> None:
    reply = wire.unpack_reply(frames)
    descriptor = reply.key("object", dict)
    decoded = codecs.decode(descriptor, reply.buffers)
    _expect(readable(decoded), vector["object"])
    expected = OBJECTS[name]()
    _expect(difference(expected, decoded), None)
    for obj in (expected, decoded):
        encoded = codecs.encode(obj)
        _expect(encoded.descriptor, descriptor)
        if '"streams"' in vector["header"]:
            # Arrow's writers differ in their metadata, so its streams are compared by what they say.
            _expect(difference(expected, codecs.decode(*encoded)), None)
        else:
            answer = Reply(id=reply.id, keys={"object": encoded.descriptor}, buffers=encoded.buffers)
            _expect_frames(wire.pack_reply(answer), frames)


# ── invalid ───────────────────────────────────────────────────────────────────────────────────────


def _check_invalid_request(name: str, vector: Any, frames: list[Frame]) -> None:
    error = wire.unpack_reply(served().handle(frames)).error
    _expect_failure(error, str(error), vector["failure"])


def _check_invalid_reply(name: str, vector: Any, frames: list[Frame]) -> None:
    try:
        wire.unpack_reply(frames)
    except WireError as error:
        _expect_failure(error, str(error), vector["failure"])
    else:
        raise Failed("it was taken for a reply")


def _check_invalid_object(name: str, vector: Any, frames: list[Frame]) -> None:
    reply = wire.unpack_reply(frames)
    try:
        obj = codecs.decode(reply.keys["object"], reply.buffers)
    except WireError as error:
        _expect_failure(error, str(error), vector["failure"])
    else:
        raise Failed(f"it was taken for {obj!r}")


_CHECKS: dict[str, Callable[[str, Any, list[Frame]], None]] = {
    "requests": _check_request,
    "replies": _check_reply,
    "objects": _check_object,
    "invalid-requests": _check_invalid_request,
    "invalid-replies": _check_invalid_reply,
    "invalid-objects": _check_invalid_object,
}


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────


def _packed(vector: Any, frames: list[Frame]) -> list[Frame]:
    """Return the frames as this library writes them, where that is not the only way."""
    return [vector["packed"].encode(), *frames[1:]] if "packed" in vector else frames


def _expect_frames(frames: list[Frame], expected: list[Frame]) -> None:
    _expect([bytes(frame) for frame in frames], [bytes(frame) for frame in expected])


def _expect_failure(error: RemoteError | WireError | None, message: str, expected: Any) -> None:
    if error is None:
        raise Failed("it was answered")
    if error.code != expected["code"] or expected["says"] not in message:
        raise Failed(f"{error.code}: {message}; expected {expected['code']}: … {expected['says']} …")


def _expect(found: Any, expected: Any) -> None:
    # JSON tells 1 from True and 0.0 from -0.0.
    if found != expected or _text(found) != _text(expected):
        raise Failed(f"{found!r}, expected {expected!r}")


def _text(value: Any) -> Any:
    return strict_json.dumps(value) if isinstance(value, dict | list) and _is_json(value) else value


def _is_json(value: Any) -> bool:
    return not (isinstance(value, list) and any(isinstance(item, bytes) for item in value))


def main() -> int:
    """Check all vectors, and say which do not hold."""
    failed = 0
    for name in names():
        try:
            check(name)
        except Exception as exc:
            failed += 1
            sys.stderr.write(f"{name}: {type(exc).__name__}: {exc}\n")
    sys.stdout.write(f"{len(names())} vectors, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
