"""HTML in which what a peer sent stays text."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bridge.display.markup import Markup, card, element, folded, table

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><b>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "\x1b[2J\n\u202e",
]
VOID = {"br", "img", "hr", "input", "meta", "link"}


class Reader(HTMLParser):
    """Notes the tags and the text of a page, and that every element is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@given(st.text() | st.sampled_from(HOSTILE))
def test_what_is_not_markup_is_escaped_wherever_it_ends_up(text):
    page = card(
        text, text, table((text,), [(text, element("i", text))]), folded(text, element("p", text)), text
    )
    reader = Reader(page)
    assert set(reader.tags) == {
        "div",
        "style",
        "header",
        "b",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "i",
        "details",
        "summary",
        "p",
    }
    assert "<script" not in page


@given(st.text() | st.sampled_from(HOSTILE))
def test_attributes_are_escaped(text):
    assert Reader(element("td", class_=text)).tags == ["td"]


def test_markup_is_not_escaped_twice():
    assert element("p", element("b", "a & b")) == "<p><b>a &amp; b</b></p>"
    assert element("p", Markup("<hr>")) == "<p><hr></p>"


def test_what_a_terminal_obeys_is_not_in_a_card_either():
    assert "\x1b" not in element("p", "\x1b[2J")
    assert "\u202e" not in element("p", "\u202eabc")


def test_a_card_has_no_scripts_and_asks_nobody_for_anything():
    page = card("title", "subtitle")
    for word in ("script", "http:", "https:", "url(", "@import", "javascript"):
        assert word not in page
