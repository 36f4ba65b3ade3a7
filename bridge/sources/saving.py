"""Writing arrays and tables into a directory, so that a crash leaves the old file or the new one.

The only place where a peer's text becomes a path. A name is cut into parts that are each plain (`_PART`),
and the way to the file is walked from the directory downwards, part by part, without following links. The
file is written under a temporary name, flushed to the disk, and renamed. What is no file, such as a link
that the owner made, is never replaced. Directories that were made for a name since this process was started go
with the last file in them; those that the owner made stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from bridge import codecs
from bridge.codecs.dtypes import to_wire
from bridge.errors import EncodeError, RemoteError, an, remote_error
from bridge.sources.parquet import PART_PREFIXES

__all__ = ["SUFFIXES", "path_of", "prune", "remove", "save"]

# One part of a name: a letter, digit or underscore, then these and " .-". So no "..", nothing hidden, no
# separators of any system, and nothing that a shell or a terminal takes for more than a name.
_PART = re.compile(r"\w[\w .-]*")
# Systems take 255 bytes; a number and a suffix are put behind it.
MAX_PART_BYTES: Final = 200
MAX_PARTS: Final = 16
TEMPORARY: Final = ".tmp"
# How often the way to a file is made, where others remove its directories because they are still empty.
TRIES: Final = 10
# Written for the same name, one takes the place of the other.
SUFFIXES: Final = (".npy", ".parquet")
# A directory that is called so is one table, one group of arrays, or not looked into.
_MEANS_MORE: Final = (*SUFFIXES, ".zarr", TEMPORARY)


def save(
    root: Path, name: str, obj: Any, *, replacing: AbstractContextManager[object], made: set[str]
) -> None:
    """Write an array as ``.npy``, or a table as ``.parquet``, to the file of a name.

    Parameters
    ----------
    root
        The directory. Directories below it are made as the name needs them.
    name
        Of the catalogue, without a suffix.
    obj
        A numpy array; a DataFrame or an Arrow table, which come back as an Arrow table.
    replacing
        Held while the complete file takes the place of the one before, which may be of the other kind.
    made
        The directories that are made for names are added to it, also where this fails: see `prune`.

    Raises
    ------
    RemoteError
        ``bad_request`` if the name cannot be one of a file, ``unsupported`` if objects of this kind have no
        file, ``failed`` if the system does not let it be written.
    EncodeError
        If the file would not give back the same.
    """
    *folders, last = _parts(name)
    suffix, write = _writer_of(obj)
    if suffix == ".parquet" and last.startswith(PART_PREFIXES):
        raise remote_error(
            "bad_request",
            f"{last[:60]!r} is what a part of a larger table is called; choose another name",
            "ValueError",
        )
    temporary = f"{last}-{secrets.token_hex(8)}{TEMPORARY}"
    with _told(name), _new_file(root, folders, temporary, made) as (folder, descriptor):
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            with replacing:
                before = _files(name, folder)
                os.rename(temporary, last + suffix, src_dir_fd=folder, dst_dir_fd=folder)
                for old in before:
                    if old != last + suffix:
                        _unlink(old, folder)
        except BaseException:
            with contextlib.suppress(OSError):
                _unlink(temporary, folder)
            raise
        os.fsync(folder)


def remove(root: Path, name: str, *, link: str = "") -> bool:
    """Remove the file that `save` writes for a name, and return whether there was one.

    Parameters
    ----------
    root, name
        As for `save`.
    link
        The name with a suffix, if what is served under it is a link: that may be removed too.
    """
    files: list[str] = []
    folders = _parts(name)[:-1]
    with _told(name), contextlib.suppress(FileNotFoundError), _folder(root, folders) as folder:
        files = _files(name, folder, link=link)
        for file in files:
            _unlink(file, folder)
        os.fsync(folder)
    return bool(files)


def prune(root: Path, name: str, made: set[str]) -> None:
    """Remove the directories on the way to a name that were made for names, and are empty now.

    Not to be called by two threads at the same time.
    """
    *folders, _ = _parts(name)
    while folders:
        place = "/".join(folders)
        last = folders.pop()
        if place not in made:  # if it is there, it keeps those above it from being removed
            continue
        made.discard(place)  # before: who makes it again in the meantime adds it again
        try:
            with contextlib.suppress(FileNotFoundError), _folder(root, folders) as outer:
                os.rmdir(last, dir_fd=outer)
        except (OSError, RemoteError):  # there is something in it, or it is no directory any more
            made.add(place)
            return


def _files(name: str, folder: int, *, link: str = "") -> list[str]:
    """Return the files of a name that are there, and may be replaced or removed. Anything else is refused."""
    last = _parts(name)[-1]
    files = []
    for suffix in SUFFIXES:
        try:
            mode = os.stat(last + suffix, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        if not (stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and name + suffix == link)):
            raise remote_error(
                "unsupported",
                f"{name!r} cannot be written: {last + suffix} is a link, or no file, and stays; whoever runs "
                "the server can remove it",
            )
        files.append(last + suffix)
    return files


def _unlink(file: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file, dir_fd=folder)


def path_of(root: Path, name: str) -> Path:
    """Return where `save` writes, but for the suffix.

    Raises
    ------
    RemoteError
        ``bad_request`` if the name cannot be one of a file.
    """
    return root.joinpath(*_parts(name))


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if len(parts) > MAX_PARTS or not all(map(_is_plain, parts)):
        raise remote_error(
            "bad_request",
            f"{name[:60]!r} cannot be the name of a file: it has at most {MAX_PARTS} parts of {MAX_PART_BYTES} "
            "bytes, which begin with a letter, digit or underscore, and go on with these and ' .-'",
            "ValueError",
        )
    if any(part.endswith(_MEANS_MORE) for part in parts):
        raise remote_error(
            "bad_request", f"{name[:60]!r} has a suffix of files; put it without", "ValueError"
        )
    return parts


def _is_plain(part: str) -> bool:
    return _PART.fullmatch(part) is not None and len(part.encode()) <= MAX_PART_BYTES


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Say why the system refused to write, without the place on this computer."""
    try:
        yield
    except OSError as exc:
        raise remote_error(
            "failed", f"{name!r} cannot be written: {exc.strerror or exc}", type(exc).__name__
        ) from exc


@contextlib.contextmanager
def _new_file(root: Path, folders: list[str], name: str, made: set[str]) -> Iterator[tuple[int, int]]:
    """Make a file at the end of a way, and give the descriptors of its directory and of the file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    for left in reversed(range(TRIES)):
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(_folder(root, folders, made))
                descriptor = os.open(name, flags, 0o666, dir_fd=folder)
            except FileNotFoundError:  # a directory was removed while it was empty
                if not left:
                    raise
                continue
            yield folder, descriptor
            return


@contextlib.contextmanager
def _folder(root: Path, folders: list[str], made: set[str] | None = None) -> Iterator[int]:
    """Open the directory at the end of a way without links, and give its descriptor.

    With `made`, directories that are not there are made, and added to it.
    """
    if os.open not in os.supports_dir_fd:  # Windows: there is no way down that nobody can redirect
        raise remote_error(
            "unsupported", "this server's system has no safe way to write into directories"
        )
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for place, folder in zip(accumulate(folders, lambda *way: "/".join(way)), folders, strict=True):
            if made is not None:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=descriptor)
                    made.add(place)
                    os.fsync(descriptor)
            try:
                inner = os.open(folder, flags, dir_fd=descriptor)
            except NotADirectoryError as exc:
                raise remote_error(
                    "bad_request", f"{folder!r} is a file, or a link; choose another name", "ValueError"
                ) from exc
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _writer_of(obj: Any) -> tuple[str, Callable[[BinaryIO], None]]:
    if type(obj) is np.ndarray:
        if not _is_kept(obj.dtype):
            raise EncodeError(
                f"a .npy file does not keep the dtype {obj.dtype}; "
                + (
                    "numpy.lib.recfunctions.repack_fields(x) gives one that it keeps"
                    if obj.dtype.names is not None
                    else "put the array under a name that is not in the directory"
                )
            )
        return ".npy", lambda file: np.lib.format.write_array(file, obj, allow_pickle=False)
    if type(obj).__module__.partition(".")[0] in ("pandas", "pyarrow"):
        table = _table_of(obj)
        if table is not None:
            return ".parquet", lambda file: _write_table(table, file)
    raise remote_error(
        "unsupported",
        f"{an(type(obj).__name__)} has no file here; put an array, a DataFrame or an Arrow table, or put it "
        "under a name that is not in the directory",
        "TypeError",
    )


def _is_kept(dtype: np.dtype[Any]) -> bool:
    if dtype.hasobject:  # texts of any length: their bytes are not in the array
        return False
    try:
        kept = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    except (ValueError, TypeError):
        return False
    return to_wire(kept) == to_wire(dtype)


def _write_table(table: Any, file: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(table, file, use_compliant_nested_type=False)  # keeps the names
    except pa.ArrowException as exc:
        raise _no_parquet(exc) from exc


def _table_of(obj: Any) -> Any:
    """Return an object as an Arrow table that parquet keeps as it is; None if it is no table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if type(obj).__name__ == "DataFrame":
            obj = _table_of_frame(obj)
        elif isinstance(obj, pa.RecordBatch):
            obj = pa.Table.from_batches([obj])
        if not isinstance(obj, pa.Table):
            return None
        if not obj.num_columns and obj.num_rows:
            raise ValueError("it has rows and no columns")
        sink = pa.BufferOutputStream()
        pq.write_table(obj.slice(0, 1), sink, use_compliant_nested_type=False)
        kept = pq.read_table(pa.BufferReader(sink.getvalue()))
        codecs.encode(kept)  # or it could not be fetched
    except (pa.ArrowException, OSError, ValueError, TypeError) as exc:
        raise _no_parquet(exc) from exc
    if not kept.schema.equals(obj.schema):
        changed = [a.name for a, b in zip(obj.schema, kept.schema, strict=False) if not a.equals(b)]
        raise EncodeError(
            f"parquet does not keep the types of the columns {', '.join(changed[:5])}; cast them, or put the "
            "table under a name that is not in the directory"
        )
    return obj


def _table_of_frame(frame: Any) -> Any:
    import pyarrow as pa

    if not all(type(label) is str for label in frame.columns):
        raise TypeError("its labels are not all text; rename the columns")
    if frame.attrs:
        raise TypeError("it has attrs; set frame.attrs = {}")
    table = pa.Table.from_pandas(frame)
    for i, field in enumerate(table.schema):
        # Of categories parquet keeps those that are texts, with offsets of 32 bits.
        if pa.types.is_dictionary(field.type) and pa.types.is_large_string(field.type.value_type):
            kept = pa.dictionary(field.type.index_type, pa.string(), field.type.ordered)
            table = table.set_column(i, field.with_type(kept), table.column(i).cast(kept))
    return table


def _no_parquet(reason: Exception) -> EncodeError:
    return EncodeError(f"this table has no exact form in parquet: {reason}")
