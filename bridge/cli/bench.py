"""``bench``: what a link costs in each format."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import bridge
from bridge.cli.echo import echo, echo_json
from bridge.cli.options import command, json_option
from bridge.errors import printable

__all__ = ["bench"]

# The command that measures has no name: zbridge bench tcp://lab:5556. This is how the help shows it.
MEASURE = "URL"
# Of the progress bar, which moves by parts of the whole.
STEPS = 1000


class _Group(click.Group):
    """Commands, of which the one that measures needs no name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the name."""
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = [MEASURE, *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_Group,
    subcommand_metavar="URL | COMMAND [ARGS]...",
    epilog="""\b
Examples:
  zbridge bench serve
  zbridge bench tcp://127.0.0.1:5556
  zbridge bench tcp://127.0.0.1:5556 --save link.json --save link.html
  zbridge bench report monday.json
  zbridge bench compare monday.json tuesday.json
""",
)
def bench() -> None:
    """Measure what a link and a kind of data cost in each format.

    One computer serves, the other measures: JSON, pickle, raw buffers, Arrow, .npy files and zbridge itself,
    next to a plain socket.
    """


@command("zbridge bench serve", "zbridge bench serve --bind 'tcp://*:5556' --insecure --one-off")
@click.option(
    "--bind",
    metavar="URL",
    default="tcp://127.0.0.1:5556",
    show_default=True,
    help="Where to listen: there and on the three ports after it; port 0 picks free ones.",
)
@click.option(
    "--insecure", is_flag=True, help="Listen where other computers reach it: all of them may measure."
)
@click.option("--one-off", is_flag=True, help="Stop after the first client.")
@click.option("--max-duration", default="1h", show_default=True, help="Of one client's session.")
@click.option("--max-bytes", default="1GiB", show_default=True, help="Of one payload.")
@click.option(
    "--allow-pickle", "unpickling", is_flag=True, help="Decode pickles that clients push: data alone."
)
@json_option
def serve(
    bind: str,
    insecure: bool,
    one_off: bool,
    max_duration: str,
    max_bytes: str,
    unpickling: bool,
    as_json: bool,
) -> None:
    """Let others measure against this computer.

    It sends payloads that it makes itself, to one client at a time. Ctrl-C and SIGTERM stop it.
    """
    from bridge.bench import cases
    from bridge.bench.serve import serve as serve_benchmarks
    from bridge.display import parse_nbytes

    def ready(url: str) -> None:
        if as_json:
            echo_json({"url": url})
        else:
            echo(f"Ready for benchmarks at {url}; Ctrl-C stops.", err=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _typed_wrongly():
        largest, longest = parse_nbytes(max_bytes), cases.parse_seconds(max_duration)
    try:
        serve_benchmarks(
            bind,
            insecure=insecure,
            one_off=one_off,
            max_bytes=largest,
            max_duration=longest,
            unpickling=unpickling,
            ready=ready,
            tell=lambda text: echo(text, err=True),
        )
    except bridge.TransportError as exc:  # what was typed, not a server that is away
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        sys.exit(0)


@click.command(
    MEASURE,
    epilog="""\b
Payloads are arrays, by dtype, then -F or -strided, then -smooth or -zeros:
  u1 f4 f8 c16 datetime64 bool S16 struct
and DataFrames:
  frame-float frame-float100 frame-mixed frame-short frame-long
  frame-category frame-nullable frame-wide frame-multiindex

\b
Formats, of which tcp and zmq carry as many bytes without a meaning:
  json pickle pickle-oob raw bridge arrow npy tcp zmq

\b
Examples:
  zbridge bench tcp://127.0.0.1:5556
  zbridge bench tcp://127.0.0.1:5556 --payloads f8,f8-F,f8-smooth --direction both --save link.html
  zbridge bench tcp://127.0.0.1:5556 --formats raw,pickle-oob,tcp --sizes 1KiB..1GiB:x4 --budget none
""",
)
@click.argument("url", required=False, metavar="")
@click.option(
    "--payloads", metavar="A,B", default="f8,frame-mixed", show_default=True, help="What is sent."
)
@click.option("--sizes", default="1KiB..32MiB:x32", show_default=True, help="Also 800B,64MiB.")
@click.option("--formats", metavar="A,B", help="By default all.")
@click.option(
    "--direction",
    type=click.Choice(["pull", "push", "both"]),
    default="pull",
    show_default=True,
    help="Whether the server sends, or takes.",
)
@click.option("--clients", type=click.IntRange(1, 255), default=1, show_default=True, help="At once.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Pairs of fresh processes; fewer than 5 say little of the spread.",
)
@click.option("--budget", default="2min", show_default=True, help="For everything; or none.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order of the runs.")
@click.option(
    "--save",
    "paths",
    metavar="FILE",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the samples as .json, the report as .html. May be repeated.",
)
@json_option
def measure(
    url: str | None,
    payloads: str,
    sizes: str,
    formats: str | None,
    direction: str,
    clients: int,
    processes: int,
    budget: str,
    seed: int,
    paths: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure against the server at URL.

    What does not fit into the budget is left out, and the report says so.
    """
    if url is None:
        raise click.UsageError("against which server? write for example: zbridge bench tcp://lab:5556")
    for path in paths:
        _check_suffix(path)
    with _typed_wrongly(), _progress() as progress:
        result = bridge.bench(
            url,
            payloads=payloads.split(","),
            sizes=sizes,
            formats=None if formats is None else formats.split(","),
            directions=["pull", "push"] if direction == "both" else [direction],
            clients=clients,
            processes=processes,
            budget=None if budget == "none" else budget,
            seed=seed,
            progress=progress,
        )
    _show(result, as_json)
    _save(result, paths)


@command("zbridge bench report monday.json", "zbridge bench report monday.json --save monday.html")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--save",
    "paths",
    metavar="FILE",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report as .html, of one FILE alone.",
)
@json_option
def report(files: tuple[Path, ...], paths: tuple[Path, ...], as_json: bool) -> None:
    """Show what was measured, from the .json that --save wrote."""
    from bridge.bench.result import Result

    if paths and len(files) > 1:
        raise click.UsageError("--save writes the report of one file; name one")
    for path in paths:
        _check_suffix(path)
    for file in files:
        with _typed_wrongly():
            result = Result.load(file)
        _show(result, as_json)
        _save(result, paths)


@command("zbridge bench compare monday.json tuesday.json")
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
@json_option
def compare(before: Path, after: Path, as_json: bool) -> None:
    """Say what became faster or slower between two results on the same computers."""
    from bridge.bench.compare import compare as compare_results
    from bridge.bench.result import Result

    with _typed_wrongly():
        comparison = compare_results(Result.load(before), Result.load(after))
    _show(comparison, as_json)


for _command in (serve, measure, report, compare):
    bench.add_command(_command)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], object]]:
    """Give a function that moves a bar, which is there if a person watches."""
    from tqdm import tqdm

    with tqdm(total=STEPS, bar_format="{bar:20} {elapsed} {desc}", leave=False, disable=None) as bar:

        def show(text: str, part: float) -> None:
            bar.set_description_str(printable(text), refresh=False)
            bar.update(int(min(part, 1.0) * STEPS) - bar.n)

        yield show


@contextmanager
def _typed_wrongly() -> Iterator[None]:
    """Show what is wrong about names, sizes and files as one sentence."""
    try:
        yield
    except (bridge.TransportError, bridge.RemoteError, bridge.WireError):
        raise
    except (ValueError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


def _show(result: Any, as_json: bool) -> None:
    """Print the table, or its rows as JSON."""
    if as_json:
        echo_json(json.loads(result.to_pandas().to_json(orient="records")))
    else:
        echo(result.text())


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".json", ".html"):
        raise click.UsageError(f"{str(path)!r} ends in neither .json nor .html")
    if not path.resolve().parent.is_dir():
        raise click.UsageError(f"there is no directory {str(path.resolve().parent)!r} to write to")


def _save(result: Any, paths: tuple[Path, ...]) -> None:
    for path in paths:
        with _typed_wrongly():
            result.save(path)
        echo(f"{path} written", err=True)
