"""Beside a stranger who means no good, an honest client is served, in bounded memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

import bridge
from tests.faults import strangers
from tests.faults.evidence import until
from tests.faults.memory import MIB, forget_peak, only_on_linux, peak, resident
from tests.faults.served import numbers, serving
from tests.processes import line_of, started

pytestmark = [only_on_linux, pytest.mark.slow]

ALLOWED = 256 * MIB
SOURCES = {"small": ["numbers", 800], "large": ["numbers", 16 * MIB]}


@pytest.fixture(scope="module")
def served():
    with serving(SOURCES) as (url, server):
        yield url, server


@pytest.mark.parametrize("name", strangers.STRANGERS)
def test_an_honest_client_is_answered_beside(served, name):
    url, server = served
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    with bridge.connect(url, timeout=40.0) as client:
        before = resident(server.pid)
        forget_peak(server.pid)
        with started("-m", "tests.faults.strangers", name, host, port) as stranger:
            os.setpriority(os.PRIO_PROCESS, stranger.pid, 19)  # elsewhere he has another processor
            line_of(stranger)
            for _ in range(5):
                np.testing.assert_array_equal(client.read("small"), numbers(800))
                np.testing.assert_array_equal(client.read("large"), numbers(16 * MIB))
        assert peak(server.pid) - before <= ALLOWED
        np.testing.assert_array_equal(client.read("large"), numbers(16 * MIB))
    with bridge.connect(url) as another:
        assert sorted(another) == ["large", "replace", "small", "transfers"]
    assert server.poll() is None


def test_what_a_stranger_took_is_given_back_however_long_he_goes_on(served):
    url, server = served
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    before = resident(server.pid)
    forget_peak(server.pid)
    with bridge.connect(url, timeout=40.0) as client:
        with started("-m", "tests.faults.strangers", "an endless multipart", host, port) as stranger:
            line_of(stranger)
            for _ in range(10_000):  # some seconds
                client.read("small")
        assert peak(server.pid) - before <= ALLOWED
        until(lambda: resident(server.pid) - before < 64 * MIB)
        np.testing.assert_array_equal(client.read("small"), numbers(800))
