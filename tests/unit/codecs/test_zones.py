from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.codecs.zones import decode_zone, encode_zone
from bridge.errors import EncodeError, WireError


@pytest.mark.parametrize(
    ("zone", "form"),
    [
        (None, None),
        (UTC, [0, 0, 0]),
        (timezone(timedelta(hours=1), "CET"), [0, 3600, 0, "CET"]),
        (timezone(timedelta(hours=-1)), [-1, 82_800, 0]),
        (ZoneInfo("UTC"), "UTC"),
        (ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
    ],
    ids=str,
)
def test_has_the_documented_form(zone, form):
    assert encode_zone(zone) == form
    assert repr(decode_zone(form)) == repr(zone)


def test_utc_stays_the_one_object():
    assert decode_zone(encode_zone(UTC)) is UTC


@given(st.timedeltas(timedelta(hours=-24, microseconds=1), timedelta(hours=24, microseconds=-1)))
def test_any_fixed_offset_comes_back_equal(offset):
    zone = decode_zone(encode_zone(timezone(offset)))
    assert type(zone) is timezone
    assert zone == timezone(offset)


class Local(tzinfo):
    """A class that no peer can know."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    dst = utcoffset

    def tzname(self, moment: datetime | None) -> str:
        return "here"


def test_other_zones_are_refused():
    with pytest.raises(EncodeError, match=r"Local cannot be sent; .*zoneinfo"):
        encode_zone(Local())


@pytest.mark.parametrize(
    "value",
    [
        *(
            "../../etc/passwd",
            "/etc/passwd",
            "Europe/Berlin\x00",
            "europe/berlin",
            "",
            "posixrules/..",
            ".",
        ),
        *([], [0, 0], [0, 0, 0, 1], [0, 0, 0, "a", "b"], [0, 0.0, 0], [False, 0, 0], {}, 5, True),
        *([1, 0, 0], [-1, 0, 0], [0, 86_400, 0], [0, -1, 0], [0, 0, 10**6], [-(10**30), 0, 0]),
    ],
    ids=str,
)
def test_other_values_are_wire_errors(value):
    with pytest.raises(WireError, match="time zone"):
        decode_zone(value)
