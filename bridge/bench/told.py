"""What a server of the benchmark may answer: its word is looked at before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from bridge.errors import WireError

__all__ = ["checked"]

# JSON has no bounds; what is counted here, fits into a machine's word.
MAX_NUMBER: Final = 2**63


def checked(do: str, answer: Any) -> Any:
    """Return the answer to an order, if it is one.

    Raises
    ------
    WireError
        If it is something else.
    """
    is_answer = _ANSWERS.get(do)
    if is_answer is not None and not is_answer(answer):
        raise WireError(
            f"the benchmark server answered {do!r} with {str(answer)[:80]!r}, which is no answer to it; have "
            "both ends the same version of zbridge?"
        )
    return answer


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < MAX_NUMBER


def _is_count(value: Any) -> bool:
    return type(value) is int and _is_number(value)


def _are(is_one: Callable[[Any], bool], values: Any) -> bool:
    return type(values) is list and all(map(is_one, values))


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_environment(value: Any) -> bool:
    """Whether all is text, a number, a list of numbers, or not known."""
    return type(value) is dict and all(
        one is None or _is_text(one) or _is_number(one) or _are(_is_number, one)
        for one in value.values()
    )


def _is_hello(value: Any) -> bool:
    return (
        type(value) is dict
        and _is_environment(value.get("environment"))
        and _is_text(value.get("machine"))
        and _is_count(value.get("max_bytes"))
        and type(value.get("unpickling")) is bool
        and "available" in value
        and (value["available"] is None or _is_count(value["available"]))
    )


def _is_end(value: Any) -> bool:
    return (
        type(value) is dict
        and _is_number(value.get("cpu"))
        and type(value.get("encode")) is dict
        and all(_are(_is_number, seconds) for seconds in value["encode"].values())
        and "failure" in value
        and (value["failure"] is None or _is_text(value["failure"]))
    )


_ANSWERS: Final[dict[str, Callable[[Any], bool]]] = {
    "hello": _is_hello,
    "prepare": lambda value: value is None or _is_count(value),
    "verify": lambda value: _are(_is_text, value),
    "end": _is_end,
    "grown": lambda value: value is None or _is_count(value),
    "stop": lambda value: value is None or _are(_is_number, value),
}
