"""xarray: Datasets and DataArrays come back identical, lazily, or are refused."""

from __future__ import annotations

import pickle
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bridge
from bridge.integrations.xarray import Backend
from tests.processes import ROOT, output_of

RNG = np.random.default_rng(3)
WEATHER = xr.Dataset(
    {
        "wind": (
            ("time", "place"),
            RNG.normal(size=(30, 4)),
            {"units": "m/s", "valid": np.array([0, 90.0])},
        ),
        "rain": (("time",), np.array([0.5, np.nan] * 15, "f4"), {"missing": None, "steps": [1, 2]}),
        "count": ((), np.int64(3)),
    },
    coords={
        "time": pd.date_range("2024-02-28", periods=30, freq="D"),
        "place": ["Bonn", "Oslo", "Rom", "Wien"],
        "height": ("place", np.array([60, 23, 21, 151], ">i2"), {"datum": "sea"}),
        "run": 42,
    },
    attrs={"title": "weather", "version": np.float32(1.5), "nested": {"a": (1, b"\0")}},
)
DATASETS = {
    "weather": WEATHER,
    "empty": xr.Dataset(),
    "attributes alone": xr.Dataset(attrs={"a": 1}),
    "no rows": WEATHER.isel(time=slice(0)),
    "no coordinates": WEATHER.drop_vars(list(WEATHER.coords)),
    "turned": WEATHER.transpose("place", "time").isel(time=slice(None, None, -2)),
    "durations": xr.Dataset({"d": ("x", np.array([1, 2], "m8[ms]"))}, {"x": [1.5, np.nan]}),
    "chunked": WEATHER.chunk({"time": 7}),
}
ARRAYS = {
    "named": WEATHER.wind,
    "unnamed": xr.DataArray([[1, 2]]),
    "a coordinate": WEATHER.time,
    "named as its dimension": xr.DataArray([1, 2], dims="x", name="x"),
    "scalar": WEATHER["count"],
}


@pytest.fixture
def url(server):
    server.update({"weather": WEATHER, "wind": WEATHER.wind})
    return server.url


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_a_dataset_comes_back_identical(server, client, dataset):
    server["ds"] = dataset
    for back in (
        client["ds"].to_xarray(),
        xr.open_dataset(server.url, engine=Backend),
        xr.Dataset.from_dict(client.read("ds")),
        xr.open_dataset(server.url, engine=Backend, group="ds", chunks={}),
    ):
        xr.testing.assert_identical(back, dataset)
        assert {n: v.dtype for n, v in back.variables.items()} == {
            n: v.dtype for n, v in dataset.variables.items()
        }
        assert set(back.xindexes) == set(dataset.xindexes)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_comes_back_identical(server, client, array):
    server["x"] = array
    xr.testing.assert_identical(client["x"].to_xarray(), array)
    xr.testing.assert_identical(xr.open_dataarray(server.url, engine=Backend, group="x"), array)
    np.testing.assert_array_equal(client.read("x"), array.values)  # and is an array to others


def test_what_has_no_labels_is_an_array_with_numbered_dimensions(server, client):
    server["plain"] = np.arange(6).reshape(2, 3)
    server["tree"] = {"a": 1}
    expected = xr.DataArray(np.arange(6).reshape(2, 3), name="plain")
    xr.testing.assert_identical(client["plain"].to_xarray(), expected)
    xr.testing.assert_identical(xr.open_dataarray(server.url, engine=Backend), expected)
    with pytest.raises(ValueError, match="'tree' is a dict, and no Dataset"):
        client["tree"].to_xarray()


def index(length: int) -> st.SearchStrategy:
    bound = st.none() | st.integers(-length - 1, length + 1)
    step = st.none() | st.sampled_from([1, 2, -1, -3])
    position = st.integers(-length, length - 1)
    return st.builds(slice, bound, bound, step) | position | st.lists(position, max_size=5)


@pytest.fixture(scope="module")
def opened():
    with bridge.serve(weather=WEATHER) as server, bridge.connect(server.url) as client:
        yield client["weather"].to_xarray()


@given(time=index(30), place=index(4))
def test_a_selection_is_what_it_is_in_memory(opened, time, place):
    part = opened.isel(time=time, place=place)
    xr.testing.assert_identical(part, WEATHER.isel(time=time, place=place))


def test_a_selection_of_points_is_what_it_is_in_memory(opened):
    points = {"time": xr.DataArray([3, 1, 3], dims="p"), "place": xr.DataArray([0, 2, -1], dims="p")}
    xr.testing.assert_identical(opened.isel(points), WEATHER.isel(points))


def test_nothing_is_read_before_it_is_looked_at_and_then_no_more_than_that(server, client):
    big = da.zeros((2**20, 2**20), chunks=2**10)  # 8 TiB
    server["ds"] = xr.Dataset({"big": (("x", "y"), big)}, {"y": np.arange(2**20)})
    dataset = xr.open_dataset(server.url, engine=Backend)
    assert dataset.big.sel(y=77)[5:8].values.tolist() == [0, 0, 0]


def test_an_opened_dataset_can_be_pickled_and_read_by_many_threads(url):
    dataset = pickle.loads(pickle.dumps(xr.open_dataset(url, engine=Backend)))
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda i: dataset.wind[i].values, range(30)))
    np.testing.assert_array_equal(rows, WEATHER.wind.values)


def test_variables_can_be_dropped_and_the_dataset_closed(url):
    with xr.open_dataset(url, engine=Backend, drop_variables=["rain", "no such"]) as dataset:
        xr.testing.assert_identical(dataset, WEATHER.drop_vars("rain"))


def test_data_that_was_replaced_in_between_is_not_mixed(server, url):
    dataset = xr.open_dataset(url, engine=Backend)
    server["weather"] = WEATHER + 1
    with pytest.raises(bridge.Changed, match=r"'weather/\w+' was replaced"):
        dataset.wind.load()


def test_which_of_several_is_to_be_said(server, url):
    server["other"] = WEATHER
    with pytest.raises(ValueError, match=r"serves .*other.*weather.* group=name"):
        xr.open_dataset(url, engine=Backend)
    with pytest.raises(KeyError, match="did you mean 'weather'"):
        xr.open_dataset(url, engine=Backend, group="wether")


class OfItsOwn(xr.DataArray):
    __slots__ = ()


MULTI = WEATHER.stack(both=["time", "place"])
REFUSED = {
    "a MultiIndex": (MULTI, r"PandasMultiIndex.*reset_index"),
    "a class of its own": (OfItsOwn([1]), "OfItsOwn is a class of its own"),
    "Python objects": (xr.Dataset({"a": ("x", np.array([{}, 1], object))}), "the variable 'a'"),
    "pandas' own dtypes": (
        xr.Dataset({"a": ("x", pd.array([1, None], dtype="Int64"))}),
        "the variable 'a'",
    ),
    "text of pandas": (
        xr.Dataset({"a": ("x", pd.array(["a", None], dtype="string"))}),
        "'a': the dtype string is none of numpy's",
    ),
    "a name that is no text": (xr.Dataset({5: ("x", [1])}), "the name 5 is not printable text"),
    "a name with a slash": (xr.Dataset({"a/b": ("x", [1])}), "the name 'a/b'"),
    "a dimension that is no text": (xr.DataArray([1], dims=[("a", 1)]), "is not printable text"),
    "an attribute that is an object": (
        xr.DataArray([1], attrs={"a": object()}),
        "the attribute 'a' of 'DataArray': object cannot be sent",
    ),
    "an attribute that has no name of text": (
        xr.Dataset({"t": ("x", [1], {1: 2})}),
        "the attribute 1 of 't': a dict key is '1' of type int",
    ),
    "a coordinate without its index": (
        xr.Dataset(coords={"x": [1, 2]}).drop_indexes("x"),
        "'x' has no index",
    ),
}


@pytest.mark.parametrize(("obj", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_come_back_different_is_refused(server, obj, message):
    with pytest.raises(bridge.EncodeError, match=message):
        server["x"] = obj
    assert "x" not in server


@pytest.mark.parametrize(
    "obj", [WEATHER, WEATHER.wind, WEATHER.wind.variable], ids=["set", "array", "variable"]
)
def test_labels_are_not_lost_in_what_is_sent_for_itself(client, obj):
    with pytest.raises(
        bridge.EncodeError, match=r"has labels, which would be lost; .*to_dict\(data='array'\)"
    ):
        client.put("x", obj)


def test_a_dataset_as_a_dict_is_written_and_read_back():
    with (
        bridge.Server("tcp://127.0.0.1:0", writable=True) as server,
        bridge.connect(server.url) as client,
    ):
        client.put("ds", WEATHER.to_dict(data="array"))
        assert xr.Dataset.from_dict(client.read("ds")).equals(WEATHER)


def test_a_dataset_comes_and_goes_as_a_whole(server, client):
    server["ds"] = WEATHER
    assert list(client) == ["ds", *sorted(f"ds/{name}" for name in WEATHER.variables)]
    server["ds"] = WEATHER[["rain"]]
    assert "ds/wind" not in client
    del server["ds"]
    assert list(client) == []


def test_a_dataset_is_served_as_it_was_when_it_was_assigned(server, client):
    mine = WEATHER.copy()
    server["ds"] = mine
    mine["later"] = mine.rain
    del mine["wind"]
    xr.testing.assert_identical(xr.Dataset.from_dict(client.read("ds")), WEATHER)


def test_a_name_is_not_that_of_a_part_too(server, client):
    server["ds/rain"] = np.zeros(3)
    with pytest.raises(ValueError, match="'ds/rain' would be a part of 'ds', but is served itself"):
        server["ds"] = WEATHER
    del server["ds/rain"]
    server["ds"] = WEATHER
    with pytest.raises(ValueError, match="'ds/rain' is a part of 'ds' here"):
        server["ds/rain"] = np.zeros(3)
    xr.testing.assert_identical(client["ds"].to_xarray(), WEATHER)


def test_a_variable_comes_back_as_an_array_with_its_labels(server, client):
    server["wind"] = WEATHER.wind.variable
    xr.testing.assert_identical(client["wind"].to_xarray(), xr.DataArray(WEATHER.wind.variable))


def test_a_part_of_a_dataset_is_not_written_for_itself():
    with (
        bridge.Server("tcp://127.0.0.1:0", writable=True) as server,
        bridge.connect(server.url) as client,
    ):
        server["ds"] = WEATHER
        for write in (
            lambda: client.put("ds/rain", np.zeros(3)),
            lambda: client.append("ds/rain", np.zeros(3, "f4")),
            lambda: client.__delitem__("ds/rain"),
        ):
            with pytest.raises(bridge.RemoteError, match="'ds/rain' is a part of 'ds'"):
                write()
        xr.testing.assert_identical(client["ds"].to_xarray(), WEATHER)


def test_labels_that_do_not_fit_are_the_servers_fault(server, client):
    server["ds"] = WEATHER
    handle = client["ds"]
    handle.labels["data_vars"]["wind"]["dims"] = ["time"]
    with pytest.raises(bridge.WireError, match="the labels of 'ds' do not fit its arrays"):
        handle.to_xarray()
    del handle.labels["coords"]
    with pytest.raises(bridge.WireError, match="'coords'"):
        handle.to_xarray()


def test_xarray_finds_the_engine_by_its_entry_point(url, tmp_path):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared["xarray.backends"] == {"zbridge": "bridge.integrations.xarray:Backend"}
    info = Path(tmp_path, "installed-1.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Name: installed\nVersion: 1\n")
    info.joinpath("entry_points.txt").write_text(
        "[xarray.backends]\nzbridge = {zbridge}\n".format(**declared["xarray.backends"])
    )
    code = """
import sys
sys.path.insert(0, sys.argv[2])
import xarray as xr
print(xr.open_dataset(sys.argv[1], engine="zbridge").attrs["title"])
"""
    assert output_of("-c", code, url, tmp_path) == "weather\n"


def test_missing_xarray_is_named_with_its_extra():
    code = """
import sys
sys.modules["xarray"] = None
import bridge, numpy as np
with bridge.serve(x=np.arange(3)) as srv, bridge.connect(srv.url) as b:
    try:
        b["x"].to_xarray()
    except ImportError as exc:
        print(exc)
"""
    assert 'pip install "zbridge[xarray]"' in output_of("-c", code)
