"""Time zones as JSON.

::

    zone = null                              no zone
           "Europe/Berlin"                   a key of the IANA database: `zoneinfo.ZoneInfo`
           [days, seconds, microseconds]     a fixed offset from UTC: `datetime.timezone`;
                                             perhaps with its name as a fourth item
"""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from bridge.errors import EncodeError, WireError

__all__ = ["decode_zone", "encode_zone", "is_arrow_zone"]

# How Arrow writes a fixed offset. One of a day or more would be taken for a key, and looked for as a file.
_OFFSET = re.compile(r"[+-]([01][0-9]|2[0-3]):[0-5][0-9]")


def encode_zone(zone: tzinfo | None) -> Any:
    """Return the JSON form of a time zone.

    Raises
    ------
    EncodeError
        If it is of another class than the two above: one of pytz or dateutil, a local file.

    Examples
    --------
    >>> encode_zone(ZoneInfo("Europe/Berlin")), encode_zone(timezone.utc)
    ('Europe/Berlin', [0, 0, 0])
    """
    if zone is None:
        return None
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        if not "".join(name).isprintable():
            raise EncodeError(f"the time zone {zone!r} has a name that is not printable text")
        return [offset.days, offset.seconds, offset.microseconds, *name]
    if type(zone) is ZoneInfo and zone.key in _keys():
        return zone.key
    raise EncodeError(
        f"the time zone {zone!r} of type {type(zone).__module__}.{type(zone).__qualname__} cannot be "
        "sent; convert to datetime.timezone, or to zoneinfo.ZoneInfo with a key of the IANA database"
    )


def decode_zone(value: Any) -> tzinfo | None:
    """Build a time zone from its JSON form, or from whatever a peer sent in its place.

    Raises
    ------
    WireError
        If it is not one of the forms above, or a key that is unknown on this computer.
    """
    if value is None:
        return None
    if type(value) is str:
        # Membership first: a key becomes a path, and a peer's text must not.
        if value not in _keys():
            raise WireError(
                f"the time zone {value[:40]!r} is unknown here; installing tzdata may help",
                code="unsupported",
            )
        return ZoneInfo(value)
    if type(value) is not list or [type(item) for item in value] not in _FIXED:
        raise WireError(f"the time zone is {str(value)[:60]!r}, which is not one")
    days, seconds, microseconds, *name = value
    if not (-1 <= days <= 0 and 0 <= seconds < 86_400 and 0 <= microseconds < 10**6):
        raise WireError(f"the time zone {value[:3]} is not less than a day from UTC")
    try:
        return timezone(timedelta(days, seconds, microseconds), *name)
    except ValueError as exc:
        raise WireError(f"the time zone {value[:3]} is not less than a day from UTC") from exc


def is_arrow_zone(name: str) -> bool:
    """Whether a time zone of Arrow is one that Python can be asked for: an IANA key, or an offset.

    Examples
    --------
    >>> is_arrow_zone("Europe/Berlin"), is_arrow_zone("+05:30"), is_arrow_zone("+25:30")
    (True, True, False)
    """
    return name in _keys() or _OFFSET.fullmatch(name) is not None


_FIXED = ([int, int, int], [int, int, int, str])


@cache
def _keys() -> frozenset[str]:
    # Takes milliseconds: it walks through the database's directories.
    return frozenset(available_timezones())
