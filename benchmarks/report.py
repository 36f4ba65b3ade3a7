"""Statistics of the samples, the ratios to reach, and the tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["TARGETS", "Target", "percentile", "ratios", "text"]

Data = dict[str, Any]

# What both ends may need beyond the payload (client) and beyond what is served (server).
MEMORY_SLACK: Final = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class Target:
    """A ratio that zbridge, or one of its forms, is to reach against a peer.

    Attributes
    ----------
    payload
        What is fetched.
    peer
        Against whom.
    peer_payload
        What the peer fetches, if not the same.
    at_least
        Bytes per second, divided by the peer's.
    at_most
        Or: the median of the round trips, divided by the peer's.
    ours
        Which contender.
    """

    payload: str
    peer: str
    peer_payload: str = ""
    at_least: float | None = None
    at_most: float | None = None
    ours: str = "zbridge"


TARGETS: Final = (
    Target(payload="array-256MiB", peer="tcp", at_least=1.2),
    Target(payload="array-256MiB", peer="zmq", at_least=2),
    Target(payload="array-256MiB", peer="dask", at_least=1.5),
    Target(payload="array-256MiB", peer="flight", at_least=4),
    Target(payload="floats-256MiB", peer="zbridge", peer_payload="array-256MiB", at_least=0.85),
    Target(payload="floats-256MiB", peer="flight", at_least=4),
    Target(payload="floats-256MiB", peer="pickle-oob", at_least=2),
    Target(payload="mixed-1M", peer="flight", at_least=2),
    Target(payload="mixed-1M", peer="pickle-oob", at_least=1.5),
    Target(payload="array-800B", peer="zmq", at_most=1.3),
    Target(payload="array-800B", peer="flight", at_most=0.6),
    Target(payload="array-256MiB", ours="zbridge-curve", peer="flight", at_least=1.3),
)


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that is not below `percent` percent of the samples.

    Examples
    --------
    >>> percentile([3.0, 1.0, 2.0, 4.0], 50), percentile([3.0, 1.0, 2.0, 4.0], 99)
    (2.0, 4.0)
    """
    rank = -(-len(samples) * percent // 100)
    return sorted(samples)[max(int(rank), 1) - 1]


def ratios(speed: Data) -> list[Data]:
    """Compare zbridge with its peers.

    Returns
    -------
    list of dict
        For each of `TARGETS` whose payload and peer were measured: ``payload``, ``ours``, ``peer``,
        ``peer_payload``, ``ratio``, ``at_least`` or ``at_most``, ``reached``.
    """
    found = []
    for target in TARGETS:
        other = target.peer_payload or target.payload
        ours = speed["seconds"].get(target.payload, {}).get(target.ours)
        theirs = speed["seconds"].get(other, {}).get(target.peer)
        if not ours or not theirs:
            continue
        times = statistics.median(ours) / statistics.median(theirs)
        row: Data = {"payload": target.payload, "ours": target.ours}
        row |= {"peer": target.peer, "peer_payload": other}
        if target.at_most is not None:
            row |= {"ratio": times, "at_most": target.at_most, "reached": times <= target.at_most}
        else:
            rate = speed["nbytes"][target.payload] / speed["nbytes"][other] / times
            row |= {
                "ratio": rate,
                "at_least": target.at_least,
                "reached": rate >= (target.at_least or 0),
            }
        found.append(row)
    return found


def text(result: Data) -> str:
    """Return the tables of a result."""
    return "\n".join(_lines(result))


def _lines(result: Data) -> Iterator[str]:
    machine = result["environment"]
    yield f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    yield f"load {machine['load_before']} before, {machine['load_after']} after; seed {result['seed']}"
    yield from _speed_lines(result["speed"])
    yield from _ratio_lines(result["ratios"])
    yield from _memory_lines(result.get("memory", {}))
    yield from _clients_lines(result.get("clients"))
    if result["failures"]:
        yield "\nNot run"
        for failure in result["failures"]:
            yield "  {contender:11} {payload}: {reason}".format(**failure)


def _speed_lines(speed: Data) -> Iterator[str]:
    for payload, contenders in speed["seconds"].items():
        nbytes = speed["nbytes"][payload]
        yield f"\n{payload}, {nbytes:,} bytes"
        yield f"  {'':11} {'median':>10} {'fastest':>10} {'p99':>10} {'GB/s':>7}  samples"
        medians = {c: statistics.median(samples) for c, samples in contenders.items() if samples}
        for contender, median in sorted(medians.items(), key=lambda item: item[1]):
            samples = contenders[contender]
            yield (
                f"  {contender:11} {_time(median)} {_time(min(samples))} {_time(percentile(samples, 99))} "
                f"{nbytes / median / 1e9:7.3f}  {len(samples)}"
            )


def _ratio_lines(rows: Sequence[Data]) -> Iterator[str]:
    if rows:
        yield "\nzbridge against"
    for row in rows:
        what = "of the time" if "at_most" in row else "the speed"
        bound = f"at most {row['at_most']}" if "at_most" in row else f"at least {row['at_least']}"
        peer = row["peer"] if row["peer"] != "zbridge" else f"itself, {row['peer_payload']}"
        reached = "reached" if row["reached"] else "NOT reached"
        payload = row["payload"] if row["ours"] == "zbridge" else f"{row['payload']}, {row['ours']}"
        yield f"  {payload:14} {peer:21} {row['ratio']:6.2f} × {what:11} {bound:14} {reached}"


def _memory_lines(memory: Data) -> Iterator[str]:
    for payload, contenders in memory.items():
        yield f"\nPeak memory, {payload}: client beyond the payload, server beyond what it serves"
        for contender, peak in contenders.items():
            beyond = (peak["client"] - peak["payload"], peak["server"])
            reached = "" if max(beyond) > MEMORY_SLACK else "both within 32 MiB"
            yield f"  {contender:11} {beyond[0] / 2**20:9.1f} MiB {beyond[1] / 2**20:9.1f} MiB  {reached}"


def _clients_lines(clients: Data | None) -> Iterator[str]:
    if clients is None:
        return
    yield f"\nClients at once, {clients['payload']}: GB/s together"
    for contender, by_count in clients["seconds"].items():
        rates = [
            f"{count}: {int(count) * clients['nbytes'] / statistics.median(seconds) / 1e9:6.2f}"
            for count, seconds in by_count.items()
            if seconds
        ]
        yield f"  {contender:11} {'   '.join(rates)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:7.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:7.1f} µs"
