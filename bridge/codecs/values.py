"""The values of a column or an index of pandas: a numpy array, an object array or an extension array.

The kinds "array", "objects" and "extension"; and the checks of what comes in parts.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bridge.codecs import Buffer, BufferReader, Descriptor, decode_from, encode_into, field
from bridge.codecs.labels import check_hashes
from bridge.codecs.objects import decode_objects, encode_objects
from bridge.errors import WireError

__all__ = [
    "UNITS",
    "Array",
    "check",
    "check_codes",
    "decode_array",
    "decode_codes",
    "decode_values",
    "encode_values",
    "has_memory",
    "is_unique",
]

Array: TypeAlias = "np.ndarray[Any, Any]"

# The kinds of dtype that pandas keeps as they are: it converts numpy's text, and dates in other units.
KINDS = "biufcmMSV"
UNITS: dict[Any, str] = {(unit, 1): unit for unit in ("s", "ms", "us", "ns")}

# pandas takes memory for labels when it looks for duplicates or for missing ones, also for labels that have
# none of their own: Arrow's nulls, a sparse fill value, a range. More than this many have to bring some.
MAX_FREE_LABELS = 2**20

# Extension arrays that are numpy arrays in all but name: dates only where they have no time zone.
_WRAPPERS = (pd.arrays.NumpyExtensionArray, pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray)

# And those that are one beside a mask.
_MASKED = (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)


def encode_values(values: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn the values of a column, a block of columns or an index into a descriptor.

    Parameters
    ----------
    values
        A numpy array, of object dtype too, or an extension array. An object array of two axes is
        flattened: its descriptor does not say how long its rows are.
    buffers
        Numpy's and Arrow's memory is appended as views.

    Raises
    ------
    EncodeError
        If they cannot travel exactly.
    """
    if type(values) in _WRAPPERS and getattr(values, "tz", None) is None:
        values = values._ndarray
    if values.dtype == object:
        return encode_objects(values.ravel(), buffers)
    return encode_into(values, buffers)


def decode_values(descriptor: Any, reader: BufferReader) -> Any:
    """Rebuild the values of a column, a block of columns or an index.

    Returns
    -------
    ndarray or ExtensionArray
        A view of the buffers where numpy or Arrow can have one.

    Raises
    ------
    WireError
        If they are not values that pandas can hold.
    """
    kind = field(descriptor, "kind", str)
    if kind == "objects":
        return decode_objects(descriptor, reader)
    if kind == "extension":
        return decode_from(descriptor, reader)
    return decode_array(descriptor, reader)


def decode_array(descriptor: Any, reader: BufferReader, kinds: str = KINDS) -> Array:
    """Rebuild a numpy array of a dtype that pandas can hold, of one of the `kinds`.

    Raises
    ------
    WireError
        If it is not one.
    """
    kind = field(descriptor, "kind", str)
    check(kind == "array", f"the kind is {kind[:40]!r} where only 'array' can be")
    array: Array = decode_from(descriptor, reader)
    dtype = array.dtype
    if dtype.kind not in kinds or not dtype.itemsize or dtype.names:
        raise WireError(f"an array of {dtype} stands where only dtypes of the kinds {kinds!r} can be")
    if dtype.kind in "mM" and not (dtype.isnative and np.datetime_data(dtype) in UNITS):
        raise WireError(f"pandas has no dates of {dtype}; expected the unit {', '.join(UNITS.values())}")
    return array


def decode_codes(descriptor: Any, reader: BufferReader) -> Array:
    """Rebuild the codes of categories: signed integers, one axis. `check_codes` comes later.

    Raises
    ------
    WireError
        If they are not.
    """
    codes = decode_array(descriptor, reader, "i")
    if codes.ndim != 1 or not codes.dtype.isnative:
        raise WireError(f"codes are {codes.dtype} of {codes.ndim} axes")
    return codes


def check_codes(codes: Array, count: int) -> None:
    """Raise `WireError` unless each code is -1 or counts to one of `count` categories."""
    if len(codes):
        least, largest = int(codes.min()), int(codes.max())
        check(
            least >= -1 and largest < count,
            f"codes reach from {least} to {largest}; expected -1 to {count - 1}",
        )


def has_memory(labels: Any, uses: int = 0) -> bool:
    """Say whether labels are few, or take at least a bit each, or are used as often as there are of them.

    The size of a Categorical is known only after its categories were checked: it makes arrays of ranges.
    """
    few = MAX_FREE_LABELS + uses
    return bool(len(labels) <= few or len(labels) <= few + 8 * labels.nbytes)  # nbytes asks every chunk


def is_unique(labels: Any) -> bool:
    """Say whether no label of an index occurs twice.

    pandas puts them into a table by hashes that anybody can compute: a peer's numbers may all have one. So
    numbers are sorted, and of objects Python's own hashes are looked at first.

    Raises
    ------
    WireError
        As `check_hashes` does.
    """
    if isinstance(labels, pd.RangeIndex):
        return True
    if labels.dtype == object and not isinstance(labels, pd.MultiIndex):
        cells = [np.nan if type(cell) is float and cell != cell else cell for cell in labels.tolist()]
        check_hashes(cells)
        return len(set(cells)) == len(cells)
    keys = _keys(labels)
    if keys is None:
        return bool(labels.is_unique)
    order = np.lexsort(keys) if len(keys) > 1 else None
    same = np.ones(max(0, len(labels) - 1), bool)
    for key in keys:
        key = np.sort(key) if order is None else key[order]
        same &= (key[1:] == key[:-1]) | ((key[1:] != key[1:]) & (key[:-1] != key[:-1]))  # nan is nan
    return not same.any()


def _keys(labels: Any) -> list[Array] | None:
    """Return numbers by which labels are the same, where all are; None for labels that are no numbers."""
    dtype = labels.dtype
    if isinstance(labels, pd.MultiIndex):
        return list(labels.codes)  # of levels without a label twice
    if isinstance(labels, pd.CategoricalIndex):
        return [labels.codes]
    if isinstance(labels, pd.IntervalIndex):
        left, right = _keys(labels.left), _keys(labels.right)
        return None if left is None or right is None else left + right
    if isinstance(labels, pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex):
        return [labels.asi8]
    values: Any = labels.array
    if type(values) in _MASKED:
        return [np.where(values._mask, 0, values._data), values._mask]
    if isinstance(dtype, pd.SparseDtype):
        labels = labels.to_numpy()
    elif not isinstance(dtype, np.dtype):
        return None
    values = np.asarray(labels)
    if values.dtype.kind == "c":
        return [values.real, values.imag]
    return [values] if values.dtype.kind in "biuf" else None


def check(fits: bool, message: str) -> None:
    """Raise `WireError` unless a rule holds."""
    if not fits:
        raise WireError(message)
