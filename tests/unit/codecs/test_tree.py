"""Trees travel exactly, or are refused before anything is sent."""

from __future__ import annotations

import decimal
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import codecs
from bridge.codecs import strict_json, tree
from bridge.errors import EncodeError, WireError
from tests.check import check_codec, check_refused
from tests.samples import trees

BIG_BYTES = bytes(range(256)) * (tree.MAX_TEXT_BYTES // 256 + 1)


@pytest.mark.parametrize("name", trees.SAMPLES)
def test_comes_back_identical(name: str) -> None:
    check_codec(trees.SAMPLES[name]())


@pytest.mark.parametrize("name", trees.REFUSED)
def test_is_refused_with_its_alternative(name: str) -> None:
    factory, word = trees.REFUSED[name]
    check_refused(factory(), word)


@pytest.mark.parametrize("name", trees.REFUSED)
def test_is_refused_inside_a_list_too(name: str) -> None:
    factory, word = trees.REFUSED[name]
    check_refused([1, {"deep": [factory()]}], word)


# ── Any tree ──────────────────────────────────────────────────────────────────────────────────────

ZONES = (
    st.none()
    | st.timezone_keys(allow_prefix=False).map(ZoneInfo)
    | st.builds(
        timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)), st.text("abc", max_size=3)
    )
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.just(BIG_BYTES)
    | st.dates()
    | st.datetimes(timezones=ZONES, allow_imaginary=True)
    | st.times(timezones=ZONES)
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.builds(np.arange, st.integers(0, 5))
)
KEYS = st.text() | st.sampled_from(["$", "$tuple", "$dict", "$bytes", "$object"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(TREES)
def test_any_tree_comes_back_identical(value: Any) -> None:
    check_codec(value)


@given(st.lists(TREES, min_size=2, max_size=5))
def test_any_tree_comes_back_identical_when_its_text_is_a_buffer(values: list[Any]) -> None:
    values.insert(1, "x" * tree.MAX_INLINE)
    descriptor, _ = codecs.encode(values)
    assert descriptor == {"kind": "tree"}
    check_codec(values)


# ── The form on the wire ──────────────────────────────────────────────────────────────────────────


def test_plain_values_are_their_own_json() -> None:
    arguments = {"channel": 3, "window": "hann", "weights": [1.5, None, True]}
    assert codecs.encode(arguments) == ({"kind": "tree", "value": arguments}, [])


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ((1, 2), {"$tuple": [1, 2]}),
        ({"$int": "1"}, {"$dict": {"$int": "1"}}),
        (2**63, {"$int": "8000000000000000"}),
        (-(2**64), {"$int": "-10000000000000000"}),
        (float("nan"), {"$float": "nan"}),
        (float("-inf"), {"$float": "-inf"}),
        (b"\x00\x01", {"$bytes": "AAE="}),
        (date(2024, 2, 29), {"$date": "2024-02-29"}),
        (
            datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
            {"$datetime": ["2024-01-02T03:04:05", [0, 0, 0], 0]},
        ),
        (time(3, 4, fold=1, tzinfo=ZoneInfo("Asia/Tokyo")), {"$time": ["03:04:00", "Asia/Tokyo", 1]}),
        (timedelta(seconds=-1), {"$timedelta": [-1, 86_399, 0]}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
    ],
)
def test_other_values_have_the_documented_form(value: Any, form: Any) -> None:
    descriptor, buffers = codecs.encode(value)
    assert strict_json.dumps(descriptor["value"]) == strict_json.dumps(form)
    assert not buffers


def test_long_bytes_are_sent_as_they_are() -> None:
    descriptor, [buffer] = codecs.encode({"data": BIG_BYTES})
    assert descriptor["value"] == {"data": {"$bytes": None}}
    assert buffer.obj is BIG_BYTES


def test_short_bytes_are_no_buffers() -> None:
    _, buffers = codecs.encode([b"value"] * 10_000)
    assert len(buffers) == 1, "the JSON text alone"


def test_buffers_stand_in_the_order_of_the_text() -> None:
    array = np.arange(3.0)
    _, buffers = codecs.encode(["x" * tree.MAX_INLINE, BIG_BYTES, {"a": array}, "\ud800"])
    assert [bytes(b) for b in buffers[1:]] == [BIG_BYTES, array.tobytes(), b"\xed\xa0\x80"]


def test_text_longer_than_a_header_may_be_is_a_buffer() -> None:
    short = "x" * (tree.MAX_INLINE - 2)
    assert codecs.encode(short) == ({"kind": "tree", "value": short}, [])
    descriptor, [text] = codecs.encode(short + "x")
    assert descriptor == {"kind": "tree"}
    assert json.loads(bytes(text)) == short + "x"
    assert len(text) % codecs.ALIGNMENT == 0, "what follows in the same memory is aligned"


def test_either_form_is_read_at_any_size() -> None:
    assert codecs.decode({"kind": "tree"}, [b'{"channel": 3}']) == {"channel": 3}
    assert codecs.decode({"kind": "tree", "value": "x" * 100_000}, []) == "x" * 100_000


def test_the_deepest_tree_passes_the_parser_inside_a_header() -> None:
    deepest = trees.nested(tree.MAX_LEVELS)
    descriptor, _ = codecs.encode(deepest)
    header = {"bridge": 1, "object": {"columns": [{"values": descriptor}]}}
    assert strict_json.loads(strict_json.dumps(header)) == header
    check_refused([deepest], "levels deep")


@pytest.mark.parametrize("wrap", [list, tuple, lambda items: {"$a": items[0]}])
def test_every_container_has_the_same_limit(wrap: Callable[[list[Any]], Any]) -> None:
    value: object = 1
    for _ in range(tree.MAX_LEVELS + 1):
        value = wrap([value])
    check_refused(value, "levels deep")


def test_a_raised_recursion_limit_changes_nothing() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        check_refused(trees.cycle(), "contains itself")
        check_refused(trees.nested(5_000), "levels deep")
    finally:
        sys.setrecursionlimit(limit)


def test_bytes_and_text_of_a_result_are_owned() -> None:
    received = bytearray(BIG_BYTES)
    value = codecs.decode({"kind": "tree", "value": {"$bytes": None}}, [received])
    received[:] = bytes(len(received))
    assert value == BIG_BYTES


# ── What a peer may not send ──────────────────────────────────────────────────────────────────────

HOSTILE: dict[str, tuple[Any, list[bytes]]] = {
    "unknown value": ({"$set": [1]}, []),
    "bare dollar": ({"$": 1}, []),
    "tuple of an object": ({"$tuple": {"a": 1}}, []),
    "tuple of text": ({"$tuple": "ab"}, []),
    "dict of a list": ({"$dict": [1]}, []),
    "int of a number": ({"$int": 5}, []),
    "int with a prefix": ({"$int": "0x1f"}, []),
    "int with underscores": ({"$int": "1_0"}, []),
    "int with spaces": ({"$int": " 1"}, []),
    "int with a newline": ({"$int": "1\n"}, []),
    "int without digits": ({"$int": "-"}, []),
    "int of arabic digits": ({"$int": "\u0661"}, []),
    "int of too many digits": ({"$int": "f" * (tree.MAX_HEX_DIGITS + 1)}, []),
    "float that is finite": ({"$float": "1.5"}, []),
    "float in capitals": ({"$float": "NaN"}, []),
    "bytes without padding": ({"$bytes": "AAE"}, []),
    "bytes with a newline": ({"$bytes": "AAE=\n"}, []),
    "bytes of other characters": ({"$bytes": "A*E="}, []),
    "bytes of unicode": ({"$bytes": "ÄÖÜ="}, []),
    "bytes of a number": ({"$bytes": 1}, []),
    "bytes without a buffer": ({"$bytes": None}, []),
    "bytes with a buffer too many": ({"$bytes": ""}, [b""]),
    "str of text": ({"$str": "a"}, []),
    "str that is not UTF-8": ({"$str": None}, [b"\xff"]),
    "date that is none": ({"$date": "2023-02-29"}, []),
    "date of a week": ({"$date": "2024-W09"}, []),
    "date in the year 0": ({"$date": "0000-01-01"}, []),
    "date without dashes": ({"$date": "20240229"}, []),
    "datetime of text": ({"$datetime": "2024-02-29T00:00:00"}, []),
    "datetime of two": ({"$datetime": ["2024-02-29T00:00:00", None]}, []),
    "datetime with offset in its text": ({"$datetime": ["2024-02-29T00:00:00+01:00", None, 0]}, []),
    "datetime with hour 24": ({"$datetime": ["2024-02-29T24:00:00", None, 0]}, []),
    "datetime with fold 2": ({"$datetime": ["2024-02-29T00:00:00", None, 2]}, []),
    "datetime with fold true": ({"$datetime": ["2024-02-29T00:00:00", None, True]}, []),
    "datetime with fold 1.0": ({"$datetime": ["2024-02-29T00:00:00", None, 1.0]}, []),
    "zone that is a path": ({"$datetime": ["2024-02-29T00:00:00", "../../etc/passwd", 0]}, []),
    "zone that is absolute": ({"$datetime": ["2024-02-29T00:00:00", "/etc/localtime", 0]}, []),
    "zone that is unknown": ({"$time": ["00:00:00", "Mars/Olympus", 0]}, []),
    "zone that is a number": ({"$time": ["00:00:00", 3600, 0]}, []),
    "offset of a day": ({"$time": ["00:00:00", [1, 0, 0], 0]}, []),
    "offset of two items": ({"$time": ["00:00:00", [0, 0], 0]}, []),
    "time that is none": ({"$time": ["25:00:00", None, 0]}, []),
    "timedelta of floats": ({"$timedelta": [1.0, 0, 0]}, []),
    "timedelta of booleans": ({"$timedelta": [True, 0, 0]}, []),
    "timedelta of two": ({"$timedelta": [0, 0]}, []),
    "timedelta with 86400 seconds": ({"$timedelta": [0, 86_400, 0]}, []),
    "timedelta beyond the range": ({"$timedelta": [10**9, 0, 0]}, []),
    "decimal of a number": ({"$decimal": 1.5}, []),
    "decimal with underscores": ({"$decimal": "1_0"}, []),
    "decimal with spaces": ({"$decimal": " 1 "}, []),
    "decimal without digits": ({"$decimal": "."}, []),
    "decimal out of range": ({"$decimal": "1E+1000000000000000000"}, []),
    "decimal with an endless exponent": ({"$decimal": "1E+" + "9" * 1000}, []),
    "decimal of too many digits": ({"$decimal": "1" * (tree.MAX_DECIMAL_CHARS + 1)}, []),
    "decimal nan with an endless payload": ({"$decimal": "NaN" + "1" * 70_000}, []),
    "uuid in braces": ({"$uuid": "{12345678-1234-5678-1234-567812345678}"}, []),
    "uuid without dashes": ({"$uuid": "12345678123456781234567812345678"}, []),
    "object that is none": ({"$object": 1}, []),
    "object of an unknown kind": ({"$object": {"kind": "pickle"}}, []),
    "object without its buffer": ({"$object": {"kind": "tree"}}, []),
    "buffer that nobody takes": ([1, 2], [b"x"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_peer_may_not_send(name: str) -> None:
    value, buffers = HOSTILE[name]
    with pytest.raises(WireError):
        codecs.decode({"kind": "tree", "value": value}, buffers)
    with pytest.raises(WireError):
        codecs.decode({"kind": "tree", "value": [0, {"a": value}]}, buffers)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[NaN]", b'{"a":1,"a":2}', b"\xff", b"[" * 200 + b"]" * 200]
)
def test_the_text_in_a_buffer_is_strict_json(text: bytes) -> None:
    with pytest.raises(WireError):
        codecs.decode({"kind": "tree"}, [text])


def test_the_text_must_be_there() -> None:
    with pytest.raises(WireError, match="buffers"):
        codecs.decode({"kind": "tree"}, [])


def test_trees_in_trees_are_counted() -> None:
    descriptor: Any = {"kind": "tree", "value": 1}
    for _ in range(codecs.MAX_NESTING + 1):
        descriptor = {"kind": "tree", "value": {"$object": descriptor}}
    with pytest.raises(WireError, match="nested"):
        codecs.decode(descriptor, [])


def test_a_decimal_out_of_range_is_refused_whatever_the_context() -> None:
    with decimal.localcontext(decimal.ExtendedContext), pytest.raises(WireError, match="decimal"):
        codecs.decode({"kind": "tree", "value": {"$decimal": "1E+9999999999999999999"}}, [])


def test_unknown_values_and_zones_are_unsupported_not_bad() -> None:
    for value in HOSTILE["unknown value"][0], HOSTILE["zone that is unknown"][0]:
        with pytest.raises(WireError) as caught:
            codecs.decode({"kind": "tree", "value": value}, [])
        assert caught.value.code == "unsupported"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["nan", "1E5", "2024-02-29", "12:00:00", "UTC", "AAE=", "tree", "array"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.just("kind"), inner, max_size=3)
        | st.dictionaries(st.sampled_from([*tree._TEXTS, *tree._DECODERS]), inner, max_size=1)
    ),
    max_leaves=15,
)


@given(JSON, st.lists(st.binary(max_size=20), max_size=3))
@example({"$object": {"kind": "tree", "value": {"$tuple": []}}}, [])
def test_any_json_is_a_tree_or_a_wire_error(value: Any, buffers: list[bytes]) -> None:
    try:
        result = codecs.decode({"kind": "tree", "value": value}, buffers)
    except WireError:
        return
    check_codec(result)


@given(st.text(max_size=30))
def test_a_key_of_a_dict_survives_or_is_refused(key: str) -> None:
    try:
        codecs.encode({key: 1})
    except EncodeError:
        assert not key.isprintable()
    else:
        check_codec({key: 1})
