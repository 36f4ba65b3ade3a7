"""A directory: a catalogue of the files in it that follows what happens there.

A file is listed under its path without the suffix (``run42/wave``), the parts of a file that holds several
under the file's name (``run42/results/mean``). Where two would have the same name, both keep the suffix of
the file.

How it works. Listing walks the tree, but a directory whose time of modification is the same still has the
same files, so only those that changed are read again, and files are not opened but those that hold several
arrays. What is in a file is looked at when it is asked for. Names that a peer sends are looked up in the
catalogue, and never become part of a path. Every file is opened from the directory downwards without
following links: those that stay inside are resolved while listing, those that leave are not listed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NoReturn

from bridge.codecs import BufferReader
from bridge.errors import BridgeError, remote_error
from bridge.sources import Plan, Source, entry_or_reason
from bridge.sources.files import TICK_NS, Stamp, stamp_of
from bridge.sources.formats import FORMATS, is_one_folder, members_of
from bridge.sources.saving import SUFFIXES, path_of, prune, remove, save
from bridge.wire import MAX_NAME

__all__ = ["Directory"]

# The tree is not walked more often than this.
WALK_SECONDS = 0.2
# Links to directories can make a small tree endless.
MAX_FOLDERS = 100_000
HIDDEN = (".", "~")
TEMPORARY = (".tmp", "~")

# No file has it.
_NEVER: Stamp = (0, 0, 0, 0)

_log = logging.getLogger("bridge")


class _Place(NamedTuple):
    """Where something is, which part of it, and what it is called."""

    path: str  # links are resolved in it: it is for nobody's eyes
    file: str  # the file's name, with its suffix, or that of a link to it
    member: str
    short: str  # its name where no other file has the same

    @property
    def full(self) -> str:
        """Its name where another file has the same but for the suffix."""
        return f"{self.file}/{self.member}" if self.member else self.file


class _File(NamedTuple):
    """A file, or a directory that is one table or group of arrays."""

    short: str  # its name without the suffix
    name: str
    path: str


class _Listing(NamedTuple):
    """What was in a directory when it was modified last."""

    stamp: Stamp
    is_one: bool  # the directory is a table
    folders: list[tuple[str, str]]
    singles: list[_File]  # one array or table each: not opened before they are asked for
    several: list[_File]


class Directory:
    """The files in a directory, or one file that holds several arrays, as a catalogue of sources. Thread-safe.

    Parameters
    ----------
    path
        A directory or a file.

    Raises
    ------
    OSError
        If it does not exist.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve(strict=True)
        self._top = path
        is_whole = path.is_dir() and not is_one_folder(path)
        self._root = path if is_whole else path.parent
        self._lock = threading.Lock()
        self._walked = -float("inf")
        self._listings: dict[str, _Listing] = {}
        self._sources: dict[tuple[str, str], tuple[Stamp, dict[str, Source]]] = {}
        self._seen: object = None
        self._catalogue: dict[str, _Place] = {}
        self._names: list[str] = []
        self._refused: set[str] = set()
        self._is_cut = False  # whether it was said that there are too many directories
        self._made: set[str] = set()  # the directories that were made for names

    def names(self) -> list[str]:
        """Return the names of what is there now, sorted."""
        with self._lock:
            self._walk()
            return list(self._names)

    def find(self, name: str) -> Source | None:
        """Return the source of a name, or None if there is none of it now.

        The source is that of the file, whatever is written to it: it goes on giving the latest version.
        """
        with self._lock:
            source = self._source(name)
            if source is None:
                self._walk()
                source = self._source(name)
            return source

    def save(self, name: str, obj: Any, sees: Callable[[str], bool] = lambda _: True) -> None:
        """Write an array or a table to the file of a name; see `bridge.sources.saving`.

        Parameters
        ----------
        sees
            Whether the writer may know of a name here. Files of names that are hidden stay.
        """
        if self._top != self._root:
            raise remote_error("unsupported", "one file is served here, not a directory to write into")
        with self._lock:
            self._check_free(name, path_of(self._root, name), sees)
        try:
            save(self._root, name, obj, replacing=self._replacing(), made=self._made)
        except BaseException:
            with self._lock:
                prune(self._root, name, self._made)
            raise

    def remove(self, name: str) -> None:
        """Remove the file of a name, if it is an array or table of its own."""
        with self._replacing():
            self._walk_now()
            place = self._catalogue.get(name)
            link = place.file if place is not None else ""
            if self._top != self._root or not remove(self._root, name, link=link):
                raise remote_error("unsupported", f"{name!r} is no file that can be removed by itself")
            prune(self._root, name, self._made)

    @contextlib.contextmanager
    def _replacing(self) -> Iterator[None]:
        """Around what is done to files: who looks for a name in the meantime waits, and finds all of it."""
        with self._lock:
            try:
                yield
            finally:
                self._walk_now()

    def _check_free(self, name: str, path: Path, sees: Callable[[str], bool]) -> None:
        """Raise `RemoteError` if a file of this name would not be found under it, or would change another."""
        # Two kinds side by side, as after a crash, are served with their suffixes: names of their own.
        self._walk_now()
        files = [f"{path}{suffix}" for suffix in SUFFIXES]
        replaced = {file for file in files if not Path(file).is_dir()}
        for served, place in self._catalogue.items():
            if name in (served, place.short) and not (place.path in replaced and sees(served)):
                by = PurePosixPath(place.file).name if sees(served) else "another file"
                self._refuse_to_save(name, f"is taken by {by}")
        for folder in path.parents:
            listing = self._listings.get(str(folder))
            if listing is not None and listing.is_one:
                self._refuse_to_save(name, f"would be in {folder.name}, which is served as one")

    def _refuse_to_save(self, name: str, reason: str) -> NoReturn:
        raise remote_error("unsupported", f"{name!r} {reason}; choose another name")

    def entries(self) -> list[dict[str, Any]]:
        """Return the catalogue's entries of all names, each with its ``name``. Every file is opened."""
        found = ((name, self.find(name)) for name in self.names())
        return [entry_or_reason(name, source.entry) for name, source in found if source is not None]

    def _source(self, name: str) -> Source | None:
        place = self._catalogue.get(name)
        return None if place is None else self._sources_in(place.path, place.file).get(place.member)

    def _walk_now(self) -> None:
        self._walked = -float("inf")
        self._walk()

    def _walk(self) -> None:
        """Look at what is there, and make the catalogue anew if it is not the same."""
        if time.monotonic() - self._walked < WALK_SECONDS:
            return
        folders = list(self._folders())
        several = [
            _Place(file.path, prefix + file.name, member, f"{prefix}{file.short}{end}")
            for prefix, listing in folders
            for file in listing.several
            for member in self._sources_in(file.path, prefix + file.name)
            for end in [f"/{member}" if member else ""]
        ]
        if self._seen != (folders, several):
            singles = (
                _Place(path, prefix + name, "", prefix + short)
                for prefix, listing in folders
                for short, name, path in listing.singles
            )
            self._catalogue = self._named([*several, *singles])
            self._names = sorted(self._catalogue)
            files = {(place.path, place.file) for place in self._catalogue.values()}
            self._sources = {file: known for file, known in self._sources.items() if file in files}
            self._seen = folders, several
        self._walked = time.monotonic()

    def _named(self, places: list[_Place]) -> dict[str, _Place]:
        counts = Counter(place.short for place in places)
        catalogue: dict[str, _Place] = {}
        for place in places:
            name = place.short if counts[place.short] == 1 else place.full
            if name in catalogue:
                self._refuse(name, "another file has this name")
            elif not name.isprintable() or len(name.encode()) > MAX_NAME:
                self._refuse(name, f"its name is not 1 to {MAX_NAME} bytes of printable text")
            else:
                catalogue[name] = place
        return catalogue

    def _sources_in(self, path: str, file: str) -> dict[str, Source]:
        """Return what is in a file, looked at again if it was written to since; nothing if it is gone.

        Its errors call it by the name that is given: who sees a link need not see what it leads to.
        """
        try:
            status = os.lstat(path)
        except OSError:
            return {}
        # A source sees for itself what is in its file; what is remembered here are the names in it. The
        # arrays in a directory of zarr may change while that directory is not written to.
        is_folder = stat.S_ISDIR(status.st_mode)
        has_one = _is_single(path) or (is_folder and not path.endswith(".zarr"))
        stamp = (*_NEVER[1:], int(is_folder)) if has_one else stamp_of(status)
        known = self._sources.get((path, file))
        if known is not None and known[0] == stamp:
            return known[1]
        sources: dict[str, Source]
        try:
            sources = members_of(Path(path), beneath=self._root, name=file)
        except BridgeError as exc:
            sources = {"": _Broken(exc)}
        settled = time.time_ns() - status.st_mtime_ns > TICK_NS
        if has_one or (settled and not is_folder):
            self._sources[path, file] = stamp, sources
        return sources

    def _folders(self) -> Iterator[tuple[str, _Listing]]:
        """Yield all directories, by their names with a slash behind, and what is in them."""
        if self._top != self._root:
            file = _File(self._top.stem, self._top.name, str(self._top))
            single = _is_single(file.path)
            yield "", _Listing(_NEVER, False, [], [file] if single else [], [] if single else [file])
            return
        listings: dict[str, _Listing] = {}
        # Level by level: a deep tree beyond the limit hides none of the names above it.
        pending = deque([("", str(self._root), frozenset[str]())])
        room = MAX_FOLDERS - 1
        while pending:
            name, folder, above = pending.popleft()
            try:
                listing = self._listing(folder)
            except OSError:
                continue  # it is gone, or must not be read
            listings[folder] = listing
            outside, _, last = name.rpartition("/")
            if listing.is_one:
                file = _File(PurePosixPath(last).stem, last, folder)
                yield f"{outside}/" if outside else "", listing._replace(several=[file])
                continue
            prefix = f"{name}/" if name else ""
            yield prefix, listing
            above |= {folder}
            inside = [
                (prefix + inner, path, above) for inner, path in listing.folders if path not in above
            ]
            pending += inside[:room]
            if len(inside) > room and not self._is_cut:
                self._is_cut = True
                _log.warning(
                    "more than %d directories are in %s: not served is what is in %r, and in others as deep",
                    MAX_FOLDERS,
                    self._root,
                    inside[room][0][:MAX_NAME],
                )
            room = max(0, room - len(inside))
        self._listings = listings

    def _listing(self, folder: str) -> _Listing:
        status = os.lstat(folder)
        known = self._listings.get(folder)
        if known is not None and known.stamp == stamp_of(status):
            return known
        # A file that comes in the same tick of the clock would not show in the directory's time.
        settled = time.time_ns() - status.st_mtime_ns > TICK_NS
        listing = _Listing(stamp_of(status) if settled else _NEVER, False, [], [], [])
        if folder != str(self._root) and is_one_folder(Path(folder)):
            return listing._replace(is_one=True)
        with os.scandir(folder) as items:
            for item in sorted(items, key=lambda item: item.name):
                if item.name.startswith(HIDDEN) or item.name.endswith(TEMPORARY):
                    continue
                path = item.path
                if item.is_symlink():
                    path = os.path.realpath(path)
                    if not Path(path).is_relative_to(self._root):
                        self._refuse(item.path, "it is a link that leaves the directory")
                        continue
                suffix = _suffix(path)
                if item.is_dir():
                    listing.folders.append((item.name, path))
                elif suffix.lower() in FORMATS and item.is_file():
                    files = listing.singles if _is_single(path) else listing.several
                    files.append(_File(item.name.removesuffix(suffix), item.name, path))
        return listing

    def _refuse(self, name: str, reason: str) -> None:
        if name not in self._refused:
            self._refused.add(name)
            _log.warning("%r in the directory is not served: %s", name[:MAX_NAME], reason)


class _Broken:
    """A file that cannot be read. Reading it says why."""

    in_memory = True

    def __init__(self, error: BridgeError) -> None:
        self._error = error

    def entry(self) -> dict[str, Any]:
        raise self._error

    def skeleton(self) -> None:
        return None

    def plans_quickly(self, select: Any) -> bool:
        return True

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        raise remote_error("failed", str(self._error), "ValueError")


def _is_single(path: str) -> bool:
    """Whether a file is one array or table, and need not be opened to be listed."""
    row = FORMATS.get(_suffix(path).lower())
    return row is not None and row.source is not None


def _suffix(path: str) -> str:
    return path[max(path.rfind("."), path.rfind("/") + 1) :]
