"""A client: a mapping of a server's names, which looks, reads and calls."""

from __future__ import annotations

import json
import operator
import pickle
import re
import threading
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from tests import peers

X = np.arange(12.0).reshape(3, 4)
FIRST_NAMES = ["df", "fail", "run/x", "scale", "tree", "unsendable"]
FRAME = pd.DataFrame({"a": [1, 2, 3]})


@pytest.fixture(scope="module")
def server():
    with bridge.serve({"run/x": X, "df": FRAME, "tree": {"a": [1, None]}}) as server:

        @server.query
        def scale(values: np.ndarray, factor: float = 2.0) -> np.ndarray:
            """Multiply."""
            return values * factor

        @server.query
        def fail(kind: str):
            raise {"index": IndexError, "own": Own}[kind]("told you")

        @server.query
        def unsendable():
            return object()

        yield server


class Own(LookupError):
    pass


@pytest.fixture(scope="module")
def client(server):
    with bridge.connect(server.url) as client:
        yield client


def test_a_client_is_a_mapping_of_names_to_handles(client):
    assert list(client) == FIRST_NAMES
    assert len(client) == 6
    assert "run/x" in client
    assert "run" not in client
    assert "" not in client
    assert 5 not in client
    assert client.get("nothing") is None
    assert [type(handle).__name__ for handle in client.values()] == [
        *("RemoteTable", "RemoteQuery", "RemoteArray", "RemoteQuery", "RemoteObject", "RemoteQuery")
    ]


def test_to_compare_clients_asks_no_server():
    one, other = (bridge.Client("ipc:///nowhere/socket") for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2
    assert one


def test_a_name_that_is_not_there_is_a_key_error_with_a_suggestion(client):
    for ask in (client.__getitem__, client.read, client.call):
        with pytest.raises(KeyError, match="no 'run/y' here; did you mean 'run/x'") as caught:
            ask("run/y")
        assert isinstance(caught.value, bridge.RemoteError)
        assert caught.value.code == "not_found"


HALF = "run/\ud800"  # as os.fsdecode gives it


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda b: b[HALF], id="handle"),
        pytest.param(lambda b: b.read(HALF), id="read"),
        pytest.param(lambda b: b.read_many([HALF]), id="read_many"),
        pytest.param(lambda b: b.get(HALF), id="get"),
        pytest.param(lambda b: b.put(HALF, X), id="put"),
        pytest.param(lambda b: b.append(HALF, X), id="append"),
        pytest.param(lambda b: b.call(HALF), id="call"),
        pytest.param(lambda b: next(b.stream(HALF)), id="stream"),
        pytest.param(lambda b: b.follow(HALF), id="follow"),
        pytest.param(lambda b: operator.delitem(b, HALF), id="delete"),
    ],
)
def test_a_name_beyond_unicode_is_refused_before_it_is_sent(client, ask):
    with pytest.raises(
        bridge.EncodeError, match=r"text beyond Unicode, '\\ud800', .* write another name"
    ):
        ask(client)
    assert "run/x" in client


@pytest.mark.parametrize("name", [HALF, "x" * 1025, "ä" * 513, "", None])
def test_what_can_be_no_name_is_not_there(client, name):
    assert name not in client


def test_read_many_takes_no_name_for_its_letters(client):
    with pytest.raises(TypeError, match=r"a list of names: \['df'\]"):
        client.read_many("df")


def test_a_part_is_read_by_name_and_index(client):
    np.testing.assert_array_equal(client.read("run/x", np.s_[1:, ::2]), X[1:, ::2])
    with pytest.raises(TypeError, match=r"'df' is no array; b\['df'\] offers"):
        client.read("df", 0)


def test_a_query_is_called_by_name_or_through_its_handle(client):
    np.testing.assert_array_equal(client.call("scale", values=X), 2 * X)
    np.testing.assert_array_equal(client["scale"](X, factor=3.0), 3 * X)


def test_the_parameters_of_a_query_may_have_any_names():
    with bridge.serve() as server, bridge.connect(server.url) as b:

        @server.query
        def query(self: int, name: int, function: int):
            return [self, name, function]

        @server.stream
        def stream(self: int, name: int, function: int):
            yield from (self, name, function)

        given = {"self": 1, "name": 2, "function": 3}
        assert b["query"](**given) == b.call("query", **given) == [1, 2, 3]
        assert list(b["stream"](**given)) == list(b.stream("stream", **given)) == [1, 2, 3]


def test_what_a_query_raises_is_raised_here(client):
    with pytest.raises(IndexError, match="told you") as caught:
        client.call("fail", kind="index")
    error: Any = caught.value
    assert (error.code, error.type_name) == ("failed", "IndexError")
    with pytest.raises(LookupError, match="Own: told you"):
        client.call("fail", kind="own")


@pytest.mark.parametrize("arguments", [{}, {"values": X, "bogus": 1}])
def test_arguments_that_do_not_fit_the_signature_are_a_type_error(client, arguments):
    with pytest.raises(TypeError, match="scale: ") as caught:
        client.call("scale", **arguments)
    error: Any = caught.value
    assert error.code == "bad_request"


def test_an_argument_that_cannot_be_sent_is_refused_before_sending(client):
    with pytest.raises(bridge.EncodeError):
        client.call("scale", values=object())


def test_a_result_that_cannot_be_sent_is_the_servers_failure(client):
    with pytest.raises(TypeError, match="'unsendable' returned what cannot be sent") as caught:
        client.call("unsendable")
    assert isinstance(caught.value, bridge.RemoteError)


def test_reading_a_query_or_calling_data_says_what_to_do(client):
    with pytest.raises(bridge.RemoteError, match="'scale' is a query function; call it"):
        client.read("scale")
    with pytest.raises(bridge.RemoteError, match="'df' is no query function; read it"):
        client.call("df")


def test_what_the_server_said_of_itself(client):
    assert {"version", "instance", "features", "limits"} <= client.info.keys()
    client.info.clear()
    assert client.info


def test_a_ping_is_a_round_trip(client):
    assert 0 < client.ping() < client.timeout


def test_a_client_may_be_used_after_it_was_closed(server):
    b = bridge.connect(server.url)
    b.close()
    b.close()
    np.testing.assert_array_equal(b.read("run/x"), X)
    b.close()


def test_nothing_was_read_yet(server):
    with bridge.connect(server.url) as b:
        assert b.last is None


def test_a_pickled_client_carries_its_address_and_what_the_server_said_and_no_connection(client):
    copy = pickle.loads(pickle.dumps(client))
    assert (copy.url, copy.timeout) == (client.url, client.timeout)
    assert copy.info == client.info
    assert repr(copy) == f"<Client {client.url}>"
    np.testing.assert_array_equal(copy.read("run/x"), X)
    copy.close()


def test_errors_of_the_server_survive_pickle(client):
    with pytest.raises(KeyError) as caught:
        client.read("nothing")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, KeyError)
    assert str(copy) == str(caught.value)


def test_a_long_catalogue_comes_in_pages_and_in_order():
    names = [f"name {number:05}" for number in range(1200)]
    with bridge.serve(dict.fromkeys(names, 1)) as server, bridge.connect(server.url) as b:
        assert list(b) == names
        assert "… 1180 more" in repr(b)


def test_an_empty_catalogue_says_so():
    with bridge.serve() as server, bridge.connect(server.url) as b:
        assert list(b) == []
        assert "nothing is served here" in repr(b)


def replying(**keys):
    """Answer hello properly, and all else with `keys`."""

    def answer(socket, frames):
        request = json.loads(frames[2])
        reply = {"hello": {}} if request["op"] == "hello" else keys
        header = {"bridge": 1, "id": request["id"], **reply}
        socket.send_multipart([*frames[:2], json.dumps(header).encode()])

    return peers.router(answer)


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"entries": 5},
        {"entries": [5]},
        {"entries": [{}]},
        {"entries": [{"name": 5}]},
        {"entries": [{"name": "a"}], "more": True},
    ],
    ids=str,
)
def test_a_catalogue_that_breaks_the_protocol_is_refused(reply):
    with replying(**reply) as url, pytest.raises(bridge.WireError):
        bridge.connect(url)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"name": "x"},
        {"name": "x", "kind": "hologram"},
        {"name": "x", "kind": "array"},
        {"name": "x", "kind": "array", "dtype": "O", "shape": [1]},
        {"name": "x", "kind": "array", "dtype": "<f8", "shape": [-1]},
        {"name": "x", "kind": "array", "dtype": "<f8", "shape": "x"},
        {"name": "x", "kind": "array", "dtype": "<f8", "shape": [1], "nbytes": "many"},
        {"name": "x", "kind": "table"},
        {"name": "x", "kind": "query", "parameters": [5]},
        {"name": "x", "kind": "query", "parameters": [{"name": 5}]},
        {"name": "x", "kind": "object", "nbytes": []},
        {"name": "x", "kind": "object", "type": "\x1b[2J"},
        {"name": "x", "kind": "query", "doc": "\x1b[2J", "returns": "\x1b[2J"},
        {"name": "x", "kind": "channel", "rows": "many"},
        {"name": "x", "kind": "channel", "rows": [1]},
        {"name": "x", "kind": "channel", "rows": -1},
    ],
    ids=str,
)
def test_an_entry_that_breaks_the_protocol_is_refused_or_harmless(entry):
    with replying(entries=[], entry=entry) as url, bridge.connect(url) as b:
        try:
            shown = repr(b["x"])
        except bridge.WireError:
            pass
        else:
            assert entry["kind"] in ("query", "object")
            assert "\x1b" not in shown


def test_an_entry_that_cannot_be_read_says_why_and_commands_no_terminal():
    entry = {"name": "x", "kind": "broken", "error": "\x1b[2J" + "why, " * 50 + "and what to do"}
    with (
        replying(entries=[], entry=entry) as url,
        bridge.connect(url) as b,
        pytest.raises(bridge.RemoteError, match=r"'x' cannot be read: \\x1b\[2J.*and what to do$"),
    ):
        b["x"]


def test_names_are_completed_from_what_is_known_and_looked_up_again_after_a_while(server, monkeypatch):
    with bridge.connect(server.url) as b:
        server["new"] = X
        try:
            assert b._ipython_key_completions_() == FIRST_NAMES
            monkeypatch.setattr("bridge.client.NAMES_SECONDS", -1)
            assert b._ipython_key_completions_() == sorted([*FIRST_NAMES, "new"])
        finally:
            del server["new"]


def test_completion_never_fails_and_does_not_wait_for_a_server_that_is_gone(monkeypatch):
    monkeypatch.setattr("bridge.client.NAMES_SECONDS", -1)
    with bridge.serve(x=X) as gone:
        b = bridge.connect(gone.url, timeout=0.5)
    with b:
        assert b._ipython_key_completions_() == ["x"]
        looked = b._look
        assert b._ipython_key_completions_() == ["x"]
        assert not looked.done() or isinstance(looked.exception(), bridge.TransportError)


def test_the_rate_of_the_link_is_that_of_the_last_large_answer(server):
    with bridge.connect(server.url) as b, bridge.serve(large=np.zeros(500_000)) as other:
        b.read("run/x")
        assert b["run/x"].plan().rate is None
        with bridge.connect(other.url) as c:
            handle = c["large"]
            c.read("large")
            assert c.last is not None
            rate = handle.plan().rate
            assert rate is not None
            assert rate > c.last.nbytes / c.last.seconds  # in which the answer was asked for, too
            card = c.last._repr_html_()
            assert "3.8 MiB" in card
            assert f"<td>{c.last.windows}</td>" in card


@pytest.mark.parametrize("name", ["slow", "slow_values"])
def test_what_a_function_takes_is_no_rate_of_the_link(name):
    with bridge.serve() as server, bridge.connect(server.url) as b:

        @server.query
        def slow():
            time.sleep(0.3)
            return np.zeros(500_000)

        @server.stream
        def slow_values():
            yield slow()

        assert len([*b.stream(name)]) == 1
        rate = b._exchange.rate
        assert rate is not None
        assert b.last is not None
        assert b.last.nbytes / rate <= b.last.seconds - 0.3


def test_a_receipt_is_read_with_units(client):
    client.read("run/x")
    assert re.fullmatch(
        r"<Receipt \S+ B in [\d.]+ (µs|ms|s), \S+ \S+/s: first bytes after [\d.]+ (µs|ms|s), .*>",
        repr(client.last),
    )


def test_a_value_is_looked_for_in_what_was_read(client):
    with pytest.raises(TypeError, match=r"read it first: value in b\['run/x'\]\.read\(\)"):
        assert 0.5 in client["run/x"]


def test_iterating_over_an_array_gives_its_rows(client):
    rows = list(client["run/x"])
    np.testing.assert_array_equal(rows, X)


def test_the_receipt_of_a_call_counts_from_when_it_was_asked():
    with bridge.serve() as server, bridge.connect(server.url) as b:
        took = threading.Event()

        @server.query
        def slow() -> int:
            took.wait(0.05)
            return 1

        b.call("slow")
        assert b.last is not None
        assert b.last.first_seconds >= 0.05
        b.read_many([])
        server["x"] = X
        b.read_many(["x", "x"])
        assert b.last.seconds > 1e-5


def test_handles_may_be_pickled_as_workers_need_them(client):
    for name in ("run/x", "df", "tree"):
        handle = client[name]
        again = pickle.loads(pickle.dumps(handle))
        assert repr(again) == repr(handle)
        assert again.plan().nbytes == handle.plan().nbytes
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(client["run/x"]))[1:], X[1:])


@pytest.mark.parametrize("use", [bridge.connect, bridge.Server], ids=["client", "server"])
def test_an_address_is_text(use):
    with pytest.raises(TypeError, match="the address is 5; expected text"):
        use(5)
