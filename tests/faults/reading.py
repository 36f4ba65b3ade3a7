"""A client in a process of its own: ``python -m tests.faults.reading TASK URL NAME``."""

from __future__ import annotations

import itertools
import json
import sys
import time

import numpy as np
import zmq

import bridge
from tests.faults import naive
from tests.faults.served import MIB, numbers, say


def interrupted(url: str, name: str) -> None:
    """Read again and again until Ctrl-C, say what came of it, read once more in peace; and so on."""
    client = bridge.connect(url)
    expected = numbers(client[name].nbytes)
    while True:
        sys.stdin.readline()
        said: dict[str, object] = {}
        try:
            say("reading")
            while True:
                assert np.array_equal(client.read(name), expected)
        except KeyboardInterrupt as exc:
            said["at"] = time.monotonic()
            said["arrived"] = getattr(exc, "arrived", None)
        said["right"] = np.array_equal(client.read(name), expected)
        say(json.dumps(said))


def interrupted_naive(url: str, name: str) -> None:
    """Read with the naive client until Ctrl-C, then once more, and say what came of that."""
    with naive.connected(url, timeout=20) as socket:
        try:
            say("reading")
            naive.ask(socket, name)
        except KeyboardInterrupt:
            pass
        try:
            naive.ask(socket, name)
        except zmq.ZMQError as exc:
            say(str(exc))


def whole(url: str, name: str) -> None:
    """Read everything at once, and keep it."""
    import pandas as pd

    with bridge.connect(url) as client:
        client.read("small")
        codecs_are_loaded = pd.DataFrame()
        say("ready")
        sys.stdin.readline()
        result = client.read(name)
        say("read")
        sys.stdin.readline()
        del result, codecs_are_loaded


def blocks(url: str, name: str) -> None:
    """Read in blocks, and see that each item is its own index or zero."""
    with bridge.connect(url) as client:
        client.read("small")
        say("ready")
        nbytes = int(sys.stdin.readline())
        handle = client[name]
        count = -(-nbytes // BLOCK)
        start = 0
        for block in itertools.islice(handle.blocks(nbytes=BLOCK), count):
            (marked,) = np.nonzero(block)
            assert np.array_equal(block[marked], start + marked)
            assert len(marked) == len(range(-start % MARK, len(block), MARK)) - (start == 0)
            start += len(block)
        say("read")
        sys.stdin.readline()


BLOCK = 16 * MIB
# In a sparse file of numbers, one in so many is its own index.
MARK = 32 * MIB // 8 + 1000


if __name__ == "__main__":
    TASKS = {
        "interrupted": interrupted,
        "interrupted naive": interrupted_naive,
        "whole": whole,
        "blocks": blocks,
    }
    task, *arguments = sys.argv[1:]
    TASKS[task](*arguments)
