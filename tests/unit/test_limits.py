"""The limits: one record, which cannot be changed into another protocol."""

from __future__ import annotations

import dataclasses
import weakref
from functools import partial

import numpy as np
import pytest

from bridge.errors import RemoteError
from bridge.limits import STANDARD, Limits
from bridge.service import Service
from bridge.transfer import Inbox, Outbox
from bridge.wire import Request, pack_request, unpack_reply


def test_limits_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        STANDARD.held = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", ["request_header", "reply_header", "buffers", "reply", "window"])
def test_what_both_ends_rely_on_is_no_choice(name):
    with pytest.raises(ValueError, match=f"{name}.*part of the protocol"):
        Limits(**{name: 1})


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="'held' is -1"):
        Limits(held=-1)


@pytest.mark.parametrize("name", ["transfers", "calls"])
def test_a_server_has_room_for_one_of_each(name):
    with pytest.raises(ValueError, match=f"'{name}' is 0, .*expected 1 or more"):
        Limits(**{name: 0})


@pytest.mark.parametrize("transfers", [1, 2, 3])
def test_a_client_has_one_transfer_and_one_upload_where_there_are_few(transfers):
    limits = Limits(transfers=transfers)
    outbox, inbox = Outbox(limits), Inbox(limits)
    for client in "abcde":
        token = outbox.keep([b"1"], held=0, now=0.0, client=client)
        assert outbox.window(token, 0, 1, 1.0)
    assert len(outbox) == transfers
    inbox.open("one", 1, list, "what", 0.0, "a")
    with pytest.raises(RemoteError, match="1 uploads of yours are on their way; finish them first"):
        inbox.open("another", 1, list, "what", 0.0, "a")


def test_all_uploads_together_have_a_limit():
    inbox = Inbox(Limits(transfers=2))
    for client in "ab":
        inbox.open(client, 1, list, "what", 0.0, client)
    with pytest.raises(RemoteError, match="2 uploads are on their way; try again later") as refused:
        inbox.open("c", 1, list, "what", 0.0, "c")
    assert refused.value.code == "busy"


def test_what_announces_an_upload_counts_for_it():
    service = Service(writable=True, limits=Limits(held=4_000_000))
    keys = {"name": "x", "object": {"kind": "tree", "value": "x" * 50_000}}
    codes = []
    for number in range(4):
        request = Request(
            id=1, op="put", keys={**keys, "transfer": f"the token of upload {number}"}, lengths=[1]
        )
        error = unpack_reply(service.handle(pack_request(request))).error
        codes.append(error.code if error else None)
    assert codes == [None, None, "busy", "busy"]


def test_a_peer_is_told_the_limits_of_this_server():
    service = Service(limits=Limits(request=1000))
    hello = unpack_reply(service.handle(pack_request(Request(id=1, op="hello")))).keys["hello"]
    assert hello["limits"]["request"] == 1000


def test_a_request_beyond_the_limit_of_this_server_is_refused():
    service = Service(limits=Limits(request=1000))
    request = Request(id=1, op="call", keys={"name": "f"}, buffers=[memoryview(bytes(1001))])
    error = unpack_reply(service.handle(pack_request(request))).error
    assert error is not None
    assert error.code == "too_large"


def test_the_client_that_holds_most_makes_the_room():
    outbox = Outbox(Limits(held=100))
    honest = outbox.keep([bytes(10)], held=10, now=0.0, client="honest")
    greedy = [outbox.keep([bytes(30)], held=30, now=1.0 + n, client="greedy") for n in range(5)]
    assert outbox.window(honest, 0, 10, 9.0)
    for token in greedy[:2]:
        with pytest.raises(RemoteError, match="no such transfer"):
            outbox.window(token, 0, 10, 9.0)


def test_views_count_once_what_they_are_of_is_gone():
    alive = {"old": 0, "older": 0}
    outbox = Outbox(Limits(held=100))
    tokens = {
        name: outbox.keep([bytes(10)], held=0, now=0.0, orphaned=partial(alive.__getitem__, name))
        for name in alive
    }
    outbox.expire(1.0)
    assert outbox.held == 0
    alive.update(older=80)
    outbox.expire(2.0)
    assert outbox.held == 80
    outbox.expire(3.0)
    assert outbox.held == 80
    outbox.window(tokens["older"], 0, 1, 3.0)
    alive.update(old=2000)
    outbox.expire(4.0)
    assert outbox.held == 80  # the one that was used last stays


def test_the_last_transfer_of_what_was_replaced_may_end_beyond_the_budget():
    outbox = Outbox(Limits(held=100))
    views = outbox.keep([bytes(10)], held=0, now=0.0, orphaned=lambda: 1000)
    outbox.keep([bytes(10)], held=0, now=0.0)
    outbox.expire(1.0)
    assert outbox.window(views, 0, 10, 1.0)
    outbox.keep([bytes(10)], held=10, now=2.0)
    with pytest.raises(RemoteError, match="no such transfer"):
        outbox.window(views, 0, 10, 2.0)


def keep_first_element(service: Service) -> None:
    request = Request(id=1, op="get", keys={"name": "x", "select": [[0, 2, None]], "max_bytes": 1})
    assert "transfer" in unpack_reply(service.handle(pack_request(request))).keys


def test_transfers_do_not_keep_any_number_of_replaced_arrays(monkeypatch):
    monkeypatch.setattr("bridge.service.TICK_SECONDS", 0.0)
    service = Service(limits=Limits(held=20_000))
    arrays = []
    for _ in range(10):
        array = np.ones(1000)
        service["x"] = array
        arrays.append(weakref.ref(array))
        del array
        keep_first_element(service)
    service.tick()
    del service["x"]
    service.tick()
    assert [array() is not None for array in arrays] == [False] * 8 + [True] * 2


def test_a_result_that_is_kept_for_later_calls_counts_for_those_who_fetch_it():
    service = Service()

    @service.query(cache=60.0)
    def result() -> np.ndarray:
        return np.ones(1000)

    for held in (8000, 16_000):
        request = Request(id=1, op="call", keys={"name": "result", "max_bytes": 1})
        assert "transfer" in unpack_reply(service.handle(pack_request(request))).keys
        assert service._outbox.held == held


def test_a_client_has_a_quarter_of_the_transfers():
    outbox = Outbox(Limits(transfers=8))
    honest = outbox.keep([b"1"], held=0, now=0.0, client="honest")
    for n in range(20):
        outbox.keep([b"1"], held=0, now=1.0 + n, client="greedy")
    assert len(outbox) == 3
    assert outbox.window(honest, 0, 1, 30.0)


def test_room_for_an_answer_that_is_made_is_taken_from_those_that_are_kept_and_given_back():
    outbox = Outbox(Limits(held=100))
    kept = outbox.keep([bytes(60)], held=60, now=0.0)
    with outbox.reserve(80) as room:
        with pytest.raises(RemoteError, match="no such transfer"):
            outbox.window(kept, 0, 1, 1.0)
        with pytest.raises(RemoteError, match="others that are being made take 80 of 100") as busy:
            outbox.keep([bytes(30)], held=30, now=1.0)
        assert busy.value.code == "busy"
        outbox.keep([bytes(90)], held=90, now=1.0, room=room)
        assert outbox.held == 90
    assert outbox.held == 90
    with pytest.raises(ZeroDivisionError), outbox.reserve(80):
        1 / 0  # noqa: B018
    assert outbox.held == 0
    with pytest.raises(RemoteError, match="at most 100 for transfers"):
        outbox.reserve(101)


def test_an_upload_has_a_limit():
    with pytest.raises(RemoteError, match="takes 100 at a time") as refused:
        Inbox(Limits(upload=100)).open("a token of 16 characters", 101, list, "what", 0.0)
    assert refused.value.code == "too_large"
