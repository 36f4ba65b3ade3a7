from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from bridge.bench import findings
from bridge.bench.findings import sentences, warnings
from bridge.bench.record import PHASES
from bridge.bench.statistics import Interval
from bridge.bench.summary import summarise
from tests.bench_records import environment, record

QUIET: dict[str, Any] = {"between": 0.005, "within": 0.01}


def said(name, **options):
    """What is said of a format against raw."""
    document = record(formats=("tcp", "raw", name), **{**QUIET, **options})
    (sweep,) = summarise(document)
    (sentence,) = sentences(sweep)
    return sentence


def test_where_a_format_overtakes_another_is_told_in_a_sentence():
    sentence = said("pickle")
    assert sentence.startswith("pickle is faster than raw below about ")
    assert ", and slower than raw above: 0." in sentence
    assert " at 1 KiB and 2." in sentence
    number, unit = sentence.partition("about ")[2].replace(",", "").split()[:2]
    assert unit == "KiB"
    assert 15 < float(number) < 40  # by the costs of the record: 22 KiB


def test_up_to_where_a_format_is_as_fast_is_told_in_a_sentence():
    small = tuple(64 * 4**power for power in range(8))
    sentence = said("json", sizes=small, slower={"json": 1.12}, rounds=40)
    assert sentence.startswith("json is within 10 % of raw ")
    assert ", and slower than raw " in sentence


def test_a_format_that_is_always_slower_is_called_so():
    assert said("arrow").startswith("arrow is slower than raw at every size: 1.7")
    assert said("arrow", sizes=(1024,)).startswith("arrow is slower than raw at 1 KiB: 1.7")


def test_without_a_difference_none_is_claimed():
    sentence = said("pickle-oob", slower={"pickle-oob": 0.95}, within=0.5, sizes=(1024, 4096))
    assert sentence.startswith("pickle-oob is not found to differ from raw at every size")


def test_as_fast_is_said_of_whole_intervals_alone():
    (row,) = summarise(record(formats=("raw", "pickle-oob"), sizes=(2**30,), **QUIET))[0].measured(
        name="pickle-oob"
    )
    assert row.to_raw is not None
    for low, high, state in (
        (0.95, 1.05, "within 10 % of"),
        (0.3, 3.7, "not found to differ from"),
        (1.02, 1.3, "slower than"),
        (0.5, 0.99, "faster than"),
        (1.02, 1.04, "within 10 % of"),
        (math.nan, math.nan, "not found to differ from"),
    ):
        middle = 1.0 if math.isnan(low) else math.sqrt(low * high)
        assert findings._state(replace(row, to_raw=Interval(middle, low, high))) == state


def test_nothing_is_called_faster_with_too_few_processes():
    sentence = said("json", processes=2)
    assert re.fullmatch(r"json against raw: [0-9.]+ times its time at .*", sentence)
    assert not {"faster", "slower", "differ"} & set(sentence.split())


def against_raw(*factors):
    """What is said of a format that takes so many times the time of raw, from size to size."""
    document = record(
        formats=("raw", "json"), sizes=tuple(1024 * 4**i for i in range(len(factors))), **QUIET
    )
    for raw, case, factor in zip(document["cases"][::2], document["cases"][1::2], factors, strict=True):
        for phase in PHASES:
            case["samples"][phase] = [factor * seconds for seconds in raw["samples"][phase]]
    (sweep,) = summarise(document)
    return sentences(sweep)[0]


def test_a_format_that_changes_sides_is_told_size_by_size():
    assert against_raw(1, 1, 2, 3, 1, 0.5).startswith(
        "json is within 10 % of raw up to 4 KiB, slower than raw from 16 KiB to 64 KiB, "
        "within 10 % of raw at 256 KiB, and faster than raw at 1 MiB: 1.00 times its time"
    )


def test_a_format_that_goes_to_and_fro_is_told_by_its_ends():
    assert against_raw(2, 0.1, 3, 0.2, 4).startswith(
        "json is now on one side of raw, now on the other: 2.00"
    )


def test_baselines_are_not_judged():
    (sweep,) = summarise(record(formats=("tcp", "zmq", "raw", "json"), sizes=(1024,)))
    assert [sentence.split()[0] for sentence in sentences(sweep)] == ["json"]


def test_without_raw_nothing_is_compared_with_it():
    (sweep,) = summarise(record(formats=("tcp", "json"), sizes=(1024,)))
    assert sentences(sweep) == []
    assert all(row.to_raw is None for row in sweep.rows)


def told(**options):
    document = record(**(QUIET | {"formats": ("tcp", "raw"), "sizes": (1024,)} | options))
    return warnings(document, summarise(document))


def test_a_quiet_run_between_two_hosts_has_no_warnings():
    assert told() == []


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"same_host": True}, "Both ends ran on one host"),
        (
            {"server": environment(load=[5.3, 1, 1])},
            "The server was loaded before the run: 5.3 of 8 cores",
        ),
        ({"processes": 2}, "The run used 2 pairs of processes: no interval is given"),
        ({"processes": 1}, "The run used 1 pair of processes"),
        ({"within": 0.5}, "Unstable: the intervals of 2 of 2 medians are wider than ±10 %"),
        ({"warnings": ["The budget cut the sweep."]}, "The budget cut the sweep."),
    ],
)
def test_what_makes_a_run_doubtful_is_told(options, warning):
    assert any(line.startswith(warning) for line in told(**options))


def test_one_host_that_is_loaded_is_told_once():
    loaded = environment(load=[5.3, 1, 1])
    lines = [line for line in told(client=loaded, server=loaded, same_host=True) if "loaded" in line]
    assert len(lines) == 1
    assert lines[0].startswith("The host was loaded before the run: 5.3 of 8 cores")


def test_a_load_that_is_not_known_is_no_warning():
    assert told(client=environment(load=None, cores=None)) == []


def test_the_summary_has_what_the_record_has():
    (sweep,) = summarise(record(sizes=(1024, 2**30), small_rounds=20))
    assert sweep.sizes == [1024, 2**30]
    assert sweep.formats[:2] == ["tcp", "zmq"]
    (row,) = sweep.measured(name="raw", nbytes=1024)
    assert (row.samples, row.processes) == (100, 5)
    assert row.p99 is not None
    assert row.seconds is not None
    assert row.rate == 1024 / row.seconds.value
    assert row.wire == (1024 + 120) / 1024
    (large,) = sweep.measured(name="raw", nbytes=2**30)
    assert large.p99 is None
    assert large.client_memory == 1.0
    assert large.of_tcp is not None
    assert large.of_tcp.value == pytest.approx(0.67, abs=0.1)
    (tcp,) = sweep.measured(name="tcp", nbytes=2**30)
    assert tcp.of_tcp == pytest.approx((1.0, 1.0, 1.0))
    (skipped,) = (row for row in sweep.rows if row.skipped)
    assert (skipped.format, skipped.seconds, skipped.rate) == ("json", None, None)


def test_a_fit_is_made_of_three_sizes_on():
    (sweep,) = summarise(record(formats=("raw",), sizes=(1024, 4096)))
    assert sweep.fits == {}
    (sweep,) = summarise(record(formats=("raw",), **QUIET))
    assert sweep.fits["raw"].alpha == pytest.approx(190e-6, rel=0.05)
    assert math.isclose(sweep.fits["raw"].beta, 1 / (1 / 1.6e9 + 1 / 9e9), rel_tol=0.05)
