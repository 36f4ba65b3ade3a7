"""What comes back is what was sent, or nothing is sent; and how other formats do."""

from __future__ import annotations

from typing import Any

import pytest

from tests import fidelity
from tests.fidelity import CHANGED, IDENTICAL, REFUSED

# All that zbridge refuses, and why. A new line here is a promise less.
OBJECT_DTYPE = ("object", "object, 0-d", "object, masked", "object field")
LONGDOUBLE = ("longdouble", "clongdouble", "longdouble scalar")
ONLY_PICKLE_CARRIES = (
    "matrix",
    "recarray",
    "records in a plain array",
    "record",
    "chararray",
    "masked matrix",
    "masked record",
    "metadata",
    "metadata of a field",
    "overlapping fields",
    "sub-array of sub-arrays",
    "title that is not text",
    "name that is not Unicode",
    "fields over an integer",
    "strings, missing is text",
    "cells of an unknown class",
    "their rows",
    "their row, not those of a sibling",
    "a label of an unknown class",
    "attrs of an unknown class",
    "DateOffset",
)


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, dict[str, str]]]:
    return fidelity.measured()


def _rows(measured: Any) -> list[tuple[str, dict[str, str]]]:
    return [item for part in measured.values() for item in part.items()]


def test_there_are_many_kinds(measured):
    assert len(measured["Arrays"]) >= 40
    assert len(measured["DataFrames"]) >= 50


def test_nothing_comes_back_changed(measured):
    assert [name for name, row in _rows(measured) if row["zbridge"] == CHANGED] == []


def test_what_is_refused_is_known_and_nothing_else_is(measured):
    refused = {name for name, row in _rows(measured) if row["zbridge"] == REFUSED}
    assert refused == {*OBJECT_DTYPE, *LONGDOUBLE, *ONLY_PICKLE_CARRIES}


@pytest.mark.parametrize("format_", ["JSON", "Arrow IPC"])
def test_what_is_refused_no_format_but_pickle_carries(measured, format_):
    rows = dict(_rows(measured))
    carried = {n for n in (*LONGDOUBLE, *ONLY_PICKLE_CARRIES) if rows[n][format_] == IDENTICAL}
    assert carried == set()


@pytest.mark.parametrize("format_", ["JSON", "Arrow IPC"])
def test_what_another_format_carries_zbridge_carries_but_for_object_dtype(measured, format_):
    lost = {n for n, row in _rows(measured) if IDENTICAL == row[format_] != row["zbridge"]}
    assert lost <= set(OBJECT_DTYPE)


def test_the_page_says_what_is_measured(measured):
    written = fidelity.PAGE.read_text(encoding="utf-8")
    now = fidelity.page(measured)
    if fidelity.versions() not in written:  # other libraries may do otherwise now; this one must not
        written, now = _of_zbridge(written), _of_zbridge(now)
    assert written == now, "write it again: python -m tests.fidelity"


def _of_zbridge(page: str) -> str:
    rows = (line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| "))
    return "\n".join(f"{row[0]}: {row[-1]}" for row in rows if len(row) == 5)
