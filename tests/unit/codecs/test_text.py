from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codecs import Buffer, BufferReader
from bridge.codecs.text import decode_text, encode_text
from bridge.errors import WireError

TEXT, BINARY = pa.large_string(), pa.large_binary()


def _again(array: pa.Array) -> pa.Array:
    buffers: list[Buffer] = []
    descriptor = encode_text(array, buffers)
    reader = BufferReader([bytes(buffer) for buffer in buffers])
    result = decode_text(descriptor, reader, array.type)
    reader.finish()
    return result


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"))), st.data())
def test_any_text_and_any_slice_of_it_comes_back_equal(texts, data):
    array = pa.array(texts, TEXT)
    start = data.draw(st.integers(0, len(array)))
    part = array[start : data.draw(st.integers(start, len(array)))]
    result = _again(part)
    assert result.equals(part)
    result.validate(full=True)


@given(st.lists(st.none() | st.binary()))
def test_any_bytes_come_back_equal(values):
    assert _again(pa.array(values, BINARY)).equals(pa.array(values, BINARY))


def _offsets(*values: int) -> bytes:
    return np.array(values, "<i8").tobytes()


@pytest.mark.parametrize(
    ("length", "buffers", "match"),
    [
        (2, [_offsets(0, 2, 1), b"ab"], "do not ascend"),
        (2, [_offsets(-1, 1, 2), b"ab"], "do not ascend"),
        (2, [_offsets(0, 1, 3), b"ab"], "do not ascend"),
        (1, [_offsets(2**62, 2**62), b""], "do not ascend"),
        (1, [_offsets(0, 1), b"\xff"], "not UTF-8"),
        (1, [_offsets(0, 1), "é".encode()], "not UTF-8|within a character"),
        (2, [_offsets(0, 1, 2), "é".encode()], "within a character"),
        (2, [_offsets(1, 2, 2), "é".encode()], "within a character"),
        (2, [_offsets(0, 2), b"ab"], "its descriptor says 24"),
        (2**62, [_offsets(0), b""], "its descriptor says"),
        (-1, [b"", b""], "the length of text is -1"),
        (True, [], "expected int"),
    ],
    ids=str,
)
def test_offsets_and_text_are_checked(length: Any, buffers, match):
    with pytest.raises(WireError, match=match):
        decode_text({"length": length, "missing": False}, BufferReader(buffers), TEXT)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=4), st.binary(max_size=6))
def test_what_is_let_through_is_what_arrow_itself_lets_through(offsets, data):
    buffers = [None, pa.py_buffer(_offsets(*offsets)), pa.py_buffer(data)]
    try:
        pa.Array.from_buffers(TEXT, len(offsets) - 1, buffers).validate(full=True)
        valid = True
    except pa.ArrowInvalid:
        valid = False
    reader = BufferReader([_offsets(*offsets), data])
    try:
        decode_text({"length": len(offsets) - 1, "missing": False}, reader, TEXT)
    except WireError:
        # Bytes that belong to no string are Arrow's to ignore, and ours to refuse.
        assert not valid or (offsets[0], offsets[-1]) != (0, len(data))
    else:
        assert valid
