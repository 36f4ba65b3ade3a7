"""``demo``: a server in another process, and everything that comes from it compared with what is served."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

import bridge
from bridge.cli.echo import echo, echo_json
from bridge.cli.options import command, json_option

__all__ = ["demo"]

# A server that was asked to stop, and has not within so many seconds, is killed.
STOP_SECONDS = 5


@command(
    "zbridge demo",
)
@json_option
def demo(as_json: bool) -> None:
    """Serve real data, fetch it, show what came."""
    from bridge.cli.example import example

    weather, temperature, monthly_mean = example()
    steps: tuple[tuple[str, Callable[[Any], Any], Any], ...] = (
        ('b.read("weather")', lambda b: b.read("weather"), weather),
        ('b["temperature"][:2]', lambda b: b["temperature"][:2], temperature[:2]),
        (
            'b["weather"].filter([("precipitation", ">", 50)]).to_pandas()',
            lambda b: b["weather"].filter([("precipitation", ">", 50)]).to_pandas(),
            weather[weather["precipitation"] > 50],
        ),
        (
            'b.call("monthly_mean", column="temp_max", year=2015)',
            lambda b: b.call("monthly_mean", column="temp_max", year=2015),
            monthly_mean("temp_max", 2015),
        ),
    )
    with _server_process() as url, bridge.connect(url) as b:
        names = list(b)
        if not as_json:
            echo(f"Another process serves {', '.join(names)} at {url}.\n")
        shown = [_shown(typed, fetch(b), served, as_json) for typed, fetch, served in steps]
    if as_json:
        echo_json({"url": url, "names": names, "steps": shown})
    else:
        echo("All that came is identical to what is served.")


@contextlib.contextmanager
def _server_process() -> Iterator[str]:
    """Run ``zbridge serve`` in another process, and yield the URL that it prints."""
    # -P: a folder named bridge in the current directory is not what is meant.
    command = [sys.executable, "-P", "-m", "bridge", "serve", "--json", "--bind", "tcp://127.0.0.1:0"]
    # The log of a few queries fits in the pipe.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            first_line = next(iter(process.stdout or ()), "")
            if not first_line:
                _, log = process.communicate(timeout=STOP_SECONDS)
                raise click.ClickException(f"the server process ended before it was ready:\n{log}")
            yield json.loads(first_line)["url"]
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _shown(typed: str, came: Any, served: Any, as_json: bool) -> dict[str, Any]:
    """Print what came and its first two rows, and stop if it is not what is served."""
    import pandas as pd

    # A frame made of either compares dtypes and values, NaN among them.
    frame = pd.DataFrame(came)
    dtypes = ", ".join(dict.fromkeys(str(dtype) for dtype in frame.dtypes))
    if not as_json:
        echo(f">>> {typed}\n{type(came).__name__} {came.shape}: {dtypes}\n{came[:2]}\n")
    if type(came) is not type(served) or not frame.equals(pd.DataFrame(served)):
        raise click.ClickException(f"what came is not what is served:\n{served[:2]}")
    return {"typed": typed, "type": type(came).__name__, "shape": list(came.shape), "identical": True}
