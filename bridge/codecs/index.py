"""The indexes of pandas.

::

    {"kind": "index", "name": D?, "range": [start, stop, step]}
    {"kind": "index", "name": D?, "values": V, "freq": [n, code]?}
    {"kind": "index", "levels": [I, …], "codes": [A, …], "sortorder": int | null}

V are the values of `values`, I indexes, A arrays of codes, D any object that can be hashed; without a
``name`` it is None. The class of an index follows from its values: dates make a DatetimeIndex. The names
of a MultiIndex are those of its levels; their buffers come first, then those of all codes. The first
``sortorder`` of the levels are sorted, by their codes; a ``freq`` leads from the first value to the last.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from bridge.codecs import Buffer, BufferReader, Descriptor, decode_from, encode_into, field
from bridge.codecs.offsets import decode_offset, encode_offset, leads_through
from bridge.codecs.values import (
    check,
    check_codes,
    decode_codes,
    decode_values,
    encode_values,
    has_memory,
    is_unique,
)
from bridge.errors import EncodeError, WireError, an

__all__ = ["CLASSES", "decode_index", "decode_name", "encode_index", "encode_name"]

CLASSES = (
    pd.Index,
    pd.RangeIndex,
    pd.DatetimeIndex,
    pd.TimedeltaIndex,
    pd.PeriodIndex,
    pd.CategoricalIndex,
    pd.IntervalIndex,
    pd.MultiIndex,
)

# The ends of a RangeIndex: its length, too, has to fit into 64 bits.
MAX_RANGE = 2**62


def encode_index(index: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn an index into its descriptor, with its bytes appended to `buffers`.

    Raises
    ------
    EncodeError
        If its class is not one of pandas' own, or its values, name or frequency cannot travel exactly.
    """
    if type(index) not in CLASSES:
        raise EncodeError(
            f"an index of class {type(index).__qualname__} would lose its class; send pd.Index(index)"
        )
    if isinstance(index, pd.MultiIndex):
        if not all(is_unique(level) and has_memory(level, len(index)) for level in index.levels):
            raise EncodeError(
                "a level of a MultiIndex has a label twice, or far more labels than are used; send "
                "index.remove_unused_levels(), or pd.MultiIndex.from_tuples(list(index))"
            )
        sortorder = index.sortorder  # type: ignore[attr-defined]
        if not _is_sorted(index.codes[: sortorder or 0]):
            raise EncodeError(
                f"a MultiIndex says that {sortorder} of its levels are sorted, and they are not; send "
                "pd.MultiIndex(index.levels, index.codes, names=index.names)"
            )
        return {
            "kind": "index",
            "levels": [encode_index(level, buffers) for level in index.levels],
            "codes": [encode_into(codes, buffers) for codes in index.codes],
            "sortorder": sortorder,
        }
    descriptor = {"kind": "index", **encode_name(index.name, buffers)}
    if isinstance(index, pd.RangeIndex):
        ends = [index.start, index.stop, index.step]
        if max(map(abs, ends)) > MAX_RANGE:
            raise EncodeError(f"{index!r} is beyond 2**62; send it as an Index: pd.Index(list(index))")
        return {**descriptor, "range": ends}
    descriptor["values"] = encode_values(index.array, buffers)
    if not has_memory(index):
        raise EncodeError(
            f"an index of {len(index)} labels of dtype {index.dtype} has no memory for them; "
            "send it as a column"
        )
    if isinstance(index, _WITH_FREQ) and index.freq is not None:
        descriptor["freq"] = encode_offset(index.freq)
        if not leads_through(index, index.freq):
            raise EncodeError(
                f"the frequency {index.freq!r} does not lead from the first of the dates to the last; drop it: "
                "index.freq = None"
            )
    return descriptor


def decode_index(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild an index.

    pandas believes what an index says of itself, and would find other rows: how many levels are sorted is
    looked at, and of a frequency whether it leads from the first date to the last.

    Raises
    ------
    WireError, ValueError, TypeError
        If the parts do not fit each other. The last two come from pandas.
    """
    if "levels" in descriptor:
        return _decode_multi(descriptor, reader)
    name = decode_name(descriptor, reader)
    if "range" in descriptor:
        return pd.RangeIndex.from_range(_range(descriptor["range"]), name=name)
    values = decode_values(descriptor.get("values"), reader)
    check(values.ndim == 1, f"the values of an index have {values.ndim} axes; expected 1")
    if not has_memory(values):
        raise WireError(f"{len(values)} labels of dtype {values.dtype} have no memory")
    index: Any = pd.Index(values, values.dtype, copy=False, name=name, tupleize_cols=False)
    if descriptor.get("freq") is not None:
        check(isinstance(index, _WITH_FREQ), f"{an(type(index).__qualname__)} has no frequency")
        freq = decode_offset(descriptor["freq"])
        check(
            leads_through(index, freq),
            f"the frequency {freq!r} does not lead from the first date of an index to its last",
        )
        owner = index if hasattr(type(index), "_freq") else index._data  # in the array before pandas 3
        owner._freq = freq
    return index


def encode_name(name: Any, buffers: list[Buffer]) -> Descriptor:
    """Return the field for the name of an index or a Series; nothing for None."""
    if name is None:
        return {}
    try:
        return {"name": encode_into(name, buffers)}
    except EncodeError as exc:
        raise EncodeError(f"the name {name!r} cannot be sent; rename to a str: {exc}") from exc


def decode_name(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild the name of an index or a Series.

    Raises
    ------
    WireError
        If it cannot be hashed.
    """
    if "name" not in descriptor:
        return None
    name = decode_from(descriptor["name"], reader)
    try:
        hash(name)
    except TypeError as exc:
        raise WireError(f"{an(type(name).__qualname__)} cannot be a name: {exc}") from exc
    return name


_WITH_FREQ = (pd.DatetimeIndex, pd.TimedeltaIndex)


def _decode_multi(descriptor: Descriptor, reader: BufferReader) -> pd.MultiIndex:
    levels: list[Any] = [decode_from(level, reader) for level in field(descriptor, "levels", list)]
    codes: list[Any] = [decode_codes(item, reader) for item in field(descriptor, "codes", list)]
    sortorder = field(descriptor, "sortorder", int, type(None))
    check(0 < len(levels) == len(codes), f"a MultiIndex has {len(levels)} levels, {len(codes)} codes")
    check(len(set(map(len, codes))) == 1, "the codes of a MultiIndex differ in length")
    check(
        sortorder is None or 0 <= sortorder <= len(levels),
        f"the sortorder of {len(levels)} levels is {sortorder}",
    )
    for level, numbers in zip(levels, codes, strict=True):
        check(
            isinstance(level, pd.Index) and not isinstance(level, pd.MultiIndex) and is_unique(level),
            f"a level of a MultiIndex is {an(type(level).__qualname__)} that is not flat and unique",
        )
        check(has_memory(level, len(numbers)), f"a level of {len(level)} labels has no memory for them")
        check_codes(numbers, len(level))
    check(
        _is_sorted(codes[: sortorder or 0]),
        f"a MultiIndex says that {sortorder} of its levels are sorted, and they are not",
    )
    names = [level.name for level in levels]
    return pd.MultiIndex(levels, codes, sortorder, names, verify_integrity=False)


def _is_sorted(codes: Any) -> bool:
    """Say whether rows of codes ascend: by the first code, and where that is the same, by the next."""
    tied: Any = True
    for level in codes:
        if (tied & (level[1:] < level[:-1])).any():
            return False
        tied &= level[1:] == level[:-1]
    return True


def _range(ends: Any) -> range:
    check(
        type(ends) is list
        and [type(end) for end in ends] == [int, int, int]
        and max(map(abs, ends)) <= MAX_RANGE
        and ends[2] != 0,
        f"a range is {str(ends)[:60]}; expected [start, stop, step], at most 2**62 in size, step not 0",
    )
    return range(*ends)
