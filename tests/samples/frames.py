"""Objects of pandas of every kind, and what "identical" means for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from tests import check

# Without its type stubs: they refuse much that pandas takes, and samples are made of that.
pd: Any = import_module("pandas")

NAN, NA, NAT = np.nan, pd.NA, pd.NaT
PARIS = ZoneInfo("Europe/Paris")
NUMBERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "c8", "c16")
UNITS = ("s", "ms", "us", "ns")
STRS = ["", "a", "Größe", "日本", "\x00", "a longer text"]
PERIODS = ("D", "M", "2M", "Q-MAR", "Y-DEC", "W-SUN", "W-WED", "h", "5min", "s", "ms", "us", "ns")
FREQUENCIES = (
    *("D", "3D", "h", "-6h", "min", "s", "ms", "us", "B", "W", "W-WED", "2W-SUN", "ME", "MS", "BME"),
    *("BMS", "SME", "SMS", "SMS-10", "QE", "QS-FEB", "BQE", "BQS", "YE", "YS-APR", "BYE", "BYS"),
    *("WOM-2TUE", "LWOM-FRI"),
)


def _each(
    label: str, make: Callable[[Any], Any], options: Iterable[Any]
) -> dict[str, Callable[[], Any]]:
    return {label.format(option): partial(make, option) for option in options}


def _each_column(
    label: str, make: Callable[[Any], Any], but: tuple[str, ...] = ()
) -> dict[str, Callable[[], Any]]:
    def made(kind: str) -> Any:
        return make(COLUMNS[kind]())

    return _each(label, made, (kind for kind in COLUMNS if kind not in but))


def _series_of(values: Any) -> Any:
    # Of an object array, pandas would guess the dtype.
    return pd.Series(values, dtype=values.dtype, copy=False, name="x")


def _objects(*values: Any) -> Callable[[], Any]:
    def make() -> Any:
        array = np.empty(len(values), object)
        for row, value in enumerate(values):
            array[row] = value
        return array

    return make


def _array(values: Any, dtype: Any) -> Callable[[], Any]:
    return lambda: pd.array(values, dtype=dtype)


def _arrow(values: Any, kind: pa.DataType) -> Callable[[], Any]:
    return lambda: pd.arrays.ArrowExtensionArray(pa.array(values, kind))


def _chunked(kind: pa.DataType) -> Any:
    return pa.chunked_array([["a", None], [], ["b"]], kind)


# The values of one column, by their kind.
COLUMNS: dict[str, Callable[[], Any]] = {
    "bool": lambda: np.array([True, False]),
    **_each("{}", lambda kind: np.array([0, 1, 100], kind), NUMBERS),
    "f8": lambda: np.array([0.0, -0.0, np.inf, -np.inf, 5e-324, NAN, 0.1]),
    "nan payloads": lambda: np.array([0x7FF8_0000_0000_0001, 0xFFF8_0000_0000_0000], "u8").view("f8"),
    "largest u8": lambda: np.array([2**64 - 1, 2**53 + 1], "u8"),
    "big-endian": lambda: np.array([1.5, NAN], ">f8"),
    "fixed bytes": lambda: np.array([b"a", b"bc"], "S3"),
    "strided": lambda: np.arange(20)[::2],
    "reversed": lambda: np.arange(20.0)[::-1],
    "read-only": lambda: np.frombuffer(bytes(80), np.int64),
    **_each("datetime {}", lambda unit: np.array(["2024-02-29T12:34:56", "NaT"], f"M8[{unit}]"), UNITS),
    **_each("timedelta {}", lambda unit: np.array([-1, 0, "NaT"], f"m8[{unit}]"), UNITS),
    "datetime UTC": lambda: pd.array(pd.date_range("2024", periods=3, tz="UTC")),
    "datetime zone": lambda: pd.array(pd.to_datetime(["2024-03-31 01:30", None]).tz_localize(PARIS)),
    "datetime zone UTC": lambda: pd.array(pd.date_range("2024", periods=2, tz=ZoneInfo("UTC"))),
    "datetime zone ns": lambda: pd.array(pd.date_range("2024", periods=2, tz=PARIS, unit="ns")),
    "datetime ambiguous": lambda: pd.array(
        pd.date_range("2024-10-26 23:00", periods=4, freq="30min", tz="UTC").tz_convert(PARIS)
    ),
    "datetime fixed offset": lambda: pd.array(
        pd.date_range("2024", periods=2, tz=timezone(timedelta(hours=-3, minutes=-30)))
    ),
    "datetime named offset": lambda: pd.array(
        pd.date_range("2024", periods=2, tz=timezone(timedelta(hours=1), "CET"))
    ),
    **_each("period {}", lambda freq: pd.array(pd.period_range("2024", periods=3, freq=freq)), PERIODS),
    "period missing": _array(["2024-01", None], "period[M]"),
    "category": lambda: pd.Categorical(["b", None, "a"], categories=["c", "b", "a"]),
    "category ordered": lambda: pd.Categorical([3, 1, 2], ordered=True),
    "category numbers": lambda: pd.Categorical([1.5, NAN, -0.0]),
    "category dates": lambda: pd.Categorical(pd.date_range("2024", periods=3, freq="MS")),
    "category intervals": lambda: pd.Categorical(pd.cut([1, 5, 9], 3)),
    "category mixed": lambda: pd.Categorical(["a", 1, (2, 3)], categories=[(2, 3), 1, "a"]),
    "category named": lambda: pd.Categorical(["a"], categories=pd.Index(["a", "b"], name="letter")),
    "category many": lambda: pd.Categorical(np.arange(300) % 200),
    "category empty": lambda: pd.Categorical([]),
    "category all missing": lambda: pd.Categorical([None, None], categories=["x"]),
    **{
        kind: _array([1, None, 100], kind)
        for kind in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    },
    "Float32": _array([1.5, None, -0.0], "Float32"),
    "Float64 with nan": lambda: pd.arrays.FloatingArray(
        np.array([NAN, 1.0, 7.0]), np.array([False, False, True])
    ),
    "boolean": _array([True, None, False], "boolean"),
    **_each(
        "interval {}",
        lambda closed: pd.arrays.IntervalArray.from_breaks([0, 1, 5], closed=closed),
        ("left", "right", "both", "neither"),
    ),
    "interval floats": lambda: pd.arrays.IntervalArray.from_tuples([(0.5, 1.5), NAN, (2.0, 2.0)]),
    "interval int32": lambda: pd.arrays.IntervalArray.from_breaks(np.array([0, 1, 2], np.int32)),
    "interval dates": lambda: pd.arrays.IntervalArray.from_breaks(pd.date_range("2024", periods=3)),
    "interval zone": lambda: pd.arrays.IntervalArray.from_breaks(
        pd.date_range("2024", periods=3, tz=PARIS)
    ),
    "interval durations": lambda: pd.arrays.IntervalArray.from_breaks(
        pd.timedelta_range("1h", periods=3)
    ),
    "sparse ints": lambda: pd.arrays.SparseArray([0, 0, 7, 0]),
    "sparse floats": lambda: pd.arrays.SparseArray([NAN, 1.0, NAN, -0.0]),
    "sparse bools": lambda: pd.arrays.SparseArray([False, True, False]),
    "sparse fill": lambda: pd.arrays.SparseArray([3, 3, 1], fill_value=3),
    "sparse runs": lambda: pd.arrays.SparseArray([0, 1, 1, 0, 1], kind="block"),
    "sparse nothing": lambda: pd.arrays.SparseArray([0, 0]),
    "sparse dates": lambda: pd.arrays.SparseArray(np.array(["2024", "NaT"], "M8[ns]")),
    "sparse objects": lambda: pd.arrays.SparseArray(np.array(["a", None, "b"], object)),
    "str": _array([*STRS, None], "str"),
    "str without missing": _array(STRS, "str"),
    "str all missing": _array([None, None], "str"),
    "str sliced": lambda: pd.array([*STRS, None, "é"], dtype="str")[3:],
    "str chunked": lambda: pd.arrays.ArrowStringArray(
        _chunked(pa.large_string()), dtype=pd.StringDtype("pyarrow", na_value=NAN)
    ),
    "string[pyarrow]": _array([*STRS, None], "string[pyarrow]"),
    "string[python]": _array([*STRS, None], "string[python]"),
    "string[python] nan": _array([*STRS, None], pd.StringDtype("python", na_value=NAN)),
    "arrow int64": _arrow([1, None, 3], pa.int64()),
    "arrow string": _arrow(["a", None], pa.string()),
    "arrow large_string": _arrow(["a", None], pa.large_string()),
    "arrow chunked": lambda: pd.arrays.ArrowExtensionArray(_chunked(pa.string())),
    "arrow timestamp": _arrow([datetime(2024, 1, 1), None], pa.timestamp("us", "Europe/Paris")),
    "arrow decimal": _arrow([Decimal("1.50"), None], pa.decimal128(10, 2)),
    "arrow date": _arrow([date(2024, 2, 29), None], pa.date32()),
    "arrow list": _arrow([[1, 2], [], None], pa.list_(pa.int64())),
    "arrow struct": _arrow(
        [{"a": 1, "b": ["x"]}, None], pa.struct({"a": pa.int8(), "b": pa.list_(pa.string())})
    ),
    "arrow map": _arrow([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    "arrow dictionary": lambda: pd.arrays.ArrowExtensionArray(
        pa.array(["a", "b", "a"]).dictionary_encode()
    ),
    "arrow null": _arrow([None, None], pa.null()),
    "object str": _objects("a", "Größe", ""),
    "object str and every missing": _objects("a", None, NAN, NA, NAT, ""),
    "object missing alone": _objects(None, None),
    "object nan alone": _objects(NAN, NAN),
    "object lone surrogate": _objects("\ud800", "a"),
    "object bytes": _objects(b"", b"\xff\x00", None),
    "object Decimal": _objects(Decimal("1.50"), Decimal("NaN"), Decimal("-0"), None),
    "object date": _objects(date(1, 1, 1), date(9999, 12, 31), None),
    "object time": _objects(time(1, 2, 3), time(1, tzinfo=UTC)),
    "object datetime": _objects(datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=PARIS), NAT),
    "object timedelta": _objects(timedelta(1), timedelta(microseconds=-1)),
    "object UUID": _objects(UUID(int=5), None),
    "object numbers": _objects(True, 1, 1.0, 2**64, -(2**63), 2**63 - 1, -0.0, NAN, None),
    "object bools": _objects(True, None, False),
    "object lists": _objects([1, "a", None], [], None),
    "object equal lists": _objects([1, 2], [3, 4]),
    "object tuples": _objects((1, (2, 3)), ("a",)),
    "object dicts": _objects({"a": [1, {"b": None}]}, {}),
    "object arrays": _objects(np.arange(3), np.zeros((2, 2), ">f4")),
    "object numpy scalars": _objects(np.int8(1), np.float64(2), np.str_("a"), np.datetime64("NaT")),
    "object scalars of pandas": _objects(
        pd.Timestamp("2024", tz=PARIS), pd.Timedelta("1ns"), pd.Period("2024-01", "M"), pd.Interval(0, 1)
    ),
    "object frames": _objects(pd.DataFrame({"a": [1]}), None),
    "object of everything": _objects("a", 1, None, b"x", 1.5, True, date(2024, 1, 1), [1], NA),
    "object empty": _objects(),
}


def _rich(n: int = 5) -> Any:
    rows = np.arange(n)
    return pd.DataFrame(
        {
            "time": pd.date_range("2024", periods=n, freq="h", tz=PARIS),
            "name": [f"name {row % 7}" for row in rows],
            "kind": pd.Categorical(rows % 3),
            "count": rows,
            "weight": rows / 7,
            "ok": rows % 2 == 0,
            "maybe": pd.array([None if row % 5 == 0 else row for row in rows], dtype="Int32"),
        }
    )


def _unconsolidated() -> Any:
    frame = pd.DataFrame(index=range(4))
    for column in "abcde":
        frame[column] = np.arange(4.0)
    return frame


def _with_attrs(frame: Any) -> Any:
    frame.attrs = {"unit": "m", "origin": {"when": pd.Timestamp("2024"), "tags": ["a", ("b",)]}}
    return frame


def _multi(**options: Any) -> Any:
    return pd.MultiIndex.from_product([["b", "a"], [1, 2]], **options)


def wide(width: int) -> Any:
    """Build a frame of two rows and many columns, each of another dtype than the ones beside it."""
    kinds = [np.arange(2), np.array([1.5, NAN]), pd.array(["a", None], dtype="str")]
    kinds += [pd.array([1, None], dtype="Int64"), pd.array([True, None], dtype="bool[pyarrow]")]
    return pd.concat(
        [pd.Series(kinds[column % len(kinds)], name=f"column {column}") for column in range(width)],
        axis=1,
    )


FRAMES: dict[str, Callable[[], Any]] = {
    "rich": _rich,
    "rich and large": lambda: _rich(30_000),
    "rows picked": lambda: _rich(20).iloc[3:17:3],
    "columns picked": lambda: _rich()[["weight", "name", "count"]],
    "columns reversed": lambda: _rich().iloc[:, ::-1],
    "floats": lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3)),
    "floats in Fortran order": lambda: pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(4, 3))),
    "floats transposed": lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3)).T,
    "float blocks between ints": lambda: pd.DataFrame(
        {"a": [1.0], "b": [1], "c": [2.0], "d": [2], "e": [3.0]}
    ),
    "unconsolidated": _unconsolidated,
    "objects in one block": lambda: pd.DataFrame(
        {"a": ["x", 1], "b": [None, b""], "c": [1, 2]}, dtype=object
    ),
    "Arrow dtypes in any place": lambda: pd.DataFrame(
        {"a": pd.array([1], "int8[pyarrow]"), "b": [1], "c": pd.array(["x"], "string[pyarrow]")}
        | {"d": pd.array([2.5], "double[pyarrow]")}
    ),
    "strings of four dtypes": lambda: pd.DataFrame(
        {
            (storage, str(na)): pd.array(["a", None], dtype=pd.StringDtype(storage, na_value=na))
            for storage in ("python", "pyarrow")
            for na in (NA, NAN)
        }
    ),
    "two time zones": lambda: pd.DataFrame(
        {zone: pd.date_range("2024", periods=2, tz=ZoneInfo(zone)) for zone in ("UTC", "Asia/Tokyo")}
    ),
    "nothing": pd.DataFrame,
    "no columns": lambda: pd.DataFrame(index=[3, 1]),
    "no columns, many rows": lambda: pd.DataFrame(index=pd.RangeIndex(10_000)),
    "no rows": lambda: _rich(3).iloc[:0],
    "no rows, no dtypes": lambda: pd.DataFrame(columns=["a", "b"]),
    "one cell": lambda: pd.DataFrame({"a": [1]}),
    "range of rows": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(10, 4, -3)),
    "rows by date": lambda: pd.DataFrame(
        {"a": range(3)}, index=pd.date_range("2024", periods=3, freq="B")
    ),
    "rows by name": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
    "rows by category": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"])),
    "rows by interval": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.interval_range(0, 2)),
    "rows by levels": lambda: pd.DataFrame({"a": range(4)}, index=_multi(names=["x", "y"])),
    "columns by levels": lambda: pd.DataFrame([range(4)], columns=_multi(names=[None, ("y", 1)])),
    "columns by number": lambda: pd.DataFrame([[1, 2.5]], columns=[7, -1]),
    "columns by date": lambda: pd.DataFrame(
        [[1, 2]], columns=pd.date_range("2024", periods=2, freq="QS")
    ),
    "columns mixed": lambda: pd.DataFrame(
        [range(5)], columns=pd.Index(["a", 1, None, 2.5, (1, "b")], dtype=object)
    ),
    "columns named": lambda: pd.DataFrame([[1]], columns=pd.Index(["a"], name=pd.Timestamp("2024"))),
    "columns of object str": lambda: pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], dtype=object)),
    "columns twice": lambda: pd.DataFrame([[1, "x", 2.5]], columns=["a", "a", "b"]),
    "columns missing": lambda: pd.DataFrame([[1, 2]], columns=["a", None]),
    "attrs": lambda: _with_attrs(_rich()),
    "labels unique": lambda: _rich().set_flags(allows_duplicate_labels=False),
    "from a pivot": lambda: _rich(12).pivot_table(
        index="name", columns="kind", values=["count", "weight"], observed=True
    ),
    "from a description": lambda: _rich().describe(include="all"),
    "many columns": lambda: wide(200),
    **_each_column("column of {}", lambda values: pd.DataFrame({"x": _series_of(values)})),
}

INDEXES: dict[str, Callable[[], Any]] = {
    "range": lambda: pd.RangeIndex(5),
    "range stepped": lambda: pd.RangeIndex(10, -3, -4, name="n"),
    "range empty": lambda: pd.RangeIndex(0),
    "range endless": lambda: pd.RangeIndex(2**62),
    "levels": _multi,
    "levels unused": lambda: _multi(names=["x", "y"])[:1],
    "levels missing": lambda: pd.MultiIndex.from_arrays([["a", None], [NAN, 2.5]]),
    "levels of dates": lambda: pd.MultiIndex.from_product(
        [pd.date_range("2024", periods=2, freq="D", tz=PARIS), pd.Categorical(["x", "y"])]
    ),
    "levels sorted": lambda: pd.MultiIndex([["a", "b"]], [[0, 1]], sortorder=0),
    "levels of equal names": lambda: _multi(names=["x", "x"]),
    "levels empty": lambda: pd.MultiIndex([[], []], [[], []], names=["a", "b"]),
    "levels many": lambda: pd.MultiIndex.from_arrays([np.arange(300), np.arange(300) % 7]),
    "name tuple": lambda: pd.Index([1], name=("a", 1, None)),
    "objects of tuples": lambda: pd.Index(_objects((1, 2), (3, 4))(), dtype=object, tupleize_cols=False),
    **_each("dates every {}", lambda freq: pd.date_range("2024", periods=4, freq=freq), FREQUENCIES),
    "dates every ns": lambda: pd.date_range("2024", periods=3, freq="ns", unit="ns"),
    "dates in a zone": lambda: pd.date_range("2024-03-30", periods=3, freq="D", tz=PARIS, name="t"),
    "durations every hour": lambda: pd.timedelta_range("1h", periods=3, freq="h"),
    **_each_column(
        "of {}",
        lambda values: pd.Index(_series_of(values)),
        but=("f2", "fixed bytes"),  # pandas has no such indexes
    ),
}


def _series_with_attrs() -> Any:
    series = pd.Series([1])
    series.attrs["unit"] = "m"
    return series


SERIES: dict[str, Callable[[], Any]] = {
    "without a name": lambda: pd.Series([1.5, NAN]),
    "name tuple": lambda: pd.Series([1], name=("a", 1)),
    "name Timestamp": lambda: pd.Series([1], name=pd.Timestamp("2024", tz="UTC")),
    "column of a frame": lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3))[1],
    "by levels": lambda: pd.Series(range(4), index=_multi()),
    "labels unique": lambda: pd.Series([1, 2]).set_flags(allows_duplicate_labels=False),
    "attrs": _series_with_attrs,
    **_each_column("of {}", _series_of),
}

SCALARS: dict[str, Callable[[], Any]] = {
    "Timestamp": lambda: pd.Timestamp("2024-02-29 12:34:56.789"),
    "Timestamp ns": lambda: pd.Timestamp(2**62 + 1, unit="ns"),
    "Timestamp s": lambda: pd.Timestamp("0001-01-01").as_unit("s"),
    "Timestamp zone": lambda: pd.Timestamp("2024", tz=PARIS),
    "Timestamp UTC": lambda: pd.Timestamp("2024", tz="UTC"),
    "Timestamp second of two": lambda: pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert(PARIS),
    "Timestamp fixed offset": lambda: pd.Timestamp("2024-01-01 00:00-03:30"),
    "Timedelta": lambda: pd.Timedelta("-1 days 2ns"),
    "Timedelta s": lambda: pd.Timedelta(5, "s").as_unit("s"),
    **_each("Period {}", lambda freq: pd.Period("2024-02", freq), PERIODS),
    "Interval": lambda: pd.Interval(0, 1.5, "both"),
    "Interval dates": lambda: pd.Interval(pd.Timestamp("2024"), pd.Timestamp("2025"), "left"),
    "NaT": lambda: NAT,
    "NA": lambda: NA,
}

# Extension arrays on their own.
ARRAYS = {
    kind: make for kind, make in COLUMNS.items() if isinstance(make(), pd.api.extensions.ExtensionArray)
} | {
    "datetime without a zone": lambda: pd.array(np.array(["2024", "NaT"], "M8[s]")),
    "timedelta": lambda: pd.array(np.array([1, "NaT"], "m8[ns]")),
}

SAMPLES: dict[str, Callable[[], Any]] = {
    f"{what} {kind}": make
    for what, makes in (
        ("frame:", FRAMES),
        ("series:", SERIES),
        ("index:", INDEXES),
        ("array:", ARRAYS),
        ("scalar:", SCALARS),
    )
    for kind, make in makes.items()
}


# A subclass, as geopandas has one.
Subframe = type("Subframe", (pd.DataFrame,), {})


class Opaque:
    """Something that no codec knows."""

    def __eq__(self, other: object) -> bool:
        return type(other) is Opaque

    def __hash__(self) -> int:
        return 0


def _cyclic() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


def _with_opaque_attrs() -> Any:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["x"] = Opaque()
    return frame


# What does not come back identical, and a word that the error has to say.
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a subclass of DataFrame": (lambda: Subframe({"a": [1]}), "DataFrame(obj)"),
    "no columns, endless rows": (
        lambda: pd.DataFrame(index=pd.RangeIndex(2**40)),
        "rows that have no bytes",
    ),
    "cells of an unknown class": (lambda: pd.DataFrame({"a": [1], "b": [Opaque()]}), "'b'"),
    "their rows": (
        lambda: pd.DataFrame({"b": ["x", Opaque(), 1, Opaque()]}),
        "row 1 holds an Opaque, row 3",
    ),
    "their row, not those of a sibling": (
        lambda: pd.DataFrame({"b": [Opaque()], "a": ["x"]}, dtype=object)[["a", "b"]],
        "column 'b': row 0",
    ),
    "sets": (lambda: pd.Series([{1, 2}]), "row 0 holds a set"),
    "dicts with numbers for keys": (lambda: pd.Series([{1: 2}]), "keys must be str"),
    "lists in themselves": (lambda: pd.Series([_cyclic()]), "contains itself"),
    "longdouble": (lambda: pd.DataFrame({"a": np.zeros(2, "g")}), "float64"),
    "a name of an unknown class": (lambda: pd.Series([1], name=Opaque()), "rename"),
    "a label of an unknown class": (lambda: pd.DataFrame([[1]], columns=[Opaque()]), "columns"),
    "attrs of an unknown class": (_with_opaque_attrs, "attrs"),
    "business days with holidays": (
        lambda: pd.date_range("2024", periods=3, freq=pd.offsets.CDay(holidays=["2024-01-02"])),
        "index.freq = None",
    ),
    "business hours": (lambda: pd.date_range("2024", periods=3, freq="bh"), "freq"),
    "DateOffset": (
        lambda: pd.DataFrame(
            {"a": [1, 2]}, index=pd.date_range("2024", periods=2, freq=pd.DateOffset(months=1))
        ),
        "index: the frequency",
    ),
    "Timestamp with an idle fold": (lambda: pd.Timestamp(year=2024, month=1, day=1, fold=1), "fold"),
    "dateutil's zones": (lambda: pd.Timestamp("2024", tz="dateutil/Europe/Paris"), "zoneinfo"),
    "numpy in all but name": (lambda: pd.array(np.zeros(2), dtype=np.dtype("f8")), "to_numpy"),
    "lone surrogates in a string column": (
        lambda: pd.Series(["\ud800"], dtype="string[python]"),
        "astype(object)",
    ),
    "a dtype": (lambda: pd.CategoricalDtype(["a"]), "cannot be sent"),
    "an offset": (pd.offsets.Day, "cannot be sent"),
    "a group": (lambda: pd.DataFrame({"a": [1]}).groupby("a"), "cannot be sent"),
}


# ── what "identical" means ────────────────────────────────────────────────────────────────────────


def difference(a: Any, b: Any) -> str | None:
    """Say how `b` differs from `a` in any way that a user could see, or None."""
    if type(a) is not type(b):
        return f"type {type(b)}, was {type(a)}"
    if isinstance(a, pd.DataFrame):
        return _frames(a, b)
    if isinstance(a, pd.Series):
        return _series(a, b)
    if isinstance(a, pd.Index):
        return _indexes(a, b)
    if isinstance(a, pd.api.extensions.ExtensionArray):
        return _arrays(a, b)
    return _scalars(a, b)


def _frames(a: Any, b: Any) -> str | None:
    if a.shape != b.shape:
        return f"shape {b.shape}, was {a.shape}"
    if len(a) < 2**30:
        pd.testing.assert_frame_equal(
            a, b, check_exact=True, check_column_type="exact", check_index_type="exact"
        )
    return (
        _within("index", difference(a.index, b.index))
        or _within("columns", difference(a.columns, b.columns))
        or _extras(a, b)
        or _first(
            _within(f"column {i}", _arrays(a.iloc[:, i].array, b.iloc[:, i].array))
            for i in range(a.shape[1])
        )
    )


def _series(a: Any, b: Any) -> str | None:
    pd.testing.assert_series_equal(a, b, check_exact=True, check_index_type="exact")
    return (
        _within("name", check.difference(a.name, b.name))
        or _within("index", difference(a.index, b.index))
        or _within("values", _arrays(a.array, b.array))
        or _extras(a, b)
    )


def _extras(a: Any, b: Any) -> str | None:
    if a.flags != b.flags:
        return f"flags {b.flags}, were {a.flags}"
    return _within("attrs", check.difference(a.attrs, b.attrs))


def _indexes(a: Any, b: Any) -> str | None:
    if len(a) != len(b):
        return f"length {len(b)}, was {len(a)}"
    if isinstance(a, pd.MultiIndex):
        levels = (difference(x, y) for x, y in zip(a.levels, b.levels, strict=True))
        codes = (_arrays(x, y) for x, y in zip(a.codes, b.codes, strict=True))
        names = check.difference(list(a.names), list(b.names))
        return names or _first(levels) or _first(codes) or _attributes(a, b, "sortorder")
    found = _within("name", check.difference(a.name, b.name))
    if found or isinstance(a, pd.RangeIndex):
        return found or _attributes(a, b, "start", "stop", "step")
    if not isinstance(a, pd.CategoricalIndex):  # pandas does not compare tuples among categories
        pd.testing.assert_index_equal(a, b, exact=True, check_exact=True)
    if isinstance(a, pd.DatetimeIndex | pd.TimedeltaIndex) and (type(a.freq), a.freq) != (
        type(b.freq),
        b.freq,
    ):
        return f"freq {b.freq}, was {a.freq}"
    return _arrays(a.array, b.array)


# The parts of an extension array, by the class of its dtype.
_PARTS: dict[type, tuple[str, ...]] = {
    pd.DatetimeTZDtype: ("_ndarray",),
    pd.PeriodDtype: ("_ndarray",),
    pd.CategoricalDtype: ("codes", "categories", "ordered"),
    pd.IntervalDtype: ("left", "right", "closed"),
    pd.SparseDtype: ("sp_values", "fill_value"),
    pd.StringDtype: (),
    pd.ArrowDtype: (),
}


def _arrays(a: Any, b: Any) -> str | None:
    if type(a) is not type(b) or repr(a.dtype) != repr(b.dtype) or a.shape != b.shape:
        return f"{type(b)} {b.dtype!r} {b.shape}, was {type(a)} {a.dtype!r} {a.shape}"
    if isinstance(a.dtype, np.dtype) or type(a) is pd.arrays.NumpyExtensionArray:
        return _numpy(np.asarray(a), np.asarray(b))
    if isinstance(a.dtype, pd.DatetimeTZDtype) and (found := _zones(a.tz, b.tz)):
        return found
    if isinstance(a.dtype, pd.SparseDtype) and not a.sp_index.equals(b.sp_index):
        return f"positions {b.sp_index}, were {a.sp_index}"
    if isinstance(a.dtype, pd.ArrowDtype):
        return check.difference(a.__arrow_array__(), b.__arrow_array__())
    if isinstance(a.dtype, pd.StringDtype):
        return _numpy(a.astype(object), b.astype(object))
    return _attributes(a, b, *_PARTS.get(type(a.dtype), ("_data", "_mask")))


def _numpy(a: Any, b: Any) -> str | None:
    if a.dtype != b.dtype:
        return f"{b.dtype}, was {a.dtype}"
    if a.dtype == object:
        found = (
            _within(f"row {row}", check.difference(x, y))
            for row, x, y in zip(count(), a, b, strict=False)
        )
        return _first(found)
    same = a.tobytes() == b.tobytes()  # all bits, so that -0.0 is not 0.0
    return None if same else f"{b}, was {a}"


def _scalars(a: Any, b: Any) -> str | None:
    if isinstance(a, pd.Timestamp):
        return _attributes(a, b, "unit", "fold", "asm8") or _zones(a.tzinfo, b.tzinfo)
    if isinstance(a, pd.Timedelta):
        return _attributes(a, b, "unit", "asm8")
    if isinstance(a, pd.Period):
        return _attributes(a, b, "ordinal", "freqstr")
    if isinstance(a, pd.Interval):
        return _attributes(a, b, "left", "right", "closed")
    return None if a is b or a == b else f"{b!r}, was {a!r}"


def _zones(a: Any, b: Any) -> str | None:
    return None if (type(a), repr(a)) == (type(b), repr(b)) else f"zone {b!r}, was {a!r}"


def _attributes(a: Any, b: Any, *names: str) -> str | None:
    return _first(_within(name, _any(getattr(a, name), getattr(b, name))) for name in names)


def _any(a: Any, b: Any) -> str | None:
    return _arrays(a, b) if isinstance(a, np.ndarray) else check.difference(a, b)


def _within(name: str, found: str | None) -> str | None:
    return found and f"{name}: {found}"


def _first(found: Any) -> str | None:
    return next((text for text in found if text), None)
