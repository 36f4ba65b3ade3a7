"""Parquet files, and directories of them: only the row groups and the columns that are wanted are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bridge.sources import Source
from bridge.sources.files import Folder, OpenFile, Stamp, changed, reading
from bridge.sources.tables import OpenTable, ScannedTable, TableReader, pieces_of, random_access

__all__ = ["is_parquet_folder", "parquet_folder_source", "parquet_source"]

# What a program that writes a dataset calls its files (Spark, Dask, pyarrow), and what it leaves beside them.
PART_PREFIXES = ("part-", "part.")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def parquet_source(open_file: Callable[[], OpenFile]) -> Source:
    """Return the source of a parquet file."""

    def open_table() -> OpenTable:
        file = open_file()
        with reading(file):
            return _scanned([_fragment(file)], version=file.version, guard=partial(reading, file))

    return TableReader(open_table)


def is_parquet_folder(path: Path) -> bool:
    """Whether a directory is one table.

    It is if its name says so (``trades.parquet``), or if it holds what programs that write datasets
    put there: ``part-0.parquet`` and the like, or directories ``year=2024``. Other parquet files in a
    directory are tables of their own.
    """
    if path.suffix == ".parquet":
        return True
    with os.scandir(path) as items:
        return any(_is_part(item) for item in items)


def parquet_folder_source(path: Path, *, beneath: Path | None = None, name: str = "") -> Source:
    """Return the source of a directory of parquet files, all of which together are one table.

    Directories in it that are named as Hive does (``year=2024``) give columns. A column that some
    files lack is null there.

    Parameters
    ----------
    path
        The directory.
    beneath, name
        As for `OpenFile`.
    """
    kept: list[tuple[str, OpenTable]] = []  # the latest version: reading every footer takes time

    def open_table() -> OpenTable:
        folder = Folder(path, wanted=_is_data, beneath=beneath, name=name)
        latest = kept[0] if kept else None
        if latest is not None and latest[0] == folder.version:
            return latest[1]
        with reading(folder):
            table = _open_folder(folder, path, beneath if beneath is not None else path)
        kept[:] = [(folder.version, table)]
        return table

    return TableReader(open_table)


def _scanned(
    fragments: list[Any], *, version: str, guard: Callable[[], Any], extra: Any = None
) -> OpenTable:
    import pyarrow as pa
    import pyarrow.dataset as ds

    schemas = [fragment.physical_schema for fragment in fragments]
    schema = pa.unify_schemas([*schemas, extra] if extra else schemas)
    pieces = [piece for fragment in fragments for piece in pieces_of(fragment, schema)]
    nbytes = sum(group.total_byte_size for fragment in fragments for group in fragment.row_groups)
    return ScannedTable(
        version=version,
        schema=schema,
        dataset=lambda: ds.FileSystemDataset(fragments, schema, ds.ParquetFileFormat()),
        pieces=pieces,
        nbytes=nbytes,
        guard=guard,
    )


def _fragment(file: Any, condition: Any = None) -> Any:
    import pyarrow.dataset as ds

    return ds.ParquetFileFormat().make_fragment(random_access(file), partition_expression=condition)


def _is_data(name: str) -> bool:
    # Hidden files, and those that begin with "_", are notes of the programs that write datasets.
    return name.endswith(".parquet") and not any(part.startswith((".", "_")) for part in name.split("/"))


def _is_part(item: os.DirEntry[str]) -> bool:
    if item.is_dir(follow_symlinks=False):
        return "=" in item.name
    return item.name.startswith(PART_PREFIXES) and item.name.endswith(".parquet")


def _open_folder(folder: Folder, path: Path, beneath: Path) -> OpenTable:
    import pyarrow as pa
    import pyarrow.dataset as ds

    if not folder.stamps:
        raise ValueError("there are no parquet files in it")
    keys = _partition_types(list(folder.stamps))
    partitioning = ds.partitioning(pa.schema(keys), flavor="hive") if keys else None
    fragments = [
        _fragment(
            _ClosedFile(path / name, stamp, beneath, f"{folder.name}/{name}"),
            partitioning.parse(name) if partitioning else None,
        )
        for name, stamp in folder.stamps.items()
    ]
    extra = pa.schema(keys) if keys else None
    return _scanned(fragments, version=folder.version, guard=partial(reading, folder), extra=extra)


class _ClosedFile:
    """A file of a directory of any number: it is open only while a range of it is read."""

    def __init__(self, path: Path, stamp: Stamp, beneath: Path, name: str) -> None:
        self.nbytes = stamp[2]
        self._path = path
        self._stamp = stamp
        self._beneath = beneath
        self._name = name

    def read(self, offset: int, nbytes: int) -> bytes:
        file = OpenFile(self._path, beneath=self._beneath, name=self._name)
        if file.stamp != self._stamp:
            raise changed(file.name)
        return file.read(offset, nbytes)


def _partition_types(names: list[str]) -> list[tuple[str, Any]]:
    """Return the columns that the directories name, with their types: int32 if all values are, else text."""
    import pyarrow as pa

    values: dict[str, set[str]] = {}
    for name in names:
        for part in name.split("/")[:-1]:
            key, equals, value = part.partition("=")
            if equals:
                values.setdefault(key, set()).add(value)
    return [
        (key, pa.int32() if all(map(_is_int32, found)) else pa.string()) for key, found in values.items()
    ]


def _is_int32(text: str) -> bool:
    if text == HIVE_NULL:
        return True
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11):
        return False
    number = int(text)
    return str(number) == text and -(2**31) <= number < 2**31  # "007" is a text
