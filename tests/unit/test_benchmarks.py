from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import payloads, report
from benchmarks.__main__ import main
from benchmarks.contenders import CONTENDERS


def speed(**seconds):
    """What was measured, from lists of seconds by ``payload__contender``."""
    data: dict[str, Any] = {"nbytes": {}, "seconds": {}, "order": []}
    for name, samples in seconds.items():
        payload, contender = name.replace("_", "-").split("--")
        data["nbytes"][payload] = 1000
        data["seconds"].setdefault(payload, {})[contender] = samples
    return data


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_one_of_the_samples(percent, value):
    assert report.percentile(list(range(100, 0, -1)), percent) == value


def test_a_ratio_compares_medians_so_one_slow_round_does_not_count():
    rows = report.ratios(speed(array_256MiB__zbridge=[1.0, 1.0, 9.0], array_256MiB__tcp=[2.0, 0.1, 2.0]))
    assert [(row["peer"], row["ratio"], row["reached"]) for row in rows] == [("tcp", 2.0, True)]


def test_a_latency_must_not_be_above_its_ratio():
    rows = report.ratios(speed(array_800B__zbridge=[1.5], array_800B__zmq=[1.0]))
    assert [(row["ratio"], row["at_most"], row["reached"]) for row in rows] == [(1.5, 1.3, False)]


def test_two_payloads_are_compared_by_their_rates():
    data = speed(floats_256MiB__zbridge=[1.0], array_256MiB__zbridge=[1.0])
    data["nbytes"]["floats-256MiB"] = 900
    rows = report.ratios(data)
    assert [(row["peer_payload"], row["ratio"]) for row in rows] == [("array-256MiB", 0.9)]


def test_what_was_not_measured_has_no_ratio():
    assert report.ratios(speed(array_256MiB__zbridge=[], array_256MiB__tcp=[1.0])) == []


@pytest.mark.parametrize("name", ["array-64KiB", "floats-64KiB", "mixed-1k"])
def test_a_payload_is_the_same_wherever_it_is_built(name):
    payload = payloads.build(name)
    assert payloads.difference(payload, name) is None
    assert payloads.touch(payload) == payloads.touch(payloads.build(name))


def test_a_payload_that_comes_back_different_is_noticed():
    array = payloads.build("array-800B")
    array[7] += 1
    assert payloads.difference(array, "array-800B")
    assert payloads.difference(array.tolist(), "array-800B")
    frame = payloads.build("mixed-1k")
    assert payloads.difference(frame.astype({"level": np.int64}), "mixed-1k")


@pytest.mark.parametrize("name", ["array", "array-", "array-1GB", "tensor-1MiB", "array-1.5MiB"])
def test_a_name_that_is_no_payload_is_refused(name):
    with pytest.raises(ValueError, match=re.escape(name)):
        payloads.size_of(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_everything_runs_and_is_written_down(tmp_path):
    out = tmp_path / "results" / "quick.json"
    run = CliRunner().invoke(main, ["--quick", "--memory", "--clients", "--out", str(out)])
    assert run.exit_code == 0, run.output
    result = json.loads(out.read_text("utf-8"))

    assert result["benchmark"] == 1
    assert {"cpu", "cores", "system", "python", "libraries", "commit", "load_before", "load_after"} <= (
        result["environment"].keys()
    )
    seconds = result["speed"]["seconds"]
    assert seconds.keys() == {"array-800B", "array-1MiB", "floats-1MiB", "mixed-1k"}
    for payload, by_contender in seconds.items():
        failed = {f["contender"] for f in result["failures"] if payload in f["payload"].split(", ")}
        assert by_contender.keys() | failed == CONTENDERS.keys(), "nobody is dropped in silence"
        assert len(by_contender["zbridge"]) == (40 if payload == "array-800B" else result["rounds"])
        orders = [order for name, order in result["speed"]["order"] if name == payload]
        assert all(set(order) == by_contender.keys() - failed for order in orders)
    assert all(failure["reason"] for failure in result["failures"])
    for peaks in result["memory"].values():
        assert peaks["zbridge"].keys() == {"payload", "client", "server"}
    assert result["clients"]["seconds"]["zbridge"].keys() == {"1", "2"}
    assert all(contender in run.output for contender in CONTENDERS)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_contender_that_fails_is_reported_with_its_reason(monkeypatch, tmp_path):
    # A module of that name which cannot be imported stands for a peer that is not installed.
    (tmp_path / "zmq.py").write_text("raise ImportError('no zmq on this machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = CliRunner().invoke(main, ["--quick", "--contenders=tcp,pickle", "--payloads=array-800B"])
    assert run.exit_code == 0, run.output
    assert re.search(r"tcp +\d", run.output)
    assert re.search(r"pickle +array-800B: ImportError: no zmq on this machine", run.output)
