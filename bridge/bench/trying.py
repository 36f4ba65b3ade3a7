"""The first part of a run: every case once or twice, to verify it and to learn what it costs."""

from __future__ import annotations

import time
from typing import Final

from bridge.bench import environment, plan
from bridge.bench.cases import Case
from bridge.bench.child import Failed
from bridge.bench.formats import FORMATS
from bridge.bench.pair import First, Pair
from bridge.bench.plan import Cost
from bridge.bench.state import State
from bridge.display import nbytes_text
from bridge.errors import RemoteError

__all__ = ["try_all"]

# When this part of the budget is over, no more cases are tried.
TRYING: Final = 0.3


def try_all(state: State) -> None:
    """Transfer each case twice, the small ones first; verify it, and learn what it costs."""
    start = time.monotonic()
    with state.pair(state.settings.clients) as pair:
        state.start_seconds = time.monotonic() - start
        for case in sorted(state.open_cases(), key=lambda case: case.size):
            state.progress(f"trying {case.text}", state.part)
            row = state.rows[case]
            row.skipped = _refused(state, case)
            if row.skipped is not None:  # nothing smaller is tried for its sake
                continue
            for attempt in [*plan.probes(case, state.costs), case]:
                row.skipped = _not_tried(state, attempt)
                if row.skipped is not None:
                    break
                try:
                    row.first, state.costs[attempt] = _tried(state, pair, attempt)
                except (Failed, RemoteError) as exc:
                    row.skipped = f"{attempt.text}: {exc}"
                    pair.restart()
                    break


def _not_tried(state: State, case: Case) -> str | None:
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


def _tried(state: State, pair: Pair, case: Case) -> tuple[First, Cost]:
    start = time.monotonic()
    first = pair.first(case)
    seconds = time.monotonic() - start - first.making
    if not any(other[:3] == case[:3] for other in state.costs):
        # Libraries load what they need at the first use: that belongs to the process, not to this case.
        start = time.monotonic()
        again = pair.first(case)
        warm = time.monotonic() - start - again.making
        state.start_seconds += max(0.0, seconds - warm)
        seconds = min(seconds, warm)
    (sample, *_), *_ = pair.samples(case, 1)
    client, server = (first.memory[end] or 0 for end in ("client", "server"))
    return first, Cost(first.making, seconds, sample.total, client, server)


def _refused(state: State, case: Case) -> str | None:
    """Say why the server does not take part in a case, or None."""
    hello = state.control.hello
    message = case.size * (_expansion(state, case) if case.direction == "push" else 1)
    if message > hello["max_bytes"]:
        limit = f"the server's --max-bytes is {nbytes_text(hello['max_bytes'])}"
        what = f"{case.format} at {nbytes_text(case.size)}"
        return f"{what} would be a message of {nbytes_text(message)}, and {limit}"
    if case.direction == "push" and FORMATS[case.format].unpickles and not hello["unpickling"]:
        return "the server decodes pickles only with --allow-pickle"
    return None


def _expansion(state: State, case: Case) -> float:
    """Return the bytes of a message for each of the payload's, at the largest size that was tried."""
    tried = [row.first for row in state.rows.values() if row.first and row.case[:3] == case[:3]]
    known = [first.wire / first.nbytes for first in tried if first.wire is not None]
    return known[-1] if known else 1.0
