"""Which servers of this user run on this computer, for those who come through ssh and know no port.

As long as it runs, a server that all of its computer reaches has the file ``servers/COMPUTER-PORT`` beside the
user's keys, with its process id: home directories are shared by computers, and programs are killed. Windows has
no shell that would find them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge import private
from bridge.errors import TransportError
from bridge.keys import home

__all__ = ["FIND", "enter", "found"]

# For the shell of a user who logs in, whichever it is. What says nothing is no server, or none any more.
FIND: Final = (
    """exec sh -c 'cd "${BRIDGE_HOME:-$HOME/.zbridge}/servers" && for file in "$(uname -n)"-*; do """
    """read -r pid < "$file" && kill -0 "$pid" && echo "zbridge ${file##*-}"; done' 2> /dev/null"""
)
_FOUND: Final = re.compile(r"zbridge ([1-9][0-9]{0,4})")
# Where the loopback of IPv4 leads to, at which ssh arrives.
_REACHED: Final = re.compile(r"tcp://(?:127\.0\.0\.1|0\.0\.0\.0|\[::\]):([0-9]+)")


def enter(url: str) -> Callable[[], None]:
    """Have the server at a URL be found, until what is returned is called.

    It is a convenience: a home directory that cannot be written to, or that others can read, is left alone.
    """
    match = _REACHED.fullmatch(url)
    if match is None or os.name != "posix":
        return _nothing
    file = home() / "servers" / f"{os.uname().nodename}-{match[1]}"
    with contextlib.suppress(OSError, TransportError):
        _sweep(file.parent)
        file.unlink(missing_ok=True)  # the port is ours, so whoever had it is gone
        private.create(file, f"{os.getpid()}\n")
    return lambda: _leave(file)


def found(said: str) -> list[int]:
    """Return the ports that `FIND` told, whatever else the shell had to say."""
    return sorted({int(match[1]) for line in said.splitlines() if (match := _FOUND.fullmatch(line))})


def _sweep(directory: Path) -> None:
    """Remove the files of servers of this computer that are gone."""
    for file in directory.glob(f"{os.uname().nodename}-*"):
        try:
            os.kill(int(file.read_text("ascii")), 0)
        except (ProcessLookupError, ValueError):
            file.unlink(missing_ok=True)


def _leave(file: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        if int(file.read_text("ascii")) == os.getpid():  # a forked child is not the server
            file.unlink()


def _nothing() -> None:
    """Do nothing: it was never entered."""
