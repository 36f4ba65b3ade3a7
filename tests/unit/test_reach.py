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
    assert reach("LAB").address == f"bridge://{KEY}@lab:5555"
    assert reach("lab:6000").address == "tcp://lab:6000"
    with pytest.raises(TransportError, match="the key of tcp://lab:5555 has changed"):
        reach("lab", OTHER)


@pytest.mark.parametrize(
    ("known", "spelling"),
    [
        ("tcp://lab:5555", "LAB"),
        ("tcp://lab:5555", "tcp://Lab:05555"),
        ("tcp://LAB:0005555", "lab"),
        ("tcp://127.0.0.1:5555", "127.0.0.1:0000000005555"),
        ("tcp://127.0.0.1:5555", "[127.0.0.1]"),
        ("tcp://127.0.0.1:5555", "[::ffff:127.0.0.1]:5555"),
        ("tcp://127.0.0.1:5555", "tcp://[::FFFF:7f00:1]"),
        ("tcp://[::1]:5555", "tcp://::1:5555"),
        ("tcp://[::1]:5555", "[0:0:0::0001]:05555"),
        ("tcp://[fe80::1%eth0]:5555", "[FE80:0::1%eth0]"),
    ],
)
def test_a_server_that_is_known_is_asked_for_its_key_however_its_address_is_written(
    home, known, spelling
):
    keys.trust(home, known, KEY)
    assert keys.known_server(home, spelling) == KEY
    way = reach(spelling)
    assert way.security == "encrypted, by keys"
    assert way.address == reach(known).address


@pytest.mark.parametrize(
    "address",
    [
        *("127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.1."),
        *("lab.", "lab..net", "lab%lo", "127.0.0.1%lo", "[::1%lo]", "[fe80::1%02]", "[lab]", "a b", ""),
        *(
            "tcp://127.0.0.1:0;127.0.0.1:5555",
            "127.0.0.1:0;lab",
            "tcp://lab/:5555",
            "me@lab",
            "l\u212aab",
        ),
        *("lab:0", "lab:", "lab:*", "lab:+5555", "lab: 5555", "lab:5555x", "lab:-1", "lab:0x15b3"),
        *("lab:\u0665\u0665\u0665\u0665", f"lab:{'0' * 5000}", f"lab:{'9' * 5000}"),
    ],
)
def test_a_spelling_that_could_be_of_a_server_that_is_known_is_refused(home, address):
    for given in (address, f"bridge://{KEY}@{address.removeprefix('tcp://') or '@'}"):
        with pytest.raises(
            TransportError, match=r"is not an address|ports are 1 to|has no|no public key"
        ):
            reach(given)


def test_an_address_that_is_known_by_two_keys_is_told(home):
    (home / "known_servers").write_text(f"tcp://LAB:05555 {KEY}\ntcp://lab:5555 {OTHER}\n")
    (home / "known_servers").chmod(0o600)
    with pytest.raises(TransportError, match=r"line 2 of .*known_servers is wrong.* has another key"):
        reach("lab")


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
