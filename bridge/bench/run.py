"""The run: which case is transferred when, by which processes; and the document that tells it.

A run has four parts. The first pair of processes tries every case, from small to large, and verifies it: what
each costs is known then, and the plan is made. Some pairs of fresh processes then go through the groups in an
order that the seed gives. A group is all formats for one payload and size; every round has each format once, in
random order. Fresh pairs measure the memory of one transfer each. All samples go into the document as they are,
with their places in the run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bridge.bench import document, environment, plan
from bridge.bench.cases import Case, Group
from bridge.bench.child import Failed
from bridge.bench.control import Control
from bridge.bench.document import Row
from bridge.bench.formats import FORMATS
from bridge.bench.pair import First, Pair
from bridge.bench.plan import Cost
from bridge.display import nbytes_text
from bridge.errors import RemoteError

__all__ = ["Settings", "run"]

# Without a budget, this many rounds.
ROUNDS: Final = 5
# Of the budget, what the estimates may be wrong by.
MARGIN: Final = 0.1
# Of a smaller payload, the memory that a transfer takes is not its own.
MEMORY_BYTES: Final = 2**20

# When this part of the budget is over, no more cases are tried; and then no more memory is measured.
TRYING: Final = 0.3
MEMORY: Final = 0.5

Progress = Callable[[str, float], object]


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


class _Run:
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

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def part(self) -> float:
        """Which part of the budget is used up; without a budget none."""
        return self.elapsed / self.settings.budget if self.settings.budget else 0.0

    def open_cases(self) -> list[Case]:
        """Return the cases that are not skipped."""
        return [case for case, row in self.rows.items() if row.skipped is None]

    def groups(self) -> list[Group]:
        """Return what is measured together."""
        return list(dict.fromkeys(case.group for case in self.open_cases()))


def run(url: str, settings: Settings, *, progress: Progress = lambda text, part: None) -> dict[str, Any]:
    """Measure against a server.

    Parameters
    ----------
    url
        Of the server of the benchmark.
    settings
        What to run.
    progress
        Is called with what is done, and which part of all is done.

    Returns
    -------
    dict
        The document.

    Raises
    ------
    TransportError
        If no server answers, or it does not any more.
    RemoteError
        If the server refuses.
    """
    created = datetime.now(UTC)
    here = environment.describe()
    with Control(url) as control:
        state = _Run(control, settings, progress)
        _try(state)
        _plan(state, memory=True)
        _measure_memory(state)
        _measure(state, _plan(state, memory=False))
        there = control.hello["environment"] | {"load_after": control.stop()}
        here |= {"load_after": environment.load()}
        return {
            "zbridge_bench": 1,
            "created": created.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "zbridge": here["zbridge"],
            "command": settings.command,
            "url": control.url,
            "seed": settings.seed,
            "budget": settings.budget,
            "elapsed": round(state.elapsed, 3),
            "processes": settings.processes,
            "clients": settings.clients,
            "client": here,
            "server": there,
            "same_host": control.hello["machine"] == environment.machine_id(),
            "cases": document.cases(state.rows.values()),
            "warnings": state.warnings + document.differences(here, there),
        }


# ── the parts of a run ────────────────────────────────────────────────────────────────────────────


def _try(state: _Run) -> None:
    """Transfer each case twice, the small ones first; verify it, and learn what it costs."""
    start = time.monotonic()
    pair = Pair(state.control, state.settings.clients)
    state.start_seconds = time.monotonic() - start
    try:
        for case in sorted(state.open_cases(), key=lambda case: case.size):
            state.progress(f"trying {case.text}", state.part)
            row = state.rows[case]
            for attempt in [*plan.probes(case, state.costs), case]:
                row.skipped = _not_tried(state, attempt)
                if row.skipped is not None:
                    break
                try:
                    row.first, state.costs[attempt] = _tried(pair, attempt)
                except (Failed, RemoteError) as exc:
                    row.skipped = f"{attempt.text}: {exc}"
                    pair.close()
                    pair = Pair(state.control, state.settings.clients)
                    break
    finally:
        pair.close()


def _not_tried(state: _Run, case: Case) -> str | None:
    """Say why a case is not even tried, or None."""
    hello = state.control.hello
    refused = _refused(state, case) or plan.foresee(
        case,
        state.costs,
        processes=state.settings.processes,
        budget=state.settings.budget,
        available=(environment.available_memory(), hello["available"]),
    )
    if refused is None and state.part > TRYING:
        return f"the budget did not suffice to try {case.text}"
    return refused


def _tried(pair: Pair, case: Case) -> tuple[First, Cost]:
    start = time.monotonic()
    first = pair.first(case)
    seconds = time.monotonic() - start - first.making
    (sample, *_), *_ = pair.samples(case, 1)
    client, server = (first.memory[end] or 0 for end in ("client", "server"))
    return first, Cost(first.making, seconds, sample.total, client, server)


def _plan(state: _Run, *, memory: bool) -> dict[Group, int]:
    """Leave out the cases that do not fit, and return how many rounds each group gets in each process.

    Parameters
    ----------
    memory
        Whether time must be left for measuring memory.
    """
    budget, processes = state.settings.budget, state.settings.processes
    if budget is None:
        return dict.fromkeys(state.groups(), ROUNDS)
    making = {
        group: sum(cost.making for case, cost in state.costs.items() if case.group == group)
        for group in state.groups()
    }
    seconds = (1 - state.part - MARGIN) * budget - processes * state.start_seconds
    if memory:
        seconds -= sum(state.start_seconds + making[case.group] for case in _of_memory(state))
    costs = {case: state.costs[case] for case in state.open_cases()}
    rounds, left_out = plan.rounds_for(costs, making, processes=processes, seconds=seconds)
    for case, why in left_out.items():
        state.rows[case].skipped = why
    return rounds


def _measure_memory(state: _Run) -> None:
    """Measure the largest size of each format and payload, in fresh processes."""
    for case in _of_memory(state):
        if state.part > MEMORY:
            state.warnings.append("the budget did not suffice to measure the memory of all formats")
            return
        state.progress(f"memory of {case.text}", state.part)
        try:
            with Pair(state.control, 1) as pair:
                state.rows[case].memory = pair.memory(case)
        except Failed as exc:
            state.warnings.append(f"the memory of {case.text} is not known: {exc}")


def _measure(state: _Run, rounds: dict[Group, int]) -> None:
    """Time every group in every pair of processes."""
    processes = state.settings.processes
    for process in range(processes):
        groups = state.random.sample(list(rounds), len(rounds))
        pair = Pair(state.control, state.settings.clients)
        try:
            for number, group in enumerate(groups):
                done = (process + number / len(groups)) / processes
                text = f"processes {process + 1} of {processes}: {group.text}"
                state.progress(text, state.part or done)
                pair = _measure_group(state, pair, process, group, rounds[group])
                if state.part > 1:
                    state.warnings.append(f"the budget ended in process {process + 1} of {processes}")
                    return
        finally:
            pair.close()


def _measure_group(state: _Run, pair: Pair, process: int, group: Group, rounds: int) -> Pair:
    """Verify and then time the formats of a group; return the processes: others, where a case failed."""
    for round_ in range(-1, rounds):
        cases = [case for case in state.open_cases() if case.group == group]
        for case in state.random.sample(cases, len(cases)):
            row = state.rows[case]
            if state.part > 1:
                return pair
            try:
                if round_ < 0:
                    row.first = pair.first(case)
                    row.changes = list(dict.fromkeys([*row.changes, *row.first.changes]))
                else:
                    _take(state, row, pair, process, round_)
            except (Failed, RemoteError) as exc:
                row.skipped = f"{case.text} failed after it had gone well: {exc}"
                pair.close()
                pair = Pair(state.control, state.settings.clients)
    return pair


def _take(state: _Run, row: Row, pair: Pair, process: int, round_: int) -> None:
    """Time the transfers of a case in one round."""
    count = plan.batch(state.costs[row.case].seconds)
    for samples in pair.samples(row.case, count):
        for sample in samples:
            row.places.append((process, round_, state.count))
            row.samples.append(sample)
            state.count += 1


def _refused(state: _Run, case: Case) -> str | None:
    """Say why the server does not take part in a case, or None."""
    hello = state.control.hello
    message = case.size * (_expansion(state, case) if case.direction == "push" else 1)
    if message > hello["max_bytes"]:
        limit = f"the server's --max-bytes is {nbytes_text(hello['max_bytes'])}"
        return f"{case.text} would be a message of {nbytes_text(message)}; {limit}"
    if case.direction == "push" and FORMATS[case.format].unpickles and not hello["unpickling"]:
        return "the server decodes pickles only with --allow-pickle"
    return None


def _expansion(state: _Run, case: Case) -> float:
    """Return the bytes of a message for each of the payload's, at the largest size that was tried."""
    tried = [row.first for row in state.rows.values() if row.first and row.case[:3] == case[:3]]
    known = [first.wire / first.nbytes for first in tried if first.wire is not None]
    return known[-1] if known else 1.0


def _of_memory(state: _Run) -> list[Case]:
    """Return the largest case of each direction, format and payload, of those that are large enough."""
    largest = {
        case[:3]: case
        for case in state.open_cases()
        if case.size >= MEMORY_BYTES and not FORMATS[case.format].is_baseline
    }
    return list(largest.values())
