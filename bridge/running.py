"""Which servers of this user run on this computer, for those who come through ssh and know no port.

As long as it runs, a server that all of its computer reaches has the file ``servers/PORT@COMPUTER`` beside the
user's keys, with its process id: home directories are shared by computers, and programs are killed. Windows has
no shell that would find them.
"""

from __future__ import annotations

import atexit
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

# For the shell of a user who logs in, also for csh and fish. Says nothing of those that do not run any more.
FIND: Final = (
    """exec sh -c 'exec 2> /dev/null; cd "${BRIDGE_HOME:-$HOME/.zbridge}/servers" || exit; """
    """for file in *@"$(uname -n)"; do """
    """read -r pid < "$file" && kill -0 "$pid" && echo "zbridge ${file%%@*}"; done'"""
)
_FOUND: Final = re.compile(r"zbridge ([1-9][0-9]{0,4})")
# Where the loopback of IPv4 leads to, at which ssh arrives.
_REACHED: Final = re.compile(r"tcp://(?:127\.0\.0\.1|0\.0\.0\.0|\[::\]):([0-9]+)")


def enter(url: str) -> Callable[[], None]:
    """Have the server at a URL be found, until what is returned is called or the program ends.

    It is a convenience: where the directory of keys cannot be written to, or is not this user's, nothing is
    done.
    """
    match = _REACHED.fullmatch(url)
    if match is None or os.name != "posix" or not _is_ours(home()):
        return _nothing
    file = home() / "servers" / f"{match[1]}@{os.uname().nodename}"
    pid = os.getpid()

    def leave() -> None:
        if os.getpid() == pid:  # a forked child is not the server
            atexit.unregister(leave)
            _remove(file, pid)

    with contextlib.suppress(OSError, TransportError):
        _sweep(file.parent)
        with private.changing(file) as lines:
            lines.append(str(pid))
    atexit.register(leave)
    return leave


def found(said: str) -> list[int]:
    """Return the ports that `FIND` told, whatever else the shell had to say."""
    return sorted({int(match[1]) for line in said.splitlines() if (match := _FOUND.fullmatch(line))})


def _is_ours(directory: Path) -> bool:
    """Whether a directory, or the one that it would be made in, belongs to this user.

    Not that of who called sudo, who could not use it any more once root had made it; and not what would be
    named "~" in the working directory of a user without a home.
    """
    if any(part.startswith("~") for part in directory.parts):
        return False
    with contextlib.suppress(OSError):
        there = next(path for path in (directory, *directory.parents) if path.exists())
        return there.stat().st_uid == os.geteuid()
    return False


def _sweep(directory: Path) -> None:
    """Remove the files of servers of this computer that are gone."""
    for file in directory.glob(f"*@{os.uname().nodename}"):
        with contextlib.suppress(OSError):
            if not _runs(file):
                file.unlink(missing_ok=True)


def _runs(file: Path) -> bool:
    try:
        os.kill(int(file.read_text("ascii")), 0)
    # It is gone; or the number is somebody else's now, or never was one.
    except (ProcessLookupError, PermissionError, ValueError, OverflowError):
        return False
    return True


def _remove(file: Path, pid: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        if int(file.read_text("ascii")) == pid:
            file.unlink()


def _nothing() -> None:
    """Do nothing: it was never entered."""
