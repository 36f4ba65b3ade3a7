"""Arrow tables, batches and arrays of every type, and what "identical" means for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

TEXTS = ["", "a", "longer than twelve bytes", "Größe", None, "\x00"]
BYTES = [b"", b"a", b"longer than twelve bytes", b"\xff\x00", None]
LISTS = [[1, 2], [], None, [3, None]]
STRUCT = pa.struct([("a", pa.int8()), ("b", pa.string())])
STRUCTS = [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]


def _column(values: Iterable[Any], kind: pa.DataType) -> Callable[[], pa.Table]:
    return lambda: pa.table({"x": pa.array(values, kind)})


def _codes(values: list[str], indices: list[int | None], *, ordered: bool = False) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int8()), pa.array(values), ordered=ordered
    )


def _dense_union() -> pa.Array:
    return pa.UnionArray.from_dense(
        pa.array([0, 1, 1, 0], pa.int8()),
        pa.array([0, 0, 1, 1], pa.int32()),
        [pa.array([1, None]), pa.array(["x", "y"])],
        ["number", "text"],
    )


def _sparse_union() -> pa.Array:
    return pa.UnionArray.from_sparse(
        pa.array([5, 9, 5], pa.int8()),
        [pa.array([1, None, 3]), pa.array(["x", "y", "z"])],
        ["number", "text"],
        [5, 9],
    )


def _run_end_encoded() -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 7], pa.int16()), pa.array(["a", None, "b"]))


def _with_metadata() -> pa.Table:
    inner = pa.field("inner", pa.int32(), metadata={"unit": "m"})
    schema = pa.schema(
        [
            pa.field("x", pa.int64(), nullable=False, metadata={b"\xff": b"\x00", "unit": "s"}),
            pa.field("nested", pa.struct([inner])),
        ],
        metadata={"pandas": "{}", "": "empty key", "ARROW:extension:name": "not of a field"},
    )
    return pa.table({"x": [1], "nested": [{"inner": 2}]}, schema=schema)


def _large() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "f": rng.random(50_000),
            "i": rng.integers(0, 9, 50_000),
            "s": rng.integers(0, 10**9, 50_000).astype(str),
            "b": rng.random(50_000) < 0.5,
        }
    )


def _different_chunks() -> pa.Table:
    return pa.table(
        {
            "a": pa.chunked_array([[1, 2], [], [3, None]]),
            "b": pa.chunked_array([["x"], ["y", "z", None]]),
            "c": pa.chunked_array([[1.0, 2.0], [], [3.0, 4.0]]),
            "d": [True, False, True, None],
        },
        schema=pa.schema(
            [("a", pa.int64()), ("b", pa.string()), ("c", pa.float64()), ("d", pa.bool_())],
            metadata={"of": "the table"},
        ),
    )


SAMPLES: dict[str, Callable[[], Any]] = {
    **{
        f"{kind} column": _column([1, None, 0], kind)
        for kind in (
            pa.int8(),
            pa.int16(),
            pa.int32(),
            pa.int64(),
            pa.uint8(),
            pa.uint16(),
            pa.uint32(),
            pa.uint64(),
            pa.float32(),
            pa.float64(),
            pa.date32(),
            pa.time32("s"),
            pa.time32("ms"),
            pa.time64("us"),
            pa.time64("ns"),
            pa.duration("s"),
            pa.duration("ns"),
            pa.timestamp("s"),
            pa.timestamp("ms", "UTC"),
            pa.timestamp("us", "+05:30"),
            pa.timestamp("ns", "Europe/Berlin"),
        )
    },
    **{
        f"{kind} column": _column(TEXTS, kind)
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        f"{kind} column": _column(BYTES, kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view())
    },
    **{
        f"{kind} column": _column(LISTS, kind)
        for kind in (
            pa.list_(pa.int32()),
            pa.large_list(pa.int32()),
            pa.list_view(pa.int32()),
            pa.large_list_view(pa.int32()),
            pa.list_(pa.field("of its own name", pa.int8(), metadata={"k": "v"})),
        )
    },
    **{
        f"{kind} column": _column([Decimal("1.20"), None, Decimal("-0.01")], kind)
        for kind in (
            pa.decimal32(5, 2),
            pa.decimal64(15, 2),
            pa.decimal128(38, 2),
            pa.decimal256(76, 2),
        )
    },
    "bool column": _column([True, None, False], pa.bool_()),
    "float16 column": _column(np.array([1.5, -0.0, np.inf, np.nan], np.float16), pa.float16()),
    "nan and negative zero": _column([float("nan"), -0.0, 0.0, None], pa.float64()),
    "date64 column": _column([date(2024, 2, 29), None], pa.date64()),
    "null column": _column([None, None], pa.null()),
    "fixed-size binary column": _column([b"ab", None, b"cd"], pa.binary(2)),
    "fixed-size binary of no bytes": _column([b"", None], pa.binary(0)),
    "fixed-size list column": _column([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)),
    "fixed-size list of nothing": _column([[], None], pa.list_(pa.int8(), 0)),
    "struct column": _column(STRUCTS, STRUCT),
    "struct without fields": _column([{}, None], pa.struct([])),
    "struct with a field name twice": _column(
        [None], pa.struct([pa.field("a", pa.int8()), pa.field("a", pa.string())])
    ),
    "map column": _column([[("a", 1)], [], None], pa.map_(pa.string(), pa.int32())),
    "map with sorted keys": _column([[("a", 1)]], pa.map_(pa.string(), pa.int32(), keys_sorted=True)),
    "interval column": _column([pa.MonthDayNano([1, -2, 3]), None], pa.month_day_nano_interval()),
    "dense union column": lambda: pa.table({"x": _dense_union()}),
    "sparse union column": lambda: pa.table({"x": _sparse_union()}),
    "run-end encoded column": lambda: pa.table({"x": _run_end_encoded()}),
    "list of structs of lists": _column(
        [[{"a": [1, None]}, None], None, []], pa.list_(pa.struct([("a", pa.list_(pa.int8()))]))
    ),
    "dictionary column": lambda: pa.table({"x": _codes(["a", "b"], [0, None, 1, 0])}),
    "ordered dictionary": lambda: pa.table({"x": _codes(["b", "a"], [0, 1], ordered=True)}),
    "dictionary with unused and null values": lambda: pa.table(
        {
            "x": pa.DictionaryArray.from_arrays(
                pa.array([0, 1], pa.uint32()), pa.array([None, "a", "unused"])
            )
        }
    ),
    "different dictionaries in chunks": lambda: pa.table(
        {
            "x": pa.chunked_array(
                [
                    _codes(["a", "b"], [0, 1]),
                    _codes(["c"], [0]),
                    _codes(["c", "d"], [1, None]),
                    _codes(["a", "b"], [1]),
                ]
            )
        }
    ),
    "dictionary of structs": lambda: pa.table(
        {"x": pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array(STRUCTS, STRUCT))}
    ),
    "list of dictionaries": lambda: pa.table(
        {"x": pa.ListArray.from_arrays([0, 1, 3], _codes(["a", "b"], [0, 1, None]))}
    ),
    "dictionary without chunks": lambda: pa.Table.from_batches(
        [], pa.schema([("x", pa.dictionary(pa.int8(), pa.string()))])
    ),
    "schema and field metadata": _with_metadata,
    "not nullable, with a null": lambda: pa.Table.from_arrays(
        [pa.array([1, None])], schema=pa.schema([pa.field("x", pa.int64(), nullable=False)])
    ),
    "duplicate and empty column names": lambda: pa.table([[1], [2], [3]], names=["a", "a", ""]),
    "many columns": lambda: pa.table({f"column {i}": [i] for i in range(2_000)}),
    "no columns, no rows": lambda: pa.table({}),
    "no columns, 1000 rows": lambda: pa.table({"x": range(1000)}).select([]),
    "no columns, 5 rows, metadata": lambda: pa.table(
        {"x": range(5)}, schema=pa.schema([("x", pa.int8())], metadata={"k": "v"})
    ).select([]),
    "no rows": lambda: pa.table({"x": pa.array([], pa.int64()), "y": pa.array([], pa.string())}),
    "no chunks": lambda: pa.Table.from_batches([], pa.schema([("x", pa.int64())])),
    "empty chunks": lambda: pa.table({"x": pa.chunked_array([[], [1], [], []], pa.int64())}),
    "many chunks": lambda: pa.table({"x": pa.chunked_array([[i] for i in range(1_000)])}),
    "columns with different chunks": _different_chunks,
    "large": _large,
    "slice": lambda: _large().slice(12_345, 6_789),
    "slice of chunks": lambda: _different_chunks().slice(1, 2),
    "slice of views": lambda: pa.table(
        {"x": pa.array([f"a text of more than 12 bytes {i}" for i in range(9_999)], pa.string_view())}
    ).slice(500, 7),
    "slice of unions": lambda: pa.table({"x": _dense_union()}).slice(1, 2),
    "slice of runs": lambda: pa.table({"x": _run_end_encoded()}).slice(1, 4),
    "slice of lists": lambda: pa.table({"x": pa.array(LISTS * 9)}).slice(2, 13),
    "record batch": lambda: pa.record_batch({"x": [1, None], "y": ["a", "b"]}),
    "sliced record batch": lambda: pa.record_batch({"x": range(100)}).slice(3, 5),
    "record batch without columns": lambda: pa.record_batch({"x": [1, 2]}).select([]),
    "record batch without columns and rows": lambda: pa.record_batch({"x": [1]}).slice(1).select([]),
    "record batch without rows": lambda: pa.record_batch({"x": pa.array([], pa.string())}),
    "array": lambda: pa.array([1, None, 3]),
    "sliced array": lambda: pa.array(TEXTS)[1:4],
    "array of structs": lambda: pa.array(STRUCTS, STRUCT),
    "array of dictionary codes": lambda: _codes(["a", "b"], [0, 1]),
    "array of nulls": lambda: pa.nulls(5),
    "empty array": lambda: pa.array([], pa.list_(pa.int8())),
    "chunked array": lambda: pa.chunked_array([[1], [], [2, None]]),
    "chunked array without chunks": lambda: pa.chunked_array([], pa.string()),
    "bool8 extension": lambda: pa.table(
        {"x": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None], pa.int8()))}
    ),
    "uuid extension": lambda: pa.table(
        {"x": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16)))}
    ),
    "json extension": lambda: pa.table(
        {"x": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None]))}
    ),
    "opaque extension": lambda: pa.table(
        {
            "x": pa.ExtensionArray.from_storage(
                pa.opaque(pa.binary(), "geometry", "somebody"), pa.array([b"a", None])
            )
        }
    ),
    "tensor extension": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.arange(24.0).reshape(2, 3, 4), dim_names=["x", "y"]
    ),
    "list of extensions": lambda: pa.ListArray.from_arrays(
        [0, 2], pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1], pa.int8()))
    ),
}


class Opened(pa.ExtensionType):  # type: ignore[misc]
    """An extension type of somebody's own. Counts how often it is made from a peer's bytes."""

    made = 0

    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.opened")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Opened:
        cls.made += 1
        return cls()


def _too_deep() -> pa.Array:
    kind = pa.int8()
    for _ in range(70):
        kind = pa.list_(kind)
    return pa.array([None], kind)


class Broken:
    """A producer of a stream that fails."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise RuntimeError("the source is gone")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "scalar": (lambda: pa.scalar(1), "as_py()"),
    "tensor": (lambda: pa.Tensor.from_numpy(np.ones((2, 2))), "to_numpy()"),
    "schema": (lambda: pa.schema([]), "empty_table()"),
    "type": (pa.int8, "Table"),
    "buffer": (lambda: pa.py_buffer(b"a"), "numpy.frombuffer"),
    "extension type of somebody's own": (
        lambda: pa.table({"x": pa.ExtensionArray.from_storage(Opened(), pa.array([1]))}),
        "array.storage",
    ),
    "extension type inside a list": (
        lambda: pa.ListArray.from_arrays(
            [0, 1], pa.ExtensionArray.from_storage(Opened(), pa.array([1]))
        ),
        "array.storage",
    ),
    "metadata that names an extension type": (
        lambda: pa.schema(
            [pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "tests.opened"})]
        ).empty_table(),
        "remove_metadata()",
    ),
    "dictionary of dictionaries": (
        lambda: pa.DictionaryArray.from_arrays(pa.array([0, 1]), _codes(["a", "b"], [1, 0])),
        "dictionary_decode()",
    ),
    "deeper than Arrow writes": (_too_deep, "depth"),
    "polars Series": (lambda: pl.Series("x", [1, 2]), "Arrow table"),
    "producer that fails": (Broken, "the source is gone"),
}


def of_intervals(name: str) -> pa.Table:
    """Return a table of a type that pyarrow reads, but does not make."""
    table = pa.table({"x": pa.array([None], pa.month_day_nano_interval())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream = sink.getvalue().to_pybytes()
    for at in (i for i, byte in enumerate(stream[:400]) if byte == 2):  # of the unit
        with suppress(pa.ArrowException, OSError):
            unit = bytes([name == "day_time_interval"])
            reader = pa.ipc.open_stream(stream[:at] + unit + stream[at + 1 :])
            if str(reader.schema.field(0).type) == name:
                return reader.read_all()
    raise LookupError(f"no byte of the schema makes it {name}")


def difference(a: Any, b: Any) -> str | None:
    """Say how `b` differs from `a`, or None: schema, metadata, chunks, dictionaries and values."""
    if type(a) is not type(b):
        return f"{type(b).__name__}, was {type(a).__name__}"
    if isinstance(a, pa.Table | pa.RecordBatch):
        if not a.schema.equals(b.schema, check_metadata=True):
            return f"schema {b.schema}, was {a.schema}"
        if a.num_rows != b.num_rows:
            return f"{b.num_rows} rows, were {a.num_rows}"
        pairs = enumerate(zip(a.columns, b.columns, strict=True))
        return _first(f"column {i}: {found}" for i, (x, y) in pairs if (found := difference(x, y)))
    if a.type != b.type:
        return f"type {b.type}, was {a.type}"
    if isinstance(a, pa.ChunkedArray):
        if (lengths := list(map(len, b.chunks))) != list(map(len, a.chunks)):
            return f"chunks of {lengths}, were {list(map(len, a.chunks))}"
        pairs = enumerate(zip(a.chunks, b.chunks, strict=True))
        return _first(f"chunk {i}: {found}" for i, (x, y) in pairs if (found := difference(x, y)))
    if isinstance(a, pa.DictionaryArray) and (found := difference(a.dictionary, b.dictionary)):
        return f"dictionary: {found}"
    # Not equals(): it takes 0.0 for -0.0, and tells nan from nan.
    return None if repr(a.to_pylist()) == repr(b.to_pylist()) else f"{b}, was {a}"


def _first(found: Iterator[str]) -> str | None:
    return next(found, None)
