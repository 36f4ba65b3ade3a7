"""Dask collections whose blocks are fetched from the server where they are needed.

A block's task holds a handle, and a handle travels as its server's address, its name and its version: each
worker connects by itself and fetches its own blocks, in a thread, a process or on another computer, which
must be able to reach the server under the same address. What was replaced on the server in between raises
`Changed`; it is never mixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from bridge.display import nbytes_text, text
from bridge.errors import WireError
from bridge.remote.frame import bare
from bridge.remote.frame import frame_of as pandas_of

try:
    import dask
    import dask.array as da
    from dask.base import tokenize
except ImportError as exc:
    raise ImportError('to_dask() needs dask: pip install "zbridge[dask]"') from exc

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bridge.remote import RemoteArray, RemoteTable

__all__ = ["array_of", "frame_of"]

# What a partition has at most, where the caller does not say how many there are to be.
PARTITION_NBYTES: Final = 64 * 1024 * 1024
# A graph of more tasks takes dask minutes. Of what is larger, partitions are; blocks, the caller chooses.
MOST_PARTITIONS: Final = 100_000
MOST_BLOCKS: Final = 1_000_000


def array_of(x: RemoteArray, chunks: Any) -> Any:
    """Return a dask array of what is on the server; see `RemoteArray.to_dask`."""
    if chunks == "auto" and x.size * x.dtype.itemsize > MOST_BLOCKS * PARTITION_NBYTES:
        raise WireError(
            f"the server describes {x.name!r} as {nbytes_text(x.size * x.dtype.itemsize)}, which is more than "
            f"{MOST_BLOCKS:,} blocks; if it is as large, say which: to_dask(chunks=…)"
        )
    for name in _names_in(x.dtype):
        if "<" in name or ">" in name:
            raise WireError(
                f"a field of {x.name!r} is called {text(name)!r}, which notebooks would take for HTML in what "
                "dask shows; fetch it with read(), or in parts with blocks()"
            )
    if chunks == "auto" and not x.size:
        chunks = -1  # dask would divide by nothing
    x = x.pinned()
    # An empty part tells what the entry does not: whether the array is masked.
    meta = x[(slice(0),) * x.ndim] if x.ndim else None
    from_array: Any = da.from_array  # dask has no types
    name = f"zbridge-{tokenize(x, chunks)}"
    try:
        return from_array(x, chunks=chunks, name=name, asarray=True, meta=meta)
    except (NotImplementedError, ValueError) as exc:
        if chunks != "auto":
            raise
        raise TypeError(
            f"how large blocks of {x.name!r} are to be, dask cannot tell of {x.dtype}; say how long: "
            f"to_dask(chunks=…) ({exc})"
        ) from exc


def frame_of(t: RemoteTable, partitions: int | None) -> Any:
    """Return a dask DataFrame of what is on the server; see `RemoteTable.to_dask`."""
    import dask.dataframe as dd

    rows = t.num_rows
    if rows is None:
        raise ValueError(
            f"how many rows of {t.name!r} pass the filter is not known, so they cannot be divided; "
            "filter in dask: t.to_dask().query(…)"
        )
    if partitions is None:
        partitions = max(1, min(-(-t.plan().nbytes // PARTITION_NBYTES), rows, MOST_PARTITIONS))
    if partitions < 1:
        raise ValueError(f"partitions is {partitions}; expected at least one")
    t = t.pinned()
    ends = [rows * number // partitions for number in range(1, partitions + 1)]
    # dask would make text of all columns of objects, dicts and bytes among them.
    with dask.config.set({"dataframe.convert-string": False}):
        from_map: Any = dd.from_map
        return from_map(
            _partition,
            [0, *ends[:-1]],
            ends,
            table=t,
            meta=_partition(0, 0, table=t),
            label="zbridge",
            enforce_metadata=True,
        )


def _names_in(dtype: np.dtype[Any]) -> Iterator[str]:
    """Yield the names and titles of fields, also of those in fields."""
    fields: Any = dtype.base.fields or {}  # by their titles, too
    for name, (part, *_) in fields.items():
        yield name
        yield from _names_in(part)


def _partition(
    start: int, stop: int, *, table: RemoteTable, columns: list[Any] | None = None
) -> pd.DataFrame:
    import pandas as pd

    part = (table if columns is None else table.select(columns)).part(start, stop).read()
    if isinstance(part, pd.DataFrame):
        return bare(part)
    # pandas' own dtypes would depend on the rows: of integers, those with a null among them become floats.
    frame = pandas_of(part, types_mapper=pd.ArrowDtype)
    if frame.index.equals(pd.RangeIndex(len(frame))):
        frame.index = pd.RangeIndex(start, start + len(frame))
    return frame
