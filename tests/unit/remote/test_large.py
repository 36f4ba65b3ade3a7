"""What a read will cost, and reads that nobody asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.remote import Ways, handle_of

FRAME = pd.DataFrame({"a": range(4), "b": list("wxyz")})


def fetch(name, **options):
    raise AssertionError("something was fetched")


def array(shape=(1000, 100), rate=None):
    entry: dict[str, Any] = {"name": "x", "kind": "array", "dtype": "<f8", "shape": list(shape)}
    entry |= {"nbytes": 8 * int(np.prod(shape))}
    ways = Ways(fetch=fetch, call=fetch, stream=fetch, follow=fetch, rate=lambda: rate)
    return handle_of(entry, ways)


def table(rate=None):
    entry = {"name": "t", "kind": "table", "format": "pandas", "rows": 1000, "columns": 2}
    entry["nbytes"] = 16_000
    ways = Ways(fetch=fetch, call=fetch, stream=fetch, follow=fetch, rate=lambda: rate)
    return handle_of(entry, ways, FRAME.iloc[:0])


@pytest.fixture
def few_bytes():
    before = bridge.options.confirm_above
    bridge.options.confirm_above = "1kiB"
    yield
    bridge.options.confirm_above = before


def test_a_plan_says_bytes_memory_and_seconds_without_fetching():
    plan = array(rate=1e6).plan()
    assert (plan.name, plan.nbytes, plan.rate, plan.seconds) == ("x", 800_000, 1e6, 0.8)
    assert 800_000 <= plan.memory <= 1_600_000
    assert "781.2 KiB" in repr(plan)
    assert "800.0 ms at 976.6 KiB/s" in repr(plan)
    assert "781.2 KiB" in plan._repr_html_()


def test_without_a_measured_rate_a_plan_gives_no_time():
    plan = array().plan()
    assert plan.seconds is None
    assert "not known" in repr(plan)


def test_of_what_takes_a_round_trip_a_plan_gives_no_time():
    assert "time" not in repr(array((4,), rate=1e9).plan())


def test_what_is_on_its_way_is_bounded():
    plan = array((10_000_000, 100)).plan()
    assert plan.memory - plan.nbytes == 64 * 2**20


@pytest.mark.parametrize(
    ("index", "nbytes"),
    [(None, 800_000), (np.s_[::2], 400_000), (np.s_[3, 4], 8), (np.s_[[1, 2, 5]], 2400)],
    ids=str,
)
def test_a_part_is_planned_by_its_index(index, nbytes):
    assert array().plan(index).nbytes == nbytes


def test_an_index_that_does_not_fit_has_no_plan():
    with pytest.raises(IndexError):
        array().plan(5000)


def test_a_narrower_table_costs_in_proportion():
    assert table().plan().nbytes == 16_000
    assert table().slice(0, 100).plan().nbytes == 1600
    assert table().select(["a"]).slice(0, 100).plan().nbytes == 800
    assert table().filter([("a", ">", 1)]).plan().nbytes == 16_000
    assert table(rate=1e3).select(["a"]).plan().seconds == 8.0


def test_a_narrower_table_is_shown_with_its_own_size():
    narrow = table().slice(0, 100).select(["a"])
    assert "100 rows × 1 column (a), 800 B" in repr(narrow)
    assert "100 rows × 1 column, 800 B" in narrow._repr_html_()
    assert "1,000 rows × 2 columns (a, b), 15.6 KiB" in repr(table())


def test_more_than_the_limit_is_not_fetched_by_the_way(few_bytes):
    for fetched_by_the_way in (np.asarray, list, sum):
        with pytest.raises(
            ValueError, match=r"781.2 KiB of 'x', more than bridge.options.confirm_above"
        ):
            fetched_by_the_way(array())
    with pytest.raises(ValueError, match=r"write b\['t'\].to_arrow\(\)"):
        table().__arrow_c_stream__()


def test_the_refusal_says_how_to_say_yes(few_bytes):
    with pytest.raises(ValueError, match=r"write b\['x'\].read\(\), or raise the limit"):
        np.asarray(array())
    with pytest.raises(ValueError, match=r"for block in b\['x'\].blocks\(\)"):
        iter(array()).__next__()


def test_what_is_asked_for_in_so_many_words_is_fetched(few_bytes):
    for asked in (lambda: array().read(), lambda: array()[:], lambda: table().to_pandas()):
        with pytest.raises(AssertionError, match="something was fetched"):
            asked()


@pytest.mark.parametrize("limit", [None, "1TiB", 800_000])
def test_the_limit_may_be_raised_or_taken_away(limit, few_bytes):
    bridge.options.confirm_above = limit
    with pytest.raises(AssertionError, match="something was fetched"):
        np.asarray(array())


def test_an_option_is_checked_when_it_is_set():
    with pytest.raises(ValueError, match="'much' is no size"):
        bridge.options.confirm_above = "much"
    with pytest.raises(AttributeError):
        bridge.options.confirm_abov = 1  # type: ignore[attr-defined]
    assert bridge.options.confirm_above == 8 * 2**30
