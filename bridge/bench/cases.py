"""The cases of a run: which direction, format, payload and size; and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from bridge.bench import payloads
from bridge.bench.formats import FORMATS
from bridge.display import nbytes_text, parse_nbytes
from bridge.errors import WireError

__all__ = ["DIRECTIONS", "Case", "Group", "all_cases", "from_wire", "parse_seconds", "parse_sizes"]

DIRECTIONS: Final = ("pull", "push")
# A sweep of more sizes than this is a slip of the pen.
MAX_SIZES: Final = 100

_SECONDS: Final = {"": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Group(NamedTuple):
    """What is measured in the same rounds: all formats of a direction, a payload and a size."""

    direction: str
    payload: str
    size: int

    @property
    def text(self) -> str:
        """The group, for people."""
        return f"{self.payload} of {nbytes_text(self.size)}, {self.direction}"


class Case(NamedTuple):
    """What is sent, in which format, and which way.

    Attributes
    ----------
    direction
        ``pull``: the server sends; ``push``: the client does.
    format, payload
        Names of the tables.
    size
        Bytes that were asked for; those of the payload are about as many.
    """

    direction: str
    format: str
    payload: str
    size: int

    @property
    def group(self) -> Group:
        """The group that it belongs to."""
        return Group(self.direction, self.payload, self.size)

    @property
    def text(self) -> str:
        """The case, for people."""
        return f"{self.format}, {self.group.text}"

    @property
    def cannot(self) -> str | None:
        """Why the format does not carry the payload, or None."""
        kind = "array" if payloads.is_array(self.payload) else "frame"
        carries = FORMATS[self.format].carries
        return None if kind in carries else f"{self.format} carries {carries[0]}s, not {kind}s"


def all_cases(
    directions: Sequence[str], formats: Sequence[str], names: Sequence[str], sizes: Sequence[int]
) -> list[Case]:
    """Return the cases of a run: payload by payload, small sizes first.

    Raises
    ------
    ValueError
        For a name of none of the tables.
    """
    _check(directions, DIRECTIONS, "direction")
    _check(formats, FORMATS, "format")
    for name in names:
        payloads.parse(name)
    return [
        Case(direction, format_, name, size)
        for direction in dict.fromkeys(directions)
        for name in dict.fromkeys(names)
        for size in sorted(set(sizes))
        for format_ in dict.fromkeys(formats)
    ]


def from_wire(value: Any, *, max_bytes: int) -> Case:
    """Return the case that a client names.

    Raises
    ------
    WireError
        If it is none, or larger than the server allows.
    """
    if type(value) is not list or [type(item) for item in value] != [str, str, str, int]:
        raise WireError(f"a case is [direction, format, payload, size], not {str(value)[:60]!r}")
    case = Case(*value)
    try:
        _check([case.direction], DIRECTIONS, "direction")
        _check([case.format], FORMATS, "format")
        payloads.parse(case.payload)
    except ValueError as exc:
        raise WireError(str(exc)) from exc
    if not 0 <= case.size <= max_bytes:
        raise WireError(
            f"a payload of {case.size} bytes is more than the {max_bytes} that this server makes and takes; "
            "start it with a larger --max-bytes",
            code="too_large",
        )
    return case


def parse_sizes(text: str) -> list[int]:
    """Return the sizes of a sweep, in bytes.

    Examples
    --------
    >>> parse_sizes("1KiB..1MiB:x32"), parse_sizes("800B,64MiB")
    ([1024, 32768, 1048576], [800, 67108864])
    """
    sizes: list[int] = []
    for part in text.split(","):
        sweep = re.fullmatch(r"(.+)\.\.(.+):x([0-9]+)", part.strip())
        if sweep is None:
            sizes.append(parse_nbytes(part))
            continue
        first, last, factor = parse_nbytes(sweep[1]), parse_nbytes(sweep[2]), int(sweep[3])
        if factor < 2 or not 0 < first <= last:
            raise ValueError(f"{part!r} is no sweep of sizes; write for example 1KiB..1GiB:x4")
        while first <= last and len(sizes) <= MAX_SIZES:
            sizes.append(first)
            first *= factor
    if len(sizes) > MAX_SIZES or min(sizes) < 1:
        raise ValueError(f"{text!r} means no size, or more than {MAX_SIZES}")
    return sizes


def parse_seconds(text: float | str) -> float:
    """Return the seconds that a duration says.

    Examples
    --------
    >>> parse_seconds("2min"), parse_seconds("90"), parse_seconds("1.5 h"), parse_seconds(10)
    (120.0, 90.0, 5400.0, 10.0)
    """
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]*)\s*", str(text).lower())
    if match is None or match[2] not in _SECONDS or float(match[1]) == 0:
        raise ValueError(f"{text!r} is no duration; write seconds, or for example '2min' or '90s'")
    return float(match[1]) * _SECONDS[match[2]]


def _check(names: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{name[:40]!r} is no {what}; there are {', '.join(known)}")
