"""The report as one HTML page: no scripts, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import count
from typing import Any, Final

from bridge.bench import chart, palette
from bridge.bench.figures import Figure, figures
from bridge.bench.findings import sentences, warnings
from bridge.bench.markup import Element, element, html, table
from bridge.bench.record import Document
from bridge.bench.summary import Sweep
from bridge.bench.words import CHANGED, marked, number_text, percent_text, rate_text, seconds_text

__all__ = ["fragment", "page"]

# Nothing may be fetched or run, whatever a record holds.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

NOTES: Final = (
    "Times are until the last page of the result was touched: encode, transfer, decode and first touch.",
    "Formats took turns in random order, round after round, in several pairs of fresh processes.",
    "Medians have 95 % bootstrap intervals, resampled by process. Comparisons are ratios of the same rounds.",
    "Faster and slower are said where the interval excludes 1; by chance alone, about 5 % of intervals do.",
    f"{CHANGED} marks a format that changes the data.",
    "tcp is a plain socket, zmq one opaque ZeroMQ frame. Both carry bytes and do not know what these mean.",
)

# Numbers of the figures in a notebook: two reports in one must not share them.
_IDS: Final = count(1)

# What is known of both ends, and how it is written.
_ENVIRONMENT: Final = (
    *("host", "system", "machine", "cpu", "cores", "memory", "load", "load_after"),
    *("python", "numpy", "pandas", "pyarrow", "pyzmq", "libzmq", "zbridge"),
)


def page(document: Document, sweeps: Sequence[Sweep]) -> str:
    """Return the report on a checked record as a page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"zbridge bench {document['url']}"),
        element("link", rel="icon", href="data:,"),
        element("style", _style()),
    )
    body = element("body", _report(document, sweeps, count(1)))
    return f"<!doctype html>\n{html(element('html', head, body, lang='en'))}\n"


def fragment(document: Document, sweeps: Sequence[Sweep]) -> str:
    """Return the report on a checked record as an element, with its style, for a notebook."""
    return html(element("div", element("style", _style()), _report(document, sweeps, _IDS)))


def _report(document: Document, sweeps: Sequence[Sweep], ids: count[int]) -> Element:
    parts = [*_head(document), *_warnings(document, sweeps)]
    parts += [part for sweep in sweeps for part in _sweep(sweep, ids)]
    parts += [*_fidelity(sweeps), *_environment(document), *_method()]
    return element("main", *parts, class_="zb")


def _head(document: Document) -> Iterator[Element]:
    yield element("h1", "zbridge bench ", element("span", document["url"]))
    ends = " and ".join(str(document[end]["host"] or f"the {end}") for end in ("client", "server"))
    clients = (
        f", {document['clients']} clients at once (times are of one)" if document["clients"] > 1 else ""
    )
    yield element(
        "p",
        f"What a transfer between {ends} costs in each format. Measured ",
        element("time", document["created"]),
        f" with zbridge {document['zbridge']}, in {document['processes']} pairs of processes{clients}, "
        f"in {document['elapsed']:.0f} s, with seed {document['seed']}.",
    )
    yield element("p", "Reproduce it: ", element("code", document["command"]))


def _warnings(document: Document, sweeps: Sequence[Sweep]) -> Iterator[Element]:
    found = warnings(document, sweeps)
    if found:
        items = (element("li", line) for line in found)
        yield element("section", element("h2", "Warnings"), element("ul", *items), class_="warnings")


def _sweep(sweep: Sweep, ids: count[int]) -> Iterator[Element]:
    yield element("h2", f"{sweep.payload}, {sweep.direction}")
    found = sentences(sweep)
    if found:
        yield element("ul", *(element("li", line) for line in found))
    skipped = dict.fromkeys(row.skipped for row in sweep.rows if row.skipped is not None)
    if skipped:
        yield element("p", f"Not measured: {'; '.join(skipped)}.")
    drawn = [
        _figure(figure, f"{sweep.payload}, {sweep.direction}", next(ids)) for figure in figures(sweep)
    ]
    yield element("div", *drawn, class_="figures") if drawn else element("p", "Nothing was measured.")
    if sweep.fits:
        yield _fits(sweep)


def _figure(figure: Figure, what: str, number: int) -> Element:
    """Return a figure with its text alternatives; `number` is its own on the page."""
    title, description = f"zb-{number}-title", f"zb-{number}-description"
    return element(
        "figure",
        element(
            "svg",
            element("title", f"{figure.title}: {what}", id=title),
            element("desc", f"{figure.description} The numbers are in the table below.", id=description),
            *figure.drawing,
            viewBox=f"0 0 {chart.WIDTH} {figure.height:.0f}",
            role="img",
            aria_labelledby=title,
            aria_describedby=description,
        ),
        element("figcaption", element("strong", f"{figure.title}."), f" {figure.description}"),
        element("details", element("summary", "Numbers"), figure.numbers),
    )


def _fits(sweep: Sweep) -> Element:
    names = {row.format: marked(row) for row in sweep.measured()}
    rows = [
        (
            names[name],
            seconds_text(line.alpha),
            f"{rate_text(line.beta)} GB/s" if math.isfinite(line.beta) else "size makes no difference",
            percent_text(line.worst),
        )
        for name, line in sweep.fits.items()
    ]
    head = ("format", "startup", "rate", "largest misfit")
    return table(head, rows, caption="Time = startup + size / rate, fitted to the medians")


def _fidelity(sweeps: Sequence[Sweep]) -> Iterator[Element]:
    """Show which formats give back what was sent, and what the others change."""
    changes: dict[str, dict[str, dict[str, None]]] = {}
    for sweep in sweeps:
        for row in sweep.rows:
            if row.exact is not None:
                known = changes.setdefault(sweep.payload, {}).setdefault(row.format, {})
                known.update(dict.fromkeys(row.changes or (() if row.exact else ("changed",))))
    formats = list(dict.fromkeys(name for by_format in changes.values() for name in by_format))
    if not formats:
        return
    rows = [
        (payload, *(_verdict(by_format.get(name)) for name in formats))
        for payload, by_format in changes.items()
    ]
    yield element("h2", "Fidelity")
    yield table(("payload", *formats), rows, caption="Does the same come out?", class_="prose")
    told = [
        element("li", f"{CHANGED} {name} changes {payload}: {'; '.join(known)}.")
        for payload, by_format in changes.items()
        for name, known in by_format.items()
        if known
    ]
    if told:
        yield element("ul", *told)


def _verdict(changes: dict[str, None] | None) -> str:
    if changes is None:
        return "not measured"
    return f"{CHANGED} changed" if changes else "same"


def _environment(document: Document) -> Iterator[Element]:
    yield element("h2", "Environment")
    rows = [
        (key.replace("_", " "), *(_known(key, document[end][key]) for end in ("client", "server")))
        for key in _ENVIRONMENT
    ]
    yield table(("", "client", "server"), rows, caption="Both ends", class_="prose")


def _known(key: str, value: Any) -> str:
    if value is None:
        return "unknown"
    if key == "memory":
        return f"{value / 2**30:.1f} GiB"
    if isinstance(value, list):
        return ", ".join(number_text(number) for number in value)
    return str(value)


def _method() -> Iterator[Element]:
    yield element("h2", "How it was measured")
    yield element("ul", *(element("li", note) for note in NOTES))


@cache
def _style() -> str:
    light, dark = palette.css(dark=False), palette.css(dark=True)
    text = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    return f"{text}\n{light}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n"
