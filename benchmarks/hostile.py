"""What an honest client and the server feel of each stranger: ``python -m benchmarks.hostile``.

An honest client reads 800 bytes again and again: alone, beside a stranger who is busy with another server on
this machine, and beside one who is busy with this server. The first two differ by what the machine has left,
the last two by what the server lets the stranger take. In turn, several times; the figures are medians. The
servers are processes of their own. The stranger has the lowest priority: elsewhere he would have another
processor.

All of that first with servers without keys, to whom strangers can speak; then with keys, which these lack.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
import numpy as np

import bridge
from benchmarks.environment import environment, load
from bridge import clients, keys
from bridge.rights import EVERYTHING
from tests.faults import strangers
from tests.faults.memory import MIB, forget_peak, peak, resident
from tests.faults.served import serving
from tests.processes import line_of, started

ROUNDS = 3
SECONDS = 1.0  # of each of the three, in a round
SOURCES = {"small": ["numbers", 800], "large": ["numbers", 64 * MIB]}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was felt of a stranger.

    Attributes
    ----------
    alone, elsewhere, here
        Seconds that a read takes, but for one in a hundred.
    grown
        Bytes that the server's memory grew.
    sockets
        That it had left open 10 s later.
    """

    stranger: str
    with_keys: bool
    alone: float
    elsewhere: float
    here: float
    grown: int
    sockets: int

    def __str__(self) -> str:
        times = "".join(
            f"{1e6 * seconds:>8.0f} µs" for seconds in (self.alone, self.elsewhere, self.here)
        )
        ratios = f"{self.here / self.alone:>8.1f}{self.here / self.elsewhere:>8.1f}"
        return f"{self.stranger:34}{times}{ratios}{self.grown / MIB:>8.0f} MiB{self.sockets:>+9}"


HEAD = (
    f"{'stranger':34}{'alone':>11}{'elsewhere':>11}{'here':>11}"
    f"{'/alone':>8}{'/elsew.':>8}{'memory':>12}{'sockets':>9}"
)


def measure(name: str, folder: str) -> Row:
    """Measure one stranger; `folder` has the keys, if there are any."""
    with (
        serving(SOURCES, keys=folder) as (url, server),
        serving(SOURCES, keys=folder) as (other, _),
        bridge.connect(url, timeout=30.0) as client,
    ):
        p99(client)
        before, open_before = resident(server.pid), sockets(server.pid)
        forget_peak(server.pid)
        rounds: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            alone = p99(client)
            with busy(name, other):
                elsewhere = p99(client)
            with busy(name, url):
                here = p99(client)
            client.read("small")
            rounds.append((alone, elsewhere, here))
        grown = peak(server.pid) - before
        patience = time.monotonic() + 10.0  # it answers all that came before it hears of the end
        while (left := sockets(server.pid) - open_before) > 0 and time.monotonic() < patience:
            time.sleep(0.1)
    alone, elsewhere, here = (median(column) for column in zip(*rounds, strict=True))
    return Row(
        stranger=name,
        with_keys=bool(folder),
        alone=alone,
        elsewhere=elsewhere,
        here=here,
        grown=grown,
        sockets=left,
    )


def p99(client: bridge.Client) -> float:
    """Seconds that a read takes, but for one in a hundred."""
    times = []
    end = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        client.read("small")
        times.append(time.perf_counter() - start)
    return float(np.percentile(times, 99))


@contextlib.contextmanager
def busy(name: str, url: str) -> Iterator[None]:
    """Have a stranger at work on a server."""
    key, _, address = url.rpartition("://")[2].rpartition("@")
    host, _, port = address.rpartition(":")
    with started("-m", "tests.faults.strangers", name, host, port, *filter(None, [key])) as stranger:
        os.setpriority(os.PRIO_PROCESS, stranger.pid, 19)
        line_of(stranger)
        yield
        if stranger.poll() is not None:
            raise RuntimeError(
                f"the stranger {name!r} ended by itself; what was measured is nobody's doing"
            )


def sockets(pid: int) -> int:
    """How many sockets a process has open. What else it opens is its own."""
    count = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            count += str(path.readlink()).startswith("socket:")
    return count


@contextlib.contextmanager
def keyring() -> Iterator[str]:
    """A directory with the key of a client, who is let in."""
    with tempfile.TemporaryDirectory() as folder:
        own = keys.make_key(Path(folder), keys.CLIENT).public.hex()
        clients.allow(Path(folder), clients.Authorized(key=own, rights=EVERYTHING))
        os.environ["BRIDGE_HOME"] = folder
        yield folder


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(strangers.STRANGERS)))
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for the figures.")
def main(names: tuple[str, ...], out: Path | None) -> None:
    """Print a row for each stranger."""
    rows = []
    busy_before = load()
    with keyring() as folder:
        for held in ("", folder):
            sys.stdout.write(f"\n{'with keys' if held else 'without keys'}\n{HEAD}\n")
            for name in names or strangers.STRANGERS:
                rows.append(measure(name, held))
                sys.stdout.write(f"{rows[-1]}\n")
                sys.stdout.flush()
    if out is not None:
        result = {
            "environment": environment(),
            "load": busy_before,
            "rows": [asdict(row) for row in rows],
        }
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
