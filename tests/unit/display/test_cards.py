"""Cards of catalogues: legible when they are long, harmless when they are hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.display import cards
from tests.unit.display.test_markup import HOSTILE, Reader
from tests.unit.display.test_plain import JSON


def catalogue(count: int) -> list[dict[str, object]]:
    return [
        {"name": f"run/{i:05}", "kind": "array", "dtype": "<f8", "shape": [i], "nbytes": 8 * i}
        for i in range(count)
    ]


def test_a_short_catalogue_is_shown_whole():
    page = cards.catalogue_card("tcp://lab:5555", ["round trip 1 ms"], catalogue(25))
    assert "<details" not in page
    text = Reader(page).text
    assert "tcp://lab:5555" in text
    assert "round trip 1 ms" in text
    assert "run/00024" in text
    assert "192 B" in text


def test_of_a_long_catalogue_the_rest_is_folded_under_where_it_begins_and_ends():
    page = cards.catalogue_card("tcp://lab:5555", [], catalogue(300))
    assert page.count("<details") == 3
    text = Reader(page).text
    assert "run/00020 … run/00119 (100)" in text
    assert "run/00220 … run/00299 (80)" in text


def test_ten_thousand_entries_stay_legible_and_small():
    page = cards.catalogue_card("tcp://lab:5555", [], catalogue(10_000))
    assert len(page) < 400_000
    text = Reader(page).text
    assert text.count("run/") <= cards.MOST_ROWS + 2 * page.count("<details")
    assert "9,000 more" in text


def test_an_empty_catalogue_says_so():
    assert "nothing is here yet" in cards.catalogue_card("tcp://lab:5555", [], [])


@pytest.mark.parametrize("kind", ["array", "table", "broken", "channel", "query", "stream", "object"])
@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
def test_no_entry_is_more_than_text(kind, evil):
    keys = ("name", "type", "dtype", "rows", "columns", "error", "returns", "doc")
    entry = dict.fromkeys(keys, evil) | {"kind": kind, "shape": [evil]}
    entry["parameters"] = [{"name": evil, "type": evil, "default": evil}]
    reader = Reader(cards.catalogue_card(evil, [evil], [entry] * 40))
    assert not {"script", "img"} & set(reader.tags)


@given(
    st.lists(st.dictionaries(st.sampled_from(["name", "kind", "dtype", "shape", "nbytes", "doc"]), JSON))
)
def test_whatever_a_peer_sends_as_entries_can_be_shown(entries):
    Reader(cards.catalogue_card("url", [], entries))


def test_the_columns_of_a_wide_table_are_folded():
    page = cards.columns_card("wide", "table", [(f"c{i}", "float64") for i in range(500)])
    assert page.count("<details") == 5
    assert "c20 … c119 (100)" in Reader(page).text
