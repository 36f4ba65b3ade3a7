"""The rounds: what is timed, in which order.

Everything returned is plain data for the report and for JSON: raw samples in the order they were taken,
the order itself, and for each contender that could not run, the reason.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks import payloads
from benchmarks.contenders import CONTENDERS
from benchmarks.processes import Child, Failed, Pair, pair

__all__ = ["Plan", "clients", "memory", "speed"]

# Arrays up to this size are measured by the latency of many round trips, not by a few fetches.
SMALL: Final = 4096
LATENCY_BATCHES: Final = 20
# Payloads that are kept at the same time, and measured in the same rounds: each of the processes has them.
GROUP_BYTES: Final = 2**30

# The worker of dask is not the process that is measured.
MEMORY_CONTENDERS: Final = ("zbridge", "zmq", "flight")
CLIENT_CONTENDERS: Final = ("zbridge", "tcp", "zmq", "flight", "dask")
CLIENT_ROUNDS: Final = 3
CLIENT_FETCHES: Final = 4

Data = dict[str, Any]


@dataclass(kw_only=True)
class Plan:
    """What to run.

    Attributes
    ----------
    contenders, payloads
        Names.
    rounds
        How often each contender fetches each payload.
    samples
        How many round trips the latency of a small payload is made of.
    memory_payloads
        What the peak of memory is measured with.
    clients_payload, client_counts
        What several clients fetch at once, and how many there are.
    random
        Gives the order.
    failures
        Is filled: who did not run, with what, and why.
    """

    contenders: Sequence[str]
    payloads: Sequence[str]
    rounds: int
    samples: int
    memory_payloads: Sequence[str]
    clients_payload: str
    client_counts: Sequence[int]
    random: random.Random
    failures: list[dict[str, str]] = field(default_factory=list)

    def fail(self, contender: str, payload: str, exc: Exception) -> None:
        """Note why a contender does not run."""
        self.failures.append({"contender": contender, "payload": payload, "reason": str(exc)})

    def shuffled(self, contenders: Sequence[str]) -> list[str]:
        """Return the contenders in the order of the next round."""
        return self.random.sample(contenders, len(contenders))


def speed(plan: Plan) -> Data:
    """Time each payload with each contender, in interleaved rounds.

    Returns
    -------
    dict
        ``nbytes`` of each payload; ``seconds[payload][contender]``, a list; ``order``, a list of
        ``[payload, [contender, …]]`` as it was run.
    """
    data: Data = {"nbytes": {}, "seconds": {}, "order": []}
    for group in _groups(plan.payloads):
        data["nbytes"] |= {name: payloads.nbytes(payloads.build(name)) for name in group}
        with ExitStack() as stack:
            pairs = _start(plan, stack, group)
            able = {name: [c for c in pairs if _is_right(plan, pairs[c], c, name)] for name in group}
            data["seconds"] |= {name: {c: [] for c in able[name]} for name in group}
            for name, do, count in _steps(plan, group):
                order = plan.shuffled(able[name])
                data["order"].append([name, order])
                for contender in order:
                    try:
                        seconds = pairs[contender].client.ask(do, name=name, count=count)
                        data["seconds"][name][contender] += [round(value, 9) for value in seconds]
                    except Failed as exc:
                        plan.fail(contender, name, exc)
                        able[name].remove(contender)
    return data


def memory(plan: Plan) -> Data:
    """Measure how far the memory of both ends grows for one fetch, each in fresh processes.

    Returns
    -------
    dict
        ``[payload][contender]`` is a dict of bytes: ``payload``, ``client`` and ``server``.
    """
    data: Data = {}
    for name in plan.memory_payloads:
        nbytes = payloads.nbytes(payloads.build(name))
        data[name] = {}
        for contender in _of(plan, MEMORY_CONTENDERS, name):
            try:
                with pair(contender, [name]) as ends:
                    for end in (ends.server, ends.client):
                        end.ask("mark")
                    ends.client.ask("time", name=name)
                    data[name][contender] = {
                        "payload": nbytes,
                        "client": ends.client.ask("grown"),
                        "server": ends.server.ask("grown"),
                    }
            except Failed as exc:
                plan.fail(contender, name, exc)
    return data


def clients(plan: Plan) -> Data:
    """Let several clients of one server fetch at the same time.

    Returns
    -------
    dict
        ``nbytes`` that were fetched each time, by each client; ``seconds[contender][clients]``, a list:
        until the last one was done.
    """
    name = plan.clients_payload
    nbytes = CLIENT_FETCHES * payloads.nbytes(payloads.build(name))
    data: Data = {"payload": name, "nbytes": nbytes, "seconds": {}}
    with ExitStack() as stack:
        started: dict[str, list[Child]] = {}
        for contender in _of(plan, CLIENT_CONTENDERS, name):
            try:
                ends = stack.enter_context(pair(contender, [name]))
                arguments = [ends.server.started, name]
                started[contender] = [ends.client] + [
                    stack.enter_context(Child("client", contender, arguments))
                    for _ in range(max(plan.client_counts) - 1)
                ]
                for client in started[contender]:
                    client.ask("time", name=name)
                data["seconds"][contender] = {str(count): [] for count in plan.client_counts}
            except Failed as exc:
                plan.fail(contender, name, exc)
                started.pop(contender, None)
        for _ in range(CLIENT_ROUNDS):
            for count in plan.client_counts:
                for contender in plan.shuffled(list(started)):
                    try:
                        seconds = _together(started[contender][:count], name)
                        data["seconds"][contender][str(count)].append(seconds)
                    except Failed as exc:
                        plan.fail(contender, name, exc)
                        del started[contender]
    return data


def _groups(names: Sequence[str]) -> Iterator[list[str]]:
    """Cut the payloads into runs that are kept and measured together."""
    group: list[str] = []
    size = 0
    for name in names:
        if group and size + payloads.size_of(name) > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(name)
        size += payloads.size_of(name)
    if group:
        yield group


def _steps(plan: Plan, group: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Yield what each contender does next: with which payload, what, and how often."""
    small = [name for name in group if payloads.is_array(name) and payloads.size_of(name) <= SMALL]
    for _ in range(plan.rounds):
        yield from ((name, "time", 1) for name in group if name not in small)
    for _ in range(LATENCY_BATCHES):
        yield from ((name, "time_small", -(-plan.samples // LATENCY_BATCHES)) for name in small)


def _start(plan: Plan, stack: ExitStack, group: Sequence[str]) -> dict[str, Pair]:
    pairs = {}
    for contender in plan.contenders:
        names = [name for name in group if payloads.is_array(name) or CONTENDERS[contender].frames]
        for name in group:
            if name not in names:
                plan.fail(contender, name, Failed("carries arrays only"))
        try:
            if names:
                pairs[contender] = stack.enter_context(pair(contender, names))
        except Failed as exc:
            plan.fail(contender, ", ".join(names), exc)
    return pairs


def _is_right(plan: Plan, ends: Pair, contender: str, name: str) -> bool:
    """Whether what comes equals what is served. This is also the round that warms up."""
    if not (payloads.is_array(name) or CONTENDERS[contender].frames):
        return False
    try:
        difference = ends.client.ask("check", name=name)
    except Failed as exc:
        plan.fail(contender, name, exc)
        return False
    if difference is not None:
        plan.fail(contender, name, Failed(f"comes back different: {difference}"))
    return difference is None


def _of(plan: Plan, contenders: Sequence[str], name: str) -> list[str]:
    return [
        contender
        for contender in contenders
        if contender in plan.contenders and (payloads.is_array(name) or CONTENDERS[contender].frames)
    ]


def _together(ends: Sequence[Child], name: str) -> float:
    start = time.perf_counter()
    for client in ends:
        client.tell("time", name=name, count=CLIENT_FETCHES)
    for client in ends:
        client.answer()
    return time.perf_counter() - start
