from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import codecs
from bridge.errors import EncodeError, WireError


def _array(dtype: str, *shape: int) -> dict[str, Any]:
    return {"kind": "array", "dtype": dtype, "shape": list(shape), "order": "C"}


BYTES = _array("|i1", 2)
INTS = _array("<i4", 2)
LABELS = {"kind": "index", "range": [0, 2, 1]}
ZERO = {"kind": "tree", "value": 0}
CATEGORIES = {"type": "categorical", "ordered": False, "codes": BYTES, "categories": LABELS}
SPARSE = {"type": "sparse", "length": 4, "fill": ZERO, "values": BYTES}


def _ints(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


HOSTILE: dict[str, tuple[dict[str, Any], list[bytes], str]] = {
    "an unknown type": ({"type": "geometry"}, [], "unknown extension type"),
    "no type": ({}, [], "has no 'type'"),
    "a zone that is a path": ({"type": "datetime", "zone": "../../etc/passwd"}, [], "unknown here"),
    "dates in days": ({"type": "datetime", "values": _array("<M8[D]", 1)}, [bytes(8)], "no dates of"),
    "dates that are durations": (
        {"type": "datetime", "values": _array("<m8[s]", 1)},
        [bytes(8)],
        "kinds 'M'",
    ),
    "periods of a custom span": ({"type": "period", "freq": [1, "B"], "values": BYTES}, [], "unknown"),
    "periods of int8": ({"type": "period", "freq": [1, "D"], "values": BYTES}, [bytes(2)], "int64"),
    "a code beyond its categories": (CATEGORIES, [b"\x00\x02"], "codes reach from 0 to 2"),
    "a code below -1": (CATEGORIES, [b"\x00\xfe"], "codes reach from -2 to 0"),
    "categories twice": (
        {**CATEGORIES, "categories": {"kind": "index", "values": BYTES}},
        [bytes(2), bytes(2)],
        "unique",
    ),
    "categories that are no index": ({**CATEGORIES, "categories": ZERO}, [bytes(2)], "flat index"),
    "categories that are endless": (
        {**CATEGORIES, "codes": _array("<u8", 1)},
        [bytes(8)],
        "kinds 'i'",
    ),
    "a mask of another length": (
        {"type": "masked", "values": BYTES, "mask": _array("|b1", 1)},
        [bytes(2), bytes(1)],
        "not one that pandas can hold",
    ),
    "a mask of two axes": (
        {"type": "masked", "values": BYTES, "mask": _array("|b1", 2, 1)},
        [bytes(2), bytes(2)],
        "more than one axis",
    ),
    "nullable float16": (
        {"type": "masked", "values": _array("<f2", 1), "mask": _array("|b1", 1)},
        [bytes(2), bytes(1)],
        "not one that pandas can hold",
    ),
    "nullable numbers of another byte order": (
        {"type": "masked", "values": _array(">i2", 1), "mask": _array("|b1", 1)},
        [bytes(2), bytes(1)],
        "byte order",
    ),
    "intervals that end before they begin": (
        {"type": "interval", "closed": "left", "left": BYTES, "right": BYTES},
        [b"\x01\x01", b"\x00\x02"],
        "not one that pandas can hold",
    ),
    "intervals of two dtypes": (
        {"type": "interval", "closed": "left", "left": BYTES, "right": _array("|u1", 2)},
        [bytes(2), bytes(2)],
        "one dtype",
    ),
    "intervals closed elsewhere": ({"type": "interval", "closed": "up"}, [], "expected left"),
    "positions that fall": ({**SPARSE, "indices": INTS}, [bytes(2), _ints(3, 1)], "not ascending"),
    "a position twice": ({**SPARSE, "indices": INTS}, [bytes(2), _ints(1, 1)], "not ascending"),
    "a position below zero": ({**SPARSE, "indices": INTS}, [bytes(2), _ints(-1, 1)], "not ascending"),
    "a position beyond the end": ({**SPARSE, "indices": INTS}, [bytes(2), _ints(1, 4)], "not ascending"),
    "more positions than values": (
        {**SPARSE, "indices": _array("<i4", 1)},
        [bytes(2), _ints(1)],
        "2 sparse values for 1",
    ),
    "positions of 64 bits": ({**SPARSE, "indices": _array("<i8", 1)}, [bytes(2), bytes(8)], "int32"),
    "runs that overlap": (
        {**SPARSE, "starts": INTS, "lengths": INTS},
        [bytes(2), _ints(0, 1), _ints(2, 1)],
        "not ascending",
    ),
    "runs that wrap around": (
        {**SPARSE, "starts": INTS, "lengths": INTS},
        [bytes(2), _ints(0, 1), _ints(1, 2**31 - 1)],
        "not ascending",
    ),
    "runs without a length": (
        {**SPARSE, "starts": INTS, "lengths": _array("<i4", 1)},
        [bytes(2), _ints(0, 1), _ints(1)],
        "2 starts of runs, 1 lengths",
    ),
    "empty runs": (
        {**SPARSE, "starts": INTS, "lengths": INTS},
        [bytes(2), _ints(0, 1), _ints(0, 2)],
        "not ascending",
    ),
    "an endless sparse array": ({**SPARSE, "length": 2**31}, [], "at most 2147483647"),
    "a negative sparse array": ({**SPARSE, "length": -1}, [], "at most 2147483647"),
    "a fill value that is a list": (
        {**SPARSE, "fill": {"kind": "tree", "value": [1]}, "indices": INTS},
        [bytes(2), _ints(0, 1)],
        "not one that pandas can hold",
    ),
    "strings of unknown storage": (
        {"type": "string", "storage": "rust", "na": "nan", "text": {"length": 0, "missing": False}},
        [],
        "no strings of",
    ),
    "a tree for an Arrow array": ({"type": "arrow", "arrow": ZERO}, [], "only a chunked Arrow array"),
}


@pytest.mark.parametrize(("fields", "buffers", "match"), HOSTILE.values(), ids=HOSTILE)
def test_parts_are_checked(fields, buffers, match):
    with pytest.raises(WireError, match=match):
        codecs.decode({"kind": "extension", **fields}, buffers)


def test_arrays_of_other_packages_are_refused():
    class Dtype(pd.api.extensions.ExtensionDtype):
        name = "geometry"
        type = object

    class Geometries(pd.api.extensions.ExtensionArray):
        dtype = Dtype()

    with pytest.raises(EncodeError, match=r"geometry.*to_numpy"):
        codecs.encode(Geometries())


def test_a_cell_of_a_string_column_is_a_str():
    strings = pd.array(["a", "b"], dtype="string[python]")
    strings._ndarray[0] = np.str_("a")
    with pytest.raises(EncodeError, match="objects of str_"):
        codecs.encode(strings)
