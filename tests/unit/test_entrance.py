"""The rights of a key at the door: how much at once, and how often."""

from __future__ import annotations

import pytest

from bridge import clients, keys
from bridge.clients import Authorized
from bridge.entrance import Entrance, entrance_to
from bridge.rights import EVERYTHING, NOTHING, Rights
from bridge.timers import Timers
from bridge.transport import Envelope

URL = "tcp://127.0.0.1:0"
KEY = "5e" * 32


def ask(entrance, user, *, address="10.0.0.7", unsent=0, timers=None):
    envelope = Envelope([b"connection"], address, user)
    return entrance.turn(envelope, lambda user: unsent, Timers() if timers is None else timers)


@pytest.fixture
def entrance(tmp_path):
    clients.allow(tmp_path / "home", Authorized(key=KEY, name="ada", rights=EVERYTHING))
    return entrance_to(URL, keys=tmp_path / "home", insecure=False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by the test."""
    now = [1000.0]
    monkeypatch.setattr("bridge.entrance.time.monotonic", lambda: now[0])
    return now


def limit(tmp_path, **rights):
    clients.allow(tmp_path / "home", Authorized(key=KEY, rights=Rights(**rights)))


def test_without_keys_everybody_may_do_everything():
    entrance = entrance_to(URL, keys=None, insecure=False)
    assert type(entrance) is Entrance
    assert entrance.gate is None
    assert ask(entrance, "").rights is EVERYTHING


def test_what_is_kept_is_counted_for_a_key_or_else_for_a_connection(entrance):
    assert ask(entrance, KEY).client == KEY
    assert ask(entrance_to(URL, keys=None, insecure=False), "").client == b"connection"


def test_who_asked_has_the_rights_of_now(tmp_path, entrance):
    peer = ask(entrance, KEY)
    assert peer.now() == EVERYTHING
    limit(tmp_path, only=("log",))
    assert (peer.rights, peer.now().only) == (EVERYTHING, ("log",))
    clients.deny(tmp_path / "home", KEY)
    assert peer.now() is NOTHING


def test_the_servers_key_stays_the_same(tmp_path, entrance):
    again = entrance_to(URL, keys=str(tmp_path / "home"), insecure=False)
    assert entrance.address(URL) == again.address(URL)
    assert entrance.address(URL).startswith("bridge://")


def test_who_asks_is_known_by_name_and_fingerprint(entrance):
    peer = ask(entrance, KEY)
    assert (peer.address, peer.key) == ("10.0.0.7", f"ada {keys.fingerprint(KEY)}")
    stranger = ask(entrance, "0f" * 32)
    assert stranger.rights is NOTHING
    assert stranger.key == f"- {keys.fingerprint('0f' * 32)}"


def test_a_key_waits_while_too_much_is_on_its_way(tmp_path, entrance):
    limit(tmp_path, bytes_in_flight=10)
    assert ask(entrance, KEY, unsent=10)
    assert ask(entrance, KEY, unsent=11) is None


def test_a_key_has_a_second_worth_of_turns_and_then_one_at_a_time(tmp_path, entrance, clock):
    limit(tmp_path, requests_per_second=4)
    timers = Timers()

    def turns():
        return sum(ask(entrance, KEY, timers=timers) is not None for _ in range(20))

    assert turns() == 4
    clock[0] += 0.25
    assert turns() == 1
    clock[0] += 100.0
    assert turns() == 4


def test_a_key_with_less_than_a_request_per_second_gets_it(tmp_path, entrance, clock):
    limit(tmp_path, requests_per_second=0.125)
    answers = []
    for _ in range(21):
        answers.append(ask(entrance, KEY))
        clock[0] += 1.0
    assert [second for second, answer in enumerate(answers) if answer] == [0, 8, 16]


def test_one_timer_ends_the_wait_for_a_turn(tmp_path, entrance, clock):
    limit(tmp_path, requests_per_second=4)
    timers = Timers()
    for _ in range(100):
        ask(entrance, KEY, timers=timers)
    assert timers.run(clock[0], 60.0) == pytest.approx(0.25)
    assert timers.run(clock[0] + 0.25, 60.0) == 60.0


def test_a_key_that_is_not_allowed_hears_so_at_once(entrance):
    assert ask(entrance, "0f" * 32, unsent=2**40).rights is NOTHING
