"""The machine and the software that a result was measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import zmq

__all__ = ["environment", "load"]

_CPUINFO: Final = Path("/proc/cpuinfo")
_LIBRARIES: Final = ("zbridge", "numpy", "pandas", "pyarrow", "pyzmq", "distributed")


def environment() -> dict[str, Any]:
    """Describe the machine, the libraries and the commit."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES} | {"libzmq": zmq.zmq_version()},
        "commit": _git("rev-parse", "HEAD") or None,
        "modified": bool(_git("status", "--porcelain")),
    }


def load() -> list[float]:
    """Return how many processes wanted to run, as means of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _cpu() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
