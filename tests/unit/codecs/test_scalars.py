from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs
from bridge.errors import WireError
from tests.check import check_codec


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["us", "ns"]))
def test_any_duration_comes_back_identical(value, unit):
    check_codec(pd.Timedelta(value, "ns").as_unit(unit))


@given(st.datetimes(), st.sampled_from(sorted(available_timezones())).map(ZoneInfo))
def test_any_moment_in_any_zone_comes_back_identical(moment, zone):
    check_codec(pd.Timestamp(moment, tz="UTC").tz_convert(zone))


STAMP = {"type": "Timestamp", "value": 0, "unit": "s", "zone": None}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({}, "has no 'type'"),
        ({"type": "Time"}, "unknown scalar"),
        ({**STAMP, "value": 2**63}, "64 bits"),
        ({**STAMP, "value": -(2**63)}, "64 bits"),
        ({**STAMP, "value": True}, "expected int"),
        ({**STAMP, "unit": "D"}, "the unit is 'D'"),
        ({**STAMP, "unit": "generic"}, "the unit is"),
        ({**STAMP, "zone": "Mars/Olympus"}, "unknown here"),
        ({"type": "Timedelta", "value": 0, "unit": "W"}, "the unit is 'W'"),
        ({"type": "Period", "ordinal": 2**63, "freq": [1, "D"]}, "64 bits"),
        ({"type": "Period", "ordinal": 0, "freq": [1, "B"]}, "unknown here"),
        ({"type": "Period", "ordinal": 0}, "is not like"),
        ({"type": "Interval", "closed": "up", "left": {}, "right": {}}, "has no 'kind'"),
    ],
    ids=str,
)
def test_fields_are_checked(fields, match):
    with pytest.raises(WireError, match=match):
        codecs.decode({"kind": "pandas-scalar", **fields}, [])


@pytest.mark.parametrize(
    ("left", "right", "closed"), [(2, 1, "left"), (1, 2, "up"), ("a", "b", "left"), ([], [1], "left")]
)
def test_the_ends_of_an_interval_are_checked(left: Any, right: Any, closed):
    tree = {"kind": "tree"}
    fields = {"closed": closed, "left": {**tree, "value": left}, "right": {**tree, "value": right}}
    with pytest.raises(WireError, match="not one that pandas can hold"):
        codecs.decode({"kind": "pandas-scalar", "type": "Interval", **fields}, [])
