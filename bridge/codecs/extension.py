"""The extension arrays of pandas.

::

    {"kind": "extension", "type": "datetime", "zone": Z, "values": A}           UTC
    {"kind": "extension", "type": "timedelta", "values": A}
    {"kind": "extension", "type": "period", "freq": [n, code], "values": A}     int64 ordinals
    {"kind": "extension", "type": "categorical", "ordered": bool, "codes": A, "categories": I}
    {"kind": "extension", "type": "masked", "values": A, "mask": A}             Int64, Float32, boolean …
    {"kind": "extension", "type": "interval", "closed": "left" | "right" | "both" | "neither",
        "left": V, "right": V}
    {"kind": "extension", "type": "sparse", "length": n, "fill": D, "values": V,
        "indices": A}                     or, for runs of values: "starts": A, "lengths": A
    {"kind": "extension", "type": "string", "storage": "pyarrow" | "python", "na": "nan" | "NA",
        "text": T}
    {"kind": "extension", "type": "arrow", "arrow": D}                         a chunked Arrow array

A is an array, I an index, D any object, V any of the kinds of `values`. T, Z and codes of
frequencies are those of the modules `text`, `zones` and `offsets`. Buffers are in the order of
the fields. In a frame, datetime and period may have two axes: a row is a column of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas._libs.sparse import BlockIndex, IntIndex

from bridge.codecs import Buffer, BufferReader, Descriptor, count, decode_from, encode_into, field
from bridge.codecs.offsets import PERIODS, decode_offset, encode_offset
from bridge.codecs.text import decode_text, encode_text
from bridge.codecs.values import (
    UNITS,
    Array,
    check,
    check_codes,
    decode_array,
    decode_codes,
    decode_values,
    encode_values,
    has_memory,
    is_unique,
)
from bridge.codecs.zones import decode_zone, encode_zone
from bridge.errors import EncodeError, WireError, an

__all__ = ["decode_extension", "encode_extension"]

CLOSED = ("left", "right", "both", "neither")

# The positions in a sparse array are int32.
MAX_SPARSE = 2**31 - 1

# Values and what describes them are taken as they are: the type stubs leave out the constructors that do so.
_arrays: Any = pd.arrays
_IntIndex: Any = IntIndex
_BlockIndex: Any = BlockIndex
_CategoricalDtype: Any = pd.CategoricalDtype

_MASKED = {
    "b": _arrays.BooleanArray,
    "i": _arrays.IntegerArray,
    "u": _arrays.IntegerArray,
    "f": _arrays.FloatingArray,
}
_MASKED_DTYPES = (
    *(pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype),
    *(pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype, pd.UInt64Dtype),
    *(pd.Float32Dtype, pd.Float64Dtype, pd.BooleanDtype),
)


def _string_dtypes() -> dict[tuple[str, str], Any]:
    string: Any = pd.StringDtype
    try:
        return {
            (storage, na): string(storage, na_value=value)
            for storage in ("pyarrow", "python")
            for na, value in (("NA", pd.NA), ("nan", np.nan))
        }
    except TypeError:  # before pandas 2.3
        return {
            ("pyarrow", "NA"): string("pyarrow"),
            ("pyarrow", "nan"): string("pyarrow_numpy"),
            ("python", "NA"): string("python"),
        }


_STRINGS = _string_dtypes()


def encode_extension(values: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn an extension array into its descriptor, with its bytes appended to `buffers`.

    Raises
    ------
    EncodeError
        If its class is not one of pandas' own, or its values cannot travel exactly.
    """
    rule = _ENCODERS.get(type(values.dtype))
    if rule is None:
        raise EncodeError(
            f"values of dtype {values.dtype} in {an(type(values).__qualname__)} cannot be sent; "
            "convert with .to_numpy() or .astype()"
        )
    name, encoder = rule
    return {"kind": "extension", "type": name, **encoder(values, buffers)}


def decode_extension(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild an extension array.

    Raises
    ------
    WireError, ValueError, TypeError
        If the parts do not fit each other. The last two come from pandas.
    """
    name = field(descriptor, "type", str)
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise WireError(
            f"unknown extension type {name[:40]!r}; this version knows {', '.join(_DECODERS)}",
            code="unsupported",
        )
    return decoder(descriptor, reader)


# ── one pair of functions for each type ───────────────────────────────────────────────────────────


def _encode_datetime(values: Any, buffers: list[Buffer]) -> Descriptor:
    return {"zone": encode_zone(values.tz), "values": encode_into(values._ndarray, buffers)}


def _decode_datetime(descriptor: Descriptor, reader: BufferReader) -> Any:
    zone = decode_zone(descriptor.get("zone"))
    values = decode_array(descriptor.get("values"), reader, "M")
    unit: Any = UNITS[np.datetime_data(values.dtype)]
    dtype = values.dtype if zone is None else pd.DatetimeTZDtype(unit, zone)
    return _arrays.DatetimeArray._simple_new(values, dtype=dtype)


def _encode_timedelta(values: Any, buffers: list[Buffer]) -> Descriptor:
    return {"values": encode_into(values._ndarray, buffers)}


def _decode_timedelta(descriptor: Descriptor, reader: BufferReader) -> Any:
    values = decode_array(descriptor.get("values"), reader, "m")
    return _arrays.TimedeltaArray._simple_new(values, dtype=values.dtype)


def _encode_period(values: Any, buffers: list[Buffer]) -> Descriptor:
    freq = encode_offset(values.dtype.freq, PERIODS)
    return {"freq": freq, "values": encode_into(values._ndarray, buffers)}


def _decode_period(descriptor: Descriptor, reader: BufferReader) -> Any:
    dtype = pd.PeriodDtype(decode_offset(descriptor.get("freq"), PERIODS))
    values = decode_array(descriptor.get("values"), reader, "i")
    check(values.dtype == np.int64, f"the ordinals of periods are {values.dtype}; expected int64")
    return _arrays.PeriodArray(values, dtype=dtype)


def _encode_categorical(values: Any, buffers: list[Buffer]) -> Descriptor:
    if not has_memory(values.categories, len(values)):
        raise EncodeError(
            f"{len(values.categories)} categories are far more than are used; "
            "send x.remove_unused_categories()"
        )
    return {
        "ordered": bool(values.ordered),
        "codes": encode_into(values.codes, buffers),
        "categories": encode_into(values.categories, buffers),
    }


def _decode_categorical(descriptor: Descriptor, reader: BufferReader) -> Any:
    ordered = field(descriptor, "ordered", bool)
    codes = decode_codes(descriptor.get("codes"), reader)
    categories = decode_from(descriptor.get("categories"), reader)
    check(
        isinstance(categories, pd.Index) and not isinstance(categories, pd.MultiIndex),
        f"the categories are {an(type(categories).__qualname__)}; expected a flat index",
    )
    check(has_memory(categories, len(codes)), f"{len(categories)} categories have no memory")
    check_codes(codes, len(categories))
    check(
        not categories.hasnans and is_unique(categories),
        "the categories are not unique, or one is missing",
    )
    dtype = _CategoricalDtype._from_fastpath(categories, ordered)  # pandas would look again
    return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)


def _encode_masked(values: Any, buffers: list[Buffer]) -> Descriptor:
    return {
        "values": encode_into(values._data, buffers),
        "mask": encode_into(values._mask, buffers),
    }


def _decode_masked(descriptor: Descriptor, reader: BufferReader) -> Any:
    values = decode_array(descriptor.get("values"), reader, "".join(_MASKED))
    mask = decode_array(descriptor.get("mask"), reader, "b")
    check(values.dtype.isnative, f"nullable values are {values.dtype}; expected native byte order")
    check(values.ndim == mask.ndim == 1, "nullable values have more than one axis")
    return _MASKED[values.dtype.kind](values, mask)


def _encode_interval(values: Any, buffers: list[Buffer]) -> Descriptor:
    return {
        "closed": values.closed,
        "left": encode_values(values._left, buffers),
        "right": encode_values(values._right, buffers),
    }


def _decode_interval(descriptor: Descriptor, reader: BufferReader) -> Any:
    closed: Any = field(descriptor, "closed", str)
    check(closed in CLOSED, f"an interval is closed {closed[:40]!r}; expected {', '.join(CLOSED)}")
    left = decode_values(descriptor.get("left"), reader)
    right = decode_values(descriptor.get("right"), reader)
    check(
        left.ndim == right.ndim == 1 and left.dtype == right.dtype,
        f"intervals reach from {left.dtype} to {right.dtype}; expected one dtype and one axis",
    )
    return _arrays.IntervalArray.from_arrays(left, right, closed, copy=False)


def _encode_sparse(values: Any, buffers: list[Buffer]) -> Descriptor:
    index: Any = values.sp_index
    count(buffers, "rows", len(values))
    fields = {
        "length": len(values),
        "fill": encode_into(values.dtype.fill_value, buffers),
        "values": encode_values(values.sp_values, buffers),
    }
    if type(index) is _IntIndex:
        return {**fields, "indices": encode_into(index.indices, buffers)}
    starts, lengths = encode_into(index.blocs, buffers), encode_into(index.blengths, buffers)
    return {**fields, "starts": starts, "lengths": lengths}


def _decode_sparse(descriptor: Descriptor, reader: BufferReader) -> Any:
    length = field(descriptor, "length", int)
    check(0 <= length <= MAX_SPARSE, f"a sparse array is {length} long; at most {MAX_SPARSE}")
    reader.count("rows", length)
    fill = decode_from(descriptor.get("fill"), reader)
    values = decode_values(descriptor.get("values"), reader)
    check(
        type(values) is np.ndarray and values.ndim == 1,
        f"sparse values are {an(type(values).__qualname__)}; expected an array of one axis",
    )
    if "indices" in descriptor:
        indices = _positions(descriptor["indices"], reader)
        _check_runs(indices, np.ones_like(indices), length)
        index = _IntIndex(length, indices)
    else:
        starts = _positions(descriptor.get("starts"), reader)
        lengths = _positions(descriptor.get("lengths"), reader)
        check(len(starts) == len(lengths), f"{len(starts)} starts of runs, {len(lengths)} lengths")
        _check_runs(starts, lengths, length)
        index = _BlockIndex(length, starts, lengths)
    check(index.npoints == len(values), f"{len(values)} sparse values for {index.npoints} positions")
    dtype = pd.SparseDtype(values.dtype, fill)
    return _arrays.SparseArray._simple_new(values, index, dtype)


def _encode_string(values: Any, buffers: list[Buffer]) -> Descriptor:
    [(storage, na)] = (key for key, dtype in _STRINGS.items() if dtype == values.dtype)
    text = _packed(values) if storage == "python" else _one_chunk(values.__arrow_array__())
    return {"storage": storage, "na": na, "text": encode_text(text, buffers)}


def _one_chunk(chunked: pa.ChunkedArray) -> pa.Array:
    # Arrow copies also where there is nothing to combine.
    return chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()


def _packed(values: Any) -> pa.Array:
    cells = values._ndarray
    if strange := set(map(type, cells.tolist())) - {str, type(values.dtype.na_value)}:
        names = ", ".join(sorted(cls.__qualname__ for cls in strange))
        raise EncodeError(f"among the strings are objects of {names}; convert with .astype(object)")
    try:
        return pa.array(cells, pa.large_string(), from_pandas=True)
    except UnicodeEncodeError as exc:
        raise EncodeError(
            f"a string holds a lone surrogate: {exc.object[:40]!r}; convert with .astype(object)"
        ) from exc


def _decode_string(descriptor: Descriptor, reader: BufferReader) -> Any:
    storage, na = field(descriptor, "storage", str), field(descriptor, "na", str)
    dtype = _STRINGS.get((storage, na))
    if dtype is None:
        raise WireError(f"this pandas has no strings of {storage[:40]!r} storage with {na[:40]!r}")
    return dtype.__from_arrow__(decode_text(descriptor.get("text"), reader, pa.large_string()))


def _encode_arrow(values: Any, buffers: list[Buffer]) -> Descriptor:
    return {"arrow": encode_into(values.__arrow_array__(), buffers)}


def _decode_arrow(descriptor: Descriptor, reader: BufferReader) -> Any:
    chunked = decode_from(descriptor.get("arrow"), reader)
    check(
        isinstance(chunked, pa.ChunkedArray),
        f"{an(type(chunked).__qualname__)} stands where only a chunked Arrow array can be",
    )
    return _arrays.ArrowExtensionArray(chunked)


def _positions(descriptor: Any, reader: BufferReader) -> Array:
    positions = decode_array(descriptor, reader, "i")
    check(
        positions.dtype == np.int32 and positions.ndim == 1,
        f"sparse positions are {positions.dtype} of {positions.ndim} axes; expected int32 of one",
    )
    return positions


def _check_runs(starts: Array, lengths: Array, length: int) -> None:
    # In int64, so that a start and a length cannot wrap around.
    ends = starts.astype(np.int64) + lengths
    check(
        bool((lengths > 0).all() and (starts[1:] >= ends[:-1]).all())
        and bool((starts[:1] >= 0).all() and (ends[-1:] <= length).all()),
        f"the positions in a sparse array of {length} are not ascending, or beyond its end",
    )


_ENCODERS: dict[type, tuple[str, Callable[[Any, list[Buffer]], Descriptor]]] = {
    pd.DatetimeTZDtype: ("datetime", _encode_datetime),
    np.dtypes.DateTime64DType: ("datetime", _encode_datetime),
    np.dtypes.TimeDelta64DType: ("timedelta", _encode_timedelta),
    pd.PeriodDtype: ("period", _encode_period),
    pd.CategoricalDtype: ("categorical", _encode_categorical),
    **dict.fromkeys(_MASKED_DTYPES, ("masked", _encode_masked)),
    pd.IntervalDtype: ("interval", _encode_interval),
    pd.SparseDtype: ("sparse", _encode_sparse),
    pd.StringDtype: ("string", _encode_string),
    pd.ArrowDtype: ("arrow", _encode_arrow),
}

_DECODERS: dict[str, Callable[[Descriptor, BufferReader], Any]] = {
    "datetime": _decode_datetime,
    "timedelta": _decode_timedelta,
    "period": _decode_period,
    "categorical": _decode_categorical,
    "masked": _decode_masked,
    "interval": _decode_interval,
    "sparse": _decode_sparse,
    "string": _decode_string,
    "arrow": _decode_arrow,
}
