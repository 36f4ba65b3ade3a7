"""Objects as JSON that people, and programs in other languages, can read.

The README beside the vectors describes the forms. They are not the wire's: a decoder that is tested
against them cannot pass by handing its descriptor through.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import singledispatch
from math import isfinite
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from bridge.codecs.dtypes import to_wire
from bridge.codecs.zones import encode_zone

# Every JSON parser reads integers up to this size as they are.
EXACT = 2**53


@singledispatch
def readable(obj: Any) -> Any:
    raise TypeError(f"{type(obj)} has no readable form")


# ── plain values ──────────────────────────────────────────────────────────────────────────────────


@readable.register(type(None))
@readable.register
def _(obj: bool) -> Any:
    return obj


@readable.register
def _(obj: int) -> Any:
    return obj if abs(obj) <= EXACT else {"int": str(obj)}


@readable.register
def _(obj: float) -> Any:
    return obj if isfinite(obj) else {"float": repr(obj)}


@readable.register
def _(obj: str) -> Any:
    try:
        obj.encode()
    except UnicodeEncodeError:
        return {"code points": [ord(char) for char in obj]}
    return obj


@readable.register
def _(obj: bytes) -> Any:
    return {"hex": obj.hex()}


@readable.register
def _(obj: list) -> Any:
    return [readable(item) for item in obj]


@readable.register
def _(obj: tuple) -> Any:
    return {"tuple": [readable(item) for item in obj]}


@readable.register
def _(obj: dict) -> Any:
    return {"dict": {key: readable(value) for key, value in obj.items()}}


@readable.register
def _(obj: date) -> Any:
    return {"date": obj.isoformat()}


@readable.register
def _(obj: datetime) -> Any:
    moment = obj.replace(tzinfo=None).isoformat()
    return {"datetime": moment, "zone": encode_zone(obj.tzinfo), "fold": obj.fold}


@readable.register
def _(obj: time) -> Any:
    moment = obj.replace(tzinfo=None).isoformat()
    return {"time": moment, "zone": encode_zone(obj.tzinfo), "fold": obj.fold}


@readable.register
def _(obj: timedelta) -> Any:
    return {"timedelta": {"days": obj.days, "seconds": obj.seconds, "microseconds": obj.microseconds}}


@readable.register
def _(obj: Decimal) -> Any:
    return {"decimal": str(obj)}


@readable.register
def _(obj: UUID) -> Any:
    return {"uuid": str(obj)}


# ── numpy, scipy ──────────────────────────────────────────────────────────────────────────────────


@readable.register
def _(obj: np.ndarray) -> Any:
    return {
        "array": {
            "dtype": to_wire(obj.dtype),
            "shape": list(obj.shape),
            "order": "F" if obj.flags.fnc else "C",
            "items": [_item(obj[place]) for place in np.ndindex(obj.shape)],
        }
    }


@readable.register
def _(obj: np.generic) -> Any:
    return {"scalar": {"dtype": to_wire(obj.dtype), "item": _item(obj)}}


@readable.register
def _(obj: np.str_) -> Any:
    return {"scalar": {"dtype": f"<U{len(obj)}", "item": _item(obj)}}


@readable.register
def _(obj: np.bytes_) -> Any:
    return {"scalar": {"dtype": f"|S{len(obj)}", "item": _item(obj)}}


@readable.register
def _(obj: np.ma.MaskedArray) -> Any:
    if obj is np.ma.masked:
        return {"masked": None}
    mask = np.ma.getmask(obj)
    return {
        "masked": {
            "data": readable(obj.view(np.ndarray)),
            "mask": None if mask is np.ma.nomask else readable(mask),
            "fill": readable(obj._fill_value),  # type: ignore[attr-defined]
            "hard": bool(obj.hardmask),
        }
    }


def _item(item: Any) -> Any:
    if isinstance(item, np.void) and item.dtype.names is not None:
        return {name: _item(item[name]) for name in item.dtype.names}
    if isinstance(item, np.ndarray):  # a sub-array
        return [_item(part) for part in item]
    if isinstance(item, np.datetime64 | np.timedelta64):
        return None if np.isnat(item) else readable(int(item.view(np.int64)))
    if isinstance(item, np.complexfloating):
        return [readable(float(item.real)), readable(float(item.imag))]
    if isinstance(item, np.void):
        return {"hex": item.tobytes().hex()}
    if isinstance(item, np.str_):
        return readable(str(item))
    if isinstance(item, np.bytes_):
        return readable(bytes(item))
    if isinstance(item, np.generic):
        return readable(item.item())
    return readable(item if isinstance(item, str) else None)  # of a StringDType


@readable.register(sparse.sparray)
@readable.register(sparse.spmatrix)
def _(obj: Any) -> Any:
    names = ["data", "row", "col"] if obj.format == "coo" else ["data", "indices", "indptr"]
    parts = {name: readable(getattr(obj, name)) for name in names}
    return {"sparse": {"class": type(obj).__name__, "shape": list(obj.shape), **parts}}


# ── pandas ────────────────────────────────────────────────────────────────────────────────────────


@readable.register
def _(obj: pd.DataFrame) -> Any:
    columns = [_column(obj.iloc[:, number].array) for number in range(obj.shape[1])]
    axes = {"index": readable(obj.index), "columns": readable(obj.columns)}
    return {"frame": {**axes, "values": columns, **_extras(obj)}}


@readable.register
def _(obj: pd.Series) -> Any:
    axes = {"name": readable(obj.name), "index": readable(obj.index)}
    return {"series": {**axes, "values": _column(obj.array), **_extras(obj)}}


@readable.register
def _(obj: pd.Index) -> Any:
    form: dict[str, Any] = {"class": type(obj).__name__, "name": readable(obj.name)}
    if isinstance(obj, pd.RangeIndex):
        return {"index": {**form, "range": [obj.start, obj.stop, obj.step]}}
    if getattr(obj, "freq", None) is not None:
        form["freq"] = [obj.freq.n, obj.freq.rule_code]  # type: ignore[attr-defined]
    return {"index": {**form, "values": _column(obj.array)}}


@readable.register
def _(obj: pd.MultiIndex) -> Any:
    levels = [readable(level) for level in obj.levels]
    return {"index": {"levels": levels, "codes": [codes.tolist() for codes in obj.codes]}}


@readable.register
def _(obj: pd.api.extensions.ExtensionArray) -> Any:
    return {"extension": _column(obj)}


@readable.register
def _(obj: pd.Timestamp) -> Any:
    moment = obj.replace(tzinfo=None).isoformat()
    return {"timestamp": moment, "unit": obj.unit, "zone": encode_zone(obj.tzinfo), "fold": obj.fold}


@readable.register
def _(obj: pd.Timedelta) -> Any:
    return {"timedelta": obj.isoformat(), "unit": obj.unit}


@readable.register
def _(obj: pd.Period) -> Any:
    return {"period": str(obj), "freq": obj.freqstr}


@readable.register
def _(obj: pd.Interval) -> Any:
    return {"interval": [_cell(obj.left), _cell(obj.right)], "closed": obj.closed}


@readable.register(type(pd.NaT))
@readable.register(type(pd.NA))
def _(obj: Any) -> Any:
    return {"missing": str(obj).strip("<>")}


def _column(values: Any) -> Any:
    column: dict[str, Any] = {"dtype": str(values.dtype), "cells": [_cell(cell) for cell in values]}
    if isinstance(values, pd.Categorical):
        column |= {"categories": readable(values.categories), "ordered": bool(values.ordered)}
    return column


def _cell(cell: Any) -> Any:
    return _item(cell) if isinstance(cell, np.generic) else readable(cell)


def _extras(obj: Any) -> dict[str, Any]:
    extras = {"attrs": readable(obj.attrs)} if obj.attrs else {}
    return extras if obj.flags.allows_duplicate_labels else {**extras, "unique": True}


# ── Arrow ─────────────────────────────────────────────────────────────────────────────────────────


@readable.register
def _(obj: pa.Table) -> Any:
    columns = [[readable(chunk.to_pylist()) for chunk in column.chunks] for column in obj.columns]
    return {"table": {**_schema(obj), "columns": columns}}


@readable.register
def _(obj: pa.RecordBatch) -> Any:
    return {"batch": {**_schema(obj), "columns": [readable(c.to_pylist()) for c in obj.columns]}}


@readable.register
def _(obj: pa.ChunkedArray) -> Any:
    chunks = [readable(chunk.to_pylist()) for chunk in obj.chunks]
    return {"chunked array": {"type": str(obj.type), "chunks": chunks}}


@readable.register
def _(obj: pa.Array) -> Any:
    return {"arrow array": {"type": str(obj.type), "values": readable(obj.to_pylist())}}


def _schema(obj: Any) -> dict[str, Any]:
    fields = [
        {"name": field.name, "type": str(field.type), "nullable": field.nullable, **_metadata(field)}
        for field in obj.schema
    ]
    return {"rows": obj.num_rows, "fields": fields, **_metadata(obj.schema)}


def _metadata(obj: Any) -> dict[str, Any]:
    if not obj.metadata:
        return {}
    return {"metadata": {key.decode(): value.decode() for key, value in obj.metadata.items()}}
