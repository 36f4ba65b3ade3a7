"""What xarray adds to arrays: named dimensions, coordinates and attributes.

A Dataset is served under its name as an object, a dict that `xarray.Dataset.from_dict` takes; a DataArray as an
array. Below that name, each variable of the Dataset and each coordinate is an array of its own, ``ds/wind`` for
one, so that a part of it can be read. What holds them together, the labels, is what `describe` gives beside the
entry: the same dict, with the arrays' entries in the place of their data.

Refused is what would not come back the same: a MultiIndex and other indexes of their own, Python objects and
pandas' dtypes, names that are not text. An ``encoding`` is not sent: it is of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np

from bridge import codecs
from bridge.codecs import BufferReader, Encoded
from bridge.errors import EncodeError, WireError, an
from bridge.sources import Entry, Plan, Source
from bridge.sources.arrays import ArrayReader, ComputedArray, computing
from bridge.sources.memory import ArraySource, Sizes, sizes_of

__all__ = ["LabelledArray", "LabelledGroup", "variable_source"]


class LabelledGroup:
    """An `xarray.Dataset`: sent whole, or by its members."""

    def __init__(self, dataset: Any) -> None:
        _check(dataset)
        self.members = {name: _source_of(name, var) for name, var in dataset.variables.items()}
        self.in_memory = all(source.in_memory for source in self.members.values())
        # Of the labels alone, not of the values: a variable that is added later is no member.
        self._dataset = dataset.copy()
        self._version = uuid4().hex[:16]
        self._nbytes = sum(source.entry()["nbytes"] for source in self.members.values())
        self._sizes = sizes_of(self._encode) if self.in_memory else Sizes(self._nbytes, 0)
        self._skeleton = _labels(dataset, lambda name, _: {"entry": self.members[name].entry()})

    def entry(self) -> Entry:
        return {
            "kind": "object",
            "version": self._version,
            "type": "Dataset",
            "nbytes": self._nbytes,
        }

    def skeleton(self) -> Encoded:
        return self._skeleton

    def plans_quickly(self, select: Any) -> bool:
        return False

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        if select is not None or form is not None:
            raise WireError(
                "a Dataset is sent whole; leave 'select' and 'as' out, or read one of its variables",
                code="unsupported",
            )
        nbytes, views = self._sizes
        return Plan(self._version, nbytes, self._encode, quick=False, views=views)

    def _encode(self) -> Encoded:
        return _labels(self._dataset, lambda _, variable: {"data": variable.values})


class LabelledArray:
    """An `xarray.DataArray`: an array, whose coordinates are its members."""

    def __init__(self, array: Any) -> None:
        _check(array)
        self._values = _source_of(array.name, array.variable)
        self.in_memory = self._values.in_memory
        self.members = {name: _source_of(name, coord.variable) for name, coord in array.coords.items()}
        self._skeleton = _labels(array, lambda name, _: {"entry": self.members[name].entry()})

    def entry(self) -> Entry:
        return self._values.entry()

    def skeleton(self) -> Encoded:
        return self._skeleton

    def plans_quickly(self, select: Any) -> bool:
        return self._values.plans_quickly(select)

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        return self._values.plan(select, reader, form)


def variable_source(variable: Any) -> LabelledArray:
    """Serve an `xarray.Variable` as the DataArray that has its dims and attrs."""
    import xarray as xr

    return LabelledArray(xr.DataArray(variable))


def _labels(obj: Any, content: Callable[[str, Any], dict[str, Any]]) -> Encoded:
    """Encode what xarray knows of its variables, with the `content` of each."""

    def described(variables: Any) -> dict[str, Any]:
        return {
            name: {"dims": list(array.dims), "attrs": array.attrs, **content(name, array.variable)}
            for name, array in variables.items()
        }

    labels = {"type": type(obj).__name__, "attrs": obj.attrs, "coords": described(obj.coords)}
    if labels["type"] == "Dataset":
        labels["data_vars"] = described(obj.data_vars)
    else:
        labels |= {"name": obj.name, "dims": list(obj.dims)}
    return codecs.encode(labels)


def _check(obj: Any) -> None:
    import xarray as xr

    if type(obj) not in (xr.Dataset, xr.DataArray):
        raise EncodeError(
            f"{type(obj).__name__} is a class of its own, and would come back as one of xarray's; serve that"
        )
    named = obj.data_vars if type(obj) is xr.Dataset else [obj.name] if obj.name is not None else []
    for name in [*named, *obj.coords, *obj.dims]:
        if type(name) is not str or not name or "/" in name or not name.isprintable():
            raise EncodeError(
                f"the name {name!r} is not printable text without a slash; rename it: obj.rename(…)"
            )
    for name, index in obj.xindexes.items():
        if type(index) is not xr.indexes.PandasIndex or obj.coords[name].dims != (name,):
            raise EncodeError(
                f"{name!r} has {an(type(index).__name__)}, which cannot be sent; "
                f"serve obj.reset_index({name!r})"
            )
    _check_attrs(type(obj).__name__, obj.attrs)
    for name, array in (obj.variables if type(obj) is xr.Dataset else obj.coords).items():
        _check_attrs(name, array.attrs)
    for name in obj.coords:
        if name in obj.dims and name not in obj.xindexes:
            raise EncodeError(
                f"{name!r} has no index, and would get one; serve obj.set_xindex({name!r})"
            )


def _check_attrs(owner: Any, attrs: dict[Any, Any]) -> None:
    for key, value in attrs.items():
        try:
            codecs.encode({key: value})
        except EncodeError as exc:
            raise EncodeError(f"the attribute {key!r} of {owner!r}: {exc}") from exc


def _source_of(name: Any, variable: Any) -> Source:
    try:
        if not isinstance(variable.dtype, np.dtype):
            raise EncodeError(
                f"the dtype {variable.dtype} is none of numpy's; convert it with .astype(…), or drop it"
            )
        kind = type(variable[(slice(0),) * variable.ndim].data)
        if kind is not np.ndarray and kind.__module__.partition(".")[0] != "dask":
            raise EncodeError(f"{kind.__module__}.{kind.__qualname__} is no array of numpy's or dask's")
        if variable._in_memory:  # asked of a file's variable, `data` would read all of it
            return ArraySource(variable.values)
        computed = ComputedArray(variable, version=uuid4().hex[:16], guard=computing)
        return ArrayReader(lambda: computed)
    except EncodeError as exc:
        raise EncodeError(f"the variable {name!r}: {exc}") from exc
