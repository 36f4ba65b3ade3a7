"""Run the benchmark between two hosts made of network namespaces: ``python -m benchmarks.two_hosts``.

Two namespaces are joined by a veth pair, whose both ends ``tc`` slows down to a link that people have: tbf for
the rate, netem for the delay where the kernel has it. `zbridge bench serve` runs in one, `zbridge bench` in the
other, as two people would type it. The same transfers are then timed by hand (`benchmarks.by_hand`), and the
benchmark's plain socket must agree with that within 10 %. It needs root and Linux.

The two hosts share one machine: its cores, its memory and its clock. What is real is the link.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import click

__all__ = ["main"]

RESULTS: Final = Path(__file__).parent / "results"
# The names and addresses of the two hosts.
SERVER: Final = f"zbridge-{os.getpid()}-server"
CLIENT: Final = f"zbridge-{os.getpid()}-client"
SERVER_IP: Final = "10.83.0.1"
CLIENT_IP: Final = "10.83.0.2"
PORT: Final = 5556
# Of the plain socket's medians, by hand and in the benchmark.
AGREEMENT: Final = 0.10
BY_HAND_PROCESSES: Final = 5
BY_HAND_SAMPLES: Final = 10
# Of a shorter transfer, the scheduler's delays are a part that differs from run to run: it is not judged.
LEAST_BYTES: Final = 2**20
LEAST_SECONDS: Final = 0.005


class Link(NamedTuple):
    """What tc makes of the veth pair.

    Attributes
    ----------
    rate
        As tbf takes it.
    burst
        Bytes that may pass at once: at least the rate, divided by the timer's frequency.
    delay
        Each way, as netem takes it; None for none.
    """

    rate: str
    burst: str
    delay: str | None = None


LINKS: Final = {
    "10gbit": Link("10gbit", "4mb"),
    "1gbit": Link("1gbit", "512kb"),
    "100mbit": Link("100mbit", "128kb"),
    "100mbit-10ms": Link("100mbit", "128kb", "10ms"),
}


@click.command()
@click.option("--link", "names", type=click.Choice(list(LINKS)), multiple=True, help="By default all.")
@click.option("--budget", default="2min", show_default=True, help="For each link.")
@click.option("--payloads", default="f8,frame-mixed", show_default=True)
@click.option("--sizes", default="1KiB..32MiB:x32", show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    show_default=True,
    help="Where LINK.json and LINK.html go, behind the date.",
)
def main(names: Sequence[str], budget: str, payloads: str, sizes: str, seed: int, out: Path) -> None:
    """Measure between two network namespaces, over links of several speeds."""
    if (
        not hasattr(os, "geteuid")
        or os.geteuid() != 0
        or not shutil.which("ip")
        or not shutil.which("tc")
    ):
        raise click.ClickException("network namespaces need Linux, root, and the programs ip and tc")
    out.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    agree = []
    for name in names or LINKS:
        with two_hosts():
            if not _shaped(LINKS[name]):
                click.echo(f"{name}: this kernel has no netem, so there is no delay; left out", err=True)
                continue
            stem = out / f"{date}-{name}"
            arguments = [
                f"--payloads={payloads}",
                f"--sizes={sizes}",
                f"--budget={budget}",
                f"--seed={seed}",
            ]
            paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("json", "html")]
            click.echo(_measured([*arguments, *(f"--save={path}" for path in paths)]))
            agree.append(_agrees(name, json.loads(paths[0].read_text("utf-8"))))
    if not all(agree):
        raise click.ClickException("the benchmark and the socket by hand do not agree; see above")


@contextlib.contextmanager
def two_hosts() -> Iterator[None]:
    """Make two namespaces with a veth pair between them, and remove them in every case."""
    try:
        for host in (SERVER, CLIENT):
            _run("ip", "netns", "add", host)
        _run("ip", "link", "add", "zb0", "netns", SERVER, "type", "veth", "peer", "zb0", "netns", CLIENT)
        for host, address in ((SERVER, SERVER_IP), (CLIENT, CLIENT_IP)):
            _run("ip", "-n", host, "address", "add", f"{address}/24", "dev", "zb0")
            _run("ip", "-n", host, "link", "set", "zb0", "up")
            _run("ip", "-n", host, "link", "set", "lo", "up")
        yield
    finally:
        for host in (SERVER, CLIENT):
            subprocess.run(["ip", "netns", "delete", host], check=False, capture_output=True)


def _shaped(link: Link) -> bool:
    """Slow the link down, both ways; return whether the kernel can."""
    for host in (SERVER, CLIENT):
        parent = ["root"]
        if link.delay is not None:
            netem = ["root", "handle", "1:", "netem", "delay", link.delay, "limit", "100000"]
            done = subprocess.run(
                ["tc", "-n", host, "qdisc", "add", "dev", "zb0", *netem],
                check=False,
                capture_output=True,
            )
            if done.returncode != 0:
                return False
            parent = ["parent", "1:1"]
        tbf = ["tbf", "rate", link.rate, "burst", link.burst, "latency", "50ms"]
        _run("tc", "-n", host, "qdisc", "add", "dev", "zb0", *parent, *tbf)
    return True


def _measured(arguments: Sequence[str]) -> str:
    """Run both commands, each in its namespace, and return what the client prints."""
    zbridge = [sys.executable, "-m", "bridge", "bench"]
    url = f"tcp://{SERVER_IP}:{PORT}"
    serve = [*zbridge, "serve", "--bind", url, "--insecure", "--one-off"]
    with _started(SERVER, serve, stderr=subprocess.PIPE) as server:
        assert server.stderr is not None  # noqa: S101
        server.stderr.readline()  # it listens now
        done = subprocess.run(
            _in(CLIENT, [*zbridge, url, *arguments]), check=True, stdout=subprocess.PIPE, text=True
        )
        server.wait(10)
        return done.stdout


def _agrees(name: str, document: dict[str, Any]) -> bool:
    """Time the plain socket by hand, and say whether the benchmark found the same."""
    cases = [case for case in document["cases"] if case["format"] == "tcp" and not case["skipped"]]
    agree = True
    for nbytes in sorted({case["nbytes"] for case in cases if case["nbytes"] >= LEAST_BYTES}):
        ours = median(
            sum(phases)
            for case in cases
            if case["nbytes"] == nbytes
            for phases in zip(
                *(case["samples"][phase] for phase in ("encode", "transfer", "decode", "touch")),
                strict=True,
            )
        )
        theirs = median(s for _ in range(BY_HAND_PROCESSES) for s in _by_hand(nbytes))
        off = ours / theirs - 1
        agree = agree and (abs(off) <= AGREEMENT or theirs < LEAST_SECONDS)
        click.echo(
            f"{name}: {nbytes} bytes take {theirs * 1e3:.2f} ms by hand, "
            f"{ours * 1e3:.2f} ms in the benchmark: {off:+.1%}"
        )
    return agree


def _by_hand(nbytes: int) -> list[float]:
    by_hand = [sys.executable, "-m", "benchmarks.by_hand"]
    with _started(SERVER, [*by_hand, "give", SERVER_IP], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None  # noqa: S101
        port = server.stdout.readline().strip()
        take = [*by_hand, "take", SERVER_IP, port, str(nbytes), str(BY_HAND_SAMPLES)]
        done = subprocess.run(_in(CLIENT, take), check=True, stdout=subprocess.PIPE, text=True)
    seconds: list[float] = json.loads(done.stdout)
    return seconds


@contextlib.contextmanager
def _started(host: str, command: Sequence[str], **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(_in(host, command), text=True, **pipes)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _in(host: str, command: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", host, *command]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
