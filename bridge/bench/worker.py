"""One end in its own process: ``python -m bridge.bench.worker server|client``.

It reads commands from standard input, one JSON object a line, and answers each with one on standard output.
When standard input ends it ends too.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from bridge.bench import environment
from bridge.bench.child import Failed
from bridge.bench.client_end import ClientEnd
from bridge.bench.server_end import ServerEnd

__all__ = ["main"]


def main() -> None:
    """Run one end until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    # Whoever started this process has said what there is to say about its address.
    logging.getLogger("bridge").addHandler(logging.NullHandler())
    end = ServerEnd() if sys.argv[1] == "server" else ClientEnd()
    gc.collect()
    gc.freeze()  # what was imported stays: a collection looks at the rest alone
    commands = _memory_commands() | end.commands()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            message = {"result": commands[command.pop("do")](**command)}
        except Failed as exc:
            message = {"error": str(exc)}
        except Exception as exc:  # whatever a format raises
            message = {"error": f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}"}
        answers.write(json.dumps(message) + "\n")
        answers.flush()
    os._exit(0)  # threads that send and receive have nobody left to do it for


def _memory_commands() -> dict[str, Callable[..., Any]]:
    base: int | None = None

    def mark() -> None:
        """Count memory from here on."""
        nonlocal base
        gc.collect()
        environment.reset_peak()
        base = environment.peak_memory()

    def grown() -> int | None:
        """Return how far the peak of this process was above the mark, in bytes."""
        peak = environment.peak_memory()
        return None if peak is None or base is None else max(0, peak - base)

    return {"mark": mark, "grown": grown}


if __name__ == "__main__":
    main()
