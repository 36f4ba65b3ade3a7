"""What takes no bytes has limits, and both ends have the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs
from bridge.codecs import strict_json, tree
from bridge.codecs.table import encode_as_one_stream
from bridge.codecs.weight import LIMITS, items_without_bytes
from bridge.errors import EncodeError, WireError

FREE = LIMITS["free"].most


def _nulls(length: int, kind: Any = None) -> Any:
    return pa.Array.from_buffers(kind or pa.null(), length, [None])


def _list_of(values: Any) -> Any:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _runs(length: int) -> Any:
    return pa.RunEndEncodedArray.from_arrays(pa.array([length], pa.int64()), pa.array([1]))


def _sparse(length: int) -> Any:
    index: Any = pd.arrays.SparseArray([1.0]).sp_index
    index = type(index)(length, np.array([0], np.int32))
    arrays: Any = pd.arrays.SparseArray
    return arrays._simple_new(np.ones(1), index, pd.SparseDtype(float, 0.0))


# How each is made with some number of things that take no bytes.
FEW_BYTES = {
    "void": lambda n: np.ndarray((n,), "V0", b""),
    "bytes": lambda n: np.ndarray((n // 2, 2), "S0", b""),
    "text": lambda n: np.ndarray((2, n // 2), "U0", b"", order="F"),
    "records": lambda n: np.ndarray((n,), [], b""),
    "fields": lambda n: np.zeros((n // 2,), [("a", "V0"), ("b", "U0")]),
    "sub-arrays": lambda n: np.ndarray((n // 64,), [("a", np.dtype([]), (64,))], b""),
    "rows without columns": lambda n: np.empty((n, 0)),
    "masked": lambda n: np.ma.MaskedArray(np.ndarray((n,), "V0", b"")),
    "frame without columns": lambda n: pd.DataFrame(index=pd.RangeIndex(n)),
    "sparse": lambda n: pd.Series(_sparse(n)),
    "table without columns": lambda n: pa.table([_nulls(n)], names=["a"]).select([]),
    "nulls": lambda n: pa.table([_nulls(n)], names=["a"]),
    "nulls in pandas": lambda n: pd.Series(pd.arrays.ArrowExtensionArray(_nulls(n))),
    "nulls in two columns": lambda n: pa.table([_nulls(n // 2)] * 2, names=["a", "b"]),
    "nulls in chunks": lambda n: pa.chunked_array([_nulls(n // 2)] * 2),
    "nulls in a struct": lambda n: pa.table(
        [pa.Array.from_buffers(pa.struct({"x": pa.null()}), n, [None], children=[_nulls(n)])],
        names=["a"],
    ),
    "nulls that a list holds": lambda n: _list_of(_nulls(n)),
    "nulls in a dictionary": lambda n: pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int8()), _nulls(n)
    ),
    "structs of nothing": lambda n: pa.Array.from_buffers(pa.struct([]), n, [None]),
    "binary of no size": lambda n: pa.Array.from_buffers(pa.binary(0), n, [None, pa.py_buffer(b"")]),
    "lists of no size": lambda n: pa.Array.from_buffers(
        pa.list_(pa.int8(), 0), n, [None], children=[pa.array([], pa.int8())]
    ),
    "runs": _runs,
}


@pytest.mark.parametrize("make", FEW_BYTES.values(), ids=FEW_BYTES)
def test_what_takes_no_bytes_has_a_limit_at_both_ends(make, monkeypatch):
    descriptor, buffers = codecs.encode(make(FREE))
    codecs.decode(descriptor, buffers)
    beyond = make(2 * FREE + 2**16)
    with pytest.raises(EncodeError, match=r"that have no bytes; a message of .* may have at most"):
        codecs.encode(beyond)
    monkeypatch.setattr(codecs.Buffers, "check", lambda self: None)
    descriptor, buffers = codecs.encode(beyond)
    with pytest.raises(WireError, match="that have no bytes") as refused:
        codecs.decode(descriptor, buffers)
    assert refused.value.code == "too_large"


def test_a_stream_for_other_readers_has_the_same_limit():
    assert len(encode_as_one_stream(pa.table([_nulls(FREE)], names=["a"])).buffers)
    with pytest.raises(EncodeError, match="have no bytes"):
        encode_as_one_stream(pa.table([_nulls(2 * FREE)], names=["a"]))


def test_nulls_may_be_as_long_as_the_column_beside_them():
    n = FREE + 2**20
    table = pa.table({"a": np.zeros(n, np.uint8), "b": _nulls(n)})
    assert codecs.decode(*codecs.encode(table)).equals(table)


def test_many_long_sparse_columns_travel():
    frame = pd.DataFrame({i: _sparse(2**22) for i in range(50)})
    assert codecs.decode(*codecs.encode(frame)).shape == frame.shape


def test_items_of_no_bytes_are_counted():
    assert items_without_bytes((), np.dtype("V0")) == 1
    assert items_without_bytes((2**40,), np.dtype("f8")) == 0
    assert items_without_bytes((0, 2**40), np.dtype("f8")) == 0
    assert items_without_bytes((2**40, 0), np.dtype("f8")) == 2**40


def _wide(width: int) -> dict[str, Any]:
    def span(stop: int) -> dict[str, Any]:
        return {"kind": "index", "range": [0, stop, 1]}

    values = {"kind": "array", "dtype": "<f8", "shape": [width, 0], "order": "C"}
    block = {"columns": [0, width, 1], "values": values}
    return {"kind": "frame", "index": span(0), "columns": span(width), "blocks": [block]}


def test_the_frames_of_a_message_have_one_limit_of_columns():
    width = LIMITS["columns"].most // 4
    assert len(codecs.decode({"kind": "tree", "value": [{"$object": _wide(width)}] * 4}, [b""] * 4)) == 4
    with pytest.raises(
        WireError, match=r"\d+ columns; a message of 0 bytes may have at most"
    ) as refused:
        codecs.decode({"kind": "tree", "value": [{"$object": _wide(width)}] * 5}, [b""] * 5)
    assert refused.value.code == "too_large"
    frame = pd.DataFrame(np.empty((0, width)))
    codecs.encode([frame] * 4)
    with pytest.raises(EncodeError, match="columns; a message of"):
        codecs.encode([frame] * 5)


def test_columns_with_rows_bring_their_own_room():
    frame = pd.DataFrame(np.zeros((1, LIMITS["columns"].most // 4)))
    assert len(codecs.decode(*codecs.encode([frame] * 5))) == 5


@pytest.mark.parametrize("item", [b"{}", b"[]", b'"ab"', b'{"$tuple":[]}'])
def test_json_text_has_a_limit_of_values(item):
    each = strict_json.values_in(item)
    text = b"[" + (item + b",") * (LIMITS["values"].most // each + 9) + b"0]"
    for descriptor in ({"kind": "tree"}, {**_wide(0), "blocks": None}):
        with pytest.raises(WireError, match="values in JSON") as refused:
            codecs.decode(descriptor, [text])
        assert refused.value.code == "too_large"


JSON = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('ab",[{\\\n')),
    lambda values: st.lists(values) | st.dictionaries(st.text(st.sampled_from('",[{\\')), values),
)


@given(value=JSON, chunk=st.integers(1, 9))
def test_values_are_counted_whatever_strings_hold_and_wherever_the_text_is_cut(value, chunk):
    def commas_and_containers(value):
        if not isinstance(value, list | dict):
            return 0, 0
        inner = [
            commas_and_containers(v) for v in (value.values() if isinstance(value, dict) else value)
        ]
        return max(0, len(inner) - 1) + sum(c for c, _ in inner), 1 + sum(n for _, n in inner)

    commas, containers = commas_and_containers(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "FEW", 0)
        patch.setattr(strict_json, "CHUNK", chunk)
        counted = strict_json.values_in(strict_json.dumps(value))
    assert counted == 1 + commas + strict_json.CONTAINER * containers


def test_the_trees_of_a_message_have_one_limit_of_values(monkeypatch):
    monkeypatch.setitem(LIMITS, "values", LIMITS["values"]._replace(most=90_000))
    text = b"[" + b"1," * 40_000 + b"1]"
    trees = [{"$object": {"kind": "tree"}}] * 3
    codecs.decode({"kind": "tree", "value": trees[:2]}, [text] * 2)
    with pytest.raises(WireError, match="values in JSON"):
        codecs.decode({"kind": "tree", "value": trees}, [text] * 3)
    with pytest.raises(EncodeError, match="values in JSON"):
        codecs.encode([1] * 90_001)
    columns = [pd.Series([(1,)] * 3000, dtype=object)] * 2
    codecs.encode(columns[:1])
    with pytest.raises(EncodeError, match="values in JSON"):
        codecs.encode(columns)


def test_what_stands_in_text_is_no_value(monkeypatch):
    monkeypatch.setattr(strict_json, "FEW", 0)
    value = ['[{,\\"[,{', {"a,b": "]", "\\": [","]}, 'x"[', "\n\u2028"]
    assert strict_json.values_in(strict_json.dumps(value)) == 1 + 4 + 3 * strict_json.CONTAINER
    assert strict_json.values_in(json.dumps(value).encode()) == 1 + 4 + 3 * strict_json.CONTAINER
    long = ["[," * tree.MAX_INLINE]
    assert codecs.decode(*codecs.encode(long)) == long


def test_text_that_never_ends_is_counted_at_once():
    strict_json.values_in(b'"' + b'\\"' * 10**6 + b"," * 10**6)
