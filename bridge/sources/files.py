"""Files, read by range when they are asked for: a file of any size is served in the memory of a few windows.

Files are read with ``pread`` and never mapped: a mapped file that is cut short kills the process that
looks at it. Each answer holds the file open, so a file that is replaced by renaming goes on being the old
one for those who are reading it. One that is rewritten in place is noticed after every read, by its size and
modification time, and the answer is ``changed``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from bridge.errors import BridgeError, remote_error

__all__ = [
    "FileRange",
    "Folder",
    "OpenFile",
    "SeekableFile",
    "Stamp",
    "changed",
    "failure_of",
    "reading",
    "stamp_of",
    "version_of",
]

# A file that was written to in one tick of the system's clock may be written to again in the same tick, and
# its time of modification does not tell. The slowest clock in use ticks every 10 ms.
TICK_NS = 10_000_000
# A file that is written to all the time is not waited for.
MAX_TICKS = 3

# A reason that is longer is not one sentence.
MAX_REASON = 300

# What changes when a file is replaced or written to: device, inode, size, time of modification.
Stamp: TypeAlias = tuple[int, int, int, int]


class Stamped(Protocol):
    """What can say that it is no longer what it was."""

    name: str

    def check(self) -> None:
        """Raise `RemoteError` with ``changed`` if it was written to since it was opened."""


class OpenFile:
    """A file that is open for reading, and is closed when nobody holds it any more.

    Parameters
    ----------
    path
        A regular file.
    beneath
        A directory that the file must not leave: no component of `path` below it may be a symbolic
        link. None for a path that is trusted.
    name
        What messages call it; by default the last component of the path. Never the path itself: where that
        was reached through a link, it holds names that not everybody may know.

    Attributes
    ----------
    name : str
        What messages call it.
    descriptor : int
        The system's, at position 0: everything else is read by offset.
    nbytes : int
        Its size.
    stamp : tuple
        See `Stamp`.
    version : str
        Changes when the file is replaced, and when it is written to.

    Raises
    ------
    OSError
        If it cannot be opened.
    ValueError
        If it is no regular file.
    """

    def __init__(self, path: Path, *, beneath: Path | None = None, name: str = "") -> None:
        self.name = name or path.name
        self.descriptor = _open(path) if beneath is None else _open_beneath(path, beneath)
        status = os.fstat(self.descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{self.name} is no regular file")
        self.stamp = self._settled(status)
        self.nbytes = self.stamp[2]
        self.version = version_of(self.stamp)
        self._lock = threading.Lock()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self.descriptor)

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return a range of the file's bytes.

        Raises
        ------
        RemoteError
            ``changed`` if the file was written to since it was opened.
        """
        pieces = []
        left = nbytes
        while left:
            piece = self._pread(left, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            left -= len(piece)
        # After reading: what was written in the meantime shows in the time of modification.
        self.check()
        if left:
            raise changed(self.name)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_into(self, part: memoryview, offset: int) -> None:
        """Fill a part of memory with the file's bytes from an offset on.

        Raises
        ------
        RemoteError
            ``changed`` if the file was written to since it was opened.
        """
        while part and (count := self._pread_into(part, offset)):
            offset += count
            part = part[count:]
        self.check()  # as in `read`
        if part:
            raise changed(self.name)

    def check(self) -> None:
        """Raise `RemoteError` with ``changed`` if it was written to since it was opened."""
        if stamp_of(os.fstat(self.descriptor)) != self.stamp:
            raise changed(self.name)

    def _pread(self, nbytes: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self.descriptor, nbytes, offset)
        with self._lock:  # Windows
            os.lseek(self.descriptor, offset, os.SEEK_SET)
            return os.read(self.descriptor, nbytes)

    def _pread_into(self, part: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.descriptor, [part], offset)
        data = self._pread(len(part), offset)
        part[: len(data)] = data
        return len(data)

    def _settled(self, status: os.stat_result) -> Stamp:
        """Return a stamp that a later write is sure to change."""
        for _ in range(MAX_TICKS):
            age = time.time_ns() - status.st_mtime_ns
            if not 0 <= age < TICK_NS:
                break
            time.sleep((TICK_NS - age) / 1e9)
            status = os.fstat(self.descriptor)
        return stamp_of(status)


class FileRange:
    """A range of a file's bytes, as a buffer: it has a length, and a slice of it is read when it is made.

    Parameters
    ----------
    file
        The open file.
    start, nbytes
        The range.
    """

    __slots__ = ("_file", "_nbytes", "_start")

    def __init__(self, file: OpenFile, start: int, nbytes: int) -> None:
        self._file = file
        self._start = start
        self._nbytes = nbytes

    def __len__(self) -> int:
        return self._nbytes

    def __getitem__(self, part: slice) -> bytes:
        start, stop, step = part.indices(self._nbytes)
        if step != 1:
            raise ValueError(f"a range of a file is read forward, not in steps of {step}")
        return self._file.read(self._start + start, max(0, stop - start))

    def read_into(self, part: memoryview, start: int) -> None:
        """Fill a part of memory with the range's bytes from `start` on; see `OpenFile.read_into`."""
        self._file.read_into(part, self._start + start)


class _Position:
    value = 0


class _PositionOfThread(threading.local):
    value = 0


class SeekableFile(io.RawIOBase):
    """An `OpenFile` with a position, for libraries that read Python's files. Not thread-safe.

    Parameters
    ----------
    file
        What it reads from; anything else with ``nbytes`` and ``read(offset, nbytes)`` does as well.
    each_thread
        Whether each thread has a position of its own. Then threads that seek before they read do not
        disturb each other.
    """

    def __init__(self, file: Any, *, each_thread: bool = False) -> None:
        super().__init__()
        self._file = file
        self._position = _PositionOfThread() if each_thread else _Position()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._file.nbytes}[whence]
        self._position.value = base + offset
        return self.tell()

    def tell(self) -> int:
        return self._position.value

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._file.nbytes - self.tell())
        size = left if size is None or size < 0 else min(size, left)
        data: bytes = self._file.read(self.tell(), size)
        self._position.value += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


class Folder:
    """The files in a directory and below, which together have one version.

    Parameters
    ----------
    path
        The directory.
    wanted
        Which files count, by their paths in it.
    beneath, name
        As for `OpenFile`.

    Attributes
    ----------
    name : str
        What messages call it.
    stamps : dict
        Of the files, by their paths in the directory, sorted.
    version : str
        Changes when a file comes, goes, or is written to.

    Raises
    ------
    RemoteError
        If it cannot be listed, or holds a symbolic link: the libraries that read such directories would
        follow it anywhere.
    """

    def __init__(
        self,
        path: Path,
        *,
        wanted: Callable[[str], bool] = bool,
        beneath: Path | None = None,
        name: str = "",
    ) -> None:
        self.name = name or path.name
        self._is_trusted = beneath is None
        self._path = path
        self._wanted = wanted
        self.stamps = self._look()
        self.version = version_of(self.stamps)

    def check(self) -> None:
        """Raise `RemoteError` with ``changed`` if it is not the same any more."""
        if self._look() != self.stamps:
            raise changed(self.name)

    def _look(self) -> dict[str, Stamp]:
        try:
            if not self._is_trusted and self._path.resolve() != self._path:
                raise remote_error("failed", f"{self.name} is behind a symbolic link")
            found = _stamps(self._path, "")
            return dict(sorted(item for item in found if self._wanted(item[0])))
        except OSError as exc:
            raise failure_of(self.name, exc) from exc


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what changes in a file's status when it is replaced or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def version_of(stamp: object) -> str:
    """Return a version: the same for the same stamp, also after a restart of the server."""
    return hashlib.blake2b(repr(stamp).encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def reading(file: Stamped) -> Iterator[None]:
    """Around all that a library does with a file: what is read is one version of it, or an error.

    Raises
    ------
    RemoteError
        ``changed`` if the file was written to in the meantime: then the library read a mixture, whatever
        it made of it. ``failed`` with the library's reason if the file is broken.
    """
    try:
        yield
    except (BridgeError, MemoryError):
        raise
    except Exception as exc:
        file.check()
        raise failure_of(file.name, exc) from exc
    file.check()


def failure_of(name: str, error: Exception) -> BridgeError:
    """Return the error that says why a file cannot be read; never with its place on this computer."""
    if isinstance(error, BridgeError):
        return error
    if isinstance(error, FileNotFoundError):
        return remote_error("not_found", f"{name} is not there any more", "KeyError")
    reason = (error.strerror or "") if isinstance(error, OSError) else ""
    lines = (reason or str(error)).strip().splitlines() or [type(error).__name__]
    return remote_error("failed", f"{name} cannot be read: {lines[0][:MAX_REASON]}", "ValueError")


def changed(name: str) -> BridgeError:
    """Return the error that says that a file is no longer what it was when reading it began."""
    return remote_error("changed", f"{name} was changed while it was being read; read it again")


# Without NONBLOCK a FIFO in the place of the file would wait for its writer.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def _open(path: Path) -> int:
    return os.open(path, _FLAGS)


def _open_beneath(path: Path, root: Path) -> int:
    """Open a file step by step from a directory, so that a link that is put in its way is not followed."""
    *folders, last = path.relative_to(root).parts
    if os.open not in os.supports_dir_fd:  # Windows, where making links takes rights
        if path.resolve() != path:
            raise OSError(f"{path.name} is behind a symbolic link")
        return _open(path)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            outer = folder
            folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=outer)
            os.close(outer)
        return os.open(last, _FLAGS | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _stamps(folder: Path, prefix: str) -> Iterator[tuple[str, Stamp]]:
    with os.scandir(folder) as items:
        for item in items:
            name = prefix + item.name
            if item.is_symlink():
                raise remote_error("failed", f"{name} is a symbolic link, which is not followed")
            if item.is_dir():
                yield from _stamps(folder / item.name, f"{name}/")
            else:
                yield name, stamp_of(item.stat(follow_symlinks=False))
