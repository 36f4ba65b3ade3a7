"""Which source serves an object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from bridge import codecs
from bridge.errors import EncodeError, RemoteError
from bridge.sources import Source
from bridge.sources.arrays import ArrayReader, ComputedArray, computing
from bridge.sources.formats import is_one_folder, members_of
from bridge.sources.guests import dataset_source, lazy_frame_source, relation_source
from bridge.sources.labelled import LabelledArray, LabelledGroup, variable_source
from bridge.sources.memory import ArraySource, FrameSource, ObjectSource, TableSource
from bridge.sources.partitioned import PartitionedFrame

__all__ = ["source_of"]

_KNOWN_PACKAGES = frozenset(package for codec in codecs.CODECS for package in codec.packages)

# By the package of an object's class or of one that it derives from, and the name of that class: so no
# library is imported that the object does not come from.
_SOURCES: dict[tuple[str, str], Callable[[Any], Source]] = {
    ("numpy", "ndarray"): ArraySource,
    ("pandas", "DataFrame"): FrameSource,
    ("pyarrow", "Table"): TableSource,
    ("pyarrow", "RecordBatch"): TableSource,
    ("pyarrow", "Dataset"): dataset_source,
    ("dask", "DataFrame"): PartitionedFrame,
    ("xarray", "DataArray"): LabelledArray,
    ("xarray", "Dataset"): LabelledGroup,
    ("xarray", "Variable"): variable_source,
    ("polars", "LazyFrame"): lazy_frame_source,
    ("duckdb", "DuckDBPyRelation"): relation_source,
    ("_duckdb", "DuckDBPyRelation"): relation_source,
}


def source_of(obj: Any) -> Source:
    """Return the source that serves an object.

    Raises
    ------
    EncodeError
        If the object, or a part of it, could not be sent exactly.
    OSError, ValueError
        If it is the path of a file that cannot be opened, is broken, or holds several arrays.
    """
    if isinstance(obj, Path):
        return _file_source(obj)
    for cls in type(obj).__mro__:
        source = _SOURCES.get((_package(cls), cls.__name__))
        if source is not None:
            return source(obj)
    if _package(type(obj)) in _KNOWN_PACKAGES:
        if type(obj).__name__ == "RecordBatchReader":
            raise EncodeError("a RecordBatchReader can be read once; serve reader.read_all()")
        return ObjectSource(obj)
    # Before tables: xarray's arrays offer themselves as tables too. And what gives its memory away is in
    # memory, which the arrays of h5py, zarr, dask and xarray are not.
    if _is_array(obj) and not hasattr(obj, "__dlpack__"):
        computed = ComputedArray(obj, version=uuid4().hex[:16], guard=computing)
        return ArrayReader(lambda: computed)
    if hasattr(obj, "__arrow_c_stream__"):
        import pyarrow as pa

        return TableSource(pa.table(obj))
    if hasattr(obj, "__dlpack__") or hasattr(obj, "__array__"):
        return ArraySource(codecs.decode(*codecs.encode(obj)))
    return ObjectSource(obj)


def _file_source(path: Path) -> Source:
    path.stat()  # raises what Python's users expect
    if path.is_dir() and not is_one_folder(path):
        raise ValueError(
            f"{path.name!r} is a directory; all that is in it is served by `zbridge serve {path.name}`"
        )
    try:
        members = members_of(path)
        if members.keys() != {""}:
            names = ", ".join(sorted(members)[:10]) or "none"
            raise ValueError(
                f"{path.name!r} holds arrays under names of their own ({names}); it is served by "
                f"`zbridge serve {path.name}`"
            )
        members[""].entry()
    except RemoteError as exc:
        raise ValueError(str(exc.message)) from exc
    return members[""]


def _is_array(obj: Any) -> bool:
    return (
        isinstance(getattr(obj, "dtype", None), np.dtype)
        and isinstance(getattr(obj, "shape", None), tuple)
        and hasattr(obj, "__getitem__")
    )


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]
