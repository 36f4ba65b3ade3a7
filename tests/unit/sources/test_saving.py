"""What is put into a directory is a file that gives back the same, and no name leads anywhere else."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from numpy.lib.recfunctions import repack_fields

from bridge.errors import BridgeError, EncodeError, RemoteError
from bridge.remote.frame import frame_of
from bridge.sources.directory import Directory
from bridge.sources.saving import MAX_PART_BYTES, MAX_PARTS, prune
from tests.check import difference, read_source
from tests.samples import arrays, tables

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no safe way to write there")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is served. What is beside it must never change."""
    root = tmp_path / "served"
    root.mkdir()
    return root


@pytest.fixture
def directory(root: Path) -> Directory:
    return Directory(root)


def read(directory: Directory, name: str) -> Any:
    source = directory.find(name)
    assert source is not None
    return read_source(source)


def files(folder: Path) -> list[str]:
    """All that is in a directory, and below, by path. Links are not followed."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


ARRAYS = {name: make for name, make in arrays.SAMPLES.items() if type(make()) is np.ndarray}
# Their fields lie as no .npy file can say.
LAID_OUT = {
    "structured, aligned",
    "structured, with holes and another order",
    "structured, one field of an aligned one",
    "structured, nested aligned",
}
TABLES = {name: make for name, make in tables.SAMPLES.items() if isinstance(make(), pa.Table)}


# ── what comes back ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_as_it_was_put_or_is_refused(
    directory: Directory, root: Path, name: str
) -> None:
    array = ARRAYS[name]()
    if array.dtype.hasobject or name in LAID_OUT:
        with pytest.raises(EncodeError, match=r"a \.npy file does not keep the dtype"):
            directory.save("x", array)
        assert files(root) == []
        return
    directory.save("x", array)
    assert files(root) == ["x.npy"]
    sent = array if array.flags.forc else np.ascontiguousarray(array)
    assert difference(sent, read(directory, "x")) is None
    loaded = np.load(root / "x.npy", allow_pickle=False)
    assert loaded.dtype == array.dtype
    assert loaded.tobytes() == array.tobytes()


def test_fields_that_a_file_does_not_keep_are_refused_with_what_to_do(directory: Directory) -> None:
    array = ARRAYS["structured, aligned"]()
    with pytest.raises(EncodeError, match="repack_fields"):
        directory.save("x", array)
    packed = repack_fields(array)
    directory.save("x", packed)
    assert difference(packed, read(directory, "x")) is None


@pytest.mark.parametrize("name", TABLES)
def test_a_table_comes_back_as_it_was_put_or_is_refused(
    directory: Directory, root: Path, name: str
) -> None:
    table = TABLES[name]()
    try:
        directory.save("x", table)
    except EncodeError:
        assert files(root) == []
        return
    assert files(root) == ["x.parquet"]
    for back in (read(directory, "x"), pq.read_table(root / "x.parquet")):
        assert back.schema.equals(table.schema)
        assert (back.num_rows, back.column_names) == (table.num_rows, table.column_names)
        for ours, theirs in zip(table.columns, back.columns, strict=True):
            # As Python's objects, where a nan is a nan.
            assert repr(ours.to_pylist()) == repr(theirs.to_pylist())


def test_ordinary_types_are_not_refused(directory: Directory) -> None:
    values = ["a", None, "b"]
    directory.save(
        "x",
        pa.table(
            {
                "int": [1, None, 2],
                "float": [1.5, float("nan"), None],
                "text": values,
                "large": pa.array(values, pa.large_string()),
                "category": pa.array(values).dictionary_encode(),
                "time": pa.array([0, None, 10**15], pa.timestamp("ns", "Europe/Paris")),
                "day": pa.array([0, None, 1], pa.date32()),
                "for": pa.array([0, None, 1], pa.duration("us")),
                "cost": pa.array([Decimal("1.25"), None, Decimal(0)], pa.decimal128(9, 2)),
                "list": [[1, 2], None, []],
                "struct": [{"a": 1}, None, {"a": None}],
                "half": pa.array([1.5, None, 2], pa.float16()),
            }
        ),
    )


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pd.DataFrame({"a": [1, 2], "b": [1.5, np.nan], "c": ["x", "y"]}), id="plain"),
        pytest.param(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), id="labels"),
        pytest.param(pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2, name="n")), id="range"),
        pytest.param(
            pd.DataFrame({"a": [1.0, 2.0]}, pd.DatetimeIndex(["2024-01-01", "2024-01-03"], tz="UTC")),
            id="times",
        ),
        pytest.param(pd.DataFrame({"a": pd.Categorical(["x", "y", "x"], ["y", "x"])}), id="category"),
        pytest.param(pd.DataFrame({"a": []}), id="no rows"),
        pytest.param(
            pd.DataFrame({"a": [1]}, pd.MultiIndex.from_tuples([("x", 1)], names=["s", "n"])),
            id="levels",
        ),
    ],
)
def test_a_frame_is_kept_as_an_arrow_table(
    directory: Directory, root: Path, frame: pd.DataFrame
) -> None:
    directory.save("x", frame)
    pd.testing.assert_frame_equal(frame_of(read(directory, "x")), frame)
    pd.testing.assert_frame_equal(pd.read_parquet(root / "x.parquet"), frame)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({0: [1]}), "rename the columns"),
        (pd.DataFrame({("a", "b"): [1]}), "rename the columns"),
        (pd.DataFrame({"a": [1, "x"]}), "no exact form"),
        (pd.DataFrame({"a": [1j]}), "no exact form"),
        (pd.DataFrame(index=range(3)), "no columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Duplicate"),
    ],
)
def test_a_frame_that_would_come_back_different_is_refused(
    directory: Directory, root: Path, frame: pd.DataFrame, says: str
) -> None:
    with pytest.raises(EncodeError, match=says):
        directory.save("x", frame)
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["unit"] = "m"
    with pytest.raises(EncodeError, match="attrs"):
        directory.save("x", frame)
    assert files(root) == []


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(obj, id=type(obj).__name__)
        for obj in (
            *(None, 1, 1.5, "text", b"bytes", [1], {"a": np.ones(3)}, np.float64(1)),
            *(np.ma.masked_array([1, 2], [True, False]), pd.Series([1]), pd.Index([1])),
            *(pa.array([1]), pa.schema({"a": pa.int8()})),
        )
    ],
)
def test_what_is_no_array_or_table_is_refused_with_what_to_do(
    directory: Directory, root: Path, obj: Any
) -> None:
    with pytest.raises(RemoteError, match="put an array, a DataFrame or an Arrow table") as refused:
        directory.save("folder/x", obj)
    assert refused.value.code == "unsupported"
    assert files(root) == []


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", ".", "..", "../x", "a/../x", "a/../../x", "a/..", "/x", "//x", "a//x", "a/", "a/./x"),
        *(
            ".x",
            "a/.x",
            "~",
            "~/x",
            "~root/x",
            "-x",
            " x",
            "a/ x",
            "$HOME",
            "a;b",
            "a|b",
            "*",
            "a?",
            "`a`",
        ),
        *("a\\b", "..\\x", "C:\\x", "C:x", "a:b", "a\0b", "\0", "a\nb", "a\n", "a\rb", "a\tb", "a\x1bb"),
        *("a\u202eb", "a\u200bb", "a\u2028b", "\ufeffa", "a\u2215b", "a\uff0fb", "a\ud800b", "\u2025/x"),
        *("x.npy", "x.parquet", "x.tmp", "a.tmp/x", "a.parquet/x", "a.zarr/x", "a.npy/x"),
        "a" * (MAX_PART_BYTES + 1),
        "\u6e29" * (MAX_PART_BYTES // 3 + 1),
        "/".join("a" * (MAX_PARTS + 1)),
        "a/" * 500 + "x",
    ],
)
def test_a_name_that_is_no_plain_path_is_refused(
    directory: Directory, root: Path, tmp_path: Path, name: str
) -> None:
    for attempt in (lambda: directory.save(name, np.ones(3)), lambda: directory.remove(name)):
        with pytest.raises(RemoteError) as refused:
            attempt()
        assert refused.value.code == "bad_request"
        assert isinstance(refused.value, ValueError)
    assert files(tmp_path) == ["served"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "x",
            "a/b",
            "CON",
            "nul",
            "aux.b",
            "a.b.c",
            "x.",
            "a b",
            "x ",
            "_x",
            "9",
            "a-b",
            "x.csv",
            "x.h5",
        ),
        *(
            "Größe/温度",
            "x..y",
            "a.../b",
            "x.NPY",
            "9" * MAX_PART_BYTES,
            "\u6e29" * (MAX_PART_BYTES // 3),
        ),
        "/".join("a" * MAX_PARTS),
    ],
)
def test_a_plain_name_is_a_file_below_the_directory(
    directory: Directory, root: Path, tmp_path: Path, name: str
) -> None:
    for obj, suffix in ((np.ones(3), "npy"), (pa.table({"a": [1]}), "parquet")):
        directory.save(name, obj)
        (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert file == root.joinpath(*f"{name}.{suffix}".split("/"))
        assert directory.names() == [name]
    directory.remove(name)
    assert directory.names() == []


def test_links_are_not_followed(directory: Directory, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    np.save(outside / "x.npy", np.zeros(2))
    (root / "run").mkdir()
    np.save(root / "run/x.npy", np.zeros(2))
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "current").symlink_to("run")
    for name in ("out/x", "out/new", "up/x", "current/new", "out/a/b"):
        with pytest.raises(RemoteError, match="is a file, or a link") as refused:
            directory.save(name, np.ones(3))
        assert refused.value.code == "bad_request"
        with pytest.raises(RemoteError):
            directory.remove(name)
    assert files(outside) == ["x.npy"]
    assert directory.names() == ["current/x", "run/x"]


def test_what_is_not_served_is_neither_replaced_nor_removed(
    directory: Directory, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "x.npy"
    np.save(outside, np.zeros(2))
    (root / "link.npy").symlink_to(outside)
    (root / "dangling.parquet").symlink_to(tmp_path / "nothing.parquet")
    os.mkfifo(root / "pipe.npy")
    for name in ("link", "dangling", "pipe"):
        for attempt in (
            partial(directory.save, name, np.ones(3)),
            partial(directory.save, name, pa.table({"a": [1]})),
            partial(directory.remove, name),
        ):
            with pytest.raises(RemoteError, match="is a link, or no file, and stays") as refused:
                attempt()
            assert refused.value.code == "unsupported"
    # One file of the two that a name may have.
    (root / "served.csv").write_text("a\n1\n")
    (root / "served.npy").symlink_to(outside)
    with pytest.raises(RemoteError, match="'served' cannot be written"):
        directory.remove("served")
    assert (root / "link.npy").is_symlink()
    assert (root / "served.npy").is_symlink()
    assert files(root) == ["dangling.parquet", "link.npy", "pipe.npy", "served.csv", "served.npy"]
    assert np.load(outside).tolist() == [0, 0]


def test_a_link_that_is_served_may_be_removed(directory: Directory, root: Path) -> None:
    directory.save("x", np.ones(3))
    (root / "link.npy").symlink_to("x.npy")
    directory.remove("link")
    assert files(root) == ["x.npy"]


def test_who_would_replace_a_link_is_not_told_where_it_leads(directory: Directory, root: Path) -> None:
    (root / "private").mkdir()
    np.save(root / "private/secret.npy", np.ones(3))
    (root / "link.npy").symlink_to("private/secret.npy")
    with pytest.raises(RemoteError, match=r"'link' is taken by link\.npy; choose another name"):
        directory.save("link", np.zeros(3), lambda name: name == "link")
    assert directory.names() == ["link", "private/secret"]


def test_a_way_that_leads_through_a_file_is_refused(directory: Directory, root: Path) -> None:
    (root / "notes").write_text("hello")
    with pytest.raises(RemoteError, match="'notes' is a file"):
        directory.save("notes/x", np.ones(3))
    directory.save("x", np.ones(3))
    directory.save("x/y", np.ones(2))
    assert directory.names() == ["x", "x/y"]


def test_a_name_that_another_file_has_is_refused(directory: Directory, root: Path) -> None:
    (root / "text.csv").write_text("a\n1\n")
    np.savez(root / "many.npz", a=np.ones(3))
    with h5py.File(root / "h.h5", "w") as file:
        file["wave"] = np.ones(3)
    zarr.create_array(root / "z.zarr", data=np.ones(3))
    for name in ("whole.parquet/0", "parts/part-0"):
        (root / name).parent.mkdir()
        pq.write_table(pa.table({"a": [1]}), root / f"{name}.parquet")
    (root / "two.csv").write_text("a\n1\n")
    np.savez(root / "two.npz", b=np.ones(3))
    np.save(root / "two.npy", np.ones(3))
    before, names = files(root), directory.names()
    for name in ("text", "many/a", "h/wave", "z", "whole", "parts", "parts/more", "two"):
        for obj in (np.ones(3), pa.table({"a": [1]})):
            with pytest.raises(RemoteError, match=r"choose another name|put it without") as refused:
                directory.save(name, obj)
            assert refused.value.code in ("unsupported", "bad_request")
    assert (files(root), directory.names()) == (before, names)


@pytest.mark.parametrize("name", ["run/part-0", "run/part.0"])
def test_a_table_does_not_turn_a_directory_into_one_table(
    directory: Directory, root: Path, name: str
) -> None:
    directory.save("run/a", np.ones(3))
    with pytest.raises(RemoteError, match="a part of a larger table"):
        directory.save(name, pa.table({"a": [1]}))
    directory.save(name, np.ones(3))
    assert directory.names() == ["run/a", name]


# ── replacing ─────────────────────────────────────────────────────────────────────────────────────


def test_the_other_kind_takes_the_place_of_the_file(directory: Directory, root: Path) -> None:
    for _ in range(2):
        directory.save("run/x", np.arange(3))
        assert files(root) == ["run", "run/x.npy"]
        assert read(directory, "run/x").tolist() == [0, 1, 2]
        directory.save("run/x", pa.table({"a": [7]}))
        assert files(root) == ["run", "run/x.parquet"]
        assert read(directory, "run/x").to_pydict() == {"a": [7]}


def test_two_kinds_that_a_crash_left_are_one_after_the_next_put(
    directory: Directory, root: Path
) -> None:
    np.save(root / "x.npy", np.ones(3))
    pq.write_table(pa.table({"a": [1]}), root / "x.parquet")
    (root / "x-0123456789abcdef.tmp").write_bytes(b"half")
    assert directory.names() == ["x.npy", "x.parquet"]
    directory.save("x", np.zeros(2))
    assert directory.names() == ["x"]
    assert read(directory, "x").tolist() == [0, 0]


def test_what_is_removed_is_gone_and_the_rest_stays(directory: Directory, root: Path) -> None:
    directory.save("x", np.ones(3))
    directory.save("run/x", pa.table({"a": [1]}))
    np.savez(root / "many.npz", a=np.ones(3))
    directory.remove("run/x")
    assert directory.names() == ["many/a", "x"]
    for name in ("run/x", "many/a", "many", "nothing", "no/thing"):
        with pytest.raises(RemoteError, match="no file that can be removed"):
            directory.remove(name)
    directory.remove("x")
    assert directory.names() == ["many/a"]


def test_directories_that_were_made_for_a_name_go_with_it_and_those_of_the_owner_stay(
    directory: Directory, root: Path
) -> None:
    (root / "owner").mkdir()
    for name in ("a/b/c/x", "a/b/y", "owner/z", "owner/deep/z"):
        directory.save(name, np.ones(3))
    directory.remove("a/b/c/x")
    directory.remove("owner/deep/z")
    assert files(root) == ["a", "a/b", "a/b/y.npy", "owner", "owner/z.npy"]
    (root / "a/notes.txt").write_text("the owner's")
    for name in ("a/b/y", "owner/z"):
        directory.remove(name)
    assert files(root) == ["a", "a/notes.txt", "owner"]
    directory.save("a/b/y", np.ones(3))
    assert directory.names() == ["a/b/y"]


def test_a_put_that_fails_leaves_no_directories(directory: Directory, root: Path) -> None:
    directory.save("a/x", np.ones(3))
    with files_of_at_most(100), pytest.raises(RemoteError, match="cannot be written"):
        directory.save("a/b/c/x", LARGE)
    with files_of_at_most(100), pytest.raises(RemoteError, match="cannot be written"):
        directory.save("b/c/x", LARGE)
    assert files(root) == ["a", "a/x.npy"]


def test_of_a_way_that_was_made_in_part_nothing_stays(root: Path) -> None:
    (root / "owner/a/b").mkdir(parents=True)
    made = {"owner/a", "owner/a/b"}
    prune(root, "owner/a/b/c/d/x", made)
    assert files(root) == ["owner"]
    assert not made


def test_into_a_file_nothing_is_written(root: Path) -> None:
    np.savez(root / "many.npz", a=np.ones(3))
    one = Directory(root / "many.npz")
    for attempt in (lambda: one.save("x", np.ones(3)), lambda: one.remove("many/a")):
        with pytest.raises(RemoteError) as refused:
            attempt()
        assert refused.value.code == "unsupported"
    assert files(root) == ["many.npz"]


# ── what the system does not allow ────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """As on a disk that is full: what is written beyond so many bytes fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


LARGE = np.random.default_rng(0).random(100_000)


@pytest.mark.parametrize("obj", [LARGE, pa.table({"a": LARGE})], ids=["array", "table"])
@pytest.mark.parametrize("room", [0, 100, 500_000])
def test_on_a_full_disk_the_old_file_stays_and_nothing_else(
    directory: Directory, root: Path, obj: Any, room: int
) -> None:
    directory.save("x", np.arange(3))
    with files_of_at_most(room), pytest.raises(RemoteError, match="'x' cannot be written: ") as failure:
        directory.save("x", obj)
    assert failure.value.code == "failed"
    assert isinstance(failure.value, OSError)
    assert str(root) not in str(failure.value)
    assert files(root) == ["x.npy"]
    assert read(directory, "x").tolist() == [0, 1, 2]


def test_a_directory_in_the_place_of_the_file_is_left_alone(directory: Directory, root: Path) -> None:
    for name in ("x.npy/inner", "y.parquet/inner"):
        (root / name).mkdir(parents=True)
    for name, obj in (("x", np.ones(3)), ("y", pa.table({"a": [1]})), ("y", np.ones(3))):
        with pytest.raises(BridgeError, match=r"cannot be written|is taken"):
            directory.save(name, obj)
    with pytest.raises(RemoteError, match="cannot be written"):
        directory.remove("x")
    assert files(root) == ["x.npy", "x.npy/inner", "y.parquet", "y.parquet/inner"]


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may write everywhere"
)
def test_where_the_system_forbids_writing_it_says_so(directory: Directory, root: Path) -> None:
    directory.save("run/x", np.arange(3))
    (root / "run").chmod(0o555)
    for attempt in (lambda: directory.save("run/x", np.ones(3)), lambda: directory.remove("run/x")):
        with pytest.raises(PermissionError, match="cannot be written") as failure:
            attempt()
        assert isinstance(failure.value, RemoteError)
    assert read(directory, "run/x").tolist() == [0, 1, 2]


def test_a_directory_that_is_gone_is_told(directory: Directory, root: Path) -> None:
    root.rmdir()
    with pytest.raises(RemoteError, match="cannot be written"):
        directory.save("x", np.ones(3))


# ── many at once ──────────────────────────────────────────────────────────────────────────────────


def table_of(n: int) -> pa.Table:
    return pa.table({"a": np.full(20_000, n)})


def array_of(n: int) -> np.ndarray[Any, Any]:
    return np.full(20_000, n)


def number_of(obj: Any) -> int:
    """Of which version an object is, all of it."""
    values = obj["a"].to_numpy() if isinstance(obj, pa.Table) else obj
    assert len(values) == 20_000
    (number,) = set(values.tolist())
    return int(number)


@pytest.mark.parametrize("make", [array_of, table_of])
def test_while_a_file_is_replaced_every_reader_sees_one_version_and_none_goes_back(
    directory: Directory, make: Callable[[int], Any]
) -> None:
    directory.save("x", make(0))
    done = threading.Event()

    def read_all() -> list[int]:
        seen = []
        while not done.is_set():
            assert directory.names() == ["x"]
            seen.append(number_of(read(directory, "x")))
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read_all) for _ in range(2)]
        try:
            for n in range(1, 30):
                directory.save("x", make(n))
        finally:
            done.set()
        for reader in readers:
            seen = reader.result()
            assert seen == sorted(seen)


def test_of_writers_of_both_kinds_one_wins_whole_and_the_name_is_always_there(
    directory: Directory, root: Path
) -> None:
    directory.save("x", array_of(0))
    done = threading.Event()

    def read_all() -> None:
        while not done.is_set():
            source = directory.find("x")
            assert source is not None
            with contextlib.suppress(KeyError):  # the other kind took its place before it was opened
                number_of(read_source(source))

    def write(make: Callable[[int], Any]) -> None:
        for n in range(25):
            directory.save("x", make(n))

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read_all)
        writers = [pool.submit(write, make) for make in (array_of, table_of)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        reader.result()
    (name,) = files(root)
    assert name in ("x.npy", "x.parquet")
    assert number_of(read(directory, "x")) == 24


def test_a_put_makes_the_directories_again_that_others_remove_at_the_same_time(
    directory: Directory, root: Path
) -> None:
    def come_and_go(name: str) -> None:
        for n in range(25):
            directory.save(name, np.full(3, n))
            assert read(directory, name).tolist() == [n] * 3
            directory.remove(name)

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(come_and_go, f"a/b/c/{name}") for name in ("w", "x", "y", "z")]:
            one.result()
    assert files(root) == []
