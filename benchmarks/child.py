"""One end of a contender, in its own process: ``python -m benchmarks.child server|client contender …``.

It reads commands from standard input, one JSON object a line, and answers each with one on standard
output. When standard input ends it ends too, with all processes that it started: also when whoever started
it was killed.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks import payloads
from benchmarks.contenders import CONTENDERS

# Of a batch of small fetches, the first ones find a cold cache and a sleeping core.
COLD: Final = 5
_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")


def main() -> None:
    """Run one end until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand among the answers

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    role, contender, *arguments = sys.argv[1:]
    try:
        end = _ENDS[role](contender, arguments)
        started = end.__enter__()  # never left: the process is ended as a whole
        answer({"result": started if role == "server" else None})
        commands = _memory_commands() | ({} if role == "server" else _fetch_commands(started))
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer({"result": commands[command.pop("do")](**command)})
            except Exception as exc:
                answer({"error": _text(exc)})
    except Exception as exc:
        answer({"error": _text(exc)})
    finally:
        os.killpg(os.getpid(), signal.SIGKILL)


def _server(contender: str, names: list[str]) -> Any:
    module = CONTENDERS[contender].load()
    return module.serve({name: payloads.build(name) for name in names})


def _client(contender: str, arguments: list[str]) -> Any:
    module = CONTENDERS[contender].load()
    address, *names = arguments
    return module.connect(address, names)


_ENDS: Final = {"server": _server, "client": _client}


def _fetch_commands(fetch: Callable[[str], Any]) -> dict[str, Callable[..., Any]]:
    def check(name: str) -> str | None:
        return payloads.difference(fetch(name), name)

    def time(name: str, count: int = 1) -> list[float]:
        """Return the seconds of each of `count` fetches, until all of the object was read.

        One fetch before them is not counted. Each process waits for its turn for seconds, and a virtual machine
        gives memory that is free for so long back to its host: touching 256 MiB of it again was measured to
        take 0.5 s, and 0.03 s when it had been in use just before. That is the machine's time, not the
        contender's, and would fall on those only that receive into fresh memory.
        """
        gc.collect()
        payloads.touch(fetch(name))
        seconds = []
        for _ in range(count):
            start = perf_counter()
            obj = fetch(name)
            payloads.touch(obj)
            seconds.append(perf_counter() - start)
            del obj
        return seconds

    def time_small(name: str, count: int) -> list[float]:
        """Return the seconds of each of `count` round trips."""
        seconds = []
        for _ in range(COLD + count):
            start = perf_counter()
            fetch(name)
            seconds.append(perf_counter() - start)
        return seconds[COLD:]

    return {"check": check, "time": time, "time_small": time_small}


def _memory_commands() -> dict[str, Callable[..., Any]]:
    baseline = 0

    def mark() -> None:
        """Measure memory from here on."""
        nonlocal baseline
        gc.collect()
        if _CLEAR_REFS.exists():
            _CLEAR_REFS.write_text("5")  # Linux: the peak is now what is resident
        baseline = _peak()

    def grown() -> int:
        """Return how far the peak of this process was above the mark, in bytes."""
        return _peak() - baseline

    return {"mark": mark, "grown": grown}


def _peak() -> int:
    if _STATUS.exists():
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _text(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


if __name__ == "__main__":
    main()
