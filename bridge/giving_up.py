"""Calls that somebody else gives up: the consumer of an iterator that reads ahead, or a task of asyncio.

The thread that makes the call looks for it whenever it waits, a few times a second, and ends with
`Cancelled`; what it holds on the server is released on the way out, as after Ctrl-C.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, ParamSpec, TypeVar

__all__ = ["NEVER", "Cancelled", "check_given_up", "given_up_by", "pause"]

P = ParamSpec("P")
T = TypeVar("T")

# Of what is to be done even by a call that was given up.
NEVER: Final = threading.Event()
_given_up: ContextVar[threading.Event] = ContextVar("bridge_given_up", default=NEVER)


class Cancelled(Exception):
    """The caller gave the answer up. Never leaves the library."""


def given_up_by(
    event: threading.Event, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a function that ends with `Cancelled` soon after the event is set, if it waits for a server."""
    token = _given_up.set(event)
    try:
        return function(*args, **kwargs)
    finally:
        _given_up.reset(token)


def check_given_up() -> None:
    """Raise `Cancelled` if the call in this thread was given up."""
    if _given_up.get().is_set():
        raise Cancelled


def pause(seconds: float) -> None:
    """Wait, unless the call in this thread is given up."""
    _given_up.get().wait(seconds)
