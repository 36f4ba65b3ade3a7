"""An IPython in another process, which runs cells for tests: ``python -m tests.shell``."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.processes import Process, line_of, started


class Shell:
    """Runs cells, one after the other."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def run(self, cell: str) -> str:
        """Run a cell, and return what a person sees: what it printed, its result, or its traceback."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(cell) + "\n")
        self._process.stdin.flush()
        shown: str = json.loads(line_of(self._process))
        return shown


@contextlib.contextmanager
def ipython() -> Iterator[Shell]:
    """Start it, and end it."""
    with started("-m", "tests.shell") as process:
        yield Shell(process)


def main() -> None:
    """Run the cells that come from stdin, as JSON, a line each."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell: Any = InteractiveShell.instance(config=config, ipython_dir=tempfile.mkdtemp())
    for line in sys.stdin:
        with capture_output(display=False) as captured:
            shell.run_cell(json.loads(line))
        print(json.dumps(captured.stdout + captured.stderr), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
