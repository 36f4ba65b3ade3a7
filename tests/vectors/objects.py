"""The objects of which there are vectors: each name makes its object anew.

A name here is the name of a file in ``v1/objects``. Names are never given a new meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

STRINGS = np.dtypes.StringDType
BERLIN = ZoneInfo("Europe/Berlin")
SENSOR = np.dtype([("time", "<M8[us]"), ("id", "S3"), ("xyz", ">f4", (3,)), ("n", [("ok", "?")])])


def _integers(dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.array([limits.min, 0, 1, limits.max], dtype)


def _floats(dtype: str) -> np.ndarray:
    return np.array([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf], dtype)


def _name(dtype: str) -> str:
    return f"array-{np.dtype(dtype).name}" + "-big-endian" * dtype.startswith(">")


def _masked(data: Any, mask: Any = np.ma.nomask, **options: Any) -> Any:
    return np.ma.MaskedArray(np.array(data), mask, **options)


def _arrow(values: list[Any], kind: pa.DataType) -> Any:
    dtype: Any = pd.ArrowDtype(kind)
    return pd.array(values, dtype)


def _aligned() -> np.ndarray:
    # The bytes between the fields travel too; only zeros() says what they are.
    array = np.zeros(2, np.dtype([("flag", "i1"), ("value", "<f8")], align=True))
    array["flag"], array["value"] = [1, -1], [2.5, -2.5]
    return array


def _frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def _unique() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1.5, 2.5]}, index=["x", "y"])
    frame.attrs = {"source": "station 7", "gain": 2.5}
    return frame.set_flags(allows_duplicate_labels=False)


ARRAYS: dict[str, Callable[[], Any]] = {
    "array-bool": lambda: np.array([True, False, True]),
    **{
        _name(dtype): partial(_integers, dtype)
        for dtype in ("|i1", "|u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">i8", "<u8")
    },
    **{_name(dtype): partial(_floats, dtype) for dtype in ("<f2", "<f4", ">f4", "<f8", ">f8")},
    "array-complex64": lambda: np.array([1 - 2j, complex(np.nan, -0.0)], "<c8"),
    "array-complex128-big-endian": lambda: np.array([1 - 2j, 0], ">c16"),
    "array-datetime64-days": lambda: np.array(["1969-12-31", "2024-02-29", "NaT"], "<M8[D]"),
    "array-datetime64-ns-big-endian": lambda: np.array(["2024-02-29T12:00:00.000000001"], ">M8[ns]"),
    "array-datetime64-25us": lambda: np.array([0, 3, "NaT"], "<M8[25us]"),
    "array-datetime64-generic": lambda: np.array(["NaT"], "<M8"),
    "array-timedelta64-s": lambda: np.array([1, -1, "NaT"], "<m8[s]"),
    "array-bytes": lambda: np.array([b"a", b"", b"\xff\x00b"], "|S4"),
    "array-text": lambda: np.array(["Größe", "", "\U0001f321"], "<U5"),
    "array-text-big-endian": lambda: np.array(["ab", "ü"], ">U2"),
    "array-void": lambda: np.array([b"abc", b"\x00\x00\x01"], "|V3"),
    "array-structured": lambda: np.array(
        [(0, b"a", (1, 2, 3), (True,)), (1, b"bcd", (4, 5, 6), (False,))], SENSOR
    ),
    "array-structured-aligned": _aligned,
    "array-structured-with-a-title": lambda: np.array(
        [(1.5,)], np.dtype([(("degrees Celsius", "t"), "<f8")])
    ),
    "array-strings": lambda: np.array(
        ["Größe", "", "a long text of more than sixteen bytes"], STRINGS()
    ),
    "array-strings-missing": lambda: np.array(["a", None, ""], STRINGS(na_object=None)),
    "array-strings-without-coercion": lambda: np.array(["a"], STRINGS(coerce=False)),
    "array-0-d": lambda: np.array(3.5),
    "array-empty": lambda: np.empty((3, 0, 2), "<i2"),
    "array-2-d": lambda: np.arange(6, dtype="<i4").reshape(2, 3),
    "array-fortran-order": lambda: np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)),
    "scalar-float64": lambda: np.float64(0.1),
    "scalar-int8": lambda: np.int8(-3),
    "scalar-text": lambda: np.str_("Größe"),
    "scalar-bytes": lambda: np.bytes_(b"a\xff\x00"),
    "scalar-datetime64": lambda: np.datetime64("2024-02-29T12:00", "ns"),
    "scalar-structured": lambda: np.array([(1, b"a", (1, 2, 3), (True,))], SENSOR)[0],
    "masked": lambda: _masked([1.5, 2.5, 3.5], [0, 1, 0], fill_value=-1.0),
    "masked-without-a-mask": lambda: _masked(np.array([1, 2], "<i4"), hard_mask=True),
    "masked-constant": lambda: np.ma.masked,
}

PANDAS: dict[str, Callable[[], Any]] = {
    "frame-floats": lambda: pd.DataFrame(np.arange(6.0).reshape(3, 2), columns=[10, 20]),
    "frame-mixed": lambda: _frame(
        n=np.array([1, 2], "<i8"), x=[0.5, np.nan], s=["a", None], b=[True, False]
    ),
    "frame-dates": lambda: _frame(
        utc=pd.to_datetime(["2024-01-01", "NaT"], utc=True).as_unit("us"),
        local=pd.date_range("2024-10-27", periods=2, freq="h", tz="UTC", unit="ns").tz_convert(BERLIN),
        naive=pd.date_range("2024-01-01", periods=2, unit="s"),
        span=pd.to_timedelta([1, -1], unit="s"),
    ),
    "frame-categories": lambda: _frame(
        c=pd.Categorical(["b", None, "a"], ["a", "b", "unused"]),
        o=pd.Categorical([2, 1, 2], [1, 2], ordered=True),
    ),
    "frame-nullable": lambda: _frame(
        i=pd.array([1, None], "Int64"),
        b=pd.array([True, None], "boolean"),
        f=pd.array([0.5, None], "Float32"),
    ),
    "frame-intervals-and-periods": lambda: _frame(
        i=pd.arrays.IntervalArray.from_breaks([0.0, 1.5, 3.0], closed="left"),
        p=pd.period_range("2024-01", periods=2, freq="M"),
    ),
    "frame-sparse": lambda: _frame(s=pd.arrays.SparseArray([0.0, 0.0, 2.5])),
    "frame-complex": lambda: _frame(c=np.array([1 - 2j, 0])),
    "frame-arrow": lambda: _frame(
        l=_arrow([[1, 2], None], pa.list_(pa.int64())),
        d=_arrow([Decimal("1.50"), None], pa.decimal128(5, 2)),
    ),
    "frame-objects": lambda: _frame(
        o=pd.Series([None, np.nan, pd.NA, pd.NaT, "a", b"b", 3], dtype=object)
    ),
    "frame-objects-of-text": lambda: _frame(o=pd.Series(["a", "b"], dtype=object)),
    "frame-objects-of-python": lambda: _frame(
        o=pd.Series([Decimal("1.50"), date(2024, 2, 29), [1, {"k": (2,)}]], dtype=object)
    ),
    "frame-multiindex": lambda: pd.DataFrame(
        [[1.5, 2.5]],
        pd.MultiIndex.from_tuples([("a", 1)], names=["letter", None]),
        pd.MultiIndex.from_product([["x"], [1, 2]]),
    ),
    "frame-duplicate-columns": lambda: pd.DataFrame([[1, 2.5]], columns=[7, 7]),
    "frame-without-rows": lambda: _frame(a=np.array([], "<f8"), s=pd.Series([], dtype="str")),
    "frame-without-columns": lambda: pd.DataFrame(index=pd.RangeIndex(3)),
    "frame-attrs-and-flags": _unique,
    "series": lambda: pd.Series(np.array([1.5, 2.5]), index=[3, 7], name="pressure"),
    "series-string": lambda: pd.Series(["a", None], dtype=pd.StringDtype("python"), name=("a", 1)),
    "series-category": lambda: pd.Series(pd.Categorical(["a", "b", "a"])),
    "index-range": lambda: pd.RangeIndex(1, 10, 3, name="row"),
    "index-integers": lambda: pd.Index(np.array([3, 1, 3], "<i4")),
    "index-text": lambda: pd.Index(["b", "a"], name="who"),
    "index-mixed": lambda: pd.Index(["a", 1, None, (2, "b")], dtype=object, tupleize_cols=False),
    "index-dates-with-freq": lambda: pd.date_range("2024-01-31", periods=3, freq="ME", unit="s"),
    "index-timedeltas": lambda: pd.timedelta_range("1h", periods=2, freq="30min"),
    "index-periods": lambda: pd.period_range("2024Q1", periods=2, freq="Q"),
    "index-categories": lambda: pd.CategoricalIndex(["b", "a", "b"], name="c"),
    "index-intervals": lambda: pd.IntervalIndex.from_breaks(np.array([0, 1, 2], "<i8"), closed="both"),
    "index-multi": lambda: pd.MultiIndex.from_arrays(
        [["a", "a", "b"], np.array([1, 2, 1], "<i8")], names=["letter", "number"]
    ),
    "extension-masked": lambda: pd.array([1, None, 3], "UInt8"),
    "extension-period": lambda: pd.period_range("2024-01-01", periods=2, freq="D").array,
    "scalar-timestamp": lambda: (
        pd.Timestamp("2024-10-27 01:30", tz="UTC").as_unit("ns").tz_convert(BERLIN)
    ),
    "scalar-timedelta": lambda: pd.Timedelta(-1, "s").as_unit("us"),
    "scalar-period": lambda: pd.Period("2024-01", "M"),
    "scalar-interval": lambda: pd.Interval(0, 1.5, "neither"),
    "scalar-nat": lambda: pd.NaT,
    "scalar-na": lambda: pd.NA,
}

ARROW: dict[str, Callable[[], Any]] = {
    "table": lambda: pa.table(
        {"n": pa.array([1, None, 3], pa.int64()), "s": pa.array(["a", "ü", None], pa.string())}
    ),
    "table-nested": lambda: pa.table(
        {"l": pa.array([[1], None, []], pa.list_(pa.int8())), "st": [{"a": 1.5}, None, {"a": None}]}
    ),
    "table-dictionary": lambda: pa.table({"d": pa.array(["a", "b", "a", None]).dictionary_encode()}),
    "table-metadata": lambda: pa.table(
        {"x": pa.array([1], pa.int32())},
        pa.schema(
            [pa.field("x", pa.int32(), nullable=False, metadata={"unit": "m"})], metadata={"k": "v"}
        ),
    ),
    "table-of-different-chunks": lambda: pa.table(
        {
            "a": pa.chunked_array([[1], [2, 3]], pa.int64()),
            "b": pa.chunked_array([[True, False, None]], pa.bool_()),
        }
    ),
    "table-without-columns": lambda: pa.table({"x": [1, 2, 3]}).select([]),
    "table-without-rows": lambda: pa.table({"x": pa.array([], pa.timestamp("us", "UTC"))}),
    "batch": lambda: pa.record_batch({"a": pa.array([1, 2], pa.int16()), "n": pa.nulls(2)}),
    "arrow-chunked": lambda: pa.chunked_array([[1.5], [], [None]], pa.float64()),
    "arrow-array": lambda: pa.array([b"a", None, b"\xff"], pa.binary()),
}

SPARSE: dict[str, Callable[[], Any]] = {
    "sparse-csr-array": lambda: sparse.csr_array(np.array([[0, 1.5, 0], [2.5, 0, 0]])),
    "sparse-csc-matrix": lambda: sparse.csc_matrix(np.array([[0, 1], [2, 0]], "<i2")),
    "sparse-coo-array-with-a-duplicate": lambda: sparse.coo_array(
        (np.array([1.0, 2.0]), (np.array([0, 0], "<i4"), np.array([1, 1], "<i4"))), shape=(2, 3)
    ),
}

TREES: dict[str, Callable[[], Any]] = {
    "tree-none": lambda: None,
    "tree-plain": lambda: {"b": [1, 2.5, True, None, "Größe"], "": {}},
    "tree-integers": lambda: [2**63 - 1, -(2**63), 2**64, -(10**30)],
    "tree-floats": lambda: [0.1, -0.0, 1.0, float("nan"), float("inf"), float("-inf")],
    "tree-tuples": lambda: (1, (), ("a", [2])),
    "tree-bytes": lambda: [b"", b"\x00\xff"],
    "tree-long-bytes": lambda: [b"abcd" * 1500, b"short"],
    "tree-lone-surrogate": lambda: ["\ud800", "after"],
    "tree-special-keys": lambda: {"$tuple": {"$dict": 1}},
    "tree-two-special-keys": lambda: {"$tuple": 1, "$int": "ff"},
    "tree-dates": lambda: [
        date(2024, 2, 29),
        datetime(2024, 2, 29, 23, 59, 59, 1),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
        time(23, 59, 59),
        timedelta(days=-1, seconds=3, microseconds=5),
    ],
    "tree-decimals": lambda: [
        Decimal("-1.50E+3"),
        Decimal("0.10"),
        Decimal("NaN"),
        Decimal("-Infinity"),
    ],
    "tree-uuid": lambda: UUID("12345678-1234-5678-1234-567812345678"),
    "tree-of-objects": lambda: {
        "x": np.arange(3, dtype="<i4"),
        "rest": (np.float32(1.5), [b"y" * 5000], np.array(["a"], "<U1")),
    },
    "tree-in-a-buffer": lambda: ["a text that is repeated until no header holds it"] * 400,
}

OBJECTS = {**ARRAYS, **PANDAS, **ARROW, **SPARSE, **TREES}
