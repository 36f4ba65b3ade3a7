"""pandas: DataFrame and Series here, their parts in the modules beside this one.

::

    {"kind": "frame", "index": I, "columns": I, "blocks": [block, …], "attrs": D?, "unique": true?}
    {"kind": "series", "name": D?, "index": I, "values": V, "attrs": D?, "unique": true?}

    block = {"columns": P, "values": V}                 V has a row for each of these columns
            {"columns": P, "table": T}                  Arrow's dtypes: a column for each
    P     = [start, stop, step] or an array

I is an index, V are the values of `values`, T an Arrow table, D any object; ``attrs`` is a dict.
``unique`` stands for flags.allows_duplicate_labels = False. Of the labels of the columns, at most 1,000 that
differ have one hash in Python (`labels`). Buffers are in the order of the fields. Of
many blocks, the list travels as JSON text in the next buffer, and ``blocks`` is null.

A block is a piece of the frame's own memory, so neither side copies it. All columns of
Arrow's dtypes are one block, which is a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bridge.codecs import (
    Buffer,
    BufferReader,
    Descriptor,
    count,
    decode_from,
    encode_into,
    field,
    strict_json,
)
from bridge.codecs.extension import decode_extension, encode_extension
from bridge.codecs.index import CLASSES, decode_index, decode_name, encode_index, encode_name
from bridge.codecs.labels import check_hashes
from bridge.codecs.scalars import SCALARS, decode_scalar, encode_scalar
from bridge.codecs.values import Array, check, decode_array, decode_values, encode_values, is_unique
from bridge.errors import EncodeError, WireError, an

__all__ = ["decode", "encode"]

# Longer JSON text of the blocks travels as a buffer: headers stay small.
MAX_INLINE = 16 * 1024

# Of one frame, as `weight` limits those of all frames in a message.
MAX_COLUMNS = 2**22


def encode(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Turn an object of pandas into its descriptor, with its bytes appended to `buffers`.

    Parameters
    ----------
    obj
        A DataFrame, Series, Index, extension array or scalar of pandas' own classes.
    buffers
        The list to append to: views of numpy's and Arrow's memory.

    Raises
    ------
    EncodeError
        If it would not come back identical. It names the column.
    """
    encoder = _ENCODERS.get(type(obj))
    if encoder is None and isinstance(obj, pd.api.extensions.ExtensionArray):
        encoder = encode_extension
    if encoder is None:
        raise EncodeError(_refusal(type(obj)))
    return encoder(obj, buffers)


def decode(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild an object of pandas.

    Returns
    -------
    DataFrame, Series, Index, ExtensionArray or scalar
        Over views of the reader's buffers, and writable. Before pandas 3 a frame is a copy.

    Raises
    ------
    WireError
        If the parts are not valid, or do not fit each other.
    """
    try:
        return _DECODERS[descriptor["kind"]](descriptor, reader)
    except WireError:
        raise
    except _FOREIGN as exc:
        raise WireError(f"this {descriptor['kind']} is not one that pandas can hold: {exc}") from exc


def _encode_frame(frame: pd.DataFrame, buffers: list[Buffer]) -> Descriptor:
    if frame.shape[1] > MAX_COLUMNS:
        raise EncodeError(
            f"the frame has {frame.shape[1]} columns; at most {MAX_COLUMNS} can be sent: "
            "transpose it, or send frame.to_numpy()"
        )
    try:
        _check_labels(frame.columns)
    except WireError as exc:
        raise EncodeError(f"columns: {exc}") from exc
    count(buffers, *_claims(*frame.shape))
    descriptor: Descriptor = {
        "kind": "frame",
        "index": _encode_axis("index", frame.index, buffers),
        "columns": _encode_axis("columns", frame.columns, buffers),
    }
    start = len(buffers)
    blocks = list(_encode_blocks(frame, buffers))
    text = strict_json.dumps(blocks)
    if len(text) <= MAX_INLINE:
        descriptor["blocks"] = blocks
    else:
        descriptor["blocks"] = None
        count(buffers, "values", strict_json.values_in(text))
        buffers.insert(start, memoryview(text))
    return {**descriptor, **_encode_extras(frame, buffers)}


def _decode_frame(descriptor: Descriptor, reader: BufferReader) -> pd.DataFrame:
    index = _decode_axis(descriptor.get("index"), reader)
    columns = _decode_axis(descriptor.get("columns"), reader)
    _check_labels(columns)
    check(len(columns) <= MAX_COLUMNS, f"the frame has {len(columns)} columns; at most {MAX_COLUMNS}")
    reader.count(*_claims(len(index), len(columns)))
    blocks = field(descriptor, "blocks", list, type(None))
    if blocks is None:
        blocks = reader.take_json()
        check(type(blocks) is list, "the blocks of a frame are not a list")
    decoded = _decode_blocks(blocks, reader, len(index), len(columns))
    frame = _frame_from_blocks(decoded, index, columns)
    _decode_extras(frame, descriptor, reader)
    return frame


def _check_labels(columns: pd.Index[Any]) -> None:
    # Columns are looked for by their labels, rows are not. Few numbers of one dtype have one hash.
    if columns.dtype.kind not in "biufmM":
        check_hashes(columns)


def _claims(rows: int, width: int) -> tuple[str, int]:
    # Rows of no columns have labels only, which may be a range.
    return ("columns", width) if width else ("rows", rows)


def _encode_series(series: pd.Series[Any], buffers: list[Buffer]) -> Descriptor:
    try:
        return {
            "kind": "series",
            **encode_name(series.name, buffers),
            "index": _encode_axis("index", series.index, buffers),
            "values": encode_values(series.array, buffers),
            **_encode_extras(series, buffers),
        }
    except EncodeError as exc:
        raise EncodeError(f"Series {series.name!r}: {exc}") from exc


def _decode_series(descriptor: Descriptor, reader: BufferReader) -> pd.Series[Any]:
    name = decode_name(descriptor, reader)
    index = _decode_axis(descriptor.get("index"), reader)
    values = decode_values(descriptor.get("values"), reader)
    check(
        values.shape == (len(index),),
        f"the values of a Series have the shape {values.shape}; its index has {len(index)}",
    )
    series = pd.Series(values, index, values.dtype, name, copy=False)
    _decode_extras(series, descriptor, reader)
    return series


# ── parts of a frame ──────────────────────────────────────────────────────────────────────────────


def _encode_blocks(frame: pd.DataFrame, buffers: list[Buffer]) -> Iterator[Descriptor]:
    arrow: list[Any] = []
    for block in _manager(frame).blocks:
        if type(block.dtype) is pd.ArrowDtype:
            arrow.append(block)
        else:
            placement = block.mgr_locs.as_array
            columns = _encode_placement(placement, buffers)
            with _naming_column(frame, placement):
                yield {"columns": columns, "values": encode_values(block.values, buffers)}
    if arrow:
        placement = np.concatenate([block.mgr_locs.as_array for block in arrow])
        columns = _encode_placement(placement, buffers)
        table = pa.table([block.values.__arrow_array__() for block in arrow], names=[""] * len(arrow))
        with _naming_column(frame, placement):
            yield {"columns": columns, "table": encode_into(table, buffers)}


def _decode_blocks(
    descriptors: list[Any], reader: BufferReader, rows: int, width: int
) -> list[tuple[Any, Array]]:
    blocks: list[tuple[Any, Array]] = []
    left = width
    for descriptor in descriptors:
        placement = _decode_placement(field(descriptor, "columns", list, dict), reader, width)
        left -= len(placement)
        # Before the next: placements cost memory, and their descriptors next to none.
        check(left >= 0, f"the blocks of a frame have more than its {width} columns")
        blocks += _decode_block(descriptor, reader, placement, rows)
    placements = [np.empty(0, np.intp), *(placement for _, placement in blocks)]
    check(
        np.array_equal(np.sort(np.concatenate(placements)), np.arange(width)),
        f"the blocks of a frame do not have each of its {width} columns once",
    )
    return blocks


def _decode_block(
    descriptor: Descriptor, reader: BufferReader, placement: Array, rows: int
) -> list[tuple[Any, Array]]:
    if "table" in descriptor:
        table = decode_from(descriptor["table"], reader)
        check(isinstance(table, pa.Table), f"a block is {an(type(table).__qualname__)}, not a table")
        _check_shape((table.num_columns, table.num_rows), (len(placement), rows))
        arrays = map(pd.arrays.ArrowExtensionArray, table.columns)
        return [(array, placement[i : i + 1]) for i, array in enumerate(arrays)]
    values = decode_values(descriptor.get("values"), reader)
    if values.dtype == object and len(values) == len(placement) * rows:
        values = values.reshape(len(placement), rows)
    _check_shape(values.shape if values.ndim == 2 else (1, *values.shape), (len(placement), rows))
    return [(values, placement)]


def _check_shape(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    if shape != expected:
        raise WireError(
            f"a block has the shape {shape}; the frame has {expected[0]} columns for it, "
            f"of {expected[1]} rows"
        )


def _encode_placement(placement: Array, buffers: list[Buffer]) -> Any:
    start = int(placement[0])
    if len(placement) == 1:
        return [start, start + 1, 1]
    step = int(placement[1]) - start
    stop = start + step * len(placement)
    if step > 0 and np.array_equal(placement, np.arange(start, stop, step)):
        return [start, stop, step]
    return encode_into(placement, buffers)


def _decode_placement(placement: Any, reader: BufferReader, width: int) -> Array:
    if type(placement) is list:
        check(
            [type(number) for number in placement] == [int, int, int]
            and 0 <= placement[0] < placement[1] <= width + placement[2]
            and 0 < placement[2] <= width,
            f"a block's columns are {str(placement)[:60]}; expected [start, stop, step] up to {width}",
        )
        return np.arange(*placement)
    columns = decode_array(placement, reader, "i")
    check(columns.ndim == 1, f"a block's columns have {columns.ndim} axes; expected 1")
    return columns.astype(np.intp, copy=False)


def _frame_from_blocks(
    blocks: list[tuple[Any, Array]], index: pd.Index[Any], columns: pd.Index[Any]
) -> pd.DataFrame:
    internals: Any = getattr(pd.api, "internals", None)
    if internals is None:
        return _frame_from_columns(blocks, index, columns)
    frame: pd.DataFrame = internals.create_dataframe_from_blocks(blocks, index, columns)
    return frame


def _frame_from_columns(
    blocks: list[tuple[Any, Array]], index: pd.Index[Any], columns: pd.Index[Any]
) -> pd.DataFrame:
    """Build the frame as pandas 2 has to, column by column: each a Series, so that no dtype is guessed."""
    parts = {
        int(position): pd.Series(
            values[row] if values.ndim == 2 else values, index, values.dtype, copy=False
        )
        for values, placement in blocks
        for row, position in enumerate(placement)
    }
    frame = pd.DataFrame({position: parts[position] for position in sorted(parts)}, index, copy=False)
    frame.columns = columns
    return frame


@contextmanager
def _naming_column(frame: pd.DataFrame, placement: Array) -> Iterator[None]:
    """Turn the error of a block into the error of its first column that cannot be sent by itself."""
    try:
        yield
    except EncodeError:
        for position in placement:
            try:
                encode_values(frame.iloc[:, position].array, [])
            except EncodeError as exc:
                raise EncodeError(f"column {frame.columns[position]!r}: {exc}") from exc
        raise


def _manager(frame: pd.DataFrame) -> Any:
    # pandas has no public way to see the blocks without copying them.
    return frame._mgr


# ── parts of frames and Series ────────────────────────────────────────────────────────────────────


def _encode_axis(axis: str, index: pd.Index[Any], buffers: list[Buffer]) -> Descriptor:
    try:
        return encode_index(index, buffers)
    except EncodeError as exc:
        raise EncodeError(f"{axis}: {exc}") from exc


def _decode_axis(descriptor: Any, reader: BufferReader) -> Any:
    index = decode_from(descriptor, reader)
    check(isinstance(index, pd.Index), f"an axis is {an(type(index).__qualname__)}, not an index")
    return index


def _encode_extras(obj: Any, buffers: list[Buffer]) -> Descriptor:
    extras: Descriptor = {}
    if obj.attrs:
        try:
            extras["attrs"] = encode_into(obj.attrs, buffers)
        except EncodeError as exc:
            raise EncodeError(f"attrs: {exc}") from exc
    if not obj.flags.allows_duplicate_labels:
        extras["unique"] = True
    return extras


def _decode_extras(obj: Any, descriptor: Descriptor, reader: BufferReader) -> None:
    if "attrs" in descriptor:
        attrs = decode_from(descriptor["attrs"], reader)
        check(type(attrs) is dict, f"attrs are {an(type(attrs).__qualname__)}; expected a dict")
        obj.attrs = attrs
    if "unique" in descriptor:
        unique = field(descriptor, "unique", bool)
        # In the place of pandas, which would print the whole object in its error.
        check(
            not unique or all(map(is_unique, obj.axes)),
            "labels are said to be unique, and are not",
        )
        obj.flags._allows_duplicate_labels = not unique


def _refusal(cls: type) -> str:
    base = next((base for base in _ENCODERS if issubclass(cls, base)), None)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if base is None:
        return f"{name} cannot be sent; send a DataFrame, a Series, or plain values"
    return f"{name} would lose its class; send {base.__name__}(obj)"


_ENCODERS: dict[type, Callable[[Any, list[Buffer]], Descriptor]] = {
    pd.DataFrame: _encode_frame,
    pd.Series: _encode_series,
    **dict.fromkeys(CLASSES, encode_index),
    **dict.fromkeys(SCALARS, encode_scalar),
}

_DECODERS: dict[str, Callable[[Descriptor, BufferReader], Any]] = {
    "frame": _decode_frame,
    "series": _decode_series,
    "index": decode_index,
    "extension": decode_extension,
    "pandas-scalar": decode_scalar,
}

# What pandas and numpy raise for parts that do not fit each other.
_FOREIGN = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
)
