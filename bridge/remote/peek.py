"""A small look at large data: its beginning, and what a sample says of the rest.

The sample needs no op of its own: of an array it is a grid, the same slice with a step on each axis that
anybody may ask for; of a table it is runs of rows, spread evenly, because tables in files are read in runs.
Whatever comes of it is said of the sample, never of all.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridge.display import lines, list_text, seconds_text, text
from bridge.display.markup import Markup, card, element, table
from bridge.display.picture import histogram, histogram_text
from bridge.errors import IdleTimeout
from bridge.remote.frame import bare
from bridge.remote.summary import Column, array_columns, array_picture, frame_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PEEK_COLUMNS", "Peek", "array_peek", "table_peek"]

# On a link of 64 kB/s, a sample takes two seconds; on any other it comes in one message.
SAMPLE_BYTES: Final = 128 * 1024
# Rows of a table that are read together, and how many such runs.
RUN_ROWS: Final = 512
RUNS: Final = 8
# What is shown: columns of a wide table, rows, items along the last axes.
PEEK_COLUMNS: Final = 30
FIRST_ROWS: Final = 5
FIRST_ITEMS: Final = (6, 8)
# Digits of an array's items.
PRECISION: Final = 5


@dataclass(frozen=True, kw_only=True)
class Peek:
    """A small look at an array or a table. A notebook shows it as a card.

    Attributes
    ----------
    name : str
        The name on the server.
    what : str
        What it is, in a line.
    first : numpy.ndarray or pandas.DataFrame
        Its beginning.
    columns : list of Column
        What the sample says.
    sampled, total : int or None
        How many items or rows are in the sample, and in all; None where a filter decides.
    seconds : float
        What the look took.
    picture : str
        Of numbers: a line or a thumbnail, as SVG; else empty.
    """

    name: str
    what: str
    first: Any
    columns: list[Column]
    sampled: int
    total: int | None
    seconds: float
    picture: str = ""

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [("", "dtype", "min", "max", "missing", "distribution")]
        rows += [
            (*_cells(column), histogram_text(column.counts) or list_text(column.common))
            for column in self.columns
        ]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        shown = "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return f"<Peek {self.name!r} {self.what}\n{_first_text(self.first)}\n\n{shown}\n{self._source}>"

    def _repr_html_(self) -> str:
        rows = [(*_cells(column), _picture(column)) for column in self.columns]
        return card(
            text(self.name),
            self.what,
            _first_table(self.first),
            table(("", "dtype", "min", "max", "missing", "distribution"), rows, numbers={2, 3, 4}),
            self.picture,
            element("p", self._source, class_="dim"),
        )

    @property
    def _source(self) -> str:
        took = seconds_text(self.seconds)
        if self.sampled == self.total:
            return f"of all {self.sampled:,}, in {took}"
        of = "those that pass" if self.total is None else f"{self.total:,}"
        return f"of a sample: {self.sampled:,} of {of}, in {took}"


def array_peek(
    name: str, what: str, shape: tuple[int, ...], itemsize: int, read: Callable[..., Any], seconds: float
) -> Peek:
    """Look at an array.

    Parameters
    ----------
    read
        Called as ``read(index, timeout=seconds or None)``.
    seconds
        How long to wait for the sample. The first items are waited for as in any read.
    """
    start = time.perf_counter()
    index = _grid(shape, itemsize)
    is_whole = all(part.step == 1 for part in index)
    first = sample = read(index if is_whole else _corner(shape), timeout=None)
    if not is_whole:
        with contextlib.suppress(IdleTimeout):  # then the first items are all that is shown
            sample = read(index, timeout=max(0.01, seconds - (time.perf_counter() - start)))
    first, sample = np.asanyarray(first), np.asanyarray(sample)
    return Peek(
        name=name,
        what=what,
        first=first[(*_corner(shape), ...)],
        columns=array_columns(sample),
        sampled=sample.size,
        total=math.prod(shape),
        seconds=time.perf_counter() - start,
        picture=array_picture(sample),
    )


def table_peek(
    name: str,
    what: str,
    rows: int | None,
    row_nbytes: float,
    read: Callable[..., pd.DataFrame],
    seconds: float,
) -> Peek:
    """Look at a table.

    Parameters
    ----------
    rows
        How many there are; None where a filter decides: then its beginning is the sample.
    read
        Called as ``read(range of rows, timeout=seconds or None)``.
    seconds
        How long to go on with the sample. The first rows are waited for as in any read.
    """
    import pandas as pd

    start = time.perf_counter()
    frames: list[pd.DataFrame] = []
    for part in _runs(rows, row_nbytes) if rows is not None else [range(RUN_ROWS)]:
        left = seconds - (time.perf_counter() - start)
        if frames and left <= 0:
            break
        try:
            frames.append(bare(read(part, timeout=left if frames else None)))
        except IdleTimeout:
            if not frames:
                raise
            break
    sample = pd.concat(frames) if len(frames) > 1 else frames[0]
    if rows is None and len(sample) < RUN_ROWS:
        rows = len(sample)
    return Peek(
        name=name,
        what=what,
        first=frames[0].head(FIRST_ROWS),
        columns=frame_columns(sample),
        sampled=len(sample),
        total=rows,
        seconds=time.perf_counter() - start,
    )


def _grid(shape: Sequence[int], itemsize: int) -> tuple[slice, ...]:
    """Return the index of a sample of an array, spread evenly over all of it.

    Examples
    --------
    >>> _grid((10, 4), 8), _grid((1_000_000, 2), 8)
    ((slice(0, 10, 1), slice(0, 4, 1)), (slice(0, 1000000, 127), slice(0, 2, 1)))
    """
    counts = list(shape)
    while math.prod(counts) * max(1, itemsize) > SAMPLE_BYTES and max(counts) > 1:
        longest = counts.index(max(counts))
        counts[longest] = -(-counts[longest] // 2)
    # An odd step does not fall in with what repeats every 2 ** n.
    steps = [1 if n == count else (n // count) | 1 for n, count in zip(shape, counts, strict=True)]
    return tuple(slice(0, n, step) for n, step in zip(shape, steps, strict=True))


def _corner(shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the index of the first items of an array."""
    lengths = [1] * max(0, len(shape) - 2) + list(FIRST_ITEMS)[-min(2, len(shape)) :]
    return tuple(slice(0, length) for length in lengths[: len(shape)])


def _runs(rows: int, row_nbytes: float) -> Iterator[range]:
    """Yield the rows of a sample of a table: first its beginning, then runs that are spread evenly.

    They come in an order in which the sample is even whenever it ends.
    """
    length = int(max(FIRST_ROWS, min(RUN_ROWS, SAMPLE_BYTES / RUNS // max(1.0, row_nbytes))))
    if rows <= length * RUNS:
        yield range(rows)
        return
    yield range(length)
    for part in (4, 2, 6, 1, 3, 5, 7):
        start = (rows - length) * part // (RUNS - 1)
        yield range(start, start + length)


def _cells(column: Column) -> tuple[str, ...]:
    return (
        text(column.label),
        text(column.dtype),
        _value_text(column.lowest),
        _value_text(column.highest),
        "" if column.missing is None else f"{column.missing:,}",
    )


def _value_text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else text(value)


def _picture(column: Column) -> Markup:
    if column.counts:
        return histogram(column.counts)
    return element("span", list_text(column.common), class_="dim")


def _first_text(first: Any) -> str:
    # pandas rounds halves (float16) beyond their range.
    with np.printoptions(precision=PRECISION, linewidth=100), np.errstate(over="ignore"):
        try:
            return lines(first)
        except Exception as exc:  # of dates that Python does not have, pandas says so in many ways
            return f"(no text: {text(exc)})"


def _first_table(first: Any) -> Markup:
    if isinstance(first, np.ndarray):
        return element("pre", _first_text(first))
    head = ["", *map(text, first.columns)]
    try:
        rows = [tuple(map(_value_text, row)) for row in first.itertuples(index=True, name=None)]
    except Exception:  # as above
        return element("pre", _first_text(first))
    return element("div", table(head, rows), class_="scroll")
