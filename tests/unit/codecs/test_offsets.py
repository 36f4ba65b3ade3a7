from __future__ import annotations

import pandas as pd
import pytest
from pandas.tseries import offsets

from bridge import codecs
from bridge.codecs.offsets import OFFSETS, PERIODS, decode_offset, encode_offset
from bridge.errors import EncodeError, WireError


@pytest.mark.parametrize("code", OFFSETS)
def test_a_code_is_pandas_own(code):
    offset = OFFSETS[code](3)
    assert offset.rule_code == code
    assert encode_offset(offset) == [3, code]
    assert decode_offset([3, code]) == offset
    assert type(decode_offset([3, code])) is type(offset)


@pytest.mark.parametrize("code", PERIODS)
def test_a_span_has_periods(code):
    assert pd.PeriodDtype(decode_offset([1, code], PERIODS)).freq == OFFSETS[code](1)


@pytest.mark.parametrize(
    "offset",
    [
        offsets.DateOffset(days=1),
        offsets.DateOffset(months=1),
        offsets.BusinessHour(),
        offsets.CustomBusinessDay(holidays=["2024-01-02"]),
        offsets.Easter(),
        offsets.FY5253(),
        offsets.MonthEnd(normalize=True),
        offsets.BusinessDay(offset=pd.Timedelta("1h")),
        offsets.Day(2**31),
    ],
    ids=repr,
)
def test_other_frequencies_are_refused(offset):
    with pytest.raises(EncodeError, match=r"index\.freq = None"):
        encode_offset(offset)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("D", "is not like"),
        ([1], "is not like"),
        ([True, "D"], "is not like"),
        (["1", "D"], "is not like"),
        ([1, "d"], "unknown here"),
        ([1, "1D"], "unknown here"),
        ([1, "W-"], "unknown here"),
        ([1, "__import__('os')"], "unknown here"),
        ([2**31, "D"], "expected -2147483647 to 2147483647"),
        ([-(2**31), "D"], "expected -2147483647 to 2147483647"),
        ([0, "D"], "and not 0"),
        (None, "is not like"),
    ],
    ids=str,
)
def test_other_values_are_wire_errors(value, match):
    with pytest.raises(WireError, match=match):
        decode_offset(value)


def test_periods_have_fewer_codes_than_dates():
    with pytest.raises(WireError, match="unknown here"):
        decode_offset([1, "MS"], PERIODS)
    with pytest.raises(EncodeError, match="to_timestamp"):
        encode_offset(offsets.MonthBegin(), PERIODS)


@pytest.mark.parametrize("count", [0, -1, -(2**31) + 1])
def test_a_period_is_a_span_of_at_least_one(count):
    for value in (
        {"kind": "pandas-scalar", "type": "Period", "ordinal": 5, "freq": [count, "D"]},
        {"kind": "extension", "type": "period", "freq": [count, "D"]},
    ):
        with pytest.raises(WireError, match="expected 1 to"):
            codecs.decode(value, [])
