"""Labels are looked for in no time, whoever chose them."""

from __future__ import annotations

import time
from itertools import islice, product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import codecs
from bridge.codecs.labels import MAX_ALIKE, check_hashes
from bridge.codecs.values import is_unique
from bridge.errors import EncodeError, WireError

ALIKE = list(islice(product((-1, -2), repeat=11), MAX_ALIKE + 1))


def test_the_labels_have_one_hash():
    assert len(set(map(hash, ALIKE))) == 1


def test_different_labels_with_one_hash_are_refused_if_they_are_many():
    check_hashes(ALIKE[:-1])
    with pytest.raises(WireError, match="more than 1000 labels have one hash"):
        check_hashes([*map(str, range(5000)), *range(5000), *ALIKE])


def test_one_label_may_occur_often_and_one_may_have_no_hash():
    check_hashes([(1, 2)] * 5000)
    check_hashes([float("nan")] * 5000)
    check_hashes([[number] for number in range(5000)])


def test_columns_with_such_labels_are_refused_on_both_ends():
    labels = pd.Index(ALIKE, dtype=object, tupleize_cols=False)
    frame = pd.DataFrame(np.zeros((1, len(labels))), columns=labels)
    levels: Any = pd.MultiIndex.from_tuples(ALIKE)
    for columns in (labels, levels):
        with pytest.raises(EncodeError, match="rename them"):
            codecs.encode(frame.set_axis(columns, axis=1))
        axis, buffers = codecs.encode(columns)
        rows, _ = codecs.encode(pd.RangeIndex(0))
        descriptor = {"kind": "frame", "index": rows, "columns": axis, "blocks": []}
        with pytest.raises(WireError, match="have one hash"):
            codecs.decode(descriptor, buffers)


def colliding(count: int) -> np.ndarray:
    """Integers with one hash in pandas, which is of 32 bits: ``k >> 33 ^ k ^ k << 11``."""
    high = np.arange(count, dtype=np.uint64)
    low = first = high ^ np.uint64(0x1234567)
    for _ in range(3):
        low = (first ^ low << np.uint64(11)) & np.uint64(0xFFFFFFFF)
    return np.random.default_rng(0).permutation(high << np.uint64(33) | low).view(np.int64)


@pytest.mark.parametrize("use", ["categories", "objects", "intervals", "level", "unique"])
def test_numbers_that_collide_in_pandas_are_decoded_in_no_time(use):
    # Ten minutes, where they are put into a table of pandas'.
    labels: Any = pd.Index(colliding(500_000))
    if use == "objects":
        labels = pd.Index(labels.to_numpy().astype(object), dtype=object)
    if use == "intervals":
        labels = pd.IntervalIndex.from_arrays(labels, labels)
    index, buffers = codecs.encode(labels)
    codes, last = codecs.encode(np.zeros(1, np.int8))
    fields: dict[str, Any] = {"ordered": False, "codes": codes, "categories": index}
    descriptor = {"kind": "extension", "type": "categorical", **fields}
    parts = [*last, *buffers]
    if use == "level":
        descriptor = {"kind": "index", "levels": [index], "codes": [codes], "sortorder": None}
        parts = [*buffers, *last]
    if use == "unique":
        values, last = codecs.encode(np.zeros(len(labels), np.int8))
        descriptor = {"kind": "series", "index": index, "values": values, "unique": True}
        parts = [*buffers, *last]
    start = time.process_time()
    decoded = codecs.decode(descriptor, parts)
    assert time.process_time() - start < 30
    assert len(decoded) in (1, len(labels))


DATES = pd.DatetimeIndex(["2024-01-02", "2024-01-01", "NaT"])
INDEXES: dict[str, Any] = {
    "integers": pd.Index([3, 1, 2]),
    "floats": pd.Index([0.5, np.nan, -0.0]),
    "complex": pd.Index([1 + 2j, 1 + 1j, 2 + 1j]),
    "booleans": pd.Index([True, False]),
    "text": pd.Index(["b", "a"]),
    "objects": pd.Index(["b", 1, None, (1, 2), 1.5, float("nan")], dtype=object),
    "range": pd.RangeIndex(5),
    "dates": DATES,
    "dates of a zone": DATES.tz_localize("Europe/Berlin"),
    "durations": pd.to_timedelta([3, 1, 2], unit="s"),
    "periods": pd.PeriodIndex(["2024-02", "2024-01"], freq="M"),
    "categories": pd.CategoricalIndex(["b", "a"]),
    "intervals": pd.IntervalIndex.from_tuples([(0, 1), (0, 2), (1, 2)]),
    "nullable": pd.Index([0, 1, None], dtype="Int64"),
    "sparse": pd.Index(pd.arrays.SparseArray([0, 1, 2])),
    "arrow": pd.Index([1, 2], dtype="int64[pyarrow]"),
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]),
    "nothing": pd.Index([], dtype="int64"),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_labels_are_unique_where_pandas_says_so(index):
    assert is_unique(index)
    for twice in (index.append(index), index.append(index[-1:]), index[:0], index[:1]):
        assert is_unique(twice) == twice.is_unique
