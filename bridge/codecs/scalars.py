"""The scalars of pandas.

::

    {"kind": "pandas-scalar", "type": "Timestamp", "value": int, "unit": "ns", "zone": Z}
    {"kind": "pandas-scalar", "type": "Timedelta", "value": int, "unit": "ns"}
    {"kind": "pandas-scalar", "type": "Period", "ordinal": int, "freq": [n, code]}
    {"kind": "pandas-scalar", "type": "Interval", "closed": "right", "left": D, "right": D}
    {"kind": "pandas-scalar", "type": "NaT" | "NA"}

A value counts units (s, ms, us or ns) since 1970 in UTC. Z and the codes of frequencies are those of the
modules `zones` and `offsets`; D is any object, and its buffers are those of the interval.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bridge.codecs import Buffer, BufferReader, Descriptor, decode_from, encode_into, field
from bridge.codecs.offsets import PERIODS, decode_offset, encode_offset
from bridge.codecs.values import UNITS, check
from bridge.codecs.zones import decode_zone, encode_zone
from bridge.errors import EncodeError, WireError

__all__ = ["SCALARS", "decode_scalar", "encode_scalar"]


def encode_scalar(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn a scalar of pandas into its descriptor.

    Raises
    ------
    EncodeError
        If its time zone, frequency or fold does not travel.
    """
    name, encoder = SCALARS[type(obj)]
    return {"kind": "pandas-scalar", "type": name, **encoder(obj, buffers)}


def decode_scalar(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild a scalar of pandas.

    Raises
    ------
    WireError, ValueError, TypeError
        If pandas has no such scalar. The last two come from pandas.
    """
    name = field(descriptor, "type", str)
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise WireError(
            f"unknown scalar {name[:40]!r}; this version knows {', '.join(_DECODERS)}",
            code="unsupported",
        )
    return decoder(descriptor, reader)


def _encode_timestamp(obj: pd.Timestamp, buffers: list[Buffer]) -> Descriptor:
    descriptor = {**_encode_count(obj, buffers), "zone": encode_zone(obj.tzinfo)}
    if obj.fold != _timestamp(descriptor["value"], obj.unit, obj.tzinfo).fold:
        raise EncodeError(
            f"{obj!r} has fold={obj.fold}, but its hour does not occur twice; "
            f"use obj.replace(fold={1 - obj.fold})"
        )
    return descriptor


def _decode_timestamp(descriptor: Descriptor, reader: BufferReader) -> pd.Timestamp:
    zone = decode_zone(descriptor.get("zone"))
    return _timestamp(*_decode_count(descriptor), zone)


def _timestamp(value: int, unit: Any, zone: Any) -> pd.Timestamp:
    stamp = pd.Timestamp(np.datetime64(value, unit))
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(zone)


def _encode_count(obj: Any, buffers: list[Buffer]) -> Descriptor:
    return {"value": int(obj.asm8.view(np.int64)), "unit": obj.unit}


def _decode_count(descriptor: Descriptor) -> tuple[int, Any]:
    value, unit = field(descriptor, "value", int), field(descriptor, "unit", str)
    # The least of int64 is NaT.
    check(-(2**63) < value < 2**63, f"{value} is not a count in 64 bits")
    check((unit, 1) in UNITS, f"the unit is {unit[:40]!r}; expected {', '.join(UNITS.values())}")
    return value, unit


def _decode_timedelta(descriptor: Descriptor, reader: BufferReader) -> pd.Timedelta:
    return pd.Timedelta(np.timedelta64(*_decode_count(descriptor)))


def _encode_period(obj: Any, buffers: list[Buffer]) -> Descriptor:
    return {"ordinal": obj.ordinal, "freq": encode_offset(obj.freq, PERIODS)}


def _decode_period(descriptor: Descriptor, reader: BufferReader) -> Any:
    ordinal = field(descriptor, "ordinal", int)
    check(-(2**63) < ordinal < 2**63, f"{ordinal} is not an ordinal in 64 bits")
    return pd.Period(ordinal=ordinal, freq=decode_offset(descriptor.get("freq"), PERIODS))


def _encode_interval(obj: Any, buffers: list[Buffer]) -> Descriptor:
    return {
        "closed": obj.closed,
        "left": encode_into(obj.left, buffers),
        "right": encode_into(obj.right, buffers),
    }


def _decode_interval(descriptor: Descriptor, reader: BufferReader) -> Any:
    closed: Any = field(descriptor, "closed", str)
    left = decode_from(descriptor.get("left"), reader)
    right = decode_from(descriptor.get("right"), reader)
    return pd.Interval(left, right, closed)


def _nothing(obj: Any, buffers: list[Buffer]) -> Descriptor:
    return {}


SCALARS: dict[type, tuple[str, Callable[[Any, list[Buffer]], Descriptor]]] = {
    pd.Timestamp: ("Timestamp", _encode_timestamp),
    pd.Timedelta: ("Timedelta", _encode_count),
    pd.Period: ("Period", _encode_period),
    pd.Interval: ("Interval", _encode_interval),
    type(pd.NaT): ("NaT", _nothing),
    type(pd.NA): ("NA", _nothing),
}

_DECODERS: dict[str, Callable[[Descriptor, BufferReader], Any]] = {
    "Timestamp": _decode_timestamp,
    "Timedelta": _decode_timedelta,
    "Period": _decode_period,
    "Interval": _decode_interval,
    "NaT": lambda descriptor, reader: pd.NaT,
    "NA": lambda descriptor, reader: pd.NA,
}
