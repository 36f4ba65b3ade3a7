"""What Arrow arrays are made of, and what Arrow's own validation of them leaves out.

`validate` passes over what nulls hide, and so may a table. But casts of Arrow's, and polars, follow the view
of a null like any other: where it points outside its buffers they read there. So the views of nulls are
looked at like all others. Arrow says nothing of what is in them, so an honest table may hold such views:
`cleaned` makes them empty before it is sent.

`validate` looks at a dictionary again with each chunk that has it. Here a dictionary that is a column of its
own is looked at once, and with each chunk only its indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["PLAIN", "all_fields", "arrays_of", "cleaned", "dictionaries_inside", "parts", "validate"]

# The usual types of columns, of which there may be thousands, and none of which has what is looked at here.
PLAIN = frozenset(
    pa.type_for_alias(name).id
    for name in (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("halffloat", "float", "double", "bool", "date32", "date64"),
        *("time32[s]", "time64[us]", "timestamp[s]", "duration[s]"),
        *("string", "large_string", "binary", "large_binary"),
    )
)


def all_fields(fields: Iterable[pa.Field]) -> Iterator[pa.Field]:
    """Yield the fields of a schema, and those inside their types."""
    for column in fields:
        yield column
        kind = column.type
        if isinstance(kind, pa.BaseExtensionType):
            yield from all_fields([pa.field(column.name, kind.storage_type)])
        elif pa.types.is_dictionary(kind):
            yield from all_fields([pa.field(column.name, kind.value_type)])
        else:
            yield from all_fields(kind.field(i) for i in range(kind.num_fields))


def parts(array: pa.Array) -> Iterator[pa.Array]:
    """Yield an array, and those inside it: storage, dictionaries, all that lists hold."""
    yield array
    for child in _children(array):
        yield from parts(child)


def arrays_of(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the chunks of a column.

    Of a column that is a dictionary of plain values, yield the indices of each chunk, as those of a
    dictionary of nulls, and each dictionary once.
    """
    if not _is_plain_dictionary(column.type):
        yield from column.chunks
        return
    seen = set()
    for chunk in column.chunks:
        values = chunk.dictionary
        # In their place as many nulls, which take no time.
        nulls = pa.Array.from_buffers(pa.null(), len(values), [None])
        yield pa.DictionaryArray.from_arrays(chunk.indices, nulls, safe=False)
        # The memory tells dictionaries apart. One without any takes no time either.
        where = next((buffer.address for buffer in values.buffers() if buffer and buffer.size), None)
        if where is None or (where, values.offset, len(values)) not in seen:
            seen.add((where, values.offset, len(values)))
            yield values


def dictionaries_inside(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the dictionaries of each chunk which `arrays_of` does not yield once."""
    kind = column.type
    if kind.id not in PLAIN and not _is_plain_dictionary(kind) and _holds(kind, pa.types.is_dictionary):
        for chunk in column.chunks:
            yield from (part.dictionary for part in parts(chunk) if isinstance(part, pa.DictionaryArray))


def validate(table: pa.Table) -> None:
    """Check what the columns of a table hold, as `pyarrow.Table.validate` does, and also the views of nulls.

    Raises
    ------
    pyarrow.ArrowException
        If it is not valid.
    """
    for column in table.columns:
        if column.type.id in PLAIN:
            column.validate(full=True)
            continue
        has_views = _holds(column.type, _is_view)
        for array in arrays_of(column):
            array.validate(full=True)
            if has_views:
                _check_views(array)


def cleaned(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with empty views in the place of nulls, where those that are there cannot be followed."""
    for number, kind in enumerate(batch.schema.types):
        if kind.id not in PLAIN and _holds(kind, _is_view):
            column = batch.column(number)
            try:
                _check_views(column)
            except pa.ArrowException:
                batch = batch.set_column(
                    number, batch.schema.field(number), _cleaned(_from_zero(column))
                )
    return batch


def _children(array: pa.Array) -> list[pa.Array]:
    # Of lists all that they hold: also what no list of them shows was sent.
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return [array.storage]
    if pa.types.is_dictionary(kind):
        return [array.dictionary]
    if pa.types.is_struct(kind) or pa.types.is_union(kind):
        return [array.field(i) for i in range(kind.num_fields)]
    if pa.types.is_run_end_encoded(kind):
        return [array.run_ends, array.values]
    return [array.values] if kind.num_fields else []


def _holds(kind: pa.DataType, what: Callable[[pa.DataType], bool]) -> bool:
    return any(what(field.type) for field in all_fields([pa.field("", kind)]))


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _is_plain_dictionary(kind: pa.DataType) -> bool:
    # pandas and polars keep it as it is; of others they write out the values.
    return bool(pa.types.is_dictionary(kind) and not kind.value_type.num_fields)


def _check_views(array: pa.Array) -> None:
    """Raise `ArrowException` if the view of a null points outside its buffers."""
    for part in parts(array):
        if _is_view(part.type) and part.null_count:
            _, views, *data = part.buffers()
            hidden = _items(part, views)[_nulls(part)]
            if hidden.any():
                buffers = [None, pa.py_buffer(hidden), *data]
                pa.Array.from_buffers(pa.binary_view(), len(hidden), buffers, 0).validate(full=True)


def _items(array: pa.Array, views: pa.Buffer) -> Any:
    return np.frombuffer(views, "<i8", 2 * len(array), 16 * array.offset).reshape(-1, 2)


def _nulls(array: pa.Array) -> Any:
    return array.is_null().to_numpy(zero_copy_only=False)


def _from_zero(array: pa.Array) -> pa.Array:
    """Return the same array with nothing before its first item, nor before those of what is inside it."""
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], names=[""])
    with pa.ipc.new_stream(
        sink, batch.schema, options=pa.ipc.IpcWriteOptions(allow_64bit=True)
    ) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch().column(0)


def _cleaned(array: pa.Array) -> pa.Array:
    kind, children, buffers = array.type, _children(array), array.buffers()
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _cleaned(array.storage))
    if pa.types.is_dictionary(kind):
        values = _cleaned(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, values, ordered=kind.ordered, safe=False)
    if _is_view(kind) and array.null_count:
        views = _items(array, buffers[1]).copy()
        views[_nulls(array)] = 0
        buffers[1] = pa.py_buffer(views)
    elif not children:
        return array
    own = len(buffers) - sum(len(child.buffers()) for child in children)
    inside = [_cleaned(child) for child in children]
    return pa.Array.from_buffers(kind, len(array), buffers[:own], array.null_count, 0, inside)
