"""Sources in memory: arrays, tables, and objects that are sent whole.

Nothing is copied when an object is served: answers are views of it. Whoever changes it in place while
it is being sent sends a mixture; assign a new object instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from bridge import codecs, selection
from bridge.codecs import Buffer, BufferReader, Encoded, array
from bridge.codecs.dtypes import to_wire
from bridge.errors import EncodeError, WireError, an
from bridge.sources import Plan
from bridge.sources.rows import alike, joined

__all__ = [
    "ArraySource",
    "FrameSource",
    "ObjectSource",
    "Sizes",
    "TableSource",
    "check_no_form",
    "frame_plan",
    "sizes_of",
]

# Up to this size an answer is made where the request is read: handing it to a thread costs more.
QUICK_BYTES = 64 * 1024
# And up to so many columns, each of which takes 25 microseconds.
QUICK_COLUMNS = 64


class ArraySource:
    """A numpy array; a selection is a numpy index."""

    in_memory = True

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        codecs.encode(values[(slice(0, 0),) * values.ndim])  # refuses what the codec would refuse
        self._values = values
        self._version = _new_version()

    def entry(self) -> dict[str, Any]:
        values = self._values
        return {
            "kind": "array",
            "version": self._version,
            "dtype": to_wire(values.dtype),
            "shape": list(values.shape),
            "nbytes": values.nbytes,
        }

    def skeleton(self) -> None:
        return None

    def appended(self, rows: Any) -> Any:
        """Return what is served with rows at its end; what is served stays as it is."""
        return _appended(self._values, rows)

    def plans_quickly(self, select: Any) -> bool:
        return True

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        check_no_form(form)
        values = self._values
        if select is None:
            return self._plan(values.shape, lambda: values, is_view=values.flags.forc)
        index = selection.array_from_wire(select, reader)
        shape = selection.array_result_shape(values.shape, index)
        if any(isinstance(item, np.ndarray) for item in index):
            return self._plan(shape, lambda: selection.select_array(values, index), is_view=False)
        part = selection.select_array(values, index)
        return self._plan(shape, lambda: part, is_view=isinstance(part, np.ndarray) and part.flags.forc)

    def _plan(self, shape: tuple[int, ...], build: Callable[[], Any], *, is_view: bool) -> Plan:
        dtype = self._values.dtype
        nbytes = array.nbytes_of(shape, dtype)
        # numpy's strings are collected one by one, and have any length.
        is_text = dtype.kind == "T"
        # What is contiguous is sent from where it lies, however large it is.
        is_view = is_view and not is_text
        quick = not is_text and (is_view or nbytes <= QUICK_BYTES)
        return Plan(
            self._version, nbytes, lambda: codecs.encode(build()), quick, nbytes if is_view else 0
        )


class FrameSource:
    """A pandas DataFrame; a selection is columns, rows and filters."""

    in_memory = True

    def __init__(self, frame: Any) -> None:
        self._sizes = sizes_of(lambda: codecs.encode(frame))  # refuses what the codec would refuse
        self._frame = frame
        self._version = _new_version()
        # Looking at every column takes time: once, not for each page of the catalogue.
        self._nbytes = int(frame.memory_usage(index=True).sum())
        self._skeleton = codecs.encode(frame.iloc[:0])

    def entry(self) -> dict[str, Any]:
        rows, columns = self._frame.shape
        return {
            "kind": "table",
            "version": self._version,
            "format": "pandas",
            "rows": rows,
            "columns": columns,
            "nbytes": self._nbytes,
        }

    def skeleton(self) -> Encoded:
        return self._skeleton

    def appended(self, rows: Any) -> Any:
        """Return what is served with rows at its end; what is served stays as it is."""
        return _appended(self._frame, rows)

    def plans_quickly(self, select: Any) -> bool:
        return len(self._frame.columns) <= QUICK_COLUMNS and _has_no_filter(select)

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        if select is None and form is None:
            return _plan(self._version, lambda: self._frame, *self._sizes)
        return frame_plan(
            self._version, selection.plan_frame(self._frame, _table_selection(select, reader)), form
        )


class TableSource:
    """A pyarrow Table or RecordBatch; a selection is columns, rows and filters."""

    in_memory = True

    def __init__(self, table: Any) -> None:
        self._skeleton = codecs.encode(table[:0])  # refuses what the codec would refuse
        self._sizes = sizes_of(lambda: codecs.encode(table))
        self._table = table
        self._version = _new_version()
        self._nbytes = table.nbytes

    def entry(self) -> dict[str, Any]:
        return {
            "kind": "table",
            "version": self._version,
            "format": "arrow",
            "rows": self._table.num_rows,
            "columns": self._table.num_columns,
            "nbytes": self._nbytes,
        }

    def skeleton(self) -> Encoded:
        return self._skeleton

    def appended(self, rows: Any) -> Any:
        """Return what is served with rows at its end; what is served stays as it is."""
        return _appended(self._table, rows)

    def plans_quickly(self, select: Any) -> bool:
        return self._table.num_columns <= QUICK_COLUMNS and _has_no_filter(select)

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        table = self._table
        if select is None and form is None:
            return _plan(self._version, lambda: table, *self._sizes)
        if type(table).__name__ == "RecordBatch":
            import pyarrow as pa

            table = pa.Table.from_batches([table])
        plan = selection.plan_table(table, _table_selection(select, reader))
        if form is None:
            return _plan(self._version, plan.build, plan.nbytes)
        return _stream_plan(self._version, plan.nbytes, plan.build)


class ObjectSource:
    """Anything else that a codec takes: it is sent whole."""

    in_memory = True

    def __init__(self, obj: Any) -> None:
        self._sizes = sizes_of(lambda: codecs.encode(obj))  # refuses what the codec would refuse
        self._obj = obj
        self._version = _new_version()

    def entry(self) -> dict[str, Any]:
        return {
            "kind": "object",
            "version": self._version,
            "type": type(self._obj).__name__,
            "nbytes": self._sizes.nbytes,
        }

    def skeleton(self) -> None:
        return None

    def plans_quickly(self, select: Any) -> bool:
        return True

    def plan(self, select: Any, reader: BufferReader, form: str | None) -> Plan:
        check_no_form(form)
        if select is not None:
            raise WireError(
                f"{an(type(self._obj).__name__)} is sent whole; leave 'select' out",
                code="unsupported",
            )
        return _plan(self._version, lambda: self._obj, *self._sizes)


class Sizes(NamedTuple):
    """Bytes of the buffers of an object as it travels.

    Attributes
    ----------
    nbytes
        Of all.
    views
        Of those that lie in the object itself; the others are made each time that it is encoded.
    """

    nbytes: int
    views: int


def sizes_of(encode: Callable[[], Encoded]) -> Sizes:
    """Return the sizes of what encodes one object, or raise `EncodeError` where it cannot travel."""
    buffers = encode().buffers
    nbytes = sum(map(len, buffers))
    if nbytes <= QUICK_BYTES:  # few enough to count as made
        return Sizes(nbytes, 0)
    # While the first are alive, only views of the object lie where they lay.
    again = encode().buffers
    views = sum(
        len(buffer)
        for buffer, other in zip(buffers, again, strict=True)
        if len(buffer) and _address(buffer) == _address(other)
    )
    return Sizes(nbytes, views)


def frame_plan(version: str, plan: selection.Plan[Any], form: str | None) -> Plan:
    """Plan to send a selected part of a DataFrame, as it is or as Arrow; see `Source.plan`."""
    if form is None:
        return _plan(version, plan.build, plan.nbytes)
    return _stream_plan(version, plan.nbytes, lambda: _arrow_of(plan.build()))


def check_no_form(form: str | None) -> None:
    """Refuse a form: what is asked for has none, it is no table."""
    if form is not None:
        raise WireError(f"'as' is {form!r}, but this is no table; leave it out", code="unsupported")


def _appended(rows: Any, more: Any) -> Any:
    if not alike(rows, more):
        raise EncodeError(
            f"these rows cannot follow those of the {type(rows).__name__}: send the same class, with the same "
            "columns and dtypes"
        )
    return joined([rows, more])


def _new_version() -> str:
    return uuid4().hex[:16]


def _table_selection(select: Any, reader: BufferReader) -> selection.TableSelection:
    return selection.TableSelection() if select is None else selection.table_from_wire(select, reader)


def _has_no_filter(select: Any) -> bool:
    # Filters look at every row; the rest is arithmetic.
    return not (isinstance(select, dict) and select.get("filters"))


def _plan(version: str, build: Callable[[], Any], nbytes: int, views: int = 0) -> Plan:
    return Plan(version, nbytes, lambda: codecs.encode(build()), nbytes <= QUICK_BYTES, views)


def _stream_plan(version: str, nbytes: int, build: Callable[[], Any]) -> Plan:
    # Here, not above: it needs pyarrow, which arrays do not.
    from bridge.codecs.table import encode_as_one_stream

    return Plan(version, nbytes, lambda: encode_as_one_stream(build()), nbytes <= QUICK_BYTES)


def _address(buffer: Buffer) -> int:
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    return address


def _arrow_of(frame: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError) as exc:
        raise EncodeError(
            f"this frame has no exact form in Arrow ({exc}); read it as pandas, or leave that column out"
        ) from exc
