from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.bench import text
from bridge.bench.summary import summarise
from tests.bench_records import environment, record


def report(width=80, **options):
    defaults: dict[str, Any] = {"sizes": (1024, 2**20, 2**30), "small_rounds": 20}
    document = record(**(defaults | options))
    return text.report(document, summarise(document), width=width)


@pytest.mark.parametrize(("width", "fits"), [(20, 80), (80, 80), (100, 100), (120, 120), (500, 120)])
def test_a_report_fits_the_terminal(width, fits):
    long = {"cpu": "A very long name of a processor, with all its features and more " * 3}
    shown = report(width, payloads=("frame-mixed",), client=environment(**long))
    assert max(map(len, shown.splitlines())) <= fits


def test_a_wide_terminal_shows_the_phases():
    assert " decode " not in report(116)
    assert "encode transfer   decode    touch" in report(117)


def test_a_phase_that_is_part_of_another_is_left_empty():
    document = record(formats=("raw",), sizes=(1024,))
    document["cases"][0]["samples"]["encode"] = [0.0] * 20
    row = text.report(document, summarise(document), width=120).partition("    raw")[2].splitlines()[0]
    assert "0.00 µs" not in row
    assert re.search(r" 1\.00 {10,}\d+ µs  \d", row), row


def test_a_format_that_changes_data_is_marked_and_told():
    shown = report(payloads=("frame-mixed",))
    assert len(re.findall("^  ≠ json ", shown, re.MULTILINE)) == 2  # at 1 GiB it was not measured
    assert "≠ json changes frame-mixed: column 'when': datetime64[us] became datetime64[ns]" in shown
    assert "≠ raw" not in shown


def test_a_row_has_median_interval_rates_and_what_may_be_said():
    shown = report()
    row = next(line for line in shown.splitlines() if line.startswith("    pickle "))
    assert re.fullmatch(
        r"    pickle +1\d\d µs +1\d\d.1\d\d µs +\d{3} µs +0\.00\d +\d\d +0\.\d\d faster", row
    ), row


def test_p99_is_shown_of_100_samples_on():
    ends = [line for line in report().splitlines() if line.startswith("    raw ")]
    assert [line.count(" µs") + line.count(" ms") for line in ends] == [3, 2, 2]


def test_a_size_at_which_nothing_was_measured_has_no_empty_heading():
    document = record(formats=("raw",), sizes=(1024, 2**20))
    case = document["cases"][1]
    case["samples"] = {name: [] for name in case["samples"]}
    case["skipped"] = "raw at 1 MiB would take 9 s of a budget of 5 s"
    shown = text.report(document, summarise(document))
    assert "1 KiB" in shown.splitlines()
    assert "1 MiB" not in shown.splitlines()
    assert "Not measured: raw at 1 MiB would take 9 s of a budget of 5 s." in shown


def test_a_case_that_was_not_measured_says_why():
    assert "Not measured: json at 1 GiB would need 19 GB here." in report()


def test_percent_of_tcp_is_that_of_paired_rounds():
    shown = report(formats=("tcp", "raw"), sizes=(2**30,))
    assert re.search(r"^    tcp .* 100 ", shown, re.MULTILINE)
    assert re.search(r"^    raw .* 6\d ", shown, re.MULTILINE)


def test_warnings_come_last_where_the_eye_is():
    assert "Warning: Both ends ran on one host" in report(same_host=True).rpartition("\n\n")[2]


def test_a_run_without_a_case_says_so():
    assert "Nothing was measured, for the reasons above." in report(sizes=())


def test_nothing_of_a_record_is_obeyed_by_a_terminal():
    shown = report(url="tcp://\x1b[31m", warnings=["\x1b]0;x\x07"], client=environment(host="\x9b1m"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
