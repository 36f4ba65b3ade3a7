"""The record of one run: one JSON document, in the form of `schema.json` beside this file.

A record may come from anywhere, so it is checked before anything is computed from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeAlias

from bridge.errors import BenchError, printable

__all__ = ["KEYWORDS", "PHASES", "check", "dumps", "load", "schema"]

Document: TypeAlias = dict[str, Any]

# The parts of a transfer's time, in the order in which they happen.
PHASES: Final = ("encode", "transfer", "decode", "touch")

# What of JSON Schema is understood here, and all that `schema.json` may use.
KEYWORDS: Final = {
    "type",
    "const",
    "enum",
    "minimum",
    "maximum",
    "required",
    "properties",
    "items",
    "$ref",
}

# No clock tells less, in seconds.
CLOCK: Final = 1e-9

# True is an int to Python, not to JSON.
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def load(path: str | Path) -> Document:
    """Read and check the record in a file.

    Raises
    ------
    BenchError
        If the file holds no JSON, or JSON that is no record.
    OSError
        If it cannot be read.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise BenchError(
            f"{printable(str(path))} is not JSON: {exc}; "
            "give a file that `zbridge bench URL --save FILE.json` wrote"
        ) from exc
    return check(document)


def dumps(document: Document) -> str:
    """Return a record as JSON text, a case in a line."""
    head = {key: value for key, value in document.items() if key != "cases"}
    text = json.dumps(head, ensure_ascii=False, allow_nan=False, indent=1)
    cases = ",\n".join(
        json.dumps(case, ensure_ascii=False, allow_nan=False) for case in document["cases"]
    )
    return text.removesuffix("\n}") + f',\n "cases": [\n{cases}\n]\n}}\n'


def check(document: Any) -> Document:
    """Return a record that fits the schema and makes sense.

    Raises
    ------
    BenchError
        If it does not: what is wrong, where, and what was expected.
    """
    version = document.get("zbridge_bench") if isinstance(document, dict) else None
    if version is None:
        raise BenchError("this is no record of zbridge bench: it has no key 'zbridge_bench'")
    known = schema()["properties"]["zbridge_bench"]["const"]
    if version != known or isinstance(version, bool):
        raise BenchError(
            f"this record has the major version {_shown(version)}; this zbridge reads {known}: "
            "read it with the zbridge that wrote it, or measure again"
        )
    wrong = next(_misfits(document, schema(), "record"), None)
    if wrong is not None:
        raise BenchError(wrong)
    known_cases = set()
    for place, case in enumerate(document["cases"]):
        name = tuple(case[key] for key in ("direction", "payload", "nbytes", "format"))
        wrong = "the case is there twice" if name in known_cases else _contradiction(case)
        if wrong is not None:
            raise BenchError(f"record.cases[{place}]: {wrong}")
        known_cases.add(name)
    return dict(document)


@cache
def schema() -> Document:
    """Return the JSON schema of a record."""
    text = resources.files(__package__).joinpath("schema.json").read_text("utf-8")
    loaded: Document = json.loads(text)
    return loaded


def _misfits(value: Any, rules: Document, where: str) -> Iterator[str]:
    """Yield what does not fit a part of the schema, depth first."""
    if "$ref" in rules:
        rules = schema()["$defs"][rules["$ref"].removeprefix("#/$defs/")]
    names = rules.get("type", [])
    names = [names] if isinstance(names, str) else names
    types = tuple(kind for name in names for kind in _TYPES[name])
    if names and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        yield f"{where} is {_shown(value)}; expected {' or '.join(names)}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where} is {value}; expected a finite number"
    elif "minimum" in rules and isinstance(value, int | float) and value < rules["minimum"]:
        yield f"{where} is {_shown(value)}; expected at least {rules['minimum']}"
    elif "maximum" in rules and isinstance(value, int | float) and value > rules["maximum"]:
        yield f"{where} is {_shown(value)}; expected at most {rules['maximum']:g}"
    elif "enum" in rules and value not in rules["enum"]:
        yield f"{where} is {_shown(value)}; expected one of {', '.join(rules['enum'])}"
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _misfits(item, rules["items"], f"{where}[{place}]")
    elif isinstance(value, dict):
        for key in rules["required"]:
            if key not in value:
                yield f"{where} has no key {key!r}; it needs {', '.join(rules['required'])}"
        for key, part in rules["properties"].items():
            if key in value:
                yield from _misfits(value[key], part, f"{where}.{key}")


def _contradiction(case: Document) -> str | None:
    """Return what a case says that cannot be, where no schema can tell."""
    samples = case["samples"]
    lengths = {key: len(samples[key]) for key in schema()["$defs"]["samples"]["required"]}
    if len(set(lengths.values())) > 1:
        return f"the arrays of samples have different lengths: {lengths}"
    if (case["skipped"] is None) != bool(samples["process"]):
        return "a case has either samples, or a text in 'skipped' that says why there are none"
    if any(sum(parts) < CLOCK for parts in zip(*(samples[phase] for phase in PHASES), strict=True)):
        return f"a transfer took no time; the four phases of a sample add up to {CLOCK:g} s or more"
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number in JSON")


def _shown(value: Any) -> str:
    try:
        text = printable(repr(value))
    except (ValueError, RecursionError):  # Python writes neither thousands of digits nor of levels
        return "too much to show"
    return text if len(text) <= 60 else f"{text[:59]}…"
