"""What a figure was measured on: the machine, its load, and the libraries."""

from __future__ import annotations

import os
import platform
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import zmq

__all__ = ["available_memory", "describe", "load", "peak_memory", "reset_peak"]

_CPUINFO: Final = Path("/proc/cpuinfo")
_MEMINFO: Final = Path("/proc/meminfo")
_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")
# One for each start of a machine: two ends with the same are on one, whatever it is called.
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

_LIBRARIES: Final = ("numpy", "pandas", "pyarrow", "pyzmq", "zbridge")


def describe() -> dict[str, Any]:
    """Return the machine and the libraries; None for what this system does not tell."""
    return {
        "host": socket.gethostname(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _field(_CPUINFO, "model name") or platform.processor() or None,
        "cores": os.cpu_count(),
        "memory": _memory("MemTotal"),
        "load": load(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
        "libzmq": zmq.zmq_version(),
    }


def machine_id() -> str:
    """Return a text that two processes share when they run on one machine."""
    return _BOOT.read_text().strip() if _BOOT.exists() else socket.gethostname()


def load() -> list[float] | None:
    """Return how many processes wanted to run, as means of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None


def available_memory() -> int | None:
    """Return how many bytes of memory can be had without swapping; None where the system does not tell."""
    return _memory("MemAvailable")


def reset_peak() -> None:
    """Let `peak_memory` count from what is resident now, where the system can (Linux)."""
    if _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text("5")


def peak_memory() -> int | None:
    """Return the largest number of bytes of this process that were resident; None where it cannot be told."""
    peak = _field(_STATUS, "VmHWM")
    if peak is not None:
        return int(peak.split()[0]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _memory(name: str) -> int | None:
    field = _field(_MEMINFO, name)
    return int(field.split()[0]) * 1024 if field is not None else None


def _field(path: Path, name: str) -> str | None:
    """Return what stands behind ``name:`` in a file of /proc."""
    if path.exists():
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
