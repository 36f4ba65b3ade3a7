"""Arrays that are computed when they are asked for: exact, in blocks, one thread at a time."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bridge
from bridge import selection
from bridge.codecs import BufferReader
from bridge.errors import EncodeError, RemoteError
from bridge.sources import Plan, arrays
from bridge.sources.arrays import Blocks
from bridge.sources.choose import source_of
from tests.check import read_source, whole

MIB = 1024 * 1024


class Computed:
    """The numbers 0, 1, 2 … in an array of any shape, of which no more is ever computed than is asked for."""

    def __init__(self, shape: tuple[int, ...], chunks: Any = None) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(np.int64)
        self.chunks = chunks
        self.asked: list[tuple[slice, ...]] = []
        self.busy = 0

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        self.busy += 1
        assert self.busy == 1, "two threads read at the same time"
        self.asked.append(index)
        result = np.zeros((), np.int64)
        for axis, part in enumerate(index):
            assert part.step is None or part.step > 0
            positions = np.arange(self.shape[axis])[part] * prod(self.shape[axis + 1 :])
            result = result[..., None] + positions
        self.busy -= 1
        return result


def plan_of(obj: Any, index: Any) -> Plan:
    buffers: list[Any] = []
    select = selection.array_to_wire(index, buffers)
    return source_of(obj).plan(select, BufferReader(buffers), None)


def read(obj: Any, index: Any) -> Any:
    buffers: list[Any] = []
    select = selection.array_to_wire(index, buffers)
    return read_source(source_of(obj), select, BufferReader(buffers))


@given(data=st.data())
def test_any_index_of_a_computed_array_equals_numpys_also_in_blocks(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=8))
    chunks = data.draw(st.sampled_from([None, tuple(3 for _ in shape)]))
    expected = np.arange(prod(shape)).reshape(shape)[index]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK_NBYTES", data.draw(st.sampled_from([8, 40, 200, MIB])))
        patch.setattr(arrays, "MAX_BLOCK_NBYTES", 200)
        result = read(Computed(shape, chunks), index)
    np.testing.assert_array_equal(result, expected)
    assert np.shape(result) == expected.shape


def test_a_large_selection_is_computed_when_it_is_sent_and_each_chunk_once() -> None:
    obj = Computed((3000, 10_000), chunks=(100, 10_000))
    plan = plan_of(obj, slice(500, 2500))
    (buffer,) = plan.encode().buffers
    assert not plan.held
    assert plan.nbytes == len(buffer) == 2000 * 10_000 * 8
    assert isinstance(buffer, Blocks)
    assert not obj.asked
    expected = np.arange(500 * 10_000, 2500 * 10_000).tobytes()
    assert whole(buffer, MIB) == expected
    rows = [range(3000)[index[0]] for index in obj.asked]
    assert sum(map(len, rows)) == 2000
    assert all(run.start % 100 == 0 for run in rows)
    with ThreadPoolExecutor(8) as pool:
        starts = range(0, len(buffer), MIB)
        parts = list(pool.map(lambda start: bytes(buffer[start : start + MIB]), starts))
    assert b"".join(parts) == expected


def test_a_small_selection_asks_for_no_more_than_itself() -> None:
    obj = Computed((3000, 10_000))
    result = read(obj, (slice(7, 9), [5, 3, 5]))
    assert result.tolist() == [[70005, 70003, 70005], [80005, 80003, 80005]]
    assert obj.asked == [(slice(7, 9, 1), slice(3, 6, 1))]


def test_positions_far_apart_are_read_one_by_one() -> None:
    obj = Computed((1_000_000, 3))
    last = [2_999_997, 2_999_998, 2_999_999]
    assert read(obj, [999_999, 0, -1]).tolist() == [last, [0, 1, 2], last]
    assert len(obj.asked) == 2


def test_an_array_that_is_not_what_it_says_fails_and_sends_nothing() -> None:
    obj = Computed((3, 3))
    obj.dtype = np.dtype(np.float32)
    with pytest.raises(RemoteError, match="int64 where"):
        read(obj, ...)
    objects = da.from_array(np.array([{}, []], dtype=object), chunks=1)
    with pytest.raises(EncodeError):
        source_of(objects)


@pytest.mark.slow
def test_five_gib_are_computed_in_the_memory_of_a_few_blocks() -> None:
    rows, columns = 5 * 1024, MIB // 8
    (buffer,) = plan_of(Computed((rows, columns)), ...).encode().buffers
    assert len(buffer) == 5 * 1024 * MIB
    tracemalloc.start()
    try:
        for row in range(rows):
            part = np.frombuffer(buffer[row * MIB : (row + 1) * MIB], np.int64)
            assert part[0] == row * columns
            assert part[-1] == (row + 1) * columns - 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * arrays.BLOCK_NBYTES


def test_a_large_computed_array_is_fetched_in_windows() -> None:
    computed = Computed((3000, 1000))
    assert prod(computed.shape) * computed.dtype.itemsize > arrays.BLOCK_NBYTES
    with bridge.serve(computed=computed) as server, bridge.connect(server.url) as client:
        values = client.read("computed")
        assert client.last is not None
        assert client.last.windows > 1
    np.testing.assert_array_equal(values, np.arange(3_000_000).reshape(3000, 1000))
