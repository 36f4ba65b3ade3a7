"""Records of runs that never were: with known costs, seeded, so that tests know what a report must say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Seconds to begin with, and bytes per second, of each phase: encode, transfer, decode, touch.
COSTS: dict[str, tuple[float, tuple[float, float, float, float]]] = {
    "tcp": (30e-6, (np.inf, 2.6e9, np.inf, 9e9)),
    "zmq": (140e-6, (np.inf, 1.7e9, np.inf, 9e9)),
    "raw": (190e-6, (np.inf, 1.6e9, np.inf, 9e9)),
    "bridge": (260e-6, (np.inf, 2.4e9, np.inf, 9e9)),
    "pickle-oob": (200e-6, (np.inf, 1.55e9, np.inf, 9e9)),
    "pickle": (170e-6, (2.2e9, 1.6e9, 2.5e9, 9e9)),
    "json": (165e-6, (3e7, 9e8, 2.5e7, 8e9)),
    "arrow": (330e-6, (4e9, 1.6e9, 3e9, 9e9)),
    "npy": (210e-6, (3e9, 1.6e9, 3e9, 9e9)),
}
BASELINES = {"tcp", "zmq"}
CHANGES = {
    ("json", "frame-mixed"): [
        "column 'when': datetime64[us] became datetime64[ns]",
        "attrs were lost",
    ],
    ("arrow", "frame-mixed"): ["attrs were lost"],
}
SIZES = tuple(1024 * 4**power for power in range(11))


def environment(**changed: Any) -> dict[str, Any]:
    known = {
        "host": "lab-a",
        "system": "Linux 6.1",
        "machine": "x86_64",
        "cpu": "Example CPU @ 2.60 GHz",
        "cores": 8,
        "memory": 64 * 2**30,
        "load": [0.1, 0.2, 0.2],
        "load_after": [1.1, 0.6, 0.3],
        "python": "3.11.2",
        "numpy": "2.4.6",
        "pandas": "3.1.0",
        "pyarrow": "22.0.0",
        "pyzmq": "27.1.0",
        "libzmq": "4.3.5",
        "zbridge": "0.1.0",
    }
    return known | changed


def record(
    *,
    seed: int = 0,
    formats: Sequence[str] = tuple(COSTS),
    payloads: Sequence[str] = ("f8",),
    directions: Sequence[str] = ("pull",),
    sizes: Sequence[int] = SIZES,
    processes: int = 5,
    rounds: int = 4,
    small_rounds: int | None = None,
    slower: Mapping[str, float] | None = None,
    between: float = 0.02,
    within: float = 0.03,
    **changed: Any,
) -> dict[str, Any]:
    """A record of a run between two hosts; `slower` multiplies the times of formats.

    `between` is the spread (of the logarithm) from process to process, `within` that from round to round;
    up to 16 KiB there are `small_rounds` rounds.
    """
    rng = np.random.default_rng(seed)
    cases = [
        _case(
            rng,
            direction,
            name,
            payload,
            nbytes,
            processes=processes,
            rounds=(small_rounds or rounds) if nbytes <= 2**14 else rounds,
            factor=(slower or {}).get(name, 1.0),
            spreads=(between, within),
        )
        for direction in directions
        for payload in payloads
        for nbytes in sizes
        for name in formats
    ]
    document = {
        "zbridge_bench": 1,
        "created": "2026-11-25T00:30:00Z",
        "zbridge": "0.1.0",
        "command": f"zbridge bench tcp://lab-b:5556 --seed {seed}",
        "url": "tcp://lab-b:5556",
        "seed": seed,
        "budget": 120.0,
        "elapsed": 97.1,
        "processes": processes,
        "clients": 1,
        "client": environment(),
        "server": environment(host="lab-b"),
        "same_host": False,
        "cases": cases,
        "warnings": [],
    }
    return document | changed


def _case(
    rng: np.random.Generator,
    direction: str,
    name: str,
    payload: str,
    nbytes: int,
    *,
    processes: int,
    rounds: int,
    factor: float,
    spreads: tuple[float, float],
) -> dict[str, Any]:
    skipped = "json at 1 GiB would need 19 GB here" if (name, nbytes) == ("json", 2**30) else None
    startup, rates = COSTS[name]
    count = 0 if skipped else processes * rounds
    process = np.repeat(np.arange(processes), rounds)[:count]
    noise = rng.normal(0, spreads[0], processes)[process] + rng.normal(0, spreads[1], count)
    noise += (rng.random(count) < 0.03) * rng.exponential(0.3, count)
    base = np.array([nbytes / rate for rate in rates]) + startup * np.array([0.1, 0.7, 0.15, 0.05])
    phases = base[:, None] * factor * np.exp(noise) * np.exp(rng.normal(0, 0.005, (4, count)))
    changes = CHANGES.get((name, payload), [])
    copies = {"json": 12.0, "pickle": 2.0}.get(name, 1.0)
    return {
        "direction": direction,
        "format": name,
        "payload": payload,
        "nbytes": nbytes,
        "wire_bytes": None if skipped else int(nbytes * (2.4 if name == "json" else 1)) + 120,
        "exact": None if name in BASELINES else not changes,
        "changes": None if name in BASELINES else changes,
        "skipped": skipped,
        "memory": None
        if skipped or nbytes < 2**24
        else {"client": int(copies * nbytes), "server": int((copies - 1) * nbytes) + 2**18},
        "samples": {
            "process": process.tolist(),
            "round": np.tile(np.arange(rounds), processes)[:count].tolist(),
            "order": rng.permutation(count).tolist(),
            **dict(zip(("encode", "transfer", "decode", "touch"), phases.tolist(), strict=True)),
            "client_cpu": (phases.sum(axis=0) * 0.8).tolist(),
            "server_cpu": (phases.sum(axis=0) * 0.6).tolist(),
        },
    }
