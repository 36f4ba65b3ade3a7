"""From what was measured to the document that tells it: plain data, every sample in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.bench.cases import Case
from bridge.bench.formats import FORMATS
from bridge.bench.pair import First, Sample

__all__ = ["Row", "cases", "differences"]

# What of a sample is told, beside its place.
MEASURES: Final = ("encode", "transfer", "decode", "touch", "client_cpu", "server_cpu")
# Of these, both ends should have one version.
LIBRARIES: Final = ("zbridge", "python", "numpy", "pandas", "pyarrow", "libzmq")


@dataclass(eq=False)
class Row:
    """What is known of a case.

    Attributes
    ----------
    first
        What its last first transfer showed.
    skipped
        Why it is not measured, or not any more.
    memory
        Of one transfer, in bytes by end.
    changes
        What came back different, in any of the processes.
    places
        Process, round, and place in the whole run of each sample.
    """

    case: Case
    first: First | None = None
    skipped: str | None = None
    memory: dict[str, int] | None = None
    changes: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def cases(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the cases of a document; each has either samples or a reason why there are none."""
    rows = list(rows)
    # A format that was not measured belongs beside those that were, at the size that they had.
    nbytes = {row.case.group: row.first.nbytes for row in rows if row.first is not None}
    return [_case(row, nbytes.get(row.case.group, row.case.size)) for row in rows]


def differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Say which libraries of the ends have different versions."""
    return [
        f"The ends have different versions of {library}: {here[library]} and {there[library]}."
        for library in LIBRARIES
        if here[library] != there[library]
    ]


def _case(row: Row, nbytes: int) -> dict[str, Any]:
    case, first = row.case, row.first
    common = {
        "direction": case.direction,
        "format": case.format,
        "payload": case.payload,
        "nbytes": nbytes,
        "memory": row.memory,
    }
    if first is None or row.skipped is not None or not row.samples:
        return common | {
            "wire_bytes": None,
            "exact": None,
            "changes": [],
            "skipped": row.skipped or f"the budget ended before the turn of {case.text} came",
            "samples": {name: [] for name in ("process", "round", "order", *MEASURES)},
        }
    process, round_, order = map(list, zip(*row.places, strict=True))
    return common | {
        "wire_bytes": first.wire,
        "exact": None if FORMATS[case.format].is_baseline else not row.changes,
        "changes": row.changes,
        "skipped": None,
        "samples": {
            "process": process,
            "round": round_,
            "order": order,
            **{name: [round(getattr(sample, name), 9) for sample in row.samples] for name in MEASURES},
        },
    }
