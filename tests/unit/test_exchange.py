"""From a question to its answer, whatever happens to the replies on the way."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import pytest

from bridge import codecs, wire
from bridge.errors import Changed, IdleTimeout, RemoteError, TransportError, WireError, remote_error
from bridge.exchange import Exchange, Question
from bridge.giving_up import Cancelled, given_up_by
from bridge.service import Service
from tests import peers

X = np.arange(5)
LARGE = np.arange(8 * 1024 * 1024, dtype=np.uint8)


class Peer:
    """A server whose replies pass through a function: from a request and its reply to the replies sent."""

    def __init__(self):
        self.service = Service(writable=True)
        self.service.update({"x": X, "y": X + 1, "large": LARGE})
        self.requests = []
        self.connections = []
        self.change = lambda request, reply: [reply]

    def answer(self, socket, frames):
        request = json.loads(frames[2])
        self.requests.append(request)
        self.connections.append(frames[0])
        for reply in self.change(request, self.service.handle(frames[2:])):
            socket.send_multipart([*frames[:2], *reply])

    def asked(self, op):
        return [request for request in self.requests if request["op"] == op]


@pytest.fixture
def peer():
    return Peer()


@pytest.fixture
def exchange(peer):
    with peers.router(peer.answer) as url:
        exchange = Exchange(url)
        yield exchange
        exchange.close()


def get(name, **options):
    return Question(op="get", **{"keys": {"name": name}, "timeout": 5.0, **options})


def parts_of(change):
    """Change the replies to the parts of a transfer alone. `change` also takes the part's number."""
    numbers = iter(range(1_000_000))

    def changed(request, reply):
        return change(next(numbers), request, reply) if request["op"] == "part" else [reply]

    return changed


def failure(request, code):
    return wire.pack_failure(request["id"], remote_error(code, "told you"))


def test_an_answer_that_fits_comes_in_one_message(exchange, peer):
    answer = exchange.fetch(get("x"))
    obj, receipt = answer.decode()
    np.testing.assert_array_equal(obj, X)
    assert (receipt.nbytes, receipt.windows, receipt.retries) == (X.nbytes, 0, 0)
    assert [request["op"] for request in peer.requests] == ["get"]


def test_a_larger_answer_comes_in_windows_each_asked_for_once(exchange, peer):
    obj, receipt = exchange.fetch(get("large")).decode()
    np.testing.assert_array_equal(obj, LARGE)
    parts = peer.asked("part")
    assert receipt.windows == len(parts) > 4
    assert sum(part["length"] for part in parts) == LARGE.nbytes
    assert len({part["offset"] for part in parts}) == len(parts)


def test_the_server_may_forget_a_transfer_once_it_is_here(exchange, peer):
    exchange.fetch(get("large"))
    exchange.ask(get("x"))  # comes after it
    assert len(peer.asked("done")) == 1


def test_replies_to_other_requests_are_not_taken(exchange, peer):
    def mix_up(request, reply):
        other = wire.pack_reply(wire.Reply(id=request["id"] + 1000, keys={"entries": []}))
        return [other, failure({"id": request["id"] + 1}, "failed"), reply]

    peer.change = mix_up
    np.testing.assert_array_equal(exchange.fetch(get("x")).decode()[0], X)


def test_a_failure_without_an_id_is_that_of_the_request(exchange, peer):
    peer.change = lambda request, reply: [failure({"id": None}, "bad_request")]
    with pytest.raises(RemoteError, match="told you"):
        exchange.ask(get("x"))


def test_a_failure_without_an_id_among_many_is_raised(exchange, peer):
    peer.change = lambda request, reply: [failure({"id": None}, "bad_request")]
    with pytest.raises(RemoteError, match="told you"):
        exchange.fetch_many([get("x"), get("y")])


@pytest.mark.parametrize("ask", [Exchange.ask, Exchange.fetch, lambda e, q: e.fetch_many([q])])
def test_replies_to_other_requests_are_no_progress(ask):
    over = threading.Event()

    def never_answer(socket, frames):
        while not over.wait(0.01):
            socket.send_multipart([*frames[:2], *wire.pack_reply(wire.Reply(id=2**40))])

    with peers.router(never_answer) as url:
        exchange = Exchange(url)
        try:
            with pytest.raises(IdleTimeout):
                ask(exchange, get("x", timeout=0.3))
        finally:
            over.set()
            exchange.close()


def test_a_connection_that_was_in_use_when_all_were_closed_is_not_used_again(exchange, peer):
    exchange.ask(get("x"))
    exchange.ask(get("x"))
    assert len(set(peer.connections)) == 1

    def close(request, reply):
        exchange.close()
        return [reply]

    peer.change = close
    exchange.ask(get("x"))
    exchange.ask(get("x"))
    assert len(set(peer.connections)) == 2


def test_where_one_of_many_fails_the_server_may_forget_the_others(exchange, peer):
    with pytest.raises(KeyError):
        exchange.fetch_many([get("large"), get("nothing"), get("large")])
    exchange.ask(get("x"))  # comes after it
    assert len(peer.service._outbox) == 0


def test_many_large_answers_are_each_fetched(exchange, peer):
    answers = exchange.fetch_many([get("large"), get("x"), get("large")])
    for answer, expected in zip(answers, [LARGE, X, LARGE], strict=True):
        np.testing.assert_array_equal(answer.decode()[0], expected)
    assert len(peer.asked("get")) == 3


def test_the_receipt_of_one_of_many_counts_no_windows_of_others(exchange, peer):
    begun = time.perf_counter()
    large = get("large", keys={"name": "large", "max_bytes": 0})
    answers = exchange.fetch_many([large] * 8)
    taken = time.perf_counter() - begun
    # The time until the replies were here is counted for each, their windows once.
    replied = min(answer.first_seconds for answer in answers)
    assert sum(answer.seconds - replied for answer in answers) <= taken


def test_many_answers_may_come_in_any_order(exchange, peer):
    held = []

    def backwards(request, reply):
        if request["op"] != "get":
            return [reply]
        held.append(reply)
        return held[::-1] if len(held) == 3 else []

    peer.change = backwards
    answers = exchange.fetch_many([get("x"), get("y"), get("large")])
    for answer, expected in zip(answers, [X, X + 1, LARGE], strict=True):
        np.testing.assert_array_equal(answer.decode()[0], expected)


def test_none_is_asked_for_none(exchange, peer):
    assert exchange.fetch_many([]) == []
    assert peer.requests == []


@pytest.mark.parametrize("code", ["failed", "too_large", "internal"])
def test_a_failure_of_a_part_is_raised_with_what_had_arrived(exchange, peer, code):
    peer.change = parts_of(
        lambda number, request, reply: [failure(request, code) if number == 2 else reply]
    )
    with pytest.raises(RemoteError, match="told you") as caught:
        exchange.fetch(get("large"))
    error: Any = caught.value
    assert 0 < error.arrived < error.total == LARGE.nbytes
    np.testing.assert_array_equal(exchange.fetch(get("x")).decode()[0], X)


def test_a_busy_server_is_asked_again(exchange, peer):
    peer.change = parts_of(
        lambda number, request, reply: [failure(request, "busy") if number < 3 else reply]
    )
    obj, receipt = exchange.fetch(get("large")).decode()
    np.testing.assert_array_equal(obj, LARGE)
    assert receipt.retries == 3


def test_a_server_that_stays_busy_is_a_timeout(exchange, peer):
    peer.change = parts_of(lambda number, request, reply: [failure(request, "busy")])
    with pytest.raises(IdleTimeout):
        exchange.fetch(get("large", timeout=0.3))


def test_a_busy_server_is_sent_parts_again(exchange, peer):
    busy = parts_of(lambda number, request, reply: [failure(request, "busy") if number < 3 else reply])
    peer.change = busy
    descriptor, buffers = codecs.encode(LARGE + 1)
    keys = {"name": "put", "object": descriptor}
    exchange.put(Question(op="put", keys=keys, buffers=buffers, timeout=5.0))
    np.testing.assert_array_equal(exchange.fetch(get("put")).decode()[0], LARGE + 1)


def test_rows_of_a_channel_whose_beginning_moves_are_not_mixed(exchange, peer):
    log = peer.service.channel("log", keep_rows=len(LARGE))
    log.append(LARGE)

    def drop(number, request, reply):
        if number == 5:
            log.append(LARGE + 1)
        return [failure(request, "expired") if number == 5 else reply]

    peer.change = parts_of(drop)
    question = Question(op="get", keys={"name": "log", "start": "begin"}, timeout=5.0)
    np.testing.assert_array_equal(exchange.fetch(question).decode()[0], LARGE + 1)


def test_after_an_expired_transfer_only_what_is_missing_is_asked_for(exchange, peer):
    peer.change = parts_of(
        lambda number, request, reply: [failure(request, "expired") if number == 5 else reply]
    )
    arrived = []
    obj, receipt = exchange.fetch(
        get("large", progress=lambda done, total: arrived.append(done))
    ).decode()
    np.testing.assert_array_equal(obj, LARGE)
    assert len(peer.asked("get")) == 2
    assert len({request["transfer"] for request in peer.asked("part")}) == 2
    assert arrived == sorted({*arrived})  # nothing began again
    assert receipt.retries > 0


def test_replaced_data_is_fetched_from_the_start(exchange, peer):
    def replace(number, request, reply):
        if number == 3:
            peer.service["large"] = LARGE + 1
            return [failure(request, "changed")]
        return [reply]

    peer.change = parts_of(replace)
    np.testing.assert_array_equal(exchange.fetch(get("large")).decode()[0], LARGE + 1)


def test_replaced_data_that_has_become_small_is_the_answer(exchange, peer):
    def replace(number, request, reply):
        peer.service["large"] = X
        return [failure(request, "changed")]

    peer.change = parts_of(replace)
    np.testing.assert_array_equal(exchange.fetch(get("large")).decode()[0], X)


def test_data_that_is_replaced_twice_is_an_error(exchange, peer):
    def replace(number, request, reply):
        peer.service["large"] = LARGE + number
        return [failure(request, "changed")]

    peer.change = parts_of(replace)
    with pytest.raises(Changed, match="'large' was replaced on the server twice"):
        exchange.fetch(get("large"))


def test_the_result_of_a_call_that_expired_is_not_asked_for_again(exchange, peer):
    calls = []

    @peer.service.query
    def big():
        calls.append(1)
        return LARGE

    peer.change = parts_of(lambda number, request, reply: [failure(request, "expired")])
    with pytest.raises(RemoteError, match="told you"):
        exchange.fetch(Question(op="call", keys={"name": "big"}, timeout=5.0))
    assert calls == [1]


def test_a_part_that_comes_twice_is_taken_once(exchange, peer):
    peer.change = parts_of(lambda number, request, reply: [reply, reply])
    obj, receipt = exchange.fetch(get("large")).decode()
    np.testing.assert_array_equal(obj, LARGE)
    assert receipt.retries == 0


def test_a_part_in_other_frames_than_its_buffers_is_put_together(exchange, peer):
    def cut_up(number, request, reply):
        data = b"".join(bytes(frame) for frame in reply[1:])
        pieces = [data[:1], b"", data[1:1000], data[1000:]]
        part = {"part": [request["offset"], request["length"]]}
        return [wire.pack_reply(wire.Reply(id=request["id"], keys=part, buffers=pieces))]

    peer.change = parts_of(cut_up)
    np.testing.assert_array_equal(exchange.fetch(get("large")).decode()[0], LARGE)


@pytest.mark.parametrize(
    "part",
    [
        lambda offset, data: (offset + 1, data),
        lambda offset, data: (offset, data[:-1]),
        lambda offset, data: (offset, data + b"x"),
        lambda offset, data: (-1, data),
        lambda offset, data: ("0", data),
        lambda offset, data: (2**63, data),
    ],
    ids=["offset", "short", "long", "negative", "text", "beyond"],
)
def test_a_part_that_was_not_asked_for_is_refused(exchange, peer, part):
    def change(number, request, reply):
        offset, data = part(request["offset"], b"".join(bytes(frame) for frame in reply[1:]))
        keys = {"part": [offset, len(data)]}
        return [wire.pack_reply(wire.Reply(id=request["id"], keys=keys, buffers=[data]))]

    peer.change = parts_of(change)
    with pytest.raises(WireError):
        exchange.fetch(get("large"))
    np.testing.assert_array_equal(exchange.fetch(get("x")).decode()[0], X)


@pytest.mark.parametrize(
    "keys",
    [
        {"object": None, "transfer": "t"},
        {"object": {"kind": "array", "dtype": "<f8", "shape": [2**50], "order": "C"}, "transfer": "t"},
        {"object": {"kind": "array", "dtype": "<f8", "shape": [5], "order": "C"}, "transfer": 5},
        {"object": {"kind": "hologram"}, "transfer": "t"},
        {},
    ],
    ids=["no object", "shape", "token", "kind", "nothing"],
)
def test_a_transfer_that_breaks_the_protocol_is_refused(exchange, peer, keys):
    def change(request, reply):
        lengths = [40] if "transfer" in keys else None
        return [wire.pack_reply(wire.Reply(id=request["id"], keys=keys, lengths=lengths))]

    peer.change = change
    with pytest.raises(WireError):
        exchange.fetch(get("large")).decode()


def test_progress_is_told_of_every_window(exchange):
    calls = []
    answer = exchange.fetch(get("large", progress=lambda *call: calls.append(call)))
    assert len(calls) == answer.windows
    assert calls[-1] == (LARGE.nbytes, LARGE.nbytes)


def test_an_answer_that_was_given_up_is_not_waited_for(exchange, peer):
    cancelled = threading.Event()

    def give_up(request, reply):
        cancelled.set()
        return []

    peer.change = give_up
    with pytest.raises(Cancelled):
        given_up_by(cancelled, exchange.ask, get("x", timeout=1000.0))
    peer.change = lambda request, reply: [reply]
    np.testing.assert_array_equal(exchange.fetch(get("x")).decode()[0], X)


def test_a_place_that_cannot_be_allocated_is_the_callers_error(exchange):
    def allocate(descriptor, lengths):
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        exchange.fetch(get("large", allocate=allocate))
    np.testing.assert_array_equal(exchange.fetch(get("x")).decode()[0], X)


def test_nobody_there_is_a_transport_error():
    exchange = Exchange("ipc:///nowhere/socket")
    with pytest.raises(TransportError, match="cannot reach ipc:///nowhere/socket"):
        exchange.ask(get("x", timeout=0.05))
