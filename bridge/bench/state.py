"""What is known in the course of a run: what is wanted, what was learned, what time is left."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bridge.bench.cases import Case, Group
from bridge.bench.control import Control
from bridge.bench.document import Row
from bridge.bench.pair import Pair
from bridge.bench.plan import Cost

__all__ = ["Progress", "Settings", "State"]

Progress: TypeAlias = Callable[[str, float], object]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to run.

    Attributes
    ----------
    cases
        From small to large for each payload.
    processes
        How many pairs of fresh processes.
    clients
        How many processes fetch at the same time.
    budget
        Seconds for everything; None for as long as it takes.
    seed
        Of the order.
    command
        What reproduces the run.
    """

    cases: Sequence[Case]
    processes: int = 5
    clients: int = 1
    budget: float | None = 120.0
    seed: int = 1
    command: str = ""


class State:
    """The state of a run."""

    def __init__(self, control: Control, settings: Settings, progress: Progress) -> None:
        self.control = control
        self.settings = settings
        self.progress = progress
        self.random = random.Random(settings.seed)  # noqa: S311
        self.rows = {case: Row(case, skipped=case.cannot) for case in settings.cases}
        self.costs: dict[Case, Cost] = {}
        self.warnings: list[str] = []
        self.began = time.monotonic()
        self.start_seconds = 0.0
        self.count = 0
        self.left_out = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def part(self) -> float:
        """Which part of the budget is used up; without a budget none."""
        return self.elapsed / self.settings.budget if self.settings.budget else 0.0

    def pair(self, clients: int) -> Pair:
        """Return fresh processes for all cases: the server's, and those of so many clients."""
        return Pair(self.control, clients, self.rows)

    def open_cases(self) -> list[Case]:
        """Return the cases that are not skipped."""
        return [case for case, row in self.rows.items() if row.skipped is None]

    def groups(self) -> list[Group]:
        """Return what is measured together."""
        return list(dict.fromkeys(case.group for case in self.open_cases()))
