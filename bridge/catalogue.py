"""The names of a server, and what is served under each."""

from __future__ import annotations

import bisect
import difflib
import threading
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

from bridge import wire
from bridge.codecs import strict_json
from bridge.errors import EncodeError, remote_error
from bridge.limits import STANDARD
from bridge.rights import EVERYTHING, Rights
from bridge.sources import Entry, Source, entry_or_reason
from bridge.sources.channel import Channel
from bridge.sources.choose import source_of
from bridge.sources.directory import Directory
from bridge.sources.query import Query

__all__ = ["Catalogue", "Served", "check_name", "entry_of"]

Served: TypeAlias = Source | Query | Channel

# Entries in one page of the catalogue, and the bytes of its header that they may fill.
PAGE_ENTRIES = 500
PAGE_BYTES = STANDARD.reply_header // 2
# A did-you-mean looks at so many names, and at fewer where they are long: comparing two texts takes up to
# 0.2 us for each pair of their letters, in the thread that answers everybody.
SIMILAR_NAMES = 200
SIMILAR_LETTERS = 50_000
MAX_DOC = 20_000


class Catalogue(MutableMapping[str, Any]):
    """Named sources: assign an array, a table or any other object that can be sent."""

    def __init__(self) -> None:
        self._sources: dict[str, Served] = {}
        self._mounts: list[tuple[str, Directory]] = []
        # Held for no longer than it takes to look at a name and to replace what is there.
        self._replacing = threading.Lock()

    def __setitem__(self, name: str, obj: Any) -> None:
        """Serve an object under a name, instead of what was there.

        Raises
        ------
        EncodeError
            If the object cannot be sent exactly; what was served before stays.
        ValueError
            If the name is that of a part of something else, or parts of this have the names of others.
        """
        check_name(name)
        source = obj if isinstance(obj, Query | Channel) else _source_of(name, obj)
        parts = [f"{name}/{member}" for member in _members(source)]
        for part in parts:
            check_name(part)
        with self._replacing:
            taken = next((part for part in parts if part in self._sources), None)
            if taken is not None:
                raise ValueError(
                    f"{taken!r} would be a part of {name!r}, but is served itself; delete it first"
                )
            if self._is_part(name):
                group = name.rpartition("/")[0]
                raise ValueError(f"{name!r} is a part of {group!r} here; serve it under another name")
            self._sources[name] = source

    def __getitem__(self, name: str) -> Served:
        """Return the source that is served under a name, not the object that was assigned."""
        served = self._look_up(name)
        if served is None:
            raise KeyError(_no_such_name(name, self._names()))
        return served

    def __delitem__(self, name: str) -> None:
        """Stop serving what was assigned to a name.

        Raises
        ------
        KeyError
            If there is no such name.
        ValueError
            If it is that of a part of something else, or of a file in a mounted directory.
        """
        if self._sources.pop(name, None) is not None:
            return
        names = self._names()
        if name not in names:
            raise KeyError(_no_such_name(name, names))
        if self._is_part(name):
            group = name.rpartition("/")[0]
            raise ValueError(f"{name!r} is a part of {group!r}; delete that, as a whole")
        raise ValueError(f"{name!r} is a file in a mounted directory; remove the file")

    # Of a Mapping, these would compare what is served, and be false where nothing is.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    @property
    def is_in_memory(self) -> bool:
        """Whether all entries are there without looking at a file."""
        return not self._mounts and all(source.in_memory for source in self._sources.copy().values())

    def mount(self, path: str | Path, *, prefix: str = "") -> None:
        """Serve the files of a directory under their relative paths without suffix, and follow its changes.

        What is assigned to a name goes before a file of that name.

        Parameters
        ----------
        path
            The directory. Links that lead out of it are not followed.
        prefix
            Before each name, for example ``"run42/"``.

        Raises
        ------
        OSError
            If it is no directory that can be read.
        """
        self._mounts.append((prefix, Directory(Path(path))))

    def find(self, name: str, rights: Rights = EVERYTHING) -> Served:
        """Return what is served under a name that a client gave.

        What it may not see is not there.

        Raises
        ------
        RemoteError
            ``not_found``, with the name that was perhaps meant.
        """
        # What is hidden is not looked up: a file that is opened would take its time.
        served = self._look_up(name) if rights.sees(name) else None
        if served is not None:
            return served
        message = _no_such_name(name, rights.visible(self._names()))
        raise remote_error("not_found", message, "KeyError")

    def holds(self, name: str, source: Served) -> bool:
        """Whether a source is what is served from memory under a name, and not from a mounted directory."""
        return self._held(name) is source

    def _held(self, name: str) -> Served | None:
        served = self._sources.get(name)
        if served is None:
            group, _, member = name.rpartition("/")
            served = _members(self._sources.get(group)).get(member)
        return served

    def _names(self) -> list[str]:
        names = set()
        for name, source in self._sources.copy().items():
            names.update([name, *(f"{name}/{member}" for member in _members(source))])
        for prefix, directory in self._mounts:
            names.update(prefix + name for name in directory.names())
        return sorted(names)

    def _look_up(self, name: str) -> Served | None:
        served = self._held(name)
        for prefix, directory in self._mounts:
            if served is None and name.startswith(prefix):
                served = directory.find(name.removeprefix(prefix))
        return served

    def put(self, name: str, obj: Any, rights: Rights = EVERYTHING) -> str:
        """Serve an object that a client sent, and return its version.

        Under a prefix where a directory is mounted it is written to a file there, unless that would take the
        place of a file whose name is hidden.
        """
        self._check_whole(name)
        directory, rest = self._mounted(name)
        if directory is None:
            self[name] = obj
        else:
            prefix = name.removesuffix(rest)
            directory.save(rest, obj, lambda inner: rights.sees(prefix + inner))
        return str(self.find(name, rights).entry().get("version", ""))

    def remove(self, name: str, rights: Rights = EVERYTHING) -> None:
        """Stop serving what a client names; under a mounted directory, remove the file."""
        if self._sources.pop(name, None) is not None:
            return
        self._check_whole(name)
        self.find(name, rights)
        directory, rest = self._mounted(name)
        if directory is not None:
            directory.remove(rest)

    def _mounted(self, name: str) -> tuple[Directory | None, str]:
        """Return the directory that a name is in and its name there; what is assigned goes before."""
        if name in self._sources:
            return None, name
        places = [
            (d, name.removeprefix(prefix)) for prefix, d in self._mounts if name.startswith(prefix)
        ]
        # Of several, the one that has the name already: it is the one that is found.
        having = (place for place in places if place[0].find(place[1]) is not None)
        return next(having, places[0] if places else (None, name))

    def _check_whole(self, name: str) -> None:
        if self._is_part(name):
            group = name.rpartition("/")[0]
            raise remote_error("unsupported", f"{name!r} is a part of {group!r}; write that as a whole")

    def _is_part(self, name: str) -> bool:
        group, _, member = name.rpartition("/")
        return member in _members(self._sources.get(group))

    def append(self, name: str, rows: Any, rights: Rights = EVERYTHING) -> int:
        """Add rows that a client sent to a channel, or to a table or array; return how many there are.

        Raises
        ------
        RemoteError
            If there is no such name, or the rows do not fit.
        """
        served = self.find(name, rights)
        self._check_whole(name)
        try:
            return self._extended(served, name, rows, rights)
        except EncodeError as exc:
            raise remote_error("bad_request", str(exc), "TypeError") from exc

    def _extended(self, served: Served, name: str, rows: Any, rights: Rights) -> int:
        while not isinstance(served, Channel):
            if isinstance(served, Query) or not hasattr(served, "appended"):
                raise remote_error(
                    "unsupported", f"{name!r} takes no rows; append to a channel or a table"
                )
            extended = served.appended(rows)
            source = _source_of(name, extended)
            with self._replacing:
                if self._sources.get(name) is served:
                    self._sources[name] = source
                    return len(extended)
            # Of two clients that append at once, the second adds its rows to those of the first.
            served = self.find(name, rights)
        return served.append(rows)

    def page(
        self, after: str, limit: int | None = None, rights: Rights = EVERYTHING
    ) -> tuple[list[Entry], bool]:
        """Return the entries that follow a name, in the order of names, and whether there are more.

        What may not be seen is left out. Of the docstrings only the first lines are in them.
        """
        names = rights.visible(self._names())
        start = bisect.bisect_right(names, after)
        entries: list[Entry] = []
        size = 0
        for name in names[start : start + min(PAGE_ENTRIES if limit is None else limit, PAGE_ENTRIES)]:
            source = self._look_up(name)
            if source is None:  # it went a moment ago
                continue
            entry = entry_of(name, source)
            entry["doc"] = entry["doc"].partition("\n")[0]
            size += len(strict_json.dumps(entry))
            if size > PAGE_BYTES and entries:
                break
            entries.append(entry)
        return entries, bool(names) and (entries[-1]["name"] if entries else after) < names[-1]


def entry_of(name: str, source: Served) -> Entry:
    """Return the entry of a source in the catalogue: a JSON object."""
    entry = entry_or_reason(name, source.entry)
    entry["doc"] = entry.get("doc", "")[:MAX_DOC]
    return entry


def _source_of(name: str, obj: Any) -> Source:
    source = source_of(obj)
    nbytes = len(strict_json.dumps(entry_of(name, source)))
    if nbytes > PAGE_BYTES:
        raise EncodeError(
            f"the entry of {name!r} in the catalogue would have {nbytes} bytes; at most {PAGE_BYTES}: "
            "use fewer or shorter names of fields or parameters"
        )
    return source


def _no_such_name(name: Any, names: Sequence[str]) -> str:
    """Return the sentence that says that a name is not there, with the one that was perhaps meant."""
    close = difflib.get_close_matches(str(name), _compared(str(name), names), n=1)
    if close:
        return f"no {name!r} here; did you mean {close[0]!r}?"
    return f"no {name!r} here; there {'is 1 name' if len(names) == 1 else f'are {len(names)} names'}"


def _compared(name: str, names: Sequence[str]) -> list[str]:
    """Return the first of the names, as many as it takes little time to compare with one."""
    letters = accumulate(len(name) * len(other) for other in names[:SIMILAR_NAMES])
    return [other for other, so_far in zip(names, letters, strict=False) if so_far <= SIMILAR_LETTERS]


def _members(served: Served | None) -> Mapping[str, Source]:
    """What is served below the name of something that consists of several arrays."""
    members: Mapping[str, Source] = getattr(served, "members", {})
    return members


def check_name(name: Any) -> None:
    """Raise `TypeError` or `ValueError` if nothing can be served under a name."""
    if not isinstance(name, str):
        raise TypeError(f"a name is text, not {type(name).__name__} ({name!r})")
    if not 0 < len(name.encode("utf-8", "replace")) <= wire.MAX_NAME or not name.isprintable():
        raise ValueError(f"the name {name[:60]!r} is not 1 to {wire.MAX_NAME} bytes of printable text")
