"""Looking around: ``ls``, ``info``, ``ping``."""

from __future__ import annotations

import statistics
import time
from typing import Any

import click

import bridge
from bridge.cli.echo import echo, echo_json
from bridge.cli.options import command, json_option, name_argument, url_option

__all__ = ["info", "ls", "ping"]


@command(
    "zbridge ls",
    "zbridge ls --json",
)
@click.argument("address", metavar="[URL]", required=False)
@url_option
@json_option
def ls(address: str | None, url: str | None, as_json: bool) -> None:
    """List what a server serves."""
    with bridge.connect(address or url) as b:
        entries = b.entries()
    if as_json:
        echo_json(entries)
        return
    from bridge.display import catalogue_text

    echo(catalogue_text(entries, most=len(entries)), err=not entries)


@command(
    "zbridge info weather",
    "zbridge info monthly_mean --json",
)
@name_argument()
@url_option
@json_option
def info(name: str, url: str | None, as_json: bool) -> None:
    """Show type, shape, columns or signature of a name."""
    with bridge.connect(url) as b:
        handle = b[name]
    facts = _facts(handle)
    if as_json:
        echo_json({"name": name, **facts})
        return
    from bridge.display import lines

    echo(lines(name))
    for key, value in facts.items():
        shown = [f"{k}: {v}" for k, v in value.items()] if isinstance(value, dict) else [str(value)]
        for line in lines("\n".join(shown)).splitlines():
            echo(f"  {key:10} {line}")
            key = ""


@command(
    "zbridge ping",
    "zbridge ping -n 100 --json",
)
@click.argument("address", metavar="[URL]", required=False)
@click.option("-n", "count", type=click.IntRange(1), default=20, show_default=True, help="Round trips.")
@url_option
@json_option
def ping(address: str | None, count: int, url: str | None, as_json: bool) -> None:
    """Measure the handshake and round trips."""
    connect = bridge.connect  # imported here, not within the measurement
    start = time.perf_counter()
    with connect(address or url) as b:
        handshake = time.perf_counter() - start
        trips = [b.ping() for _ in range(count)]
        versions = {"client": bridge.__version__, "server": str(b.info.get("version", "?"))}
        server_url = b.url
    # With one number there is nothing between.
    percents = statistics.quantiles(trips, n=100, method="inclusive") if count > 1 else trips * 99
    milliseconds = {"handshake": handshake, "p50": percents[49], "p99": percents[98]}
    if as_json:
        times = {f"{key}_seconds": value for key, value in milliseconds.items()}
        echo_json({"url": server_url, "round_trips": count, **times, "versions": versions})
        return
    from bridge.display import text

    echo(f"{server_url}: zbridge {text(versions['server'])}; here {versions['client']}")
    echo(", ".join(f"{key} {value * 1000:.2f} ms" for key, value in milliseconds.items()))


def _facts(handle: Any) -> dict[str, Any]:
    """Return what a handle knows, as JSON."""
    if isinstance(handle, bridge.RemoteQuery):
        kind = "stream" if isinstance(handle, bridge.RemoteStream) else "query"
        return {"kind": kind, "signature": handle.signature, "doc": handle.__doc__ or ""}
    if isinstance(handle, bridge.RemoteChannel):
        return {"kind": "channel", "rows": handle.rows}
    size = {"nbytes": handle.nbytes, "version": handle.version}
    if isinstance(handle, bridge.RemoteArray):
        return {"kind": "array", "dtype": str(handle.dtype), "shape": list(handle.shape), **size}
    if isinstance(handle, bridge.RemoteTable):
        columns = {str(label): str(dtype) for label, dtype in handle.dtypes.items()}
        return {"kind": "table", "rows": handle.num_rows, "columns": columns, **size}
    return {"kind": "object", "type": handle.type_name, **size}
