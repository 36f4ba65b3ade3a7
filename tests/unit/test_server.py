"""A server's names, its address, and its end."""

from __future__ import annotations

import logging
import operator
import socket
import threading
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zmq

import bridge
from bridge import codecs, wire
from bridge.limits import Limits
from bridge.wire import Request


@pytest.fixture
def server():
    server = bridge.Server("tcp://127.0.0.1:0")
    yield server
    server.close()


def test_a_server_is_a_mapping_of_names(server):
    server["b"] = np.arange(3)
    server.update({"a": 1, "run/c": [1, 2]})
    assert list(server) == ["a", "b", "run/c"]
    assert len(server) == 3
    assert "b" in server
    del server["b"]
    assert "b" not in server
    with pytest.raises(KeyError):
        server["b"]


def test_a_server_is_itself_whatever_it_serves(server):
    for one in (server, bridge.Service()):
        other = bridge.Service()
        assert one
        assert one != other
        assert len({one, other, one}) == 2


def test_what_cannot_be_deleted_by_its_name_is_told_where_it_belongs(server, tmp_path):
    np.save(tmp_path / "wave.npy", np.arange(3))
    server.mount(tmp_path, prefix="run/")
    server["set"] = xr.Dataset({"a": ("t", np.arange(3))})
    for name, why in (
        ("run/wave", "'run/wave' is a file in a mounted directory; remove the file"),
        ("set/a", "'set/a' is a part of 'set'; delete that, as a whole"),
    ):
        assert name in server
        with pytest.raises(ValueError, match=why):
            del server[name]
    for unknown in ("run/wav", 1):
        with pytest.raises(KeyError, match="here; "):
            del server[unknown]
    assert (tmp_path / "wave.npy").exists()


def test_what_cannot_be_sent_is_refused_and_what_was_served_stays(server):
    server["x"] = np.arange(3)
    source = server["x"]
    with pytest.raises(bridge.EncodeError):
        server["x"] = np.array([object()])
    assert server["x"] is source


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 1025])
def test_names_are_printable_text_of_limited_length(server, name):
    with pytest.raises(ValueError, match="is not 1 to 1024 bytes of printable text"):
        server[name] = 1


def test_a_name_that_is_not_text_is_refused(server):
    with pytest.raises(TypeError, match="a name is text, not int"):
        server[1] = 1


def test_the_decorator_gives_the_function_back(server):
    @server.query
    def double(x: int) -> int:
        return 2 * x

    assert double(2) == 4
    assert "double" in server


def test_a_query_whose_arguments_have_no_names_is_refused(server):
    with pytest.raises(TypeError, match="cannot be given by name"):

        @server.query
        def positional(*values):
            """Never called."""


def test_its_repr_says_what_it_does(server):
    use = "0 connections in the last minute, 0 B sent"
    assert repr(server) == f"<Server {server.url}, not started, 0 names; {use}>"
    server.start()
    assert "serving" in repr(server)
    server.close()
    assert "closed" in repr(server)


def test_its_card_says_how_to_reach_it_and_what_was_done(server):
    server["<b>"] = np.zeros(10)
    with server, bridge.connect(server.url) as b:
        b.read("<b>")
        card = server._repr_html_()
        assert f"b = bridge.connect(&quot;{server.url}&quot;)" in card
        assert "&lt;b&gt;" in card
        assert "1 connection in the last minute" in card
        assert "0 B sent" not in card


def test_it_may_be_started_and_closed_twice(server):
    assert server.start() is server.start()
    server.close()
    server.close()
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        server.start()


def test_a_client_that_came_before_the_start_is_answered_after_it(server):
    results = []

    def connect():
        with bridge.connect(server.url) as b:
            results.append(list(b))

    server["x"] = 1
    thread = threading.Thread(target=connect)
    thread.start()
    server.start()
    thread.join()
    assert results == [["x"]]


def test_closing_ends_its_threads():
    with bridge.serve(x=np.zeros((500, 500))[:, ::2]) as server, bridge.connect(server.url) as b:
        b.read("x")  # is copied in a thread
        ours = [thread for thread in threading.enumerate() if thread.name.startswith("bridge-")]
    assert {"bridge-server", "bridge-work-1"} <= {thread.name for thread in ours}
    for thread in ours:
        thread.join()


@pytest.mark.parametrize(
    "url", ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://[::]:0", "tcp://eth0:0", "tcp://lab:0"]
)
def test_an_address_that_others_reach_is_refused(url):
    with pytest.raises(bridge.TransportError, match="insecure=True"):
        bridge.Server(url)


def test_an_insecure_address_is_bound_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "bridge"):
        server = bridge.Server("tcp://0.0.0.0:0", insecure=True)
    server.close()
    assert f"{server.url} is open to everybody" in caplog.text


def test_a_local_address_is_bound_in_silence(caplog):
    bridge.Server("tcp://127.0.0.1:0").close()
    assert caplog.text == ""


def test_a_port_in_use_says_so_and_what_to_do(server):
    with pytest.raises(bridge.TransportError, match=r"in use by another server; .* pass port 0"):
        bridge.Server(server.url)
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(bridge.TransportError, match="in use"):
            bridge.Server(url)


def test_serve_takes_names_that_are_no_identifiers(server):
    with bridge.serve({"run/x": np.arange(3)}, y=2) as served:
        assert list(served) == ["run/x", "y"]
        assert "serving" in repr(served)


@pytest.mark.parametrize("option", ["writable", "keys", "limits"])
def test_serve_takes_no_option_of_a_server_for_the_name_of_an_object(option):
    named: dict[str, Any] = {option: True}
    with pytest.raises(TypeError, match=rf"write Server\({option}=…\), or serve\({{'{option}': …}}\)"):
        bridge.serve(x=1, **named)
    with bridge.serve(named) as served:
        assert list(served) == [option]


def test_serve_frees_the_address_when_something_cannot_be_served(server):
    url = server.url
    server.close()
    with pytest.raises(bridge.EncodeError):
        bridge.serve(x=object(), url=url)
    bridge.Server(url).close()


def test_run_ends_when_the_server_is_closed_elsewhere(server):
    thread = threading.Thread(target=server.run)
    thread.start()
    bridge.connect(server.url).close()
    server.close()
    thread.join()
    assert "closed" in repr(server)


@pytest.mark.parametrize("use", [operator.getitem, operator.delitem], ids=["get", "delete"])
def test_the_owner_of_a_server_gets_a_did_you_mean_too(use):
    with bridge.Server("tcp://127.0.0.1:0") as server:
        server["trades"] = np.arange(3)
        with pytest.raises(KeyError, match="no 'tradse' here; did you mean 'trades'"):
            use(server, "tradse")
        with pytest.raises(KeyError, match="no 'zzz' here; there is 1 name"):
            use(server, "zzz")
        assert list(server) == ["trades"]


@pytest.mark.parametrize("tracebacks", [False, True])
def test_tracebacks_are_shown_where_the_server_allows_it(tracebacks):
    with bridge.Server("tcp://127.0.0.1:0", tracebacks=tracebacks) as server:

        @server.query
        def fail():
            raise ZeroDivisionError("told you")

        with (
            bridge.connect(server.url) as b,
            pytest.raises(ZeroDivisionError, match="told you") as caught,
        ):
            b.call("fail")
    error: Any = caught.value
    assert ("in fail" in error.remote_traceback) == tracebacks
    assert ("On the server:" in str(error)) == tracebacks


# ── what one peer may ask for at once ─────────────────────────────────────────────────────────────


@pytest.fixture
def peer(server):
    """A socket that is connected to a started server, whose query `slow` waits for `released`."""
    server.released = threading.Event()

    @server.query
    def slow(**given):
        return server.released.wait(30)

    server.start()
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.connect(server.url)
        yield sock
        server.released.set()


def send(peer, number, op, *buffers, **keys):
    peer.send_multipart([b"", *wire.pack_request(Request(id=number, op=op, keys=keys, buffers=buffers))])


def receive(peer):
    assert peer.poll(30_000)
    return wire.unpack_reply(peer.recv_multipart()[1:])


def codes(replies):
    return [(reply.id, reply.error.code if reply.error else None) for reply in replies]


def test_a_peer_has_a_limited_number_of_requests_under_way(server, peer, monkeypatch):
    monkeypatch.setattr(server, "_limits", Limits(client_requests=2))
    for number in range(4):
        send(peer, number, "call", name="slow")
    assert codes([receive(peer), receive(peer)]) == [(2, "busy"), (3, "busy")]
    server.released.set()
    assert sorted(codes([receive(peer), receive(peer)])) == [(0, None), (1, None)]
    send(peer, 4, "call", name="slow")
    assert codes([receive(peer)]) == [(4, None)]
    assert not server._loads


def test_the_requests_of_a_peer_that_are_under_way_have_a_limited_size(server, peer, monkeypatch):
    arguments = codecs.encode({"values": np.zeros(100_000)})
    monkeypatch.setattr(server, "_limits", Limits(client_request_bytes=2_000_000))
    for number in range(4):
        send(peer, number, "call", *arguments.buffers, name="slow", args=arguments.descriptor)
    assert codes([receive(peer), receive(peer)]) == [(2, "busy"), (3, "busy")]
    server.released.set()
    assert sorted(codes([receive(peer), receive(peer)])) == [(0, None), (1, None)]
    assert not server._loads


def test_a_header_counts_as_the_memory_that_its_json_can_take(server, peer, monkeypatch):
    monkeypatch.setattr(server, "_limits", Limits(client_request_bytes=2**20))
    values = [{"": 0}] * 2000  # 14 KB of text
    for number in range(4):
        send(peer, number, "call", name="slow", args={"kind": "tree", "value": {"values": values}})
    assert codes([receive(peer), receive(peer)]) == [(2, "busy"), (3, "busy")]
    server.released.set()
    assert sorted(codes([receive(peer), receive(peer)])) == [(0, None), (1, None)]


def test_a_server_without_a_thread_to_read_a_file_in_says_so_and_goes_on(
    server, peer, monkeypatch, tmp_path
):
    np.save(tmp_path / "x.npy", np.arange(1000))
    server["x"] = tmp_path / "x.npy"
    send(peer, 1, "get", name="x", max_bytes=0)
    token = receive(peer).keys["transfer"]
    with monkeypatch.context() as without_threads:
        without_threads.setattr(server._threads, "submit", _fail_to_start)
        send(peer, 2, "part", transfer=token, offset=0, length=8)
        assert codes([receive(peer)]) == [(2, "busy")]
    assert not server._loads
    send(peer, 3, "part", transfer=token, offset=0, length=8)
    assert codes([receive(peer)]) == [(3, None)]


@pytest.mark.parametrize("where", ["_service.begin", "_service.tick", "_listener._receive_labels"])
def test_a_server_that_has_no_memory_for_one_request_answers_the_next(server, peer, monkeypatch, where):
    scarce = operator.attrgetter(where)(server)
    refusals = [MemoryError()]

    def refuse_once(*arguments):
        if refusals:
            raise refusals.pop()
        return scarce(*arguments)

    owner, _, method = where.rpartition(".")
    monkeypatch.setattr(operator.attrgetter(owner)(server), method, refuse_once)
    send(peer, 1, "hello")
    send(peer, 2, "hello")
    replies = [receive(peer)]
    while replies[-1].id != 2:
        replies.append(receive(peer))
    assert codes(replies)[-1] == (2, None)
    assert len(replies) == 1 or codes(replies)[0] in [(1, None), (1, "busy")]
    assert not server._loads


def _fail_to_start(*task):
    raise RuntimeError("can't start new thread")
