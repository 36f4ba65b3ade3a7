from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bridge import codecs
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
