"""The frequencies of pandas, as JSON from a closed table.

::

    offset = [3, "h"]     3 times the offset that has this code in `OFFSETS`; of a period, which is a
                          span, at least once, and never 0 times

The codes are those of pandas (``W-SUN``, ``QE-DEC``, ``ME``), but its parser never sees a peer's text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

from pandas.tseries import offsets

from bridge.errors import EncodeError, WireError

__all__ = ["OFFSETS", "PERIODS", "decode_offset", "encode_offset", "leads_through"]

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# pandas counts in 64 bits and overflows where it multiplies; nobody's frequency is beyond 31 bits.
MAX_COUNT = 2**31 - 1


def _by_month(prefix: str, make: Any, argument: str) -> dict[str, Callable[[int], Any]]:
    return {
        f"{prefix}-{month}": partial(make, **{argument: number})
        for number, month in enumerate(_MONTHS, start=1)
    }


# The type stubs want a literal day.
_last_week: Any = offsets.LastWeekOfMonth

# The spans of time that a Period may have.
PERIODS: dict[str, Callable[[int], Any]] = {
    "ns": offsets.Nano,
    "us": offsets.Micro,
    "ms": offsets.Milli,
    "s": offsets.Second,
    "min": offsets.Minute,
    "h": offsets.Hour,
    "D": offsets.Day,
    **{f"W-{day}": partial(offsets.Week, weekday=number) for number, day in enumerate(_DAYS)},
    "ME": offsets.MonthEnd,
    **_by_month("QE", offsets.QuarterEnd, "startingMonth"),
    **_by_month("YE", offsets.YearEnd, "month"),
}

OFFSETS: dict[str, Callable[[int], Any]] = {
    **PERIODS,
    "B": offsets.BusinessDay,
    "W": offsets.Week,
    "MS": offsets.MonthBegin,
    "BMS": offsets.BusinessMonthBegin,
    "BME": offsets.BusinessMonthEnd,
    **{f"SMS-{day}": partial(offsets.SemiMonthBegin, day_of_month=day) for day in range(2, 28)},
    **{f"SME-{day}": partial(offsets.SemiMonthEnd, day_of_month=day) for day in range(1, 28)},
    **_by_month("QS", offsets.QuarterBegin, "startingMonth"),
    **_by_month("BQS", offsets.BQuarterBegin, "startingMonth"),
    **_by_month("BQE", offsets.BQuarterEnd, "startingMonth"),
    **_by_month("YS", offsets.YearBegin, "month"),
    **_by_month("BYS", offsets.BYearBegin, "month"),
    **_by_month("BYE", offsets.BYearEnd, "month"),
    **{
        f"WOM-{week + 1}{day}": partial(offsets.WeekOfMonth, week=week, weekday=number)
        for week, (number, day) in product(range(4), enumerate(_DAYS))
    },
    **{f"LWOM-{day}": partial(_last_week, weekday=number) for number, day in enumerate(_DAYS)},
}

_CODES: dict[Any, str] = {make(1): code for code, make in OFFSETS.items()}


def encode_offset(offset: Any, codes: dict[str, Callable[[int], Any]] = OFFSETS) -> list[Any]:
    """Return the JSON form of a frequency.

    Parameters
    ----------
    offset
        A `pandas.tseries.offsets.BaseOffset`.

    Raises
    ------
    EncodeError
        If it is not a count and one of the codes: custom holidays, business hours, `DateOffset`.

    Examples
    --------
    >>> import pandas as pd
    >>> encode_offset(pd.offsets.QuarterEnd(2, startingMonth=12))
    [2, 'QE-DEC']
    """
    code = _CODES.get(offset.base, "")
    if (
        code not in codes
        or not _is_count(offset.n, codes)
        or not _identical(codes[code](offset.n), offset)
    ):
        raise EncodeError(
            f"the frequency {offset!r} cannot be sent; drop it (index.freq = None, "
            "periods.to_timestamp()), or use one of pandas' plain aliases"
        )
    return [offset.n, code]


def decode_offset(value: Any, codes: dict[str, Callable[[int], Any]] = OFFSETS) -> Any:
    """Build a frequency from its JSON form, or from whatever a peer sent in its place.

    Returns
    -------
    pandas.tseries.offsets.BaseOffset

    Raises
    ------
    WireError
        If it is not a count and one of the codes.
    """
    if type(value) is not list or [type(item) for item in value] != [int, str]:
        raise WireError(f"the frequency {str(value)[:40]!r} is not like [1, 'D']")
    count, code = value
    if code not in codes:
        raise WireError(f"the frequency {code[:40]!r} is unknown here", code="unsupported")
    if not _is_count(count, codes):
        least = 1 if codes is PERIODS else -MAX_COUNT
        raise WireError(
            f"the frequency is {count} times {code!r}; expected {least} to {MAX_COUNT} times, and not 0"
        )
    return codes[code](count)


def leads_through(index: Any, freq: Any) -> bool:
    """Say whether a frequency leads from the first date of an index, or of its durations, to the last.

    Raises
    ------
    ValueError, ArithmeticError
        If it leads to where there are no dates.
    """
    if len(index) < 2:
        return True
    first, last = index[0], index[-1]
    if getattr(index, "tz", None) is not None and not _is_exact(freq):
        # Days, and what is longer, are those of the calendar there.
        first, last = first.tz_localize(None), last.tz_localize(None)
    return bool(first + (len(index) - 1) * freq == last)


def _is_exact(freq: Any) -> bool:
    return isinstance(freq, offsets.Tick) and not isinstance(freq, offsets.Day)


def _is_count(count: int, codes: dict[str, Callable[[int], Any]]) -> bool:
    return count != 0 and (1 if codes is PERIODS else -MAX_COUNT) <= count <= MAX_COUNT


def _identical(a: Any, b: Any) -> bool:
    # `==` alone takes 24 hours for a day.
    return type(a) is type(b) and bool(a == b)
