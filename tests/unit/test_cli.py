"""What is typed on the command line is read by small strict parsers, and what is printed is exact."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli import commands, files, show
from bridge.cli.echo import json_text
from bridge.cli.log import FORMATTERS
from bridge.cli.syntax import column_finder, parse_arguments, parse_filter
from bridge.entrance import for_others
from bridge.errors import EncodeError, printable

COLUMNS = {
    "n": pa.int64(),
    "price": pa.float64(),
    "cost": pa.decimal128(10, 2),
    "day": pa.date32(),
    "at": pa.timestamp("us"),
    "seen": pa.timestamp("us", tz="UTC"),
    "ok": pa.bool_(),
    "symbol": pa.string(),
    "kind": pa.dictionary(pa.int8(), pa.string()),
    "two words": pa.int64(),
    "parts": pa.list_(pa.int64()),
    "any": None,
}


def conditions(text):
    return parse_filter(text, column_finder(COLUMNS.items()))


def test_arguments_are_json_and_else_text():
    words = ["a=3", "b=hann", 'c="3"', "d=[0, 0.5]", "e=null", "f=", "g=x=y", "h=" + "[" * 100_000]
    values = parse_arguments(words)
    assert list(values.values())[:7] == [3, "hann", "3", [0, 0.5], None, "", "x=y"]
    assert values["h"].startswith("[[[")


@pytest.mark.parametrize("words", [["a"], ["=3"], ["a b=3"], ["a=1", "a=2"]])
def test_what_is_no_argument_is_refused(words):
    with pytest.raises(click.UsageError, match="argument"):
        parse_arguments(words)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("n > 2", [("n", ">", 2)]),
        ("n>=-2", [("n", ">=", -2)]),
        ("price = 1e3", [("price", "=", 1000.0)]),
        ("cost == 0.10", [("cost", "==", Decimal("0.10"))]),
        ("day < 2015-12-31", [("day", "<", date(2015, 12, 31))]),
        ("at != 2015-12-31", [("at", "!=", datetime(2015, 12, 31))]),
        ("at > '2015-12-31 12:30'", [("at", ">", datetime(2015, 12, 31, 12, 30))]),
        ("seen > 2015-12-31T12:30:00Z", [("seen", ">", datetime(2015, 12, 31, 12, 30, tzinfo=UTC))]),
        ("ok == true", [("ok", "==", True)]),
        ('symbol == "A\\u0042"', [("symbol", "==", "AB")]),
        ("symbol == '2015-12-31'", [("symbol", "==", "2015-12-31")]),
        ("kind in ['a', \"b\"]", [("kind", "in", ["a", "b"])]),
        ("n not in [1,2]", [("n", "not in", [1, 2])]),
        ("parts is null AND n is not null", [("parts", "is null", None), ("n", "is not null", None)]),
        ("'two words' < 3 and symbol == ' and '", [("two words", "<", 3), ("symbol", "==", " and ")]),
        ("any == 2015-12-31", [("any", "==", date(2015, 12, 31))]),
        ("any == 'x' and any == 2 and any == false", [("any", "==", v) for v in ("x", 2, False)]),
    ],
)
def test_a_filter_is_read_by_the_types_of_its_columns(text, terms):
    assert conditions(text) == terms
    assert [type(value) for _, _, value in conditions(text)] == [type(value) for _, _, value in terms]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the name of a column is expected"),
        ("n", "one of == !="),
        ("n >", "a value is expected"),
        ("n > 2 or n < 1", "joined by 'and' alone"),
        ("n > 2 and", "the name of a column"),
        ("prise > 2", "no column 'prise'; did you mean 'price'"),
        ("m > 2", "no column 'm'; there are n, price"),
        ("n ~ 2", "'~' is no operator"),
        ("n is 2", "'is 2' is no operator"),
        ("n > two", "write a number"),
        ("n > '2'", "write a number"),
        ("n > nan", "write a number"),
        ("symbol == ABC", "write text in quotes"),
        ("symbol == 'ABC", "cannot be read"),
        ('symbol == "\\x"', "no JSON text"),
        ("at > 2015", "write a date or"),
        ("at > 2015-02-30", "write a date or"),
        ("at > 2015-12-31T12:00:00.1234567", "write a date or"),
        ("at > 2015-12-31T12:00Z", "without a zone"),
        ("seen > 2015-12-31", "with a zone"),
        ("ok == 1", "write true or false"),
        ("parts == 1", "write 'is null' or"),
        ("n in 3", "'\\['"),
        ("n in []", "a value is expected"),
        ("n in [1", "']'"),
        ("n in [1 2]", "']'"),
        ("n == __import__('os')", "cannot be compared|joined by|write a number"),
    ],
)
def test_a_filter_that_is_none_is_refused_with_what_to_write(text, complaint):
    with pytest.raises(click.UsageError, match=complaint):
        conditions(text)


@given(st.text(max_size=30))
def test_any_text_is_a_filter_or_a_usage_error(text):
    with contextlib.suppress(click.UsageError):
        conditions(text)


@st.composite
def arrays_and_indexes(draw):
    shape = tuple(draw(st.lists(st.integers(0, 30), max_size=4)))
    bound = st.none() | st.integers(-40, 40)
    items = [
        draw(
            st.slices(length)
            | st.builds(slice, bound, bound, st.sampled_from([None, -3, -1, 1, 2]))
            | (st.integers(-length, length - 1) if length else st.just(slice(None)))
        )
        for length in draw(st.sampled_from([shape, shape[:1], shape[:2]]))
    ]
    place = draw(st.integers(0, len(items)))
    if place == len(items) and draw(st.booleans()):
        items.append(...)
    if draw(st.booleans()):
        items.insert(place, None)
    return np.arange(math.prod(shape)).reshape(shape), tuple(items)


@given(arrays_and_indexes())
def test_the_first_items_are_the_corner_of_what_an_index_selects(drawn):
    array, index = drawn
    selected = array[index]
    first = array[show.first_items(array.shape, index)]
    assert first.ndim == selected.ndim
    corner = selected[tuple(slice(length) for length in first.shape)]
    np.testing.assert_array_equal(first, corner)
    assert (first.size == 0) == (selected.size == 0)


def test_of_a_large_array_little_is_fetched_to_look_at():
    index = show.first_items((10**9,) * 60)
    assert math.prod(len(range(*item.indices(10**9))) for item in index) <= show.ITEMS


def test_values_are_printed_as_json_without_loss_of_what_json_has():
    value = {
        1: [None, True, 0.1 + 0.2, math.nan, math.inf, "ä"],
        "array": np.array([1.5, np.nan]),
        "times": np.array(["2020-01-01T00:00:00.000000001", "NaT"], "M8[ns]"),
        "scalar": np.float32(0.5),
        "bytes": b"\xff",
        "date": date(2020, 1, 1),
        "complex": 1 + 2j,
        "missing": [pd.NaT, pd.NA],
        "decimals": [Decimal("0.10"), Decimal("NaN"), Decimal("sNaN")],
    }
    assert show.plain(value) == {
        "1": [None, True, 0.1 + 0.2, None, None, "ä"],
        "array": [1.5, None],
        "times": ["2020-01-01T00:00:00.000000001", None],
        "scalar": 0.5,
        "bytes": "/w==",
        "date": "2020-01-01",
        "complex": [1.0, 2.0],
        "missing": [None, None],
        "decimals": ["0.10", None, None],
    }


@pytest.mark.parametrize(
    "value",
    [
        10**5000,
        [10**5000],
        pd.Series(
            pd.arrays.DatetimeArray._simple_new(  # type: ignore[attr-defined]
                np.array([2**62], "M8[s]"), dtype=pd.DatetimeTZDtype("s", "Europe/Berlin")
            )
        ),
    ],
    ids=["int", "list", "times"],
)
def test_a_value_that_has_no_text_is_refused_in_a_sentence(value):
    for shown in (show.text, show.plain):
        with pytest.raises(click.ClickException, match=r"cannot be printed.*; read it in Python"):
            shown(value)


def test_a_table_is_printed_as_its_rows():
    frame = pd.DataFrame({"t": pd.DatetimeIndex(["2020-01-01", "NaT"]), 2: pd.array([1, None], "Int64")})
    rows = [{"t": "2020-01-01T00:00:00", "2": 1}, {"t": None, "2": None}]
    assert show.plain(frame) == rows
    assert show.plain(pa.table({"a": ["x", None]})) == [{"a": "x"}, {"a": None}]


def test_a_file_appears_when_it_is_complete_and_never_in_part(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("old")
    with contextlib.suppress(KeyboardInterrupt), files.replacing(str(path)) as new:
        new.write_text("half")
        raise KeyboardInterrupt
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x.csv", "old")]
    with files.replacing(str(path)) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x.csv", "new")]


def test_a_link_is_followed_and_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with files.replacing(str(tmp_path / "link")) as new:
        new.write_text("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "x"
    for place in (tmp_path, tmp_path / "no" / "x"):
        with pytest.raises(click.ClickException), files.replacing(str(place)):
            pass


def record(name, **fields):
    made = logging.makeLogRecord(
        {"name": name, "levelno": logging.INFO, "levelname": "INFO", "created": 0.0, "msecs": 0.0}
    )
    vars(made).update(fields)
    return made


QUERY = {
    "peer": "10.0.0.7",
    "key": "ada SHA256:00",
    "op": "get",
    "name_": "a\nb",
    "nbytes": 2048,
    "ms": 1.25,
    "outcome": "ok",
}


def test_the_log_of_a_query_is_a_line_for_people():
    line = FORMATTERS["text"]().format(record("bridge.audit", **QUERY))
    assert line.endswith(r" 10.0.0.7 ada SHA256:00 get 'a\nb' 2.0 KiB 1.2 ms ok")
    assert (
        FORMATTERS["text"]().format(record("bridge", msg="open to all")).endswith(" info: open to all")
    )


def test_an_array_of_objects_is_refused_as_serve_refuses_it(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}, 1], dtype=object))
    with pytest.raises(EncodeError, match="object dtype holds Python objects; convert to a plain dtype"):
        files.load(path)


def test_the_log_of_a_query_is_a_line_of_json():
    line = FORMATTERS["json"]().format(record("bridge.audit", **QUERY))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "peer": "10.0.0.7",
        "key": "ada SHA256:00",
        "op": "get",
        "name": "a\nb",
        "nbytes": 2048,
        "ms": 1.25,
        "outcome": "ok",
    }
    assert json.loads(FORMATTERS["json"]().format(record("bridge", msg="hi")))["message"] == "hi"


def test_the_log_tells_what_went_wrong_without_what_a_terminal_would_obey():
    for form in FORMATTERS.values():
        line = form().format(record("bridge", msg="no column \x1b[2J\x9b2J\u202e"))
        assert line.isprintable()
        assert "no column" in line


@given(st.text())
def test_json_means_the_same_and_has_nothing_that_a_terminal_would_obey(value):
    line = json_text(value + "\x7f\x9b\u061c\u202e\ud800")
    assert json.loads(line) == value + "\x7f\x9b\u061c\u202e\ud800"
    assert printable(line) == line


def test_all_that_commands_print_goes_through_one_file():
    folder = Path(show.__file__).parent
    texts = {path.name: path.read_text("utf-8") for path in folder.glob("*.py")}
    assert [name for name, text in texts.items() if re.search(r"click\.s?echo\(", text)] == ["echo.py"]


def every_command(group=commands, before=""):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, f"{name} ")
        else:
            yield before + name, command


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(*pair, id=pair[0]) for pair in every_command()]
)
def test_every_command_has_json_and_examples(name, command):
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    assert f"\n  zbridge {name.removesuffix(' URL')}" in (command.epilog or "")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("tcp://0.0.0.0:5555", "tcp://lab:5555"),
        ("bridge://5e@0.0.0.0:5555", "bridge://5e@lab:5555"),
        ("tcp://[::]:5555", "tcp://lab:5555"),
        ("tcp://10.0.0.0:5555", "tcp://10.0.0.0:5555"),
        ("tcp://[fe80::]:5555", "tcp://[fe80::]:5555"),
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555"),
    ],
)
def test_others_are_told_the_name_of_this_computer_where_all_its_addresses_are_meant(
    url, told, monkeypatch
):
    monkeypatch.setattr("socket.gethostname", lambda: "lab")
    assert for_others(url) == told
