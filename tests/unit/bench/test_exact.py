from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bridge.bench import payloads
from bridge.bench.exact import changes

ARRAY = payloads.build("f8", 800)
FRAME = payloads.build("frame-mixed", 8000)


def _with(**columns):
    return FRAME.assign(**columns)


def _frame(change):
    copy = FRAME.copy()
    copy.attrs = dict(FRAME.attrs)
    change(copy)
    return copy


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (ARRAY.tolist(), "a ndarray became a list"),
        (ARRAY.astype("f4"), "dtype float64 became float32"),
        (ARRAY.astype(">f8"), "dtype float64 became >f8"),
        (ARRAY.reshape(-1, 2), "shape (100,) became (50, 2)"),
        (ARRAY + 1e-16, "values changed"),
        (np.where(ARRAY[7] > ARRAY, -ARRAY, ARRAY), "values changed"),
    ],
)
def test_what_is_different_about_an_array_is_said(came, expected):
    assert changes(ARRAY, came) == [expected]


def test_the_bits_of_a_nan_and_the_sign_of_zero_count():
    nan = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    assert changes(nan, np.array([np.nan])) == ["values changed"]
    assert changes(np.array([0.0]), np.array([-0.0])) == ["values changed"]
    assert changes(nan, nan.copy()) == []


def test_memory_order_counts_where_there_was_one():
    array = np.arange(12).reshape(3, 4)
    assert changes(array, np.asfortranarray(array)) == ["C order became F order"]
    assert changes(np.arange(24)[::2], np.arange(24)[::2].copy()) == []


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (FRAME.to_numpy(), "a DataFrame became a ndarray"),
        (FRAME.iloc[1:], f"shape {FRAME.shape} became ({len(FRAME) - 1}, 7)"),
        (_with(level=FRAME["level"].astype("int64")), "dtype int32 became int64"),
        (_with(price=FRAME["price"] + 1e-16), "values of float64 changed"),
        (_with(symbol=FRAME["symbol"].str.upper()), "values of str changed"),
        (_with(venue=FRAME["venue"].astype(str)), "dtype category became str"),
        (FRAME.rename(columns={"size": "count"}), "values of the columns changed"),
        (FRAME.rename_axis("t"), "index: names ['time'] became ['t']"),
        (FRAME.set_axis(FRAME.index._with_freq(None)), "index: the frequency was lost"),
        (_frame(lambda frame: frame.attrs.clear()), "attrs were lost"),
        (_frame(lambda frame: frame.attrs.update(a=1)), "attrs changed"),
    ],
)
def test_what_is_different_about_a_frame_is_said(came, expected):
    assert changes(FRAME, came) == [expected]


def test_another_index_is_noticed():
    frame = payloads.build("frame-multiindex", 1000)
    flat = frame.reset_index(drop=True)
    assert changes(frame, flat)[0] == "index: MultiIndex became RangeIndex"
    assert changes(flat, flat.set_axis(pd.Index(range(1, len(flat) + 1)))) == [
        "index: RangeIndex became Index"
    ] or changes(flat, flat.set_axis(flat.index + 1)) == ["values of the index changed"]


def test_what_happens_to_many_columns_is_said_once():
    frame = payloads.build("frame-float100", 8000)
    assert changes(frame, frame.astype("float32")) == ["dtype float64 became float32"]
