"""Values to compare columns with, as values of exactly the column's Arrow type.

A comparison of a column of whole steps (integers, cents, microseconds) with a value between two steps is
rewritten into one with a step: ``n > 2.5`` is ``n > 2``. One with a value beyond the type's range is the
same for all of its values. Everything is done in Python's integers and fractions, so nothing is rounded,
and nothing overflows.
"""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bridge.errors import EncodeError, an

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_label", "check_value", "comparable_type", "literal_for", "shown"]

# Exact arithmetic takes time and memory by the number of digits. No column has a tenth of these.
MAX_DIGITS = 1000

# What is shown of a value in a message, in characters.
MAX_SHOWN = 60

# What compares with what, in words for messages. The first row that fits decides: a bool is an int, a
# datetime is a date.
_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "a bool"),
    ((int, float, Decimal), "a number"),
    ((datetime, np.datetime64), "a datetime"),
    ((date,), "a date"),
    ((time,), "a time"),
    ((timedelta, np.timedelta64), "a timedelta"),
    ((str,), "a str"),
    ((bytes,), "bytes"),
)

_DAY = 86_400 * 10**9

# The units of numpy and Arrow that have a fixed length.
_NANOSECONDS = {
    "W": Fraction(7 * _DAY),
    "D": Fraction(_DAY),
    "h": Fraction(3_600 * 10**9),
    "m": Fraction(60 * 10**9),
    "s": Fraction(10**9),
    "ms": Fraction(10**6),
    "us": Fraction(10**3),
    "ns": Fraction(1),
    "ps": Fraction(1, 10**3),
    "fs": Fraction(1, 10**6),
    "as": Fraction(1, 10**9),
}

_FLOATS: dict[int, Any] = {16: np.float16, 32: np.float32, 64: np.float64}

# A function of pyarrow.compute and what it compares with; or what is true of all values of a type.
Literal: TypeAlias = "tuple[str, Any] | bool"


def check_label(label: Any) -> Any:
    """Return the label of a column, with numpy's scalars as Python's.

    Raises
    ------
    EncodeError
        If it is not a text, a number, a date or time, None, or a tuple of these.
    """
    if isinstance(label, tuple):
        return tuple(map(check_label, label))
    label = _plain(label)
    if label is not None and _kind_of(label) is None:
        raise EncodeError(
            f"columns cannot be asked for by {an(type(label).__name__)}; use str, int, or a tuple of them"
        )
    _check_digits(label)
    return label


def check_value(value: Any) -> Any:
    """Return a value to compare with, with numpy's scalars as Python's.

    Raises
    ------
    EncodeError
        If it is missing (None, NaN, NaT), or of a class that no column compares with.
    """
    value = _plain(value)
    if value is None or _kind_of(value) is None:
        raise EncodeError(
            f"{an(type(value).__name__)} is nothing to compare with; use numbers, text, bytes, dates and "
            "times; for missing values 'is null' and 'is not null'"
        )
    _check_digits(value)
    if value.is_nan() if isinstance(value, Decimal) else value != value:
        raise EncodeError(f"{value} is a missing value, equal to nothing; use 'is null'")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise EncodeError(f"{shown(value)} is no valid Unicode, so no column holds it") from None
    return value


def literal_for(type_: pa.DataType, function: str, value: Any) -> Literal:
    """Turn ``column <function> value`` into the same with an operand of the column's type.

    Parameters
    ----------
    type_
        The column's, not of a dictionary.
    function
        ``equal``, ``not_equal``, ``less``, ``less_equal``, ``greater`` or ``greater_equal``.
    value
        As `check_value` returns it.

    Returns
    -------
    tuple of str and object, or bool
        A function, perhaps another one, and what pyarrow makes a scalar of `type_` from. Or what the
        comparison gives for all values of the type; for ``equal`` never True.

    Raises
    ------
    TypeError
        If the type and the value are of different kinds. The message continues "column x is y, which".
    """
    from pyarrow import types

    kind = _kind_of_type(type_)
    if kind is None:
        raise TypeError("has no comparison; only 'is null' and 'is not null' are defined")
    if _kind_of(value) != kind:
        raise _incomparable(value, kind)
    if types.is_floating(type_):
        return function, _rounded(value, type_.bit_width)
    if types.is_integer(type_):
        return _stepwise(function, _exact(value), _integers(type_))
    if types.is_decimal(type_):
        return _decimal(type_, function, value)
    if types.is_timestamp(type_) or types.is_time(type_) or types.is_duration(type_):
        _check_zone(type_, value)
        steps = _nanoseconds(value) / _NANOSECONDS[type_.unit]
        return _stepwise(
            function, steps, range(-(2 ** (type_.bit_width - 1)), 2 ** (type_.bit_width - 1))
        )
    return function, value


def comparable_type(type_: pa.DataType) -> pa.DataType:
    """Return the type with the same values that Arrow can compare; mostly the same type."""
    import pyarrow as pa

    if pa.types.is_float16(type_):
        return pa.float32()
    if pa.types.is_string_view(type_):
        return pa.large_string()
    if pa.types.is_binary_view(type_) or pa.types.is_fixed_size_binary(type_):
        return pa.large_binary()
    if pa.types.is_decimal(type_) and type_.bit_width < 128:
        return pa.decimal128(type_.precision, type_.scale)
    return type_


def shown(value: Any) -> str:
    """Return the repr of a label or a value that was checked, shortened for a message."""
    try:
        text = repr(value)
    except ValueError:  # of too many digits
        return f"<{type(value).__name__} without a text>"
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


# ── kinds ─────────────────────────────────────────────────────────────────────────────────────────


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        return value.item()
    return value


def _kind_of(value: Any) -> str | None:
    return next((kind for classes, kind in _KINDS if isinstance(value, classes)), None)


@lru_cache  # a list for 'in' asks for each of its values
def _kind_of_type(type_: pa.DataType) -> str | None:
    from pyarrow import types

    tests = {
        "a bool": (types.is_boolean,),
        "a number": (types.is_integer, types.is_floating, types.is_decimal),
        "a datetime": (types.is_timestamp,),
        "a date": (types.is_date,),
        "a time": (types.is_time,),
        "a timedelta": (types.is_duration,),
        "a str": (types.is_string, types.is_large_string, types.is_string_view),
        "bytes": (
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
            types.is_fixed_size_binary,
        ),
    }
    return next((kind for kind, some in tests.items() if any(test(type_) for test in some)), None)


def _check_digits(value: Any) -> None:
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS:
        raise EncodeError(f"an int of {value.bit_length()} bits is beyond what columns hold")
    if isinstance(value, Decimal) and value.is_finite():
        _, digits, exponent = value.as_tuple()
        if len(digits) > MAX_DIGITS or abs(int(exponent)) > MAX_DIGITS:
            raise EncodeError(f"{shown(value)} has more than {MAX_DIGITS} digits; round it")


def _check_zone(type_: pa.DataType, value: Any) -> None:
    has_zone = getattr(value, "tzinfo", None) is not None
    needs_zone = getattr(type_, "tz", None) is not None
    if needs_zone and not has_zone:
        raise _incomparable(value, "one with a time zone, as datetime(..., tzinfo=timezone.utc)")
    if has_zone and not needs_zone:
        raise _incomparable(value, "one without a time zone: value.replace(tzinfo=None)")


def _incomparable(value: Any, expected: str) -> TypeError:
    return TypeError(
        f"cannot be compared with {shown(value)} of type {type(value).__name__}; expected {expected}"
    )


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


def _stepwise(function: str, value: Fraction | float, steps: range) -> Literal:
    """Return the literal for integers of a range, compared with a number that may be none of them."""
    if isinstance(value, float):  # an infinity
        floor = steps.stop if value > 0 else steps.start - 1
    else:
        floor = math.floor(value)
        if floor != value:
            if function in ("equal", "not_equal"):
                return function == "not_equal"
            function = "less_equal" if function in ("less", "less_equal") else "greater"
    if floor < steps.start:
        return function in ("not_equal", "greater", "greater_equal")
    if floor >= steps.stop:
        return function in ("not_equal", "less", "less_equal")
    return function, floor


def _integers(type_: pa.DataType) -> range:
    from pyarrow import types

    if types.is_unsigned_integer(type_):
        return range(2**type_.bit_width)
    return range(-(2 ** (type_.bit_width - 1)), 2 ** (type_.bit_width - 1))


def _decimal(type_: pa.DataType, function: str, value: Any) -> Literal:
    if isinstance(value, float):
        raise _incomparable(value, f"an int or a Decimal, as Decimal('{value}')")
    limit = 10**type_.precision
    steps = _exact(value) * Fraction(10) ** type_.scale
    literal = _stepwise(function, steps, range(1 - limit, limit))
    if isinstance(literal, bool):
        return literal
    function, step = literal
    # From text: arithmetic would round to the context's 28 digits.
    return function, Decimal(f"{step}E{-type_.scale}")


def _exact(value: Any) -> Fraction | float:
    if isinstance(value, int):
        return value
    return float(value) if math.isinf(value) else Fraction(value)


def _rounded(value: Any, bits: int) -> float:
    with np.errstate(over="ignore"):
        return float(_FLOATS[bits](float(value)))


# ── times ─────────────────────────────────────────────────────────────────────────────────────────


def _nanoseconds(value: Any) -> Fraction:
    """Return a duration, a time of the day, or the time since 1970; in UTC if there is a zone."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        return _numpy_nanoseconds(value)
    if isinstance(value, timedelta):
        whole = (value.days * 86_400 + value.seconds) * 10**9 + value.microseconds * 10**3
        return Fraction(whole + getattr(value, "nanoseconds", 0))  # which pandas' Timedelta has
    clock = ((value.hour * 60 + value.minute) * 60 + value.second) * 10**9 + value.microsecond * 10**3
    if isinstance(value, time):
        return Fraction(clock)
    clock += getattr(value, "nanosecond", 0)  # which pandas' Timestamp has
    days = value.toordinal() - date(1970, 1, 1).toordinal()
    return Fraction(days * _DAY + clock) - _nanoseconds(value.utcoffset() or timedelta(0))


def _numpy_nanoseconds(value: np.datetime64 | np.timedelta64) -> Fraction:
    unit, step = np.datetime_data(value.dtype)
    count = int(value.astype(np.int64)) * step
    if unit in ("Y", "M") and isinstance(value, np.datetime64):
        # The calendar repeats after 400 years. Further away numpy's own conversion would overflow.
        cycles, months = divmod(count * (12 if unit == "Y" else 1), 4800)
        days = np.datetime64(months, "M").astype("datetime64[D]").astype(np.int64)
        count, unit = cycles * 146_097 + int(days), "D"
    if unit not in _NANOSECONDS:
        raise _incomparable(value, "one of a unit of a fixed length")
    return count * _NANOSECONDS[unit]
