"""What an honest client and the server feel of each stranger: ``python -m benchmarks.hostile``.

For each, one server in a process of its own: the honest client reads 800 bytes again and again, first alone
and then beside the stranger. The stranger has the lowest priority: elsewhere he would have another processor.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

import bridge
from tests.faults import strangers
from tests.faults.memory import MIB, forget_peak, peak, resident
from tests.faults.served import serving
from tests.processes import line_of, started

SECONDS = 3.0
SOURCES = {"small": ["numbers", 800], "large": ["numbers", 64 * MIB]}


def p99(client: bridge.Client, seconds: float) -> float:
    """Seconds that a read takes, but for one in a hundred."""
    times = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        client.read("small")
        times.append(time.perf_counter() - start)
    return float(np.percentile(times, 99))


def descriptors(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def main() -> None:
    """Print a row for each stranger."""
    sys.stdout.write(
        f"{'stranger':34}{'p99 alone':>11}{'beside':>11}{'ratio':>7}{'peak growth':>13}{'fds after':>11}\n"
    )
    for name in sys.argv[1:] or strangers.STRANGERS:
        with serving(SOURCES) as (url, server), bridge.connect(url, timeout=30.0) as client:
            p99(client, 0.5)
            alone, before, open_before = (
                p99(client, SECONDS),
                resident(server.pid),
                descriptors(server.pid),
            )
            forget_peak(server.pid)
            host, _, port = url.removeprefix("tcp://").rpartition(":")
            with started("-m", "tests.faults.strangers", name, host, port) as stranger:
                os.setpriority(os.PRIO_PROCESS, stranger.pid, 19)
                line_of(stranger)
                beside = p99(client, SECONDS)
            client.read("small")
            grown = peak(server.pid) - before
            patience = time.monotonic() + 10.0  # it answers all that came before it hears of the end
            while (left := descriptors(server.pid) - open_before) > 0 and time.monotonic() < patience:
                time.sleep(0.1)
            sys.stdout.write(
                f"{name:34}{alone * 1e6:>8.0f} µs{beside * 1e6:>8.0f} µs{beside / alone:>7.1f}"
                f"{grown / MIB:>9.0f} MiB{left:>+11}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
