"""What notebooks show: cards in HTML of a catalogue, its objects, and what was done with them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, Final

from bridge.display.markup import Markup, card, element, folded, table
from bridge.display.plain import entry_text, nbytes_text, text

__all__ = ["catalogue_card", "columns_card", "facts_card", "handle_card"]

# So many rows are shown at once; the others are in folded sections of so many, and of a very long list not
# all are: a saved notebook holds what it shows.
OPEN_ROWS: Final = 20
FOLDED_ROWS: Final = 100
MOST_ROWS: Final = 1000

Row = Sequence[Any]


def catalogue_card(title: str, facts: Iterable[str], entries: Sequence[dict[str, Any]]) -> str:
    """Return the card of a catalogue: a row for each entry, the first ones open."""
    content = _long_table(
        ("name", "kind", "what", "size", ""),
        entries,
        _catalogue_row,
        label=lambda entry: text(entry.get("name")),
        numbers={3},
        beyond="list(b) has them all, and the Tab key completes them in b[…]",
    )
    return card(title, " · ".join(facts), *content)


def facts_card(title: str, subtitle: str, facts: dict[str, Any], *content: Any) -> str:
    """Return a card of names and values."""
    rows = [(element("span", name, class_="dim"), value) for name, value in facts.items()]
    return card(title, subtitle, table((), rows), *content)


def handle_card(kind: str, name: str, what: str, doc: str = "") -> str:
    """Return the card of an object on a server that has no columns."""
    content = [element("pre", doc)] if doc else []
    return card(text(name), f"{kind} · {what}", *content)


def columns_card(title: str, what: str, columns: Sequence[tuple[Any, Any]]) -> str:
    """Return the card of a table: its columns and their dtypes, of a wide one the first open."""
    content = _long_table(
        ("column", "dtype"),
        columns,
        lambda column: (element("code", text(column[0])), text(column[1])),
        label=lambda column: text(column[0]),
        beyond="columns and dtypes list them all",
    )
    return card(text(title), what, *content)


def _long_table(
    head: Row,
    items: Sequence[Any],
    row: Callable[[Any], Row],
    *,
    label: Callable[[Any], str],
    beyond: str,
    numbers: Container[int] = (),
) -> list[Markup]:
    """Return a table in pieces: the first rows, then folded sections, and what to do about the rest.

    Parameters
    ----------
    row
        Makes the cells of an item.
    label
        Says how a section begins and ends.
    """
    if not items:
        return [element("p", "nothing is here yet", class_="dim")]
    # Of a list that is only a little longer, nothing is folded.
    opened = OPEN_ROWS if len(items) > OPEN_ROWS * 3 // 2 else len(items)
    pieces = [table(head, map(row, items[:opened]), numbers=numbers)]
    for start in range(opened, min(len(items), MOST_ROWS), FOLDED_ROWS):
        part = items[start : min(start + FOLDED_ROWS, MOST_ROWS)]
        summary = f"{label(part[0])} … {label(part[-1])} ({len(part)})"
        pieces.append(folded(summary, table(head, map(row, part), numbers=numbers)))
    if len(items) > MOST_ROWS:
        pieces.append(element("p", f"… and {len(items) - MOST_ROWS:,} more; {beyond}", class_="dim"))
    return pieces


def _catalogue_row(entry: dict[str, Any]) -> Row:
    size = nbytes_text(entry["nbytes"]) if type(entry.get("nbytes")) is int else ""
    what = entry_text(entry).removesuffix(f", {size}")
    return (
        element("code", text(entry.get("name"))),
        text(entry.get("kind")),
        what.removeprefix("table ").removeprefix("channel, "),
        size,
        element("span", text(entry.get("doc", "")), class_="dim"),
    )
