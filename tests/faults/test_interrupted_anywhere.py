"""Ctrl-C before any line of the library: the server stops what was asked for, and the next answer is right."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import pytest

import bridge
from bridge import exchange
from tests.faults.evidence import until

LIBRARY = str(Path(bridge.__file__).parent)
LARGE = np.arange(100_000)  # 0.8 MB: three windows
SOME = 17  # a line in so many, where all take long

# A connection that nobody held at that moment is closed when it is collected; pyzmq warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed socket:ResourceWarning")


class InterruptedBefore:
    """Raises KeyboardInterrupt before the n-th line of the library that this thread runs, if there is one."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __enter__(self) -> None:
        self._others = sys.gettrace()  # such as a meter of coverage
        sys.settrace(self._trace)

    def __exit__(
        self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None
    ) -> bool:
        sys.settrace(self._others)
        return kind is KeyboardInterrupt

    @property
    def was_raised(self) -> bool:
        return self._left <= 0

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(LIBRARY):
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                sys.settrace(self._others)
                raise KeyboardInterrupt
        return self._trace


def interrupt_everywhere(
    act: Callable[[InterruptedBefore], None], check: Callable[[], None], step: int = 1
) -> None:
    number = 1
    while True:
        interrupted = InterruptedBefore(number)
        act(interrupted)
        check()
        if not interrupted.was_raised:
            break
        number += step
    assert number > 100


def nothing_is_left(server):
    service = server._service
    return not len(service._calls) and not service._inbox._open


@pytest.fixture
def server():
    # Both ends are in this process: the client's memory must not be blamed on a stranger.
    limits = bridge.Limits(unfinished=2**30)
    with bridge.Server("tcp://127.0.0.1:0", limits=limits, writable=True) as server:
        server["large"] = LARGE

        @server.stream
        def numbers():
            yield from range(10**9)

        @server.stream
        def arrays():
            while True:
                yield LARGE

        @server.query
        def add(a: int):
            return a + 2

        yield server
    gc.collect()  # while pyzmq's warnings are ignored


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setattr(
        exchange, "MAX_INLINE_BYTES", exchange.INLINE_BYTES
    )  # what is larger comes in windows
    with bridge.connect(server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "step"),
    [("numbers", 1), ("arrays", SOME), pytest.param("arrays", 1, marks=pytest.mark.slow)],
)
def test_a_stream_is_closed_whenever_its_client_is_interrupted(server, client, name, step):
    def act(interrupted):
        values = client.stream(name)
        next(values)
        with interrupted:
            next(values)

    def check():
        until(lambda: nothing_is_left(server), seconds=10)
        assert client.call("add", a=1) == 3

    interrupt_everywhere(act, check, step)


@pytest.mark.parametrize("step", [SOME, pytest.param(1, marks=pytest.mark.slow)])
def test_a_read_can_be_interrupted_anywhere_and_the_next_is_right(client, step):
    def act(interrupted):
        with interrupted:
            client.read("large")

    def check():
        np.testing.assert_array_equal(client.read("large"), LARGE)

    interrupt_everywhere(act, check, step)


@pytest.mark.parametrize("step", [SOME, pytest.param(1, marks=pytest.mark.slow)])
def test_an_upload_that_is_interrupted_is_forgotten_and_what_is_served_is_whole(server, client, step):
    def act(interrupted):
        with interrupted:
            client.put("new", LARGE)

    def check():
        until(lambda: nothing_is_left(server), seconds=10)
        if "new" in client:
            np.testing.assert_array_equal(client.read("new"), LARGE)
            del client["new"]

    interrupt_everywhere(act, check, step)
