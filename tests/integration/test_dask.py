"""dask: collections whose blocks are fetched by the workers, and collections that are served."""

from __future__ import annotations

import os
import re
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dask.base import tokenize

import bridge
from tests.faults.memory import MIB, only_on_linux
from tests.processes import output_of, serving

X = np.random.default_rng(7).normal(size=(400, 300))
FRAME = pd.DataFrame(
    {
        "n": np.arange(1000),
        "text": pd.Series(["a", None, "c", "d"] * 250, dtype="str"),
        "kind": pd.Categorical(["x", "y"] * 500),
        "cells": [{"deep": [1, 2]}, b"raw"] * 500,
    },
    index=pd.Index(np.arange(1000) * 3, name="key"),
)
TABLE = pa.table({"n": [1, 2, None, 4, 5], "lists": [[1], None, [], [2, 3], [4]]})

# A few numbers that pass for 4 GiB, and a server that is another process, as its memory is not the reader's.
SERVER = """
import numpy as np, bridge
srv = bridge.Server("tcp://127.0.0.1:0")
srv["large"] = np.broadcast_to(np.arange(1024.0), (512 * 1024, 1024))
print(srv.url, flush=True)
srv.run()
"""
MEAN_OF_LARGE = """
import sys
from pathlib import Path
import bridge, dask

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

x = bridge.connect(sys.argv[1])["large"].to_dask(chunks="32MiB")
x[:1].mean().compute(scheduler="threads", num_workers=2)
before = peak()
print(x.nbytes, x.mean().compute(scheduler="threads", num_workers=2), peak() - before)
"""


@pytest.fixture
def b(server):
    server.update({"x": X, "frame": FRAME, "table": TABLE})
    with bridge.connect(server.url) as b:
        yield b


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_an_array_is_computed_from_blocks_that_the_tasks_fetch(b, scheduler):
    x = b["x"].to_dask(chunks=(100, 150))
    assert x.chunks == ((100,) * 4, (150,) * 2)
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(x.compute(), X)
        np.testing.assert_array_equal(x[5:333:7, [3, 1, 299]].compute(), X[5:333:7, [3, 1, 299]])
        np.testing.assert_allclose((x.T @ x).std().compute(), (X.T @ X).std())


def test_what_is_cut_out_of_the_collection_is_all_that_travels(b):
    x = b["x"].to_dask(chunks=(100, 300))
    with dask.config.set(scheduler="sync"):
        np.testing.assert_array_equal(x[3, :10].compute(), X[3, :10])
    assert b.last.nbytes == 80


@pytest.mark.parametrize(
    "values",
    [
        np.float64(2.5),
        np.zeros((0, 3)),
        np.arange(10, dtype=">i2"),
        np.ma.masked_greater(np.arange(10), 6),
        np.array(["a", "bcd"]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01", "NaT"], "M8[us]"),
    ],
    ids=["0d", "empty", "big-endian", "masked", "text", "structured", "times"],
)
def test_arrays_of_all_kinds_come_as_they_are(b, server, values):
    server["values"] = np.asanyarray(values)
    result = b["values"].to_dask(chunks=4).compute(scheduler="sync")
    assert type(result) is type(values) or values.ndim == 0
    assert result.dtype == values.dtype
    np.testing.assert_array_equal(result, values)
    np.testing.assert_array_equal(np.ma.getmaskarray(result), np.ma.getmaskarray(values))


@pytest.mark.parametrize("partitions", [None, 1, 3, 7])
def test_a_frame_is_put_together_again_exactly(b, partitions):
    frame = b["frame"].to_dask(partitions)
    assert frame.npartitions == (partitions or 1)
    pd.testing.assert_frame_equal(frame.compute(scheduler="sync"), FRAME)
    assert frame.n.sum().compute(scheduler="sync") == FRAME.n.sum()


@pytest.mark.parametrize("rows", [np.s_[200:800], np.s_[-300:], np.s_[::-7], np.s_[900:10]], ids=str)
@pytest.mark.parametrize("partitions", [1, 3])
def test_a_slice_of_a_frame_is_divided_too(b, rows, partitions):
    t = b["frame"].slice(rows.start, rows.stop, rows.step)
    result = t.to_dask(partitions).compute(scheduler="sync")
    pd.testing.assert_frame_equal(result, FRAME[rows])


def test_a_narrower_table_is_divided_by_its_own_size(b, server):
    server["large"] = pa.table({"n": np.zeros(9_000_000)})
    assert b["large"].to_dask().npartitions == 2
    assert b["large"].head(100).to_dask().npartitions == 1


def test_columns_that_are_not_needed_are_not_fetched(b):
    frame = b["frame"].to_dask(2)
    assert frame[["n"]].sum().compute(scheduler="sync")["n"] == FRAME.n.sum()
    assert b.last.nbytes < 500 * (8 + 8) + 100  # the index and its name come with it


def test_an_arrow_tables_dtypes_do_not_depend_on_the_partition(b):
    frame = b["table"].to_dask(2)
    result = frame.compute(scheduler="sync")
    assert list(result.dtypes) == list(frame.dtypes)
    assert result.dtypes["n"] == pd.ArrowDtype(pa.int64())
    assert list(result["lists"].iloc[3]) == [2, 3]
    assert list(result.index) == list(range(5))
    assert pa.Table.from_pandas(result, preserve_index=False).column("n").equals(TABLE.column("n"))


def test_rows_that_a_filter_leaves_cannot_be_divided(b):
    with pytest.raises(ValueError, match=r"filter in dask: t\.to_dask\(\)\.query"):
        b["frame"].filter([("n", ">", 5)]).to_dask()
    with pytest.raises(ValueError, match="partitions is 0; expected at least one"):
        b["frame"].to_dask(0)


def test_tokens_tell_the_same_data_from_other(b, server):
    with bridge.connect(server.url, timeout=3) as other:
        assert b["x"].to_dask().name == other["x"].to_dask().name
        assert tokenize(b["table"]) == tokenize(other["table"])
        assert b["frame"].to_dask(2)._name == other["frame"].to_dask(2)._name
    assert b["x"].to_dask(chunks=100).name != b["x"].to_dask(chunks=50).name
    assert tokenize(b["frame"]) != tokenize(b["frame"].select(["n"]))
    before = b["x"].to_dask().name
    server["x"] = X
    assert b["x"].to_dask().name != before


def test_data_that_was_replaced_in_between_is_not_mixed(b, server):
    x, frame = b["x"].to_dask(chunks=100), b["frame"].to_dask(2)
    server.update({"x": X + 1, "frame": FRAME[::-1]})
    for collection in (x, frame):
        with pytest.raises(bridge.Changed, match="was replaced on the server"):
            collection.compute(scheduler="sync")


def process_id(block):
    return np.full((1,) * block.ndim, os.getpid())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the pool and the cluster warn of is their own
def test_workers_in_processes_fetch_their_own_blocks(b, server):
    distributed = pytest.importorskip("distributed")
    x, frame = b["x"].to_dask(chunks=(50, 300)), b["frame"].to_dask(4)
    last = b.last
    np.testing.assert_array_equal(x.compute(scheduler="processes"), X)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        np.testing.assert_allclose(x.mean().compute(), X.mean())
        pd.testing.assert_frame_equal(frame.compute(), FRAME)
        pids = set(x.map_blocks(process_id, chunks=(1, 1), dtype=int).compute().ravel())
    assert os.getpid() not in pids
    assert b.last is last  # nothing of it came through this client


@only_on_linux
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_mean_of_4_gib_takes_the_memory_of_a_few_blocks():
    with serving("-c", SERVER) as (url, _):
        nbytes, mean, grown = output_of("-c", MEAN_OF_LARGE, url).split()
    assert int(nbytes) == 4096 * MIB
    assert float(mean) == 511.5
    assert int(grown) < 8 * 32 * MIB


# ── dask collections that are served ──────────────────────────────────────────────────────────────


def test_a_dask_array_is_served_by_the_blocks_that_are_asked_for(server, client):
    server["x"] = da.from_array(X, chunks=(100, 100)) * 2
    np.testing.assert_array_equal(client["x"][::-3, 5], X[::-3, 5] * 2)


def fail(block):
    raise ZeroDivisionError(f"of {block.size} items")


UNSENDABLE = {
    "masked": (lambda: da.ma.masked_array(da.arange(4, chunks=2), mask=[0, 1, 0, 0]), "lose its mask"),
    "unknown length": (lambda: (x := da.ones(10, chunks=5))[x > 0], r"compute_chunk_sizes\(\)"),
    "series": (lambda: dd.from_pandas(FRAME["n"], npartitions=2), r"series\.to_frame\(\)"),
}


@pytest.mark.parametrize(("make", "message"), UNSENDABLE.values(), ids=UNSENDABLE)
def test_a_collection_that_would_not_come_back_the_same_is_refused(server, make, message):
    with pytest.raises(bridge.EncodeError, match=message):
        server["x"] = make()


def test_what_a_computation_raises_is_told_to_who_asked(server, client, caplog):
    server["x"] = da.map_blocks(fail, da.ones(3, chunks=3), dtype=float, meta=np.ones(0))
    with pytest.raises(ZeroDivisionError, match="cannot be computed: ZeroDivisionError: of 3 items"):
        client.read("x")
    assert not caplog.records  # it is no fault of the server


@pytest.mark.parametrize("npartitions", [1, 4])
def test_a_dask_frame_is_served_as_pandas_would_serve_what_it_computes(server, client, npartitions):
    with dask.config.set({"dataframe.convert-string": False, "scheduler": "sync"}):
        server["lazy"] = dd.from_pandas(FRAME, npartitions=npartitions)
        server["frame"] = FRAME
        lazy, frame = client["lazy"], client["frame"]
        assert lazy.num_rows == 1000
        for select in (
            lambda t: t,
            lambda t: t.select(["text", "n"]),
            lambda t: t.slice(100, 130),
            lambda t: t.slice(700, 240, -9),
            lambda t: t.slice(None, None, -400),
            lambda t: t.slice(20, 10),
            lambda t: t.filter([("n", ">", 730)]).select(["kind"]),
            lambda t: t.filter([("text", "==", "a")]).slice(-3, None),
        ):
            pd.testing.assert_frame_equal(select(lazy).read(), select(frame).read())
        numbers = lazy.select(["n", "text"]).to_arrow()
        assert numbers.column("n").to_pylist() == list(range(1000))
        with pytest.raises(bridge.RemoteError, match="no column 'none'"):
            lazy._narrowed(columns=["none"]).read()


def test_missing_dask_is_named_with_its_extra(tmp_path: Path):
    code = """
import sys
sys.modules["dask"] = None
import bridge, numpy as np
with bridge.serve(x=np.arange(3)) as srv, bridge.connect(srv.url) as b:
    try:
        b["x"].to_dask()
    except ImportError as exc:
        print(exc)
"""
    assert re.search(r'pip install "zbridge\[dask\]"', output_of("-c", code))
