"""What a server answers is compared with what it said of the name, and with what was asked.

The codecs see to it that an object is a sound one; that it is the one that was asked for, only the handle can
tell. What is described may honestly be replaced before it is read, and then has another version; and what grows
on the server is longer than its description. So without another version the kind, the dtype, the axes and the
columns are those of the description, and no answer at all is longer than the selection allows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridge import display, selection
from bridge.errors import BridgeError, Changed, WireError, an
from bridge.selection import ArrayIndex
from bridge.selection.filters import find_columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "check_array",
    "check_columns",
    "check_frame",
    "check_rows",
    "check_table",
    "most_rows",
    "replaced",
]

# Longer than any axis: how long one is may have changed since it was described.
LONG: Final = 2**62


def replaced(name: str) -> Changed:
    """Return the error for data that are not those of the handle any more."""
    return Changed(
        f"{name!r} was replaced on the server since this handle was made; get another, b[{name!r}]"
    )


def misfit(name: str, came: Any, asked: str, *, is_same: bool) -> BridgeError:
    """Return the error for an answer that is not what was asked for.

    Parameters
    ----------
    asked
        What was, with its article.
    is_same
        Whether the answer has the version that was described: then nothing can have been replaced.
    """
    if not is_same:
        return replaced(name)
    return WireError(
        f"the server was asked for {asked} of {name!r}, and answered with {_what(came)}; "
        "its program or its version of zbridge is at fault"
    )


def check_array(
    name: str,
    values: Any,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    index: ArrayIndex,
    *,
    is_same: bool,
    is_exact: bool,
    is_strict: bool,
) -> None:
    """Refuse what is no answer to an index of an array.

    Parameters
    ----------
    dtype, shape
        Of the array, as it was described.
    is_same
        Whether the answer has the version that was described.
    is_exact
        Whether it has its very shape too.
    is_strict
        Whether its dtype and its axes matter also if it was replaced.
    """

    def refusal(*, is_same: bool = is_same) -> BridgeError:
        return misfit(name, values, an(f"{display.text(dtype)}[{_index_text(index)}]"), is_same=is_same)

    is_item = isinstance(dtype, np.dtypes.StringDType) and not isinstance(values, np.ndarray)
    if is_item and not isinstance(values, str | type(getattr(dtype, "na_object", ""))):
        raise refusal()
    if not is_item and not isinstance(values, np.ndarray | np.generic):
        raise refusal()
    came = () if is_item else values.shape
    # An index that does not fit what was described may fit what is there now.
    with contextlib.suppress(IndexError):
        expected = selection.array_result_shape(shape, index)
        is_like = is_item or values is np.ma.masked or _like(values, dtype)
        if is_like and came == expected:
            return
        if (is_same or is_strict) and not (is_like and len(came) == len(expected)):
            raise refusal()
        if is_exact and came != expected:
            raise misfit(name, values, f"the shape {expected}", is_same=True)
    with contextlib.suppress(IndexError):
        most = selection.array_result_shape(*_longest(len(shape), index))
        if len(most) == len(came) and any(n > m for n, m in zip(came, most, strict=True)):
            raise refusal(is_same=True)


def check_frame(name: str, values: Any, *, is_same: bool) -> None:
    """Refuse what is no DataFrame."""
    import pandas as pd

    if not isinstance(values, pd.DataFrame):
        raise misfit(name, values, "a DataFrame", is_same=is_same)


def check_table(name: str, values: Any, *, is_same: bool) -> None:
    """Refuse what is no Arrow table."""
    import pyarrow as pa

    if not isinstance(values, pa.Table | pa.RecordBatch):
        raise misfit(name, values, "an Arrow table", is_same=is_same)


def check_rows(name: str, values: pd.DataFrame | pa.Table, most: int | None, exact: int | None) -> None:
    """Refuse more rows than a selection allows, or other than those that there are, where that is known."""
    if exact is not None and len(values) != exact:
        raise misfit(name, values, f"{exact:,} rows", is_same=True)
    if most is not None and len(values) > most:
        raise misfit(name, values, f"at most {most:,} rows", is_same=True)


def check_columns(
    name: str,
    values: pd.DataFrame | pa.Table,
    came: Sequence[Any],
    described: Sequence[Any],
    selected: list[Any] | None,
    *,
    is_same: bool,
    is_strict: bool,
) -> None:
    """Refuse other columns than those that were asked for.

    Parameters
    ----------
    came
        The labels of the answer.
    described
        Those that were described, of the whole table.
    selected
        Those that were asked for; None: all.
    """
    try:
        if selected is not None:
            found = set(chain.from_iterable(find_columns(came, selected)))
            is_asked = len(found) == len(came)
            described = [
                described[place] for place in chain.from_iterable(find_columns(described, selected))
            ]
        else:
            is_asked = True
        is_described = len(came) == len(described) and all(map(_is_label, came, described))
    except (KeyError, TypeError, ValueError, ArithmeticError):  # is missing, or cannot be looked for
        is_asked = is_described = False
    if not is_asked or (not is_described and (is_same or is_strict)):
        asked = f"the columns {display.list_text(described if selected is None else selected)}"
        raise misfit(name, values, asked, is_same=is_same or not is_asked)


def most_rows(rows: slice | None) -> int | None:
    """Return how many rows a slice gives at most, of however many there are; None: all of them.

    Examples
    --------
    >>> most_rows(slice(2, 10, 3)), most_rows(slice(-5, None)), most_rows(slice(5, None))
    (3, 5, None)
    """
    return None if rows is None else _most(rows)


def _longest(ndim: int, index: ArrayIndex) -> tuple[tuple[int, ...], ArrayIndex]:
    """Return the shape of an array of which an index gives the most, and an index that gives it."""
    used = [item for item in index if item is not None and item is not Ellipsis]
    place = next((i for i, item in enumerate(index) if item is Ellipsis), len(index))
    before = sum(item is not None for item in index[:place])
    lengths = [_axis_of(item) for item in used]
    shape = (*lengths[:before], *[LONG] * (ndim - len(used)), *lengths[before:])
    return shape, tuple(slice(None) if isinstance(item, slice) else item for item in index)


def _axis_of(item: object) -> int:
    """Return the length of an axis of which all is as much as an item of an index gives at most."""
    if isinstance(item, np.ndarray) and item.dtype == bool:
        return len(item)  # a mask fits no other
    most = _most(item) if isinstance(item, slice) else None
    return LONG if most is None else most


def _most(rows: slice) -> int | None:
    """Return no less than a slice gives of an axis of any length; None: of a longer one it gives more.

    A bound that counts from the end, and one that counts from the beginning, are anywhere to each other, but
    no more lies between them than before the one, or behind the other.
    """
    start, stop, step = rows.start, rows.stop, 1 if rows.step is None else rows.step
    if step < 0:
        start = -1 if start is None else start
        if start >= 0:
            between = (
                start + 1 if stop is None else start - stop if stop >= 0 else min(start, -stop - 2) + 1
            )
        else:
            between = start - stop if stop is not None and stop < 0 else None
    else:
        start = 0 if start is None else start
        if start < 0:
            between = -start if stop is None else stop - start if stop < 0 else min(-start, stop)
        else:
            between = stop - start if stop is not None and stop >= 0 else None
    return None if between is None else max(0, -(-between // abs(step)))


def _like(values: Any, dtype: np.dtype[Any]) -> bool:
    if isinstance(values, np.ndarray):
        return bool(values.dtype == dtype)
    # A scalar has this computer's byte order, and text its own length.
    if dtype.kind in "SU":
        return bool(values.dtype.kind == dtype.kind)
    return bool(values.dtype.newbyteorder("=") == dtype.newbyteorder("="))


def _is_label(one: Any, other: Any) -> bool:
    if one is other or bool(one == other):
        return True
    return type(one) is type(other) and one != one and other != other  # nan is nan, and no NaT


def _index_text(index: ArrayIndex) -> str:
    return display.list_text([_item_text(item) for item in index], most=8)


def _item_text(item: Any) -> str:
    if isinstance(item, slice):
        text = ":".join("" if bound is None else str(bound) for bound in (item.start, item.stop))
        return text if item.step in (None, 1) else f"{text}:{item.step}"
    if isinstance(item, np.ndarray):
        return f"{len(item)} positions" if item.dtype != bool else "a mask"
    return "..." if item is Ellipsis else str(item)


def _what(came: Any) -> str:
    kind = an(type(came).__name__)
    if isinstance(came, np.ndarray | np.generic):
        return f"{kind} of {display.text(came.dtype)} and the shape {display.text(came.shape)}"
    shape = getattr(came, "shape", None)
    if type(shape) is tuple and len(shape) == 2:
        return f"{kind} of {display.table_text(*shape)}"
    return kind
