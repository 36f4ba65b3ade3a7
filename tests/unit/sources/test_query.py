"""Functions that answer queries: what is known of them, and which results are kept."""

from __future__ import annotations

import functools
import time

import numpy as np
import pytest

from bridge import codecs
from bridge.sources import query
from bridge.sources.query import Query


def nothing():
    pass


def result_of(nbytes):
    return codecs.encode(np.zeros(nbytes, np.uint8))


@pytest.fixture
def clock(monkeypatch):
    """Sets the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return functools.partial(now.__setitem__, 0)


def test_the_entry_tells_parameters_and_documentation():
    def spectrum(channel: int, window: str = "hann", **more) -> float:
        """Of one channel."""
        return 0.0

    entry = Query(spectrum).entry()
    assert entry["kind"] == "query"
    assert entry["parameters"] == [
        {"name": "channel", "type": "int"},
        {"name": "window", "type": "str", "default": "'hann'"},
        {"name": "more", "any": True},
    ]
    assert (entry["returns"], entry["doc"]) == ("float", "Of one channel.")
    assert Query(spectrum, is_stream=True).entry()["kind"] == "stream"


def test_long_defaults_are_cut():
    def f(x="y" * 1000):
        pass

    (parameter,) = Query(f).entry()["parameters"]
    assert len(parameter["default"]) == query.MAX_TEXT


def test_a_generator_function_is_served_as_a_stream_only():
    def values():
        yield 1

    with pytest.raises(TypeError, match=r"serve it with @srv\.stream"):
        Query(values)
    Query(values, is_stream=True)


@pytest.mark.parametrize("function", [lambda x, /: x, lambda *x: x], ids=["/", "*"])
def test_what_cannot_be_given_by_name_is_refused(function):
    with pytest.raises(TypeError, match="cannot be given by name"):
        Query(function)


def test_nothing_is_kept_by_default():
    f = Query(nothing)
    f.keep(b"1", result_of(1))
    assert f.kept(b"1") is None


def test_a_result_is_kept_for_its_time_and_then_given_back(clock):
    f = Query(nothing, keep_seconds=60)
    result = result_of(10)
    f.keep(b"1", result)
    clock(159.0)
    assert f.kept(b"1") is result
    assert f.kept(b"2") is None
    clock(160.0)
    assert f.kept(b"1") is None
    assert not f._kept
    assert f._kept_bytes == 0


def test_the_same_result_twice_counts_once(clock):
    f = Query(nothing, keep_seconds=60)
    for _ in range(3):
        f.keep(b"1", result_of(10))
    assert f._kept_bytes == 10


def test_what_is_kept_has_a_bounded_number_and_size():
    f = Query(nothing, keep_seconds=60)
    f.keep(b"large", result_of(query.MAX_KEPT_BYTES + 1))
    assert f.kept(b"large") is None
    for number in range(query.MAX_KEPT + 1):
        f.keep(b"%d" % number, result_of(1))
    assert f.kept(b"0") is None
    assert f.kept(b"1") is not None
    f.keep(b"half", result_of(query.MAX_KEPT_BYTES // 2))
    f.keep(b"more than half", result_of(query.MAX_KEPT_BYTES // 2 + 1))
    assert f.kept(b"half") is None
    assert f.kept(b"more than half") is not None
    assert f._kept_bytes <= query.MAX_KEPT_BYTES
