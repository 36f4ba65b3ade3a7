"""Every source answers as the same object in memory would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import duckdb
import h5py
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr

from bridge.errors import EncodeError
from bridge.sources import Source
from bridge.sources.choose import source_of
from bridge.sources.directory import Directory
from tests.check import check_source

WAVE = np.arange(60 * 7 * 3, dtype="<f4").reshape(60, 7, 3)
TRADES = pa.table(
    {
        "day": pa.array(np.arange(1000) // 10, pa.int32()),
        "price": pa.array([None if i % 17 == 0 else i * 0.5 for i in range(1000)]),
        "symbol": pa.array(["abc"[i % 3] * (i % 5 + 1) for i in range(1000)]),
        "at": pa.array(np.arange(1000), pa.timestamp("ms")),
    },
    metadata={"station": "Bonn"},
)


def npy(folder: Path) -> Any:
    np.save(folder / "x.npy", WAVE)
    return folder / "x.npy"


def npy_in_fortran_order(folder: Path) -> Any:
    np.save(folder / "x.npy", np.asfortranarray(WAVE))
    return folder / "x.npy"


def npz(folder: Path) -> Any:
    np.savez(folder / "x.npz", other=np.zeros(3), wave=WAVE)
    return Directory(folder).find("x/wave")


def compressed_npz(folder: Path) -> Any:
    np.savez_compressed(folder / "x.npz", wave=np.asfortranarray(WAVE))
    return Directory(folder).find("x/wave")


def hdf5(folder: Path) -> Any:
    with h5py.File(folder / "x.h5", "w") as file:
        file["group/wave"] = WAVE
    return Directory(folder).find("x/group/wave")


def chunked_hdf5(folder: Path) -> Any:
    with h5py.File(folder / "x.hdf5", "w") as file:
        file.create_dataset("wave", data=WAVE, chunks=(7, 2, 3), compression="gzip")
    return Directory(folder).find("x/wave")


def zarr_array(folder: Path) -> Any:
    zarr.create_array(folder / "x.zarr", data=WAVE, chunks=(50, 4, 2))
    return folder / "x.zarr"


def zarr_group_of_version_2(folder: Path) -> Any:
    group = zarr.open_group(folder / "x.zarr", mode="w", zarr_format=2)
    group.create_array("inner/wave", data=WAVE, chunks=(8, 7, 1))
    return Directory(folder).find("x/inner/wave")


def sharded_zarr(folder: Path) -> Any:
    array = zarr.create_array(
        folder / "x.zarr", shape=WAVE.shape, dtype="<f4", chunks=(5, 7, 3), shards=(20, 7, 3)
    )
    array[...] = WAVE
    return folder / "x.zarr"


def netcdf4(folder: Path) -> Any:
    xr.Dataset({"wave": (("t", "x", "y"), WAVE)}).to_netcdf(folder / "x.nc", engine="h5netcdf")
    return Directory(folder).find("x/wave")


def netcdf3(folder: Path) -> Any:
    xr.Dataset({"wave": (("t", "x", "y"), WAVE)}).to_netcdf(folder / "x.nc", engine="scipy")
    return Directory(folder).find("x/wave")


def h5py_dataset(folder: Path) -> Any:
    with h5py.File(folder / "x.h5", "w") as file:
        file["wave"] = WAVE
    return h5py.File(folder / "x.h5")["wave"]


def dask_array(_folder: Path) -> Any:
    return da.from_array(WAVE, chunks=(7, 3, 2)) + 0


def zarr_in_memory(_folder: Path) -> Any:
    return zarr.array(WAVE, chunks=(9, 7, 2))


def xarray_array(_folder: Path) -> Any:
    return xr.DataArray(WAVE, dims=("t", "x", "y"))


def memmap(folder: Path) -> Any:
    return np.load(npy(folder), mmap_mode="r")


ARRAYS: list[Callable[[Path], Any]] = [
    npy,
    npy_in_fortran_order,
    npz,
    compressed_npz,
    hdf5,
    chunked_hdf5,
    zarr_array,
    zarr_group_of_version_2,
    sharded_zarr,
    netcdf4,
    netcdf3,
    h5py_dataset,
    dask_array,
    zarr_in_memory,
    xarray_array,
    memmap,
]


@pytest.mark.parametrize("make", ARRAYS, ids=lambda make: make.__name__)
def test_an_array_is_read_as_numpy_reads_it(make: Callable[[Path], Any], tmp_path: Path) -> None:
    check_source(as_source(make(tmp_path)), WAVE)


def parquet(folder: Path) -> Any:
    pq.write_table(TRADES, folder / "x.parquet", row_group_size=90)
    return folder / "x.parquet"


def parquet_folder(folder: Path) -> Any:
    (folder / "x.parquet").mkdir()
    for i in range(4):
        pq.write_table(
            TRADES[i * 250 : i * 250 + 250], folder / f"x.parquet/{i}.parquet", row_group_size=60
        )
    return folder / "x.parquet"


def arrow_file(folder: Path) -> Any:
    feather.write_feather(TRADES, folder / "x.arrow", compression="uncompressed", chunksize=70)
    return folder / "x.arrow"


def compressed_feather(folder: Path) -> Any:
    feather.write_feather(TRADES, folder / "x.feather", chunksize=70)
    return folder / "x.feather"


def csv(folder: Path) -> Any:
    pa.csv.write_csv(TRADES, folder / "x.csv")
    return folder / "x.csv"


def dataset(folder: Path) -> Any:
    return ds.dataset(parquet(folder))


def dataset_in_memory(_folder: Path) -> Any:
    return ds.dataset(TRADES)


def polars_frame(_folder: Path) -> Any:
    return pl.from_arrow(TRADES)


def polars_lazy_frame(_folder: Path) -> Any:
    return polars_frame(_folder).lazy()


def duckdb_relation(folder: Path) -> Any:
    return duckdb.connect().from_arrow(TRADES)


TABLES: list[Callable[[Path], Any]] = [
    parquet,
    parquet_folder,
    arrow_file,
    compressed_feather,
    csv,
    dataset,
    dataset_in_memory,
    polars_frame,
    polars_lazy_frame,
    duckdb_relation,
]

# What these libraries make of the table, for themselves.
FOREIGN: dict[Callable[[Path], Any], Callable[[Path], pa.Table]] = {
    csv: lambda folder: pa.csv.read_csv(folder / "x.csv"),
    polars_frame: lambda _: pa.table(pl.from_arrow(TRADES)),
    polars_lazy_frame: lambda _: pl.from_arrow(TRADES).to_arrow(),
    duckdb_relation: lambda _: pa.table(duckdb.connect().from_arrow(TRADES)),
}


@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_a_table_is_read_as_arrow_reads_it(make: Callable[[Path], Any], tmp_path: Path) -> None:
    source = as_source(make(tmp_path))
    check_source(source, FOREIGN[make](tmp_path) if make in FOREIGN else TRADES)


def test_a_stream_that_can_be_read_once_is_refused_with_the_alternative() -> None:
    with pytest.raises(EncodeError, match="read_all"):
        source_of(TRADES.to_reader())


def as_source(obj: Any) -> Source:
    return obj if hasattr(obj, "plans_quickly") else source_of(obj)
