"""Arrow arrays of every type with rubbish where they have nulls, and a program that does all with them.

``python -m tests.poisoned [PART OF A TYPE'S NAME]`` names each case before it begins: if it dies, the
last one is to blame.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa

from bridge import codecs
from bridge.codecs.table import _check_schema_survives
from bridge.errors import BridgeError
from bridge.remote.frame import frame_of, polars_of

# Seven of each array are items, and of these three are null.
LENGTH = 7
IS_NULL = np.array([False, True, False, True, False, False, True])
VALIDITY = pa.py_buffer(np.packbits(~IS_NULL, bitorder="little").tobytes())
TEXTS = [f"a text that is no inline view {i}" for i in range(LENGTH)]

TEXTS_OF_LARGE = "".join(TEXTS).encode().ljust(2**20)

# Numbers that read as a length, an offset or the number of a buffer are far outside, or just so.
RUBBISH: dict[str, bytes] = {
    "ones": b"\xff",
    "least": b"\x00\x00\x00\x80",
    "most": b"\xff\xff\xff\x7f",
    "long view of the first buffer": np.array([2**30, 0, 0, 2**28], "<i4").tobytes(),
    "view of no buffer": np.array([27, 0, 2**30, 0], "<i4").tobytes(),
    "a bit too long": np.array([2000, 0, 0, 0], "<i4").tobytes(),
}

PLAIN: dict[str, Callable[[], pa.Array]] = {
    **{
        str(kind): partial(pa.array, range(LENGTH), kind)
        for kind in (
            *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
            *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64()),
            *(pa.date32(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
            *(pa.timestamp("s"), pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("us", "+05:30")),
            *(pa.duration("s"), pa.duration("ns")),
        )
    },
    **{
        str(kind): partial(pa.array, [Decimal(i) for i in range(LENGTH)], kind)
        for kind in (pa.decimal32(5), pa.decimal64(15), pa.decimal128(38), pa.decimal256(76))
    },
    **{
        str(kind): partial(pa.array, TEXTS, kind)
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        str(kind): partial(pa.array, [text.encode() for text in TEXTS], kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view())
    },
    "bool": lambda: pa.array([True] * LENGTH),
    "date64": lambda: pa.array([i * 86_400_000 for i in range(LENGTH)]).cast(pa.date64()),
    "float16": lambda: pa.array(np.arange(LENGTH, dtype=np.float16)),
    "binary of one size": lambda: pa.array([b"12345678"] * LENGTH, pa.binary(8)),
    "interval": lambda: pa.array([pa.MonthDayNano([1, 2, 3])] * LENGTH),
    "null": lambda: pa.nulls(LENGTH),
    **{
        f"codes of {kind}": partial(
            pa.DictionaryArray.from_arrays, pa.array(range(LENGTH), kind), pa.array(TEXTS)
        )
        for kind in (pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64())
    },
    "codes of views": lambda: pa.DictionaryArray.from_arrays(
        pa.array(range(LENGTH), pa.int8()),
        pa.array(TEXTS, pa.string_view()),
    ),
    "codes of numbers": lambda: pa.DictionaryArray.from_arrays(
        pa.array(range(LENGTH), pa.int16()), pa.array(range(LENGTH))
    ),
}

EVERY = pa.array(range(LENGTH + 1), pa.int32())
WRAPPERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "alone": lambda a: a,
    "list": lambda a: pa.ListArray.from_arrays(EVERY, a),
    "large list": lambda a: pa.LargeListArray.from_arrays(EVERY.cast(pa.int64()), a),
    "list view": lambda a: pa.ListViewArray.from_arrays(
        EVERY[:-1], pa.array([1] * LENGTH, pa.int32()), a
    ),
    "large list view": lambda a: pa.LargeListViewArray.from_arrays(
        EVERY[:-1].cast(pa.int64()), pa.array([1] * LENGTH, pa.int64()), a
    ),
    "fixed-size list": lambda a: pa.FixedSizeListArray.from_arrays(pa.concat_arrays([a, a]), 2),
    "map": lambda a: pa.MapArray.from_arrays(EVERY, pa.array(["k"] * LENGTH), a),
    "struct": lambda a: pa.StructArray.from_arrays([a, pa.array(range(LENGTH))], ["f", "g"]),
    "sparse union": lambda a: pa.UnionArray.from_sparse(pa.array([0] * LENGTH, pa.int8()), [a]),
    "dense union": lambda a: pa.UnionArray.from_dense(
        pa.array([0] * LENGTH, pa.int8()), EVERY[:-1], [a]
    ),
    "runs": lambda a: pa.RunEndEncodedArray.from_arrays(EVERY[1:], a),
    "dictionary": lambda a: pa.DictionaryArray.from_arrays(pa.array(range(LENGTH), pa.int8()), a),
    "opaque": lambda a: pa.ExtensionArray.from_storage(pa.opaque(a.type, "t", "v"), a),
}
EXTENSIONS: dict[str, Callable[[], pa.Array]] = {
    "uuid": lambda: pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([b"0" * 16] * LENGTH, pa.binary(16))
    ),
    "json": lambda: pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"] * LENGTH)),
    "json of views": lambda: pa.ExtensionArray.from_storage(
        pa.json_(pa.string_view()), pa.array([f'["{TEXTS[0]}"]'] * LENGTH, pa.string_view())
    ),
    "bool8": lambda: pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1] * LENGTH, pa.int8())),
    "tensor": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((LENGTH, 2, 3))),
}


def poisoned(array: pa.Array, rubbish: bytes) -> pa.Array:
    """Return an array with nulls, and in their place rubbish, of which only the nulls are a sign."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, poisoned(array.storage, rubbish))
    if pa.types.is_dictionary(kind):
        codes = poisoned(array.indices, rubbish)
        return pa.DictionaryArray.from_arrays(codes, array.dictionary, safe=False)
    buffers = array.buffers()
    if pa.types.is_null(kind) or pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind):
        return array
    children = []
    if pa.types.is_struct(kind):
        children = [array.field(i) for i in range(kind.num_fields)]
    elif kind.num_fields:
        children = [array.values]
    own = buffers[: len(buffers) - sum(len(child.buffers()) for child in children)]
    if str(kind) in ("string", "binary", "large_string", "large_binary"):
        # Arrow looks at their offsets also where there are nulls.
        own[2] = _written(own[2], len(TEXTS[0]), rubbish)
    elif not pa.types.is_list(kind) and not pa.types.is_large_list(kind) and not pa.types.is_map(kind):
        own[1:] = [
            _written(buffer, buffer.size // LENGTH or 1, rubbish)
            if number < 2 or _is_list_view(kind)
            else buffer
            for number, buffer in enumerate(own[1:], 1)
        ]
    return pa.Array.from_buffers(kind, LENGTH, [VALIDITY, *own[1:]], -1, 0, children)


def cases(some: str = "") -> Iterator[tuple[str, pa.Array]]:
    """Yield arrays with nulls hiding rubbish: at each level of each type, or some types, in each other."""
    for name, make in {**PLAIN, **EXTENSIONS}.items():
        for rubbish_name, rubbish in RUBBISH.items():
            if some not in name or (rubbish_name not in ("ones", "least") and "view" not in name):
                continue
            for outer, wrap in WRAPPERS.items():
                for level in ("inside", "outside", "both"):
                    array = make()
                    try:
                        if level != "outside":
                            array = poisoned(array, rubbish)
                        array = wrap(array)
                        if level != "inside":
                            array = poisoned(array, rubbish)
                        _check_schema_survives(pa.schema([("x", array.type)]))
                    except (pa.ArrowException, BridgeError):
                        continue  # Arrow does not build it, or its stream does not keep it
                    yield f"{name}, {rubbish_name}, {outer}, {level}", array


def use(table: pa.Table) -> None:
    """Do with a table of a peer what is done with tables."""
    table.to_pylist()
    table.combine_chunks()
    with contextlib.suppress(BridgeError):
        frame_of(table).to_string()
    with contextlib.suppress(BridgeError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        frame = polars_of(table)
        str(frame)
        for column in frame.iter_columns():
            column.to_list()
        frame.rechunk().to_arrow()
    codecs.encode(table)


def main(some: str = "") -> None:
    """Send each case in a stream that Arrow writes and by the codec, and use what came."""
    refused = done = 0
    for name, array in [*cases(some), ("of which little is shown", _mostly_hidden())]:
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        table = pa.table({"x": array})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        descriptor = {"kind": "table", "rows": LENGTH, "streams": [1]}
        try:
            use(codecs.decode(descriptor, [sink.getvalue()]))
        except BridgeError:
            refused += 1
        try:
            array.validate(full=True)
        except pa.ArrowException:
            continue  # also Arrow says what a list view has in the place of a null
        for part in (table, table.slice(1, 5)):
            came = codecs.decode(*codecs.encode(part))
            if not came.equals(part):
                raise ValueError(f"{name} came as {came}")
            use(came)
        done += 1
    sys.stdout.write(f"{done} done, {refused} refused\n")


def _mostly_hidden() -> pa.Array:
    """Return views that the encoder packs, for they hold far more than they show."""
    validity, views, _ = poisoned(PLAIN["string_view"](), RUBBISH["view of no buffer"]).buffers()
    return pa.Array.from_buffers(
        pa.string_view(), LENGTH, [validity, views, pa.py_buffer(TEXTS_OF_LARGE)]
    )


def _is_list_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def _written(buffer: pa.Buffer, width: int, rubbish: bytes) -> pa.Buffer:
    data = bytearray(buffer)
    for place in np.flatnonzero(IS_NULL).tolist():
        if len(data) >= (place + 1) * width:
            data[place * width : (place + 1) * width] = (rubbish * width)[:width]
    return pa.py_buffer(bytes(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
