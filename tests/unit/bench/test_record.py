from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.bench import record
from bridge.errors import BenchError, BridgeError
from tests.bench_records import record as make

SMALL = make(formats=("raw", "json"), sizes=(1024, 2**30), rounds=1)
VALIDATOR = jsonschema.Draft202012Validator(record.schema())


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values in a document."""
    found = [path] if path else []
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, item in items:
        found += places(item, (*path, key))
    return found


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """SMALL with another value at a path; `...` takes it out."""
    document = copy.deepcopy(SMALL)
    part: Any = document
    for key in path[:-1]:
        part = part[key]
    if value is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return document


def test_a_record_is_returned_as_it_is():
    assert record.check(SMALL) == SMALL
    VALIDATOR.validate(SMALL)


def test_the_schema_is_a_schema_and_uses_only_what_is_checked_here():
    jsonschema.Draft202012Validator.check_schema(record.schema())

    def keywords(rules: Any) -> set[str]:
        nested = [*rules.get("properties", {}).values(), *([rules["items"]] if "items" in rules else [])]
        return set(rules).union(*(keywords(part) for part in nested))

    used = keywords(record.schema()).union(
        *(keywords(part) for part in record.schema()["$defs"].values())
    )
    assert used - {"$schema", "$defs", "title", "description"} <= record.KEYWORDS


@settings(max_examples=300)
@given(
    st.sampled_from(places(SMALL)),
    st.sampled_from(
        [..., None, True, -1, 0, 1, 2.5, "", "pull", [], [1], [-1.0], ["x"], {}, 2**60, 1e300]
    ),
)
def test_what_the_schema_refuses_is_refused_and_nothing_else_but_contradictions(path, value):
    try:
        document = changed(path, value)
    except (KeyError, IndexError):
        return
    refusal = None
    try:
        record.check(document)
    except BenchError as exc:
        refusal = str(exc)
    if VALIDATOR.is_valid(document):
        assert refusal is None or re.match(r"record\.cases\[\d+\]: ", refusal)  # a contradiction
    else:
        assert refusal is not None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("seed",), "seven", r"record\.seed is 'seven'; expected integer"),
        (("client", "cores"), ..., r"record\.client has no key 'cores'; it needs host,"),
        (("cases", 0, "direction"), "up", r"cases\[0\]\.direction is 'up'; expected one of pull, push"),
        (
            ("cases", 0, "samples", "touch", 2),
            -1.0,
            r"samples\.touch\[2\] is -1\.0; expected at least 0",
        ),
        (
            ("cases", 0, "samples", "touch", 2),
            float("nan"),
            r"touch\[2\] is nan; expected a finite number",
        ),
        (("cases", 0, "nbytes"), True, r"nbytes is True; expected integer"),
        (
            ("cases", 0, "samples", "touch"),
            [],
            r"cases\[0\]: the arrays of samples have different lengths",
        ),
        (
            ("cases", 0, "skipped"),
            "no memory",
            r"cases\[0\]: a case has either samples, or a text in 'skipped'",
        ),
        (
            ("cases", 3, "skipped"),
            None,
            r"cases\[3\]: a case has either samples, or a text in 'skipped'",
        ),
        (
            ("zbridge_bench",),
            2,
            r"major version 2; this zbridge reads 1: read it with the zbridge that wrote it",
        ),
        (("zbridge_bench",), ..., r"no record of zbridge bench: it has no key 'zbridge_bench'"),
    ],
)
def test_an_error_says_what_is_wrong_where_and_what_was_expected(path, value, message):
    with pytest.raises(BenchError, match=message) as caught:
        record.check(changed(path, value))
    assert isinstance(caught.value, BridgeError)


def test_a_transfer_that_took_no_time_is_refused():
    document = copy.deepcopy(SMALL)
    for phase in record.PHASES:
        document["cases"][0]["samples"][phase][3] = 0
    with pytest.raises(BenchError, match="a transfer took no time"):
        record.check(document)


@pytest.mark.parametrize("value", [None, [], 3, "text"])
def test_what_is_no_object_is_no_record(value):
    with pytest.raises(BenchError, match="no record"):
        record.check(value)


def test_keys_of_later_versions_are_let_through():
    assert record.check(SMALL | {"later": [1, 2]})["later"] == [1, 2]


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(record.dumps(SMALL), "utf-8")
    assert record.load(path) == SMALL
    assert json.loads(path.read_text("utf-8")) == SMALL


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"zbridge_bench": Infinity}', "[" * 100_000, "\ufeff{}"]
)
def test_a_file_that_is_not_json_is_named(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text, "utf-8")
    with pytest.raises(BenchError, match=r"run\.json is not JSON: .*; give a file that `zbridge bench"):
        record.load(path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match=r"run\.json is not JSON"):
        record.load(path)
