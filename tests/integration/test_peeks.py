"""A small look at real sources: little moves, and what it says is true of the sample."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bridge
from bridge.errors import RemoteError

ROWS = 200_000
FRAME = pd.DataFrame(
    {
        "price": np.linspace(1, 2, ROWS),
        "symbol": pd.Categorical(["ABC", "XYZ"] * (ROWS // 2)),
        "when": pd.date_range("2020", periods=ROWS, freq="min"),
    },
)
IMAGE = np.hypot(*np.mgrid[-300:300, -400:400])
SAMPLE_BYTES = 2 * 128 * 1024


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    pq.write_table(pa.Table.from_pandas(FRAME), folder / "parquet.parquet", row_group_size=10_000)
    np.save(folder / "npy.npy", IMAGE)
    with h5py.File(folder / "hdf.h5", "w") as file:
        file.create_dataset("image", data=IMAGE, chunks=(60, 80))
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server.mount(folder)
        server["frame"] = FRAME
        server["arrow"] = pa.Table.from_pandas(FRAME)
        server["image"] = IMAGE
        server["wide"] = pd.DataFrame(np.zeros((10, 5000)))
        server["twice"] = pd.DataFrame(np.ones((3, 2)), columns=["a", "a"])
        server["empty"] = FRAME.iloc[:0]
        server["nothing"] = np.zeros((0, 3))
        server["scalar"] = np.array(3.5)
        yield server.url


@pytest.fixture
def client(served):
    with bridge.connect(served) as client:
        yield client


@pytest.mark.parametrize("name", ["frame", "arrow", "parquet"])
def test_a_table_is_sampled_from_its_beginning_to_its_end(client, name):
    look = client[name].peek(seconds=30)
    assert look.total == ROWS
    assert 1000 < look.sampled < 10_000
    price, symbol, when = look.columns
    assert (price.lowest, price.highest) == (1.0, 2.0)
    assert set(symbol.common) == {"ABC", "XYZ"}
    assert (when.lowest, when.highest) == (FRAME["when"].min(), FRAME["when"].max())
    pd.testing.assert_frame_equal(look.first, FRAME.head(5), check_dtype=False, check_names=False)
    assert client.last.nbytes * 8 < SAMPLE_BYTES * 2


@pytest.mark.parametrize("name", ["image", "npy", "hdf/image"])
def test_an_array_is_sampled_on_a_grid(client, name):
    look = client[name].peek(seconds=30)
    (column,) = look.columns
    assert column.lowest == pytest.approx(0, abs=10)
    assert column.highest == pytest.approx(500, abs=10)
    assert sum(column.counts) == look.sampled < look.total == IMAGE.size
    np.testing.assert_array_equal(look.first, IMAGE[:6, :8])
    assert client.last.nbytes < SAMPLE_BYTES
    assert look.picture.startswith("<svg")


def test_of_a_wide_table_the_first_columns_are_looked_at(client):
    assert [column.label for column in client["wide"].peek().columns] == list(range(30))


def test_columns_that_share_a_name_are_looked_at_one_by_one(client):
    assert [column.label for column in client["twice"].peek().columns] == ["a", "a"]


@pytest.mark.parametrize("name", ["empty", "nothing", "scalar"])
def test_where_there_is_little_all_of_it_is_shown(client, name):
    look = client[name].peek()
    assert look.sampled == look.total
    assert "of all" in repr(look)


def test_a_narrowed_table_is_looked_at_as_it_is_narrowed(client):
    table = client["frame"]
    backwards = table.select(["price"]).slice(None, None, -2).peek(seconds=30)
    assert list(backwards.first.index) == list(range(ROWS - 1, ROWS - 11, -2))
    assert backwards.total == ROWS // 2
    assert [column.highest for column in backwards.columns] == [2.0]
    passed = table.filter([("price", ">", 1.5)]).peek()
    assert passed.total is None
    assert passed.columns[0].lowest > 1.5
    assert table.filter([("price", ">", 3)]).peek().sampled == 0


@pytest.mark.parametrize(
    "read", [lambda t: t.peek(), lambda t: t.to_dask(4).compute()], ids=["peek", "dask"]
)
def test_what_is_said_of_all_rows_does_not_hinder_those_who_join_parts(read):
    frame = FRAME.set_flags(allows_duplicate_labels=False)
    frame.attrs = {"calibration": np.array([1.0, 2.0])}
    with bridge.Server("tcp://127.0.0.1:0") as server, bridge.connect(server.url) as client:
        server["frame"] = frame
        read(client["frame"])


def test_a_look_at_what_is_gone_is_the_servers_failure():
    with bridge.serve(table=FRAME.head(), array=IMAGE) as server, bridge.connect(server.url) as client:
        handles = client["table"], client["array"]
        server.clear()
        for handle in handles:
            with pytest.raises(RemoteError, match=r"no '(table|array)' here"):
                handle.peek()
