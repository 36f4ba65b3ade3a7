"""The run: which case is transferred when, by which processes; and the document that tells it.

A run has four parts. The first pair of processes tries every case, from small to large, and verifies it: what
each costs is known then, and the plan is made. Some pairs of fresh processes then go through the groups in an
order that the seed gives. A group is all formats for one payload and size; every round has each format once, in
random order. Fresh pairs measure the memory of one transfer each. All samples go into the document as they are,
with their places in the run.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from bridge.bench import document, environment, plan
from bridge.bench.cases import Case, Group
from bridge.bench.child import Failed
from bridge.bench.control import Control
from bridge.bench.document import Row
from bridge.bench.formats import FORMATS
from bridge.bench.pair import Pair
from bridge.bench.state import Progress, Settings, State
from bridge.bench.trying import try_all
from bridge.errors import RemoteError

__all__ = ["run"]

# Without a budget, this many rounds.
ROUNDS: Final = 5
# Of the budget, what the estimates may be wrong by.
MARGIN: Final = 0.1
# Of a smaller payload, the memory that a transfer takes is not its own.
MEMORY_BYTES: Final = 2**20

# Of the time that is left for measuring, the part that memory may take.
MEMORY: Final = 0.25


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
        state = State(control, settings, progress)
        try_all(state)
        memory = MEMORY * _seconds_left(state)
        _plan(state, memory=memory)
        _measure_memory(state, memory)
        _measure(state, _plan(state))
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
            "warnings": [*state.warnings, *_left_out(state), *document.differences(here, there)],
        }


# ── the parts of a run ────────────────────────────────────────────────────────────────────────────


def _seconds_left(state: State) -> float:
    """Return what is left for measuring, once all processes have started."""
    settings = state.settings
    if settings.budget is None:
        return math.inf
    return (1 - state.part - MARGIN) * settings.budget - settings.processes * state.start_seconds


def _plan(state: State, *, memory: float = 0.0) -> dict[Group, int]:
    """Leave out the cases that do not fit, and return how many rounds each group gets in each process.

    Parameters
    ----------
    memory
        The seconds that measuring memory may take before.
    """
    if state.settings.budget is None:
        return dict.fromkeys(state.groups(), ROUNDS)
    making = {
        group: sum(cost.making for case, cost in state.costs.items() if case.group == group)
        for group in state.groups()
    }
    needed = sum(state.start_seconds + making[case.group] for case in _of_memory(state))
    seconds = _seconds_left(state) - min(needed, memory)
    costs = {case: state.costs[case] for case in state.open_cases()}
    rounds, left_out = plan.rounds_for(
        costs, making, processes=state.settings.processes, seconds=seconds
    )
    for case, why in left_out.items():
        state.rows[case].skipped = why
    state.left_out += len(left_out)
    return rounds


def _measure_memory(state: State, seconds: float) -> None:
    """Measure the largest size of each format and payload, in fresh processes."""
    until = state.elapsed + seconds
    for case in _of_memory(state):
        if state.elapsed > until:
            state.warnings.append("The budget did not suffice to measure the memory of all formats.")
            return
        state.progress(f"memory of {case.text}", state.part)
        try:
            with state.pair(1) as pair:
                state.rows[case].memory = pair.memory(case)
        except Failed as exc:
            state.warnings.append(f"The memory of {case.text} is not known: {exc}.")


def _measure(state: State, rounds: dict[Group, int]) -> None:
    """Time every group in every pair of processes."""
    processes = state.settings.processes
    for process in range(processes):
        groups = state.random.sample(list(rounds), len(rounds))
        with state.pair(state.settings.clients) as pair:
            for number, group in enumerate(groups):
                done = (process + number / len(groups)) / processes
                text = f"processes {process + 1} of {processes}: {group.text}"
                state.progress(text, state.part or done)
                _measure_group(state, pair, process, group, rounds[group])
                if state.part > 1:
                    state.warnings.append(f"The budget ended in process {process + 1} of {processes}.")
                    return


def _measure_group(state: State, pair: Pair, process: int, group: Group, rounds: int) -> None:
    """Verify and then time the formats of a group."""
    for round_ in range(-1, rounds):
        cases = [case for case in state.open_cases() if case.group == group]
        for case in state.random.sample(cases, len(cases)):
            row = state.rows[case]
            if state.part > 1:
                return
            try:
                if round_ < 0:
                    row.first = pair.first(case)
                    row.changes = list(dict.fromkeys([*row.changes, *row.first.changes]))
                else:
                    _take(state, row, pair, process, round_)
            except (Failed, RemoteError) as exc:
                row.skipped = f"{case.text} failed after it had gone well: {exc}"
                pair.restart()


def _take(state: State, row: Row, pair: Pair, process: int, round_: int) -> None:
    """Time the transfers of a case in one round."""
    count = plan.batch(state.costs[row.case].seconds)
    for samples in pair.samples(row.case, count):
        for sample in samples:
            row.places.append((process, round_, state.count))
            row.samples.append(sample)
            state.count += 1


def _left_out(state: State) -> list[str]:
    """Say how many cases the budget was too small for, and what to do about it."""
    if not state.left_out:
        return []
    count = f"{state.left_out} of {len(state.rows)}"
    return [f"The budget left out {count} cases, the dearest first; a larger one measures them."]


def _of_memory(state: State) -> list[Case]:
    """Return the largest case of each direction, format and payload, of those that are large enough."""
    largest = {
        case[:3]: case
        for case in state.open_cases()
        if case.size >= MEMORY_BYTES and not FORMATS[case.format].is_baseline
    }
    return list(largest.values())
