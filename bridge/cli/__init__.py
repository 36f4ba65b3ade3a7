"""The command ``zbridge``.

One file per group of commands; what is heavy is imported inside them, so that ``zbridge --help`` answers at
once. Data goes to stdout, what is for people to stderr.

Exit codes: 0 done, 1 a mistake in what was typed, 2 the server is not reached or does not answer, 3 it answers
with a failure; and as shells have it, 128 and the number of the signal that ended the command.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import bridge
from bridge.cli import bench, demo, fetch, keys, live, look, serve
from bridge.cli.echo import echo

__all__ = ["commands", "main"]

USAGE, UNREACHABLE, REMOTE = 1, 2, 3
# The number of SIGPIPE, which is what ends other programs when nobody reads on.
BROKEN_PIPE = 13

# The first class that fits.
EXIT_CODES: tuple[tuple[type[bridge.BridgeError], int], ...] = (
    (bridge.EncodeError, USAGE),
    (bridge.TransportError, UNREACHABLE),
    (bridge.BridgeError, REMOTE),
)

# \b keeps the lines as they are.
EPILOG = """\b
Examples:
  zbridge serve data/
  zbridge ls
  zbridge get weather -o weather.parquet

\b
To have bash complete commands and names; zsh_source and fish_source do the same:
  eval "$(_ZBRIDGE_COMPLETE=bash_source zbridge)"
"""


class QuietGroup(click.Group):
    """Commands that end without a word when nobody reads what they print, as in ``zbridge ls | head``."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still buffered is written when Python ends, and would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(128 + BROKEN_PIPE)


@click.group(cls=QuietGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="zbridge")
def commands() -> None:
    """Arrays and DataFrames that live on another computer.

    The server is that of --url, else of $BRIDGE_URL, else the one on this computer.
    """


for _command in (
    serve.serve,
    look.ls,
    look.info,
    fetch.get,
    fetch.put,
    live.call,
    live.follow,
    look.ping,
    keys.keys,
    keys.trust,
    bench.bench,
    demo.demo,
):
    commands.add_command(_command)


def main(args: Sequence[str] | None = None, prog_name: str = "zbridge") -> NoReturn:
    """Run the command, and exit with its code.

    Parameters
    ----------
    args
        By default those of the process.
    prog_name
        How the command calls itself.
    """
    _exit_on_signals()
    try:
        code = commands.main(args, prog_name, standalone_mode=False)
    except click.Abort:  # Ctrl-C
        sys.exit(128 + signal.SIGINT)
    except click.ClickException as exc:
        shown = io.StringIO()
        exc.show(shown)
        echo(shown.getvalue(), err=True, nl=False)
        sys.exit(USAGE)
    except bridge.BridgeError as exc:
        echo(f"Error: {exc}", err=True)
        sys.exit(next(code for error, code in EXIT_CODES if isinstance(exc, error)))
    except Exception:  # a bug, which may be told in the words of a server
        echo(traceback.format_exc(), err=True, nl=False)
        sys.exit(USAGE)
    sys.exit(code or 0)


def _exit_on_signals() -> None:
    """Have the signals that end a process leave no half-written file behind."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
