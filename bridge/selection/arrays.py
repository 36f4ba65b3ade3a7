"""Selections of arrays: numpy's own indexing, with at most one list or mask.

The JSON form is a list with one item per axis::

    3                       one position, and the axis goes away; a negative one counts from the end
    [start, stop, step]     a slice; each may be null, and step is not 0
    "..."                   as many whole axes as are left, at most once
    null                    a new axis of length 1
    {"take": descriptor}    a 1-d array, in 1 buffer, at most once: int64 lists positions, bool has the
                            length of the axis and marks them

Integers are those of 64 bits. Axes that are left over at the end are whole.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np

from bridge import codecs
from bridge.codecs import Buffer, BufferReader
from bridge.errors import EncodeError, WireError, an

__all__ = [
    "ArrayIndex",
    "array_from_wire",
    "array_result_shape",
    "array_to_wire",
    "select_array",
    "slice_from_wire",
    "slice_to_wire",
]

# numpy's limit on axes. An index of more items says nothing that a shorter one could not.
MAX_AXES = 64

# numpy's index type: no axis is longer.
INT64 = range(-(2**63), 2**63)

# What numpy takes between the brackets: int, slice, Ellipsis, None, and at most one 1-d array.
ArrayIndex: TypeAlias = tuple[Any, ...]


def array_to_wire(index: Any, buffers: list[Buffer]) -> list[Any]:
    """Turn what stands between the brackets of ``x[...]`` into its JSON form.

    Parameters
    ----------
    index
        An integer, a slice, ``...``, None, a list of integers or a boolean mask; or a tuple of them,
        with at most one list or mask, which must be 1-d.
    buffers
        The bytes of the list or mask are appended.

    Raises
    ------
    EncodeError
        If the index is none of these.

    Examples
    --------
    >>> array_to_wire((slice(0, 1000), ..., 3), [])
    [[0, 1000, None], '...', 3]
    """
    items = index if isinstance(index, tuple) else (index,)
    if len(items) > MAX_AXES:
        raise EncodeError(f"the index has {len(items)} items; an array has at most {MAX_AXES} axes")
    wire = [_item_to_wire(item, buffers) for item in items]
    if wire.count("...") > 1:
        raise EncodeError("the index holds '...' more than once; write ':' for the other axes")
    if sum(type(item) is dict for item in wire) > 1:
        raise EncodeError(
            "the index holds more than one list or mask (as np.ix_ makes them too); read with the "
            "first, and index the result with the others"
        )
    return wire


def array_from_wire(value: Any, reader: BufferReader) -> ArrayIndex:
    """Turn the JSON form of a selection into an index for numpy.

    Parameters
    ----------
    value
        What the peer sent.
    reader
        The buffer of a list or mask is taken from it.

    Raises
    ------
    WireError
        If `value` breaks a rule of this module's docstring.
    """
    if type(value) is not list:
        raise WireError(f"the selection of an array is a list, not {type(value).__name__}")
    if len(value) > MAX_AXES:
        raise WireError(f"the selection has {len(value)} items; an array has at most {MAX_AXES} axes")
    if value.count("...") > 1:
        raise WireError("the selection holds '...' more than once")
    if sum(type(item) is dict for item in value) > 1:
        raise WireError("the selection holds more than one 'take'")
    return tuple(_item_from_wire(item, reader) for item in value)


def array_result_shape(shape: tuple[int, ...], index: ArrayIndex) -> tuple[int, ...]:
    """Return the shape of ``array[index]`` without building it.

    Parameters
    ----------
    shape
        The shape of the array.
    index
        As `array_from_wire` returns it.

    Returns
    -------
    tuple of int
        Python's integers. ``()`` both for a scalar and for a 0-d array.

    Raises
    ------
    IndexError
        If the index does not fit: too many items, a position out of bounds, a mask of another length.

    Examples
    --------
    >>> array_result_shape((1_000_000, 16), (slice(None, None, 1000), 3))
    (1000,)
    """
    used = sum(item is not None and item is not Ellipsis for item in index)
    if used > len(shape):
        raise IndexError(f"too many indices: the array has {len(shape)} axes, {used} are indexed")
    if not any(item is Ellipsis for item in index):
        index = (*index, Ellipsis)
    axis = 0
    result: list[int] = []
    # The list or mask with the integers, which numpy treats alike beside it.
    taken: int | None = None
    places: list[int] = []
    position = 0
    for place, item in enumerate(index):
        if item is None:
            result.append(1)
            continue
        if item is Ellipsis:
            whole = shape[axis : axis + len(shape) - used]
            result += whole
            axis += len(whole)
            continue
        if isinstance(item, slice):
            result.append(len(range(*item.indices(shape[axis]))))
        else:
            position = position if places else len(result)
            places.append(place)
            if isinstance(item, np.ndarray):
                taken = _taken(item, axis, shape[axis])
            else:
                _check_bounds(item, axis, shape[axis])
        axis += 1
    if taken is not None:
        # The new axis stands where they stood side by side; it is the first if anything was between.
        adjacent = places[-1] - places[0] == len(places) - 1
        result.insert(position if adjacent else 0, taken)
    if len(result) > MAX_AXES:
        raise IndexError(f"the result would have {len(result)} axes; numpy's limit is {MAX_AXES}")
    return tuple(result)


def select_array(array: np.ndarray[Any, Any], index: ArrayIndex) -> Any:
    """Return ``array[index]``.

    Parameters
    ----------
    array
        Any shape and dtype.
    index
        As `array_from_wire` returns it.

    Returns
    -------
    numpy.ndarray or numpy scalar
        What numpy returns: a view; a copy where there is a list or mask; a scalar where every axis has
        an integer and there is no ``...``.

    Raises
    ------
    IndexError
        If the index does not fit, with the axis and its size.
    """
    array_result_shape(array.shape, index)
    return array[index]


def slice_to_wire(item: slice) -> list[int | None]:
    """Return ``[start, stop, step]``, clamped to 64 bits, or raise `EncodeError`."""
    try:
        bounds = [
            None if bound is None else min(max(operator.index(bound), INT64[0]), INT64[-1])
            for bound in (item.start, item.stop, item.step)
        ]
    except TypeError as exc:
        raise EncodeError(f"{item} is not a slice of integers: {exc}") from exc
    if bounds[2] == 0:
        raise EncodeError(f"{item} has step 0; leave the step out")
    return bounds


def slice_from_wire(value: Any) -> slice:
    """Return the slice for ``[start, stop, step]``, or raise `WireError`."""
    if (
        type(value) is not list
        or len(value) != 3
        or any(bound is not None and not _is_int64(bound) for bound in value)
        or value[2] == 0
    ):
        raise WireError(
            f"the selection holds {str(value)[:40]!r} for a slice; expected [start, stop, step], each "
            "a 64-bit integer or null, and a step other than 0"
        )
    return slice(*value)


# ── to the wire ───────────────────────────────────────────────────────────────────────────────────


def _item_to_wire(item: Any, buffers: list[Buffer]) -> Any:
    if item is Ellipsis:
        return "..."
    if item is None:
        return None
    if isinstance(item, slice):
        return slice_to_wire(item)
    if _is_integer(item):
        position = operator.index(item)
        if not _is_int64(position):
            raise EncodeError("the index is an integer of more than 64 bits; no axis is that long")
        return position
    return {"take": codecs.encode_into(_positions(item), buffers)}


def _is_integer(item: Any) -> bool:
    # numpy's bool and arrays have the method too, and refuse; a bool of Python is an int.
    if isinstance(item, bool | np.bool_) or getattr(item, "ndim", 0) > 0:
        return False
    try:
        operator.index(item)
    except TypeError:
        return False
    return True


def _positions(item: Any) -> np.ndarray[Any, Any]:
    """Return the int64 or bool array for what a user gave as a list or mask."""
    if isinstance(item, str):
        raise EncodeError(f"{item!r} is no index; read the array, and take the field of the result")
    try:
        array = np.asarray(item)
    except ValueError as exc:
        raise EncodeError(f"this {type(item).__name__} is no list of integers: {exc}") from exc
    if array.shape == (0,) and not hasattr(item, "dtype"):
        return np.empty(0, np.int64)  # to numpy, too, [] lists integers
    if array.dtype.kind not in "biu":
        raise EncodeError(
            f"{an(type(item).__name__)} of {array.dtype} is no index; use integers, slices, '...', None, "
            "a list of integers or a boolean mask"
        )
    if array.ndim == 0:
        raise EncodeError(f"{item!r} is no index; use a position, or None for a new axis")
    if array.ndim > 1:
        raise EncodeError(
            f"a list or mask of {array.ndim} dimensions is no index for the server; use a 1-d one in "
            "each of several reads, or read the array and index the result"
        )
    if array.dtype.kind == "u" and array.size and not _is_int64(int(array.max())):
        raise EncodeError(f"the index {array.max()} has more than 63 bits; no axis is that long")
    return array.astype(np.bool_ if array.dtype.kind == "b" else np.int64, copy=False)


# ── from the wire ─────────────────────────────────────────────────────────────────────────────────


def _item_from_wire(item: Any, reader: BufferReader) -> Any:
    if item is None or _is_int64(item):
        return item
    if type(item) is str and item == "...":
        return Ellipsis
    if type(item) is list:
        return slice_from_wire(item)
    if type(item) is dict and item.keys() == {"take"}:
        return _take_from_wire(item["take"], reader)
    raise WireError(
        f"the selection holds {str(item)[:40]!r}; expected a 64-bit integer, [start, stop, step], "
        "'...', null or {'take': descriptor}"
    )


def _is_int64(value: Any) -> bool:
    return type(value) is int and value in INT64


def _take_from_wire(descriptor: Any, reader: BufferReader) -> np.ndarray[Any, Any]:
    if codecs.field(descriptor, "kind", str) != "array":
        raise WireError("'take' is not the descriptor of an array")
    array: np.ndarray[Any, Any] = codecs.decode_from(descriptor, reader)
    if array.ndim != 1 or array.dtype.str not in ("<i8", ">i8", "|b1"):
        raise WireError(f"'take' has {array.ndim} axes of {array.dtype}; expected 1 of int64 or bool")
    return array


# ── fitting ───────────────────────────────────────────────────────────────────────────────────────


def _taken(item: np.ndarray[Any, Any], axis: int, size: int) -> int:
    if item.dtype == np.bool_:
        if len(item) != size:
            raise IndexError(f"the mask for axis {axis} has {len(item)} items; the axis has {size}")
        return int(np.count_nonzero(item))
    if len(item):
        _check_bounds(int(item.min()), axis, size)
        _check_bounds(int(item.max()), axis, size)
    return len(item)


def _check_bounds(position: int, axis: int, size: int) -> None:
    if not -size <= position < size:
        raise IndexError(f"index {position} is out of bounds for axis {axis}, which has size {size}")
