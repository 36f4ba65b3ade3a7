"""JSON without its loose ends: what `json.loads` lets through and a peer must not send.

Refused, each with a `WireError`: bytes that are not UTF-8 (a byte order mark among them), NaN and
Infinity, numbers that overflow a double, integers of more than `MAX_DIGITS` digits, duplicate keys,
more than `MAX_DEPTH` levels, lone surrogates.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from bridge.errors import WireError

__all__ = ["CONTAINER", "MAX_DEPTH", "dumps", "loads", "values_in"]

# Objects that people build by hand are less than 20 deep; Python's own parser gives up near 1,000.
MAX_DEPTH = 100

# Turning digits into an integer takes quadratic time; 64-bit integers have at most 20.
MAX_DIGITS = 40

# What a list or a dict takes, in values.
CONTAINER = 8

# So many values need no exact count.
FEW = 100_000

# Bytes that are looked at together, where it is counted exactly.
CHUNK = 1024 * 1024


def dumps(value: Any) -> bytes:
    """Return the compact JSON text of a value, in UTF-8.

    Raises
    ------
    ValueError
        For NaN, infinities and lone surrogates.
    """
    return _encoder.encode(value).encode("utf-8")


def values_in(text: bytes) -> int:
    """Return how many values JSON text has, without parsing it: a list or a dict counts as `CONTAINER`.

    Examples
    --------
    >>> values_in(b'[1,2,{"a,b":[]}]')
    28
    """
    most = 1 + text.count(b",") + CONTAINER * (text.count(b"[") + text.count(b"{"))
    return most if most <= FEW else _values_outside_strings(text)


def _values_outside_strings(text: bytes) -> int:
    # Strings may hold any of these characters, and quotes that do not end them, behind a backslash.
    text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    values, is_inside = 1, np.False_
    for start in range(0, len(text), CHUNK):
        chunk = np.frombuffer(text, np.uint8, min(CHUNK, len(text) - start), start)
        inside = np.logical_xor.accumulate(chunk == ord('"')) ^ is_inside
        is_inside = inside[-1]
        commas, lists, dicts = (int(np.count_nonzero((chunk == ord(c)) & ~inside)) for c in ",[{")
        values += commas + CONTAINER * (lists + dicts)
    return values


def loads(text: bytes | bytearray | memoryview) -> Any:
    """Parse JSON text in UTF-8.

    Raises
    ------
    WireError
        If it is not JSON, or breaks a rule of this module.
    """
    data = bytes(text)
    try:
        value = _decoder.decode(data.decode("utf-8"))
    except RecursionError:
        raise WireError(f"the JSON text is more than {MAX_DEPTH} levels deep") from None
    except UnicodeDecodeError as exc:
        raise WireError(f"the JSON text is not UTF-8: {exc.reason} at byte {exc.start}") from None
    except json.JSONDecodeError as exc:
        raise WireError(f"not JSON: {exc.msg} at character {exc.pos}") from None
    # Each check below runs only where the text gives reason for it: headers are parsed all the time.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise WireError(f"the JSON text is more than {MAX_DEPTH} levels deep")
    if b"\\u" in data:
        try:
            dumps(value)
        except UnicodeEncodeError:
            raise WireError("the JSON text holds a lone surrogate") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise WireError("the JSON text repeats a key in one object")
    return value


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise WireError(f"the JSON text holds an integer of {len(digits)} digits; at most {MAX_DIGITS}")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise WireError(f"the JSON text holds {digits[:40]}, which overflows a double")
    return value


def _constant(name: str) -> Any:
    raise WireError(f"the JSON text holds {name}, which is not JSON")


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant
)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
