"""Ctrl-C while data is being received."""

from __future__ import annotations

import json
import random
import signal
import threading
import time

import pytest

import bridge
from tests.faults.evidence import until
from tests.faults.proxy import Proxy
from tests.faults.served import MIB, serving, tell
from tests.processes import line_of, started

NBYTES = 32 * MIB
# A read takes about so long, in seconds.
READ_SECONDS = 0.03
# A call promises 0.5 s. On a busy machine the process may not even have been scheduled by then.
RETURN_SECONDS = 2.0


@pytest.mark.parametrize("count", [20, pytest.param(50, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_time_returns_at_once_frees_the_server_and_leaves_the_client_usable(count):
    chance = random.Random(count)
    with (
        serving({"array": ["numbers", NBYTES]}) as (url, _),
        bridge.connect(url) as observer,
        started("-m", "tests.faults.reading", "interrupted", url, "array") as process,
    ):
        returned = []
        for _ in range(count):
            tell(process)
            assert line_of(process) == "reading"
            time.sleep(
                chance.uniform(0, 3 * READ_SECONDS)
            )  # not to wait for anything: any moment will do
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            said = json.loads(line_of(process))
            assert said["right"]
            returned.append((said["at"] - sent, said["arrived"]))
        # Of an answer that was not here yet when the signal came, the client cannot know how to free it.
        unknown = sum(arrived is None for _, arrived in returned)
        until(lambda: observer.call("transfers") <= unknown)
    assert max(seconds for seconds, _ in returned) < RETURN_SECONDS
    assert unknown < count / 2


def test_after_ctrl_c_in_mid_reply_the_naive_client_cannot_ask_again():
    with (
        serving({"array": ["numbers", NBYTES]}, program="naive") as (url, _),
        Proxy(url) as proxy,
        started("-m", "tests.faults.reading", "interrupted naive", proxy.url, "array") as process,
    ):
        swallowed = threading.Event()

        def swallow():
            proxy.swallow()
            swallowed.set()

        proxy.after(NBYTES // 2, swallow)
        assert line_of(process) == "reading"
        assert swallowed.wait(20)
        process.send_signal(signal.SIGINT)
        assert line_of(process) == "Operation cannot be accomplished in current state"
