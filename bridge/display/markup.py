"""HTML in which all that is not markup is escaped.

`element` is the only way to make markup. What is put into it is escaped unless it is markup already, so
text of a peer stays text wherever it ends up. There are no scripts and no addresses: a card is as harmless in
a page that is sent to somebody as where it was made.

The style leans on what is around it: text has the colour of the page, and lines and marks are a grey that is
seen on white and on black. Its selectors repeat the class to go before those of JupyterLab. Without it (an
untrusted notebook, a mail) tables and folded sections remain.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from html import escape
from typing import Any, Final

from bridge.errors import printable

__all__ = ["Markup", "card", "element", "folded", "table"]

_STYLE: Final = """
.zbridge { font-size: 13px; line-height: 1.5; max-width: 100%; color: inherit; overflow-x: auto }
.zbridge header { margin: 2px 0 4px; overflow-wrap: anywhere }
.zbridge header b { margin-right: .6em }
.zbridge p { margin: 4px 0 }
.zbridge .dim { opacity: .68 }
.zbridge .scroll { max-height: 26em; overflow: auto }
.zbridge.zbridge table { border-collapse: collapse; border: 0; margin: 2px 0 6px; table-layout: auto;
  font-size: inherit; color: inherit }
.zbridge.zbridge thead, .zbridge.zbridge tbody tr:nth-child(n) { background: none; border: 0 }
.zbridge.zbridge tbody tr:nth-child(n):hover { background: rgba(128, 128, 128, .14) }
.zbridge.zbridge table th, .zbridge.zbridge table td { text-align: left; vertical-align: top;
  padding: 1px 14px 1px 0; border: 0; border-bottom: 1px solid rgba(128, 128, 128, .28); max-width: 44em;
  white-space: normal; overflow-wrap: break-word }
.zbridge.zbridge table th { font-weight: 600; opacity: .68; white-space: nowrap }
.zbridge.zbridge table .number { text-align: right; white-space: nowrap }
.zbridge.zbridge table code, .zbridge.zbridge pre, .zbridge.zbridge code {
  font-family: var(--jp-code-font-family, var(--vscode-editor-font-family, monospace)); font-size: 12px;
  background: none; color: inherit; padding: 0; margin: 0; white-space: pre-wrap }
.zbridge.zbridge table td > code { display: inline-block; width: max-content;
  max-width: min(28em, 35vw); overflow-wrap: anywhere }
.zbridge summary { cursor: pointer; opacity: .8 }
.zbridge svg { vertical-align: middle; fill: currentColor; max-width: 100% }
"""


class Markup(str):
    """Text that is HTML, and is not escaped any more."""

    __slots__ = ()


def element(tag: str, *children: Any, **attributes: str) -> Markup:
    """Return an element. All of its children that are not markup, and its attributes, are escaped.

    Examples
    --------
    >>> print(element("td", "<b>", element("i", "x & y"), class_="dim"))
    <td class="dim">&lt;b&gt;<i>x &amp; y</i></td>
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for name, value in attributes.items()
    )
    return Markup(f"<{tag}{written}>{''.join(map(_escaped, children))}</{tag}>")


def table(
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Container[int] = (),
) -> Markup:
    """Return a table.

    Parameters
    ----------
    head
        The headings of its columns; empty for none.
    rows
        The cells of each row.
    numbers
        The places of columns that are aligned to the right.
    """

    def row(tag: str, cells: Sequence[Any]) -> Markup:
        return element(
            "tr",
            *(
                element(tag, cell, class_="number") if place in numbers else element(tag, cell)
                for place, cell in enumerate(cells)
            ),
        )

    heading = [element("thead", row("th", head))] if head else []
    return element("table", *heading, element("tbody", *(row("td", cells) for cells in rows)))


def folded(summary: Any, content: Markup) -> Markup:
    """Return a section that shows its content when it is clicked on."""
    return element("details", element("summary", summary), element("div", content, class_="scroll"))


def card(title: Any, subtitle: Any, *content: Any) -> str:
    """Return what a notebook shows of an object: who it is, and what there is to say."""
    header = element("header", element("b", title), element("span", subtitle, class_="dim"))
    style = element("style", Markup(_STYLE))
    return str(element("div", style, header, *content, class_="zbridge"))


def _escaped(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(printable(str(value)))
