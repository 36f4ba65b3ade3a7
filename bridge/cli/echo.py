"""What the commands print: all of it goes through here, and nothing in it commands a terminal.

Names, texts and errors may be a server's. What is for people is escaped wherever it goes; data is exact, and
escaped where a person sees it.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from bridge.errors import printable

__all__ = ["DataStream", "echo", "echo_data", "echo_json", "json_pieces", "json_text"]

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

# Characters of data that are printed together.
PIECE = 64 * 1024

# What JSON may have as it is, and a terminal takes for more than a character; and halves of surrogate pairs.
_ESCAPED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print what is for people."""
    click.echo(printable(text), err=err, nl=nl)


def echo_data(text: str, *, nl: bool = True) -> None:
    """Print data: into files and pipes as it is, but for what has no bytes there."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    # Without color=True click would leave out of a pipe what it takes for colours.
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=nl, color=True)


class DataStream(io.TextIOBase):
    """A file whose text is printed as data, by the piece: of a long one, not all is in memory."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._waiting = 0

    def write(self, text: str) -> int:
        """Print some more, perhaps later."""
        self._texts.append(text)
        self._waiting += len(text)
        if self._waiting >= PIECE:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Print what waits."""
        if self._waiting:
            echo_data("".join(self._texts), nl=False)
        self._texts.clear()
        self._waiting = 0


def echo_json(value: Any) -> None:
    """Print JSON as one line."""
    stream = DataStream()
    stream.writelines(json_pieces(value))
    stream.write("\n")
    stream.flush()


def json_text(value: Any) -> str:
    r"""Return JSON as one line, which means the same and has nothing that a terminal would obey.

    Examples
    --------
    >>> print(json_text("é \x9b"))
    "é \u009b"
    """
    return "".join(json_pieces(value))


def json_pieces(value: Any) -> Iterator[str]:
    """Yield the pieces of `json_text`: one text that occurs often in a value is in memory once."""
    for piece in _encoder.iterencode(value):
        yield _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", piece)
