"""The command: ``python -m benchmarks``."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks import measure, payloads, report
from benchmarks.contenders import CONTENDERS
from benchmarks.environment import environment, load
from benchmarks.measure import Plan

PAYLOADS = (
    "array-800B",
    "array-1MiB",
    "array-16MiB",
    "array-256MiB",
    "floats-256MiB",
    "mixed-1M",
    "array-1GiB",
)
QUICK_PAYLOADS = ("array-800B", "array-1MiB", "floats-1MiB", "mixed-1k")


def _names(known: Callable[[str], object]) -> Callable[[Any, Any, str | None], list[str] | None]:
    """Return a check of a list of names, separated by commas."""

    def check(context: Any, option: Any, value: str | None) -> list[str] | None:
        if value is None:
            return None
        names = [name.strip() for name in value.split(",")]
        for name in names:
            try:
                known(name)
            except (KeyError, ValueError) as exc:
                raise click.BadParameter(str(exc)) from exc
        return names

    return check


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), help="How often each fetches each payload. [7; quick: 2]"
)
@click.option("--payloads", "names", callback=_names(payloads.size_of), help="Comma-separated.")
@click.option("--contenders", callback=_names(CONTENDERS.__getitem__), help="Comma-separated.")
@click.option("--quick", is_flag=True, help="Tiny payloads, to try the harness; no numbers to quote.")
@click.option("--memory", is_flag=True, help="Also the peak memory of both ends.")
@click.option("--clients", is_flag=True, help="Also one to eight clients at once.")
@click.option("--seed", default=1, show_default=True, help="Of the order of the runs.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write all samples as JSON."
)
def main(
    *,
    rounds: int | None,
    names: list[str] | None,
    contenders: list[str] | None,
    quick: bool,
    memory: bool,
    clients: bool,
    seed: int,
    out: Path | None,
) -> None:
    """Compare zbridge with its peers: time until an object can be used, over tcp on one machine."""
    plan = Plan(
        contenders=contenders or list(CONTENDERS),
        payloads=names or (QUICK_PAYLOADS if quick else PAYLOADS),
        rounds=rounds or (2 if quick else 7),
        samples=40 if quick else 2000,
        memory_payloads=("array-1MiB", "floats-1MiB") if quick else ("array-1GiB", "floats-256MiB"),
        clients_payload="array-1MiB" if quick else "array-64MiB",
        client_counts=(1, 2) if quick else (1, 2, 4, 8),
        random=random.Random(seed),  # noqa: S311
    )
    started, load_before = datetime.now(UTC), load()
    speed = measure.speed(plan)
    result = {
        "benchmark": 1,
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "rounds": plan.rounds,
        "speed": speed,
        "ratios": report.ratios(speed),
        **({"memory": measure.memory(plan)} if memory else {}),
        **({"clients": measure.clients(plan)} if clients else {}),
        "failures": plan.failures,
        "environment": environment() | {"load_before": load_before, "load_after": load()},
    }
    click.echo(report.text(result))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
        click.echo(f"\nAll samples are in {out}.")


if __name__ == "__main__":
    main()
