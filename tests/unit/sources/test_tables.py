"""Of a table in a file, only what a selection needs is read, and what is read is one version of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from bridge import codecs, selection
from bridge.codecs import BufferReader
from bridge.errors import EncodeError, RemoteError
from bridge.selection import TableSelection
from bridge.sources import Source
from bridge.sources.arrow_file import arrow_source
from bridge.sources.choose import source_of
from bridge.sources.csv import csv_source
from bridge.sources.files import FileRange, OpenFile
from bridge.sources.parquet import parquet_source
from tests.check import check_source, read_source

WIDE = pa.table(
    {f"c{i}": np.random.default_rng(i).random(20_000) for i in range(50)} | {"n": range(20_000)}
)


class CountedFile(OpenFile):
    """Adds up how many bytes are read from it."""

    def __init__(self, path: Path, count: list[int]) -> None:
        super().__init__(path)
        self._count = count

    def read(self, offset: int, nbytes: int) -> bytes:
        self._count.append(nbytes)
        return super().read(offset, nbytes)


def read(source: Source, **wanted: Any) -> pa.Table:
    buffers: list[Any] = []
    select = selection.table_to_wire(TableSelection(**wanted), buffers)
    return read_source(source, select, BufferReader(buffers))


@pytest.fixture(params=["parquet", "arrow"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Source, list[int], int]:
    """A source, the sizes of its reads, and the size of its file."""
    path = tmp_path / f"wide.{request.param}"
    count: list[int] = []
    if request.param == "parquet":
        pq.write_table(WIDE, path, row_group_size=1000)
        source = parquet_source(partial(CountedFile, path, count))
    else:
        feather.write_feather(WIDE, path, compression="uncompressed", chunksize=1000)
        source = arrow_source(partial(CountedFile, path, count))
    return source, count, path.stat().st_size


def test_two_of_fifty_columns_read_two_columns(counted: tuple[Source, list[int], int]) -> None:
    source, count, size = counted
    assert read(source, columns=["c7", "c3"]).equals(WIDE.select(["c7", "c3"]))
    assert sum(count) < size / 10


def test_some_rows_read_the_groups_that_they_are_in(counted: tuple[Source, list[int], int]) -> None:
    source, count, size = counted
    assert read(source, rows=slice(12_345, 12_350)).equals(WIDE[12_345:12_350])
    assert sum(count) < size / 10
    count.clear()
    assert read(source, rows=slice(-1, -10, -3)).equals(WIDE.take([19_999, 19_996, 19_993]))
    assert sum(count) < size / 10


def test_a_filter_skips_the_groups_that_it_rules_out(tmp_path: Path) -> None:
    pq.write_table(WIDE, tmp_path / "wide.parquet", row_group_size=1000)
    count: list[int] = []
    source = parquet_source(partial(CountedFile, tmp_path / "wide.parquet", count))
    assert read(source, filters=[("n", "<", 10)]).equals(WIDE[:10])
    assert sum(count) < (tmp_path / "wide.parquet").stat().st_size / 5


def test_an_arrow_file_is_sent_from_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    feather.write_feather(WIDE, path, compression="uncompressed", chunksize=1000)
    count: list[int] = []
    source = arrow_source(partial(CountedFile, path, count))
    for select in (None, {"rows": [3000, 7000, None]}, {"rows": [19_000, None, None]}):
        count.clear()
        plan = source.plan(select, BufferReader(()), None)
        _, buffers = plan.encode()
        assert not plan.held
        assert [type(buffer) for buffer in buffers] == [memoryview, FileRange, memoryview]
        assert sum(count) < path.stat().st_size / 20
    assert read(source, rows=slice(3000, 7000)).equals(WIDE[3000:7000])


def test_arrow_files_of_any_types_and_cuts_are_read_exactly(tmp_path: Path) -> None:
    words = pa.array(["a", None, "bc", "a"] * 25)
    table = pa.table(
        {
            "dictionary": words.dictionary_encode(),
            "nested": pa.array([[{"x": i, "y": [None] * (i % 3)}] for i in range(100)]),
            "views": words.cast(pa.string_view()),
            "null": pa.nulls(100),
            "uuid": pa.array([bytes(16)] * 100, pa.uuid()),
        }
    )
    for number, batches in enumerate(
        ([], table.to_batches(), table[:0].to_batches(), table.to_batches(max_chunksize=7))
    ):
        path = tmp_path / f"{number}.arrow"
        with pa.ipc.new_file(path, table.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        source = source_of(path)
        with pa.ipc.open_file(path) as reader:
            expected = reader.read_all()
        result = read_source(source)
        assert result.equals(expected)
        assert result.schema.equals(expected.schema, check_metadata=True)
        assert read(source, rows=slice(3, 50), columns=["null", "nested"]).equals(
            expected[3:50].select(["null", "nested"])
        )
        assert read(source, columns=[]).num_rows == expected.num_rows


def test_the_types_of_a_csv_file_come_from_all_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("n,text\n" + '1,"two\nlines"\n' * 200_000 + "2.5,\n")
    source = csv_source(partial(OpenFile, path))
    skeleton = source.skeleton()
    assert skeleton is not None
    assert codecs.decode(*skeleton).schema == pa.schema([("n", pa.float64()), ("text", pa.string())])
    assert source.entry()["rows"] == 200_001
    assert read(source, rows=slice(-2, None)).to_pydict() == {
        "n": [1.0, 2.5],
        "text": ["two\nlines", ""],
    }
    count: list[int] = []
    counted = csv_source(partial(CountedFile, path, count))
    counted.entry()
    count.clear()
    counted.entry()
    assert not count


def test_parquet_files_with_metadata_of_pandas_are_read_exactly(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {"x": [1.5, None], "c": pd.Categorical(["a", "b"])}, index=pd.Index([7, 8], name="i")
    )
    frame.to_parquet(tmp_path / "x.parquet")
    check_source(source_of(tmp_path / "x.parquet"), pq.read_table(tmp_path / "x.parquet"))


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,a\n1,2\n")
    with pytest.raises(ValueError, match="2 of its columns are named 'a'"):
        source_of(tmp_path / "x.csv")


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_a_table_that_is_changed_between_plan_and_answer_gives_changed(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{suffix}"
    write = {
        "parquet": pq.write_table,
        "arrow": feather.write_feather,
        "csv": lambda table, path: table.to_pandas().to_csv(path, index=False),
    }[suffix]
    write(pa.table({"a": range(1000)}), path)
    source = source_of(path)
    plan = source.plan({"columns": ["a"], "rows": [1, 9, None]}, BufferReader(()), None)
    old = path.read_bytes()
    path.write_bytes(old[::-1])
    with pytest.raises(RemoteError) as failure:
        plan.encode()
    assert failure.value.code == "changed"


def test_a_dataset_of_files_has_another_version_when_a_file_is_written(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    source = source_of(ds.dataset(tmp_path / "x.parquet"))
    first = source.entry()["version"]
    assert source.entry()["version"] == first
    os.utime(tmp_path / "x.parquet", ns=(1, 1))
    assert source.entry()["version"] != first


def test_what_does_not_fit_a_table_is_said_as_for_tables_in_memory(tmp_path: Path) -> None:
    pq.write_table(WIDE, tmp_path / "x.parquet")
    source = source_of(tmp_path / "x.parquet")
    with pytest.raises(KeyError, match="no column 'C1'"):
        read(source, columns=["C1"])
    with pytest.raises(TypeError, match="column 'c1' is double"):
        read(source, filters=[("c1", "=", "text")])
    with pytest.raises(EncodeError):
        read(source, columns="c1")


@pytest.fixture
def threads_that_alternate() -> Iterator[ThreadPoolExecutor]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(8) as pool:
        yield pool
    sys.setswitchinterval(interval)


def test_a_table_is_read_by_many_threads(
    tmp_path: Path, threads_that_alternate: ThreadPoolExecutor
) -> None:
    path = tmp_path / "x.parquet"
    path.mkdir()
    for number in range(3):
        pq.write_table(WIDE, path / f"{number}.parquet", row_group_size=1000)
    expected = pa.concat_tables([WIDE] * 3)
    source = source_of(path)

    def differs(number: int) -> bool:
        rows, column = slice(number * 100, number * 100 + 20_000), f"c{number % 50}"
        return not read(source, rows=rows, columns=[column]).equals(expected[rows].select([column]))

    assert not any(threads_that_alternate.map(differs, range(100)))
