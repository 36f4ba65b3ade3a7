"""Between computers: only those who are allowed get in, nobody reads along, and nobody stands in between."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import zmq

import bridge
from bridge import aio, clients, keys, wire
from bridge.clients import Authorized
from bridge.rights import Rights
from bridge.transport import KeyPair, guard, new_key_pair
from bridge.wire import Request
from tests.integration.conftest import until
from tests.processes import output_of

ANYWHERE = "tcp://127.0.0.1:0"
KNOWN = np.frombuffer(b"a known array, of which nobody reads a word " * 4000, np.uint8)
SECONDS = 10


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The directory of keys of this user, who is allowed to connect to his own servers."""
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "home"))
    keys.make_key(keys.home(), keys.CLIENT)
    allow(keys.home())
    return keys.home()


@pytest.fixture
def server(home) -> Iterator[bridge.Server]:
    with bridge.Server(ANYWHERE, keys=home) as server:
        server.update({"known": KNOWN, "run42/x": np.arange(3), "y": 1})
        yield server


def own(home, role=keys.CLIENT) -> KeyPair:
    pair = keys.own_key(home, role)
    assert pair is not None
    return pair


def allow(home, pair=None, **rights):
    key = (pair or own(home)).public.hex()
    clients.allow(home, Authorized(key=key, name="ada", rights=Rights(**rights)))


def plain(url):
    """The address without the key."""
    return "tcp://" + url.removeprefix("tcp://").rpartition("@")[2]


# ── getting in ────────────────────────────────────────────────────────────────────────────────────


def test_an_allowed_client_reads_with_the_address_that_the_server_prints(server, home):
    assert server.url.startswith(f"bridge://{own(home, keys.SERVER).public.hex()}@127.0.0.1:")
    with bridge.connect(server.url) as b:
        assert np.array_equal(b.read("known"), KNOWN)
        assert b.url == server.url


def test_the_servers_key_may_be_given_beside_its_address(server, home):
    key = own(home, keys.SERVER).public.hex()
    with bridge.connect(plain(server.url), server_key=key.upper()) as b:
        assert b.read("y") == 1

    async def read():
        async with aio.connect(plain(server.url), server_key=key) as b:
            return await b.read("y")

    assert asyncio.run(read()) == 1


def test_a_server_that_is_known_needs_no_key_in_its_address(server, home):
    keys.trust(home, plain(server.url), own(home, keys.SERVER).public.hex())
    with bridge.connect(plain(server.url)) as b:
        assert b.read("y") == 1


def test_large_objects_come_as_they_are(server):
    large = np.random.default_rng(0).integers(0, 255, 20_000_000, np.uint8)
    server["large"] = large
    with bridge.connect(server.url) as b:
        assert np.array_equal(b.read("large"), large)


def test_several_servers_of_one_process_let_in_their_own_clients(server, tmp_path):
    other = tmp_path / "other"
    allow(other, new_key_pair())
    with bridge.Server(ANYWHERE, keys=other) as second:
        with pytest.raises(bridge.TransportError, match="does not know the key"):
            bridge.connect(second.url)
        with bridge.connect(server.url) as b:
            assert b.read("y") == 1


def test_a_pickled_client_carries_no_secret_and_connects_again(server, home):
    with bridge.connect(server.url) as b:
        data = pickle.dumps(b)
    secret = own(home).secret
    assert secret not in data
    assert secret.hex().encode() not in data
    with pickle.loads(data) as again:
        assert again.read("y") == 1


FORK = """
import os, sys, warnings, bridge
b = bridge.connect(sys.argv[1])
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn: ZeroMQ has threads
child = os.fork()
value = b.read("y")
if not child:
    os._exit(0 if value == 1 else 1)
print(value, os.waitpid(child, 0)[1])
"""


def test_parent_and_child_read_after_a_fork(server):
    assert output_of("-c", FORK, server.url) == "1 0\n"


# ── being refused ─────────────────────────────────────────────────────────────────────────────────


def refusal(url, **options):
    with pytest.raises(bridge.TransportError) as caught:
        bridge.connect(url, **options).close()
    return str(caught.value)


def test_a_client_that_is_not_allowed_is_told_what_to_ask_for(server, home):
    clients.deny(home, "ada")
    assert f"run: zbridge keys allow {own(home).public.hex()}" in refusal(server.url)


def test_a_client_without_a_key_is_told_to_make_one(server, home):
    (home / "client.key").unlink()
    assert "run: zbridge keys new" in refusal(server.url)


def test_a_client_that_knows_of_no_keys_is_told_where_to_get_the_address(server):
    assert "connect with the address bridge://KEY@" in refusal(plain(server.url))


def test_a_server_without_keys_is_refused_where_one_with_keys_was_meant(home):
    with bridge.serve(y=1) as server:
        message = refusal(server.url, server_key="5e" * 32)
    assert "has no key, but one was expected" in message


def test_a_key_that_contradicts_the_one_that_is_known_is_refused(server, home):
    keys.trust(home, plain(server.url), "5e" * 32)
    message = refusal(server.url)
    assert f"the key of {plain(server.url)} has changed" in message
    assert keys.fingerprint("5e" * 32) in message


def test_a_server_whose_key_was_changed_is_refused(home, tmp_path):
    url = ANYWHERE
    for _ in range(2):
        with bridge.Server(url, keys=home) as server:
            first, url = own(home, keys.SERVER).public.hex(), plain(server.url)
            with bridge.connect(server.url) as b:
                assert list(b) == []
        (home / "server.key").unlink()
    with bridge.Server(url, keys=home):
        assert f"does not prove that it has the key {first} that it is known by" in refusal(
            url, server_key=first
        )


@contextmanager
def man_in_the_middle(url, server_key: bytes, known_to_server: KeyPair):
    """A proxy that speaks to both ends, to the server with a key that is allowed; what came through it."""
    heard: list[bytes] = []
    stopped = threading.Event()
    own_key = new_key_pair()
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as front,
        context.socket(zmq.DEALER) as back,
    ):
        front.linger = back.linger = 0
        front.curve_server, front.curve_secretkey = True, own_key.secret
        back.curve_serverkey = server_key
        back.curve_publickey, back.curve_secretkey = known_to_server.public, known_to_server.secret
        back.connect(url)
        port = front.bind_to_random_port("tcp://127.0.0.1")

        def work():
            while not stopped.is_set():
                for source, sink in ((front, back), (back, front)):
                    if source.poll(10):
                        frames = source.recv_multipart()
                        heard.extend(frames)
                        sink.send_multipart(frames)

        thread = threading.Thread(target=work)
        thread.start()
        yield f"tcp://127.0.0.1:{port}", own_key.public.hex(), heard
        stopped.set()
        thread.join()


def test_a_man_in_the_middle_is_refused_by_name_and_hears_nothing(server, home):
    server_key = own(home, keys.SERVER).public
    with man_in_the_middle(plain(server.url), server_key, own(home)) as (url, his_key, heard):
        with bridge.connect(url, server_key=his_key) as b:  # who trusts him is read along
            assert np.array_equal(b.read("known"), KNOWN)
        assert bytes(KNOWN) in heard
        heard.clear()
        message = refusal(url, server_key=server_key.hex())
        assert f"{url} does not prove that it has the key {server_key.hex()}" in message
        assert heard == []


# ── nobody reads along ────────────────────────────────────────────────────────────────────────────


@contextmanager
def recorder(url):
    """Hand on the bytes of one connection to a server, and note them: an address, and the notes."""
    host, port = url.removeprefix("tcp://").split(":")
    passed: list[bytes] = []

    def pump(source, sink):
        while data := source.recv(65536):
            passed.append(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    def accept():
        with listener:
            client, _ = listener.accept()
        with client, socket.create_connection((host, int(port))) as upstream:
            back = threading.Thread(target=pump, args=(upstream, client))
            back.start()
            pump(client, upstream)
            back.join()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept)
    thread.start()
    yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", passed
    thread.join()


@pytest.mark.parametrize("with_keys", [False, True], ids=["plain", "with keys"])
def test_with_keys_what_passes_on_the_wire_tells_nothing(home, with_keys):
    with (
        bridge.Server(ANYWHERE, keys=home if with_keys else None) as server,
        recorder(plain(server.url)) as (url, passed),
    ):
        server["known"] = KNOWN
        key = own(home, keys.SERVER).public.hex() if with_keys else None
        with bridge.connect(url, server_key=key) as b:
            assert np.array_equal(b.read("known"), KNOWN)
    wire_bytes = b"".join(passed)
    found = {text: text in wire_bytes for text in (b"a known array", b'"bridge"', b'"op"', b'"known"')}
    assert set(found.values()) == {not with_keys}


# ── taking back ───────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_is_taken_back_loses_its_open_connection_at_its_next_request(server, home):
    with bridge.connect(server.url) as b:
        assert b.read("y") == 1
        clients.deny(home, "ada")
        for ask in (lambda: b.read("y"), lambda: list(b), b.ping):
            with pytest.raises(PermissionError, match="your key is not allowed any more"):
                ask()
        allow(home)
        assert b.read("y") == 1


def test_rights_change_without_a_restart(server, home):
    with bridge.connect(server.url) as b:
        allow(home, only=("run42/*",))
        assert list(b) == ["run42/x"]
        with pytest.raises(KeyError, match="there is 1 name"):
            b.read("y")
        allow(home)
        assert b.read("y") == 1


def test_a_transfer_ends_where_the_key_is_taken_back(server, home):
    server["large"] = np.zeros(50_000_000, np.uint8)

    def progress(done, total):
        clients.deny(home, "ada")

    with bridge.connect(server.url) as b, pytest.raises(PermissionError):
        b.read("large", progress=progress)


def test_a_follower_whose_key_is_taken_back_gets_no_more_rows(server, home, caplog):
    caplog.set_level("INFO", "bridge.audit")
    log = server.channel("log")
    log.append([1, 2])
    with bridge.connect(server.url) as b, ThreadPoolExecutor(1) as threads:
        followed = b.follow("log", start="begin")
        assert list(next(followed)) == [1, 2]
        following = threads.submit(next, followed)
        until(lambda: log._waiting)
        clients.deny(home, "ada")
        log.append([3])
        with pytest.raises(PermissionError, match="your key is not allowed any more"):
            following.result(SECONDS)
    assert caplog.messages[-1].endswith(" forbidden")


@pytest.mark.parametrize("way", ["call", "stream"])
def test_a_caller_whose_key_is_taken_back_gets_no_result(server, home, way):
    began, may_end = threading.Event(), threading.Event()

    def secret():
        began.set()
        may_end.wait()
        return 42

    def secrets():
        yield secret()

    server.query(secret)
    server.stream(secrets)
    with bridge.connect(server.url) as b, ThreadPoolExecutor(1) as threads:
        ask = {"call": lambda: b.call("secret"), "stream": lambda: next(b.stream("secrets"))}[way]
        asked = threads.submit(ask)
        assert began.wait(SECONDS)
        clients.deny(home, "ada")
        may_end.set()
        with pytest.raises(PermissionError, match="your key is not allowed any more"):
            asked.result(SECONDS)


def test_who_may_only_read_is_told_so(home):
    allow(home, may_write=False)
    with bridge.Server(ANYWHERE, keys=home, writable=True) as server, bridge.connect(server.url) as b:
        with pytest.raises(PermissionError, match="your key may only read"):
            b.put("x", 1)
        allow(home)
        b.put("x", 1)
        assert b.read("x") == 1


def test_a_key_with_few_requests_per_second_is_answered_later_but_answered(server, home):
    with bridge.connect(server.url) as b:
        allow(home, requests_per_second=10.0)
        start = time.monotonic()
        assert [b.read("y") for _ in range(14)] == [1] * 14
        assert time.monotonic() - start > 0.3  # of the first 10, one second's worth is free


def test_replies_that_a_key_does_not_read_have_all_its_connections_wait(server, home):
    """Until they are read: then the one who waits is answered."""
    allow(home, bytes_in_flight=1)
    server["large"] = np.zeros(2**26, np.uint8)
    with pinned_socket(server, home) as lazy, pinned_socket(server, home) as other:
        lazy.setsockopt(zmq.RCVHWM, 1)
        lazy.connect(plain(server.url))
        other.connect(plain(server.url))
        for number in range(4):
            lazy.send_multipart([b"", *request(number, "get", name="large")])
        user = own(home).public.hex()
        until(lambda: server._listener.unsent(user) > 2**26)
        other.send_multipart([b"", *request(9, "get", name="y")])
        assert not other.poll(300)
        for _ in range(4):
            assert lazy.poll(30_000)
            lazy.recv_multipart(copy=False)
        assert other.poll(30_000)


def test_the_requests_of_a_key_are_counted_over_all_its_connections(home):
    limits = bridge.Limits(client_requests=2)
    with bridge.Server(ANYWHERE, keys=home, limits=limits) as server:
        server.channel("rows")
        with pinned_socket(server, home) as one, pinned_socket(server, home) as other:
            for number, sock in enumerate((one, other), start=1):
                sock.connect(plain(server.url))
                sock.send_multipart([b"", *request(number, "get", name="rows", start="end", wait=60)])
            until(lambda: [load.requests for load in server._loads.copy().values()] == [1, 2, 1])
            for sock in (one, other):
                sock.send_multipart([b"", *request(9, "get", name="rows", start="end", wait=60)])
                assert sock.poll(30_000)
                failure = wire.unpack_reply(sock.recv_multipart()[1:])
                assert (failure.id, failure.error and failure.error.code) == (9, "busy")


def test_answers_that_are_being_made_for_a_key_count_as_what_it_has_not_read(server, home, monkeypatch):
    allow(home, bytes_in_flight=1)
    server["turned"] = np.zeros(2**20, np.uint8)
    begun, go_on = [], threading.Event()
    submit = server._threads.submit

    def hold(function, *arguments):
        begun.append(function)
        return submit(lambda: go_on.wait(30) and function(*arguments))

    monkeypatch.setattr(server._threads, "submit", hold)
    with pinned_socket(server, home) as one, pinned_socket(server, home) as other:
        for sock in (one, other):
            sock.connect(plain(server.url))
            sock.send_multipart([b"", *request(1, "get", name="turned", select=[[None, None, -1]])])
        until(lambda: len(server._held) == len(begun) == 1)
        go_on.set()
        for sock in (one, other):
            assert sock.poll(30_000)
            assert len(sock.recv_multipart()[2]) == 2**20


# ── strangers ─────────────────────────────────────────────────────────────────────────────────────


def request(number, op, **values):
    return wire.pack_request(Request(id=number, op=op, keys=values))


@contextmanager
def pinned_socket(server, home):
    """A socket with the keys of this user's client."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        prove(sock, own(home), own(home, keys.SERVER).public)
        yield sock


def prove(sock, pair: KeyPair, server_key: bytes):
    sock.curve_publickey, sock.curve_secretkey, sock.curve_serverkey = (
        pair.public,
        pair.secret,
        server_key,
    )


def no_key(sock, home):
    """Nothing is set."""


def unknown_key(sock, home):
    prove(sock, new_key_pair(), own(home, keys.SERVER).public)


def wrong_server_key(sock, home):
    prove(sock, own(home), new_key_pair().public)


def stolen_public_key(sock, home):
    prove(sock, KeyPair(own(home).public, new_key_pair().secret), own(home, keys.SERVER).public)


def revoked_key(sock, home):
    prove(sock, own(home / "revoked"), own(home, keys.SERVER).public)


def password(sock, home):
    sock.plain_username, sock.plain_password = b"ada", b"secret"


def allowed_key(sock, home):
    prove(sock, own(home), own(home, keys.SERVER).public)


STRANGERS = [no_key, unknown_key, wrong_server_key, stolen_public_key, revoked_key, password]
OVER = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
)


def accepted(url, home, who, count, *, at_once=50):
    """How many of so many attempts to connect succeed, and how many requests are answered."""
    handshakes = answers = 0
    hello = [b"", *request(1, "hello")]
    for first in range(0, count, at_once):
        with ExitStack() as stack:
            context = stack.enter_context(zmq.Context())
            sockets = []
            for _ in range(min(at_once, count - first)):
                sock = stack.enter_context(context.socket(zmq.DEALER))
                sock.linger, sock.reconnect_ivl = 0, -1
                who(sock, home)
                monitor = stack.enter_context(sock.get_monitor_socket(OVER))
                sock.connect(url)
                with suppress(zmq.Again):  # it was refused already
                    sock.send_multipart(hello, zmq.DONTWAIT)
                sockets.append((sock, monitor))
            for sock, monitor in sockets:
                assert monitor.poll(SECONDS * 1000), "neither in nor out"
                event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    handshakes += 1
                    answers += bool(sock.poll(SECONDS * 1000 if who is allowed_key else 0))
    return handshakes, answers


@pytest.fixture
def revoked(home):
    """A key that was allowed, and is no more."""
    pair = keys.make_key(home / "revoked", keys.CLIENT)
    allow(home, pair)
    clients.deny(home, pair.public.hex())


def test_who_is_allowed_gets_in(server, home):
    assert accepted(plain(server.url), home, allowed_key, 60) == (60, 60)


@pytest.mark.parametrize("who", STRANGERS)
def test_no_stranger_gets_in(server, home, revoked, who):
    assert accepted(plain(server.url), home, who, 40) == (0, 0)
    assert accepted(plain(server.url), home, allowed_key, 1) == (1, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", STRANGERS)
def test_no_stranger_of_ten_thousand_gets_in(server, home, revoked, who):
    gc.collect()
    assert accepted(plain(server.url), home, who, 10_000) == (0, 0)
    assert accepted(plain(server.url), home, allowed_key, 1) == (1, 1)


@contextmanager
def without_authenticator(home):
    """The address of a server that has not noticed yet, and stopped, that its authenticator was killed."""
    with closing(bridge.Server(ANYWHERE, keys=home)) as server:
        guard = server._listener._guard
        assert guard is not None
        guard._questions.close(0)
        yield plain(server.url)


@pytest.mark.parametrize("who", [no_key, allowed_key])
def test_with_the_authenticator_gone_the_address_lets_nobody_in(home, who):
    with without_authenticator(home) as url:
        assert accepted(url, home, who, 20) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_with_the_authenticator_gone_none_of_ten_thousand_gets_in(home):
    with without_authenticator(home) as url:
        assert accepted(url, home, allowed_key, 10_000, at_once=250) == (0, 0)


def test_with_the_authenticator_gone_the_server_stops(server, home, caplog):
    assert accepted(plain(server.url), home, allowed_key, 1) == (1, 1)
    questions = server._listener._guard._questions
    server._service.timers.add(0.0, lambda: questions.close(0))  # in the thread that it belongs to
    server._thread.join(SECONDS)
    assert "stopped" in caplog.text
    assert accepted(plain(server.url), home, allowed_key, 20) == (0, 0)


def test_the_authenticator_is_not_collected(server, home):
    gc.collect()
    assert accepted(plain(server.url), home, unknown_key, 20) == (0, 0)
    assert accepted(plain(server.url), home, allowed_key, 1) == (1, 1)


@pytest.mark.parametrize("count", [20, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_where_libzmq_does_not_ask_nobody_is_answered(home, monkeypatch, count):
    """Without a domain libzmq lets everybody connect. Their requests come without a name, and are dropped."""
    options = {k: v for k, v in guard._GATE_OPTIONS.items() if k != zmq.ZAP_DOMAIN}
    monkeypatch.setattr(guard, "_GATE_OPTIONS", options)
    with bridge.Server(ANYWHERE, keys=home) as server:
        assert accepted(plain(server.url), home, unknown_key, count) == (count, 0)
        with pinned_socket(server, home) as sock:
            sock.connect(plain(server.url))
            before = server._listener.dropped
            sock.send_multipart([b"", *request(1, "hello")])
            until(lambda: server._listener.dropped > before)
            assert not sock.poll(300)


def test_a_user_id_that_a_peer_makes_up_is_none(home):
    """What a peer says of itself when it connects comes with its messages as what libzmq was told by us."""
    with closing(bridge.Server(ANYWHERE, keys=home)) as server:
        guard = server._listener._guard
        assert guard is not None
        user = own(home).public.hex()
        for made_up in (user, f" {user}", f"{'0' * 32} {user}", ""):
            assert guard.user_of(_Frame({"User-Id": made_up})) is None
        assert guard.user_of(_Frame({"User-Id": f"{guard._mark} {user}"})) == user


class _Frame:
    """A received frame, as far as its properties go."""

    def __init__(self, properties):
        self.get = properties.__getitem__


def test_a_callback_that_raises_lets_nobody_in(server, home, monkeypatch):
    monkeypatch.setattr(server._entrance._clients, "find", lambda key: 1 / 0)
    assert accepted(plain(server.url), home, allowed_key, 20) == (0, 0)


def test_a_routing_id_of_another_gives_no_rights(server, home):
    """Who comes with the routing id that an allowed client had is who its key says."""
    limited = keys.make_key(home / "limited", keys.CLIENT)
    allow(home, limited, only=("run42/*",))
    answers = {}
    for name, pair in (("own", own(home)), ("limited", limited)):
        with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
            sock.linger = 0
            sock.setsockopt(zmq.ROUTING_ID, b"the same")
            prove(sock, pair, own(home, keys.SERVER).public)
            sock.connect(plain(server.url))
            sock.send_multipart([b"", *request(1, "get", name="y")])
            assert sock.poll(30_000)
            answers[name] = "error" in json.loads(sock.recv_multipart()[1])
    assert answers == {"own": False, "limited": True}


# ── the audit ─────────────────────────────────────────────────────────────────────────────────────


def test_each_query_and_each_refused_handshake_is_a_line_without_keys_or_data(server, home, caplog):
    caplog.set_level(logging.INFO, "bridge.audit")
    with bridge.connect(server.url) as b:
        b.read("known")
        clients.deny(home, "ada")
        with pytest.raises(PermissionError):
            b.read("y")
    refusal(server.url)
    refusal(plain(server.url))
    until(lambda: "failed" in caplog.text)
    mark = keys.fingerprint(own(home).public.hex())
    fields = ("peer", "key", "op", "name_", "nbytes", "outcome")
    lines = [tuple(vars(record)[field] for field in fields) for record in caplog.records]
    assert lines[:4] == [
        ("127.0.0.1", f"ada {mark}", "list", "", 0, "ok"),
        ("127.0.0.1", f"ada {mark}", "get", "known", KNOWN.nbytes, "ok"),
        ("127.0.0.1", f"- {mark}", "get", "y", 0, "forbidden"),
        ("127.0.0.1", f"- {mark}", "handshake", "", 0, "forbidden"),
    ]
    # Whichever end notices first that they do not fit hangs up.
    failures = {
        ("-", "", "handshake", "", 0, f"failed: it {why}") for why in ("has no key", "broke off")
    }
    assert set(lines[4:]) <= failures
    pair = own(home)
    for text in (pair.public.hex(), pair.secret.hex(), "a known array"):
        assert text not in caplog.text


# ── the address ───────────────────────────────────────────────────────────────────────────────────


def test_an_address_that_others_reach_is_bound_with_keys_by_itself(home):
    with bridge.Server("tcp://0.0.0.0:0") as server:
        assert server.url.startswith("bridge://")
        port = server.url.rpartition(":")[2]
        assert accepted(f"tcp://127.0.0.1:{port}", home, no_key, 10) == (0, 0)
        with bridge.connect(server.url) as b:
            assert list(b) == []


def test_ipv6_takes_keys_too(home):
    with bridge.Server("tcp://[::1]:0", keys=home) as server, bridge.connect(server.url) as b:
        assert list(b) == []


def test_an_insecure_server_warns_at_every_start(home, caplog):
    for _ in range(2):
        bridge.Server("tcp://0.0.0.0:0", insecure=True).close()
    assert caplog.text.count("is open to everybody") == 2


def test_a_closed_server_frees_its_address_and_its_threads(home):
    url = ANYWHERE
    before = threading.active_count()
    for _ in range(5):
        with bridge.Server(url, keys=home) as server, bridge.connect(server.url) as b:
            url = plain(server.url)
            assert list(b) == []
    until(lambda: threading.active_count() <= before)


def test_a_listener_that_cannot_be_bound_leaves_nothing_open(home):
    with bridge.serve(y=1) as taken, pytest.raises(bridge.TransportError, match="in use"):
        bridge.Server(taken.url, keys=home)
