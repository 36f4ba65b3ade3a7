"""The part of an object that a query asks for: its JSON form, and applying it.

Both ends use the same checks: a client's mistake is an `EncodeError` before anything is sent, the same
in a peer's message is a `WireError`. What fits the form but not the data (no such column, an index out
of bounds) is a `KeyError`, `IndexError`, `TypeError` or `ValueError`.

For arrays and tables alike the size of the result is known before it is built.
"""

from __future__ import annotations

from bridge.selection.arrays import (
    ArrayIndex,
    array_from_wire,
    array_result_shape,
    array_to_wire,
    select_array,
)
from bridge.selection.filters import check_filters, filter_expression
from bridge.selection.tables import (
    MAX_SELECTION,
    Plan,
    TableSelection,
    plan_frame,
    plan_table,
    select_frame,
    select_table,
    table_from_wire,
    table_to_wire,
)

__all__ = [
    "MAX_SELECTION",
    "ArrayIndex",
    "Plan",
    "TableSelection",
    "array_from_wire",
    "array_result_shape",
    "array_to_wire",
    "check_filters",
    "filter_expression",
    "plan_frame",
    "plan_table",
    "select_array",
    "select_frame",
    "select_table",
    "table_from_wire",
    "table_to_wire",
]
