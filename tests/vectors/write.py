"""Write the vectors that do not exist yet: ``python -m tests.vectors.write``.

A vector that exists is never written again, whatever the library makes of it today: what was
released is what others have built on. One that should not be, and was not released, is deleted by
hand.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from bridge import codecs, wire
from bridge.wire import Frame, Reply
from tests.vectors import invalid, messages
from tests.vectors.check import FOLDER, reply_as_json, request_as_json
from tests.vectors.objects import OBJECTS
from tests.vectors.readable import readable


def vectors() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each vector as this library would write it now: its name and its content."""
    for name, request in messages.REQUESTS.items():
        frames = _frames(wire.pack_request(request))
        yield f"requests/{name}", {**frames, "request": request_as_json(request)}
    for name, (text, request) in messages.OTHER_REQUESTS.items():
        frames = _other_frames(text, wire.pack_request(request))
        yield f"requests/{name}", {**frames, "request": request_as_json(request)}
    for name, reply in messages.REPLIES.items():
        yield f"replies/{name}", {**_frames(_packed(reply)), "reply": reply_as_json(reply)}
    for name, (text, reply) in messages.OTHER_REPLIES.items():
        frames = _other_frames(text, _packed(reply))
        yield f"replies/{name}", {**frames, "reply": reply_as_json(reply)}
    for name, make in OBJECTS.items():
        descriptor, buffers = codecs.encode(make())
        frames = _frames(wire.pack_reply(Reply(id=1, keys={"object": descriptor}, buffers=buffers)))
        yield f"objects/{name}", {**frames, "object": readable(make())}
    for name, message in invalid.REQUESTS.items():
        yield f"invalid-requests/{name}", _failing(message)
    for name, message in invalid.REPLIES.items():
        yield f"invalid-replies/{name}", _failing(message)
    for name, make_message in invalid.OBJECTS.items():
        yield f"invalid-objects/{name}", _failing(make_message())


def main() -> int:
    """Write what is missing, and say what exists with another content."""
    written = kept = 0
    for name, vector in vectors():
        path = FOLDER / f"{name}.json"
        text = json.dumps(vector, ensure_ascii=False, indent=1) + "\n"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            written += 1
        elif path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{name} exists, and would be another now: it stays as it is\n")
            kept += 1
    sys.stdout.write(f"{written} vectors written\n")
    return 1 if kept else 0


def _frames(frames: Sequence[Frame]) -> dict[str, Any]:
    header, *buffers = (bytes(frame) for frame in frames)
    texts = [b64encode(buffer).decode() for buffer in buffers]
    try:
        return {"header": header.decode("utf-8"), "buffers": texts}
    except UnicodeDecodeError:
        return {"header_base64": b64encode(header).decode(), "buffers": texts}


def _other_frames(text: str, packed: Sequence[Frame]) -> dict[str, Any]:
    return {"header": text, "buffers": [], "packed": bytes(packed[0]).decode()}


def _packed(reply: Reply) -> list[Frame]:
    return wire.pack_failure(reply.id, reply.error) if reply.error else wire.pack_reply(reply)


def _failing(message: invalid.Invalid) -> dict[str, Any]:
    frames = _frames([message.header, *message.buffers])
    return {**frames, "failure": {"code": message.code, "says": message.says}}


if __name__ == "__main__":
    sys.exit(main())
