"""What is known of a server's objects, as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bridge.errors import printable

__all__ = [
    "catalogue_text",
    "entry_text",
    "lines",
    "list_text",
    "nbytes_text",
    "parse_nbytes",
    "seconds_text",
    "shape_text",
    "signature_text",
    "table_text",
    "text",
]

# So much of a text is shown where it is one of several.
TEXT: Final = 100

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{kind}": base**power
    for kind, base in (("b", 1000), ("ib", 1024))
    for power, letter in enumerate("kmgt", start=1)
}


def text(value: Any) -> str:
    r"""Return what a peer sent as a short text in one line, without what a terminal would obey.

    Examples
    --------
    >>> text("two\nlines"), text(None), len(text("long" * 1000))
    ('two\\nlines', 'None', 100)
    """
    line = lines(value).replace("\n", "\\n").replace("\t", "\\t")
    return line if len(line) <= TEXT else line[: TEXT - 1] + "…"


def lines(value: Any) -> str:
    """Return what a peer sent as text, in lines as it has them, without what a terminal would obey."""
    try:
        return printable(str(value))
    except Exception as exc:  # of a very long number, or a date that Python does not have
        return printable(f"({type(value).__name__} without a text: {exc})")


def nbytes_text(nbytes: float) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> nbytes_text(800), nbytes_text(128_000_000), nbytes_text(5 * 2**30)
    ('800 B', '122.1 MiB', '5.0 GiB')
    """
    if nbytes < 1024:
        return f"{nbytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        nbytes /= 1024
        if nbytes < 1024:
            return f"{nbytes:.1f} {unit}"
    return f"{nbytes / 1024:.1f} TiB"


def seconds_text(seconds: float) -> str:
    """Return a time as people read it.

    Examples
    --------
    >>> seconds_text(0.000213), seconds_text(0.0042), seconds_text(12.34), seconds_text(7384)
    ('213 µs', '4.2 ms', '12.3 s', '2 h 03 min')
    """
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def parse_nbytes(text: int | str) -> int:
    """Return the number of bytes that a size says.

    Examples
    --------
    >>> parse_nbytes("64MiB"), parse_nbytes("1e6"), parse_nbytes("2 GB"), parse_nbytes(512)
    (67108864, 1000000, 2000000000, 512)
    """
    if isinstance(text, int) and text >= 0:
        return text
    match = re.fullmatch(
        r"\s*([0-9]{1,20}(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([a-z]*)\s*", str(text).lower()
    )
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is no size; write bytes, or for example '64MiB' or '1e6'")
    return int(float(match[1]) * _UNITS[match[2]])


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as people read it.

    Examples
    --------
    >>> shape_text((1000, 16)), shape_text(())
    ('1000 × 16', 'scalar')
    """
    return " × ".join(map(str, shape)) or "scalar"


def table_text(rows: Any, columns: Any) -> str:
    """Return how large a table is as people read it; the rows are None where nobody knows yet.

    Examples
    --------
    >>> table_text(1461, 6), table_text(1, 1), table_text(None, 2)
    ('1,461 rows × 6 columns', '1 row × 1 column', '? rows × 2 columns')
    """
    return f"{_counted(rows, 'row')} × {_counted(columns, 'column')}"


def _counted(number: Any, thing: str) -> str:
    shown = "?" if number is None else f"{number:,}" if type(number) is int else text(number)
    return f"{shown} {thing}{'' if number == 1 else 's'}"


def list_text(items: Iterable[Any], *, most: int = 6, between: str = ", ") -> str:
    """Return the first items of a list, and how many there are beyond.

    Examples
    --------
    >>> list_text(["a", "b", "c"], most=2)
    'a, b, … 1 more'
    """
    texts = [text(item) for item in items]
    beyond = len(texts) - most
    return between.join(texts if beyond <= 0 else [*texts[:most], f"… {beyond} more"])


def signature_text(entry: dict[str, Any]) -> str:
    """Return the signature of a query's entry as Python writes it.

    Examples
    --------
    >>> signature_text({"name": "f", "parameters": [{"name": "n", "type": "int", "default": "3"}]})
    'f(n: int = 3)'
    """
    parameters = entry.get("parameters")
    texts = [
        _parameter_text(p)
        for p in (parameters if isinstance(parameters, list) else [])
        if type(p) is dict
    ]
    returns = f" -> {text(entry['returns'])}" if entry.get("returns") else ""
    return f"{text(entry.get('name'))}({', '.join(texts)}){returns}"


def catalogue_text(entries: Sequence[dict[str, Any]], *, most: int = 20) -> str:
    """Return a catalogue's entries, a line each, and how many there are beyond."""
    listed = [f"  {_name_text(entry):24} {entry_text(entry)}" for entry in entries[:most]]
    if len(entries) > most:
        listed.append(f"  … {len(entries) - most} more")
    return "\n".join(listed) or "  (nothing is served here that you may see)"


def _name_text(entry: dict[str, Any]) -> str:
    name = entry.get("name")
    return repr(name) if isinstance(name, str) and len(name) <= TEXT else text(name)


def entry_text(entry: dict[str, Any]) -> str:
    """Return what an entry of a catalogue says of its object, in a line."""
    size = nbytes_text(entry["nbytes"]) if type(entry.get("nbytes")) is int else ""
    kind = entry.get("kind")
    if kind == "array":
        shape = entry.get("shape")
        dtype = entry.get("dtype")
        return (
            f"{text(dtype) if isinstance(dtype, str) else 'structured'} "
            f"{text(shape_text(shape if isinstance(shape, list) else ()))}, {size}"
        )
    if kind == "table":
        return f"table {table_text(entry.get('rows'), entry.get('columns'))}, {size}"
    if kind == "broken":
        return f"cannot be read: {text(entry.get('error'))}"
    if kind == "channel":
        return f"channel, {text(entry.get('rows'))} rows so far"
    if kind in ("query", "stream"):
        return signature_text(entry)
    return f"{text(entry.get('type', kind))}, {size}"


def _parameter_text(parameter: dict[str, Any]) -> str:
    written = ("**" if parameter.get("any") else "") + text(parameter.get("name"))
    if "type" in parameter:
        written += f": {text(parameter['type'])}"
    if "default" in parameter:
        default = text(parameter["default"])
        written += f" = {default}" if "type" in parameter else f"={default}"
    return written
