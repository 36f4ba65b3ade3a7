"""A server stops when it is told to, whatever its queries do."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq

import bridge
from tests.processes import line_of, serving

SERVER = """
import threading, bridge
server = bridge.Server("tcp://127.0.0.1:0")

@server.query
def wait():
    print("entered", flush=True)
    threading.Event().wait()

print(server.url, flush=True)
server.run()
print("stopped", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_run_returns_though_a_query_never_does(how):
    with (
        serving("-c", SERVER) as (url, process),
        bridge.connect(url) as b,
        ThreadPoolExecutor() as pool,
    ):
        call = pool.submit(b.call, "wait")
        assert line_of(process) == "entered"
        process.send_signal(how)
        assert line_of(process) == "stopped"
        assert process.wait() == 0
        # The answer, or that it was lost with its connection: never silence.
        with pytest.raises((bridge.RemoteError, bridge.TransportError), match=r"stopped|lost"):
            call.result()


UNREAD = """
import sys, numpy, bridge
server = bridge.serve(x=numpy.zeros(30_000_000))
print(server.url, flush=True)
sys.stdin.readline()
"""


def test_a_process_that_serves_ends_though_its_replies_were_not_read():
    request = {"bridge": 1, "id": 1, "op": "get", "name": "x", "select": [[0, 30_000_000, None]]}
    with (
        serving("-c", UNREAD) as (url, process),
        zmq.Context() as context,
        context.socket(zmq.DEALER) as peer,
    ):
        peer.linger = 0
        peer.connect(url)
        for _ in range(4):
            peer.send_multipart([b"", json.dumps(request).encode()])
        with bridge.connect(url) as b:
            b.ping()  # the requests before were read
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait() == 0
