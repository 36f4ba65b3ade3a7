"""What a read will cost, before anything moves; and reads that nobody asked for in so many words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge import codecs
from bridge.codecs import Allocate, Buffer
from bridge.display import nbytes_text, parse_nbytes, seconds_text, text
from bridge.display.cards import facts_card

__all__ = ["Options", "Plan", "Rate", "allocating", "check_implicit", "options", "unknown_rate"]

# What a smaller read takes is said by the round trip, not by the rate.
SMALL: Final = 256 * 1024

# Bytes per second of the link, as far as it was measured.
Rate = Callable[[], float | None]


class Options:
    """What holds for all of this process.

    Attributes
    ----------
    confirm_above : int or str or None
        Bytes, or text such as "8GiB". `numpy.asarray` of a handle, and iteration over it, fetch no more than
        this: they raise `ValueError`. ``read()`` and the like fetch what they are told to. None: no limit.

    Examples
    --------
    >>> import bridge
    >>> bridge.options.confirm_above = "2GiB"
    >>> bridge.options
    Options(confirm_above=2147483648)
    >>> bridge.options.confirm_above = "8GiB"
    """

    __slots__ = ("_confirm_above",)

    def __init__(self) -> None:
        self.confirm_above = "8GiB"

    @property
    def confirm_above(self) -> int | None:
        """What may be fetched without being asked for, in bytes."""
        return self._confirm_above

    @confirm_above.setter
    def confirm_above(self, nbytes: int | str | None) -> None:
        self._confirm_above = None if nbytes is None else parse_nbytes(nbytes)

    def __repr__(self) -> str:
        return f"Options(confirm_above={self.confirm_above})"


options = Options()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a read will cost.

    Attributes
    ----------
    name : str
        What would be read.
    nbytes : int
        Bytes that will travel; an estimate for tables with text.
    memory : int
        Bytes that it will take here, with what is on its way.
    rate : float or None
        Bytes per second that this link had when more than 256 KiB were last fetched at once; None before.
    """

    name: str
    nbytes: int
    memory: int
    rate: float | None

    @property
    def seconds(self) -> float | None:
        """How long it will take at that rate, on top of a round trip."""
        return None if self.rate is None else self.nbytes / self.rate

    def __repr__(self) -> str:
        return f"<Plan {self.name!r}: {', '.join(f'{k} {v}' for k, v in self._facts().items())}>"

    def _repr_html_(self) -> str:
        return facts_card(text(self.name), "before anything moves", self._facts())

    def _facts(self) -> dict[str, str]:
        facts = {"bytes": nbytes_text(self.nbytes), "memory here": f"up to {nbytes_text(self.memory)}"}
        if self.nbytes < SMALL:
            return facts
        if self.rate is None or self.seconds is None:
            return facts | {"time": "not known before something of 256 KiB or more was fetched"}
        return facts | {"time": f"{seconds_text(self.seconds)} at {nbytes_text(self.rate)}/s"}


def unknown_rate() -> None:
    """Return the rate of a link that nobody measured."""


def allocating(name: str, what: str, instead: str) -> Allocate:
    """Return an allocator that makes room for no more than may be fetched without being asked for.

    What a server says of a name is what its handle knows; what comes may be more. The parameters are those of
    `check_implicit`.
    """

    def allocate(descriptor: Any, lengths: Sequence[int]) -> list[Buffer]:
        check_implicit(name, sum(lengths), what, instead)
        return codecs.allocate(descriptor, lengths)

    return allocate


def check_implicit(name: str, nbytes: int, what: str, instead: str) -> None:
    """Refuse to fetch very much where nobody wrote that it should be fetched.

    Parameters
    ----------
    what
        What was done.
    instead
        What to write to have it all, or parts.
    """
    limit = options.confirm_above
    if limit is not None and nbytes > limit:
        raise ValueError(
            f"{what} would fetch {nbytes_text(nbytes)} of {name!r}, more than bridge.options.confirm_above "
            f"({nbytes_text(limit)}); write {instead}, or raise the limit"
        )
