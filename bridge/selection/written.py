"""Selections as people type them outside of Python code: ``waveform[:1000, 3]``. Nothing of it is evaluated."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parse_rows", "split_name"]

_INT = re.compile(r"[+-]?[0-9]{1,19}")


def split_name(text: str) -> tuple[str, tuple[Any, ...] | None]:
    """Return a name, and the index in brackets at its end, or None.

    Raises
    ------
    ValueError
        If what is in the brackets is no index.

    Examples
    --------
    >>> split_name("waveform[:1000, ..., 3]")
    ('waveform', (slice(None, 1000, None), Ellipsis, 3))
    >>> split_name("waveform")
    ('waveform', None)
    """
    name, bracket, index = text.rpartition("[")
    if not bracket or not text.endswith("]"):
        return text, None
    items = [item.strip() for item in index[:-1].split(",")]
    if len(items) > 1 and not items[-1]:
        items.pop()
    return name, tuple(map(_item, items))


def parse_rows(text: str) -> slice:
    """Return the rows that ``start:stop`` or ``start:stop:step`` means.

    Raises
    ------
    ValueError
        If it means none.

    Examples
    --------
    >>> parse_rows("0:1000"), parse_rows("-10:")
    (slice(0, 1000, None), slice(-10, None, None))
    """
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (2, 3) or not all(not part or _INT.fullmatch(part) for part in parts):
        raise ValueError(f"{text!r} are no rows; write 0:1000, -10: or ::2")
    return slice(*(int(part) if part else None for part in parts))


def _item(text: str) -> Any:
    if _INT.fullmatch(text):
        return int(text)
    if text in ("...", "None"):
        return {"...": ..., "None": None}[text]
    if ":" in text:
        return parse_rows(text)
    raise ValueError(f"{text!r} is no index; write integers, slices such as 0:1000 or ::2, ... or None")
