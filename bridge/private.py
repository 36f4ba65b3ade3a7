"""Files that nobody but their owner can read or change.

They are never changed in place: a new file is made, which nobody else can be making at the same time, and put
in the place of the old one. One that others can read, or could have changed, is refused.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bridge.errors import TransportError

__all__ = ["changing", "create", "read", "stamp"]


def read(path: Path) -> str | None:
    """Return the text of a file that nobody else can read; None if it is not there."""
    with _errors_named():
        try:
            file = open(path, encoding="utf-8", opener=_open_at_once)  # noqa: SIM115
        except FileNotFoundError:
            return None
        with file:
            status = os.fstat(file.fileno())
            _check_private(path.parent, path.parent.stat())
            _check_private(path, status)
            if not stat.S_ISREG(status.st_mode):
                raise TransportError(f"{path} is no file")
            try:
                return file.read()
            except UnicodeDecodeError as exc:
                raise TransportError(f"{path} is no text: {exc}") from exc


@contextlib.contextmanager
def changing(path: Path) -> Iterator[list[str]]:
    """Lend a list of lines, and make them the file. Who comes at the same time is refused."""
    new = path.with_name(f"{path.name}.new")
    try:
        create(new, "")
    except FileExistsError as exc:
        raise TransportError(
            f"{path} is being changed by somebody else; if that goes on, a change was cut off: remove {new}"
        ) from exc
    with _errors_named():
        try:
            lines: list[str] = []
            yield lines
            new.write_text("".join(f"{line}\n" for line in lines), "utf-8")
            new.replace(path)
        except BaseException:
            new.unlink()
            raise


def create(path: Path, text: str) -> None:
    """Make a file that is new, and nobody else's from its first moment; the directories that it needs too.

    Raises
    ------
    FileExistsError
        If it is there already.
    TransportError
        If it cannot be made.
    """
    with _errors_named():
        for directory in reversed(path.parents):  # each: those that mkdir adds by itself are everybody's
            if not directory.exists():
                directory.mkdir(mode=0o700, exist_ok=True)
        _check_private(path.parent, path.parent.stat())
        _create(path, text)


def _create(path: Path, text: str) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)


def _open_at_once(path: str, flags: int) -> int:
    """Open what may be a pipe without waiting for somebody who writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_private(path: Path, status: os.stat_result) -> None:
    # Elsewhere, the home directory has its own protection, and there is no mode.
    if os.name != "posix":
        return
    mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
    if status.st_uid != os.geteuid():
        raise TransportError(f"{path} belongs to another user, and is not used")
    if status.st_mode & 0o077:
        raise TransportError(f"others can read {path}, so it is not used; run: chmod {mode} {path}")


def stamp(path: Path) -> object:
    """Return what changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    # The time of the last change of the status too: that of the contents can be set to what it was.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


@contextlib.contextmanager
def _errors_named() -> Iterator[None]:
    try:
        yield
    except (TransportError, FileExistsError):
        raise
    except OSError as exc:
        raise TransportError(f"{exc.filename}: {exc.strerror}") from exc
