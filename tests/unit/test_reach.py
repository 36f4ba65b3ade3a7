"""The forms of a server's address, and what each means."""

from __future__ import annotations

import pytest

from bridge import keys
from bridge.errors import TransportError
from bridge.reach import parsed, reach

KEY = "5e" * 32
OTHER = "0f" * 32


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The directory of the keys of a user who has one."""
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "home"))
    keys.make_key(keys.home(), keys.CLIENT)
    return keys.home()


@pytest.mark.parametrize(
    ("address", "server_key", "url", "key"),
    [
        ("lab", None, "tcp://lab:5555", None),
        ("lab:6000", None, "tcp://lab:6000", None),
        ("tcp://lab", KEY, "tcp://lab:5555", KEY),
        ("tcp://lab:6000", KEY.upper(), "tcp://lab:6000", KEY),
        (f"bridge://{KEY}@lab", None, "tcp://lab:5555", KEY),
        (f"bridge://{KEY}@lab:6000", None, "tcp://lab:6000", KEY),
        (f"bridge://{KEY.upper()}@lab:6000", None, "tcp://lab:6000", KEY),
        (f"bridge://{KEY}@[::1]:6000", None, "tcp://[::1]:6000", KEY),
        (f"bridge://{KEY}@lab", KEY.upper(), "tcp://lab:5555", KEY),
        ("ipc:///tmp/s", None, "ipc:///tmp/s", None),
    ],
)
def test_an_address_names_a_place_and_perhaps_a_key(address, server_key, url, key):
    assert parsed(address, server_key) == (url, key)


@pytest.mark.parametrize(
    ("address", "server_key", "why"),
    [
        ("bridge://lab:5555", None, "has no key or no host; expected bridge://KEY@host:port"),
        (f"bridge://{KEY}", None, "has no key or no host; expected bridge://KEY@host:port"),
        (f"bridge://{KEY}@", None, "has no key or no host"),
        ("bridge://@lab", None, "has no key or no host"),
        (f"bridge://{KEY}%40lab", None, "has no key or no host"),
        (f"bridge://{KEY}@lab@evil", None, "is no public key"),
        (f"bridge://{KEY[1:]}@lab", None, "is no public key: 64 hex digits"),
        (f"bridge://{KEY}@lab", OTHER, "has another key than the one given"),
        ("tcp://lab", "secret", "'secret' is no public key"),
    ],
)
def test_what_is_no_key_is_refused(address, server_key, why):
    with pytest.raises(TransportError, match=why):
        parsed(address, server_key)


@pytest.mark.parametrize("address", ["http://a:1", "udp://a:1", "TCP://a:1", "://a"])
def test_an_address_of_another_kind_is_told_all_that_there_are(address):
    with pytest.raises(TransportError) as caught:
        reach(address)
    assert str(caught.value) == (
        f"{address!r} is no address of a server; expected tcp://host:port, bridge://KEY@host:port, "
        "ssh://user@host, ipc://path, inproc://name"
    )


def test_what_another_process_needs_to_connect_is_in_the_address(home):
    assert reach("lab").address == "tcp://lab:5555"
    assert reach("lab", KEY).address == f"bridge://{KEY}@lab:5555"
    assert reach(f"bridge://{KEY}@lab").address == f"bridge://{KEY}@lab:5555"
    assert reach("ssh://me@lab/6000").address == "ssh://me@lab/6000"


def test_a_server_that_is_known_is_asked_for_its_key(home):
    keys.trust(home, "tcp://lab:5555", KEY)
    assert reach("lab").address == f"bridge://{KEY}@lab:5555"
    assert reach("lab", KEY).address == f"bridge://{KEY}@lab:5555"
    assert reach("LAB").address == f"bridge://{KEY}@LAB:5555"
    assert reach("lab:6000").address == "tcp://lab:6000"
    with pytest.raises(TransportError, match="the key of tcp://lab:5555 has changed"):
        reach("lab", OTHER)


def test_a_secret_key_that_others_can_read_is_not_used(home):
    (home / "client.key").chmod(0o644)
    with pytest.raises(TransportError, match="others can read"):
        reach("lab", KEY)


@pytest.mark.parametrize("address", ["ipc:///tmp/s", "inproc://x", "ssh://lab"])
def test_where_keys_do_nothing_a_key_is_refused(home, address):
    with pytest.raises(TransportError, match=r"keys are for tcp|takes no key"):
        reach(address, KEY)


def test_a_user_without_a_home_connects_without_keys(monkeypatch):
    monkeypatch.delenv("BRIDGE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it does where there is none
    assert reach("lab").address == "tcp://lab:5555"
