"""Arrays in .npy files are read by range, and give what numpy gives for the array in memory."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge import codecs, selection
from bridge.codecs import BufferReader
from bridge.errors import RemoteError
from bridge.sources import Source
from bridge.sources.files import FileRange, OpenFile
from bridge.sources.npy import npy_source
from tests.check import difference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npy")


def source_at(path: Path) -> Source:
    return npy_source(partial(OpenFile, path))


def read(source: Source, index: Any) -> Any:
    buffers: list[memoryview] = []
    select = selection.array_to_wire(index, buffers)
    descriptor, ranges = source.plan(select, BufferReader(buffers), None).encode()
    return codecs.decode(descriptor, [bytes(part[:]) for part in ranges])


ARRAYS = hnp.arrays(
    st.sampled_from(["u1", ">i2", "<f8", "<M8[ns]", "S3"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
)


@given(array=ARRAYS, fortran=st.booleans(), data=st.data())
def test_any_basic_index_of_a_file_equals_that_of_the_array(
    folder: Path, array: np.ndarray[Any, Any], fortran: bool, data: st.DataObject
) -> None:
    array = np.asfortranarray(array) if fortran and array.ndim else array
    path = folder / "basic.npy"
    np.save(path, array)
    index = data.draw(hnp.basic_indices(array.shape, allow_newaxis=True, max_dims=8))
    assert difference(np.asarray(array[index]), np.asarray(read(source_at(path), index))) is None or (
        np.array_equal(array[index], read(source_at(path), index), equal_nan=array.dtype.kind == "f")
        and array[index].dtype == read(source_at(path), index).dtype
    )


@given(data=st.data())
def test_a_list_or_mask_on_one_axis_of_a_file_equals_that_of_the_array(
    folder: Path, data: st.DataObject
) -> None:
    array = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    path = folder / "take.npy"
    np.save(path, array)
    axis = data.draw(st.integers(0, 2))
    size = array.shape[axis]
    take = data.draw(
        st.lists(st.integers(-size, size - 1), max_size=6).map(lambda x: np.array(x, np.int64))
        | st.lists(st.booleans(), min_size=size, max_size=size).map(np.array)
    )
    others = [data.draw(hnp.basic_indices((n,), allow_ellipsis=False)) for n in array.shape]
    index: list[Any] = [
        next(iter(item), slice(None)) if isinstance(item, tuple) else item for item in others
    ]
    index[axis] = take
    if data.draw(st.booleans()):
        index.insert(data.draw(st.integers(0, 3)), None)
    result = read(source_at(path), tuple(index))
    np.testing.assert_array_equal(result, array[tuple(index)])
    assert result.shape == array[tuple(index)].shape


def test_a_run_of_rows_is_a_range_of_the_file_and_is_not_read_before_it_is_sent(tmp_path: Path) -> None:
    array = np.arange(1000.0).reshape(100, 10)
    np.save(tmp_path / "x.npy", array)
    plan = source_at(tmp_path / "x.npy").plan([[20, 60, None]], BufferReader(()), None)
    _, (rows,) = plan.encode()
    assert isinstance(rows, FileRange)
    part = bytearray(11)
    rows.read_into(memoryview(part), 5)
    assert part == rows[5:16]
    assert not plan.held
    assert rows[:] == array[20:60].tobytes()
    assert rows[80:160] == array[21].tobytes()


def test_a_sparse_column_of_a_huge_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "huge.npy"
    shape = (1000, 1_000_000)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": shape}
        )
        start = file.tell()
        file.truncate(start + 8 * shape[0] * shape[1])
        for row in range(0, 1000, 100):
            file.seek(start + 8 * (row * shape[1] + 7))
            file.write(np.float64(row).tobytes())
    column = read(source_at(path), (slice(None), 7))
    assert column.nonzero()[0].tolist() == list(range(100, 1000, 100))
    assert column[900] == 900.0


def test_a_file_that_is_cut_or_rewritten_while_it_is_read_gives_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(1000))
    for spoil in (lambda: os.truncate(path, 4000), lambda: path.write_bytes(path.read_bytes()[::-1])):
        np.save(path, np.arange(1000))
        _, (data,) = source_at(path).plan(None, BufferReader(()), None).encode()
        spoil()
        with pytest.raises(RemoteError) as failure:
            data[:100]
        assert failure.value.code == "changed"


def test_a_file_that_is_replaced_by_renaming_stays_what_it_was_for_those_who_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(100))
    source = source_at(path)
    before = source.plan(None, BufferReader(()), None)
    np.save(tmp_path / "new.npy", np.ones(100))
    (tmp_path / "new.npy").rename(path)
    after = source.plan(None, BufferReader(()), None)
    assert before.version != after.version
    assert before.encode()[1][0][:] == np.zeros(100).tobytes()
    assert after.encode()[1][0][:] == np.ones(100).tobytes()


def test_a_version_is_the_same_for_the_same_file_opened_again(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(100))
    assert OpenFile(tmp_path / "x.npy").version == OpenFile(tmp_path / "x.npy").version


@pytest.mark.parametrize("spoiled", ["no npy at all", "cut", "objects"])
def test_a_file_that_cannot_be_served_is_refused_with_its_reason(tmp_path: Path, spoiled: str) -> None:
    path = tmp_path / "x.npy"
    if spoiled == "objects":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        np.save(path, np.zeros(100))
        path.write_bytes(path.read_bytes()[:200] if spoiled == "cut" else b"a,b\n1,2\n")
    with pytest.raises((ValueError, TypeError)):
        source_at(path).entry()
