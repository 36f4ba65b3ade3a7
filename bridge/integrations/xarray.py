"""xarray: ``xr.open_dataset("tcp://host:5555", engine="zbridge")``, and `to_xarray` of handles.

Nothing but the coordinates of dimensions is fetched until values are looked at; then the part that was asked
for. What was replaced on the server in between raises `Changed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import bridge
from bridge import codecs, display
from bridge.errors import WireError, an
from bridge.remote import RemoteArray, RemoteObject

try:
    import xarray as xr
    from xarray.backends import BackendArray, BackendEntrypoint
    from xarray.backends.api import DATAARRAY_NAME, DATAARRAY_VARIABLE
    from xarray.core import indexing
except ImportError as exc:
    raise ImportError('this needs xarray: pip install "zbridge[xarray]"') from exc

__all__ = ["Backend", "opened"]


class Backend(BackendEntrypoint):
    """What xarray asks for ``engine="zbridge"``.

    ``group`` is the name of a Dataset or an array on the server; it may be left out where there is one alone.
    ``timeout`` is as in `bridge.connect`. A DataArray comes back by `xarray.open_dataarray`.
    """

    description = "Datasets and arrays of a zbridge server"

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        timeout: float = 30.0,
    ) -> xr.Dataset:
        """Open a Dataset or an array of a server; see `xarray.open_dataset`."""
        client = bridge.connect(filename_or_obj, timeout=timeout)
        try:
            handle = client[_only_name(client) if group is None else group]
            if not isinstance(handle, RemoteArray | RemoteObject):
                raise ValueError(
                    f"{handle.name!r} is {an(type(handle).__name__)}; xarray has no form for it"
                )
            dataset = _as_dataset(opened(handle))
        except BaseException:
            client.close()
            raise
        dataset.set_close(client.close)
        return dataset if drop_variables is None else dataset.drop_vars(drop_variables, errors="ignore")


def opened(handle: RemoteArray | RemoteObject) -> Any:
    """Return the Dataset or DataArray of a handle, of which values are fetched when they are looked at."""
    labels = handle.labels
    if labels is None:
        if isinstance(handle, RemoteArray):  # of numpy, h5py and the like
            return xr.DataArray(xr.Variable(_numbered(handle), _lazy(handle)), name=handle.name)
        raise ValueError(
            f"{handle.name!r} is {an(handle.type_name)}, and no Dataset; .read() fetches it"
        )
    try:
        kind = codecs.field(labels, "type", str)
        coords = _variables(handle, labels, "coords")
        attrs = codecs.field(labels, "attrs", dict)
        if kind == "Dataset":
            return xr.Dataset(_variables(handle, labels, "data_vars"), coords, attrs)
        if not isinstance(handle, RemoteArray):
            raise WireError(f"{handle.name!r} has labels of the type {display.text(kind)}")
        values = xr.Variable(codecs.field(labels, "dims", list), _lazy(handle), attrs)
        return xr.DataArray(values, coords, name=codecs.field(labels, "name", str, type(None)))
    except (ValueError, TypeError) as exc:
        if isinstance(exc, WireError):
            raise
        raise WireError(f"the labels of {handle.name!r} do not fit its arrays: {exc}") from exc


def _variables(handle: RemoteArray | RemoteObject, labels: Any, key: str) -> dict[str, xr.Variable]:
    variables = {}
    for name, described in codecs.field(labels, key, dict).items():
        member = handle.member(name, codecs.field(described, "entry", dict))
        dims = codecs.field(described, "dims", list)
        variables[name] = xr.Variable(dims, _lazy(member), codecs.field(described, "attrs", dict))
    return variables


def _lazy(handle: RemoteArray) -> Any:
    return indexing.LazilyIndexedArray(_Values(handle.pinned()))


class _Values(BackendArray):
    """The values of a variable, on the server."""

    def __init__(self, handle: RemoteArray) -> None:
        self._handle = handle
        self.shape = handle.shape
        self.dtype = handle.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        arrays = sum(isinstance(k, np.ndarray) for k in key.tuple)
        if arrays <= 1 and not isinstance(key, indexing.VectorizedIndexer):
            return self._read(key.tuple)  # steps backwards too, which xarray would take apart
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Any:
        # In numpy, an integer beside a list moves axes; xarray selects on each axis for itself.
        wide = tuple(slice(k, k + 1 or None) if isinstance(k, int | np.integer) else k for k in key)
        narrow = tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)
        return np.asarray(self._handle.read(wide))[narrow]


def _as_dataset(obj: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Return a DataArray in a Dataset, by xarray's own convention, which `open_dataarray` undoes."""
    if isinstance(obj, xr.Dataset):
        return obj
    if obj.name is not None and obj.name not in obj.coords and obj.name not in obj.dims:
        return obj.to_dataset()
    dataset = obj.to_dataset(name=DATAARRAY_VARIABLE)
    if obj.name is not None:
        dataset.attrs[DATAARRAY_NAME] = obj.name
    return dataset


def _only_name(client: bridge.Client) -> str:
    entries = client.entries()
    names = [entry["name"] for entry in entries if entry.get("type") == "Dataset"]
    names = names or [entry["name"] for entry in entries if entry.get("kind") == "array"]
    if len(names) != 1:
        raise ValueError(
            f"{client.url} serves {display.list_text(names) or 'no Dataset'}; say which: "
            "xr.open_dataset(url, engine='zbridge', group=name)"
        )
    return str(names[0])


def _numbered(handle: RemoteArray) -> list[str]:
    return [f"dim_{axis}" for axis in range(handle.ndim)]
