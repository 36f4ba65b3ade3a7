"""Keys are their owner's alone, and decide who is let in, who is trusted, and what may be bound."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from bridge import clients, keys
from bridge.clients import Authorized, Clients
from bridge.entrance import keys_for
from bridge.errors import TransportError
from bridge.keys import is_local
from bridge.rights import Rights

LOCAL = [
    "tcp://127.0.0.1:5555",
    "tcp://127.0.0.1:*",
    "tcp://127.0.0.1:0",
    "tcp://127.255.255.254:5555",
    "tcp://[::1]:5555",
    "tcp://[::ffff:127.0.0.1]:5555",
    "tcp://localhost:5555",
    "ipc:///tmp/socket",
    "ipc://@abstract",
    "inproc://name",
]
REACHABLE = [
    "tcp://*:5555",
    "tcp://0.0.0.0:5555",
    "tcp://[::]:5555",
    "tcp://192.168.1.7:5555",
    "tcp://8.8.8.8:5555",
    "tcp://[::ffff:8.8.8.8]:5555",
    "tcp://eth0:5555",
    "tcp://lo:5555",
    "tcp://myhost.example:5555",
    "tcp://localhost.example.com:5555",
    "tcp://127.0.0.1.example.com:5555",
    "tcp://127.1:5555",
    "tcp://0x7f.0.0.1:5555",
    "tcp://2130706433:5555",
    "tcp://eth0;127.0.0.1:5555",
    "tcp://127.0.0.1",
    "tcp://:5555",
    "tcp://",
    "tcp:127.0.0.1:5555",
    "udp://239.0.0.1:5555",
    "pgm://127.0.0.1;239.0.0.1:5555",
    "ws://0.0.0.0:80",
    "127.0.0.1",
    "",
    "TCP://0.0.0.0:5555",
]


KEY = "5e" * 32
OTHER = "0f" * 32


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The directory of keys, which is not there yet."""
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "home"))
    return keys.home()


def authorize(directory, key=KEY, name="", **rights):
    clients.allow(directory, Authorized(key=key, name=name, rights=Rights(**rights)))


# ── which addresses may be bound ──────────────────────────────────────────────────────────────────

REFUSED = TransportError
# By what there is: an address of this computer alone, an address that others reach, what has no CURVE.
POLICY: dict[str, dict[str, Any]] = {
    "nothing": {"local": None, "reachable": REFUSED},
    "keys, no client": {"local": None, "reachable": REFUSED},
    "keys and a client": {"local": None, "reachable": "keys"},
    "insecure": {"local": None, "reachable": None},
    "keys are asked for, no client": {"local": REFUSED, "reachable": REFUSED},
    "keys are asked for, a client": {"local": "keys", "reachable": "keys"},
    "keys are asked for, and insecure": {"local": ValueError, "reachable": ValueError},
}


def bind(url, case, home):
    if "keys" in case:
        keys.make_key(home, keys.SERVER)
    if "a client" in case:
        authorize(home)
    asked = home if "asked for" in case else None
    return keys_for(url, keys=asked, insecure="insecure" in case)


@pytest.mark.parametrize("case", POLICY)
@pytest.mark.parametrize("url", LOCAL + REACHABLE)
def test_an_address_is_bound_openly_or_with_keys_or_not_at_all(url, case, home):
    expected = POLICY[case]["local" if url in LOCAL else "reachable"]
    if expected == "keys" and not url.startswith("tcp://"):
        expected = REFUSED
    if isinstance(expected, type):
        with pytest.raises(expected) as caught:
            bind(url, case, home)
        assert caught.type is expected
    else:
        assert bind(url, case, home) == (home if expected == "keys" else None)


def test_the_refusal_says_the_ways_out(home):
    with pytest.raises(TransportError) as caught:
        keys_for("tcp://0.0.0.0:5555", keys=None, insecure=False)
    for way in ("tcp://0.0.0.0:5555", "zbridge keys allow PUBKEY", "ssh://", "insecure=True"):
        assert way in str(caught.value)


@pytest.mark.parametrize("url", LOCAL + REACHABLE)
def test_what_takes_no_keys_is_bound_where_only_this_machine_reaches_it(url, home):
    authorize(home)
    keys.check_bind(url, insecure=True)
    if url in LOCAL:
        keys.check_bind(url, insecure=False)
    else:
        with pytest.raises(TransportError, match="can be reached from other computers"):
            keys.check_bind(url, insecure=False)


@pytest.mark.parametrize("url", LOCAL + REACHABLE)
def test_addresses_that_only_this_machine_reaches_are_local(url):
    assert is_local(url) == (url in LOCAL)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def modes(directory):
    return {path.name: oct(path.stat().st_mode & 0o777) for path in [directory, *directory.iterdir()]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_made_is_for_its_owner_alone_whatever_the_umask(home, umask):
    before = os.umask(umask)
    try:
        keys.make_key(home, keys.CLIENT)
        authorize(home)
        keys.trust(home, "tcp://lab:5555", KEY)
    finally:
        os.umask(before)
    assert modes(home) == {
        "home": "0o700",
        "client.key": "0o600",
        "authorized_keys": "0o600",
        "known_servers": "0o600",
    }


def test_a_key_is_made_once_and_read_again(home):
    assert keys.own_key(home, keys.CLIENT) is None
    made = keys.make_key(home, keys.CLIENT)
    assert keys.own_key(home, keys.CLIENT) == made
    with pytest.raises(TransportError, match="is there already"):
        keys.make_key(home, keys.CLIENT)
    assert keys.own_key(home, keys.CLIENT) == made


def test_the_directory_of_keys_stays_where_it_was_when_the_working_directory_changes(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_HOME", "here")
    assert keys.home() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("BRIDGE_HOME", "~/keys")
    assert keys.home() == tmp_path / "me" / "keys"


def test_a_file_in_place_of_the_directory_is_named(home):
    home.touch(0o600)
    for use in (lambda: keys.make_key(home, keys.CLIENT), lambda: authorize(home)):
        with pytest.raises(
            TransportError, match=r"home/(client\.key|authorized_keys\.new): Not a directory"
        ):
            use()


def test_a_secret_key_is_not_shown(home):
    pair = keys.make_key(home, keys.CLIENT)
    assert pair.secret.hex() not in repr(pair)
    assert repr(pair.secret) not in repr(pair)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("client.key", lambda home: keys.own_key(home, keys.CLIENT)),
        ("authorized_keys", clients.authorized),
        ("known_servers", lambda home: keys.known_server(home, "tcp://lab:5555")),
    ],
)
def test_a_file_that_others_can_read_or_write_is_refused(home, name, read, mode):
    keys.make_key(home, keys.CLIENT)
    authorize(home)
    keys.trust(home, "tcp://lab:5555", KEY)
    (home / name).chmod(mode)
    with pytest.raises(TransportError, match=rf"others can read .*run: chmod 600 .*{name}"):
        read(home)
    (home / name).chmod(0o600)
    assert read(home)


def test_a_directory_that_others_can_enter_is_refused(home):
    keys.make_key(home, keys.CLIENT)
    home.chmod(0o755)
    for use in (
        lambda: keys.own_key(home, keys.CLIENT),
        lambda: keys.make_key(home, keys.SERVER),
        lambda: authorize(home),
    ):
        with pytest.raises(TransportError, match="run: chmod 700"):
            use()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(home):
    keys.make_key(home, keys.CLIENT)
    os.chown(home / "client.key", 65534, 65534)
    with pytest.raises(TransportError, match="belongs to another user"):
        keys.own_key(home, keys.CLIENT)


@pytest.mark.parametrize(
    "text", ["", "5e5e", f"{KEY}", f"{KEY} {KEY} {KEY}", f"{KEY} {KEY[:-2]}", "\x00"]
)
def test_a_file_that_is_no_key_is_refused(home, text):
    home.mkdir(mode=0o700)
    (home / "client.key").touch(0o600)
    (home / "client.key").write_text(text)
    with pytest.raises(
        TransportError, match=r"is no key; remove it, and make one with: zbridge keys new"
    ):
        keys.own_key(home, keys.CLIENT)


def test_two_who_change_a_file_at_once_do_not_lose_each_others_change(home):
    authorize(home, KEY)
    (home / "authorized_keys.new").touch()
    with pytest.raises(
        TransportError, match=r"is being changed by somebody else; .*remove .*authorized_keys\.new"
    ):
        authorize(home, OTHER)
    assert set(clients.authorized(home)) == {KEY}


def test_a_change_that_fails_changes_nothing(home):
    authorize(home)
    (home / "authorized_keys").write_text("{")
    with pytest.raises(TransportError, match=r"line 1 of .* is wrong"):
        authorize(home, OTHER)
    assert [path.name for path in home.iterdir()] == ["authorized_keys"]


@pytest.mark.parametrize("text", [KEY, KEY.upper(), f" {KEY}\n"])
def test_a_public_key_has_one_form(text):
    assert keys.key_of(text) == KEY


@pytest.mark.parametrize("text", ["", KEY[:-1], KEY + "0", "z" * 64, f"0x{KEY[2:]}", "\uff15" * 64])
def test_what_is_no_public_key_says_so(text):
    with pytest.raises(ValueError, match="is no public key: 64 hex digits"):
        keys.key_of(text)


# ── who is let in ─────────────────────────────────────────────────────────────────────────────────


def test_rights_are_kept_as_they_were_given(home):
    given: dict[str, Any] = {
        "may_write": False,
        "only": ("a*", "b"),
        "bytes_in_flight": 10,
        "requests_per_second": 0.5,
    }
    authorize(home, KEY, "ada", **given)
    authorize(home, OTHER)
    assert list(clients.authorized(home).values()) == [
        Authorized(key=KEY, name="ada", rights=Rights(**given)),
        Authorized(key=OTHER, rights=Rights()),
    ]


def test_who_is_allowed_again_has_the_new_rights_alone(home):
    authorize(home, KEY, "ada", only=("a*",))
    authorize(home, KEY, may_write=False)
    assert clients.authorized(home) == {KEY: Authorized(key=KEY, rights=Rights(may_write=False))}


@pytest.mark.parametrize("what", [KEY, KEY.upper(), "ada"])
def test_a_client_is_denied_by_key_or_name(home, what):
    authorize(home, KEY, "ada")
    authorize(home, OTHER)
    assert [client.key for client in clients.deny(home, what)] == [KEY]
    assert set(clients.authorized(home)) == {OTHER}


@pytest.mark.parametrize("what", ["", "bob", "ad", "*"])
def test_nobody_else_is_denied(home, what):
    authorize(home, KEY, "ada")
    authorize(home, OTHER)
    assert clients.deny(home, what) == []
    assert set(clients.authorized(home)) == {KEY, OTHER}


def test_a_change_of_the_file_is_seen_at_once(home):
    found_in = Clients(home)
    assert found_in.find(KEY) is None
    authorize(home)
    found = found_in.find(KEY)
    assert found is not None
    assert found.rights == Rights()
    authorize(home, may_write=False)
    found = found_in.find(KEY)
    assert found is not None
    assert not found.rights.may_write
    clients.deny(home, KEY)
    assert found_in.find(KEY) is None


LINES = [
    "{",
    "[]",
    "1",
    "{}",
    f'{{"key": "{KEY}"}}',
    f'{{"key": "{KEY}", "may": "all"}}',
    f'{{"key": "{KEY}", "may": "read", "onyl": ["x"]}}',
    f'{{"key": "{KEY}", "may": "read", "requests_per_second": 0}}',
    f'{{"key": "{KEY}", "may": "read", "requests_per_second": true}}',
    f'{{"key": "{KEY}", "may": "read", "bytes_in_flight": NaN}}',
    f'{{"key": "{KEY}", "may": "read", "only": "run*"}}',
    f'{{"key": "{KEY}", "may": "read", "only": [["run*"]]}}',
    f'{{"key": "{KEY}", "may": ["read"]}}',
    '{"key": 1, "may": "read"}',
    f'{{"key": "{KEY[1:]}", "may": "read"}}',
    f'{{"key": "{KEY}", "may": "read", "may": "write"}}',
    f'{{"key": "{OTHER}", "may": "read"}}',  # it has a line already
    f'{{"key": "{KEY}", "may": "read", "requests_per_second": 1e999}}',
    f'{{"key": "{KEY}", "may": "read", "bytes_in_flight": {"9" * 5000}}}',
    "[" * 100_000,
    f'{{"key": "{KEY}", "may": "read", "name": "ada\\n12:00:00 10.0.0.1 bob"}}',
]


@pytest.mark.parametrize("line", LINES)
def test_where_a_line_is_wrong_nobody_is_let_in_and_the_log_says_which(home, line, caplog):
    authorize(home, OTHER)
    path = home / "authorized_keys"
    path.write_text(f"{path.read_text()}{line}\n")
    with caplog.at_level(logging.ERROR, "bridge"):
        found_in = Clients(home)
        assert [found_in.find(key) for key in (KEY, OTHER)] == [None, None]
    assert f"line 2 of {path} is wrong" in caplog.text
    assert len(caplog.records) == 1


def test_empty_lines_and_the_line_ends_of_windows_are_nothing(home):
    authorize(home, KEY, "ada")
    path = home / "authorized_keys"
    path.write_bytes(b"\r\n  \n" + path.read_bytes().replace(b"\n", b"\r\n") + b"\n\n")
    assert set(clients.authorized(home)) == {KEY}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("make", [getattr(os, "mkfifo", None), os.mkdir], ids=["a pipe", "a directory"])
def test_what_is_no_file_lets_nobody_in_and_holds_nobody_up(home, make, caplog):
    authorize(home)
    found_in = Clients(home)
    assert found_in.find(KEY) is not None
    (home / "authorized_keys").unlink()
    make(home / "authorized_keys", 0o600)
    assert found_in.find(KEY) is None
    assert "nobody is let in any more" in caplog.text


def test_a_change_that_keeps_the_time_and_the_size_is_seen(home):
    authorize(home)
    path = home / "authorized_keys"
    found_in = Clients(home)
    assert found_in.find(KEY) is not None
    before = path.stat()
    path.write_text(path.read_text().replace(KEY, OTHER))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found_in.find(KEY) is None
    assert found_in.find(OTHER) is not None


def test_once_the_file_can_be_read_again_its_clients_are_let_in(home, monkeypatch, caplog):
    """As when too many files were open."""
    authorize(home)
    found_in = Clients(home)
    with monkeypatch.context() as patch:
        patch.setattr("bridge.private.read", _no_file_can_be_opened)
        assert [found_in.find(KEY) for _ in range(3)] == [None] * 3
    assert found_in.find(KEY) is not None
    assert [record.getMessage() for record in caplog.records] == ["nobody is let in any more: too many"]


def _no_file_can_be_opened(path):
    raise TransportError("too many")


def test_where_others_could_write_the_file_nobody_is_let_in(home):
    authorize(home)
    found_in = Clients(home)
    assert found_in.find(KEY)
    (home / "authorized_keys").chmod(0o666)
    assert found_in.find(KEY) is None


# ── whom to trust ─────────────────────────────────────────────────────────────────────────────────


def test_a_server_is_known_by_its_key_until_that_is_replaced_on_purpose(home):
    assert keys.known_server(home, "tcp://lab:5555") is None
    keys.trust(home, "tcp://lab:5555", KEY)
    keys.trust(home, "tcp://lab:5555", KEY)
    with pytest.raises(TransportError, match="the key of tcp://lab:5555 has changed") as caught:
        keys.trust(home, "tcp://lab:5555", OTHER)
    for text in (keys.fingerprint(KEY), keys.fingerprint(OTHER), "--replace", str(home)):
        assert text in str(caught.value)
    assert keys.known_server(home, "tcp://lab:5555") == KEY
    keys.trust(home, "tcp://lab:5555", OTHER, replace=True)
    assert keys.known_server(home, "tcp://lab:5555") == OTHER


@pytest.mark.parametrize("url", ["", "tcp://a b:5555", f"tcp://b:5555 {OTHER}\ntcp://a:5555"])
def test_an_address_of_several_words_changes_nothing(home, url):
    keys.trust(home, "tcp://a:5555", KEY)
    with pytest.raises(TransportError, match="is not an address"):
        keys.trust(home, url, OTHER, replace=True)
    assert keys.known_server(home, "tcp://a:5555") == KEY


@pytest.mark.parametrize("line", ["tcp://lab:5555", f"tcp://lab:5555 {KEY[1:]}", f"a b {KEY}"])
def test_a_line_about_a_server_that_is_wrong_is_named(home, line):
    keys.trust(home, "tcp://a:5555", KEY)
    (home / "known_servers").write_text(f"tcp://a:5555 {KEY}\n{line}\n")
    with pytest.raises(TransportError, match=r"line 2 of .*known_servers is wrong"):
        keys.known_server(home, "tcp://a:5555")
