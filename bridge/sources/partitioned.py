"""DataFrames in partitions that are computed when rows of them are asked for: those of dask.

What is sent is what ``compute()`` gives for the partitions in which the wanted rows are. How many rows each
has is asked once, when the frame is assigned to a name: dask computes it then.
"""

from __future__ import annotations

import bisect
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bridge import codecs, selection
from bridge.codecs import BufferReader, Encoded
from bridge.selection import TableSelection
from bridge.sources import Plan
from bridge.sources.arrays import computing
from bridge.sources.memory import frame_plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PartitionedFrame"]


class PartitionedFrame:
    """A `dask.dataframe.DataFrame`; a selection is columns, rows and filters."""

    in_memory = True

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        sizes = frame.map_partitions(_size, meta=("size", object)).compute()
        self._ends = list(accumulate(rows for rows, _ in sizes))
        self._nbytes = sum(nbytes for _, nbytes in sizes)
        self._empty: pd.DataFrame = frame.partitions[:1].compute().iloc[:0]
        self._skeleton = codecs.encode(self._empty)  # refuses what the codec would refuse
        self._version = uuid4().hex[:16]

    def entry(self) -> dict[str, Any]:
        return {
            "kind": "table",
            "version": self._version,
            "format": "pandas",
            "rows": self._ends[-1],
            "columns": self._empty.shape[1],
            "nbytes": self._nbytes,
        }

    def skeleton(self) -> Encoded:
        return self._skeleton

    def plans_quickly(self, select: Any) -> bool:
        return False  # dask computes in it

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        wanted = TableSelection() if select is None else selection.table_from_wire(select, reader)
        # On no rows: what does not fit is refused before anything is computed.
        selection.plan_frame(self._empty, wanted)
        plan = self._plan_rows(wanted) if wanted.filters is None else self._plan_filtered(wanted)
        return frame_plan(self._version, plan, form)

    def _plan_rows(self, wanted: TableSelection) -> selection.Plan[pd.DataFrame]:
        rows = range(self._ends[-1])[wanted.rows or slice(None)]
        first, last = (min(rows), max(rows)) if rows else (0, 0)
        begin, end = (bisect.bisect_right(self._ends, row) for row in (first, last))
        start = self._ends[begin - 1] if begin else 0

        def build() -> pd.DataFrame:
            part = self._frame.partitions[begin : end + 1]
            part = _computed(part, TableSelection(columns=wanted.columns))
            back = rows.stop - start  # before the first row, a slice would count from the end
            return part.iloc[slice(rows.start - start, back if back >= 0 else None, rows.step)]

        share = len(rows) / max(1, self._ends[-1])
        return selection.Plan(len(rows), int(self._nbytes * share), build)

    def _plan_filtered(self, wanted: TableSelection) -> selection.Plan[pd.DataFrame]:
        passed = _computed(self._frame, TableSelection(columns=wanted.columns, filters=wanted.filters))
        return selection.plan_frame(passed, TableSelection(rows=wanted.rows))


def _size(frame: pd.DataFrame) -> Any:
    import pandas as pd

    return pd.Series([(len(frame), int(frame.memory_usage(index=True).sum()))], dtype=object)


def _computed(frame: Any, wanted: TableSelection) -> pd.DataFrame:
    """Return what a selection takes of each partition, one after the other."""
    meta = selection.select_frame(frame._meta, TableSelection(columns=wanted.columns))
    parts = frame.map_partitions(selection.select_frame, wanted, meta=meta)
    with computing():
        result: pd.DataFrame = parts.compute()
    return result
