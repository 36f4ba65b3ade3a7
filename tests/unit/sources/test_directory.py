"""A directory is a catalogue that follows what happens in it, and never shows what is outside."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zarr

from bridge import codecs
from bridge.codecs import BufferReader
from bridge.errors import BridgeError, RemoteError
from bridge.sources import Plan, directory, entry_or_reason
from bridge.sources.choose import source_of
from bridge.sources.directory import Directory
from tests.check import check_source, read_source, whole


@pytest.fixture(autouse=True)
def every_call_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "WALK_SECONDS", 0.0)


def entry(catalogue: Directory, name: str) -> dict[str, Any]:
    source = catalogue.find(name)
    assert source is not None
    return entry_or_reason(name, source.entry)


def read(catalogue: Directory, name: str) -> Any:
    source = catalogue.find(name)
    assert source is not None
    return read_source(source)


def test_names_are_paths_without_suffix(tmp_path: Path) -> None:
    (tmp_path / "run42/deep").mkdir(parents=True)
    np.save(tmp_path / "run42/wave.npy", np.ones(3))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "run42/deep/x.y.parquet")
    np.savez(tmp_path / "both.npz", a=np.ones(3), b=np.zeros(2))
    zarr.open_group(tmp_path / "z.zarr", mode="w").create_array("in/ner", data=np.ones(3))
    (tmp_path / "notes.txt").write_text("hello")
    names = ["both/a", "both/b", "run42/deep/x.y", "run42/wave", "z/in/ner"]
    assert Directory(tmp_path).names() == names
    entries = Directory(tmp_path).entries()
    assert [entry["name"] for entry in entries] == names
    assert [entry["kind"] for entry in entries] == ["array", "array", "table", "array", "array"]


def test_two_files_that_would_have_one_name_keep_their_suffixes(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    (tmp_path / "y").mkdir()
    np.save(tmp_path / "y/a.npy", np.ones(3))
    np.savez(tmp_path / "y.npz", a=np.zeros(2), b=np.zeros(2))
    assert Directory(tmp_path).names() == ["x.npy", "x.parquet", "y.npz/a", "y/a.npy", "y/b"]


def test_files_that_come_change_and_go_are_seen_at_once(tmp_path: Path) -> None:
    catalogue = Directory(tmp_path)
    assert catalogue.names() == []
    np.save(tmp_path / "x.npy", np.ones(3))
    assert catalogue.names() == ["x"]
    first = entry(catalogue, "x")["version"]
    assert entry(catalogue, "x")["version"] == first == Directory(tmp_path).find("x").entry()["version"]  # type: ignore[union-attr]
    np.save(tmp_path / "x.npy", np.zeros(4))
    assert entry(catalogue, "x")["version"] != first
    assert read(catalogue, "x").tolist() == [0, 0, 0, 0]
    np.savez(tmp_path / "many.npz", a=np.ones(1))
    assert catalogue.names() == ["many/a", "x"]
    np.savez(tmp_path / "many.npz", b=np.ones(1))
    assert catalogue.names() == ["many/b", "x"]
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub/y.npy", np.ones(3))
    assert catalogue.find("sub/y") is not None
    shutil.rmtree(tmp_path / "sub")
    (tmp_path / "x.npy").unlink()
    assert catalogue.names() == ["many/b"]
    assert catalogue.find("x") is None


def test_a_table_may_turn_from_a_file_into_a_directory_and_back(tmp_path: Path) -> None:
    path, table = tmp_path / "x.parquet", pa.table({"a": [1]})
    catalogue = Directory(tmp_path)
    for _ in range(2):
        pq.write_table(table, path)
        assert read(catalogue, "x").equals(table)
        path.unlink()
        path.mkdir()
        pq.write_table(table, path / "0.parquet")
        assert read(catalogue, "x").equals(table)
        shutil.rmtree(path)


def test_directories_as_programs_write_datasets_are_one_table_each(tmp_path: Path) -> None:
    for name, year in (("a/year=2023/part-0", 2023), ("a/year=2024/part-0", 2024)):
        (tmp_path / name).parent.mkdir(parents=True)
        pq.write_table(pa.table({"x": [year * 1.0, 1.0]}), tmp_path / f"{name}.parquet")
    (tmp_path / "b").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b/part.0.parquet")
    pq.write_table(pa.table({"x": [2], "y": ["new"]}), tmp_path / "b/part.1.parquet")
    (tmp_path / "c").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "c/prices.parquet")
    catalogue = Directory(tmp_path)
    assert catalogue.names() == ["a", "b", "c/prices"]
    years = pa.array([2023, 2023, 2024, 2024], pa.int32())
    check_source(catalogue.find("a"), pa.table({"x": [2023.0, 1.0, 2024.0, 1.0], "year": years}))
    assert read(catalogue, "b").to_pydict() == {"x": [1, 2], "y": [None, "new"]}
    first = entry(catalogue, "b")["version"]
    pq.write_table(pa.table({"x": [3]}), tmp_path / "b/part.2.parquet")
    assert entry(catalogue, "b")["version"] != first
    assert read(catalogue, "b")["x"].to_pylist() == [1, 2, 3]


def test_one_file_that_holds_several_arrays_is_a_catalogue_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["group/wave"] = np.ones(3)
        file["t"] = 3.5
    catalogue = Directory(tmp_path / "x.h5")
    assert catalogue.names() == ["x/group/wave", "x/t"]
    assert read(catalogue, "x/t")[()] == 3.5
    with pytest.raises(ValueError, match="group/wave, t"):
        source_of(tmp_path / "x.h5")
    with pytest.raises(ValueError, match="zbridge serve"):
        source_of(tmp_path)


def test_a_broken_file_is_listed_with_its_reason_and_does_not_hurt_the_others(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.ones(3))
    np.save(tmp_path / "cut.npy", np.ones(1000))
    os.truncate(tmp_path / "cut.npy", 300)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    pq.write_table(pa.table({"a": range(1000)}), tmp_path / "torn.parquet")
    os.truncate(tmp_path / "torn.parquet", 700)
    feather.write_feather(pa.table({"a": range(1000)}), tmp_path / "half.arrow")
    os.truncate(tmp_path / "half.arrow", 700)
    for name in ("no.npz", "no.h5", "no.nc", "no.arrow", "no.csv"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "no.zarr").mkdir()
    (tmp_path / "no.zarr/zarr.json").write_text("{")
    with h5py.File(tmp_path / "partly.h5", "w") as file:
        file["ok"] = np.ones(3)
        file["text"] = ["a", "bc"]
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
        file.create_dataset("raw", shape=(3,), dtype="f8", external="/etc/passwd")
    catalogue = Directory(tmp_path)
    entries = {entry["name"]: entry for entry in catalogue.entries()}
    good = {name for name, entry in entries.items() if entry["kind"] != "broken"}
    assert good == {"good", "partly/ok"}
    assert entries.keys() - good == {
        *("cut", "objects", "torn", "half", "partly/text", "partly/raw"),
        *("no.npz", "no.h5", "no.nc", "no.arrow", "no.csv", "no.zarr"),
    }
    for name in entries.keys() - good:
        assert len(entries[name]["error"]) > 10
        assert str(tmp_path) not in entries[name]["error"]
        with pytest.raises(BridgeError) as failure:
            read(catalogue, name)
        assert getattr(failure.value, "code", "failed") == "failed"
    assert read(catalogue, "good").tolist() == [1, 1, 1]


def test_links_are_followed_inside_and_never_outside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (outside / "more").mkdir(parents=True)
    (inside / "run").mkdir(parents=True)
    np.save(outside / "more/secret.npy", np.ones(3))
    np.save(inside / "run/wave.npy", np.zeros(3))
    (inside / "latest.npy").symlink_to("run/wave.npy")
    (inside / "current").symlink_to("run")
    (inside / "run/loop").symlink_to("..")
    (inside / "stolen.npy").symlink_to(outside / "more/secret.npy")
    (inside / "up").symlink_to("../outside")
    (inside / "dangling.npy").symlink_to("nothing.npy")
    catalogue = Directory(inside)
    with caplog.at_level(logging.WARNING, "bridge"):
        assert catalogue.names() == ["current/wave", "latest", "run/wave"]
    assert {"stolen.npy", "up"} <= {str(r.args[0]).rpartition("/")[2] for r in caplog.records if r.args}  # type: ignore[index]
    assert read(catalogue, "latest").tolist() == [0, 0, 0]
    for name in (
        "stolen",
        "up/more/secret",
        "../outside/more/secret",
        str(outside / "more/secret"),
        "",
        "/",
        "x\0",
    ):
        assert catalogue.find(name) is None


def test_a_link_that_takes_the_place_of_a_file_or_directory_is_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (inside / "run").mkdir(parents=True)
    np.save(outside / "wave.npy", np.ones(3))
    np.save(inside / "wave.npy", np.zeros(3))
    np.save(inside / "run/wave.npy", np.zeros(3))
    for folder in (outside, inside):
        zarr.create_array(folder / "z.zarr", data=np.ones(3))
        (folder / "t.parquet").mkdir()
        pq.write_table(pa.table({"a": [1]}), folder / "t.parquet/0.parquet")
    catalogue = Directory(inside)
    sources = [catalogue.find(name) for name in ("wave", "run/wave", "z", "t")]
    (inside / "wave.npy").unlink()
    (inside / "wave.npy").symlink_to(outside / "wave.npy")
    shutil.rmtree(inside / "run")
    (inside / "run").symlink_to(outside)
    for name in ("z.zarr", "t.parquet"):
        shutil.rmtree(inside / name)
        (inside / name).symlink_to(outside / name)
    for source in sources:
        assert source is not None
        with pytest.raises(RemoteError):
            read_source(source)
    assert catalogue.names() == []


@pytest.mark.parametrize(
    "suffix", ["npy", "npz", "parquet", "arrow", "csv", "h5", "nc", "zarr", "folder"]
)
def test_an_error_names_the_link_that_was_asked_for_and_not_where_it_leads(
    suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "run").mkdir()
    kind = {"folder": "parquet"}.get(suffix, suffix)
    secret = tmp_path / f"private/secret.{kind}"
    if suffix == "zarr":
        zarr.create_array(secret, data=np.ones(3))
        (secret / "zarr.json").write_text("{}")
    elif suffix == "folder":
        secret.mkdir()
        (secret / "0.parquet").write_bytes(b"broken")
    else:
        secret.write_bytes(b"a,b\n1\n")
    (tmp_path / f"run/link.{kind}").symlink_to(f"../private/secret.{kind}")
    (tmp_path / "way").symlink_to("private")
    catalogue = Directory(tmp_path)
    for name, file in (("run/link", f"run/link.{kind}"), ("way/secret", f"way/secret.{kind}")):
        source = catalogue.find(name)
        assert source is not None
        with pytest.raises(BridgeError, match="cannot be read") as failure:
            source.plan(None, BufferReader(()), None)
        for said in (entry(catalogue, name)["error"], str(failure.value)):
            assert file in said
            assert "private" not in said


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_that_a_file_was_changed_is_said_with_the_name_of_the_link(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    path = tmp_path / f"private/secret.{suffix}"
    WRITERS[suffix](path, 1)
    (tmp_path / f"link.{suffix}").symlink_to(f"private/secret.{suffix}")
    source = Directory(tmp_path).find("link")
    assert source is not None
    plan = source.plan(None, BufferReader(()), None)
    os.truncate(path, 5000)
    with pytest.raises(RemoteError) as failure:
        codecs.decode(*_whole_of(plan))
    assert failure.value.code == "changed"
    assert str(failure.value).startswith(f"link.{suffix} was changed")


def _whole_of(plan: Plan) -> tuple[dict[str, Any], list[Any]]:
    descriptor, buffers = plan.encode()
    return descriptor, [bytes(buffer[:]) for buffer in buffers]


def test_a_link_that_leads_elsewhere_gives_what_it_leads_to_now(tmp_path: Path) -> None:
    for name, values in (("a", np.zeros(2)), ("b", np.ones(3))):
        np.save(tmp_path / f"{name}.npy", values)
    (tmp_path / "link.npy").symlink_to("a.npy")
    catalogue = Directory(tmp_path)
    assert read(catalogue, "link").tolist() == [0, 0]
    (tmp_path / "link.npy").unlink()
    (tmp_path / "link.npy").symlink_to("b.npy")
    assert catalogue.names() == ["a", "b", "link"]
    assert read(catalogue, "link").tolist() == [1, 1, 1]


def test_links_inside_a_directory_that_is_one_table_or_array_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.ones(3))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "secret.parquet")
    inside = tmp_path / "inside"
    zarr.create_array(inside / "z.zarr", data=np.ones(3))
    (inside / "t.parquet").mkdir()
    (inside / "t.parquet/0.parquet").symlink_to(tmp_path / "secret.parquet")
    (inside / "z.zarr/c/1").symlink_to(tmp_path / "secret.npy")
    catalogue = Directory(inside)
    assert [entry["kind"] for entry in catalogue.entries()] == ["broken", "broken"]


def test_a_zarr_array_whose_codec_would_run_code_is_refused(tmp_path: Path) -> None:
    from numcodecs import Pickle  # type: ignore[import-untyped]

    zarr.create_array(
        tmp_path / "x.zarr", shape=(3,), chunks=(3,), dtype="i4", zarr_format=2, filters=[Pickle()]
    )
    assert "pickle" in entry(Directory(tmp_path), "x")["error"]


def test_what_is_no_file_of_data_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.npy")
    for name in (".hidden.npy", "~lock.npy", "x.npy.tmp", "bad\udcff.npy", "bad\n.npy"):
        np.save(tmp_path / "x.npy", np.ones(3))
        (tmp_path / "x.npy").rename(os.fsencode(tmp_path / name).decode("utf-8", "surrogateescape"))
    (tmp_path / ".git").mkdir()
    np.save(tmp_path / ".git/x.npy", np.ones(3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.npy"))
        assert Directory(tmp_path).names() == []


def test_a_fifo_that_takes_the_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    source = Directory(tmp_path).find("x")
    (tmp_path / "x.npy").unlink()
    os.mkfifo(tmp_path / "x.npy")
    assert source is not None
    assert "no regular file" in entry_or_reason("x", source.entry)["error"]


def write_hdf5(path: Path, n: int) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.full(20_000, n), chunks=(500,))


WRITERS = {
    "npy": lambda path, n: np.save(path, np.full(20_000, n)),
    "npz": lambda path, n: np.savez_compressed(path, x=np.full(20_000, n)),
    "parquet": lambda path, n: pq.write_table(
        pa.table({"x": np.full(20_000, n)}), path, row_group_size=500
    ),
    "arrow": lambda path, n: feather.write_feather(
        pa.table({"x": np.full(20_000, n)}), path, compression="uncompressed", chunksize=1000
    ),
    "csv": lambda path, n: path.write_text("x\n" + f"{n}\n" * 20_000),
    "h5": write_hdf5,
}


def test_many_directories_hide_no_names_that_are_less_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(directory, "MAX_FOLDERS", 10)
    for folder in ("lab", *(f"zoo/{n}/d/d" for n in range(5))):
        (tmp_path / folder).mkdir(parents=True)
        np.save(tmp_path / folder / "x.npy", np.ones(3))
    catalogue = Directory(tmp_path)
    with caplog.at_level(logging.WARNING, "bridge"):
        for _ in range(2):
            assert catalogue.names() == ["lab/x"]
    (warning,) = caplog.messages
    assert "more than 10 directories" in warning
    assert "'zoo/2/d'" in warning
    shutil.rmtree(tmp_path / "zoo/0")
    shutil.rmtree(tmp_path / "zoo/1")
    assert catalogue.names() == ["lab/x", "zoo/2/d/d/x"]


@pytest.mark.parametrize("suffix", WRITERS)
def test_while_a_file_is_replaced_truncated_and_rewritten_every_read_is_one_version(
    suffix: str, tmp_path: Path
) -> None:
    path, made = tmp_path / f"x.{suffix}", tmp_path / f".made.{suffix}"
    name = "x/x" if suffix in ("npz", "h5") else "x"
    reads = threading.Condition()
    begun = 0
    done = threading.Event()

    def put(n: int) -> None:
        WRITERS[suffix](made, n)
        made.rename(path)

    def change() -> None:
        for n in range(2, 102):
            with reads:  # a read or two later, or in the middle of one
                seen = begun
                reads.wait_for(lambda: begun > seen + n % 3)  # noqa: B023
            if n % 3 == 0:
                put(n)
            elif n % 3 == 1:
                WRITERS[suffix](made, n)
                path.write_bytes(made.read_bytes())
            else:
                os.truncate(path, path.stat().st_size // 2)
        put(1000)

    put(1)
    catalogue = Directory(tmp_path)
    versions: dict[str, set[int]] = {}
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        changing.add_done_callback(lambda _: done.set())
        while not done.is_set():
            with reads:
                begun += 1
                reads.notify()
            try:
                source = catalogue.find(name)
                if source is None:
                    continue
                plan = source.plan(None, BufferReader(()), None)
                descriptor, buffers = plan.encode()
                obj = codecs.decode(descriptor, [whole(buffer, 10_000) for buffer in buffers])
            except BridgeError:
                continue
            assert len(numbers(obj)) == 20_000 or suffix == "csv"  # half of a CSV file is one too
            versions.setdefault(plan.version, set()).update(numbers(obj).tolist())
        changing.result()
    assert len(versions) > 20
    assert all(len(values) == 1 for values in versions.values())
    assert set(numbers(read(catalogue, name)).tolist()) == {1000}


def numbers(obj: Any) -> Any:
    return obj["x"].to_numpy() if isinstance(obj, pa.Table) else obj
