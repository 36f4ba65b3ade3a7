"""Fresh processes: starting one end, asking it, and ending it in every case.

Each end runs in processes of its own, which are started for a few rounds and ended: what happens once in the
life of a process (where its memory lies, what its allocator keeps) is then part of the spread that is reported.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Child", "Died", "Failed"]

# What a process may take to start, or to answer what is done at once.
PATIENCE: Final = 60.0
# Who waits for longer looks after other things in between.
SLICE: Final = 5.0


class Failed(Exception):
    """What was asked for did not come about; the text says why."""


class Died(Failed):
    """The process ended, or was ended because it did not answer."""


class Child:
    """One end in a process of its own: ``python -m bridge.bench.worker``.

    It reads commands from its standard input, one JSON object a line, and answers each with one. It ends when
    its input does, so it does not outlive whoever started it.

    Parameters
    ----------
    role
        ``server`` or ``client``.
    """

    def __init__(self, role: str) -> None:
        self._process = subprocess.Popen(
            # -P: a folder named bridge in the current directory is not what is meant.
            [sys.executable, "-P", "-m", "bridge.bench.worker", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C comes to who asks
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, do: str, *, patience: float = PATIENCE, **options: Any) -> Any:
        """Give a command, and return what came of it.

        Raises
        ------
        Failed
            If it failed.
        Died
            If the process died, or gave no answer in `patience` seconds; it is ended then.
        """
        self.tell(do, **options)
        return self.answer(patience=patience)

    def tell(self, do: str, **options: Any) -> None:
        """Give a command, and do not wait for its `answer`."""
        stdin = self._process.stdin
        with contextlib.suppress(OSError):  # who died does not answer either
            if stdin is not None:
                stdin.write(json.dumps({"do": do, **options}).encode() + b"\n")
                stdin.flush()

    def answer(
        self, *, patience: float = PATIENCE, meanwhile: Callable[[], object] = lambda: None
    ) -> Any:
        """Wait for the answer to the last command, and do something every few seconds; see `ask`."""
        deadline = time.monotonic() + patience
        while True:
            try:
                line = self._answers.get(timeout=max(0.0, min(SLICE, deadline - time.monotonic())))
                break
            except queue.Empty:
                if time.monotonic() >= deadline:
                    self.close()
                    raise Died(f"no answer in {patience:.0f} s") from None
                meanwhile()
        if not line:
            self.close()
            raise Died(f"the process died with code {self._process.returncode}; was memory short?")
        message = json.loads(line)
        if "error" in message:
            raise Failed(message["error"])
        return message["result"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        stdout = self._process.stdout
        with contextlib.suppress(OSError, ValueError):  # closed
            for line in stdout or ():
                self._answers.put(line)
        self._answers.put(b"")
