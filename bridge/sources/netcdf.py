"""NetCDF files: each variable is an array, decoded as xarray does.

Needs xarray, and h5netcdf for files of version 4 or scipy for those of version 3: they read from a file
that is open already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bridge.sources import Source
from bridge.sources.arrays import ArrayReader, ComputedArray, OpenArray
from bridge.sources.files import OpenFile, SeekableFile, reading

__all__ = ["netcdf_members"]

# What the two formats begin with, and the engines of xarray that read them from a file that is open.
ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}


def netcdf_members(open_file: Callable[[], OpenFile]) -> dict[str, Source]:
    """Return the sources of the variables in a netCDF file, by their names."""
    file = open_file()
    with reading(file), _dataset(file) as dataset:
        names = [str(name) for name in dataset.variables]
    return {name: ArrayReader(partial(_open_variable, open_file, name)) for name in names}


def _open_variable(open_file: Callable[[], OpenFile], name: str) -> OpenArray:
    file = open_file()
    with reading(file):
        variable = _dataset(file).variables[name]
        if variable.dtype.hasobject:
            raise ValueError(f"{name} holds Python objects: text, or times of another calendar")
        return ComputedArray(variable, version=file.version, guard=partial(reading, file))


def _dataset(file: OpenFile) -> Any:
    import xarray as xr

    engine = ENGINES.get(file.read(0, min(4, file.nbytes)))
    if engine is None:
        raise ValueError("it is no netCDF file of version 3 or 4")
    opened: Any = SeekableFile(file)  # is enough of a file for both
    return xr.open_dataset(opened, engine=engine, cache=False)
