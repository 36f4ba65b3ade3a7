"""The figures of a sweep: what is drawn, what it is called in words, and the numbers behind it as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from bridge.bench import chart
from bridge.bench.chart import Bar, Part, Point, Series
from bridge.bench.markup import Element, table
from bridge.bench.record import PHASES
from bridge.bench.statistics import Interval
from bridge.bench.summary import BASELINES, ROOFLINE, Row, Sweep
from bridge.bench.words import (
    interval_text,
    marked,
    number_text,
    percent_text,
    phase_text,
    rate_text,
    seconds_text,
    size_text,
)

__all__ = ["Figure", "figures"]

# Latency is what is asked of payloads up to this size, in bytes; of so many sizes the distribution is shown.
SMALL: Final = 2**15
SMALL_SIZES: Final = 2

# A bar longer than so many times the middle one is cut, or the others could not be told apart.
CUT: Final = 5

# What was measured at the client and at the server.
Ends: TypeAlias = tuple[float | None, float | None]


class Figure(NamedTuple):
    """A drawing, what it is called, what it shows, its height (`chart.WIDTH` wide), and its numbers."""

    title: str
    description: str
    drawing: Sequence[Element]
    height: float
    numbers: Element


def figures(sweep: Sweep) -> Iterator[Figure]:
    """Yield the figures of a sweep; none where nothing was measured."""
    sizes = [nbytes for nbytes in sweep.sizes if sweep.measured(nbytes=nbytes)]
    if not sizes:
        return
    largest = sweep.measured(nbytes=sizes[-1])
    yield _time(sweep)
    if any(row.of_tcp for row in sweep.measured()):
        yield _share(sweep)
    yield _rate(largest)
    for nbytes in dict.fromkeys((sizes[0], sizes[-1])):
        yield _phases(sweep.measured(nbytes=nbytes))
    yield _cpu(largest)
    weighed = [row for row in sweep.measured() if _memory_of(row) != (None, None)]
    if weighed:
        yield _memory([row for row in weighed if row.nbytes == weighed[-1].nbytes])
    for nbytes in [nbytes for nbytes in sizes if nbytes <= SMALL][:SMALL_SIZES]:
        yield _latency(sweep.measured(nbytes=nbytes))


def _time(sweep: Sweep) -> Figure:
    return Figure(
        "Time against size",
        "Median time until the last page of the result was touched; both axes logarithmic. Bands are 95 % "
        "intervals; the dashed line is a plain socket, tcp.",
        _over_sizes(sweep, lambda row: row.seconds, log=True),
        chart.HEIGHT,
        _times_table(sweep),
    )


def _share(sweep: Sweep) -> Figure:
    return Figure(
        "Share of a plain socket's rate",
        "Rate as a percentage of that of tcp in the same rounds, against size. Bands are 95 % intervals.",
        _over_sizes(sweep, lambda row: row.of_tcp, log=False),
        chart.HEIGHT,
        _share_table(sweep),
    )


def _rate(rows: Sequence[Row]) -> Figure:
    ordered = sorted(rows, key=lambda row: -(row.rate or 0))
    bars = [
        (row.format, marked(row), (Bar((Part(row.rate or 0, "solid"),), _rate_words(row)),))
        for row in ordered
    ]
    roof = next((row.rate for row in rows if row.format == ROOFLINE), None)
    drawing, height = chart.bar_chart(bars, longest=max(row.rate or 0 for row in rows), mark=roof)
    return Figure(
        f"Rate at {size_text(rows[0].nbytes)}",
        "Bytes of the payload per second, and percent of a plain socket's rate (the dashed line).",
        drawing,
        height,
        _rate_table(ordered),
    )


def _rate_words(row: Row) -> str:
    share = f" · {percent_text(row.of_tcp.value)}" if row.of_tcp and row.format != ROOFLINE else ""
    return f"{rate_text(row.rate or 0)} GB/s{share}"


def _phases(rows: Sequence[Row]) -> Figure:
    ordered = _by_time(rows)
    bars = []
    for row in ordered:
        whole = sum(row.phases)
        parts = tuple(Part(part / whole, f"phase p{place}") for place, part in enumerate(row.phases))
        bars.append((row.format, marked(row), (Bar(parts, _median_text(row)),)))
    drawing, height = chart.bar_chart(bars, longest=1)
    legend, more = chart.legend([(f"phase p{place}", name) for place, name in enumerate(PHASES)], height)
    cells = [(marked(row), *(phase_text(part) for part in row.phases)) for row in ordered]
    return Figure(
        f"Where the time goes at {size_text(rows[0].nbytes)}",
        "Shares of encoding, transfer, decoding and first touch in the time of each format.",
        [*drawing, *legend],
        height + more,
        table(
            ("format", *PHASES),
            cells,
            caption="Medians of the phases; empty where one is part of another",
        ),
    )


def _cpu(rows: Sequence[Row]) -> Figure:
    return _ends(
        f"CPU at {size_text(rows[0].nbytes)}",
        "CPU seconds of all threads for 1 GB (1e9 bytes) of the payload.",
        {row: (row.client_cpu, row.server_cpu) for row in _by_time(rows)},
        lambda value: f"{number_text(value)} s",
    )


def _memory(rows: Sequence[Row]) -> Figure:
    return _ends(
        f"Peak memory at {size_text(rows[0].nbytes)}",
        "Peak beyond what the process held before, as a multiple of the payload.",
        {row: _memory_of(row) for row in _by_time(rows)},
        lambda value: f"{value:.2f} ×",
    )


def _memory_of(row: Row) -> Ends:
    return row.client_memory, row.server_memory


def _ends(title: str, what: str, values: dict[Row, Ends], words: Callable[[float], str]) -> Figure:
    """Draw two bars for each format: the client and the server."""
    longest = sorted(max(value or 0 for value in ends) for ends in values.values())
    limit = CUT * longest[len(longest) // 2]
    cut = " A bar with a cut goes on." if longest[-1] > limit else ""
    bars = [
        (
            row.format,
            marked(row),
            [
                Bar((Part(value, style),), words(value)) if value is not None else Bar((), "unknown")
                for value, style in zip(ends, ("solid", "pale"), strict=True)
            ],
        )
        for row, ends in values.items()
    ]
    drawing, height = chart.bar_chart(bars, longest=max(v for v in longest if v <= limit) or 1.0)
    legend, more = chart.legend([("solid", "client"), ("pale", "server")], height)
    cells = [
        (marked(row), *("unknown" if value is None else words(value) for value in ends))
        for row, ends in values.items()
    ]
    return Figure(
        title,
        f"{what} Upper bar: client; lower bar: server.{cut}",
        [*drawing, *legend],
        height + more,
        table(("format", "client", "server"), cells, caption=title),
    )


def _latency(rows: Sequence[Row]) -> Figure:
    ordered = _by_time(rows)
    drawing, height = chart.strip_chart(
        [(row.format, marked(row), row.spread, _latency_words(row)) for row in ordered],
        ticks=chart.log_ticks(min(row.spread[0] for row in rows), max(row.spread[-1] for row in rows)),
        tick_text=_round_seconds,
    )
    return Figure(
        f"Latency at {size_text(rows[0].nbytes)}",
        "Every transfer is a thin line, on a logarithmic axis. The thick part holds the middle half, the "
        "dark line is the median.",
        drawing,
        height,
        _latency_table(ordered),
    )


def _latency_words(row: Row) -> str:
    return _median_text(row) if row.p99 is None else f"{_median_text(row)}, p99 {seconds_text(row.p99)}"


def _median_text(row: Row) -> str:
    return seconds_text(row.seconds.value) if row.seconds else ""


def _over_sizes(sweep: Sweep, pick: Callable[[Row], Interval | None], *, log: bool) -> list[Element]:
    series = []
    for name in sweep.formats:
        picked = [(row, pick(row)) for row in sweep.measured(name=name)]
        points = [Point(row.nbytes, *interval) for row, interval in picked if interval is not None]
        if points:
            series.append(Series(name=name, label=marked(picked[-1][0]), points=points))
    ends = [end for one in series for point in one.points for end in point[1:] if end == end]
    return chart.line_chart(
        series,
        x_ticks=sorted({point.x for one in series for point in one.points}),
        x_text=lambda value: size_text(int(value)),
        y_ticks=chart.log_ticks(min(ends), max(ends)) if log else _share_ticks(max(ends)),
        y_text=_round_seconds if log else lambda value: f"{100 * value:.0f} %",
        y_log=log,
        y_name="time" if log else f"% of {ROOFLINE}",
    )


def _share_ticks(highest: float) -> list[float]:
    """Return ticks from 0 to 100 %, and to 200 % where an interval goes beyond 100; what is higher is cut."""
    step = 0.25 if highest <= 1 else 0.5
    return [step * place for place in range(5)]


def _round_seconds(seconds: float) -> str:
    return seconds_text(seconds).replace(".00", "").replace(".0", "")


def _times_table(sweep: Sweep) -> Element:
    cells = [
        (
            marked(row),
            size_text(row.nbytes),
            _median_text(row),
            interval_text(row.seconds),
            "" if row.p90 is None else seconds_text(row.p90),
            "" if row.p99 is None else seconds_text(row.p99),
            f"{seconds_text(row.shortest or 0)} to {seconds_text(row.longest or 0)}",
            f"{row.samples} in {row.processes}",
        )
        for row in sweep.measured()
    ]
    head = ("format", "size", "median", "95 % interval", "p90", "p99", "all", "samples in processes")
    return table(head, cells, caption="Time until the result is usable")


def _share_table(sweep: Sweep) -> Element:
    rows = [
        (
            marked(row),
            size_text(row.nbytes),
            percent_text(row.of_tcp.value),
            f"{percent_text(row.of_tcp.low)} to {percent_text(row.of_tcp.high)}"
            if row.of_tcp.low == row.of_tcp.low
            else "",
            _relative(row),
        )
        for row in sweep.measured()
        if row.of_tcp is not None
    ]
    head = ("format", "size", "of tcp", "95 % interval", "time relative to raw")
    return table(head, rows, caption="Rate as a share of tcp, and time relative to raw")


def _relative(row: Row) -> str:
    if row.to_raw is None or row.format in BASELINES:
        return ""
    return f"{number_text(row.to_raw.value)} {row.verdict}".rstrip()


def _rate_table(rows: Sequence[Row]) -> Element:
    cells = [
        (
            marked(row),
            rate_text(row.rate or 0),
            percent_text(row.of_tcp.value) if row.of_tcp else "",
            "" if row.wire is None else f"{row.wire:.3f}",
        )
        for row in rows
    ]
    return table(("format", "GB/s", "of tcp", "wire bytes per byte"), cells, caption="Rate")


def _latency_table(rows: Sequence[Row]) -> Element:
    cells = [
        (
            marked(row),
            seconds_text(row.shortest or 0),
            _median_text(row),
            "" if row.p90 is None else seconds_text(row.p90),
            "" if row.p99 is None else seconds_text(row.p99),
            seconds_text(row.longest or 0),
        )
        for row in rows
    ]
    return table(("format", "shortest", "p50", "p90", "p99", "longest"), cells, caption="Latency")


def _by_time(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.seconds.value if row.seconds else 0)
