"""What is selected on the server is what numpy and pandas select here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bridge
from tests.check import difference

DTYPES = (
    hnp.scalar_dtypes()
    | hnp.byte_string_dtypes(min_len=1)
    | hnp.unicode_string_dtypes(min_len=1)
    | hnp.array_dtypes(hnp.scalar_dtypes(), max_size=3)
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)

FRAME = pd.DataFrame(
    {
        "t": pd.date_range("2026-01-05", periods=40, freq="h", tz="Europe/Berlin"),
        "n": np.arange(40) % 7,
        "x": np.where(np.arange(40) % 5 == 0, np.nan, np.linspace(-1, 1, 40)),
        "s": pd.Series(["a", "b", None, "Größe"] * 10),
        "c": pd.Categorical(["low", "high", "low", None] * 10, ["low", "high"], ordered=True),
    }
)


@pytest.fixture(scope="module")
def server():
    with bridge.serve(frame=FRAME, table=pa.Table.from_pandas(FRAME, preserve_index=False)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with bridge.connect(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def frame(client):
    return client["frame"]


@pytest.fixture(scope="module")
def table(client):
    return client["table"]


@st.composite
def arrays(draw, shapes=SHAPES):
    dtype, shape = draw(DTYPES), draw(shapes)
    count = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8)
    if dtype.kind == "U":  # not every four bytes are a character
        raw = (raw.reshape(-1, 4) % [128, 1, 1, 1]).astype(np.uint8)
        raw = raw if dtype.isnative else raw[:, ::-1]
    if dtype.kind == "b":
        raw = raw % 2
    array = np.frombuffer(raw.tobytes(), dtype) if count else np.zeros(shape, dtype)
    return array.reshape(shape, order=draw(st.sampled_from("CF")))


@st.composite
def indexed_arrays(draw):
    array = draw(arrays())
    index = hnp.basic_indices(array.shape, max_dims=6, allow_newaxis=True, allow_ellipsis=True)
    return array, draw(index)


@st.composite
def taken_arrays(draw):
    """An array, and an index with one list of integers or boolean mask on one axis."""
    array = draw(arrays(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)))
    axis = draw(st.integers(0, array.ndim - 1))
    size = array.shape[axis]
    positions = st.lists(st.integers(-size, size - 1), max_size=8)
    masks = hnp.arrays(bool, size)
    taken = draw(positions.map(lambda items: np.array(items, int)) | positions | masks)
    before = draw(st.tuples(*[st.slices(size) for size in array.shape[:axis]]))
    return array, (*before, taken)


@given(indexed_arrays())
@example((np.arange(12.0).reshape(3, 4), np.s_[::-1, -1]))
@example((np.zeros((0, 3), "datetime64[25s]"), np.s_[..., None, 1]))
def test_any_basic_index_gives_what_numpy_gives(server, client, case):
    array, index = case
    server["array"] = array
    assert difference(as_numpy(array, index), client["array"][index]) is None


@given(taken_arrays())
def test_a_list_or_a_mask_gives_what_numpy_gives(server, client, case):
    array, index = case
    server["array"] = array
    assert difference(as_numpy(array, index), client["array"][index]) is None


def as_numpy(array, index):
    """What numpy gives for an index, in the order in which it travels: F where it is only F."""
    part = array[index]
    return part.copy("A") if isinstance(part, np.ndarray) else part


@pytest.mark.parametrize("dtype", [None, "f4", "complex128", ">f8", "S5"])
def test_asarray_fetches_and_converts(server, client, dtype):
    values = np.arange(6.0).reshape(2, 3)
    server["array"] = values
    assert difference(np.asarray(values, dtype), np.asarray(client["array"], dtype)) is None


def test_asarray_without_a_copy_is_refused(server, client):
    server["array"] = np.arange(3)
    with pytest.raises(ValueError, match="on the server"):
        np.asarray(client["array"], copy=False)


@pytest.mark.parametrize("index", [5, -6, (0, 0), np.s_[..., 0, 0], [5], [True, False]])
def test_an_index_that_does_not_fit_is_the_error_that_numpy_raises(server, client, index):
    values = np.arange(5)
    server["array"] = values
    with pytest.raises(IndexError):
        values[index]
    with pytest.raises(IndexError) as caught:
        client["array"][index]
    assert isinstance(caught.value, bridge.RemoteError)


@given(
    columns=st.none() | st.lists(st.sampled_from(list(FRAME.columns)), min_size=1, unique=True),
    rows=st.slices(45),
)
def test_columns_and_rows_are_what_pandas_gives(frame, columns, rows):
    selected = frame.slice(rows.start, rows.stop, rows.step)
    expected = FRAME[rows]
    if columns is not None:
        selected, expected = selected.select(columns), expected[columns]
    assert selected.columns == list(expected.columns)
    assert selected.num_rows == len(selected) == len(expected)
    assert difference(expected, selected.read()) is None


FILTERS = [
    ([("n", "==", 3)], FRAME.n == 3),
    ([("n", "=", 3)], FRAME.n == 3),
    ([("n", "!=", 3), ("x", ">=", 0.0)], (FRAME.n != 3) & (FRAME.x >= 0)),
    ([("n", "in", [1, 2])], FRAME.n.isin([1, 2])),
    ([("n", "not in", [1, 2])], ~FRAME.n.isin([1, 2])),
    ([("s", "==", "Größe")], FRAME.s == "Größe"),
    (
        [[("n", "<", 1)], [("n", ">", 5), ("s", "==", "a")]],
        (FRAME.n < 1) | ((FRAME.n > 5) & (FRAME.s == "a")),
    ),
    ([("t", ">", FRAME.t[20])], FRAME.t > FRAME.t[20]),
    ([("s", "is null", None)], FRAME.s.isna()),
    ([("n", ">", 100)], FRAME.n > 100),
]


@pytest.mark.parametrize(
    ("filters", "mask"), FILTERS, ids=[str(number) for number in range(len(FILTERS))]
)
def test_filters_keep_the_rows_that_pandas_keeps(frame, table, filters, mask):
    assert difference(FRAME[mask], frame.filter(filters).read()) is None
    expected = pa.Table.from_pandas(FRAME[mask], preserve_index=False)
    assert table.filter(filters).read().equals(expected)


def test_filters_come_first_then_rows_then_columns(frame):
    selected = frame.filter([("n", ">", 3)]).select(["x"]).slice(2, 9).head(3)
    assert selected.num_rows is None
    assert selected.shape == (None, len(selected.columns))
    assert difference(FRAME[FRAME.n > 3][["x"]][2:5], selected.read()) is None


def test_brackets_give_a_series_or_a_frame(frame):
    assert difference(FRAME["x"], frame["x"]) is None
    assert difference(FRAME[["s", "n"]], frame[["s", "n"]]) is None
    assert difference(FRAME[0:10], frame[0:10]) is None
    assert difference(FRAME[::-3], frame[::-3]) is None
    assert difference(FRAME.head(), frame.head().to_pandas()) is None


def test_a_column_that_is_not_there_is_refused_before_anything_is_sent(frame):
    with pytest.raises(KeyError, match="its columns are t, n, x, s, c"):
        frame["price"]


@pytest.mark.parametrize("name", ["frame", "table"])
def test_arrow_libraries_take_a_handle_as_it_is_again_and_again(client, name):
    handle = client[name].select(["n", "x", "s"]).slice(0, 20)
    expected = pa.Table.from_pandas(FRAME[["n", "x", "s"]][0:20], preserve_index=False)
    for _ in range(2):
        assert pa.table(handle).equals(expected)
        assert pl.DataFrame(handle).equals(pl.DataFrame(expected))
    assert handle.to_arrow().equals(expected)
    assert handle.to_polars().equals(pl.DataFrame(expected))
    assert handle.to_arrow().schema.equals(handle.schema)


def test_arrow_selects_as_arrow_does(table):
    whole = pa.Table.from_pandas(FRAME, preserve_index=False)
    assert table.read().equals(whole)
    assert table.slice(5, 15).read().equals(whole.slice(5, 10))
    selected = table.filter([("n", ">", 3)]).select(["x", "n"])
    assert selected.read().equals(whole.filter(pc.field("n") > 3).select(["x", "n"]))
    assert selected.to_pandas().equals(whole.filter(pc.field("n") > 3).select(["x", "n"]).to_pandas())
