from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bridge import codecs
from bridge.codecs.offsets import OFFSETS
from bridge.errors import EncodeError, WireError

RANGE = {"kind": "index", "range": [0, 2, 1]}


def _array(dtype: str, *shape: int) -> dict[str, Any]:
    return {"kind": "array", "dtype": dtype, "shape": list(shape), "order": "C"}


def _levels(**change: Any) -> dict[str, Any]:
    return {"kind": "index", "levels": [RANGE], "codes": [_array("|i1", 1)], "sortorder": None} | change


@pytest.mark.parametrize(
    "ends",
    [
        [0, 1],
        [0, 1, 0],
        [0, 1, True],
        [0, 1.0, 1],
        ["0", 1, 1],
        [0, 2**62 + 1, 1],
        [-(2**63), 0, 1],
        {},
        5,
    ],
    ids=str,
)
def test_a_range_is_three_checked_integers(ends):
    with pytest.raises(WireError, match="a range is"):
        codecs.decode({"kind": "index", "range": ends}, [])


@pytest.mark.parametrize("code", [-2, 2, 127, -128])
def test_codes_count_to_a_label(code):
    with pytest.raises(WireError, match="codes reach from"):
        codecs.decode(_levels(), [np.int8(code).tobytes()])


@pytest.mark.parametrize(
    ("change", "buffers", "match"),
    [
        ({"levels": []}, [1], "has 0 levels, 1 codes"),
        ({"codes": []}, [], "has 1 levels, 0 codes"),
        (
            {"levels": [RANGE] * 2, "codes": [_array("|i1", 1), _array("|i1", 2)]},
            [1, 2],
            "differ in length",
        ),
        ({"levels": [_levels()]}, [1, 1], "not flat and unique"),
        ({"levels": [{"kind": "index", "values": _array("|i1", 2)}]}, [2, 1], "not flat and unique"),
        ({"levels": [{"kind": "tree", "value": 1}]}, [1], "not flat and unique"),
        ({"codes": [_array("|u1", 1)]}, [1], "only dtypes of the kinds 'i'"),
        ({"codes": [_array(">i2", 1)]}, [2], "codes are"),
        ({"codes": [_array("|i1", 1, 1)]}, [1], "codes are"),
        ({"sortorder": 2}, [1], "sortorder"),
        ({"sortorder": True}, [1], "sortorder"),
    ],
    ids=str,
)
def test_levels_and_codes_are_checked(change, buffers, match):
    with pytest.raises(WireError, match=match):
        codecs.decode(_levels(**change), [bytes(size) for size in buffers])


@pytest.mark.parametrize(
    ("change", "buffers", "match"),
    [
        ({"values": _array("<i8", 1, 1)}, [8], "2 axes"),
        ({"values": _array("<i8", 1), "freq": [1, "D"]}, [8], "has no frequency"),
        ({"values": _array("<M8[ns]", 1), "freq": "D"}, [8], "is not like"),
        ({"values": _array("<M8[D]", 1)}, [8], "pandas has no dates"),
        ({"values": _array(">M8[ns]", 1)}, [8], "pandas has no dates"),
        ({"values": _array("<f2", 1)}, [2], "cannot|float16"),
        ({"values": _array("<U1", 1)}, [4], "only dtypes of the kinds"),
        ({"values": _array("|V1", 1), "name": {"kind": "tree", "value": {}}}, [1], "cannot be a name"),
        ({}, [], "expected a JSON object"),
    ],
    ids=str,
)
def test_values_are_checked(change, buffers, match):
    with pytest.raises(WireError, match=match):
        codecs.decode({"kind": "index", **change}, [bytes(size) for size in buffers])


def test_a_frequency_is_part_of_the_dates():
    dates = pd.date_range("2024", periods=3, freq="B")
    descriptor, buffers = codecs.encode(dates)
    assert descriptor["freq"] == [1, "B"]
    assert codecs.decode(descriptor, buffers).shift(1)[-1] == dates.shift(1)[-1]


@pytest.mark.parametrize("code", OFFSETS)
@pytest.mark.parametrize("number", [1, 3, -2])
def test_dates_come_back_with_every_frequency_that_they_can_have(number, code):
    freq = OFFSETS[code](number)
    for zone in (None, "Europe/Berlin"):
        dates = pd.date_range("2019-05-17 12:30", periods=400, freq=freq, tz=zone)
        for part in (dates, dates[1:], dates[::3], dates[:1], dates[:0]):
            back = codecs.decode(*codecs.encode(part))
            assert back.equals(part)
            assert back.freq == part.freq


@pytest.mark.parametrize(
    "freq", [[1, "D"], [1, "h"], [-1, "B"], [2**31 - 1, "YE-DEC"], [0, "D"]], ids=str
)
def test_a_frequency_leads_from_the_first_date_to_the_last(freq):
    dates = pd.to_datetime(["2020-01-01", "2020-01-07", "2020-03-01"])
    for index in (dates, dates.tz_localize("Europe/Berlin"), dates - dates[0]):
        descriptor, buffers = codecs.encode(index)
        with pytest.raises(WireError, match=r"frequency|hold"):
            codecs.decode({**descriptor, "freq": freq}, buffers)


def test_a_frequency_that_leads_elsewhere_is_not_sent():
    dates: Any = pd.DatetimeIndex(["2020-01-01", "2020-01-07"])
    owner = dates if hasattr(type(dates), "_freq") else dates._data
    owner._freq = pd.offsets.Day()
    with pytest.raises(EncodeError, match=r"drop it: index\.freq = None"):
        codecs.encode(dates)


def test_levels_that_are_not_sorted_cannot_be_said_to_be():
    unsorted = _MultiIndex([["a", "b"], [0, 1, 2, 3]], [[0, 1, 0, 1], [0, 1, 2, 3]])
    descriptor, buffers = codecs.encode(unsorted)
    for sortorder in (1, 2):
        with pytest.raises(WireError, match=f"says that {sortorder} of its levels are sorted"):
            codecs.decode({**descriptor, "sortorder": sortorder}, buffers)
    wrong = _MultiIndex(unsorted.levels, unsorted.codes, sortorder=2, verify_integrity=False)
    with pytest.raises(EncodeError, match="says that 2 of its levels are sorted"):
        codecs.encode(wrong)
    for right in (unsorted.sortlevel(0)[0], unsorted.sortlevel(1)[0]):
        assert codecs.decode(*codecs.encode(right)).sortorder == right.sortorder


# Without the type stubs, which know nothing of what is private, and want lists.
_Index: Any = pd.Index
_MultiIndex: Any = pd.MultiIndex


class _Meters(_Index):  # type: ignore[misc]
    """What another package derives."""


def test_the_class_of_an_index_stays():
    meters = _Meters._simple_new(np.array([1.5]))
    for obj in (meters, pd.Series([1], index=meters)):
        with pytest.raises(EncodeError, match="lose its class"):
            codecs.encode(obj)


SPARSE = {
    "type": "sparse",
    "length": 2**26,
    "fill": {"kind": "tree", "value": 0},
    "values": _array("|i1", 0),
    "indices": _array("<i4", 0),
}


@pytest.mark.parametrize("kind", ["nulls", "sparse"])
def test_labels_without_memory_cost_none(kind):
    arrow, buffers = codecs.encode(pa.chunked_array([pa.Array.from_buffers(pa.null(), 2**26, [None])]))
    fields = {"type": "arrow", "arrow": arrow} if kind == "nulls" else SPARSE
    labels = {"kind": "index", "values": {"kind": "extension", **fields}}
    with pytest.raises(WireError, match="have no memory"):
        codecs.decode(labels, buffers if kind == "nulls" else [b"", b""])


def test_a_label_twice_in_a_level_is_refused():
    levels = pd.MultiIndex([["a", "a"]], [[0, 1]], verify_integrity=False)
    with pytest.raises(EncodeError, match="from_tuples"):
        codecs.encode(levels)


ENDLESS = {"kind": "index", "range": [0, 2**40, 1]}


def test_labels_that_are_an_endless_range_cost_none():
    codes = _array("|i1", 1)
    categories = {"type": "categorical", "ordered": False, "codes": codes, "categories": ENDLESS}
    labels = {"kind": "index", "values": {"kind": "extension", **categories}}
    for descriptor in (labels, _levels(levels=[ENDLESS])):
        with pytest.raises(WireError, match="no memory"):
            codecs.decode(descriptor, [bytes(1)])


def test_labels_that_are_an_endless_range_are_refused():
    labels = pd.RangeIndex(2**40)
    with pytest.raises(EncodeError, match="remove_unused_categories"):
        codecs.encode(
            pd.CategoricalIndex(pd.Categorical.from_codes([0], dtype=pd.CategoricalDtype(labels)))
        )
    with pytest.raises(EncodeError, match="remove_unused_levels"):
        codecs.encode(_MultiIndex([labels], [[0]], verify_integrity=False))


def test_a_long_range_may_be_a_level_that_is_used():
    rows = 2**20 + 2**17
    index = _MultiIndex([pd.RangeIndex(rows), ["a"]], [np.arange(rows), np.zeros(rows, np.int8)])
    descriptor, buffers = codecs.encode(index)
    assert codecs.decode(descriptor, buffers).equals(index)
