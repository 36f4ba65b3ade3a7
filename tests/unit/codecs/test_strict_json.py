from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codecs import strict_json
from bridge.errors import WireError

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**38), 10**38),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)),
)


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@given(VALUES)
def test_any_value_comes_back_identical(value):
    result = strict_json.loads(strict_json.dumps(value))
    # repr tells 1 from 1.0 and True, and 0.0 from -0.0.
    assert repr(result) == repr(value)


@given(VALUES)
def test_the_text_is_compact_json(value):
    text = strict_json.dumps(value)
    assert json.loads(text) == value
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_parsed(make):
    assert strict_json.loads(make(b'{"a":[1,2.5,null,true,"\\u00fc"]}')) == {
        "a": [1, 2.5, None, True, "ü"]
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": "\ud800"}, {"\udfff": 1}])
def test_what_is_not_json_is_not_written(value):
    with pytest.raises(ValueError):  # noqa: PT011 (json's own messages)
        strict_json.dumps(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{}{}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"01", "not JSON"),
        (b'"\x01"', "not JSON"),
        (b"\xff", "UTF-8"),
        (b"\xed\xa0\x80", "UTF-8"),
        ("{}".encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b"1e999", "overflows"),
        (b"[-1e400]", "overflows"),
        (b'{"a":1,"a":1}', "repeats a key"),
        (b'{"a":1,"\\u0061":2}', "repeats a key"),
        (b'[{"b":{"a":1,"c":2,"a":1}}]', "repeats a key"),
        (b"9" * 41, "41 digits"),
        (b"[" + b"9" * 5000 + b"]", "5000 digits"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udc00":1}', "lone surrogate"),
        (b'["\\ud800\\u0041"]', "lone surrogate"),
        (_nested(101), "levels deep"),
        (_nested(100_000), "levels deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "levels deep"),
    ],
)
def test_what_json_lets_through_is_a_wire_error(text, message):
    with pytest.raises(WireError, match=message):
        strict_json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" \n[ 1 ]\t", [1]),
        (b'"\\ud83c\\udf21"', "\U0001f321"),
        (b"9" * 40, 10**40 - 1),
        (b"-0", 0),
        (b'"' + b"[" * 200 + b'"', "[" * 200),
        (b"[" + b"[]," * 200 + b"[]]", [[]] * 201),
    ],
)
def test_what_looks_like_a_fault_and_is_none_is_parsed(text, value):
    assert strict_json.loads(text) == value


def test_a_hundred_levels_are_parsed():
    value = strict_json.loads(_nested(strict_json.MAX_DEPTH))
    assert strict_json.dumps(value) == _nested(strict_json.MAX_DEPTH)


@given(
    st.one_of(st.binary(), TEXT.map(str.encode), VALUES.map(lambda value: strict_json.dumps(value)[:-1]))
)
def test_any_bytes_are_a_value_or_a_wire_error(text):
    try:
        value = strict_json.loads(text)
    except WireError:
        return
    assert repr(strict_json.loads(strict_json.dumps(value))) == repr(value)
