from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs
from bridge.codecs import BufferReader
from bridge.codecs.objects import decode_objects
from bridge.errors import WireError
from tests.check import check_codec

SIMPLE = (
    st.sampled_from([None, pd.NA, pd.NaT])
    | st.text()
    | st.binary()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
)
CELLS = (
    SIMPLE | st.lists(SIMPLE, max_size=2) | st.tuples(SIMPLE) | st.decimals(allow_nan=False) | st.uuids()
)


@given(st.lists(CELLS))
def test_any_cells_come_back_identical(cells):
    check_codec(pd.Series(np.fromiter(cells, object, len(cells)), dtype=object))


def test_simple_cells_are_not_in_the_descriptor():
    cells = [None, "a", b"a", 1, 1.5, True] * 10_000
    descriptor, buffers = codecs.encode(pd.Series(cells, dtype=object))
    assert len(str(descriptor)) < 1000
    assert len(buffers) < 12


def test_a_column_of_text_needs_no_codes():
    descriptor, buffers = codecs.encode(pd.Series(["a", "bc"], dtype=object))
    assert descriptor["values"] == {
        "kind": "objects",
        "codes": None,
        "text": {"length": 2, "missing": False},
    }
    assert [bytes(buffer) for buffer in buffers[1:]] == [b"abc"]


def _array(dtype: str, *shape: int) -> dict[str, Any]:
    return {"kind": "array", "dtype": dtype, "shape": list(shape), "order": "C"}


CODES = _array("|u1", 2)
TEXT = {"length": 1, "missing": False}
OFFSETS = np.array([0, 1], "<i8").tobytes()


@pytest.mark.parametrize(
    ("fields", "buffers", "match"),
    [
        ({"codes": CODES}, [b"\x00\x0a"], "not an array of"),
        ({"codes": _array("<u2", 1)}, [bytes(2)], "not an array of"),
        ({"codes": _array("|u1", 1, 2)}, [bytes(2)], "not an array of"),
        ({"codes": {"kind": "tree", "value": [0]}}, [], "not an array of"),
        ({"codes": 5}, [], "expected dict or NoneType"),
        ({"codes": None}, [], "has 0 parts"),
        (
            {"codes": None, "ints": _array("<i8", 1), "bools": _array("|b1", 1)},
            [bytes(8), b"\1"],
            "2 parts",
        ),
        ({"codes": CODES}, [b"\x00\x03"], "with 0 cells"),
        ({"codes": CODES, "text": TEXT}, [b"\x03\x03", OFFSETS, b"a"], "with 1 cells"),
        ({"codes": CODES, "text": TEXT}, [b"\x00\x00", OFFSETS, b"a"], "with 1 cells"),
        ({"codes": None, "text": {"length": 1, "missing": True}}, [b"\0", OFFSETS, b"a"], "are missing"),
        ({"codes": None, "ints": _array("<i4", 1)}, [bytes(4)], "not an array of int64"),
        ({"codes": None, "ints": _array("<i8", 1, 1)}, [bytes(8)], "with one axis"),
        ({"codes": None, "dates": _array("<M8[D]", 1)}, [np.int64(2**40).tobytes()], "years 1 to 9999"),
        (
            {"codes": None, "dates": _array("<M8[D]", 1)},
            [np.int64(-(2**63)).tobytes()],
            "years 1 to 9999",
        ),
        ({"codes": None, "others": {"kind": "tree", "value": {}}}, [], "not a list"),
    ],
    ids=str,
)
def test_codes_and_parts_are_checked(fields, buffers, match):
    with pytest.raises(WireError, match=match):
        decode_objects({"kind": "objects", **fields}, BufferReader(buffers))


def test_objects_travel_only_inside_of_pandas():
    with pytest.raises(WireError, match="unknown kind 'objects'"):
        codecs.decode({"kind": "objects", "codes": None}, [])
