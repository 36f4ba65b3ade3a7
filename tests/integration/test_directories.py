"""A directory of files of all kinds, served by ``zbridge serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from pyarrow import csv

import bridge
from tests.integration.conftest import until
from tests.processes import line_of, output_of, started

RNG = np.random.default_rng(0)
WAVE = RNG.random((600, 5, 7))
COUNTS = np.arange(1000, dtype=">i4")
TABLE = pa.table(
    {
        "id": np.arange(10_000),
        "price": RNG.normal(100, 10, 10_000),
        "symbol": pa.array([None if i % 7 == 0 else "ABC"[i % 3] for i in range(10_000)]),
        "day": pa.array((i // 1000 for i in range(10_000)), pa.date32()),
    }
)
YEARS = pa.array([2023 + i // 5000 for i in range(10_000)], pa.int32())


@contextlib.contextmanager
def serving(folder, *arguments, bind="tcp://127.0.0.1:0"):
    """`zbridge serve`, in which every warning is an error: the process and its address."""
    with started("-m", "bridge", "serve", "--json", "--bind", bind, *arguments, folder) as process:
        yield process, json.loads(line_of(process))["url"]


# ── all formats ───────────────────────────────────────────────────────────────────────────────────


def write_everything(folder):
    """Write a file of each format, with the libraries that people use; return what is in them, by name."""
    (folder / "run42").mkdir()
    np.save(folder / "run42/wave.npy", WAVE)
    np.save(folder / "fortran.npy", np.asfortranarray(WAVE))
    np.savez(folder / "plain.npz", wave=WAVE, counts=COUNTS)
    np.savez_compressed(folder / "packed.npz", wave=WAVE)
    pq.write_table(TABLE, folder / "trades.parquet", row_group_size=1000)
    ds.write_dataset(
        TABLE.append_column("year", YEARS),
        folder / "years",
        format="parquet",
        partitioning=ds.partitioning(pa.schema({"year": pa.int32()}), flavor="hive"),
    )
    (folder / "parts.parquet").mkdir()
    for i in range(4):
        pq.write_table(TABLE.slice(i * 2500, 2500), folder / f"parts.parquet/{i}.parquet")
    feather.write_feather(TABLE, folder / "plain.arrow", compression="uncompressed", chunksize=1000)
    feather.write_feather(TABLE, folder / "packed.feather", compression="zstd")
    csv.write_csv(TABLE, folder / "text.csv")
    with h5py.File(folder / "lab.h5", "w") as file:
        file.create_dataset("run/wave", data=WAVE, chunks=(100, 5, 7), compression="gzip")
        file["counts"] = COUNTS
    group = zarr.open_group(folder / "cube.zarr", mode="w")
    group.create_array("wave", data=WAVE, chunks=(100, 5, 7))
    zarr.create_array(folder / "single.zarr", data=COUNTS, chunks=(100,))
    climate = xr.Dataset({"wave": (("t", "x", "y"), WAVE)})
    climate.to_netcdf(folder / "climate.nc", engine="h5netcdf")
    climate.to_netcdf(folder / "classic.nc", engine="scipy")
    arrays = (
        *("run42/wave", "fortran", "plain/wave", "packed/wave", "lab/run/wave", "cube/wave"),
        *("climate/wave", "classic/wave"),
    )
    return {
        **dict.fromkeys(arrays, WAVE),
        **dict.fromkeys(("plain/counts", "lab/counts"), COUNTS),
        "single": zarr.open_array(folder / "single.zarr")[:],  # in this computer's order of bytes
        **dict.fromkeys(("trades", "parts", "plain", "packed"), TABLE),
        "years": TABLE.append_column("year", YEARS),
        "text": csv.read_csv(folder / "text.csv"),
    }


NAMES = (
    *(
        "run42/wave",
        "fortran",
        "plain/wave",
        "plain/counts",
        "packed/wave",
        "lab/run/wave",
        "lab/counts",
    ),
    *("cube/wave", "single", "climate/wave", "classic/wave"),
    *("trades", "years", "parts", "plain", "packed", "text"),
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """What is in the files, and the address where they are served."""
    folder = tmp_path_factory.mktemp("lab")
    expected = write_everything(folder)
    with serving(folder) as (_, url):
        yield expected, url


def test_every_file_is_listed_under_its_name(lab):
    expected, url = lab
    entries = {
        entry["name"]: entry for entry in json.loads(output_of("-m", "bridge", "ls", url, "--json"))
    }
    assert entries.keys() == expected.keys() == set(NAMES)
    for name, obj in expected.items():
        if isinstance(obj, np.ndarray):
            assert (entries[name]["kind"], entries[name]["shape"]) == ("array", list(obj.shape))
        else:
            assert (entries[name]["kind"], entries[name]["rows"]) == ("table", obj.num_rows)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_read_whole_in_part_and_filtered_as_it_would_be_locally(lab, name):
    expected, url = lab
    with bridge.connect(url) as b:
        check = check_array if isinstance(expected[name], np.ndarray) else check_table
        check(b[name], expected[name])


def check_array(remote, local):
    assert remote.shape == local.shape
    assert remote.dtype == local.dtype
    for index in (..., 3, -1, slice(5, 50), slice(None, None, -7), [5, 2, 2, -1], None, slice(0)):
        np.testing.assert_array_equal(remote[index], local[index], strict=True)
    mask = np.arange(len(local)) % 3 == 0
    np.testing.assert_array_equal(remote[mask], local[mask], strict=True)
    if local.ndim == 3:
        for several in ((..., 2), (slice(2, 9), slice(None), 3), (4, 1, 1), (slice(3), None, -1)):
            np.testing.assert_array_equal(remote[several], local[several], strict=True)
    blocks = list(remote.blocks(rows=130))
    np.testing.assert_array_equal(np.concatenate(blocks, dtype=local.dtype), local, strict=True)


def check_table(remote, local):
    assert remote.columns == local.column_names
    assert remote.schema.equals(local.schema)
    assert remote.read().equals(local)
    for start, stop, step in ((0, 10, None), (-7, None, None), (2400, 2600, None), (None, None, -999)):
        rows = local.take(np.arange(local.num_rows)[start:stop:step])
        assert remote.slice(start, stop, step).read().equals(rows)
    expensive = local.filter(pc.greater(local["price"], 120))
    assert 0 < expensive.num_rows < 500
    assert remote.filter([("price", ">", 120)]).read().equals(expensive)
    some = local.filter(
        pc.and_(pc.is_in(local["symbol"], pa.array(["A", "B"])), pc.less(local["id"], 4321))
    )
    chosen = remote.filter([("symbol", "in", ["A", "B"]), ("id", "<", 4321)]).select(["price", "id"])
    assert chosen.read().equals(some.select(["price", "id"]))
    assert chosen.slice(10, 20).read().equals(some.select(["price", "id"]).slice(10, 10))
    assert (
        remote.filter([("symbol", "is null")]).read().equals(local.filter(pc.is_null(local["symbol"])))
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process reads")
def test_of_a_parquet_file_little_more_is_read_than_what_is_asked_for(tmp_path):
    columns = {f"c{i}": RNG.random(100_000) for i in range(50)}
    pq.write_table(pa.table(columns), tmp_path / "wide.parquet", row_group_size=10_000)
    size = (tmp_path / "wide.parquet").stat().st_size
    with serving(tmp_path) as (process, url), bridge.connect(url) as b:

        def bytes_read(fetch):
            before = read_by(process)
            fetch()
            return read_by(process) - before

        wide = b["wide"]
        two = wide.select(["c7", "c31"])
        two.read()  # what is imported on the way is read as well
        wide.head(3).read()
        footer = bytes_read(lambda: b["wide"])
        assert bytes_read(two.read) < 2 / 50 * size + 2 * footer + 100_000
        assert bytes_read(wide.slice(42_000, 43_000).read) < 1 / 10 * size + 2 * footer + 100_000
        assert bytes_read(two.slice(42_000, 43_000).read) < 2 / 500 * size + 2 * footer + 100_000
        assert bytes_read(wide.read) > 0.9 * size


def read_by(process):
    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


# ── files that change ─────────────────────────────────────────────────────────────────────────────


def full(n):
    return np.full(20_000, n)


def write_hdf5(path, n):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=full(n), chunks=(500,))


def write_parts(path, n):
    path.mkdir()
    for i in range(4):
        pq.write_table(pa.table({"x": full(n)[:5000]}), path / f"{i}.parquet")


# By suffix: how a file, all of whose values are one number of three digits, is made. And what it is called.
WRITERS = {
    ".npy": (lambda path, n: np.save(path, full(n)), "x"),
    ".npz": (lambda path, n: np.savez_compressed(path, x=full(n)), "x/x"),
    ".parquet": (
        lambda path, n: pq.write_table(pa.table({"x": full(n)}), path, row_group_size=500),
        "x",
    ),
    ".feather": (lambda path, n: feather.write_feather(pa.table({"x": full(n)}), path), "x"),
    ".arrow": (
        lambda path, n: feather.write_feather(
            pa.table({"x": full(n)}), path, compression="uncompressed", chunksize=1000
        ),
        "x",
    ),
    ".csv": (lambda path, n: path.write_text("x\n" + f"{n}\n" * 20_000), "x"),
    ".h5": (write_hdf5, "x/x"),
    ".nc": (lambda path, n: xr.Dataset({"x": ("t", full(n))}).to_netcdf(path, engine="h5netcdf"), "x/x"),
    ".zarr": (lambda path, n: zarr.create_array(path, data=full(n), chunks=(500,)), "x"),
    "-parts.parquet": (write_parts, "x-parts"),
}


class Changing:
    """A directory with a file of each format, each in a directory of its own, that are changed."""

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.made = folder / ".made"
        self.made.mkdir()
        self.paths = {
            suffix: folder / f"d{number}" / f"x{suffix}" for number, suffix in enumerate(WRITERS)
        }
        self.names = {
            suffix: f"{path.parent.name}/{WRITERS[suffix][1]}" for suffix, path in self.paths.items()
        }

    def replace(self, suffix, n):
        """By renaming, as everybody should."""
        path, made = self.paths[suffix], self.made / f"x{suffix}"
        path.parent.mkdir(exist_ok=True)
        WRITERS[suffix][0](made, n)
        if path.is_dir():
            path.rename(self.made / "old")
        made.rename(path)
        shutil.rmtree(self.made / "old", ignore_errors=True)

    def rewrite(self, suffix, n):
        """In place: what is there meanwhile is a part of it."""
        path = self.paths[suffix]
        path.parent.mkdir(exist_ok=True)
        if path.is_dir():
            file = self.file_in(path)
            file.write_bytes(file.read_bytes())
        else:
            WRITERS[suffix][0](path, n)

    def truncate(self, suffix, _):
        path = self.paths[suffix]
        if path.is_dir():
            path = self.file_in(path)
        if path.exists():
            os.truncate(path, path.stat().st_size // 2)

    def file_in(self, folder):
        return self.rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))

    def remove(self, suffix, _):
        shutil.rmtree(self.paths[suffix].parent, ignore_errors=True)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]
)
@pytest.mark.timeout(180)
def test_while_files_come_change_and_go_every_read_is_one_version_or_an_error(tmp_path, seed):
    changing = Changing(tmp_path, seed)
    for suffix in WRITERS:
        changing.replace(suffix, 100)
    done = threading.Event()
    rounds = itertools.count()
    good = dict.fromkeys(WRITERS, 0)

    def read_all():
        with bridge.connect(url) as b:
            while not done.is_set():
                b.entries()
                for suffix, name in changing.names.items():
                    with contextlib.suppress(bridge.BridgeError):
                        check_version(b.read(name), suffix)
                        good[suffix] += 1
                    next(rounds)

    with serving(tmp_path) as (process, url), ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read_all) for _ in range(2)]
        try:
            for n in range(101, 201):
                suffix = list(WRITERS)[n % len(WRITERS)]
                change = changing.rng.choice(
                    [
                        changing.replace,
                        changing.replace,
                        changing.rewrite,
                        changing.truncate,
                        changing.remove,
                    ]
                )
                change(suffix, n)
                # A few reads later, so that many of them are in the middle of one.
                seen, more = next(rounds), changing.rng.randrange(8)
                until(lambda: next(rounds) > seen + more or any(r.done() for r in readers))  # noqa: B023
            for suffix in WRITERS:
                changing.replace(suffix, 999)
        finally:
            done.set()
        for reader in readers:
            reader.result()
        assert process.poll() is None
        with bridge.connect(url) as b:
            until(lambda: list(b) == sorted(changing.names.values()))  # it looks five times a second
            for suffix, name in changing.names.items():
                assert check_version(b.read(name), suffix) == 999
    assert min(good.values()) > 0


def check_version(obj, suffix):
    """Of which version an object is, all of it."""
    values = obj["x"].to_numpy() if isinstance(obj, pa.Table) else np.asarray(obj)
    assert len(values) == 20_000 or suffix == ".csv"  # half of a CSV file is one as well
    (number,) = set(values.tolist()) or {0}
    return int(number)


# ── what is put ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mine(tmp_path):
    """A directory of which mine/ is writable, its process, and its address."""
    with serving(tmp_path, "--writable", "mine/") as (process, url):
        yield tmp_path, process, url


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_put_is_a_file_that_others_read(mine):
    folder, _, url = mine
    with bridge.connect(url) as b:
        for array in (
            WAVE,
            np.asfortranarray(WAVE),
            COUNTS,
            np.array(1.5),
            np.empty((0, 3)),
            np.arange(4_000_000),
        ):
            b.put("mine/run/x", array)
            assert files(folder) == ["mine/run/x.npy"]
            for back in (b.read("mine/run/x"), np.load(folder / "mine/run/x.npy", allow_pickle=False)):
                np.testing.assert_array_equal(back, array, strict=True)
                assert back.flags.f_contiguous == array.flags.f_contiguous
        b.put("mine/run/x", TABLE)
        assert files(folder) == ["mine/run/x.parquet"]
        assert b.read("mine/run/x").equals(TABLE)
        assert pq.read_table(folder / "mine/run/x.parquet").equals(TABLE)
        frame = TABLE.to_pandas()
        b.put("mine/frame", frame)
        assert b["mine/frame"].to_pandas().equals(frame)
        assert list(b) == ["mine/frame", "mine/run/x"]
        del b["mine/run/x"]
        assert list(b) == ["mine/frame"]
    with serving(folder) as (_, again), bridge.connect(again) as b:
        assert b["mine/frame"].to_pandas().equals(frame)


def test_what_may_not_be_written_is_refused_and_leaves_nothing(mine):
    folder, _, url = mine
    np.save(folder / "x.npy", np.arange(3))
    large = np.zeros(4_000_000)
    with bridge.connect(url) as b:
        for name in ("x", "y", "mine", "../x", "/mine/x"):
            for obj in (np.ones(3), large, TABLE):
                with pytest.raises(PermissionError):
                    b.put(name, obj)
        for name in (
            "mine/../x",
            "mine//x",
            "mine/.x",
            "mine/a\\b",
            "mine/a\0b",
            "mine/a\nb",
            "mine/" + "a" * 900,
        ):
            for obj in (np.ones(3), large, TABLE):
                with pytest.raises(bridge.RemoteError) as refused:
                    b.put(name, obj)
                assert refused.value.code == "bad_request"
        for obj in ({"a": 1}, "text", np.ma.masked_array([1], [True])):
            with pytest.raises(bridge.RemoteError, match="put an array, a DataFrame or an Arrow table"):
                b.put("mine/x", obj)
        with pytest.raises(PermissionError):
            del b["x"]
        assert files(folder) == ["x.npy"]
        np.testing.assert_array_equal(b.read("x"), [0, 1, 2])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits other processes")
def test_a_server_whose_disk_is_full_says_so_and_goes_on(mine):
    import resource

    folder, process, url = mine
    with bridge.connect(url) as b:
        b.put("mine/x", np.arange(3))
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        for obj in (np.zeros(1_000_000), pa.table({"a": RNG.random(1_000_000)})):
            for name in ("mine/x", "mine/y"):
                with pytest.raises(OSError, match="cannot be written") as failure:
                    b.put(name, obj)
                assert isinstance(failure.value, bridge.RemoteError)
        assert files(folder) == ["mine/x.npy"]
        np.testing.assert_array_equal(b.read("mine/x"), [0, 1, 2])
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        b.put("mine/x", np.zeros(1_000_000))
        assert b["mine/x"].shape == (1_000_000,)


def test_while_it_is_put_again_every_client_reads_one_version(mine):
    folder, _, url = mine
    done = threading.Event()

    def read_all(name):
        seen = []
        with bridge.connect(url) as b:
            while not done.is_set():
                seen.append(version_of(b.read(name)))
        return seen

    with bridge.connect(url) as b, ThreadPoolExecutor(4) as pool:
        for name, make in MAKERS.items():
            b.put(name, make(0, 200_000))
        readers = [pool.submit(read_all, name) for name in MAKERS for _ in range(2)]
        try:
            for n in range(1, 15):
                for name, make in MAKERS.items():
                    b.put(name, make(n, 200_000))
        finally:
            done.set()
        for reader in readers:
            seen = reader.result()
            assert seen == sorted(seen)
    assert files(folder) == ["mine/a.npy", "mine/t.parquet"]


def array_of(n, length=4_000_000):
    """Of 30 MiB, no two of the same bytes."""
    return np.arange(length) + (n << 40)


def table_of(n, length=1_000_000):
    return pa.table({"x": array_of(n, length)})


MAKERS = {"mine/a": array_of, "mine/t": table_of}


def version_of(obj):
    values = obj["x"].to_numpy() if isinstance(obj, pa.Table) else obj
    n = int(values[0]) >> 40
    np.testing.assert_array_equal(values, array_of(n, len(values)))
    return n


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_a_server_that_is_killed_while_it_writes_leaves_the_old_or_the_new_file(tmp_path, kills):
    rng = random.Random(kills)
    folder = tmp_path / "mine"
    read = {
        "mine/a": lambda: np.load(folder / "a.npy", allow_pickle=False),
        "mine/t": lambda: pq.read_table(folder / "t.parquet"),
    }
    versions = dict.fromkeys(MAKERS, 0)
    with serving(tmp_path, "--writable", "mine/") as (_, url):
        start = time.monotonic()
        for name, make in MAKERS.items():
            put(url, name, make(0))
        seconds = (time.monotonic() - start) / len(MAKERS)
    with ThreadPoolExecutor(1) as pool:
        for n in range(1, kills + 1):
            name, left = rng.choice(list(MAKERS)), temporary(folder)
            with serving(tmp_path, "--writable", "mine/", bind=url) as (process, _):
                putting = pool.submit(put, url, name, MAKERS[name](n))
                if n % 2:  # at any moment
                    time.sleep(rng.uniform(0, 1.3 * seconds))
                else:  # while the file is being written
                    until(lambda: temporary(folder) - left or putting.done())  # noqa: B023
                    time.sleep(rng.uniform(0, 0.3 * seconds))
                process.kill()
                process.wait()
            assert version_of(read[name]()) in (versions[name], n)
            assert set(files(folder)) == {"a.npy", "t.parquet"} | temporary(folder)
            # The client goes on when there is a server again, or its put failed and has changed nothing.
            with serving(tmp_path, "--writable", "mine/", bind=url), bridge.connect(url) as b:
                known = {versions[name], n}
                with contextlib.suppress(bridge.TransportError):
                    putting.result()
                    known = {n}
                versions[name] = version_of(b.read(name))
                assert versions[name] in known
                assert list(b) == sorted(MAKERS)


def put(url, name, obj):
    with bridge.connect(url) as b:
        b.put(name, obj)


def temporary(folder):
    return {path.name for path in folder.glob("*.tmp")}
