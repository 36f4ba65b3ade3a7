"""Fitting a sweep into a budget: which cases are left out, and how many rounds the others get.

What a case costs is known from the first process, which transfers each once or twice: from the smaller sizes to
the larger, so that what a larger one will cost is known before it is tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.bench.cases import Case, Group
from bridge.bench.formats import FORMATS
from bridge.display import nbytes_text

__all__ = ["Cost", "batch", "foresee", "probes", "rounds_for"]

# The transfers that belong to one turn of a format take about so long together, but are not more than...
BATCH_SECONDS: Final = 0.02
MAX_BATCH: Final = 20
MAX_ROUNDS: Final = 10
# A case that would take more than this part of the budget is not tried.
LARGEST_SHARE: Final = 0.2
# One round of everything takes at most this part of the time; the rest is for more rounds.
ONE_ROUND_SHARE: Final = 0.8
# Of the memory that is available, the part that may be used.
MEMORY_SHARE: Final = 0.8
# For each turn: the orders to both ends.
TURN_SECONDS: Final = 0.01
# From a size, what a larger one costs can be told up to this factor.
PROBE_FACTOR: Final = 32
# Up to this size nothing can go wrong, and what a transfer takes is not yet the size's doing.
SAFE_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Cost:
    """What a case takes.

    Attributes
    ----------
    making
        Seconds until its payload is there; nothing where another case of the group has made it.
    first
        Seconds of the first transfer in a process, with verifying.
    seconds
        Of one transfer.
    client_memory, server_memory
        Bytes by which the peak of each end grew.
    """

    making: float
    first: float
    seconds: float
    client_memory: float
    server_memory: float

    @property
    def turn(self) -> float:
        """Seconds of one turn: a transfer to warm up, and those that are timed."""
        return TURN_SECONDS + (1 + batch(self.seconds)) * self.seconds

    @property
    def least(self) -> float:
        """Seconds that each process takes at least."""
        return self.first + self.turn


def batch(seconds: float) -> int:
    """Return how many transfers are timed in one turn."""
    return max(1, min(MAX_BATCH, int(BATCH_SECONDS / max(seconds, 1e-6))))


def probes(case: Case, known: Mapping[Case, Cost]) -> list[Case]:
    """Return the smaller sizes, from small to large, that should be tried before a case."""
    found: list[Case] = []
    size, nearest = case.size, max((other.size for other in _smaller(case, known)), default=0)
    while size > SAFE_BYTES and nearest * PROBE_FACTOR < size:
        size //= PROBE_FACTOR
        found.insert(0, case._replace(size=size))
    return found


def foresee(
    case: Case,
    known: Mapping[Case, Cost],
    *,
    processes: int,
    budget: float | None,
    available: tuple[int | None, int | None],
) -> str | None:
    """Say why a case should not even be tried, by what its smaller sizes took; or None.

    Parameters
    ----------
    known
        What was tried.
    processes
        How many pairs of processes there will be.
    budget
        Seconds for everything.
    available
        Bytes of memory that the client's and the server's machine have left.
    """

    def expected(quantity: Callable[[Cost], float]) -> float:
        return _extended([(other.size, quantity(known[other])) for other in smaller], case.size)

    smaller = sorted(_smaller(case, known), key=lambda other: other.size)
    if not smaller or case.size <= SAFE_BYTES:
        return None
    needs = expected(lambda cost: cost.client_memory), expected(lambda cost: cost.server_memory)
    for need, left, where in zip(needs, available, ("here", "on the server"), strict=True):
        if left is not None and need > MEMORY_SHARE * left:
            what = f"{case.format} at {nbytes_text(case.size)}"
            return f"{what} would need {nbytes_text(need)} {where}; {nbytes_text(left)} are left"
    seconds = processes * expected(lambda cost: cost.least)
    if budget is not None and seconds > LARGEST_SHARE * budget:
        return _too_slow(case, seconds, f"a budget of {budget:.0f} s")
    return None


def rounds_for(
    costs: Mapping[Case, Cost], making: Mapping[Group, float], *, processes: int, seconds: float
) -> tuple[dict[Group, int], dict[Case, str]]:
    """Share out the time that is left.

    The most expensive cases are left out until one round of all others takes its part of the time; baselines
    stay as long as there is something to compare with them. Of the rest of the time, each group gets the same;
    what it does not need is left to the others.

    Parameters
    ----------
    costs
        Of the cases that are to be measured.
    making
        Seconds that the payload of each group takes.
    processes
        How many pairs of processes there will be.
    seconds
        What all of them may take together.

    Returns
    -------
    rounds
        For each group, in each process.
    left_out
        Why some cases are not measured.
    """
    cases = sorted(costs, key=lambda case: (not _is_baseline(case), costs[case].least))
    left_out: dict[Case, str] = {}
    share = seconds / processes
    while cases and _one_round(cases, costs, making) > ONE_ROUND_SHARE * share:
        dearest = cases.pop()
        for case in [dearest, *_lonely(cases, dearest.group)]:
            left_out[case] = _too_slow(
                case, processes * costs[case].least, f"the {max(0.0, seconds):.0f} s left for all"
            )
        cases = [case for case in cases if case not in left_out]
    left = share - _one_round(cases, costs, making)
    turns: dict[Group, float] = {}
    for case in cases:
        turns[case.group] = turns.get(case.group, 0.0) + costs[case].turn
    rounds: dict[Group, int] = {}
    for number, group in enumerate(sorted(turns, key=turns.__getitem__)):
        more = math.floor(left / (len(turns) - number) / turns[group])
        rounds[group] = min(MAX_ROUNDS, 1 + more)
        left -= (rounds[group] - 1) * turns[group]
    return rounds, left_out


def _smaller(case: Case, known: Mapping[Case, Cost]) -> list[Case]:
    return [other for other in known if other[:3] == case[:3] and other.size < case.size]


def _extended(points: Sequence[tuple[int, float]], size: int) -> float:
    """Return the value at a size on the line through the last two points; of one, through the origin."""
    (last, value), (before, smaller_value) = points[-1], points[-2] if len(points) > 1 else (0, 0.0)
    return value + max(0.0, value - smaller_value) * (size - last) / (last - before)


def _is_baseline(case: Case) -> bool:
    return FORMATS[case.format].is_baseline


def _lonely(cases: Sequence[Case], group: Group) -> list[Case]:
    """Return the cases of a group if they are baselines alone."""
    members = [case for case in cases if case.group == group]
    return members if all(map(_is_baseline, members)) else []


def _one_round(
    cases: Sequence[Case], costs: Mapping[Case, Cost], making: Mapping[Group, float]
) -> float:
    groups = {case.group for case in cases}
    return sum(costs[case].least for case in cases) + sum(making[group] for group in groups)


def _too_slow(case: Case, seconds: float, of: str) -> str:
    return f"{case.format} at {nbytes_text(case.size)} would take {seconds:.1f} s of {of}"
