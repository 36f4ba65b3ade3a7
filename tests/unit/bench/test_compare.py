from __future__ import annotations

import copy
from typing import Any

import pytest

from bridge.bench.compare import compare
from bridge.bench.result import Result
from bridge.errors import BenchError
from tests.bench_records import environment, record

OPTIONS: dict[str, Any] = {"formats": ("tcp", "raw", "json"), "sizes": (1024, 2**20), "rounds": 5}


def run(seed=0, **options):
    return Result(record(**(OPTIONS | {"seed": seed} | options)))


def test_a_format_that_became_slower_is_found_and_the_others_are_not():
    comparison = compare(run(0), run(1, slower={"raw": 1.3}))
    verdicts = {(row.format, row.nbytes): row.verdict for row in comparison.differences}
    assert verdicts[("raw", 1024)] == verdicts[("raw", 2**20)] == "slower"
    assert {row.format for row in comparison.differences if row.verdict} == {"raw"}
    assert "2 of 6 differ." in comparison.text()


def test_two_runs_of_the_same_seldom_differ():
    options = {"formats": ("raw",), "sizes": (1024,)}
    found = [compare(run(2 * s, **options), run(2 * s + 1, **options)) for s in range(100)]
    assert sum(bool(row.verdict) for comparison in found for row in comparison.differences) <= 7


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sizes": (1024,)}, r"only one of them measured pull f8 1 MiB"),
        ({"payloads": ("u1",)}, r"only one of them measured pull f8 1 KiB, .*pull u1 1 MiB"),
        ({"directions": ("push",)}, r"only one of them measured pull f8 1 KiB"),
        (
            {"server": environment(host="lab-c")},
            r"the server's host was lab-b in one and lab-c in the other",
        ),
        ({"client": environment(cores=4)}, r"the client's cores was 8 in one and 4 in the other"),
        (
            {"url": "tcp://10.0.0.7:5556"},
            r"the link was tcp://lab-b in one and tcp://10\.0\.0\.7 in the other",
        ),
        ({"clients": 4}, r"the number of clients at once was 1 in one and 4 in the other"),
    ],
)
def test_what_is_not_comparable_is_refused_and_the_reason_told(options, reason):
    with pytest.raises(BenchError, match=reason):
        compare(run(), run(**options))
    with pytest.raises(BenchError, match="these two runs cannot be compared"):
        compare(run(**options), run())


def test_all_reasons_are_told_at_once():
    with pytest.raises(
        BenchError, match=r"host was .*; the link was .*; only one of them measured .*Measure both"
    ):
        compare(run(), run(server=environment(host="x"), url="tcp://x:1", sizes=(1024,)))


def test_another_port_and_other_versions_are_no_obstacle_but_told():
    comparison = compare(run(), run(1, url="tcp://lab-b:7000", client=environment(numpy="3.0.0")))
    assert comparison.changed == ("numpy on the client: 2.4.6, then 3.0.0",)
    assert "changed: numpy on the client: 2.4.6, then 3.0.0" in comparison.text()


def test_a_format_of_one_run_only_is_told():
    comparison = compare(run(), run(formats=("tcp", "raw", "npy")))
    assert comparison.alone == ("json in the first run only", "npy in the second run only")
    assert {row.format for row in comparison.differences} == {"tcp", "raw"}


def test_a_change_of_fidelity_is_told():
    before = run(payloads=("frame-mixed",))
    document = copy.deepcopy(before.document)
    for case in document["cases"]:
        if case["format"] == "json":
            case["exact"], case["changes"] = True, []
    after = Result(document)
    assert compare(before, after).text().count("no longer changes the data") == 2
    assert compare(after, before).text().count("≠ changes the data now") == 2
    assert compare(before, before).text().count("≠ changes the data") == 2


def test_a_comparison_fits_a_terminal():
    comparison = compare(
        run(payloads=("frame-mixed",)), run(1, payloads=("frame-mixed",), slower={"json": 900})
    )
    assert max(map(len, str(comparison).splitlines())) <= 90
