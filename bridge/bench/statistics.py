"""The statistics of the benchmark, in plain numpy.

Samples of one process are alike: they share its memory layout, its caches, its place on the cores. So the
unit that is resampled is the process, and what a few processes cannot show is not claimed.

References
----------
.. [1] T. Kalibera, R. Jones, "Rigorous benchmarking in reasonable time", ISMM 2013: repetition at the level
   that varies, and ratios with intervals in place of single speedups.
.. [2] A. C. Davison, D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8: resampling
   whole clusters.
.. [3] T. C. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69 (2015),
   section 5: the t interval with the bootstrap's standard error, and its factor sqrt(n / (n - 1)).
.. [4] M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.5: quantiles of Student's
   distribution.
.. [5] R. W. Hockney, "The communication challenge for MPP: Intel Paragon and Meiko CS-2", Parallel Computing
   20 (1994): time as a startup and a rate.
"""

from __future__ import annotations

import math
import statistics
from functools import cache
from statistics import NormalDist
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CONFIDENCE",
    "MIN_PROCESSES",
    "Fit",
    "Interval",
    "crossover",
    "fit",
    "median",
    "percentile",
    "ratio",
    "ratio_of_runs",
]

CONFIDENCE: Final = 0.95

# Two processes differ by something, and nobody can say by how much others would.
MIN_PROCESSES: Final = 3

# The error of a standard error from so many resamples is 2 %: small beside that of five processes.
RESAMPLES: Final = 1000

# The same samples give the same report.
SEED: Final = 1

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


class Interval(NamedTuple):
    """An estimate and its 95 % confidence interval.

    Attributes
    ----------
    value
        The estimate.
    low, high
        The ends of the interval; NaN where there are fewer than `MIN_PROCESSES` processes.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_one(self) -> bool:
        """Whether a ratio of 1, no difference, is outside. Never where the interval is unknown."""
        return self.low > 1 or self.high < 1


class Fit(NamedTuple):
    """Time as a startup and a rate: t = alpha + size / beta [5]_.

    Attributes
    ----------
    alpha
        Seconds that a transfer takes however small it is; not negative.
    beta
        Bytes per second of a transfer however large it is; may be infinite.
    worst
        The largest relative distance of a measured time from the line: 0.3 is 30 %.
    """

    alpha: float
    beta: float
    worst: float


def median(seconds: ArrayLike, process: ArrayLike) -> Interval:
    """Return the median of positive samples, with an interval resampled by process.

    The interval is symmetric on the logarithm: ``exp(log m ± t · s · sqrt(n / (n - 1)))``, where `s` is the
    standard deviation of the log median over resamples of whole processes [2]_, and `t` is Student's quantile
    for n - 1 degrees of freedom [3]_. Plain percentiles of the resamples cover about 85 % with five processes.

    Parameters
    ----------
    seconds
        Samples, shape (n,), positive.
    process
        Of which process each sample is, shape (n,), integers.

    Examples
    --------
    >>> median([1.0, 1.0, 1.0, 1.0], [0, 1, 2, 3])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    logs = np.log(np.asarray(seconds, np.float64))
    resampled, count = _resampled_medians(logs, np.asarray(process))
    return _interval(float(np.median(logs)), resampled, count)


def ratio(
    seconds: ArrayLike, key: ArrayLike, other_seconds: ArrayLike, other_key: ArrayLike
) -> Interval | None:
    """Return the median of paired ratios, with an interval resampled by process.

    What one process measured in one round belongs together: of each format the median of the round is taken,
    and what slows a round down cancels in the ratio of the two.

    Parameters
    ----------
    seconds, other_seconds
        Numerators, shape (n,), and denominators, shape (m,), positive.
    key, other_key
        Process and round of each, shapes (n, 2) and (m, 2).

    Returns
    -------
    Interval or None
        Of ``seconds / other_seconds``. None without a common round.
    """
    mine, others = _round_medians(seconds, key), _round_medians(other_seconds, other_key)
    common = [key for key in mine if key in others]
    if not common:
        return None
    return median([mine[key] / others[key] for key in common], [process for process, _ in common])


def ratio_of_runs(
    seconds: ArrayLike, process: ArrayLike, other_seconds: ArrayLike, other_process: ArrayLike
) -> Interval:
    """Return the ratio of the medians of two runs, whose rounds are not paired.

    Each run is resampled on its own; the degrees of freedom are those of the run with fewer processes.
    """
    logs = np.log(np.asarray(seconds, np.float64))
    others = np.log(np.asarray(other_seconds, np.float64))
    resampled, count = _resampled_medians(logs, np.asarray(process))
    # Resamples backwards: those of one run must not go with those of the other.
    other_resampled, other_count = _resampled_medians(others, np.asarray(other_process))
    value = float(np.median(logs) - np.median(others))
    return _interval(value, resampled - other_resampled[::-1], min(count, other_count))


def percentile(samples: ArrayLike, percent: float) -> float | None:
    """Return the smallest sample that is not below `percent` percent of the samples.

    None where fewer samples are there than would put one above it: p90 needs 10, p99 needs 100.

    Examples
    --------
    >>> percentile(range(1, 101), 99), percentile(range(99), 99)
    (99.0, None)
    """
    values = np.asarray(samples, np.float64)
    if round(len(values) * (100 - percent)) < 100:
        return None
    return float(np.percentile(values, percent, method="inverted_cdf"))


def fit(nbytes: ArrayLike, seconds: ArrayLike) -> Fit | None:
    """Fit t = alpha + size / beta by least squares of the relative error.

    Times go over six orders of magnitude: absolute errors would fit the largest size alone.

    Parameters
    ----------
    nbytes
        Sizes, shape (n,).
    seconds
        Times, shape (n,), positive.

    Returns
    -------
    Fit or None
        None with fewer than three different sizes: any two points lie on a line.
    """
    sizes = np.asarray(nbytes, np.float64)
    times = np.asarray(seconds, np.float64)
    if len(np.unique(sizes)) < 3:
        return None
    startup, per_byte = 1 / times, sizes / times
    both = np.linalg.lstsq(np.stack([startup, per_byte], axis=1), np.ones(len(times)))[0]
    candidates: list[tuple[float, float]] = [
        (float(both[0]), float(both[1])),
        # On the edges, where one of the two is zero.
        (float(startup.sum() / (startup @ startup)), 0.0),
        (0.0, float(per_byte.sum() / (per_byte @ per_byte))),
    ]

    def misfit(line: tuple[float, float]) -> float:
        return float(((line[0] * startup + line[1] * per_byte - 1) ** 2).sum())

    alpha, slope = min((line for line in candidates if min(line) >= 0), key=misfit)
    worst = float(np.abs(alpha * startup + slope * per_byte - 1).max())
    return Fit(alpha, 1 / slope if slope else math.inf, worst)


def crossover(mine: Fit, other: Fit, factor: float = 1.0) -> float | None:
    """Return the size at which my time is `factor` times the other's, or None if at none.

    Solves ``a + s / b = factor · (a' + s / b')`` for a positive size in bytes.

    Examples
    --------
    >>> crossover(Fit(1.0, 1e6, 0.0), Fit(2.0, 2e6, 0.0))
    2000000.0
    """
    startup = factor * other.alpha - mine.alpha
    slope = 1 / mine.beta - factor / other.beta
    if startup * slope <= 0:
        return None
    return startup / slope


def _round_medians(seconds: ArrayLike, key: ArrayLike) -> dict[tuple[int, int], float]:
    """Return the median of the samples of each process and round."""
    rounds: dict[tuple[int, int], list[float]] = {}
    for value, (process, number) in zip(
        np.asarray(seconds).tolist(), np.asarray(key).tolist(), strict=True
    ):
        rounds.setdefault((process, number), []).append(value)
    return {pair: statistics.median(values) for pair, values in rounds.items()}


def _interval(log_value: float, resampled: Floats, count: int) -> Interval:
    value = math.exp(log_value)
    if count < MIN_PROCESSES:
        return Interval(value, math.nan, math.nan)
    half = _student(count - 1) * math.sqrt(count / (count - 1)) * float(resampled.std(ddof=1))
    return Interval(value, math.exp(log_value - half), math.exp(log_value + half))


def _resampled_medians(values: Floats, process: Integers) -> tuple[Floats, int]:
    """Return the medians over resamples of whole processes, shape (RESAMPLES,), and the number of processes.

    A process that is drawn twice counts twice: the median is that of the sorted samples with the processes'
    counts as weights, for all resamples at once.
    """
    order = np.argsort(values, kind="stable")
    processes, owner = np.unique(process, return_inverse=True)
    weights = _draws(len(processes))[:, owner[order]].cumsum(axis=1)
    half = weights[:, -1:] / 2
    below = values[order][(weights >= half).argmax(axis=1)]
    above = values[order][(weights > half).argmax(axis=1)]
    return (below + above) / 2, len(processes)


@cache
def _draws(count: int) -> Integers:
    """Return how often each of `count` processes is drawn, shape (RESAMPLES, count)."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)


@cache
def _student(freedom: int) -> float:
    """Return the two-sided quantile of Student's distribution, by its expansion in 1 / freedom [4]_.

    Off by 1 % at 2 degrees of freedom, less beyond.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / float(freedom) ** power for power, term in enumerate(terms))
