"""numpy arrays, scalars and masked arrays, and what "identical" means for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

SENSOR = np.dtype(
    [("time", "<M8[us]"), ("id", "S6"), ("xyz", ">f4", (3,)), ("inner", [("ok", "?"), ("n", "<u2")])]
)
ALIGNED = np.dtype([("flag", "i1"), ("value", "f8"), ("count", "u2")], align=True)
HOLES = np.dtype({"names": ["b", "a"], "formats": ["<i2", "<f4"], "offsets": [12, 4], "itemsize": 20})
TITLED = np.dtype([(("degrees Celsius", "t"), "<f8"), ("n", "i1")])
STRINGS = np.dtypes.StringDType


def _filled(dtype: str) -> np.ndarray:
    array = np.zeros((3, 4), dtype)
    raw = array.reshape(-1).view(np.uint8)
    raw[:] = np.random.default_rng(7).integers(0, 256, raw.size, np.uint8)
    return array


def _steps(dtype: str) -> np.ndarray:
    return np.linspace(-3, 3, 12).reshape(3, 4).astype(dtype)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _records(dtype: np.dtype, shape: tuple[int, ...] = (4,)) -> np.ndarray:
    array = np.zeros(shape, dtype)
    for leaf in _leaves(array):
        leaf[...] = np.arange(leaf.size).reshape(leaf.shape).astype(leaf.dtype)
    return array


def _masked(data: Any, mask: Any = np.ma.nomask, **options: Any) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(np.array(data), mask, **options)


def _nan_payloads() -> np.ndarray:
    bits = [0x7FF8000000000000, 0x7FF0000000000001, 0xFFF8000000000123, 0x8000000000000000]
    return np.array(bits, np.uint64).view(np.float64)


SAMPLES: dict[str, Callable[[], Any]] = {
    "bool": lambda: np.arange(12).reshape(3, 4) % 3 == 0,
    **{
        f"{dtype}": partial(_filled, dtype)
        for dtype in ("|i1", "|u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", ">i8", "<u8")
    },
    **{
        f"{dtype}": partial(_steps, dtype)
        for dtype in ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<c8", ">c8", "<c16", ">c16")
    },
    "nan with payloads, negative zero": _nan_payloads,
    "extreme integers": lambda: np.array([-(2**63), 2**63 - 1, 0]),
    **{
        f"datetime64[{unit}]": partial(np.array, [0, -1, 17, "NaT"], f"M8[{unit}]")
        for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
    },
    "datetime64 of 25 us, big-endian": lambda: np.array([0, 3, "NaT"], ">M8[25us]"),
    "datetime64 without a unit": lambda: np.array(["NaT", "NaT"], "M8"),
    "timedelta64[ns]": lambda: np.array([1, -1, "NaT"], "m8[ns]"),
    "timedelta64[7D], big-endian": lambda: np.array([1, -1, "NaT"], ">m8[7D]"),
    "timedelta64 without a unit": lambda: np.array([1, -1], "m8"),
    "bytes": lambda: np.array([b"a", b"", b"\xff\x00b"], "S5"),
    "text": lambda: np.array(["Größe", "", "温度", "🌡"]),
    "text, big-endian": lambda: np.array(["Größe", "x"], ">U7"),
    "text with a lone surrogate": lambda: np.array(["\ud800"]),
    "void": lambda: _filled("V5"),
    "bytes of no size": lambda: np.ndarray((3,), "S0", b""),
    "text of no size": lambda: np.ndarray((2, 3), "U0", b""),
    "void of no size": lambda: np.zeros((2, 3), "V0"),
    "structured": lambda: _records(SENSOR),
    "structured, 2-d, Fortran order": lambda: np.asfortranarray(_records(SENSOR, (2, 3))),
    "structured, every second": lambda: _records(SENSOR, (9,))[::2],
    "structured, aligned": lambda: _records(ALIGNED),
    "structured, with holes and another order": lambda: _records(HOLES),
    "structured, with titles": lambda: _records(TITLED),
    "structured, an empty title and name": lambda: _records(np.dtype([(("", "n"), "i1"), ("", "i2")])),
    "structured, two fields of four": lambda: _records(SENSOR)[["id", "inner"]],
    "structured, one field of an aligned one": lambda: _records(ALIGNED)[["flag"]],
    "structured, nested aligned": lambda: _records(np.dtype([("n", "i1"), ("in", ALIGNED, (2, 2))])),
    "structured, sub-array of length 1": lambda: _records(np.dtype([("x", "f4", (1,))])),
    "structured, empty sub-array": lambda: _records(np.dtype([("x", "f4", (2, 0)), ("y", "i4")])),
    "structured, no fields": lambda: np.zeros(3, []),
    "structured, no fields but bytes": lambda: np.zeros(
        3, {"names": [], "formats": [], "offsets": [], "itemsize": 8}
    ),
    "structured, names beyond ASCII": lambda: _records(np.dtype([("Größe", "f8"), ("a b\n", "i1")])),
    "0-d": lambda: np.array(3.5),
    "0-d, big-endian": lambda: np.array(3, ">i4"),
    "0-d datetime64": lambda: np.array("2024-02-29", "M8[D]"),
    "empty": lambda: np.empty(0),
    "empty, 3-d": lambda: np.empty((3, 0, 5), "<i2"),
    "empty text": lambda: np.empty((0,), "U10"),
    "one item, 4-d": lambda: np.ones((1, 1, 1, 1)),
    "64 axes": lambda: np.arange(4).reshape((1,) * 62 + (2, 2)),
    "large": lambda: np.arange(100_000, dtype="<i4").reshape(100, 1000),
    "large, big-endian": lambda: np.arange(100_000, dtype=">i4"),
    "Fortran order": lambda: np.asfortranarray(np.arange(12).reshape(3, 4)),
    "Fortran order, 4-d, large": lambda: np.arange(2 * 3 * 4 * 5000).reshape(2, 3, 4, 5000).T,
    "transposed, contiguous in neither order": lambda: np.arange(24).reshape(2, 3, 4).swapaxes(0, 1),
    "every third": lambda: np.arange(20)[::3],
    "reversed": lambda: np.arange(20)[::-1],
    "reversed rows": lambda: np.arange(20).reshape(4, 5)[::-1, ::2],
    "broadcast": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "broadcast 0-d": lambda: np.broadcast_to(np.float64(2), (2, 2)),
    "read-only": lambda: _read_only(np.arange(5)),
    "not aligned": lambda: np.arange(41, dtype=np.uint8)[1:].view("<f8"),
    "strings": lambda: np.array(["Größe", "", "a\0", "x" * 100], STRINGS()),
    "strings, 2-d, Fortran order": lambda: np.array([["a", "b"], ["c", "d"]], STRINGS(), order="F"),
    "strings, reversed": lambda: np.array(["a", "b", "c"], STRINGS())[::-1],
    "strings, 0-d": lambda: np.array("a", STRINGS()),
    "strings, empty": lambda: np.empty((0, 3), STRINGS()),
    "strings, missing is None": lambda: np.array(["a", None, ""], STRINGS(na_object=None)),
    "strings, missing is nan": lambda: np.array([np.nan] * 9 + ["a"], STRINGS(na_object=np.nan)),
    "strings, without coercion": lambda: np.array(["a"], STRINGS(coerce=False)),
    "scalar bool": lambda: np.True_,
    "scalar float64": lambda: np.float64(0.1),
    "scalar nan": lambda: np.float32("nan"),
    "scalar int8": lambda: np.int8(-3),
    "scalar complex64": lambda: np.complex64(1 - 2j),
    "scalar datetime64": lambda: np.datetime64("2024-02-29T12:00", "ns"),
    "scalar NaT": lambda: np.datetime64("NaT"),
    "scalar timedelta64": lambda: np.timedelta64(3, ("s", 25)),
    "scalar text": lambda: np.str_("Größe \U0001f321 \0"),
    "scalar empty text": lambda: np.str_(""),
    "scalar lone surrogate": lambda: np.str_("\ud800"),
    "scalar bytes": lambda: np.bytes_(b"a\xff\0"),
    "scalar void": lambda: np.void(b"a\0b\0"),
    "scalar structured": lambda: _records(SENSOR)[2],
    "scalar structured, aligned": lambda: _records(ALIGNED)[2],
    "masked": lambda: _masked([[1.5, 2.0], [3.0, np.nan]], [[0, 1], [0, 1]]),
    "masked, no mask": lambda: _masked([1, 2, 3]),
    "masked, full mask of False": lambda: _masked([1, 2, 3], [False] * 3),
    "masked, fill value": lambda: _masked([1, 2, 3], [1, 0, 0], fill_value=-7),
    "masked, fill value nan": lambda: _masked([1.0, 2.0], [1, 0], fill_value=np.nan),
    "masked, hard": lambda: _masked([1, 2, 3], [1, 0, 0], hard_mask=True),
    "masked, big-endian, Fortran order": lambda: _masked(
        np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)), [[1, 0, 0], [0, 0, 1]]
    ),
    "masked, structured": lambda: _masked(
        _records(SENSOR, (1,)), [(True, False, [True, False, True], (False, True))]
    ),
    "masked text, default fill value": lambda: _with_default_fill_value(_masked(["a", "b"], [0, 1])),
    "masked uint8, default fill value": lambda: _with_default_fill_value(
        _masked(np.arange(3, dtype="u1"), [0, 1, 0])
    ),
    "masked strings": lambda: _masked(np.array(["a", "b"], STRINGS()), [0, 1]),
    "masked dates": lambda: _masked(np.array(["2024-02-29", "NaT"], "M8[D]"), [0, 1]),
    "masked 0-d": lambda: _masked(5, True),
    "masked, empty": lambda: _masked(np.empty((0, 2)), np.empty((0, 2), bool)),
    "masked, every second": lambda: _masked(np.arange(9), np.arange(9) % 4 == 0)[::2],
    "the masked constant": lambda: np.ma.masked,
}


def _with_default_fill_value(masked: np.ma.MaskedArray) -> np.ma.MaskedArray:
    assert masked.fill_value is not None  # numpy makes the default when it is asked for
    return masked


class _Unit(np.ndarray):
    """A subclass that means something."""


class _Refuses:
    """An array on a device that numpy cannot reach."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("it is on another device")


# What cannot travel exactly, and a word of the way out that the error names.
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "object": (lambda: np.array([1, "a"], object), ".astype("),
    "object, 0-d": (lambda: np.array(None, object), ".astype("),
    "object field": (lambda: np.zeros(2, [("a", "i4"), ("b", "O")]), ".astype("),
    "object, masked": (lambda: np.ma.array([1, "a"], dtype=object), ".astype("),
    "longdouble": (lambda: np.zeros(2, "g"), ".astype(np.float64)"),
    "clongdouble": (lambda: np.zeros(2, "G"), ".astype(np.complex128)"),
    "longdouble scalar": (lambda: np.longdouble(1), ".astype(np.float64)"),
    "matrix": (lambda: np.eye(2).view(np.matrix), "np.asarray(x)"),
    "recarray": (
        lambda: np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        "(np.void, x.dtype)",
    ),
    "records in a plain array": (
        lambda: np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]).view(np.ndarray),
        "np.asarray(x).view((np.void, x.dtype))",
    ),
    "record": (
        lambda: np.rec.array([(1,)], dtype=[("a", "i4")])[0],
        "np.asarray(x).view((np.void, x.dtype))",
    ),
    "chararray": (lambda: np.array([b"a"]).view(np.char.chararray), "np.asarray(x)"),
    "other subclass": (lambda: np.arange(3).view(_Unit), "np.asarray(x)"),
    "masked matrix": (lambda: np.ma.array(np.eye(2).view(np.matrix), mask=False), "np.asarray(x.data)"),
    "masked record": (lambda: SAMPLES["masked, structured"]()[0], "x.filled()"),
    "metadata": (lambda: np.zeros(2, np.dtype("f8", metadata={"unit": "m"})), ".astype("),
    "metadata of a field": (
        lambda: np.zeros(2, [("a", np.dtype("f8", metadata={"unit": "m"}))]),
        ".astype(",
    ),
    "overlapping fields": (
        lambda: np.zeros(2, {"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [0, 2]}),
        ".astype(",
    ),
    "sub-array of sub-arrays": (
        lambda: np.zeros(2, [("a", (np.dtype(("f4", (2,))), (3,)))]),
        ".astype(",
    ),
    "title that is not text": (lambda: np.zeros(2, [((1, "a"), "f8")]), ".astype("),
    "name that is not Unicode": (lambda: np.zeros(2, [("\ud800", "f8")]), "rename"),
    "fields over an integer": (
        lambda: np.zeros(2, np.dtype(("<i4", [("lo", "<i2"), ("hi", "<i2")]))),
        "np.void",
    ),
    "strings, missing is text": (lambda: np.array(["a"], STRINGS(na_object="-")), "na_object=None"),
    "array on a device": (_Refuses, "convert it to numpy"),
    "polynomial": (lambda: np.poly1d([1, 2]), "arrays"),
    "generator": (lambda: np.random.default_rng(0), "arrays"),
    "dtype": (lambda: np.dtype("f8"), "arrays"),
}


def difference(a: Any, b: Any) -> str | None:
    """Say how one numpy object differs from another, down to the bits of a nan, or None.

    Bytes between the fields of a structured array do not count. An array that is contiguous in neither
    order comes back in C order.
    """
    if a is np.ma.masked:
        return None if b is np.ma.masked else "not the masked constant"
    if isinstance(a, np.ma.MaskedArray):
        return _masked_difference(a, b)
    if isinstance(a, np.str_ | np.bytes_):
        return None if a == b else f"text {b!r}, was {a!r}"
    if isinstance(a, np.generic):
        return _array_difference(np.asarray(a), np.asarray(b))
    return _array_difference(a, b)


def _masked_difference(a: Any, b: Any) -> str | None:
    if a.hardmask != b.hardmask:
        return f"hard mask {b.hardmask}, was {a.hardmask}"
    parts = {
        "data": (a.view(np.ndarray), b.view(np.ndarray)),
        "mask": (np.ma.getmask(a), np.ma.getmask(b)),
        "fill value": (a._fill_value, b._fill_value),
    }
    for name, (was, now) in parts.items():
        if type(was) is not type(now):
            return f"{name} {now!r}, was {was!r}"
        if isinstance(was, np.ndarray) and (found := _array_difference(was, now)):
            return f"{name}: {found}"
    return None


def _array_difference(a: Any, b: Any) -> str | None:
    if visible(a.dtype) != visible(b.dtype):
        return f"dtype {b.dtype!r}, was {a.dtype!r}"
    if a.shape != b.shape:
        return f"shape {b.shape}, was {a.shape}"
    was_order, order = _order(a), _order(b)
    if order != was_order and not (order.startswith("C") and was_order == "neither"):
        return f"contiguous in order {order}, was {was_order}"
    for was, now in zip(_leaves(a), _leaves(b), strict=True):
        if _content(was) != _content(now):
            return f"values {now!r}, were {was!r}"
    return None


def _order(array: np.ndarray) -> str:
    return "C" * array.flags.c_contiguous + "F" * array.flags.f_contiguous or "neither"


def _content(leaf: np.ndarray) -> Any:
    if isinstance(leaf.dtype, STRINGS):
        return [item if type(item) is str else None for item in leaf.ravel().tolist()]
    if leaf.dtype.hasobject:
        return leaf.ravel().tolist()  # the bytes are addresses
    return leaf.tobytes()


def _leaves(array: np.ndarray) -> Iterator[np.ndarray]:
    if array.dtype.names is None:
        yield array
    for name in array.dtype.names or ():
        yield from _leaves(array[name])


def visible(dtype: Any) -> Any:
    """List all that can be seen of a dtype, much of which ``==`` does not compare."""
    if isinstance(dtype, STRINGS):
        return "strings", dtype.coerce, repr(getattr(dtype, "na_object", "unset"))
    seen = (dtype.str, dtype.alignment, dict(dtype.metadata or {}))
    if dtype.subdtype is not None:
        return *seen, dtype.shape, visible(dtype.base)
    if dtype.names is None:
        return seen
    fields = [(name, *dtype.fields[name]) for name in dtype.names]
    return (
        *(*seen, dtype.type, dtype.isalignedstruct),
        [(name, visible(inner), *rest) for name, inner, *rest in fields],
    )
