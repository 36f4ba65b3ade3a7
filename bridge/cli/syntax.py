"""What is typed on the command line: filters and arguments.

Each has a small grammar of its own, read from left to right. Nothing of it is evaluated.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from bridge.display import list_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["column_finder", "parse_arguments", "parse_filter"]

_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
# Python reads more digits of a second than it keeps.
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:]+(\.[0-9]{1,6})?(Z|[+-][0-9:]+)?)?")

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'[^']*')|(?P<mark>[=!]=|[<>]=?|=|[\[\],])|(?P<word>[^\s"'\[\]<>=!,]+))"""
)
_COMPARISONS = ("==", "=", "!=", "<=", ">=", "<", ">")
_OPERATORS = "== != < <= > >=, in [...], not in [...], is null, is not null"

# Text in quotes, a mark, or anything else up to the next space; and how it was written.
Token: TypeAlias = tuple[str, str]
# Finds the label that a text means, and the Arrow type of its column if it is known.
FindColumn: TypeAlias = "Callable[[str], tuple[Any, pa.DataType | None]]"


def parse_arguments(words: Iterable[str]) -> dict[str, Any]:
    """Return the arguments that ``key=value …`` means; a value that is no JSON is text.

    Examples
    --------
    >>> parse_arguments(["channel=3", "window=hann", "limits=[0, 0.5]"])
    {'channel': 3, 'window': 'hann', 'limits': [0, 0.5]}
    """
    arguments: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise click.UsageError(f"{word!r} is no argument; write key=value")
        if key in arguments:
            raise click.UsageError(f"the argument {key!r} is given twice")
        try:
            arguments[key] = json.loads(text)
        except (ValueError, RecursionError):
            arguments[key] = text
    return arguments


def parse_filter(text: str, find_column: FindColumn) -> list[tuple[Any, str, Any]]:
    """Return the conditions that ``COLUMN OP VALUE [and …]`` means.

    Parameters
    ----------
    text
        A value is a number, true, false, text in quotes, or a date or time in ISO form; for ``in`` and ``not
        in`` a list of these in brackets. A column whose name has spaces stands in quotes.
    find_column
        Finds a column. Its type decides how values are read.

    Examples
    --------
    >>> parse_filter('price > 100 and symbol in ["ABC", "XYZ"]', lambda text: (text, None))
    [('price', '>', 100), ('symbol', 'in', ['ABC', 'XYZ'])]
    """
    tokens = _tokens(text)
    terms: list[tuple[Any, str, Any]] = []
    while True:
        label, type_ = find_column(_taken(tokens, "text", "word", expected="the name of a column")[1])
        op = _operator(tokens)
        read = _reader(label, type_) if op not in ("is null", "is not null") else None
        if op in ("in", "not in") and read:
            terms.append((label, op, _list(tokens, read)))
        else:
            terms.append((label, op, read(_value(tokens)) if read else None))
        if not tokens:
            return terms
        if tokens[0][1].lower() != "and":
            raise click.UsageError(
                f"{tokens[0][1]!r} in the filter is not expected; conditions are joined by 'and' alone"
            )
        tokens.popleft()


def column_finder(columns: Iterable[tuple[Any, pa.DataType | None]]) -> FindColumn:
    """Return a way to find columns, labels that are numbers too, among labels and types."""
    known = {str(label): (label, type_) for label, type_ in columns}

    def find(text: str) -> tuple[Any, pa.DataType | None]:
        if text not in known:
            close = difflib.get_close_matches(text, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {list_text(known, most=12)}"
            raise click.UsageError(f"there is no column {text!r}; {hint}")
        return known[text]

    return find


# ── filters ───────────────────────────────────────────────────────────────────────────────────────


def _tokens(text: str) -> deque[Token]:
    tokens: deque[Token] = deque()
    end = 0
    while text[end:].strip():
        match = _TOKEN.match(text, end)
        if match is None:
            raise click.UsageError(f"{text[end:].strip()!r} in the filter cannot be read")
        kind = str(match.lastgroup)
        tokens.append((kind, _unquoted(match[kind]) if kind == "text" else match[kind]))
        end = match.end()
    return tokens


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    try:
        return str(json.loads(text))
    except ValueError:
        raise click.UsageError(f"{text} in the filter is no JSON text") from None


def _taken(tokens: deque[Token], *kinds: str, expected: str) -> Token:
    if not tokens or tokens[0][0] not in kinds:
        found = repr(tokens[0][1]) if tokens else "nothing more"
        raise click.UsageError(f"the filter has {found} where {expected} is expected")
    return tokens.popleft()


def _operator(tokens: deque[Token]) -> str:
    kind, text = _taken(tokens, "mark", "word", expected=f"one of {_OPERATORS}")
    words = [text.lower()]
    while kind == "word" and words in (["not"], ["is"], ["is", "not"]) and tokens:
        words.append(tokens.popleft()[1].lower())
    op = " ".join(words)
    if op not in (*_COMPARISONS, "in", "not in", "is null", "is not null"):
        raise click.UsageError(f"{op!r} is no operator of a filter; there are {_OPERATORS}")
    return op


def _value(tokens: deque[Token]) -> Token:
    return _taken(tokens, "text", "word", expected="a value")


def _list(tokens: deque[Token], read: Callable[[Token], Any]) -> list[Any]:
    values: list[Any] = []
    mark = "["
    while mark != "]":
        if _taken(tokens, "mark", expected=repr(mark))[1] != mark:
            raise click.UsageError('a list in a filter is written ["a", "b"]')
        values.append(read(_value(tokens)))
        mark = "," if tokens and tokens[0] == ("mark", ",") else "]"
    if _taken(tokens, "mark", expected="']'")[1] != "]":
        raise click.UsageError('a list in a filter is written ["a", "b"]')
    return values


def _reader(label: Any, type_: pa.DataType | None) -> Callable[[Token], Any]:
    """Return what reads the values that a column is compared with."""
    from pyarrow import types

    if type_ is not None and types.is_dictionary(type_):
        type_ = type_.value_type
    expected, read = _way_to_read(type_)

    def read_or_complain(token: Token) -> Any:
        try:
            return read(*token)
        except (ValueError, ArithmeticError):
            raise click.UsageError(
                f"{token[1]!r} cannot be compared with the column {label!r}, which holds {type_ or 'objects'}; "
                f"write {expected}"
            ) from None

    return read_or_complain


def _way_to_read(type_: pa.DataType | None) -> tuple[str, Callable[[str, str], Any]]:
    """Return what a value is, in words, and what makes it from the kind and the text of a token."""
    from pyarrow import types

    if type_ is None or types.is_null(type_):
        return "a number, true, false, a date, or text in quotes", _by_its_form
    if types.is_boolean(type_):
        return "true or false", _truth
    if types.is_integer(type_) or types.is_floating(type_):
        return "a number", _number
    if types.is_decimal(type_):
        return "a number", lambda _, text: Decimal(text)
    if types.is_date(type_):
        return "a date such as 2015-12-31", lambda _, text: date.fromisoformat(text)
    if types.is_time(type_):
        return "a time such as 12:30:00", lambda _, text: time.fromisoformat(text)
    if types.is_timestamp(type_) and type_.tz is None:
        return "a date or 2015-12-31T23:59:59, without a zone", lambda _, text: _moment(text, zone=False)
    if types.is_timestamp(type_):
        return "2015-12-31T23:59:59+00:00, with a zone", lambda _, text: _moment(text, zone=True)
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "text in quotes", _text
    return "'is null' or 'is not null'", _nothing


def _truth(kind: str, text: str) -> bool:
    if kind != "word" or text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _number(kind: str, text: str) -> int | float:
    if kind != "word" or not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _text(kind: str, text: str) -> str:
    if kind != "text":
        raise ValueError(text)
    return text


def _moment(text: str, *, zone: bool) -> datetime:
    if not _ISO.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    if (moment.tzinfo is not None) != zone:
        raise ValueError(text)
    return moment


def _by_its_form(kind: str, text: str) -> Any:
    if kind == "text":
        return text
    if text in ("true", "false"):
        return text == "true"
    if _ISO.fullmatch(text):
        return (
            date.fromisoformat(text) if len(text) == len("2015-12-31") else datetime.fromisoformat(text)
        )
    return _number(kind, text)


def _nothing(kind: str, text: str) -> Any:
    raise ValueError(text)
