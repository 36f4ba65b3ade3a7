"""Fuzz the targets, one after the other, and say what came of it: ``python -m tests.fuzz --seconds 600``.

What is found is kept in ``.fuzz``, and the next run goes on from there: for each target the inputs that
reached something new, and those that broke a promise. The second kind belongs into ``tests/fuzz/corpus``
when it is mended; the tests run all that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
FOUND = ROOT / ".fuzz"
CORPUS = Path(__file__).parent / "corpus"

OPTIONS = (
    "-timeout=10",  # seconds for one input
    "-rss_limit_mb=4096",  # most of it is what the libraries under test take themselves
    "-max_len=65536",  # the longest header
    "-print_final_stats=1",
)


class Run(NamedTuple):
    """What came of fuzzing one target."""

    seconds: float
    executions: int
    coverage: int
    broken: list[str]


def fuzz(name: str, seconds: int) -> Run:
    """Fuzz one target in a process of its own."""
    folder = FOUND / name
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (folder / "corpus" / hashlib.sha256(seed).hexdigest()[:40]).write_bytes(seed)
    before = set(folder.glob("*-*"))
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.one", name, *OPTIONS, f"-max_total_time={seconds}"]
    folders = [f"-artifact_prefix={folder}/", str(folder / "corpus"), str(CORPUS / name)]
    start = time.monotonic()
    with (folder / "log").open("w") as log:
        subprocess.run([*command, *folders], cwd=ROOT, stdout=log, stderr=log, check=False)
    text = (folder / "log").read_text(errors="replace")
    counts = [int(n) for n in re.findall(r"^#(\d+)", text, re.MULTILINE)]
    covered = [int(n) for n in re.findall(r"\bcov: (\d+)", text)]
    broken = sorted(str(path) for path in set(folder.glob("*-*")) - before)
    if not broken and "DONE" not in text:
        broken = [f"it ended before its time: see {folder / 'log'}"]
    return Run(time.monotonic() - start, max(counts, default=0), max(covered, default=0), broken)


def main() -> int:
    """Fuzz for some time, and return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", default=[], help=f"of {', '.join(TARGETS)}; by default all"
    )
    parser.add_argument("--seconds", type=int, default=210, help="for all of them together")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    failed = False
    for name in names:
        run = fuzz(name, max(1, options.seconds // len(names)))
        failed = failed or bool(run.broken)
        sys.stdout.write(
            f"{time.strftime('%H:%M:%S')} {name:12} {run.executions:>10,} inputs {run.seconds:>7.0f} s "
            f"{run.coverage:>6,} edges  {'; '.join(run.broken) or 'nothing broken'}\n"
        )
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
