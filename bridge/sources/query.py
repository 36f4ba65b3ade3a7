"""Query functions and streams: called by name, with arguments that are checked against their signature."""

from __future__ import annotations

import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.codecs import Encoded

__all__ = ["Query"]

# Annotations and defaults are shown to people; one that is longer tells them nothing.
MAX_TEXT = 200
# Results that are kept for a query: so many, and so many bytes together. A larger one is made anew.
MAX_KEPT = 128
MAX_KEPT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Kept:
    result: Encoded
    nbytes: int
    until: float


class Query:
    """A function that answers queries.

    Parameters
    ----------
    function
        Takes its arguments by name; returns anything that can be sent, or, if it is a stream, yields it.
        That is not copied, and must not change any more.
    is_stream
        Whether its values are sent one by one as they are made.
    keep_seconds
        How long a result answers later calls with the same arguments.

    Attributes
    ----------
    in_memory : bool
        As of a `bridge.sources.Source`; and it has no skeleton.

    Raises
    ------
    TypeError
        If it has positional-only parameters or ``*args``: those cannot be given by name; or if it is a
        generator function and no stream.
    """

    in_memory = True

    def __init__(
        self, function: Callable[..., Any], *, is_stream: bool = False, keep_seconds: float = 0.0
    ) -> None:
        self.function = function
        self.is_stream = is_stream
        self._keep_seconds = keep_seconds
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()  # the oldest first
        self._kept_bytes = 0
        self._lock = threading.Lock()
        self._signature = inspect.signature(function)
        if inspect.isgeneratorfunction(function) and not is_stream:
            raise TypeError(f"{function.__name__!r} yields its results; serve it with @srv.stream")
        for parameter in self._signature.parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
                raise TypeError(
                    f"the query {function.__name__!r} takes {str(parameter)!r}, which cannot be given by "
                    "name; use ordinary parameters"
                )

    def entry(self) -> dict[str, Any]:
        """Return the catalogue's entry: its parameters, what it returns, and its docstring."""
        signature = self._signature
        return {
            "kind": "stream" if self.is_stream else "query",
            "parameters": [_parameter(p) for p in signature.parameters.values()],
            "returns": _text_of(signature.return_annotation),
            "doc": _sendable(inspect.getdoc(self.function) or ""),
        }

    def check(self, arguments: dict[str, Any]) -> None:
        """Raise `TypeError` if the function cannot be called with these arguments."""
        parameters = self._signature.parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        unknown = next((name for name in arguments if name not in parameters and not takes_any), None)
        if unknown is not None:
            taken = ", ".join(parameters) or "none"
            raise TypeError(f"there is no argument {_cut(unknown)!r}; the arguments are: {_cut(taken)}")
        self._signature.bind(**arguments)

    def kept(self, key: bytes) -> Encoded | None:
        """Return the result that is kept for these arguments, if there is one that is not too old."""
        with self._lock:
            self._forget_old(time.monotonic())
            return self._kept[key].result if key in self._kept else None

    def keep(self, key: bytes, result: Encoded) -> None:
        """Keep a result, if this query keeps any and it is not too large."""
        nbytes = sum(len(buffer) for buffer in result.buffers)
        if self._keep_seconds <= 0 or nbytes > MAX_KEPT_BYTES:
            return
        now = time.monotonic()
        with self._lock:
            if key in self._kept:  # two calls at the same time
                self._kept_bytes -= self._kept.pop(key).nbytes
            self._kept[key] = _Kept(result, nbytes, now + self._keep_seconds)
            self._kept_bytes += nbytes
            self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if oldest.until > now and len(self._kept) <= MAX_KEPT and self._kept_bytes <= MAX_KEPT_BYTES:
                return
            self._kept.popitem(last=False)
            self._kept_bytes -= oldest.nbytes


def _parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    description: dict[str, Any] = {"name": parameter.name}
    if parameter.annotation is not parameter.empty:
        description["type"] = _text_of(parameter.annotation)
    if parameter.default is not parameter.empty:
        description["default"] = _cut(repr(parameter.default))
    if parameter.kind is parameter.VAR_KEYWORD:
        description["any"] = True
    return description


def _text_of(annotation: Any) -> str:
    if annotation is inspect.Signature.empty:
        return ""
    return _cut(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def _cut(text: str) -> str:
    return _sendable(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "...")


def _sendable(text: str) -> str:
    # Surrogates, which have no place in JSON, must not break the catalogue for everybody.
    return text.encode("utf-8", "replace").decode("utf-8")
