"""What is asked, how long it is waited for, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bridge import codecs
from bridge.codecs import Allocate
from bridge.display import Progress, nbytes_text, seconds_text
from bridge.display.cards import facts_card
from bridge.errors import IdleTimeout
from bridge.giving_up import check_given_up
from bridge.wire import checked_key

__all__ = ["Answer", "Farewell", "IdleClock", "Question", "Receipt"]

# The op of a request, and its keys.
Farewell: TypeAlias = tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the transfer of one answer took.

    Attributes
    ----------
    nbytes : int
        Bytes of the answer's buffers.
    windows : int
        Windows that were fetched; 0 for an answer that came in one message.
    retries : int
        Windows that were lost and fetched again.
    first_seconds : float
        Until the first bytes were there.
    seconds : float
        Until all of them were there.
    decode_seconds : float
        From there until the object was built.
    """

    nbytes: int
    windows: int
    retries: int
    first_seconds: float
    seconds: float
    decode_seconds: float

    @property
    def rate(self) -> float:
        """Bytes per second, from the request to the object."""
        return self.nbytes / max(self.seconds + self.decode_seconds, 1e-9)

    def __repr__(self) -> str:
        facts = ", ".join(f"{key} {value}" for key, value in self._facts().items())
        return f"<Receipt {nbytes_text(self.nbytes)} {self._speed}: {facts}>"

    def _repr_html_(self) -> str:
        return facts_card(nbytes_text(self.nbytes), self._speed, self._facts())

    @property
    def _speed(self) -> str:
        return f"in {seconds_text(self.seconds + self.decode_seconds)}, {nbytes_text(self.rate)}/s"

    def _facts(self) -> dict[str, str]:
        return {
            "first bytes after": seconds_text(self.first_seconds),
            "all of them after": seconds_text(self.seconds),
            "built in": seconds_text(self.decode_seconds),
            "windows": f"{self.windows:,}" if self.windows else "none: it came in one message",
            "fetched again": f"{self.retries:,}",
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that is here: the descriptor of its object, and the bytes."""

    keys: dict[str, Any]
    buffers: Sequence[Any]
    windows: int = 0
    retries: int = 0
    first_seconds: float
    seconds: float

    def key(self, name: str, cls: type) -> Any:
        """Return a key that the reply must have; see `bridge.wire.checked_key`."""
        return checked_key(self.keys, name, cls)

    @property
    def version(self) -> str:
        """The version of what was read."""
        return str(self.keys.get("version", ""))

    @property
    def nbytes(self) -> int:
        """Bytes of its buffers."""
        return sum(len(buffer) for buffer in self.buffers)

    def decode(self) -> tuple[Any, Receipt]:
        """Build the object, and write the receipt."""
        start = time.perf_counter()
        obj = codecs.decode(self.keys.get("object"), self.buffers)
        receipt = Receipt(
            nbytes=self.nbytes,
            windows=self.windows,
            retries=self.retries,
            first_seconds=self.first_seconds,
            seconds=self.seconds,
            decode_seconds=time.perf_counter() - start,
        )
        return obj, receipt


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request, and how to wait for its answer.

    Attributes
    ----------
    timeout
        Seconds without any progress after which `IdleTimeout` is raised.
    progress
        Called as ``progress(done, total)``, in bytes, whenever a window has landed.
    allocate
        Takes the descriptor and the lengths of the buffers, and returns their destinations.
    farewell
        What the server is told when the answer is given up, so that it does not work for nobody. What was said
        is taken off; copies of the question share the list.
    """

    op: str
    keys: dict[str, Any]
    buffers: Sequence[Any] = ()
    lengths: list[int] | None = None
    timeout: float
    progress: Progress | None = None
    allocate: Allocate = codecs.allocate
    farewell: list[Farewell] = field(default_factory=list)


class IdleClock:
    """Measures the time without progress."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.timeout = question.timeout
        self.reset()

    def reset(self) -> None:
        """Begin anew: something has arrived."""
        self._deadline = time.monotonic() + self.timeout

    @property
    def left(self) -> float:
        """Seconds until the timeout, never less than a moment."""
        return max(self._deadline - time.monotonic(), 0.01)

    def check(self, url: str) -> None:
        """Raise if the time is over, or the caller gave up."""
        check_given_up()
        question = self._question
        if time.monotonic() >= self._deadline:
            what = (
                f"{question.op!r} of {question.keys['name']!r}"
                if "name" in question.keys
                else question.op
            )
            raise IdleTimeout(
                f"nothing came from {url} for {question.timeout:g} s, asked for {what}; "
                "pass a longer timeout if it takes longer"
            )
