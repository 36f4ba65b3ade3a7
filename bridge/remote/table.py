"""Tables on the server."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from bridge import display, selection
from bridge.codecs import Buffer
from bridge.display import Progress
from bridge.display.cards import columns_card
from bridge.errors import EncodeError
from bridge.remote.answered import check_columns, check_frame, check_rows, check_table, most_rows
from bridge.remote.frame import frame_of, polars_of
from bridge.remote.handle import Entry, Fetch, Handle, no_bar, one_ahead, whole_number
from bridge.remote.large import Plan, Rate, allocating, check_implicit, unknown_rate
from bridge.remote.peek import PEEK_COLUMNS, Peek, table_peek
from bridge.selection import TableSelection
from bridge.selection.filters import find_columns

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["RemoteTable"]


class RemoteTable(Handle):
    """A table on the server. Choose columns, rows and filters; only what is left of it is fetched.

    ``t["price"]`` gives a Series, ``t[["ts", "price"]]`` and ``t[0:1000]`` give DataFrames. `select`,
    `filter`, `slice` and `head` give a narrower table, without I/O; `read`, `to_pandas` and `to_arrow`
    fetch it.

    Attributes
    ----------
    columns : list
        The column labels.
    num_rows : int or None
        None once a filter makes it unknown.
    shape : tuple
        `num_rows`, which may be None, and how many columns there are.

    Examples
    --------
    >>> import bridge, pandas as pd
    >>> frame = pd.DataFrame({"city": ["Bonn", "Oslo"], "t": [21.5, 14.0]})
    >>> with bridge.serve(weather=frame) as srv, bridge.connect(srv.url) as b:
    ...     b["weather"].filter([("t", ">", 20)]).to_pandas()
       city     t
    0  Bonn  21.5
    """

    def __init__(
        self,
        entry: Entry,
        fetch: Fetch,
        skeleton: Any,
        selected: TableSelection | None = None,
        *,
        rate: Rate = unknown_rate,
    ) -> None:
        super().__init__(entry, fetch, rate=rate)
        self._entry = entry
        self._skeleton = skeleton
        self._all_rows = whole_number(entry, "rows")
        self._selected = selected if selected is not None else TableSelection()

    @property
    def columns(self) -> list[Any]:
        """The column labels, in order."""
        if self._selected.columns is not None:
            return list(self._selected.columns)
        return self._labels

    @property
    def num_rows(self) -> int | None:
        """How many rows there are, or None where a filter decides."""
        if self._selected.filters is not None:
            return None
        rows = range(self._all_rows)
        return len(rows if self._selected.rows is None else rows[self._selected.rows])

    @property
    def shape(self) -> tuple[int | None, int]:
        """How many rows and columns there are; the rows are None where a filter decides."""
        return self.num_rows, len(self.columns)

    @property
    def dtypes(self) -> pd.Series[Any]:
        """The dtype of each column, by label."""
        frame: Any = self._skeleton
        if self._is_arrow:
            frame = frame_of(frame)
        dtypes: pd.Series[Any] = frame.dtypes
        return dtypes if self._selected.columns is None else dtypes.iloc[self._places]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema that `to_arrow` gives."""
        import pyarrow as pa

        if self._is_arrow:
            table = self._skeleton
            if self._selected.columns is not None:
                table = table.select(self._places)
            schema: pa.Schema = table.schema
            return schema
        frame = self._skeleton
        if self._selected.columns is not None:
            frame = frame.iloc[:, self._places]
        try:
            return pa.Schema.from_pandas(frame)
        except (pa.ArrowException, TypeError, ValueError) as exc:
            raise EncodeError(f"the columns of {self.name!r} have no schema in Arrow: {exc}") from exc

    def select(self, columns: Iterable[Any]) -> RemoteTable:
        """Keep some columns, in the given order. No I/O."""
        if isinstance(columns, str):  # not its letters
            raise TypeError(f"select takes a list of columns: [{columns!r}]")
        return self._narrowed(columns=_checked_labels(list(columns), self.columns, self.name))

    def filter(self, filters: Any) -> RemoteTable:
        """Keep the rows that pass. No I/O.

        Parameters
        ----------
        filters
            As in ``pyarrow.parquet``: a list of ``(column, op, value)``, all of which must hold, or a
            list of such lists, one of which must. The ops are ``= == != < > <= >= in``, ``not in``,
            ``is null`` and ``is not null``.
        """
        if self._selected.rows is not None:
            raise EncodeError(
                "filters come before rows: call .filter(…) first, then .slice(…) or .head(…)"
            )
        if self._selected.filters is not None:
            raise EncodeError("this table has a filter; give all conditions to one .filter([…])")
        return self._narrowed(filters=filters)

    def slice(self, start: int | None, stop: int | None = None, step: int | None = None) -> RemoteTable:
        """Keep a range of the rows, with the meaning of a Python slice. No I/O."""
        if self._selected.rows is not None:
            raise EncodeError(
                "this table is sliced already; give the rows once, to one .slice(start, stop)"
            )
        return self._narrowed(rows=slice(start, stop, step))

    def head(self, rows: int = 5) -> RemoteTable:
        """Keep the first rows. No I/O."""
        if self._selected.rows is None:
            return self.slice(0, rows)
        if rows < 0:
            raise EncodeError(
                f"head({rows}) after a slice; give the rows once, to one .slice(start, stop)"
            )
        return self.part(0, rows)

    def part(self, start: int, stop: int) -> RemoteTable:
        """Keep some of the rows that are selected already, counted from the first of them. No I/O.

        For those who read a table in parts.

        Parameters
        ----------
        start, stop
            As in ``range``, and not negative.

        Raises
        ------
        EncodeError
            If a filter decides which rows there are, and the slice after it counts from their end or has
            a step.
        """
        chosen = self._selected.rows or slice(None)
        if self.num_rows is not None:
            return self._narrowed(rows=_slice_of(range(self._all_rows)[chosen][start:stop]))
        first, last = chosen.start or 0, chosen.stop
        if first < 0 or (last is not None and last < 0) or chosen.step not in (None, 1):
            raise EncodeError(
                "rows that pass a filter are read forward from row to row: slice them with neither step nor "
                "negative bounds"
            )
        end = first + stop if last is None else min(first + stop, last)
        return self._narrowed(rows=slice(first + start, end))

    def read(self, *, progress: Progress | None = None, timeout: float | None = None) -> Any:
        """Fetch the table as the server holds it: a DataFrame, or a `pyarrow.Table`."""
        return self._read(None, progress=progress, timeout=timeout)[0]

    def batches(self, rows: int = 100_000, *, timeout: float | None = None) -> Iterator[Any]:
        """Fetch the table in runs of rows, each while the one before is being used.

        Parameters
        ----------
        rows
            The length of a run. The last may be shorter.
        timeout
            Seconds without any progress; by default the client's.

        Yields
        ------
        pandas.DataFrame or pyarrow.Table
            As the server holds it. Two are in memory at a time.

        Raises
        ------
        Changed
            If the table is replaced on the server in between.
        """
        return self._batches(rows, None, timeout)

    def arrow_batches(self, rows: int = 100_000, *, timeout: float | None = None) -> Iterator[pa.Table]:
        """Like `batches`, but each a `pyarrow.Table`, whatever the server holds."""
        return self._batches(rows, None if self._is_arrow else "arrow", timeout)

    def _batches(self, rows: int, form: str | None, timeout: float | None) -> Iterator[Any]:
        if rows < 1:
            raise ValueError(f"rows is {rows}; a batch has at least one")
        self.part(0, rows)  # raises at once, if parts cannot be had
        end = self.num_rows
        if end is None:  # no more than the slice allows
            chosen = self._selected.rows or slice(None)
            end = sys.maxsize if chosen.stop is None else chosen.stop - (chosen.start or 0)

        def read(first: int) -> tuple[Any, str]:
            part = self.part(first, min(first + rows, end))
            return part._read(form, is_strict=True, progress=no_bar, timeout=timeout)

        reads = map(partial(partial, read), range(0, end, rows))
        for batch in one_ahead(reads, self.name):
            if len(batch):
                yield batch
            if len(batch) < rows:
                return

    def peek(self, *, seconds: float = 1.0) -> Peek:
        """Fetch a small look: the first rows, and lowest, highest, missing and spread in a sample.

        The sample consists of runs of rows, of 128 KiB or so together. Of a wide table the first 30 columns
        are looked at, of a filtered one the first rows that pass.

        Parameters
        ----------
        seconds
            How long to go on with the sample. The first rows are waited for as in any read.
        """
        labels = list(dict.fromkeys(self.columns))[:PEEK_COLUMNS]
        some = self.select(labels) if len(labels) < len(self.columns) else self

        def read(rows: range, *, timeout: float | None) -> pd.DataFrame:
            part = some.part(rows.start, rows.stop)
            values, _ = part._read(None, is_strict=True, progress=no_bar, timeout=timeout)
            return frame_of(values) if self._is_arrow else values

        return table_peek(self.name, self._what, self.num_rows, some._row_nbytes, read, seconds)

    def plan(self) -> Plan:
        """Return what it would cost to read the table. No I/O.

        The size is in proportion to the rows and columns of what the server holds; with a filter, it is that
        of all the rows.
        """
        rows = self._all_rows if self.num_rows is None else self.num_rows
        return self._plan(round(rows * self._row_nbytes))

    def to_pandas(self, *, timeout: float | None = None) -> pd.DataFrame:
        """Fetch the table as a DataFrame."""
        table = self.read(timeout=timeout)
        return frame_of(table) if self._is_arrow else table

    def to_arrow(self, *, timeout: float | None = None) -> pa.Table:
        """Fetch the table as a `pyarrow.Table`."""
        return self._to_arrow(timeout=timeout)

    def _to_arrow(self, **options: Any) -> pa.Table:
        import pyarrow as pa

        table, _ = self._read(None if self._is_arrow else "arrow", **options)
        return table if isinstance(table, pa.Table) else pa.Table.from_batches([table])

    def to_dask(self, partitions: int | None = None) -> dd.DataFrame:
        """Return a dask DataFrame whose partitions are fetched where and when they are needed. Needs dask.

        Parameters
        ----------
        partitions
            How many, of about as many rows each; by default so many that each has about 64 MiB.

        Returns
        -------
        dask.dataframe.DataFrame
            Of the data as it is now. Its tasks raise `Changed` once the data is replaced on the server. The
            columns of an Arrow table have Arrow's dtypes, whose missing values change no dtype.

        Raises
        ------
        ValueError
            If this table is filtered: how many rows pass is not known.
        """
        from bridge.integrations.dask import frame_of

        frame: dd.DataFrame = frame_of(self, partitions)
        return frame

    def to_polars(self, *, timeout: float | None = None) -> pl.DataFrame:
        """Fetch the table as a polars DataFrame. Needs polars."""
        try:
            import polars as pl  # noqa: F401
        except ImportError as exc:
            raise ImportError("to_polars() needs polars: pip install 'zbridge[polars]'") from exc
        return polars_of(self.to_arrow(timeout=timeout))

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        return super().__dask_tokenize__(), normalize_token(self._selected)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        how = "the Arrow stream", f"b[{self.name!r}].to_arrow()"
        check_implicit(self.name, self.plan().nbytes, *how)
        table = self._to_arrow(allocate=allocating(self.name, *how))
        return table.__arrow_c_stream__(requested_schema)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self.slice(key.start, key.stop, key.step).to_pandas()
        if isinstance(key, list):
            return self.select(key).to_pandas()
        frame = self.select([key]).to_pandas()
        # As in pandas: a label that several columns share gives them all.
        return frame.iloc[:, 0] if frame.shape[1] == 1 else frame

    def __contains__(self, label: object) -> bool:
        """Whether there is such a column, as in pandas."""
        return label in self.columns

    __iter__ = None  # else Python would ask for the columns 0, 1, 2 …

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        # Else numpy would wrap the handle, and pandas lose labels and dtypes.
        raise TypeError(
            f"{self.name!r} is a table, and no array holds it as it is; write b[{self.name!r}].to_pandas(), "
            f"or b[{self.name!r}][column].to_numpy()"
        )

    def __len__(self) -> int:
        if self.num_rows is None:
            raise TypeError("how many rows pass the filter is known once they are fetched")
        return self.num_rows

    def __repr__(self) -> str:
        columns = display.list_text(self.columns)
        return f"<RemoteTable {self.name!r} {self._large} ({columns}), {self._size}>"

    def _repr_html_(self) -> str:
        skeleton = self._skeleton
        types = list(skeleton.schema.types if self._is_arrow else skeleton.dtypes)
        labels = self._labels
        columns = [(labels[place], types[place]) for place in self._places]
        return columns_card(self.name, f"table · {self._what}", columns)

    def _ipython_key_completions_(self) -> list[Any]:
        return self.columns

    @property
    def _what(self) -> str:
        return f"{self._large}, {self._size}"

    @property
    def _large(self) -> str:
        return display.table_text(self.num_rows, len(self.columns))

    @property
    def _size(self) -> str:
        return display.nbytes_text(self.plan().nbytes)

    @property
    def _places(self) -> list[int]:
        """Which of the columns are selected; of a label that several share, all."""
        labels = self._labels
        if self._selected.columns is None:
            return list(range(len(labels)))
        return list(chain.from_iterable(find_columns(labels, self._selected.columns)))

    @property
    def _row_nbytes(self) -> float:
        """What a row has of the selected columns, if all columns have the same part in the size."""
        columns = len(self._labels)
        return self.nbytes / max(1, self._all_rows) * len(self.columns) / max(1, columns)

    @property
    def _labels(self) -> list[Any]:
        """The labels of all columns, also of those that are not selected."""
        skeleton = self._skeleton
        return list(skeleton.column_names if self._is_arrow else skeleton.columns)

    @property
    def _is_arrow(self) -> bool:
        return self._entry.get("format") == "arrow"

    def _narrowed(self, **changes: Any) -> RemoteTable:
        selected = replace(self._selected, **changes)
        table = RemoteTable(self._entry, self._fetch, self._skeleton, selected, rate=self._rate)
        table._pinned = self._pinned
        return table

    def _read(self, form: str | None, *, is_strict: bool = False, **options: Any) -> tuple[Any, str]:
        """Fetch what is selected; its columns are those of the handle also if it was replaced, if strict."""
        buffers: list[Buffer] = []
        select = selection.table_to_wire(self._selected, buffers)
        values, version = self._fetch(
            self.name, select=select or None, buffers=buffers, form=form, **options
        )
        is_same = version == self.version
        if self._is_arrow or form == "arrow":
            check_table(self.name, values, is_same=is_same)
        else:
            check_frame(self.name, values, is_same=is_same)
        most = most_rows(self._selected.rows)
        check_rows(self.name, values, most, self.num_rows if self._pinned else None)
        came, described, selected = self._labels_of(values, form)
        check_columns(self.name, values, came, described, selected, is_same=is_same, is_strict=is_strict)
        return values, version

    def _labels_of(self, values: Any, form: str | None) -> tuple[list[Any], list[Any], list[Any] | None]:
        """Return the labels that came, those that were described, and those of them that were asked for."""
        skeleton = self._skeleton
        if self._is_arrow:
            return list(values.schema.names), self._labels, self._selected.columns
        if form is None:
            return list(values.columns), self._labels, self._selected.columns
        # Arrow's names are text, and after the columns come those of an index, if it is no plain range.
        described = _arrow_names(skeleton.iloc[:, self._places])
        came = list(values.schema.names)
        if described is None or len(came) - len(described) > skeleton.index.nlevels:
            return came, described or [], None
        return came[: len(described)], described, None


def _slice_of(rows: range) -> slice:
    if not rows:
        return slice(0, 0)
    # Before the first row, a slice would count from the end.
    return slice(
        rows.start, rows.stop if rows.stop >= 0 else None, rows.step if rows.step != 1 else None
    )


def _arrow_names(frame: pd.DataFrame) -> list[str] | None:
    """Return what Arrow calls the columns; None where it has no names for them."""
    import pyarrow as pa

    try:
        return list(pa.Schema.from_pandas(frame, preserve_index=False).names)
    except (pa.ArrowException, TypeError, ValueError):
        return None


def _checked_labels(labels: list[Any], known: list[Any], name: str) -> list[Any]:
    missing = [label for label in labels if label not in known]
    if missing:
        raise KeyError(
            f"{name!r} has no column {missing[0]!r}; its columns are {display.list_text(known, most=20)}"
        )
    return labels
