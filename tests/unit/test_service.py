"""What a server answers to each op. Nothing here needs a socket."""

from __future__ import annotations

import builtins
import gc
import logging
import queue
import random
import re
import threading
import time
import weakref
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bridge import answers, catalogue, codecs, transfer, wire
from bridge.codecs import strict_json
from bridge.errors import EncodeError, RemoteError
from bridge.limits import STANDARD, Limits
from bridge.rights import Peer
from bridge.service import Service
from bridge.sources.memory import ArraySource
from bridge.threads import DaemonThreads, Inline
from bridge.wire import Reply, Request
from tests.check import difference

X = np.arange(12.0).reshape(4, 3)
TRADES = pd.DataFrame({"price": [1.5, 2.5, 3.5], "who": ["a", "b", "a"]})
# A view of 8 bytes that claims 2**53 bytes: whoever copies it is out of memory.
HUGE = np.broadcast_to(np.float64(1), (2**25, 2**25))


class Odd(ValueError):
    """An exception of the user's own."""


@pytest.fixture
def served() -> Service:
    srv = Service()
    srv["x"] = X
    srv["trades"] = TRADES
    srv["arrow"] = pa.Table.from_pandas(TRADES)
    srv["batch"] = pa.record_batch({"a": [1, 2, 3]})
    srv["config"] = {"rate": 3, "window": ("hann", None)}
    srv["huge"] = HUGE

    @srv.query
    def scale(values: np.ndarray, factor: float = 2.0) -> np.ndarray:
        """Multiply.

        By `factor`.
        """
        return values * factor

    @srv.query
    def fail(kind: str):
        if kind == "Odd":
            raise Odd("of its own")
        raise getattr(builtins, kind)("told you")

    @srv.query
    def anything(**given):
        return given

    @srv.query
    def unsendable():
        return {"f": print}

    return srv


def ask(srv: Service, op: str, *buffers: Any, **keys: Any) -> Reply:
    """Send a request through its frames, and return the reply, whose frames are in order."""
    request = Request(id=7, op=op, keys=keys, buffers=buffers)
    reply = wire.unpack_reply(srv.handle(wire.pack_request(request)))
    assert reply.id == 7
    return reply


def answer(srv: Service, op: str, *buffers: Any, **keys: Any) -> Any:
    """Return the object of the answer."""
    reply = ask(srv, op, *buffers, **keys)
    if reply.error is not None:
        raise reply.error
    return codecs.decode(reply.keys["object"], reply.buffers)


def failure(srv: Service, op: str, *buffers: Any, **keys: Any) -> RemoteError:
    error = ask(srv, op, *buffers, **keys).error
    assert error is not None
    assert error.code in wire.CODES
    return error


def call(srv: Service, name: str, **arguments: Any) -> Any:
    descriptor, buffers = codecs.encode(arguments)
    return answer(srv, "call", *buffers, name=name, args=descriptor)


# ── hello, list, describe ─────────────────────────────────────────────────────────────────────────


def test_hello_says_who_is_there(served):
    hello = ask(served, "hello", client={"version": "9", "features": ["unheard of"]}).key("hello", dict)
    assert hello["instance"] == served.instance
    assert hello["features"] == []
    assert re.match(r"\d+\.\d+", hello["version"])
    assert hello["limits"] == {
        "request_header": STANDARD.request_header,
        "request": STANDARD.request,
        "reply": STANDARD.reply,
        "part": STANDARD.window,
    }


def test_two_servers_are_two_instances():
    assert Service().instance != Service().instance


def test_the_catalogue_is_in_the_order_of_names(served):
    reply = ask(served, "list")
    names = [entry["name"] for entry in reply.key("entries", list)]
    assert names == sorted(served)
    assert len(names) == len(served) == 10
    assert reply.keys["more"] is False


def test_the_catalogue_comes_in_pages():
    srv = Service()
    for number in range(1203):
        srv[f"{number:04}"] = None
    names: list[str] = []
    pages = 0
    more = True
    while more:
        reply = ask(srv, "list", after=names[-1] if names else "")
        more = reply.key("more", bool)
        names += [entry["name"] for entry in reply.keys["entries"]]
        pages += 1
    assert names == list(srv)
    assert pages == 3


@pytest.mark.parametrize(
    ("keys", "names", "more"),
    [
        ({"limit": 2}, ["a", "b"], True),
        ({"limit": 3}, ["a", "b", "c"], False),
        ({"limit": 2**63 - 1}, ["a", "b", "c"], False),
        ({"limit": 0}, [], True),
        ({"after": "a", "limit": 1}, ["b"], True),
        ({"after": "b"}, ["c"], False),
        ({"after": "aa"}, ["b", "c"], False),
        ({"after": "c"}, [], False),
        ({"after": "z", "limit": 0}, [], False),
    ],
)
def test_a_page_starts_after_a_name_and_ends_at_a_limit(keys, names, more):
    srv = Service()
    srv.update(b=1, c=2, a=3)
    reply = ask(srv, "list", **keys)
    assert [entry["name"] for entry in reply.keys["entries"]] == names
    assert reply.keys["more"] is more


def test_a_page_is_no_larger_than_a_header():
    srv = Service()
    record = np.dtype([(f"field {i:04} " + "ü" * 100, "f8") for i in range(500)])
    for number in range(20):
        srv[str(number)] = np.zeros(1, record)
    reply = ask(srv, "list")
    assert 1 <= len(reply.keys["entries"]) < 20
    assert reply.keys["more"] is True


def test_what_would_break_the_catalogue_is_refused_when_it_is_assigned():
    srv = Service()
    with pytest.raises(EncodeError, match="catalogue"):
        srv["wide"] = np.zeros(1, [("x" * 2_000_000, "f8")])

    def query():
        return 1

    query.__doc__ = "not \ud800 text"
    srv.query(query)
    assert ask(srv, "list").key("entries", list)[0]["doc"] == "not ? text"


def test_an_entry_tells_what_there_is_without_the_data(served):
    entries = {entry["name"]: entry for entry in ask(served, "list").keys["entries"]}
    x = entries["x"]
    assert (x["kind"], x["dtype"], x["shape"], x["nbytes"]) == ("array", "<f8", [4, 3], 96)
    assert (entries["trades"]["rows"], entries["trades"]["columns"]) == (3, 2)
    assert entries["trades"]["format"] == "pandas"
    assert entries["arrow"]["format"] == entries["batch"]["format"] == "arrow"
    assert (entries["config"]["kind"], entries["config"]["type"]) == ("object", "dict")
    assert entries["huge"]["nbytes"] == 2**53
    assert "version" in x
    assert "version" not in entries["scale"]


def test_a_query_has_its_signature_and_docstring_in_the_catalogue(served):
    entry = ask(served, "describe", name="scale").key("entry", dict)
    assert entry["parameters"] == [
        {"name": "values", "type": "np.ndarray"},
        {"name": "factor", "type": "float", "default": "2.0"},
    ]
    assert entry["returns"] == "np.ndarray"
    assert entry["doc"] == "Multiply.\n\nBy `factor`."
    assert ask(served, "describe", name="anything").keys["entry"]["parameters"][0]["any"] is True


def test_the_list_shows_the_first_line_of_a_docstring(served):
    [entry] = ask(served, "list", after="huge", limit=1).keys["entries"]
    assert (entry["name"], entry["doc"]) == ("scale", "Multiply.")


def test_a_very_long_docstring_is_cut():
    srv = Service()

    def query():
        return 1

    query.__doc__ = "\x01" * 10**6
    srv.query(query)
    entry = ask(srv, "describe", name="query").keys["entry"]
    assert 0 < len(entry["doc"]) <= catalogue.MAX_DOC
    ask(srv, "list").key("entries", list)


def test_tables_are_described_with_the_table_without_its_rows(served):
    assert difference(TRADES.iloc[:0], answer(served, "describe", name="trades")) is None
    assert answer(served, "describe", name="arrow").schema.names == ["price", "who"]
    assert "object" not in ask(served, "describe", name="x").keys


# ── get ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["x", "trades", "arrow", "batch", "config"])
def test_what_is_served_comes_back_identical(served, name):
    originals = {
        "x": X,
        "trades": TRADES,
        "arrow": pa.Table.from_pandas(TRADES),
        "batch": pa.record_batch({"a": [1, 2, 3]}),
        "config": {"rate": 3, "window": ("hann", None)},
    }
    assert difference(originals[name], answer(served, "get", name=name)) is None


def test_a_selection_is_applied_on_the_server(served):
    assert difference(X[1:4:2, 2], answer(served, "get", name="x", select=[[1, 4, 2], 2])) is None
    assert difference(X[-1, -1], answer(served, "get", name="x", select=[-1, -1])) is None
    select = {"columns": ["who"], "filters": [["price", ">", 2]]}
    expected = TRADES.loc[TRADES.price > 2, ["who"]]
    assert difference(expected, answer(served, "get", name="trades", select=select)) is None


def test_contiguous_data_is_sent_from_where_it_lies(served):
    [_, buffer] = served.handle(wire.pack_request(Request(id=1, op="get", keys={"name": "x"})))
    assert np.shares_memory(np.frombuffer(buffer), X)
    keys = {"name": "x", "select": [[1, 3, None]]}
    [_, part] = served.handle(wire.pack_request(Request(id=1, op="get", keys=keys)))
    assert np.shares_memory(np.frombuffer(part), X[1:3])


def test_the_version_changes_when_the_source_is_replaced(served):
    first = ask(served, "get", name="x").key("version", str)
    assert ask(served, "get", name="x").keys["version"] == first
    assert ask(served, "describe", name="x").keys["entry"]["version"] == first
    served["x"] = X
    assert ask(served, "get", name="x").keys["version"] != first


@pytest.mark.parametrize("name", ["trades", "arrow", "batch"])
def test_a_table_as_arrow_is_one_stream_for_clients_that_are_not_python(served, name):
    reply = ask(served, "get", name=name, **{"as": "arrow"})
    table = pa.ipc.open_stream(b"".join(reply.buffers)).read_all()
    assert table.num_rows == 3
    reply = ask(served, "get", name=name, select={"rows": [0, 2, None]}, **{"as": "arrow"})
    assert pa.ipc.open_stream(b"".join(reply.buffers)).read_all().num_rows == 2


def test_only_tables_come_as_arrow_and_only_as_arrow(served):
    for name in ("x", "config"):
        assert failure(served, "get", name=name, **{"as": "arrow"}).code == "unsupported"
    error = failure(served, "get", name="trades", **{"as": "parquet"})
    assert (error.code, "'arrow'" in str(error)) == ("unsupported", True)
    assert failure(served, "call", name="anything", **{"as": "csv"}).code == "unsupported"


def test_an_unknown_name_gets_a_did_you_mean(served):
    error = failure(served, "get", name="tradse")
    assert (error.code, str(error)) == ("not_found", "no 'tradse' here; did you mean 'trades'?")
    assert isinstance(error, KeyError)
    error = failure(served, "call", name="zzzzzz")
    assert str(error) == "no 'zzzzzz' here; there are 10 names"


def test_a_wrong_name_costs_little_among_long_names():
    srv = Service()
    shuffled = random.Random(1)
    for _ in range(200):
        srv["".join(shuffled.sample("ab" * 220, 440))] = X
    start = time.process_time()
    error = failure(srv, "get", name="ab" * 99)
    assert str(error) == f"no {'ab' * 99!r} here; there are 200 names"
    assert time.process_time() - start < 0.2  # to compare all takes seconds


def test_data_is_read_and_functions_are_called(served):
    error = failure(served, "get", name="scale")
    assert (error.code, str(error)) == ("unsupported", "'scale' is a query function; call it")
    error = failure(served, "call", name="x")
    assert (error.code, str(error)) == ("unsupported", "'x' is no query function; read it")


@pytest.mark.parametrize(
    ("name", "select", "cls"),
    [
        ("x", [4], IndexError),
        ("x", [0, 0, 0], IndexError),
        ("x", [[0, 1, 0]], ValueError),
        ("x", {}, ValueError),
        ("trades", [], ValueError),
        ("trades", {"columns": ["prise"]}, KeyError),
        ("trades", {"filters": [["who", ">", 3]]}, TypeError),
        ("arrow", {"columns": ["prise"]}, KeyError),
    ],
    ids=repr,
)
def test_a_selection_that_does_not_fit_fails_as_it_would_locally(served, name, select, cls):
    error = failure(served, "get", name=name, select=select)
    assert error.code == "bad_request"
    assert isinstance(error, cls)


def test_an_object_is_sent_whole(served):
    assert failure(served, "get", name="config", select=[0]).code == "unsupported"


def test_buffers_that_nothing_uses_are_refused(served):
    assert failure(served, "get", b"abc", name="x").code == "bad_request"
    assert failure(served, "call", b"abc", name="anything").code == "bad_request"


@pytest.mark.parametrize("select", [None, [[None, None, -1]], [None, "..."], [[None, None, 2]]])
def test_what_is_too_large_is_refused_before_it_is_built(served, select):
    error = failure(served, "get", name="huge", select=select)
    assert error.code == "too_large"
    assert "max_bytes" in str(error)


@pytest.mark.parametrize("select", [None, [[None, None, 2]]])
def test_what_no_server_could_hold_is_refused_before_it_is_built(served, select):
    # As a transfer, too: a server that tried would take the memory that others need.
    smaller = np.broadcast_to(np.float64(1), (2**17, 2**14))
    served["smaller"] = smaller
    assert smaller.nbytes > STANDARD.held
    for name in ("huge", "smaller"):
        error = failure(served, "get", name=name, select=[[None, None, None]], max_bytes=0)
        assert error.code == "too_large"
        assert "no memory" not in str(error)


# ── call ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_query_takes_arrays_and_returns_them(served):
    assert difference(X * 3, call(served, "scale", values=X, factor=3.0)) is None
    assert difference({"a": X, "f": TRADES}, call(served, "anything", a=X, f=TRADES)) is None


def test_a_query_without_arguments_needs_no_args(served):
    assert answer(served, "call", name="anything") == {}


def test_a_stranger_writes_arguments_as_plain_json(served):
    descriptor = {"kind": "tree", "value": {"channel": 3, "window": "hann"}}
    assert answer(served, "call", name="anything", args=descriptor) == {"channel": 3, "window": "hann"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "values"),
        ({"values": 1, "faktor": 2}, "faktor"),
        ({"values": 1, "factor": 2, "more": 3}, "more"),
    ],
)
def test_arguments_are_checked_against_the_signature(served, arguments, words):
    with pytest.raises(RemoteError, match=f"scale: .*{words}") as caught:
        call(served, "scale", **arguments)
    assert caught.value.code == "bad_request"
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "args",
    [
        {"kind": "tree", "value": [1]},
        {"kind": "tree", "value": None},
        {"kind": "array", "dtype": "|u1", "shape": [0], "order": "C"},
        {},
        {"kind": "tree", "value": {"x": {"$unknown": 1}}},
        {"kind": "no such kind"},
    ],
    ids=repr,
)
def test_args_that_are_no_dict_are_refused(served, args):
    assert failure(served, "call", name="anything", args=args).code in ("bad_request", "unsupported")


def test_a_query_that_raises_fails_with_the_class_that_was_raised(served):
    for kind in ("ValueError", "ZeroDivisionError", "FileNotFoundError", "KeyError", "MemoryError"):
        error = failure(served, "call", name="fail", args=codecs.encode({"kind": kind}).descriptor)
        assert (error.code, error.message, error.type_name) == ("failed", "told you", kind)
        assert isinstance(error, getattr(builtins, kind))
        assert error.remote_traceback == ""


def test_an_exception_of_the_users_own_is_named_and_is_its_builtin_base(served):
    error = failure(served, "call", name="fail", args=codecs.encode({"kind": "Odd"}).descriptor)
    assert (error.message, error.type_name) == ("Odd: of its own", "ValueError")


@pytest.mark.parametrize("kind", ["SystemExit", "StopIteration", "GeneratorExit", "RecursionError"])
def test_a_query_cannot_end_the_server(served, kind):
    error = failure(served, "call", name="fail", args=codecs.encode({"kind": kind}).descriptor)
    assert (error.code, error.type_name) == ("failed", kind)


def test_tracebacks_are_sent_only_where_the_server_allows_it(served):
    open_hearted = Service(tracebacks=True)
    open_hearted["fail"] = served["fail"]
    error = failure(open_hearted, "call", name="fail", args=codecs.encode({"kind": "Odd"}).descriptor)
    assert "test_service.py" in error.remote_traceback
    assert "Odd: of its own" in error.remote_traceback


def test_a_result_that_cannot_be_sent_fails_and_says_why_also_in_the_log(served, caplog):
    error = failure(served, "call", name="unsendable")
    assert error.code == "failed"
    assert isinstance(error, TypeError)
    assert "'unsendable' returned what cannot be sent" in str(error)
    assert [f"TypeError: {record.getMessage()}" for record in caplog.records] == [str(error)]


def test_a_result_that_is_too_large_is_refused_with_the_way_out(served):
    served.query(large)
    error = failure(served, "call", name="large")
    assert (error.code, "max_bytes" in str(error)) == ("too_large", True)
    assert ask(served, "call", name="large", max_bytes=0).key("transfer", str)


def large():
    return np.empty(STANDARD.reply + 1, np.uint8)


def test_a_result_comes_as_arrow_too(served):
    descriptor, buffers = codecs.encode({"t": TRADES})
    served.query(echo)
    reply = ask(served, "call", *buffers, name="echo", args=descriptor, **{"as": "arrow"})
    assert pa.ipc.open_stream(b"".join(reply.buffers)).read_all().num_rows == 3
    assert failure(served, "call", name="anything", **{"as": "arrow"}).code == "unsupported"


def echo(t):
    return t


def test_a_query_has_parameters_that_can_be_given_by_name(served):
    with pytest.raises(TypeError, match="by name"):
        served.query(lambda *values: values)
    with pytest.raises(TypeError, match="by name"):
        served.query(positional)


def positional(x, /):
    return x


# ── transfers ─────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_larger_than_max_bytes_comes_in_parts(served):
    reply = ask(served, "get", name="trades", max_bytes=10)
    token = reply.key("transfer", str)
    assert reply.buffers == ()
    lengths = reply.lengths or []
    total = sum(lengths)
    data = b""
    while len(data) < total:
        length = min(50, total - len(data))
        part = ask(served, "part", transfer=token, offset=len(data), length=length)
        assert part.keys["part"] == [len(data), length]
        data += b"".join(part.buffers)
    assert ask(served, "done", transfer=token).error is None
    buffers, start = [], 0
    for length in lengths:
        buffers.append(data[start : start + length])
        start += length
    assert difference(TRADES, codecs.decode(reply.keys["object"], buffers)) is None


def test_an_answer_of_max_bytes_comes_at_once(served):
    assert ask(served, "get", name="x", max_bytes=96).lengths is None
    assert ask(served, "get", name="x", max_bytes=95).lengths == [96]


def test_a_part_is_a_view_of_what_is_served(served):
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    keys = {"transfer": token, "offset": 8, "length": 16}
    [_, buffer] = served.handle(wire.pack_request(Request(id=1, op="part", keys=keys)))
    assert np.shares_memory(np.frombuffer(buffer), X)


def test_a_transfer_that_was_replaced_is_still_read_as_it_was(served):
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    served["x"] = X + 1
    part = ask(served, "part", transfer=token, offset=0, length=96)
    assert b"".join(part.buffers) == X.tobytes()


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (96, 1), (0, 97), (95, 2), (2**63 - 1, 2**63 - 1), (0, 2**21)]
)
def test_a_part_that_is_not_inside_the_answer_is_refused(served, offset, length):
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    error = failure(served, "part", transfer=token, offset=offset, length=length)
    assert error.code == "bad_request"


def test_a_transfer_that_is_done_is_expired_and_done_again_is_no_error(served):
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    for _ in range(2):
        assert ask(served, "done", transfer=token).error is None
        assert failure(served, "part", transfer=token, offset=0, length=8).code == "expired"
    assert failure(served, "part", transfer="a guess", offset=0, length=8).code == "expired"


def test_a_transfer_that_nobody_asks_about_expires(served):
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    served._outbox.expire(time.monotonic() + transfer.IDLE_SECONDS - 1)
    assert ask(served, "part", transfer=token, offset=0, length=8).error is None
    served._outbox.expire(time.monotonic() + transfer.IDLE_SECONDS + 1)
    assert failure(served, "part", transfer=token, offset=0, length=8).code == "expired"


def test_an_answer_beyond_one_message_is_a_transfer_whatever_max_bytes_is(served):
    served["large"] = np.zeros(STANDARD.reply + 1, np.uint8)
    assert ask(served, "get", name="large", max_bytes=2**63 - 1).lengths == [STANDARD.reply + 1]


def test_an_answer_of_too_many_buffers_is_refused_and_not_kept(served):
    served["many"] = [np.zeros(1, np.uint8)] * (STANDARD.buffers + 1)
    for keys in ({}, {"max_bytes": 0}):
        error = failure(served, "get", name="many", **keys)
        assert (error.code, "select less" in str(error)) == ("too_large", True)
    assert len(served._outbox) == 0


def test_each_transfer_has_a_token_that_cannot_be_guessed(served):
    tokens = {ask(served, "get", name="x", max_bytes=0).keys["transfer"] for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 22


# ── requests that are not in order ────────────────────────────────────────────────────────────────


def test_an_unknown_op_is_unsupported(served):
    reply = wire.unpack_reply(served.handle([b'{"bridge":1,"id":3,"op":"teleport"}']))
    assert reply.error is not None
    assert (reply.id, reply.error.code) == (3, "unsupported")


def test_another_version_is_told_which_side_to_upgrade(served):
    reply = wire.unpack_reply(served.handle([b'{"bridge":2,"id":3,"op":"hello"}']))
    assert reply.error is not None
    assert reply.error.code == "unsupported"
    assert "upgrade zbridge on this side" in str(reply.error)


def test_a_bug_of_ours_is_internal_and_is_logged_where_it_can_be_mended(served, caplog):
    class Broken:
        in_memory = True

        def plans_quickly(self, select):
            raise RuntimeError("secret path")

    served._sources["broken"] = Broken()
    with caplog.at_level(logging.ERROR, "bridge"):
        error = failure(served, "get", name="broken")
    assert error.code == "internal"
    assert "secret path" not in str(error)
    assert "secret path" in caplog.text


@pytest.mark.parametrize("times", [1, 2], ids=["then there is some", "not for a look at its id either"])
def test_a_request_that_there_is_no_memory_for_is_answered(served, monkeypatch, times):
    refusals = [MemoryError()] * times
    loads = strict_json.loads

    def scarce(text):
        if refusals:
            raise refusals.pop()
        return loads(text)

    monkeypatch.setattr(strict_json, "loads", scarce)
    reply = wire.unpack_reply(served.handle(wire.pack_request(Request(id=7, op="hello"))))
    assert reply.error is not None
    assert (reply.id, reply.error.code) == (7 if times == 1 else None, "too_large")


def test_what_a_query_raises_is_in_the_log_once_and_writes_no_lines_of_its_own(served, caplog):
    @served.query
    def look(name: str):
        raise LookupError(name)

    forged = "\x1b[2J\n12:00:00 10.0.0.7 get 'x' 1 B 1.0 ms ok" + "x" * 100_000
    args, buffers = codecs.encode({"name": forged})
    with caplog.at_level(logging.ERROR, "bridge"):
        failure(served, "call", *buffers, name="look", args=args)
    assert [record.getMessage() for record in caplog.records] == ["the query 'look' raised"]
    (record,) = caplog.records
    assert isinstance(record.exc_info, tuple)
    assert isinstance(record.exc_info[1], LookupError)
    assert record.exc_text is not None
    assert "in look" in record.exc_text
    assert r"LookupError: \x1b[2J" in record.exc_text
    assert all(line.startswith("    ") for line in record.exc_text.splitlines())
    assert len(record.exc_text) < 20_000


def test_the_log_names_the_stream_that_raised_later(served, caplog):
    @served.stream
    def breaks():
        yield 1
        raise LookupError("later")

    answer(served, "call", name="breaks", call="a token for the call")
    with caplog.at_level(logging.ERROR, "bridge"):
        failure(served, "wait", call="a token for the call")
    assert [record.getMessage() for record in caplog.records] == ["the query 'breaks' raised"]


def test_an_argument_that_is_not_there_is_named_first(served):
    error = failure(served, "call", name="fail", args=codecs.encode({"knid": "Odd"}).descriptor)
    assert str(error) == "fail: there is no argument 'knid'; the arguments are: kind"
    assert isinstance(error, TypeError)


def test_a_name_that_may_not_be_written_is_told_those_that_may():
    service = Service(writable=["mine/", "tmp/"])
    error = failure(service, "delete", name="x")
    assert "names that may be written begin with 'mine/' or 'tmp/'" in str(error)


# ── where answers are made ────────────────────────────────────────────────────────────────────────


class Held(Inline):
    """Takes tasks, and does them when it is told to."""

    def __init__(self):
        self.tasks: list[Any] = []

    def submit(self, fn, /, *args, **kwargs):
        future: Future[Any] = Future()
        self.tasks.append((future, fn, args, kwargs))
        return future

    def work(self):
        while self.tasks:
            future, fn, args, kwargs = self.tasks.pop(0)
            future.set_result(fn(*args, **kwargs))


class Refusing(Inline):
    """A system that has no thread left."""

    def submit(self, fn, /, *args, **kwargs):
        raise RuntimeError("can't start new thread")


def begun(service, op, *buffers, **keys):
    """The replies to a request, so far."""
    given: list[Any] = []
    request = Request(id=1, op=op, keys=keys, buffers=buffers)
    service.begin(wire.pack_request(request), lambda frames: given.append(wire.unpack_reply(frames)))
    return given


@pytest.fixture
def threads() -> Held:
    return Held()


@pytest.fixture
def service(threads) -> Service:
    """Its queries run at once, and all else that takes time when `threads` are told to."""
    service = Service(threads=threads, executor=Inline(), writable=True)
    service["x"] = np.arange(6.0)
    service["trades"] = TRADES
    service.query(anything)
    return service


def anything(**given):
    return len(given)


def test_quick_answers_are_given_at_once(service, threads):
    args = {"kind": "tree", "value": {"values": [1, {"a": {"$tuple": [2.5, None]}}]}}
    assert len(begun(service, "get", name="x")) == 1
    assert len(begun(service, "get", name="trades")) == 1
    assert len(begun(service, "list")) == 1
    assert len(begun(service, "describe", name="trades")) == 1
    assert len(begun(service, "call", name="anything", args=args)) == 1
    assert len(begun(service, "delete", name="x")) == 1
    assert not threads.tasks


def test_filters_and_wide_frames_take_a_thread(service, threads):
    service["wide"] = pd.DataFrame(np.zeros((2, 3000)))
    service["wide arrow"] = pa.table({f"c{number}": [1] for number in range(3000)})
    for keys in (
        {"name": "trades", "select": {"filters": [["price", ">", 2]]}},
        {"name": "wide", "select": {"rows": [0, 1, 1]}},
        {"name": "wide arrow", "select": {"rows": [0, 1, 1]}},
    ):
        replies = begun(service, "get", **keys)
        assert not replies
        threads.work()
        assert [reply.error for reply in replies] == [None]


def test_a_selection_with_large_buffers_is_decoded_in_a_thread(service, threads):
    labels = b"[" + b",".join([b'"price"'] * 20_000) + b"]"
    for name, select, buffers in (
        ("trades", {"columns": {"kind": "tree"}}, [labels]),
        (
            "x",
            [{"take": {"kind": "array", "dtype": "<i8", "shape": [9000], "order": "C"}}],
            [bytes(72_000)],
        ),
    ):
        replies = begun(service, "get", *buffers, name=name, select=select)
        assert not replies
        threads.work()
        assert len(replies) == 1


def test_filters_and_labels_have_a_limit_and_positions_do_not(served):
    large = bytes(9 * 2**20)
    for name in ("trades", "arrow", "config"):
        error = failure(served, "get", large, name=name, select={"columns": {"kind": "tree"}})
        assert error.code == "too_large"
        assert "9437184 bytes; at most 8388608" in str(error)
    positions = {"kind": "array", "dtype": "<i8", "shape": [len(large) // 8], "order": "C"}
    taken = answer(served, "get", large, name="x", select=[{"take": positions}, 0])
    assert taken.shape == (len(large) // 8,)


@pytest.mark.parametrize(
    "values", [np.zeros(1), [{"a": (pd.DataFrame(),)}], {"$object": 1, "b": 2}, list(range(10_000))]
)
def test_objects_among_arguments_and_long_texts_are_decoded_in_a_thread(service, threads, values):
    encoded = codecs.encode({"values": values})
    replies = begun(service, "call", *encoded.buffers, name="anything", args=encoded.descriptor)
    assert not replies
    threads.work()
    assert codecs.decode(replies[0].keys["object"], replies[0].buffers) == 1


def test_files_are_looked_at_in_a_thread(service, threads, tmp_path):
    np.save(tmp_path / "y.npy", X)
    service["file"] = tmp_path / "y.npy"
    assert begun(service, "list") == []
    assert begun(service, "describe", name="file") == []
    assert len(begun(service, "call", name="unknown")) == 1
    service.mount(tmp_path)
    assert begun(service, "call", name="unknown") == []
    assert begun(service, "delete", name="unknown") == []


def test_who_waits_in_vain_for_rows_is_answered_in_a_thread(service, threads):
    log = service.channel("log")
    replies = begun(service, "get", name="log", start=0, wait=0)
    log.append([1, 2])
    service.tick()
    assert not replies
    threads.work()
    assert [reply.keys["next"] for reply in replies] == [2]


@pytest.mark.parametrize(
    ("op", "keys"),
    [
        ("get", {"name": "trades", "select": {"filters": [["price", ">", 2]]}}),
        ("get", {"name": "unknown"}),
        ("append", {"name": "x", "object": {"kind": "tree", "value": [1]}}),
    ],
)
def test_where_no_thread_can_be_started_the_one_reply_is_busy(tmp_path, op, keys):
    service = Service(threads=Refusing(), writable=True)
    service["trades"] = TRADES
    service.mount(tmp_path)
    assert [reply.error.code for reply in begun(service, op, **keys)] == ["busy"]


def test_followers_are_woken_also_where_no_thread_can_be_started():
    service = Service(threads=Refusing())
    log = service.channel("log")
    woken = begun(service, "get", name="log", start=0, wait=60)
    in_vain = begun(service, "get", name="log", start=9, wait=0)
    log.append([1, 2])
    service.tick()
    assert [reply.keys["next"] for reply in woken] == [2]
    assert [reply.keys["next"] for reply in in_vain] == [9]


class Computed:
    """An array that is made when it is read, and not before somebody opens its gate."""

    dtype = np.dtype("f8")

    def __init__(self, gate, shape=(3,)):
        self.shape = shape
        self._gate = gate

    def __getitem__(self, index):
        assert self._gate.wait(30)
        return np.zeros(self.shape)[index]


def test_the_answers_of_one_client_leave_threads_for_those_of_others():
    gate, is_open = threading.Event(), threading.Event()
    is_open.set()
    threads = DaemonThreads(4)
    service = Service(threads=threads, writable=True)
    service.update(slow=Computed(gate), quick=Computed(is_open))
    replies: queue.SimpleQueue[tuple[str, Reply]] = queue.SimpleQueue()

    def ask_as(client, op, **keys):
        frames = wire.pack_request(Request(id=1, op=op, keys=keys))
        service.begin(
            frames, lambda reply: replies.put((client, wire.unpack_reply(reply))), Peer(client=client)
        )

    for _ in range(8):
        ask_as("greedy", "get", name="slow")
        ask_as("greedy", "describe", name="slow")
    ask_as("modest", "get", name="quick")
    first, others = replies.get(timeout=30), []
    gate.set()
    others = [replies.get(timeout=30) for _ in range(16)]
    assert (first[0], first[1].error) == ("modest", None)
    assert [(client, reply.error) for client, reply in others] == 16 * [("greedy", None)]
    threads.shutdown()


def test_texts_of_any_length_are_collected_in_a_thread(service, threads):
    service["words"] = np.array(["a", "bc" * 100_000], dtype=np.dtypes.StringDType())
    for select in (None, [[0, 2, None]], [1, "..."], [1]):
        replies = begun(service, "get", name="words", select=select)
        assert not replies
        threads.work()
        assert [reply.error for reply in replies] == [None]
    assert codecs.decode(replies[0].keys["object"], replies[0].buffers) == "bc" * 100_000


# ── what answers hold ─────────────────────────────────────────────────────────────────────────────

TEXTS = np.array([f"text {number}" for number in range(20_000)], object)


@pytest.mark.parametrize(
    ("obj", "part"),
    [
        (np.zeros(100_000), 0.0),
        (np.zeros((100_000, 2))[:, 0], 1.0),
        (TEXTS.astype(np.dtypes.StringDType()), 1.0),
        (pd.DataFrame({"a": np.zeros(100_000)}), 0.0),
        (pd.DataFrame({"a": TEXTS}, dtype=object), 1.0),
        (pa.table({"a": np.zeros(100_000)}), 0.0),
        ([np.zeros(100_000), list(range(20_000))], 0.2),
        (b"x" * 100_000, 0.0),
    ],
    ids=["array", "strided", "strings", "frame", "texts", "table", "tree", "bytes"],
)
def test_only_what_was_made_for_an_answer_counts_for_it(obj, part):
    service = Service()
    service["x"] = obj
    lengths = ask(service, "get", name="x", max_bytes=1).lengths
    assert lengths is not None
    held = service._outbox.held
    assert part - 0.1 <= held / sum(lengths) <= part + 0.1


def test_answers_that_are_made_at_the_same_time_take_no_more_memory_than_there_is():
    gate, threads = threading.Event(), DaemonThreads(8)
    service = Service(threads=threads, limits=Limits(held=1_000_000))
    service["x"] = Computed(gate, shape=(100_000,))
    replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()

    def ask_as(client):
        frames = wire.pack_request(Request(id=1, op="get", keys={"name": "x"}))
        service.begin(frames, lambda reply: replies.put(wire.unpack_reply(reply)), Peer(client=client))

    ask_as("one")
    ask_as("other")
    assert failure_code(replies.get(timeout=30)) == "busy"
    assert service._outbox.held == 800_000
    gate.set()
    assert failure_code(replies.get(timeout=30)) is None
    assert service._outbox.held == 0  # it fitted in one message
    ask_as("other")
    assert failure_code(replies.get(timeout=30)) is None
    threads.shutdown()


def failure_code(reply):
    return reply.error.code if reply.error else None


# ── what calls hold ───────────────────────────────────────────────────────────────────────────────

MIB = 1024 * 1024


LITTLE_ROOM = Limits(held=4 * MIB + 100_000)


def megabyte(**given):
    return np.zeros(MIB, np.uint8)


def test_results_that_nobody_fetches_are_given_up_for_others():
    queries = Held()
    service = Service(executor=queries, limits=LITTLE_ROOM)
    service.query(megabyte)
    tokens = [f"a token for call {number}" for number in range(8)]
    for token in tokens:
        replies = begun(service, "call", name="megabyte", call=token, wait=0)
        service.tick()
        assert [reply.keys for reply in replies] == [{"call": token}]
    queries.work()
    codes = [ask(service, "wait", call=token).error for token in tokens]
    assert [error.code if error else None for error in codes] == 4 * ["expired"] + 4 * [None]


def test_arguments_of_calls_that_have_not_begun_have_a_limit():
    service = Service(executor=Held(), limits=LITTLE_ROOM)
    service.query(megabyte)
    large = codecs.encode({"values": np.zeros(MIB, np.uint8)})
    failures = []
    for number in range(5):
        replies = begun(
            service,
            "call",
            *large.buffers,
            name="megabyte",
            args=large.descriptor,
            call=f"a token for call {number}",
            wait=0,
        )
        service.tick()
        failures.append(replies[0].error)
    assert [error.code if error else None for error in failures] == 4 * [None] + ["busy"]


def test_the_text_of_arguments_counts_as_what_is_made_of_it():
    service = Service(executor=Held(), limits=LITTLE_ROOM)
    service.query(anything)
    args = {"kind": "tree", "value": {"x": [{}] * 17_000}}
    many = [
        begun(service, "call", name="anything", args=args, call=f"a token for call {number}", wait=0)
        for number in range(4)
    ]
    service.tick()
    assert [failure_code(replies[0]) for replies in many] == [None, None, "busy", "busy"]
    for number in range(2):
        ask(service, "cancel", call=f"a token for call {number}")
    again = begun(service, "call", name="anything", args=args, call="another token for it", wait=0)
    service.tick()
    assert [failure_code(reply) for reply in again] == [None]


def test_small_values_that_nobody_fetches_are_given_up_for_others():
    service = Service(limits=Limits(held=200_000))

    @service.stream
    def numbers():
        while True:
            yield bytes(10_000)

    tokens = [f"a token for stream {number}" for number in range(20)]
    for token in tokens:
        assert failure_code(ask(service, "call", name="numbers", call=token)) is None
    assert service._calls._tally.total <= 200_000
    codes = [failure_code(ask(service, "wait", call=token)) for token in tokens]
    assert codes[0] == "expired"
    assert codes[-1] is None
    for token in tokens:
        ask(service, "cancel", call=token)
    assert service._calls._tally.total == 0


def test_no_timer_of_a_call_that_is_over_is_left():
    service = Service(limits=Limits(query_seconds=600.0))
    service.query(anything)

    @service.stream
    def numbers():
        yield from range(3)

    assert call(service, "anything") == 0
    ask(service, "call", name="numbers", call="a token for a stream")
    for _ in range(3):
        ask(service, "wait", call="a token for a stream")
    ask(service, "call", name="numbers", call="a token for another stream")
    ask(service, "cancel", call="a token for another stream")
    assert len(service.timers) == 0
    assert service._calls._tally.total == 0


def test_a_result_that_was_sent_is_not_kept_until_its_query_would_have_been_stopped():
    made = []

    def once() -> np.ndarray:
        values = np.zeros(MIB, np.uint8)
        made.append(weakref.ref(values))
        return values

    service = Service(limits=Limits(query_seconds=600.0))
    service.query(once)
    assert len(answer(service, "call", name="once")) == MIB
    gc.collect()
    assert [values() for values in made] == [None]


def test_calls_that_nobody_can_ask_about_count_like_the_others():
    queries = Held()
    service = Service(executor=queries, limits=Limits(held=4 * MIB + 100_000, calls=24))
    service.query(megabyte)
    large = codecs.encode({"values": np.zeros(MIB, np.uint8)})
    many = [
        begun(service, "call", *large.buffers, name="megabyte", args=large.descriptor) for _ in "12345"
    ]
    assert [replies[0].error.code for replies in many if replies] == ["busy"]
    more = [begun(service, "call", name="megabyte") for _ in "123"]
    assert [replies[0].error.code for replies in more if replies] == ["busy"]  # of 24, one client has 6
    queries.work()
    assert [len(replies) for replies in many + more] == 8 * [1]
    assert not len(service._calls)


def test_a_result_that_was_waited_for_with_a_limit_to_one_message_is_told_how_to_ask(monkeypatch):
    monkeypatch.setattr(answers, "STANDARD", SimpleNamespace(reply=MIB - 1))
    queries = Held()
    service = Service(executor=queries)
    service.query(megabyte)
    replies = begun(service, "call", name="megabyte", call="a token for the call", wait=60)
    queries.work()
    assert [reply.error.code for reply in replies] == ["too_large"]
    assert "max_bytes" in str(replies[0].error)


# ── the catalogue on the server ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a", "run42/wave", "größe", "x" * 1024, "with space", "../x", "$x"])
def test_a_name_is_printable_text(name):
    srv = Service()
    srv[name] = 1
    assert answer(srv, "get", name=name) == 1


@pytest.mark.parametrize("name", ["", "x" * 1025, "ü" * 513, "a\nb", "\x00", "\ud800"])
def test_a_name_that_nobody_could_read_is_refused(name):
    with pytest.raises(ValueError, match="printable"):
        Service()[name] = 1


def test_a_name_is_no_number():
    number: Any = 1
    with pytest.raises(TypeError, match="int"):
        Service()[number] = 1


def test_what_cannot_be_sent_is_refused_when_it_is_assigned_and_the_old_one_stays(served):
    for obj in (np.array([object()]), pd.DataFrame({"a": [object()]}), {1: 2}, print):
        with pytest.raises(EncodeError):
            served["x"] = obj
    assert difference(X, answer(served, "get", name="x")) is None


def test_a_service_is_a_mapping(served):
    assert "x" in served
    del served["x"]
    assert "x" not in served
    assert failure(served, "get", name="x").code == "not_found"
    with pytest.raises(KeyError):
        del served["x"]


def test_a_file_that_is_gone_or_broken_leaves_the_rest_of_the_catalogue_alone(served, tmp_path):
    path = tmp_path / "y.npy"
    np.save(path, X)
    served["file"] = path
    path.unlink()
    entries = {entry["name"]: entry for entry in ask(served, "list").keys["entries"]}
    assert entries["x"]["kind"] == "array"
    assert entries["file"]["kind"] == "broken"
    assert "not there any more" in entries["file"]["error"]
    assert str(tmp_path) not in str(entries["file"])
    assert ask(served, "describe", name="file").keys["entry"] == entries["file"]
    path.write_bytes(b"no array")
    assert ask(served, "describe", name="file").keys["entry"]["kind"] == "broken"
    assert failure(served, "get", name="file").code == "failed"
    np.save(path, X)
    assert ask(served, "describe", name="file").keys["entry"]["kind"] == "array"


def test_a_name_is_removed_while_rows_are_added_to_it_and_stays_away():
    service = Service(writable=True)
    service["x"] = np.arange(3)

    class Slow(ArraySource):
        def appended(self, rows):
            assert ask(service, "delete", name="x").error is None
            return super().appended(rows)

    service._sources["x"] = Slow(np.arange(3))
    rows = codecs.encode(np.arange(3))
    assert (
        failure(service, "append", *rows.buffers, name="x", object=rows.descriptor).code == "not_found"
    )
    assert "x" not in service


def test_of_two_that_append_at_once_both_find_their_rows():
    service = Service(writable=True)

    class Overtaken(ArraySource):
        def appended(self, rows):
            extended = super().appended(rows)
            service["x"] = np.append(np.arange(3), 10)
            return extended

    service._sources["x"] = Overtaken(np.arange(3))
    assert service.append("x", np.array([11])) == 5
    assert answer(service, "get", name="x").tolist() == [0, 1, 2, 10, 11]


def test_cancel_frees_an_answer_that_is_being_fetched(served):
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    assert ask(served, "cancel", transfer=token).error is None
    assert len(served._outbox) == 0
    assert failure(served, "part", transfer=token, offset=0, length=1).code == "expired"


# ── the audit ─────────────────────────────────────────────────────────────────────────────────────


MARK = "sixteen characters"


def audited(caplog):
    lines = [
        (line.op, line.name_, line.nbytes, line.outcome)
        for line in caplog.records
        if line.name == "bridge.audit"
    ]
    caplog.clear()
    return lines


def announce(srv, token, obj, lengths):
    keys = {"name": "new", "object": obj, "transfer": token}
    begin = Request(id=1, op="put", keys=keys, lengths=lengths)
    return srv.handle(wire.pack_request(begin))


def test_the_line_of_an_upload_says_ok_when_it_is_served_and_not_before(caplog):
    caplog.set_level(logging.INFO, "bridge.audit")
    srv = Service(writable=True)
    obj, token = codecs.encode(np.arange(3)), MARK
    announce(srv, token, obj.descriptor, [24])
    assert audited(caplog) == [("put", "new", 0, "begun")]
    assert failure(srv, "done", transfer=token).code == "bad_request"
    assert audited(caplog) == [("done", "new", 24, "bad_request")]
    ask(srv, "part", *obj.buffers, transfer=token, offset=0)
    assert "version" in ask(srv, "done", transfer=token).keys
    assert audited(caplog) == [("done", "new", 24, "ok")]
    ask(srv, "put", *obj.buffers, name="new", object=obj.descriptor)
    assert audited(caplog) == [("put", "new", 24, "ok")]


def test_the_line_of_an_upload_that_is_refused_at_its_end_says_why(caplog):
    caplog.set_level(logging.INFO, "bridge.audit")
    srv = Service(writable=True)
    announce(srv, MARK, {"kind": "bogus"}, [1])
    ask(srv, "part", b"x", transfer=MARK, offset=0)
    code = failure(srv, "done", transfer=MARK).code
    assert audited(caplog) == [("put", "new", 0, "begun"), ("done", "new", 1, code)]


def test_the_end_of_a_fetch_has_no_line(served, caplog):
    caplog.set_level(logging.INFO, "bridge.audit")
    token = ask(served, "get", name="x", max_bytes=0).keys["transfer"]
    audited(caplog)
    ask(served, "done", transfer=token)
    assert audited(caplog) == []
