"""Two runs side by side: the same measurement before and after a change."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from bridge.bench.record import Document
from bridge.bench.result import Result
from bridge.bench.statistics import CONFIDENCE, Interval, ratio_of_runs
from bridge.bench.summary import total_seconds
from bridge.bench.words import list_text, number_text, percent_text, seconds_text, size_text
from bridge.display import lines, text
from bridge.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Difference", "compare"]

# What of the ends must be the same, or the two runs measured something else.
HOST: Final = ("host", "machine", "cpu", "cores")
# What is often the reason for a comparison, and is told.
VERSIONS: Final = ("system", "python", "numpy", "pandas", "pyarrow", "pyzmq", "libzmq", "zbridge")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One case in two runs.

    Attributes
    ----------
    direction, payload, nbytes, format
        Which case.
    before, after
        Medians, in seconds.
    ratio
        ``after / before``, with its interval: below 1 is faster now.
    exact
        Whether the data came back the same, before and after.
    """

    direction: str
    payload: str
    nbytes: int
    format: str
    before: float
    after: float
    ratio: Interval
    exact: tuple[bool | None, bool | None]

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` now; nothing where the interval does not exclude 1."""
        if not self.ratio.excludes_one:
            return ""
        return "faster" if self.ratio.value < 1 else "slower"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two comparable runs have in common, and what differs.

    Attributes
    ----------
    differences
        A row for each case that both runs measured.
    changed
        Versions that differ, a line each.
    alone
        Formats that were measured in one run only, a line each.
    """

    differences: tuple[Difference, ...]
    changed: tuple[str, ...]
    alone: tuple[str, ...]

    def text(self) -> str:
        """Return the comparison as a table of at most 80 columns."""
        return lines("\n".join(_text(self)))

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each difference; ``low`` and ``high`` are the ends of the ratio's interval."""
        import pandas as pd

        return pd.DataFrame([_flat(difference) for difference in self.differences])

    def __str__(self) -> str:
        return self.text()


def compare(before: Result, after: Result) -> Comparison:
    """Compare two runs of the same payloads over the same link between the same computers.

    Raises
    ------
    BenchError
        If the runs are not comparable: every reason is told.
    """
    first, second = before.document, after.document
    reasons = list(_obstacles(first, second))
    if reasons:
        raise BenchError(
            "these two runs cannot be compared: "
            + "; ".join(reasons)
            + ". Measure both with the same payloads and sizes, over one link between the same computers"
        )
    old, new = ({_name(case): case for case in run["cases"]} for run in (first, second))
    both = [
        name for name in old if name in new and not old[name]["skipped"] and not new[name]["skipped"]
    ]
    return Comparison(
        differences=tuple(_difference(old[name], new[name]) for name in both),
        changed=tuple(_versions(first, second)),
        alone=tuple(_alone(first, second)),
    )


def _obstacles(before: Document, after: Document) -> Iterator[str]:
    """Yield the reasons why two runs did not measure the same."""
    for end in ("client", "server"):
        for key in HOST:
            old, new = before[end][key], after[end][key]
            if old != new:
                yield f"the {end}'s {key} was {_shown(old)} in one and {_shown(new)} in the other"
    for what, of in _LINK.items():
        if of(before) != of(after):
            yield f"{what} was {_shown(of(before))} in one and {_shown(of(after))} in the other"
    old_payloads, new_payloads = _payloads(before), _payloads(after)
    if old_payloads != new_payloads:
        missing = [
            " ".join((direction, payload, size_text(nbytes)))
            for direction, payload, nbytes in sorted(old_payloads ^ new_payloads)
        ]
        yield f"only one of them measured {list_text(missing)}"


# The port may differ: it says nothing about the link.
_LINK: Final[dict[str, Callable[[Document], object]]] = {
    "the link": lambda run: _link(run["url"]),
    "the number of clients at once": lambda run: run["clients"],
}


def _link(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or parts.path}"
    except ValueError:
        return url


def _payloads(run: Document) -> set[tuple[str, str, int]]:
    return {(case["direction"], case["payload"], case["nbytes"]) for case in run["cases"]}


def _name(case: dict[str, Any]) -> tuple[str, str, int, str]:
    return case["direction"], case["payload"], case["nbytes"], case["format"]


def _difference(old: dict[str, Any], new: dict[str, Any]) -> Difference:
    seconds = total_seconds(old), total_seconds(new)
    return Difference(
        direction=old["direction"],
        payload=old["payload"],
        nbytes=old["nbytes"],
        format=old["format"],
        before=float(np.median(seconds[0])),
        after=float(np.median(seconds[1])),
        ratio=ratio_of_runs(
            seconds[1], new["samples"]["process"], seconds[0], old["samples"]["process"]
        ),
        exact=(old["exact"], new["exact"]),
    )


def _versions(before: Document, after: Document) -> Iterator[str]:
    for end in ("client", "server"):
        for key in VERSIONS:
            old, new = before[end][key], after[end][key]
            if old != new:
                yield f"{key} on the {end}: {_shown(old)}, then {_shown(new)}"


def _alone(before: Document, after: Document) -> Iterator[str]:
    old, new = ({case["format"]: None for case in run["cases"]} for run in (before, after))
    yield from (f"{text(name)} in the first run only" for name in old if name not in new)
    yield from (f"{text(name)} in the second run only" for name in new if name not in old)


def _text(comparison: Comparison) -> Iterator[str]:
    yield from (f"changed: {line}" for line in comparison.changed)
    yield from (f"measured: {line}" for line in comparison.alone)
    place = None
    for row in comparison.differences:
        if place != (row.direction, row.payload, row.nbytes):
            place = (row.direction, row.payload, row.nbytes)
            yield f"\n{text(row.payload)}, {row.direction}, {size_text(row.nbytes)}"
            yield f"  {'':12} {'before':>9} {'after':>9} {'ratio':>6}  95 % interval"
        _, low, high = row.ratio
        interval = f"{low:.3f}\N{EN DASH}{high:.3f}" if low == low else ""
        yield (
            f"  {text(row.format)[:12]:12} {seconds_text(row.before):>9} {seconds_text(row.after):>9} "
            f"{number_text(row.ratio.value):>6}  {interval:13} {row.verdict}{_fidelity(row)}"
        ).rstrip()
    found = sum(bool(row.verdict) for row in comparison.differences)
    yield "\n" + textwrap.fill(
        f"{found} of {len(comparison.differences)} differ. "
        f"By chance alone, about {percent_text(1 - CONFIDENCE)} of the intervals exclude 1.",
        80,
    )


def _flat(row: Difference) -> dict[str, Any]:
    ratio, low, high = row.ratio
    intervals = {"ratio": ratio, "low": low, "high": high, "verdict": row.verdict}
    before, after = row.exact
    return vars(row) | intervals | {"exact": after, "exact_before": before}


def _fidelity(row: Difference) -> str:
    if row.exact[0] == row.exact[1]:
        return "  ≠ changes the data" if row.exact[0] is False else ""
    return "  ≠ changes the data now" if row.exact[1] is False else "  no longer changes the data"


def _shown(value: Any) -> str:
    return "unknown" if value is None else text(value)
