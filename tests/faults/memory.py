"""How much memory a process has, by Linux's count."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024

only_on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most that it ever had, since it began or `forget_peak`."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
