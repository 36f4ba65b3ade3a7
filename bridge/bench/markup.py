"""Elements of HTML and SVG. Text and attributes are escaped where they are written, by the standard library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree as ET

from bridge.display import lines

__all__ = ["Element", "Node", "element", "html", "table"]

Element: TypeAlias = ET.Element

# What may stand in an element: text, or another element.
Node: TypeAlias = Element | str


def element(tag: str, *children: Node, **attributes: str | float) -> Element:
    """Return an element with text and elements in it.

    Attributes are written as in HTML, with ``_`` for ``-`` and a trailing ``_`` where Python has the word.
    Control characters of any text are shown as escapes.

    Examples
    --------
    >>> html(element("p", "a < b & ", element("b", "c"), class_="note", data_x='"'))
    '<p class="note" data-x="&quot;">a &lt; b &amp; <b>c</b></p>'
    """
    made = ET.Element(
        tag,
        {name.rstrip("_").replace("_", "-"): _written(value) for name, value in attributes.items()},
    )
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            if last is None:
                made.text = (made.text or "") + lines(child)
            else:
                last.tail = (last.tail or "") + lines(child)
        else:
            made.append(child)
            last = child
    return made


def html(root: Element) -> str:
    """Return the text of an element and what is in it."""
    return ET.tostring(root, encoding="unicode", method="html")


def table(
    head: Iterable[Node], rows: Iterable[Iterable[Node]], *, caption: str, class_: str = "numbers"
) -> Element:
    """Return a table that can be scrolled sideways by itself. The first cell of each row is its head."""
    body = []
    for row in rows:
        first, *cells = row
        body.append(element("tr", element("th", first, scope="row"), *(element("td", c) for c in cells)))
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
            element("tbody", *body),
            class_=class_,
        ),
        class_="wide",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return lines(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")
