"""Starting the two ends of a contender, asking them, and ending them in every case."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

__all__ = ["Child", "Failed", "Pair", "pair"]

# Longer than any fetch takes; after it a contender is ended and reported.
PATIENCE: Final = 180.0
_ROOT: Final = Path(__file__).parent.parent


class Failed(Exception):
    """A contender cannot be started, failed, or came to nothing; the text says why."""


class Child:
    """One end, in a process and a process group of its own.

    Parameters
    ----------
    role
        ``server`` or ``client``.
    contender
        A name of the table.
    arguments
        The names of the payloads; of a client, the server's address before them.

    Attributes
    ----------
    started
        What it answered when it was ready: a server's address.
    """

    def __init__(self, role: str, contender: str, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", role, contender, *arguments],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C comes here, and the whole group can be ended from here
        )
        try:
            self.started = self.answer()
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **options: Any) -> Any:
        """Give a command, and return what came of it.

        Raises
        ------
        Failed
            If it failed, or the process died or gives no answer. It is ended then.
        """
        self.tell(do, **options)
        return self.answer()

    def tell(self, do: str, **options: Any) -> None:
        """Give a command, and do not wait for its `answer`."""
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):  # a dead process has no answer either
            self._process.stdin.write(json.dumps({"do": do, **options}).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the last command; see `ask`."""
        assert self._process.stdout is not None  # noqa: S101
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            self.close()
            raise Failed("the process died" if ready else f"no answer in {PATIENCE:g} s")
        message = json.loads(line)
        if "error" in message:
            raise Failed(message["error"])
        return message["result"]

    def close(self) -> None:
        """End the process, and all that it started."""
        if self._process.returncode is None:  # not waited for, so its number is still its own
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Pair:
    """Both ends of a contender."""

    server: Child
    client: Child


@contextlib.contextmanager
def pair(contender: str, names: Sequence[str]) -> Iterator[Pair]:
    """Start both ends of a contender with some payloads.

    Raises
    ------
    Failed
        If one of them cannot be started.
    """
    with (
        Child("server", contender, names) as server,
        Child("client", contender, [server.started, *names]) as client,
    ):
        yield Pair(server, client)
