"""Bytes that are shown many times are counted as often, and have a limit at both ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bridge import codecs
from bridge.codecs.expansion import claims, entries
from bridge.codecs.table import encode_as_one_stream
from bridge.codecs.weight import LIMITS
from bridge.errors import EncodeError, WireError
from tests.samples import tables


def shown(array):
    return dict(claims(pa.table({"x": array}))).get("shown")


def numbers(*values, kind=None):
    return pa.array(values, kind or pa.int32())


def views_of(text, times):
    views = np.tile(np.array([len(text), *np.frombuffer(text[:4], "<i4"), 0, 0], "<i4"), times)
    return pa.Array.from_buffers(
        pa.binary_view(), times, [None, pa.py_buffer(views), pa.py_buffer(text)]
    )


def list_views(values, times, kind=pa.ListViewArray):
    width = pa.int32() if kind is pa.ListViewArray else pa.int64()
    return kind.from_arrays(pa.array([0] * times, width), pa.array([len(values)] * times, width), values)


def codes(values, times):
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int8()), values)


def runs(values, times):
    return pa.RunEndEncodedArray.from_arrays(numbers(times), values)


def in_struct(array):
    return pa.StructArray.from_arrays([array], ["f"])


WORD = pa.array(["x" * 92])  # 100 bytes with the 8 of its pointer
SHOWN = {
    "views": (views_of(b"x" * 92, 3), 300),
    "views and nulls": (pa.array(["x" * 92, None, "y"], pa.string_view()), 100 + 8 + 9),
    "list views": (list_views(numbers(1, 2), 5), 5 * (8 + 2 * 4)),
    "large list views": (list_views(numbers(1, 2), 5, pa.LargeListViewArray), 5 * (8 + 2 * 4)),
    "list views of text": (list_views(pa.array(["x" * 92, "yy"]), 5), 5 * (8 + 100 + 10)),
    "list views of list views": (list_views(list_views(WORD, 3), 4), 4 * (8 + 3 * (8 + 100))),
    "list views of lists": (
        list_views(pa.array([[1, 2, 3], [], [4]], pa.list_(pa.int8())), 2),
        2 * (8 + 3 * 8 + 4),
    ),
    "list views of fixed-size lists": (
        list_views(pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)), 3),
        3 * (8 + 2 * (8 + 2)),
    ),
    "list views of structs": (list_views(in_struct(WORD), 7), 7 * (8 + 100)),
    "list views of codes": (list_views(codes(WORD, 2), 7), 7 * (8 + 2 * 100)),
    "list views of runs": (list_views(runs(WORD, 9), 2), 2 * (8 + 9 * 100)),
    "list views of nulls": (list_views(pa.nulls(9), 5), 5 * (8 + 9 * 8)),
    "list views of the second": (
        pa.ListViewArray.from_arrays(numbers(1, 1, 0), numbers(1, 1, 0), pa.array(["x" * 1000, "y"])),
        3 * 8 + 2 * 9,
    ),
    "a null among list views": (
        pa.array([[1], None, [2, 3]], pa.list_view(pa.int8())),
        3 * 8 + 3,
    ),
    "views in a list": (pa.ListArray.from_arrays(numbers(0, 2, 3), views_of(b"x" * 92, 3)), 2 * 8 + 300),
    "codes in a struct": (in_struct(codes(WORD, 9)), 900),
    "codes of lists": (codes(pa.array([[1, 2]]), 9), 9 * (8 + 2 * 8)),
    "codes of structs": (codes(in_struct(WORD), 9), 900),
    "runs": (runs(WORD, 9), 900),
    "runs of lists": (runs(pa.array([["x" * 92] * 2]), 9), 9 * (8 + 200)),
    "dense unions": (
        pa.UnionArray.from_dense(
            numbers(0, 0, 1, kind=pa.int8()), numbers(0, 0, 0), [WORD, pa.array([1], pa.int8())]
        ),
        201,
    ),
    "opaque views": (
        pa.ExtensionArray.from_storage(pa.opaque(pa.binary_view(), "t", "v"), views_of(b"x" * 92, 3)),
        300,
    ),
    # Once the text, and 8 bytes for each code.
    "codes": (codes(WORD, 50), 50 * 8 + 100),
    "codes in chunks": (pa.chunked_array([codes(WORD, 5)] * 9), 9 * 5 * 8 + 100),
    "text": (WORD, None),
    "lists": (pa.array([[1], [2]]), None),
}


@pytest.mark.parametrize(("array", "nbytes"), SHOWN.values(), ids=SHOWN)
def test_what_is_shown_is_counted_as_often(array, nbytes):
    assert shown(array) == nbytes


@pytest.mark.parametrize(
    "name", ["views", "list views of text", "runs", "views in a list", "dense unions"]
)
def test_of_a_slice_only_what_it_shows_is_counted(name):
    array = pa.concat_arrays([SHOWN[name][0]] * 4) if name != "runs" else SHOWN[name][0]
    lengths = range(len(array))
    whole = shown(array)
    assert sum(shown(array.slice(i, 1)) for i in lengths) == whole
    assert shown(array.slice(2)) == whole - shown(array.slice(0, 2))


@pytest.mark.parametrize("name", tables.SAMPLES)
def test_no_honest_table_comes_near_a_limit(name):
    table = tables.SAMPLES[name]()
    if isinstance(table, pa.Table):
        for what, number in [("entries", entries(table)), *claims(table)]:
            assert number < 100_000 + 64 * table.nbytes, what


def test_more_than_anybody_can_count_is_too_much():
    array = WORD
    for _ in range(30):
        array = list_views(array, 1000)
    with pytest.raises(EncodeError, match="bytes to write out what views"):
        codecs.encode(array)


MUCH = {
    "views": lambda n: views_of(b"x" * 2**20, n),
    "list views": lambda n: list_views(pa.array(np.zeros(2**20, np.uint8)), n),
    "codes in structs": lambda n: in_struct(codes(pa.array(["x" * 2**20]), n)),
    "runs": lambda n: runs(pa.array(["x" * 2**20]), n),
}


@pytest.mark.parametrize("make", MUCH.values(), ids=MUCH)
def test_what_is_shown_too_often_is_refused_at_both_ends(make, monkeypatch):
    descriptor, buffers = codecs.encode(make(500))
    codecs.decode(descriptor, buffers)
    with pytest.raises(EncodeError, match=r"bytes to write out .* may have at most"):
        codecs.encode(make(600))
    with pytest.raises(EncodeError, match=r"bytes to write out .* may have at most"):
        encode_as_one_stream(pa.table({"x": make(600)}))
    monkeypatch.setattr(codecs.Buffers, "check", lambda self: None)
    descriptor, buffers = codecs.encode(make(600))
    with pytest.raises(WireError, match="bytes to write out") as refused:
        codecs.decode(descriptor, buffers)
    assert refused.value.code == "too_large"


def test_a_dictionary_inside_another_type_has_a_limit_of_chunks_at_both_ends(monkeypatch):
    def table(chunks):
        return pa.chunked_array([in_struct(codes(pa.array(np.arange(2**20)), 1))] * chunks)

    monkeypatch.setitem(LIMITS, "entries", LIMITS["entries"]._replace(most=0, for_8_bytes=64))
    codecs.decode(*codecs.encode(table(60)))
    with pytest.raises(EncodeError, match="entries of dictionaries"):
        codecs.encode(table(100))
    monkeypatch.setattr(codecs.Buffers, "check", lambda self: None)
    descriptor, buffers = codecs.encode(table(100))
    with pytest.raises(WireError, match="entries of dictionaries") as refused:
        codecs.decode(descriptor, buffers)
    assert refused.value.code == "too_large"


def test_a_dictionary_of_its_own_may_be_in_any_number_of_chunks(monkeypatch):
    monkeypatch.setitem(LIMITS, "entries", LIMITS["entries"]._replace(most=0, for_8_bytes=0))
    column = pa.chunked_array([codes(pa.array(["x" * 999] * 99), 1)] * 999)
    assert codecs.decode(*codecs.encode(column)).equals(column)


def test_frames_that_share_long_text_travel():
    text = "a text of a thousand characters".ljust(1000)
    frame = pl.DataFrame({"a": [text, "b"]}).select(pl.col("a").gather([0, 1] * 500_000))
    assert pl.DataFrame(codecs.decode(*codecs.encode(frame))).equals(frame)
    series = pd.Series([text] * 100_000, dtype="category")
    assert codecs.decode(*codecs.encode(series)).equals(series)
