"""What several commands take: the server, JSON, and names that the shell completes."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import click

__all__ = ["command", "json_option", "name_argument", "output_options", "url_option"]

# How long the shell waits for the names of a server, beyond the start of Python.
COMPLETION_SECONDS = 0.4

# What every shell, and click as it speaks with each, takes for one plain word. A shell puts a completion into
# the command line as it is, and runs that: `x;rm -r ~` would be a command. A word that begins with - is an
# option, of one with ~ or = zsh makes a path, of one with @ PowerShell a list.
PLAIN_WORD = re.compile(r"[\w./][\w./:@=+-]*")

Decorator: TypeAlias = Callable[[Any], Any]

url_option: Decorator = click.option(
    "--url", help="The server; by default $BRIDGE_URL, else tcp://127.0.0.1:5555."
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def command(*examples: str, name: str | None = None) -> Decorator:
    """Return the decorator for a command, whose help ends with examples. They are run by the tests."""
    # \b keeps the lines as they are.
    return click.command(
        name, epilog="\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in examples)])
    )


def name_argument(*kinds: str, metavar: str = "NAME") -> Decorator:
    """Return the argument for a name on the server, completed with the names of some kinds, or of all.

    Only with those that mean nothing to a shell; the others are typed, in quotes.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        entries = _entries_soon(ctx.params.get("url"))
        return [
            entry["name"]
            for entry in entries
            if entry["name"].startswith(incomplete)
            and PLAIN_WORD.fullmatch(entry["name"])
            and (not kinds or entry.get("kind") in kinds)
        ]

    return click.argument("name", metavar=metavar, shell_complete=complete)


def output_options(function: Any) -> Any:
    """Let a command write what it fetched to a file or to stdout."""
    from bridge.cli.files import FORMS

    function = click.option(
        "--format", "form", type=click.Choice(FORMS), help="What to write, whatever the suffix."
    )(function)
    return click.option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write to a .npy, .parquet, .arrow or .csv file, or with - to stdout.",
    )(function)


def _entries_soon(url: str | None) -> list[dict[str, Any]]:
    """Return the catalogue of a server, or nothing where that fails or takes too long."""
    entries: queue.SimpleQueue[list[dict[str, Any]]] = queue.SimpleQueue()

    def fetch() -> None:
        found: list[dict[str, Any]] = []
        with contextlib.suppress(Exception):  # nobody wants to see it in the middle of a command line
            import bridge

            with bridge.connect(url, timeout=COMPLETION_SECONDS) as b:
                found = b.entries()
        entries.put(found)

    threading.Thread(target=fetch, daemon=True).start()
    try:
        return entries.get(timeout=COMPLETION_SECONDS)
    except queue.Empty:
        return []
