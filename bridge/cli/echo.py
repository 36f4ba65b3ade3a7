"""What the commands print: all of it goes through here, and nothing in it commands a terminal.

Names, texts and errors may be a server's. What is for people is escaped wherever it goes; data is exact, and
escaped where a person sees it.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click

from bridge.errors import printable

__all__ = ["echo", "echo_data", "echo_json", "json_text"]

# What JSON may have as it is, and a terminal takes for more than a character; and halves of surrogate pairs.
_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print what is for people."""
    click.echo(printable(text), err=err, nl=nl)


def echo_data(text: str, *, nl: bool = True) -> None:
    """Print data: into files and pipes as it is."""
    # Without color=True click would leave out of a pipe what it takes for colours.
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=nl, color=True)


def echo_json(value: Any) -> None:
    """Print JSON as one line."""
    click.echo(json_text(value))


def json_text(value: Any) -> str:
    r"""Return JSON as one line, which means the same and has nothing that a terminal would obey.

    Examples
    --------
    >>> print(json_text("é \x9b"))
    "é \u009b"
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
