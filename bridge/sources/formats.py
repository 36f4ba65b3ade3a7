"""The kinds of files that are served, by their suffixes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeAlias

from bridge.errors import remote_error
from bridge.sources import Source
from bridge.sources.arrow_file import arrow_source
from bridge.sources.csv import csv_source
from bridge.sources.files import OpenFile, failure_of
from bridge.sources.hdf5 import hdf5_members
from bridge.sources.netcdf import netcdf_members
from bridge.sources.npy import npy_source, npz_members
from bridge.sources.parquet import is_parquet_folder, parquet_folder_source, parquet_source
from bridge.sources.zarr import zarr_members

__all__ = ["FORMATS", "Format", "is_one_folder", "members_of"]

Opener: TypeAlias = Callable[[], OpenFile]


class Format(NamedTuple):
    """How files of a kind are served.

    Attributes
    ----------
    source
        Of a file that is one array or table; None if it holds several.
    members
        Of a file that holds several: their sources, by their names in it. Given is how it is opened.
    needs, extra
        The library that reads it, and the extra of zbridge that brings it.
    """

    source: Callable[[Opener], Source] | None = None
    members: Callable[[Opener], dict[str, Source]] | None = None
    needs: str = ""
    extra: str = ""


FORMATS: dict[str, Format] = {
    ".npy": Format(source=npy_source),
    ".npz": Format(members=npz_members),
    ".parquet": Format(source=parquet_source),
    ".arrow": Format(source=arrow_source),
    ".feather": Format(source=arrow_source),
    ".csv": Format(source=csv_source),
    ".h5": Format(members=hdf5_members, needs="h5py", extra="hdf5"),
    ".hdf5": Format(members=hdf5_members, needs="h5py", extra="hdf5"),
    ".nc": Format(members=netcdf_members, needs="xarray", extra="xarray"),
}


def is_one_folder(path: Path) -> bool:
    """Whether a directory is a format of its own: one of zarr's, or of parquet files that are one table."""
    return path.suffix == ".zarr" or is_parquet_folder(path)


def members_of(path: Path, *, beneath: Path | None = None, name: str = "") -> dict[str, Source]:
    """Return the sources of what is in a file, or in a directory that is a format of its own.

    Parameters
    ----------
    path
        Its suffix, in small letters or capitals, says what it is.
    beneath, name
        As for `OpenFile`.

    Returns
    -------
    dict
        By the names in the file. The file itself, where it is one array or table, has the name "". It is
        not opened then.

    Raises
    ------
    RemoteError, EncodeError
        If a file that holds several is broken, or what reads it is not installed.
    ValueError
        If no format has this suffix.
    """
    name = name or path.name
    if path.suffix == ".zarr":
        _check_installed(name, "zarr", "zarr")
        return _found(name, partial(zarr_members, path, beneath=beneath, name=name))
    if path.is_dir():
        return {"": parquet_folder_source(path, beneath=beneath, name=name)}
    row = FORMATS.get(path.suffix.lower())
    if row is None:
        raise ValueError(
            f"{name!r} is not served as a file; files of these kinds are: {', '.join(FORMATS)}"
        )
    open_file = partial(_open, path, beneath, name)
    if row.source is not None:
        return {"": row.source(open_file)}
    _check_installed(name, row.needs, row.extra)
    return _found(name, partial(row.members, open_file)) if row.members is not None else {}


def _check_installed(name: str, library: str, extra: str) -> None:
    if library and find_spec(library) is None:
        message = f"{name} needs {library}; on the server: pip install 'zbridge[{extra}]'"
        raise remote_error("failed", message, "ImportError")


def _open(path: Path, beneath: Path | None, name: str) -> OpenFile:
    try:
        return OpenFile(path, beneath=beneath, name=name)
    except (OSError, ValueError) as exc:
        raise failure_of(name, exc) from exc


def _found(name: str, find: Callable[[], dict[str, Source]]) -> dict[str, Source]:
    try:
        return find()
    except OSError as exc:
        raise failure_of(name, exc) from exc
