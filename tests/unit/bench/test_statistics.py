from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.bench import statistics
from bridge.bench.statistics import Fit, Interval

PROCESSES = 5


def run(rng, *, rounds, between, within, outliers=0.03, center=0.0):
    """Seconds and (process, round) of one format: processes differ, rounds differ, a few are disturbed."""
    key = np.stack(
        [np.repeat(np.arange(PROCESSES), rounds), np.tile(np.arange(rounds), PROCESSES)], axis=1
    )
    logs = center + rng.normal(0, between, PROCESSES)[key[:, 0]] + rng.normal(0, within, len(key))
    logs += (rng.random(len(key)) < outliers) * rng.exponential(0.5, len(key))
    return np.exp(logs), key


CONDITIONS = pytest.mark.parametrize(
    ("rounds", "between", "within"),
    [(1, 0.02, 0.05), (5, 0.0, 0.05), (5, 0.03, 0.03), (20, 0.01, 0.2)],
    ids=["one-round", "like-processes", "unlike-processes", "noisy-rounds"],
)


@CONDITIONS
def test_the_interval_of_a_median_covers_the_true_one_in_about_95_of_100_runs(rounds, between, within):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        seconds, key = run(rng, rounds=rounds, between=between, within=within, outliers=0.0)
        _, low, high = statistics.median(seconds, key[:, 0])
        covered += low <= 1 <= high
    assert 0.92 <= covered / 400 <= 0.995


@CONDITIONS
def test_a_format_against_itself_is_neither_faster_nor_slower(rounds, between, within):
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        pair = [run(rng, rounds=rounds, between=between, within=within) for _ in range(2)]
        ratio = statistics.ratio(*pair[0], *pair[1])
        found += ratio is not None and ratio.excludes_one
    assert found <= 7


def test_a_format_made_5_percent_slower_is_found():
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        pair = [run(rng, rounds=10, between=0.008, within=0.03, center=c) for c in (math.log(1.05), 0.0)]
        ratio = statistics.ratio(*pair[0], *pair[1])
        found += ratio is not None and ratio.excludes_one and 1.0 < ratio.value < 1.1
    assert found >= 95


def test_what_slows_down_a_round_cancels_in_paired_ratios():
    rng = np.random.default_rng(2)
    seconds, key = run(rng, rounds=10, between=0.0, within=0.01)
    load = np.exp(rng.normal(0, 0.5, len(seconds)))
    ratio = statistics.ratio(1.1 * seconds * load, key, seconds * load, key)
    assert ratio is not None
    assert ratio == pytest.approx((1.1, 1.1, 1.1))


def test_only_rounds_that_both_ran_are_paired():
    ratio = statistics.ratio([2.0, 9.0], [(0, 0), (0, 1)], [1.0, 1.0], [(0, 0), (1, 1)])
    assert ratio is not None
    assert ratio.value == pytest.approx(2.0)
    assert statistics.ratio([2.0], [(0, 0)], [1.0], [(1, 0)]) is None


def test_of_a_round_with_several_samples_the_median_is_paired():
    rounds = [(0, 0), (0, 0), (0, 0), (0, 1)]
    ratio = statistics.ratio([2.0, 4.0, 9.0, 2.0], rounds, [1.0, 1.0], [(0, 0), (0, 1)])
    assert ratio is not None
    assert ratio.value == pytest.approx(math.sqrt(4.0 * 2.0))  # of two, the median of logarithms


@pytest.mark.parametrize("processes", [1, 2])
def test_too_few_processes_have_no_interval_and_no_difference(processes):
    key = np.repeat(np.arange(processes), 10)
    interval = statistics.median(np.full(10 * processes, 2.0), key)
    assert interval.value == pytest.approx(2.0)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert not interval.excludes_one


@given(st.lists(st.tuples(st.floats(1e-6, 1e3), st.integers(0, 6)), min_size=1, max_size=40))
def test_an_interval_holds_its_median_and_scales_with_the_unit(samples):
    seconds, process = (np.array(part) for part in zip(*samples, strict=True))
    interval = statistics.median(seconds, process)
    assert interval.value == pytest.approx(math.exp(np.median(np.log(seconds))))
    if len(set(process.tolist())) >= statistics.MIN_PROCESSES:
        assert interval.low <= interval.value * (1 + 1e-12)
        assert interval.high >= interval.value * (1 - 1e-12)
    in_ms = statistics.median(seconds * 1e3, process)
    assert in_ms == pytest.approx([end * 1e3 for end in interval], nan_ok=True)


def test_a_resampled_median_is_that_of_the_processes_drawn():
    values = np.random.default_rng(3).normal(size=12)
    process = np.repeat(np.arange(3), [2, 3, 7])  # not alike in number
    resampled, count = statistics._resampled_medians(values, process)
    draws = statistics._draws(3)
    assert count == 3
    for place in range(50):
        drawn = np.concatenate([values[process == p] for p in range(3) for _ in range(draws[place, p])])
        assert resampled[place] == pytest.approx(np.median(drawn))


def test_the_same_samples_give_the_same_interval():
    seconds, key = run(np.random.default_rng(4), rounds=4, between=0.1, within=0.1)
    assert statistics.median(seconds, key[:, 0]) == statistics.median(seconds, key[:, 0])


# From the table of Student's distribution, two-sided 95 %.
@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (29, 2.045), (10**6, 1.960)],
)
def test_students_quantiles_are_those_of_the_table(freedom, quantile):
    assert statistics._student(freedom) == pytest.approx(quantile, rel=0.01)
    assert statistics._student(10**9) == pytest.approx(NormalDist().inv_cdf(0.975))


def test_the_ratio_of_two_runs_tells_a_change_and_no_change():
    found = {1.0: 0, 1.3: 0}
    for factor in found:
        for seed in range(100):
            rng = np.random.default_rng(seed)
            (new, new_key), (old, old_key) = (
                run(rng, rounds=5, between=0.02, within=0.03) for _ in range(2)
            )
            ratio = statistics.ratio_of_runs(factor * new, new_key[:, 0], old, old_key[:, 0])
            found[factor] += ratio.excludes_one
    assert found[1.0] <= 7
    assert found[1.3] >= 95


@pytest.mark.parametrize(
    ("percent", "samples", "value"),
    [(50, 2, 1.0), (90, 9, None), (90, 10, 9.0), (99, 99, None), (99, 100, 99.0), (99, 1000, 990.0)],
)
def test_a_percentile_is_a_sample_and_needs_enough_of_them(percent, samples, value):
    assert statistics.percentile(range(1, samples + 1), percent) == value


def test_the_fit_finds_the_startup_and_the_rate():
    sizes = np.array([2**10, 2**14, 2**20, 2**30])
    line = statistics.fit(sizes, 1e-4 + sizes / 2e9)
    assert line is not None
    assert line == pytest.approx((1e-4, 2e9, 0.0), rel=1e-6, abs=1e-9)


def test_a_fit_is_never_negative():
    line = statistics.fit([1, 2, 4], [1.0, 2.5, 6.0])  # grows faster than the size
    assert line is not None
    assert line.alpha == 0
    flat = statistics.fit([1, 2, 4], [3.0, 2.0, 1.0])
    assert flat is not None
    assert flat.beta == math.inf
    assert flat.worst > 0.1


def test_two_sizes_are_no_fit():
    assert statistics.fit([1, 2, 2], [1.0, 2.0, 2.1]) is None


@given(
    st.floats(1e-6, 1e-2),
    st.floats(1e6, 1e10),
    st.floats(1e-6, 1e-2),
    st.floats(1e6, 1e10),
    st.floats(0.5, 2),
)
def test_at_a_crossover_the_times_stand_in_that_ratio(alpha, beta, other_alpha, other_beta, factor):
    mine, other = Fit(alpha, beta, 0.0), Fit(other_alpha, other_beta, 0.0)
    size = statistics.crossover(mine, other, factor)
    if size is not None and size > 1:
        assert alpha + size / beta == pytest.approx(factor * (other_alpha + size / other_beta), rel=1e-3)


def test_lines_that_do_not_cross_have_no_crossover():
    assert statistics.crossover(Fit(1e-4, 1e9, 0.0), Fit(2e-4, 5e8, 0.0)) is None


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.9, 1.1, False), (1.01, 1.2, True), (0.8, 0.99, True)]
)
def test_a_difference_is_an_interval_without_one(low, high, excludes):
    assert Interval(1.0, low, high).excludes_one is excludes
