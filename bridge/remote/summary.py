"""What a sample says: lowest, highest, missing, a histogram, a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridge.display.picture import line, thumbnail

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "array_columns", "array_picture", "frame_columns"]

# Bars of a histogram.
BINS: Final = 20
# Values of text that are named.
COMMON: Final = 3
# Of a picture: an axis that is shorter is not one of its sides; cells, and points of a line.
MIN_SIDE: Final = 8
SIDES: Final = (32, 48)
POINTS: Final = 120

# Of numpy's units of time: those that pandas has too, and those that are whole seconds.
_UNITS = ("s", "ms", "us", "ns")
_LONG_UNITS = ("Y", "M", "W", "D", "h", "m")


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a sample says of one column, of a field, or of an array.

    Attributes
    ----------
    label, dtype : object
        What it is called, and what it holds.
    lowest, highest : object
        Of the values that are not missing; None where they have no order.
    missing : int or None
        How many values are; None where nobody can tell.
    counts : tuple of int
        A histogram from `lowest` to `highest`; empty for what is no number or time.
    common : tuple
        The most frequent values of what is no number or time.
    """

    label: Any
    dtype: Any
    lowest: Any = None
    highest: Any = None
    missing: int | None = None
    counts: tuple[int, ...] = ()
    common: tuple[Any, ...] = ()


def frame_columns(sample: pd.DataFrame) -> list[Column]:
    """Return what there is to say of each column of a DataFrame."""
    return [
        _column(label, dtype, partial(_values, sample, place))
        for place, (label, dtype) in enumerate(sample.dtypes.items())
    ]


def array_columns(sample: np.ndarray[Any, Any]) -> list[Column]:
    """Return what there is to say of an array, or of each of its fields."""
    names = sample.dtype.names
    parts = [(name, sample[name]) for name in names] if names else [("", sample)]
    return [_column(label, part.dtype, partial(_series, part)) for label, part in parts]


def array_picture(sample: np.ndarray[Any, Any]) -> str:
    """Return a line of a 1-d array, a thumbnail of the last two axes that are long enough, or nothing."""
    if sample.dtype.kind not in "biuf" or not sample.size:
        return ""
    values = np.ma.getdata(sample).astype(np.float64)
    values[np.ma.getmaskarray(sample)] = np.nan  # what is filled in otherwise may be no number
    sides = [axis for axis, n in enumerate(values.shape) if n >= MIN_SIDE][-2:]
    if not sides:
        return ""
    middle = tuple(slice(None) if axis in sides else n // 2 for axis, n in enumerate(values.shape))
    plane = values[middle]
    if plane.ndim == 1:
        return line(_plain(plane[:: -(-len(plane) // POINTS)]))
    steps = (slice(None, None, -(-n // most)) for n, most in zip(plane.shape, SIDES, strict=True))
    return thumbnail([_plain(row) for row in plane[tuple(steps)]])


def _values(sample: pd.DataFrame, place: int) -> pd.Series[Any]:
    return sample.iloc[:, place]


def _series(values: Any) -> pd.Series[Any]:
    """Return the items of an array for `_column`: in this computer's byte order, what is masked as missing."""
    import pandas as pd

    flat = np.ma.getdata(values).ravel()
    kind = flat.dtype.kind
    if kind in "mM":
        unit, step = np.datetime_data(flat.dtype)
        if kind == "M" and step == 1 and unit in _LONG_UNITS:
            flat = flat.astype("M8[s]")  # pandas has no days
        kind = "O" if step != 1 or (unit not in _UNITS and unit not in _LONG_UNITS) else kind
    if kind in "biufcmM":
        series = pd.Series(flat.astype(flat.dtype.newbyteorder("=")))
    else:
        series = pd.Series(flat.tolist(), dtype=object)
    mask = np.ma.getmaskarray(values).ravel()
    return series.mask(mask.astype(bool)) if kind != "V" and mask.any() else series


def _column(label: Any, dtype: Any, make: Callable[[], pd.Series[Any]]) -> Column:
    try:
        values = make()
        missing = int(values.isna().sum())
        known = values.dropna()
        if _is_ordered(known):
            low, high = known.min(), known.max()
            return Column(
                label=label,
                dtype=dtype,
                lowest=low,
                highest=high,
                missing=missing,
                counts=_counts(known),
            )
        common = tuple(known.value_counts().head(COMMON).index)
        return Column(label=label, dtype=dtype, missing=missing, common=common)
    except Exception:  # what pandas and Arrow cannot hold, count or compare, they say in many ways
        return Column(label=label, dtype=dtype)


def _is_ordered(known: pd.Series[Any]) -> bool:
    from pandas.api import types

    is_number = types.is_numeric_dtype(known.dtype) and not types.is_complex_dtype(known.dtype)
    is_time = types.is_datetime64_any_dtype(known.dtype) or types.is_timedelta64_dtype(known.dtype)
    return len(known) > 0 and (is_number or is_time)


def _counts(known: pd.Series[Any]) -> tuple[int, ...]:
    is_time = known.dtype.kind in "mM"
    numbers = known.astype("int64" if is_time else "float64").to_numpy().astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    with np.errstate(over="ignore"):
        span = np.ptp(numbers) if numbers.size else np.nan
    if not np.isfinite(span):
        return ()
    try:
        return tuple(int(count) for count in np.histogram(numbers, BINS if span else 1)[0])
    except ValueError:  # so close together that there is no room for bins
        return (numbers.size,)


def _plain(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
