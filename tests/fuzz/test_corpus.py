"""What once broke a promise keeps it now; and the fuzzer would see it if one was broken."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from tests.fuzz import targets
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.fixture(scope="module", autouse=True)
def _ended():
    yield
    for end in targets.live()[::-1]:
        end.close()
    targets.live.cache_clear()


def run(name, data):
    with contextlib.suppress(BridgeError):
        TARGETS[name].run(data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_the_fuzzer_found_breaks_nothing_any_more(path):
    run(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_begins_with_breaks_nothing(name):
    for seed in TARGETS[name].seeds():
        run(name, seed)


SEEING = """
from tests.fuzz import guard

def opens(data):
    open(__file__ if "__file__" in globals() else "/dev/null").close()

guard.begin()
for run in (opens, lambda data: bytearray(40_000_000), lambda data: 1 // 0):
    try:
        guard.guarded(run, b"", declared=10_000_000)
    except Exception as exc:
        print(type(exc).__name__)
"""


def test_the_guard_sees_a_door_that_opens_too_much_memory_and_any_exception():
    command = [sys.executable, "-c", SEEING]
    run = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert (run.stdout.split(), run.stderr) == (["Broken", "Broken", "ZeroDivisionError"], "")
