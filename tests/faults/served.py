"""A server to be killed: ``python -m tests.faults.served URL SOURCES [KEYS]``.

SOURCES is a JSON object of names, and for each a list: a row of `MAKERS`, and its arguments. KEYS is a
directory.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bridge
from tests import processes

MIB = 1024 * 1024
ANYWHERE = "tcp://127.0.0.1:0"


def numbers(nbytes: int, seed: int = 0) -> np.ndarray:
    """No two items alike, within one and among those of different seeds: no mixture goes unnoticed."""
    return np.arange(seed << 40, (seed << 40) + nbytes // 8)


def frame(nbytes: int, columns: int = 32) -> Any:
    import pandas as pd

    values = numbers(nbytes).astype(np.float64).reshape(columns, -1)
    return pd.DataFrame(values.T, columns=[f"c{i}" for i in range(columns)])


MAKERS: dict[str, Callable[..., Any]] = {"numbers": numbers, "frame": frame, "file": Path}


@contextlib.contextmanager
def serving(
    sources: dict[str, list[Any]], *, url: str = ANYWHERE, program: str = "served", keys: str = ""
) -> Iterator[tuple[str, processes.Process]]:
    """A server in another process that serves these: its address, and the process."""
    module = f"tests.faults.{program}"
    with processes.serving("-m", module, url, json.dumps(sources), *filter(None, [keys])) as served:
        yield served


def made(sources: str) -> dict[str, Any]:
    return {name: MAKERS[maker](*arguments) for name, (maker, *arguments) in json.loads(sources).items()}


def tell(process: processes.Process, line: str = "") -> None:
    """Give a process a line to read."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(url: str, sources: str, keys: str | None = None) -> None:
    server = bridge.Server(url, keys=keys)
    server.update(made(sources))

    @server.query
    def transfers() -> int:
        """How many answers wait to be fetched."""
        return len(server._service._outbox)

    @server.query
    def replace(name: str, maker: str, arguments: list[Any]) -> None:
        server[name] = MAKERS[maker](*arguments)

    say(server.url)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
