"""What Arrow arrays stand for beyond their bytes.

Some items have no bytes. Others are shown many times: the views of a text or of a list may all be of the same
bytes, and so may the items of dictionaries, runs and unions. pandas, polars and Python write out each, so
the bytes are counted that this would take: of what is shown, and 8 for each item that Python has an object for.

A dictionary of plain values that is a column of its own is counted once: it stays a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from bridge.codecs.layout import PLAIN, all_fields, arrays_of, dictionaries_inside, parts

__all__ = ["claims", "entries"]

# How many times each item is shown; None: each once.
Times: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]] | None"

# Nobody has as many bytes. Floats count exactly up to here.
ENDLESS = 2**53
# Of a pointer to an object.
POINTER = 8


def entries(table: pa.Table) -> int:
    """Return how many entries of dictionaries are looked at again with each chunk."""
    return sum(len(values) for column in table.columns for values in dictionaries_inside(column))


def claims(table: pa.Table) -> Iterator[tuple[str, int]]:
    """Yield what a table stands for beyond its bytes, as one of `weight.LIMITS` and a number.

    Nothing is yielded of what the table has none of. What its buffers hold need not be valid.
    """
    if not table.num_columns:
        yield "rows", table.num_rows
    shared = []
    for column in table.columns:
        if column.type.id in PLAIN:
            continue
        kinds = [part.type for part in all_fields([pa.field("", column.type)])]
        if any(map(_has_no_bytes, kinds)):
            inside = (part for chunk in column.chunks for part in parts(chunk))
            yield "free", sum(len(part) for part in inside if _has_no_bytes(part.type))
        if any(map(_may_share, kinds)):
            shared.append(column)
    for column in shared:  # after the items of no bytes, of which there are not too many then
        yield "shown", _shown_in(column)


def _has_no_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_fixed_size_binary(kind):
        return bool(kind.byte_width == 0)
    if types.is_fixed_size_list(kind):
        return bool(kind.list_size == 0)
    return bool(
        types.is_null(kind)
        or types.is_run_end_encoded(kind)
        or (types.is_struct(kind) and kind.num_fields == 0)
    )


def _may_share(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string_view,
            pa.types.is_binary_view,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
            pa.types.is_dictionary,
            pa.types.is_run_end_encoded,
            pa.types.is_union,
        )
    )


def _shown_in(column: pa.ChunkedArray) -> int:
    try:
        return int(sum(_shown(array, None) for array in arrays_of(column)))
    except OverflowError:
        return ENDLESS


def _shown(array: pa.Array, times: Times) -> float:
    """Return the bytes that the items of an array take, each written out so many times."""
    while isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    count = float(len(array) if times is None else times.sum())
    if count > ENDLESS:
        raise OverflowError
    if not count:
        return 0.0
    return float(_OF.get(type(array), _of_fixed_width)(array, times, count))


def _of_fixed_width(array: pa.Array, times: Times, count: float) -> float:
    kind = array.type
    if pa.types.is_null(kind):
        return POINTER * count
    nbytes: int = max(kind.bit_width // 8, 1)
    return (POINTER + nbytes if pa.types.is_fixed_size_binary(kind) else nbytes) * count


def _of_views(array: pa.Array, times: Times, count: float) -> float:
    # A view is 16 bytes: its length, then what it shows or where that is.
    lengths = np.frombuffer(array.buffers()[1], "<i4", 4 * len(array), 16 * array.offset)[::4]
    return POINTER * count + _product(_unless_null(array, lengths), times)


def _of_texts(array: pa.Array, times: Times, count: float) -> float:
    width = 8 if isinstance(array, pa.LargeStringArray | pa.LargeBinaryArray) else 4
    offsets = np.frombuffer(array.buffers()[1], f"<i{width}", len(array) + 1, width * array.offset)
    return POINTER * count + _product(np.diff(offsets), times)


def _of_lists(array: pa.Array, times: Times, count: float) -> float:
    values = array.values
    if isinstance(array, pa.FixedSizeListArray):
        size = array.type.list_size
        starts = size * np.arange(array.offset, array.offset + len(array), dtype=np.int64)
        sizes = np.full(len(array), size, np.int64)
    elif isinstance(array, pa.ListViewArray | pa.LargeListViewArray):
        starts, sizes = _numbers(array.offsets), _numbers(array.sizes)
    else:
        offsets = _numbers(array.offsets)
        starts, sizes = offsets[:-1], np.diff(offsets)
    starts = starts.clip(0, len(values))
    ends = (starts + _unless_null(array, sizes).clip(0, len(values))).clip(0, len(values))
    some = ends > starts
    starts, ends = starts[some], ends[some]
    if not len(starts):
        return POINTER * count
    first, last = int(starts.min()), int(ends.max())
    shown: Times = None
    if times is not None or isinstance(array, pa.ListViewArray | pa.LargeListViewArray):
        weights = None if times is None else times[some]
        begun, over = (np.bincount(edges - first, weights, last - first + 1) for edges in (starts, ends))
        shown = np.cumsum(begun - over, dtype=np.float64)[:-1]
    return POINTER * count + _shown(values.slice(first, last - first), shown)


def _of_fields(array: pa.Array, times: Times, count: float) -> float:
    return sum(_shown(array.field(i), times) for i in range(array.type.num_fields))


def _of_union(array: pa.Array, times: Times, count: float) -> float:
    if array.type.mode == "sparse":
        return _of_fields(array, times, count)
    _, codes, places, *_ = array.buffers()  # `array.type_codes` has the first of all also in a slice
    codes = np.frombuffer(codes, "<i1", len(array), array.offset)
    places = np.frombuffer(places, "<i4", len(array), 4 * array.offset)
    total = 0.0
    for number, code in enumerate(array.type.type_codes):
        chosen, child = codes == code, array.field(number)
        total += _shown_at(child, places[chosen], None if times is None else times[chosen])
    return total


def _of_dictionary(array: pa.Array, times: Times, count: float) -> float:
    values = array.dictionary
    if pa.types.is_null(values.type):  # also those that stand for a dictionary in `arrays_of`
        return POINTER * count
    return _shown_at(values, _unless_null(array, _numbers(array.indices), -1), times)


def _of_runs(array: pa.Array, times: Times, count: float) -> float:
    ends = (_numbers(array.run_ends) - array.offset).clip(0, len(array))
    if times is not None:
        ends = np.concatenate([[0.0], np.cumsum(times)])[ends]
    return _shown(array.values, np.diff(ends, prepend=0).clip(0).astype(np.float64))


def _shown_at(values: pa.Array, places: Any, times: Times) -> float:
    inside = (places >= 0) & (places < len(values))
    weights = None if times is None else times[inside]
    shown = np.bincount(places[inside], weights, len(values)).astype(np.float64)
    return _shown(values, shown)


def _product(lengths: Any, times: Times) -> float:
    lengths = lengths.clip(0)
    return float(lengths.sum(dtype=np.float64) if times is None else lengths @ times)


def _numbers(array: pa.Array) -> Any:
    """Return integers of Arrow as int64, whatever is in the place of nulls."""
    width = array.type.bit_width // 8
    code = f"<{'u' if str(array.type).startswith('u') else 'i'}{width}"
    if not len(array):
        return np.empty(0, np.int64)
    return np.frombuffer(array.buffers()[1], code, len(array), width * array.offset).astype(np.int64)


def _unless_null(array: pa.Array, numbers: Any, instead: int = 0) -> Any:
    if not array.null_count:
        return numbers
    return np.where(array.is_null().to_numpy(zero_copy_only=False), instead, numbers)


_OF: dict[type, Callable[[Any, Times, float], float]] = {
    **dict.fromkeys((pa.StringViewArray, pa.BinaryViewArray), _of_views),
    **dict.fromkeys(
        (pa.StringArray, pa.BinaryArray, pa.LargeStringArray, pa.LargeBinaryArray), _of_texts
    ),
    **dict.fromkeys(
        (
            pa.ListArray,
            pa.LargeListArray,
            pa.MapArray,
            pa.ListViewArray,
            pa.LargeListViewArray,
            pa.FixedSizeListArray,
        ),
        _of_lists,
    ),
    pa.StructArray: _of_fields,
    pa.UnionArray: _of_union,
    pa.DictionaryArray: _of_dictionary,
    pa.RunEndEncodedArray: _of_runs,
}
