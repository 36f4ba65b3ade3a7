"""Trees: plain Python values, and lists, tuples and dicts of them and of other codecs' objects.

::

    {"kind": "tree", "value": V}      V is JSON
    {"kind": "tree"}                  the first buffer is the JSON text of V, in UTF-8

null, true and false, integers below 2**63 in size, finite floats and text are themselves; a JSON
array is a list; a JSON object is a dict. An object with exactly one key that begins with ``$`` is
none of these, but one of::

    {"$tuple": [V, …]}        {"$dict": {…}}          a dict that would itself look special
    {"$int": "-1f"}           hexadecimal             {"$float": "nan" | "inf" | "-inf"}
    {"$bytes": "AAE="}        base64                  {"$bytes": null}   the next buffer
    {"$str": null}            the next buffer: text with lone surrogates, each as 3 bytes of UTF-8
    {"$date": "2024-02-29"}   {"$timedelta": [days, seconds, microseconds]}
    {"$datetime": ["2024-02-29T23:59:59.000001", zone, fold]}
    {"$time": ["23:59:59", zone, fold]}               zones are those of the module `zones`
    {"$decimal": "-1.50E+3"}  {"$uuid": "12345678-1234-5678-1234-567812345678"}
    {"$object": descriptor}   an object of another codec; its buffers are the next ones

Buffers are in the order in which their owners stand in the text.

Types are exact: an instance of a subclass (an IntEnum, an OrderedDict, a namedtuple) would come
back as its base, so it is refused. Two things do not travel: the payload of a float NaN, and
``UUID.is_safe``, which is not part of a UUID's value.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from bridge.codecs import (
    ALIGNMENT,
    Buffer,
    BufferReader,
    Descriptor,
    count,
    decode_from,
    encode_into,
    strict_json,
)
from bridge.codecs.zones import decode_zone, encode_zone
from bridge.errors import EncodeError, WireError

__all__ = ["decode", "encode", "is_plain"]

# A longer JSON text travels as a buffer: headers stay small.
MAX_INLINE = 16 * 1024

# Levels of JSON in one tree, the descriptors of its leaves included. What is left of the parser's
# limit is for the header, and for a frame or a tree that this tree stands in.
MAX_LEVELS = strict_json.MAX_DEPTH - 30

# Longer bytes are buffers of their own, shorter ones text: 100,000 short values in a column must
# not become 100,000 frames.
MAX_TEXT_BYTES = 4 * 1024

# 4 million bits: more than any number that is not the subject of a paper.
MAX_HEX_DIGITS = 1024 * 1024
MAX_DECIMAL_CHARS = 64 * 1024


def encode(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn a tree into its descriptor, with its leaves' buffers appended to `buffers`.

    Parameters
    ----------
    obj
        A value of one of the types that the module's docstring lists.
    buffers
        Bytes and the objects of other codecs are appended as views of their own memory.

    Raises
    ------
    EncodeError
        If a value is of another type, a dict has a key that is not a str, or the tree is nested too
        deeply or contains itself.
    """
    encoder = _ENCODERS.get(type(obj))
    if encoder is None:
        raise EncodeError(_refusal(obj))
    start = len(buffers)
    value = encoder(obj, buffers, 0)
    try:
        text = strict_json.dumps(value)
    except UnicodeEncodeError as exc:
        raise EncodeError(
            f"a dict key or a zone's name holds a lone surrogate: {exc.object[:40]!r}; "
            "use valid Unicode, for example key.encode(errors='replace').decode()"
        ) from None
    if len(text) <= MAX_INLINE:
        descriptor: Descriptor = {"kind": "tree", "value": value}
    else:
        descriptor = {"kind": "tree"}
        # Filled up with spaces, so that an array that follows in the same memory is aligned.
        count(buffers, "values", strict_json.values_in(text))
        buffers.insert(start, memoryview(text + b" " * (-len(text) % ALIGNMENT)))
    return descriptor


def decode(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild a tree from its descriptor and the reader's next buffers.

    Raises
    ------
    WireError
        If a value breaks a rule of the module's docstring.
    """
    value = descriptor["value"] if "value" in descriptor else reader.take_json()
    return _decode(value, reader)


def is_plain(descriptor: Any) -> bool:
    """Whether a descriptor is of a tree that stands in it, without objects of other codecs."""
    if type(descriptor) is not dict or descriptor.get("kind") != "tree":
        return False
    pending = [descriptor.get("value", {"$object": None})]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            if "$object" in value:
                return False
            pending += value.values()
        elif type(value) is list:
            pending += value
    return True


# ── encoding ──────────────────────────────────────────────────────────────────────────────────────


def _encode_items(items: Iterable[Any], leaves: list[Buffer], level: int) -> list[Any]:
    if level >= MAX_LEVELS:
        raise _too_deep()
    get, level = _ENCODERS.get, level + 1
    return [get(type(item), _encode_object)(item, leaves, level) for item in items]


def _encode_plain(obj: Any, leaves: list[Buffer], level: int) -> Any:
    return obj


def _encode_int(obj: int, leaves: list[Buffer], level: int) -> Any:
    if -(2**63) < obj < 2**63:
        return obj
    if obj.bit_length() > 4 * MAX_HEX_DIGITS:
        raise EncodeError(
            f"an int of {obj.bit_length()} bits cannot be sent; at most {4 * MAX_HEX_DIGITS}: "
            "send its bytes, n.to_bytes(...)"
        )
    return {"$int": f"{obj:x}"}


def _encode_float(obj: float, leaves: list[Buffer], level: int) -> Any:
    return obj if math.isfinite(obj) else {"$float": repr(obj)}


def _encode_str(obj: str, leaves: list[Buffer], level: int) -> Any:
    if obj.isascii():
        return obj
    try:
        obj.encode()
    except UnicodeEncodeError:
        leaves.append(memoryview(obj.encode("utf-8", "surrogatepass")))
        return {"$str": None}
    return obj


def _encode_bytes(obj: bytes, leaves: list[Buffer], level: int) -> Any:
    if len(obj) <= MAX_TEXT_BYTES:
        return {"$bytes": binascii.b2a_base64(obj, newline=False).decode("ascii")}
    leaves.append(memoryview(obj))
    return {"$bytes": None}


def _encode_tuple(obj: tuple[Any, ...], leaves: list[Buffer], level: int) -> Any:
    return {"$tuple": _encode_items(obj, leaves, level + 1)}


def _encode_dict(obj: dict[Any, Any], leaves: list[Buffer], level: int) -> Any:
    for key in obj:
        if type(key) is not str:
            raise EncodeError(
                f"a dict key is {str(key)[:40]!r} of type {type(key).__name__}; keys must be str: "
                "send list(d.items()), or {str(key): value for key, value in d.items()}"
            )
    special = _is_special(obj)
    value = dict(zip(obj, _encode_items(obj.values(), leaves, level + special), strict=True))
    return {"$dict": value} if special else value


def _moment(obj: datetime | time) -> list[Any]:
    if obj.tzinfo is None:
        return [obj.isoformat(), None, obj.fold]
    return [obj.replace(tzinfo=None).isoformat(), encode_zone(obj.tzinfo), obj.fold]


def _encode_decimal(obj: Decimal, leaves: list[Buffer], level: int) -> Any:
    text = str(obj)
    if len(text) > MAX_DECIMAL_CHARS:
        raise EncodeError(
            f"a Decimal of {len(text)} characters cannot be sent; at most {MAX_DECIMAL_CHARS}: "
            "send str(d)"
        )
    return {"$decimal": text}


def _encode_object(obj: Any, leaves: list[Buffer], level: int) -> Any:
    descriptor = encode_into(obj, leaves)
    if level + 1 + _levels(descriptor) > MAX_LEVELS:
        raise _too_deep()
    return {"$object": descriptor}


_ENCODERS: dict[type, Callable[[Any, list[Buffer], int], Any]] = {
    type(None): _encode_plain,
    bool: _encode_plain,
    int: _encode_int,
    float: _encode_float,
    str: _encode_str,
    bytes: _encode_bytes,
    list: _encode_items,
    tuple: _encode_tuple,
    dict: _encode_dict,
    date: lambda obj, leaves, level: {"$date": obj.isoformat()},
    datetime: lambda obj, leaves, level: {"$datetime": _moment(obj)},
    time: lambda obj, leaves, level: {"$time": _moment(obj)},
    timedelta: lambda obj, leaves, level: {"$timedelta": [obj.days, obj.seconds, obj.microseconds]},
    Decimal: _encode_decimal,
    UUID: lambda obj, leaves, level: {"$uuid": str(obj)},
}

# What to send in the place of what is refused, by the first class of its bases that is here.
_ALTERNATIVES: dict[type, str] = {
    int: "int(obj)",
    float: "float(obj)",
    complex: "numpy.complex128(obj)",
    str: "str(obj)",
    bytes: "bytes(obj)",
    bytearray: "bytes(obj)",
    memoryview: "bytes(obj) or numpy.frombuffer(obj, ...)",
    list: "list(obj)",
    tuple: "tuple(obj)",
    dict: "dict(obj)",
    set: "sorted(obj) or list(obj)",
    frozenset: "sorted(obj) or list(obj)",
    range: "list(obj)",
    slice: "[obj.start, obj.stop, obj.step]",
    UUID: "uuid.UUID(int=obj.int)",
    Decimal: "decimal.Decimal(obj)",
    ZoneInfo: "obj.key",
    Exception: "str(obj)",
}


def _refusal(obj: Any) -> str:
    cls = type(obj)
    base = next((base for base in cls.__mro__ if base in _ALTERNATIVES), None)
    alternative = "a str, or a dict or list of plain values" if base is None else _ALTERNATIVES[base]
    reason = "would lose its class" if base in _ENCODERS else "cannot be sent"
    return f"an object of {cls.__module__}.{cls.__qualname__} {reason}; send {alternative}"


def _too_deep() -> EncodeError:
    return EncodeError(
        f"this tree is nested more than {MAX_LEVELS} levels deep, or contains itself; send it in parts"
    )


def _levels(value: Any) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    return 1 + max(map(_levels, value), default=0)


def _is_special(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────

_PLAIN = frozenset({type(None), bool, int, float, str})


def _decode(value: Any, reader: BufferReader) -> Any:
    if type(value) is list:
        return _decode_items(value, reader)
    if type(value) is not dict:
        return value
    if not _is_special(value):
        return _decode_dict(value, reader)
    [(key, content)] = value.items()
    if key in _TEXTS:
        return _decode_text(key, content)
    if key in _DECODERS:
        return _DECODERS[key](content, reader)
    raise WireError(
        f"unknown value {key[:40]!r}; this version knows {', '.join([*_TEXTS, *_DECODERS])}",
        code="unsupported",
    )


def _decode_items(values: list[Any], reader: BufferReader) -> list[Any]:
    return [value if type(value) in _PLAIN else _decode(value, reader) for value in values]


def _decode_dict(value: Any, reader: BufferReader) -> dict[str, Any]:
    if type(value) is not dict:
        raise _bad("$dict", value)
    return {key: _decode(item, reader) for key, item in value.items()}


def _decode_tuple(values: Any, reader: BufferReader) -> tuple[Any, ...]:
    if type(values) is not list:
        raise _bad("$tuple", values)
    return tuple(_decode_items(values, reader))


def _decode_bytes(text: Any, reader: BufferReader) -> bytes:
    if text is None:
        return bytes(reader.take())
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (TypeError, ValueError) as exc:
        raise _bad("$bytes", text) from exc


def _decode_str(content: Any, reader: BufferReader) -> str:
    if content is not None:
        raise _bad("$str", content)
    data = bytes(reader.take())
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as exc:
        raise _bad("$str", data[:60]) from exc


_Moment = TypeVar("_Moment", datetime, time)


def _decode_datetime(values: Any, reader: BufferReader) -> datetime:
    return _with_zone("$datetime", values, _DATETIME, datetime.fromisoformat)


def _decode_time(values: Any, reader: BufferReader) -> time:
    return _with_zone("$time", values, _TIME, time.fromisoformat)


def _with_zone(
    key: str, values: Any, pattern: re.Pattern[str], parse: Callable[[str], _Moment]
) -> _Moment:
    if type(values) is not list or len(values) != 3:
        raise _bad(key, values)
    text, zone, fold = values
    if type(text) is not str or not pattern.fullmatch(text):
        raise _bad(key, values)
    if type(fold) is not int or fold not in (0, 1):
        raise _bad(key, values)
    try:
        moment = parse(text)
    except ValueError as exc:
        raise _bad(key, values) from exc
    return moment if zone is None and fold == 0 else moment.replace(tzinfo=decode_zone(zone), fold=fold)


def _decode_timedelta(values: Any, reader: BufferReader) -> timedelta:
    if type(values) is not list or [type(value) for value in values] != [int, int, int]:
        raise _bad("$timedelta", values)
    days, seconds, microseconds = values
    if not (abs(days) < 10**9 and 0 <= seconds < 86_400 and 0 <= microseconds < 10**6):
        raise _bad("$timedelta", values)
    return timedelta(days, seconds, microseconds)


_DECODERS: dict[str, Callable[[Any, BufferReader], Any]] = {
    "$tuple": _decode_tuple,
    "$dict": _decode_dict,
    "$bytes": _decode_bytes,
    "$str": _decode_str,
    "$datetime": _decode_datetime,
    "$time": _decode_time,
    "$timedelta": _decode_timedelta,
    "$object": decode_from,
}


def _decode_text(key: str, text: Any) -> Any:
    pattern, parse = _TEXTS[key]
    if type(text) is not str or not pattern.fullmatch(text):
        raise _bad(key, text)
    try:
        return parse(text)
    except (ValueError, ArithmeticError) as exc:
        raise _bad(key, text) from exc


def _parse_int(text: str) -> int:
    return int(text, 16)


def _parse_decimal(text: str) -> Decimal:
    number = Decimal(text)
    # What an exponent out of range gives where the caller's context does not trap it.
    if len(text) > MAX_DECIMAL_CHARS or (number.is_nan() and "NaN" not in text):
        raise ValueError("a decimal out of range")
    return number


# Python's own parsers take more than one form (spaces, underscores, other digits), so a pattern
# comes first.
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d(\.\d{6})?", re.ASCII)
_DATETIME = re.compile(rf"{_DATE.pattern}T{_TIME.pattern}", re.ASCII)
_DECIMAL = re.compile(r"-?(\d+(\.\d+)?(E[+-]?\d{1,19})?|Infinity|s?NaN\d*)", re.ASCII)

_TEXTS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "$int": (re.compile(rf"-?[0-9a-f]{{1,{MAX_HEX_DIGITS}}}"), _parse_int),
    "$float": (re.compile(r"nan|-?inf"), float),
    "$date": (_DATE, date.fromisoformat),
    "$decimal": (_DECIMAL, _parse_decimal),
    "$uuid": (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), UUID),
}


def _bad(key: str, content: Any) -> WireError:
    return WireError(f"{key} holds {str(content)[:60]!r}, which is not one")
