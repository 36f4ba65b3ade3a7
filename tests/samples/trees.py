"""Plain Python values and trees of them, and what "identical" means for them."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from tests import check

BERLIN = ZoneInfo("Europe/Berlin")


def nested(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = [value]
    return value


SAMPLES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "false": lambda: False,
    "zero": lambda: 0,
    "largest int in JSON": lambda: 2**63 - 1,
    "smallest int in JSON": lambda: -(2**63) + 1,
    "smallest int64": lambda: -(2**63),
    "uint64": lambda: 2**64 - 1,
    "int of 10000 digits": lambda: 7**11833,
    "negative int of 1000 bits": lambda: -(2**1000),
    "float": lambda: 0.1,
    "whole float": lambda: 1.0,
    "negative zero": lambda: -0.0,
    "smallest float": lambda: 5e-324,
    "largest float": lambda: 1.7976931348623157e308,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "negative infinity": lambda: -math.inf,
    "empty str": lambda: "",
    "str": lambda: 'quotes " and \\ and \x00 and \x7f',
    "unicode": lambda: "Größe, 温度, 🌡",
    "combining": lambda: "e\u0301 is not \u00e9",
    "lone surrogate": lambda: "broken \ud800 name",
    "surrogates in a pair": lambda: "\ud83c\udf21",
    "empty bytes": lambda: b"",
    "bytes": lambda: bytes(range(256)),
    "long bytes": lambda: bytes(range(256)) * 1024,
    "date": lambda: date(2024, 2, 29),
    "first date": lambda: date.min,
    "last date": lambda: date.max,
    "datetime": lambda: datetime(2024, 2, 29, 23, 59, 59, 1),
    "first datetime": lambda: datetime.min,
    "last datetime": lambda: datetime.max,
    "datetime in UTC": lambda: datetime(2024, 1, 1, tzinfo=UTC),
    "datetime with offset": lambda: datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3.5))),
    "datetime with named offset": lambda: datetime(
        2024, 1, 1, tzinfo=timezone(timedelta(seconds=1, microseconds=1), "odd")
    ),
    "datetime in a zone": lambda: datetime(2024, 7, 1, 12, tzinfo=BERLIN),
    "datetime in the fold": lambda: datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    "datetime before the fold": lambda: datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
    "naive datetime with fold": lambda: datetime(2024, 10, 27, 2, 30, fold=1),
    "time": lambda: time(23, 59, 59, 999_999),
    "midnight": time,
    "time in a zone": lambda: time(1, 2, 3, tzinfo=BERLIN, fold=1),
    "timedelta": lambda: timedelta(days=-1, seconds=3, microseconds=5),
    "smallest timedelta": lambda: timedelta.min,
    "largest timedelta": lambda: timedelta.max,
    "decimal": lambda: Decimal("3.14159"),
    "decimal with zeros": lambda: Decimal("1.500"),
    "decimal with exponent": lambda: Decimal("1E+5"),
    "small decimal": lambda: Decimal("-0E-30"),
    "decimal of 2000 digits": lambda: Decimal("1" * 1000 + "." + "2" * 1000),
    "decimal with a large exponent": lambda: Decimal("-1.5E+999999999999"),
    "decimal infinity": lambda: Decimal("-Infinity"),
    "decimal nan": lambda: Decimal("NaN123"),
    "decimal signalling nan": lambda: Decimal("-sNaN"),
    "uuid": lambda: UUID("12345678-1234-5678-1234-567812345678"),
    "empty list": list,
    "empty tuple": tuple,
    "empty dict": dict,
    "list": lambda: [1, "two", None, 3.0, True],
    "tuple in tuple": lambda: (1, (2, (3,)), ()),
    "dict": lambda: {"b": 1, "a": {"z": [1, {"y": (2,)}]}},
    "dict with an empty key": lambda: {"": 0},
    "dict that looks special": lambda: {"$tuple": [1, 2]},
    "dict that looks like the escape": lambda: {"$dict": {"$dict": {"$": 1}}},
    "dict with two dollars": lambda: {"$tuple": 1, "$int": "ff"},
    "call arguments": lambda: {"channel": 3, "window": "hann"},
    "deep list": lambda: nested(60),
    "deep tuples": lambda: tuple([nested(20)] * 3),
    "long list of ints": lambda: list(range(10_000)),
    "long list of str": lambda: ["value"] * 10_000,
    "long list of bytes": lambda: [b"value", b"x" * 5000] * 100,
    "long list of decimals": lambda: [Decimal(i) / 8 for i in range(2_000)],
    "long list of dicts": lambda: [{"id": i, "tags": ("a", None)} for i in range(2_000)],
    "long list of dates": lambda: [date(2024, 1, 1) + timedelta(i) for i in range(2_000)],
    "same list twice": lambda: [[1, 2]] * 2,
    "array in a dict": lambda: {"x": np.arange(5.0), "label": "x"},
    "numpy scalars": lambda: [np.float64(1.5), np.int8(3), np.datetime64("2024-01-01", "ns")],
    "many arrays": lambda: [np.full(i, i) for i in range(300)],
    "table in a tuple": lambda: (pa.table({"a": [1, None]}), b"after"),
    "frame in a list": lambda: [pd.DataFrame({"a": [1.0, 2.0]}), pd.Series([1, 2], name="s")],
    "buffers between long text": lambda: ["x" * 20_000, b"y" * 5_000, np.arange(3), "\udc80"],
    "objects nested in objects": lambda: {"a": [{"b": np.arange(2)}, ({"c": np.ones((2, 2))},)]},
}


class Colour(enum.IntEnum):
    """A subclass of int."""

    RED = 1


class Words(str):
    """A subclass of str."""

    __slots__ = ()


Point = namedtuple("Point", "x y")


class Local(tzinfo):
    """A zone that only this computer knows."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def tzname(self, moment: datetime | None) -> str:
        return "local"

    def dst(self, moment: datetime | None) -> None:
        return None


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "dict with int keys": (lambda: {1: "a"}, "list(d.items())"),
    "dict with mixed keys": (lambda: {"a": 1, None: 2}, "NoneType"),
    "dict with numpy keys": (lambda: {np.str_("a"): 1}, "str_"),
    "key with a lone surrogate": (lambda: {"\ud800": 1}, "surrogate"),
    "set": (lambda: {1, 2}, "sorted(obj)"),
    "frozenset": (lambda: frozenset([1]), "sorted(obj)"),
    "complex": (lambda: 1j, "numpy.complex128(obj)"),
    "bytearray": (lambda: bytearray(b"a"), "bytes(obj)"),
    "memoryview": (lambda: memoryview(b"a"), "bytes(obj)"),
    "range": (lambda: range(3), "list(obj)"),
    "slice": (lambda: slice(1), "obj.start"),
    "function": (lambda: len, "builtin_function_or_method"),
    "class": (lambda: int, "type"),
    "object": (object, "object"),
    "exception": (lambda: ValueError("x"), "str(obj)"),
    "IntEnum": (lambda: Colour.RED, "int(obj)"),
    "subclass of str in a list": (lambda: [Words("a")], "str(obj)"),
    "namedtuple": (lambda: Point(1, 2), "tuple(obj)"),
    "OrderedDict": (lambda: OrderedDict(a=1), "dict(obj)"),
    "huge int": (lambda: 1 << 5_000_000, "to_bytes"),
    "huge decimal": (lambda: Decimal("1" * 70_000), "str(d)"),
    "unknown time zone": (lambda: datetime(2024, 1, 1, tzinfo=Local()), "zoneinfo"),
    "list that contains itself": (cycle, "contains itself"),
    "too deep": (lambda: nested(90), "levels deep"),
    "object whose descriptor is too deep": (lambda: nested(69, np.arange(1)), "levels deep"),
}


def difference(a: Any, b: Any) -> str | None:
    """Say how `b` differs from `a`, or None: types, values, order, signs, folds and zones."""
    if type(a) is not type(b):
        return f"{b!r} of type {type(b).__qualname__}, was {a!r}"
    if isinstance(a, list | tuple):
        return _items_difference(enumerate(a), enumerate(b))
    if isinstance(a, dict):
        if list(a) != list(b):
            return f"keys {list(b)}, were {list(a)}"
        return _items_difference(a.items(), b.items())
    if type(a) not in _FACETS:
        return check.difference(a, b)
    facets = _FACETS[type(a)]
    return None if facets(a) == facets(b) else f"{b!r}, was {a!r}"


def _items_difference(a: Iterable[tuple[Any, Any]], b: Iterable[tuple[Any, Any]]) -> str | None:
    for (key, x), (other, y) in zip_longest(a, b, fillvalue=("end", None)):
        found = f"{other}, was {key}" if key != other else difference(x, y)
        if found is not None:
            return f"[{key!r}]: {found}"
    return None


def _zone(moment: datetime | time) -> Any:
    zone = moment.tzinfo
    return zone.key if isinstance(zone, ZoneInfo) else repr(zone)


def _itself(value: Any) -> Any:
    return value


# What must be equal for two values to be identical. repr tells -0.0 from 0.0, and makes nan equal nan.
_FACETS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, int, str, bytes, date, timedelta, UUID), _itself),
    float: repr,
    datetime: lambda moment: (moment.replace(tzinfo=None), moment.fold, _zone(moment)),
    time: lambda moment: (moment.replace(tzinfo=None), moment.fold, _zone(moment)),
    Decimal: lambda number: number.as_tuple(),
}
