"""Long links, many threads, and clients that do not read."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
import zmq

import bridge
from bridge import wire
from bridge.transfer import MIN_IN_FLIGHT
from tests import processes
from tests.faults import naive
from tests.faults.evidence import messages, until
from tests.faults.memory import MIB, only_on_linux, resident
from tests.faults.proxy import Proxy
from tests.faults.served import numbers, serving

RATE = 400e6 / 8
DELAY = 0.05


def most_in_flight(proxy):
    """The largest number of bytes that were asked for and not here yet."""
    lengths, most = {}, 0
    for message in proxy.messages:
        if message.way == "up" and message.header["op"] == "part":
            lengths[message.header["id"]] = message.header["length"]
        elif message.way == "down":
            lengths.pop(message.header["id"], None)
        most = max(most, sum(lengths.values()))
    return most


def round_trips(proxy):
    """How many round trips follow each other: a request is after the replies that were here before it."""
    rounds, latest = {}, 0
    for message in proxy.messages:
        if message.way == "up":
            rounds[message.header["id"]] = latest + 1
        else:
            latest = max(latest, rounds[message.header["id"]])
    return latest


def test_a_long_link_is_filled():
    nbytes = 128 * MIB
    with (
        serving({"array": ["numbers", nbytes]}) as (url, _),
        Proxy(url, delay=DELAY, rate=RATE) as proxy,
        bridge.connect(proxy.url, timeout=1.0) as client,  # less than the transfer takes
    ):
        proxy.idle = 0.0
        assert np.array_equal(client.read("array"), numbers(nbytes))
        idle = proxy.idle
    on_the_way = RATE * 2 * DELAY
    assert MIN_IN_FLIGHT < on_the_way < most_in_flight(proxy) < 10 * on_the_way
    # What the link could do in the time when nobody used it, beside what was sent.
    assert nbytes / (nbytes + idle * RATE) > 0.6


def test_on_a_long_link_the_naive_client_gives_up_while_bytes_arrive():
    nbytes = 128 * MIB
    with (
        serving({"array": ["numbers", nbytes]}, program="naive") as (url, _),
        Proxy(url, delay=DELAY, rate=RATE) as proxy,
    ):
        with pytest.raises(zmq.Again):
            naive.read(proxy.url, "array", timeout=1.0)
        assert proxy.passed["down"] > MIB


@pytest.mark.slow
def test_a_gigabit_link_of_a_tenth_of_a_second_is_filled():
    nbytes, rate = 1024 * MIB, 1e9 / 8
    with (
        serving({"array": ["numbers", nbytes]}) as (url, _),
        processes.serving("-m", "tests.faults.link", url, rate, DELAY) as (link_url, link),
    ):
        with bridge.connect(link_url) as client:
            assert np.array_equal(client.read("array"), numbers(nbytes))
        said = json.loads(processes.line_of(link))
    assert said["nbytes"] > nbytes
    # From the handshake to the farewell, at least so much of what the link could have carried.
    assert nbytes / (nbytes + said["idle"] * rate) > 0.6


def test_many_small_arrays_take_few_round_trips():
    sources = {f"array{i:04}": ["numbers", 800, i] for i in range(1000)}
    with (
        serving(sources) as (url, _),
        Proxy(url, delay=0.005) as proxy,
        bridge.connect(proxy.url) as client,
    ):
        proxy.messages.clear()
        results = client.read_many(sources)
        assert all(np.array_equal(result, numbers(800, i)) for i, result in enumerate(results))
        assert len(messages(proxy, "up")) == 1000
        assert round_trips(proxy) <= 1000 / 5

        proxy.messages.clear()
        for name in [*sources][:20]:
            client.read(name)
        assert round_trips(proxy) == 20  # which is to say that they are counted


def test_threads_of_one_client_share_the_link():
    nbytes, count = 16 * MIB, 8
    with serving({"array": ["numbers", nbytes]}) as (url, _), bridge.connect(url) as client:
        at_once = threading.Barrier(count)
        notes: list[tuple[int, int]] = []
        results = {}

        def read(number):
            at_once.wait()
            results[number] = client.read(
                "array", progress=lambda done, total: notes.append((number, done))
            )

        threads = [threading.Thread(target=read, args=[number]) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: client.call("transfers") == 0)
    assert all(np.array_equal(results[number], numbers(nbytes)) for number in range(count))
    first_end = next(i for i, (_, done) in enumerate(notes) if done == nbytes)
    landed = dict(notes[: first_end + 1])
    # When the first is done, every other has got something, and together a good part: a thread that begins a
    # moment later is behind, but nobody waits for another to end.
    assert len(landed) == count
    assert sum(landed.values()) >= 1.5 * nbytes


def late_answers(url, request):
    """Ask more often than any high-water mark allows, then begin to read: how many answers come."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as late:
        late.linger = 0
        late.sndhwm = late.rcvhwm = 1
        late.connect(url)
        for _ in range(LATE):
            late.send_multipart([b"", *request])
        count = 0
        while count < LATE and late.poll(2000):
            late.recv_multipart()
            count += 1
        return count


# Far more than the thousand that libzmq queues by itself and what the system's buffers may hold beside them.
LATE = 3000


def test_a_client_that_reads_late_gets_every_answer():
    request = wire.Request(id=1, op="get", keys={"name": "array"})
    with serving({"array": ["numbers", 60_000]}) as (url, _):
        assert late_answers(url, wire.pack_request(request)) == LATE


def test_of_a_client_that_reads_late_the_naive_server_drops_answers():
    with serving({"array": ["numbers", 60_000]}, program="naive") as (url, _):
        assert late_answers(url, [b"array"]) < LATE


@only_on_linux
@pytest.mark.parametrize("asked_for", ["parts of array", "parts of file", "middling"])
def test_a_client_that_never_reads_costs_the_server_its_budget_and_others_nothing(tmp_path, asked_for):
    nbytes = 64 * MIB
    np.save(tmp_path / "file.npy", numbers(nbytes))
    sources: dict[str, list[Any]] = {
        "array": ["numbers", nbytes],
        "file": ["file", str(tmp_path / "file.npy")],
        "middling": ["numbers", 60_000],
        "small": ["numbers", 800],
    }
    name = asked_for.split()[-1]
    with (
        serving(sources) as (url, server),
        bridge.connect(url) as client,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as rude,
    ):
        rude.linger = 0
        rude.sndhwm = rude.rcvhwm = 1
        rude.connect(url)

        def ask(op, **keys):
            # With something that is ignored, so that few requests fit between the two processes.
            request = wire.Request(id=1, op=op, keys={**keys, "padding": 4000 * " "})
            rude.send_multipart([b"", *wire.pack_request(request)])

        ask("get", name="array" if name == "middling" else name, max_bytes=0)
        token = wire.unpack_reply(rude.recv_multipart()[1:]).keys["transfer"]
        client.read("array")
        before = resident(server.pid)
        most = 0
        for number in range(10_000):
            if name == "middling":
                ask("get", name=name)
            else:
                ask("part", transfer=token, offset=(number % 64) * MIB, length=MIB)
            if number % 1000 == 0:
                ask("get", name=name)
            if number % 100 == 0:  # the others go on
                assert np.array_equal(client.read("small"), numbers(800))
                most = max(most, resident(server.pid))
        assert np.array_equal(client.read("array"), numbers(nbytes))
        assert max(most, resident(server.pid)) <= before + 256 * MIB
