"""Servers that answer without end, or with more than was asked: a client gives up, in time and in memory."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
import zmq

import bridge
from bridge.limits import MAX_INLINE
from tests import peers

LIMITS = {"request": 2**26, "request_header": 2**16, "reply": 2**28, "part": 2**22}
HELLO = {"version": "1", "instance": "i", "features": [], "limits": LIMITS}


@contextlib.contextmanager
def answering(answer: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> Iterator[str]:
    """A server that says hello and has an empty catalogue, unless `answer` knows better."""
    usual: dict[str, dict[str, Any]] = {
        "hello": {"hello": HELLO},
        "list": {"entries": [], "more": False},
    }

    def reply(router: zmq.Socket[bytes], message: list[bytes]) -> None:
        peer, empty, header, *_ = message
        request = json.loads(header)
        keys = answer(request["op"], request)
        if keys is None:
            keys = usual.get(request["op"], {})
        router.send_multipart(
            [peer, empty, json.dumps({"bridge": 1, "id": request["id"], **keys}).encode()]
        )

    with peers.router(reply) as url:
        yield url


def endless(text: str = "") -> Callable[[], dict[str, Any]]:
    numbers = itertools.count(1)

    def page() -> dict[str, Any]:
        first = next(numbers)
        names = [f"{first:09d}-{number:04d}{text}" for number in range(100)]
        return {"entries": [{"name": name, "kind": "object"} for name in names], "more": True}

    return page


def test_a_catalogue_without_end_does_not_hold_up_connect(monkeypatch):
    monkeypatch.setattr("bridge.client.CONNECT_SECONDS", 0.5)
    page = endless()
    with (
        answering(lambda op, _: page() if op == "list" else None) as url,
        pytest.raises(bridge.TransportError, match="its catalogue does not come"),
    ):
        bridge.connect(url)


def test_a_catalogue_without_end_is_refused_before_it_fills_memory(monkeypatch):
    monkeypatch.setattr("bridge.client.MAX_CATALOGUE", 100_000)
    page = endless()
    asked: list[str] = []

    def answer(op, keys):
        asked.append(op)
        return page() if (op == "list" and "after" in keys) or len(asked) > 2 else None

    with (
        answering(answer) as url,
        bridge.connect(url) as b,
        pytest.raises(
            bridge.WireError, match="catalogue is larger than 100000 characters; read what is"
        ),
    ):
        b.entries()
    assert len(asked) < 50


def test_a_look_for_completion_is_given_up(monkeypatch):
    monkeypatch.setattr("bridge.client.NAMES_SECONDS", -1.0)
    monkeypatch.setattr("bridge.client.LOOK_SECONDS", 0.3)
    page = endless()
    looks = itertools.count()
    with (
        answering(lambda op, _: page() if op == "list" and next(looks) else None) as url,
        bridge.connect(url) as b,
    ):
        assert b._ipython_key_completions_() == []
        with pytest.raises(bridge.IdleTimeout, match="goes on with its catalogue"):
            b._look.result(10)


@pytest.mark.parametrize("following", [[2, 1000], [2, 2], [2, 0]])
def test_rows_that_leave_others_out_or_come_again_are_refused(following):
    numbers = iter(following)

    def answer(op, keys):
        rows = {"kind": "tree", "value": [1, 2]}
        return {"next": next(numbers), "version": "v", "object": rows} if op == "get" else None

    with answering(answer) as url, bridge.connect(url) as b:
        rows = b.follow("rows", start=0)
        assert next(rows) == [1, 2]
        with pytest.raises(
            bridge.WireError, match=f"2 rows of 'rows' from 2 on, .* {following[1]} is next"
        ):
            next(rows)


@pytest.mark.parametrize("what", ["call", "follow"])
def test_who_says_at_once_that_nothing_is_there_is_not_asked_at_once_again(what):
    asked: list[float] = []

    def answer(op, keys):
        if op in ("call", "wait"):
            asked.append(time.monotonic())
            return {"call": keys["call"]} if len(asked) < 4 else {}
        if op == "get":
            asked.append(time.monotonic())
            return (
                {"next": 0, "version": "v"} if len(asked) < 4 else {"next": 0, "version": "v", "lost": 1}
            )
        return None

    with answering(answer) as url, bridge.connect(url) as b:
        start = time.monotonic()
        if what == "call":
            with pytest.raises(TypeError):
                b.call("f")
        else:
            with pytest.raises(bridge.Lagged):
                next(b.follow("rows", start=0))
    assert len(asked) == 4
    assert asked[-1] - start > 3 * 0.04  # a moment between two, however late they came


def test_a_frame_that_nobody_asked_for_ends_its_connection_before_it_takes_memory():
    heard: list[str] = []

    def reply(router, message):
        peer, empty, header, *_ = message
        request = json.loads(header)
        heard.append(request["op"])
        keys = {"hello": HELLO} if request["op"] == "hello" else {"entries": [], "more": False}
        if request["op"] == "describe":
            router.send_multipart([peer, empty, b"x", bytes(MAX_INLINE + 2**21)])
            return
        router.send_multipart(
            [peer, empty, json.dumps({"bridge": 1, "id": request["id"], **keys}).encode()]
        )

    with peers.router(reply) as url, bridge.connect(url, timeout=1.0) as b:
        with pytest.raises(bridge.TransportError):
            b["x"]
        assert heard.count("describe") > 1  # each on a connection of its own


def test_a_description_that_is_large_comes_in_parts():
    labels = [f"{number:06d}" * 20 for number in range(200_000)]
    frame = pd.DataFrame({"who": pd.Categorical(labels[:2], categories=labels)})
    with bridge.serve(frame=frame) as srv, bridge.connect(srv.url) as b:
        assert list(b["frame"].dtypes["who"].categories) == labels
