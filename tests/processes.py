"""Python processes for tests: started with every warning an error, talked to, and ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).parents[1]

Process: TypeAlias = "subprocess.Popen[str]"


@contextlib.contextmanager
def started(*arguments: Any) -> Iterator[Process]:
    """A Python process with pipes as stdin and stdout; killed at the end if it is still there."""
    process = subprocess.Popen(
        _command(*arguments), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def serving(*arguments: Any) -> Iterator[tuple[str, Process]]:
    """A process that serves, and the address with which the first line that it prints ends."""
    with started(*arguments) as process:
        yield line_of(process).split()[-1], process


def line_of(process: Process) -> str:
    """Wait for the next line that a process prints. A process that ended instead is an error."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the process ended with {process.wait()}"
    return line.rstrip("\n")


def output_of(*arguments: Any) -> str:
    """Run a Python process to its end: it succeeds, and complains of nothing. What it printed."""
    done = subprocess.run(_command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _command(*arguments: Any) -> list[str]:
    return [sys.executable, "-W", "error", *map(str, arguments)]
