"""The benchmark between two computers, here two processes or more of one."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
import zmq
from click.testing import CliRunner

import bridge
from bridge.bench import record, serve
from bridge.bench.cases import Case
from bridge.bench.child import Child, Failed
from bridge.bench.control import Control
from bridge.bench.pair import Pair
from bridge.bench.run import ROUNDS
from bridge.bench.serve import VERSION
from bridge.cli import commands
from bridge.errors import RemoteError, TransportError
from tests import peers
from tests.processes import ROOT


@contextlib.contextmanager
def serving(*options):
    """A ``zbridge bench serve`` on a free port, and its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge", "bench", "serve", "--json"),
            *("--bind", "tcp://127.0.0.1:0", *options),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"], process
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def url():
    with serving() as (url, _):
        yield url


def measured(*arguments):
    run = CliRunner().invoke(commands, ["bench", *map(str, arguments)])
    assert run.exit_code == 0, run.output
    return run.output


def samples(document, format_, direction="pull"):
    return next(c for c in document["cases"] if (c["format"], c["direction"]) == (format_, direction))[
        "samples"
    ]


def test_two_commands_measure_a_link(tmp_path):
    path = tmp_path / "link.json"
    page = tmp_path / "link.html"
    with serving("--one-off") as (url, process):
        output = measured(
            url,
            *("--payloads", "frame-mixed", "--sizes", "2KiB", "--processes", 2, "--budget", "30s"),
            *("--save", path, "--save", page),
        )
        assert process.wait(10) == 0, "one client, and it stops"
    for name in ("json", "pickle", "pickle-oob", "raw", "bridge", "arrow", "tcp", "zmq"):
        assert name in output
    assert "npy carries arrays, not frames" in output
    assert "json changes frame-mixed" in output
    assert page.read_text("utf-8").startswith("<!doctype html>")

    document = json.loads(path.read_text("utf-8"))
    jsonschema.validate(document, record.schema())
    assert document["url"] == url
    assert document["same_host"]
    assert document["elapsed"] < 30
    exact = {case["format"]: case["exact"] for case in document["cases"] if not case["skipped"]}
    assert exact == {
        **dict.fromkeys(("pickle", "pickle-oob", "raw", "bridge"), True),
        **dict.fromkeys(("json", "arrow"), False),
        **dict.fromkeys(("tcp", "zmq"), None),
    }
    orders = [order for case in document["cases"] for order in case["samples"]["order"]]
    assert sorted(orders) == list(range(len(orders))), "each transfer has its place in the run"
    for case in document["cases"]:
        assert set(case["samples"]["process"]) == (set() if case["skipped"] else {0, 1})


def test_both_directions_and_several_clients(url):
    result = bridge.bench(
        url,
        payloads=["f8"],
        sizes=[1000],
        formats=["raw", "bridge", "tcp", "zmq", "pickle"],
        directions=["pull", "push"],
        clients=2,
        processes=1,
        budget="30s",
    )
    document = result.document
    assert document["clients"] == 2
    for direction in ("pull", "push"):
        for format_ in ("raw", "bridge", "tcp", "zmq"):
            found = samples(document, format_, direction)
            assert len(found["process"]) % 2 == 0
            assert all(seconds > 0 for seconds in found["transfer"])
            assert sum(found["server_cpu"]) > 0
    pushed = next(c for c in document["cases"] if (c["format"], c["direction"]) == ("pickle", "push"))
    assert pushed["skipped"] == "the server decodes pickles only with --allow-pickle"


@pytest.mark.slow
def test_a_seed_gives_an_order(url):
    def firsts(seed):
        """Which of two formats came first in each round."""
        result = bridge.bench(
            url,
            payloads=["u1"],
            sizes=[100],
            formats=["raw", "zmq"],
            processes=1,
            budget=None,
            seed=seed,
        )
        orders = [
            [sample["order"][sample["round"].index(round_)] for round_ in range(ROUNDS)]
            for sample in (samples(result.document, "raw"), samples(result.document, "zmq"))
        ]
        return [raw < zmq for raw, zmq in zip(*orders, strict=True)]

    assert firsts(3) == firsts(3) != firsts(4)


def test_bench_is_a_module_that_can_be_called(url):
    assert "Result" in str(bridge.bench.bench.__annotations__["return"])  # type: ignore[attr-defined]
    result = bridge.bench(url, payloads=["u1"], sizes="100B", formats=["raw"], processes=1, budget=None)
    assert result.document["command"].startswith(f"zbridge bench {url} --payloads=u1 --sizes=100B ")
    with pytest.raises(ValueError, match="'xml' is no format"):
        bridge.bench(url, formats=["xml"])


# ── what a server allows ──────────────────────────────────────────────────────────────────────────


def test_pickles_that_are_pushed_are_decoded_where_that_is_allowed_alone(url):
    case = Case("push", "pickle", "f8", 1000)
    with Control(url) as control:
        control.ask("start")
        with pytest.raises(RemoteError, match="--allow-pickle") as refused:
            control.ask("prepare", case=list(case), making=True)
        assert refused.value.code == "forbidden"
    with (
        serving("--allow-pickle") as (lenient, _),
        Control(lenient) as control,
        Pair(control, 1, [case]) as pair,
    ):
        assert pair.first(case).changes == []


def test_one_client_measures_at_a_time(url):
    with Control(url), pytest.raises(RemoteError, match="another client is measuring"):
        Control(url)
    Control(url).close()


def test_a_payload_beyond_the_limit_is_not_made():
    with serving("--max-bytes", "1MiB") as (url, _), Control(url) as control:
        control.ask("start")
        with pytest.raises(RemoteError, match="larger --max-bytes") as refused:
            control.ask("prepare", case=["pull", "raw", "f8", 2**20 + 1], making=True)
        assert refused.value.code == "too_large"
        assert control.ask("prepare", case=["pull", "raw", "f8", 2**20], making=True) == 2**20


def test_where_all_sizes_are_beyond_the_limit_the_report_says_so():
    with serving("--max-bytes", "1MiB") as (url, _):
        result = bridge.bench(
            url, sizes="10TiB", payloads=["f8"], formats=["raw"], processes=1, budget=10
        )
    shown = " ".join(result.text().split())
    assert "a message of 10.0 TiB, and the server's --max-bytes is 1.0 MiB" in shown
    assert "Nothing was measured, for the reasons above." in shown


def test_what_could_take_all_memory_is_not_made(monkeypatch):
    monkeypatch.setattr("bridge.bench.environment.available_memory", lambda: 100 * 2**20)
    desk = serve._Desk("127.0.0.1", [0, 0, 0], serve.Limits(2**30, 60.0, False), lambda text: None)

    def answer(**order):
        return json.loads(
            desk.answer(json.dumps({"zbridge_bench": 1, "session": "s", **order}).encode())
        )

    answer(do="hello")
    answer(do="start")
    try:
        refused = answer(do="prepare", case=["pull", "json", "f8", 4 * 2**20], making=True)
        assert refused["error"]["code"] == "too_large"
        assert "could need 120.0 MiB of memory here; 100.0 MiB are left" in refused["error"]["message"]
        assert (
            answer(do="prepare", case=["pull", "raw", "f8", 4 * 2**20], making=True)["result"]
            == 4 * 2**20
        )
    finally:
        desk.close()


def test_a_session_ends_when_it_has_lasted_too_long():
    with serving("--max-duration", "1s", "--one-off") as (url, process), Control(url) as control:
        control.ask("ping")
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "ended after 1 s" in process.stderr.read()


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"zbridge_bench": 2, "do": "hello"}',
        b'{"zbridge_bench": 1}',
        b'{"zbridge_bench": 1, "do": "hello"}',
        b'{"zbridge_bench": 1, "do": "hello", "session": 1}',
        b'{"zbridge_bench": 1, "do": "start"}',
        b'{"zbridge_bench": 1, "do": "prepare", "session": null}',
        b'{"zbridge_bench": 1, "do": ["hello"]}',
        b'{"zbridge_bench": 1, "zbridge_bench": 1, "do": "hello"}',
        b'{"bridge": 1, "id": 1, "op": "hello"}',
        b"[" * 4000,
        b"\xff" * 100,
    ],
)
def test_an_order_that_is_none_is_answered_with_an_error(url, order):
    assert "error" in _answers(url, [order])[0]


def test_orders_are_checked_one_by_one(url):
    with Control(url) as control:
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("begin", {"keeping": True}),  # before there is a worker
            ("exec", {}),
            ("open", {"host": "*", "ports": [0, 0, 0], "max_bytes": 1}),
            ("begin", {"keeping": 1}),
            ("begin", {}),
            ("end", {"more": 1}),
            ("prepare", {"case": ["pull", "raw", "f8", 8], "making": True, "x": 1}),
        ]
        for do, options in wrong:
            with pytest.raises(RemoteError):
                control.ask(do, **options)


def test_a_frame_that_is_too_long_is_not_read(url):
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.setsockopt(zmq.LINGER, 0)
        req.connect(url)
        req.send(b" " * 10_000)
        assert not req.poll(300)
    Control(url).close()


def test_garbage_on_the_sockets_of_a_worker_does_not_end_it(url):
    case = Case("push", "raw", "f8", 1000)
    with Control(url) as control, Pair(control, 1, [case]) as pair:
        assert pair.first(case).changes == []
        ports = pair.ports
        for port in ports.values():
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"\xff" * 1000)
        with zmq.Context() as context, context.socket(zmq.REQ) as req:
            req.setsockopt(zmq.LINGER, 0)
            req.connect(f"tcp://127.0.0.1:{ports['rep']}")
            for frames in ([b""], [b"{"], [b"\x80\x05."], [b"{}"] * 3):
                req.send_multipart(frames)
                assert req.recv() == b""
        assert pair.first(case).changes == []


def hostile_stream():
    """An Arrow stream with a text that ends far behind all others: who decodes it reads any memory, or dies."""
    table = pa.table({"x": ["abc"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes().replace(b"\0\0\0\0\3\0\0\0", b"\0\0\0\0\3\0\0\1")


def test_a_hostile_stream_of_arrow_that_is_pushed_is_refused(url):
    case = Case("push", "arrow", "frame-category", 1000)
    with Control(url) as control, Pair(control, 1, [case]) as pair:
        assert pair.first(case).changes == []
        with zmq.Context() as context, context.socket(zmq.REQ) as req:
            req.setsockopt(zmq.LINGER, 0)
            req.connect(f"tcp://127.0.0.1:{pair.ports['rep']}")
            req.send(hostile_stream())
            assert req.recv() == b""
        assert "WireError: not a valid Arrow stream" in control.ask("end")["failure"]
        assert pair.first(case).changes == []


@contextlib.contextmanager
def client_of(url, answer, *, max_bytes):
    """A client's process that is answered so where it asks for a payload."""
    with (
        Control(url) as control,
        zmq.Context() as context,
        context.socket(zmq.REP) as rep,
        contextlib.closing(Child("client")) as client,
    ):
        rep.setsockopt(zmq.LINGER, 0)
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        ports = control.ask("start") | {"rep": port}
        client.ask("open", host="127.0.0.1", ports=ports, number=0, max_bytes=max_bytes)

        def answer_once():
            rep.recv()
            rep.send(answer)

        thread = threading.Thread(target=answer_once, daemon=True)
        thread.start()
        try:
            yield client
        finally:
            rep.setsockopt(zmq.RCVTIMEO, 0)
            thread.join(10)


def answering(answers):
    """A server that answers what it is asked as it is told, and its address."""

    def answer(router, message):
        peer, empty, order = message
        told = answers.get(json.loads(order)["do"], answers.get("*", {}))
        router.send_multipart([peer, empty, json.dumps({"zbridge_bench": VERSION, **told}).encode()])

    return peers.router(answer)


HELLO = {
    "result": {
        "environment": {},
        "machine": "m",
        "available": None,
        "max_bytes": 10**6,
        "max_duration": 10,
        "unpickling": False,
    }
}
PORTS = {"result": {"rep": 1, "tcp": 1, "bridge": 1}}


@pytest.mark.parametrize(
    "answers",
    [
        {"*": {"error": "boom"}},
        {"*": {"error": [1]}},
        {"*": {"result": 5}},
        {"*": {"result": {}}},
        {"*": {"result": None}},
        {"hello": {"result": {**HELLO["result"], "max_bytes": "x"}}},
        {"hello": {"result": {**HELLO["result"], "max_bytes": 10**30}}},
        {"hello": {"result": {**HELLO["result"], "environment": {"cpu": {"a": 1}}}}},
        {"hello": HELLO, "*": {"result": 5}},
        {"hello": HELLO, "*": {"result": None}},
        {"hello": HELLO, "*": {"result": {"rep": "1@x", "tcp": "a", "bridge": [1]}}},
    ],
    ids=str,
)
def test_a_server_that_answers_nonsense_is_refused(answers):
    with answering(answers) as url, pytest.raises(bridge.BridgeError):
        bridge.bench(url, budget=5)


@pytest.mark.parametrize("do", ["prepare", "end", "grown", "verify", "stop"])
@pytest.mark.parametrize("nonsense", [-1, "x", {"cpu": "x"}, [{}], 10**30])
def test_each_answer_is_looked_at_before_it_is_used(do, nonsense):
    with answering({"hello": HELLO, "*": {"result": nonsense}}) as url:
        control = Control(url)
        with pytest.raises(bridge.WireError, match=f"answered '{do}' with"):
            control.ask(do)
        control.close()


def test_what_a_server_says_commands_no_terminal():
    error = {"error": {"code": "\x1b[31m", "message": "\x1b]0;t\x07"}}
    with answering({"*": error}) as url, pytest.raises(RemoteError) as caught:
        Control(url)
    assert "\x1b" not in f"{caught.value}{caught.value.code}"


def test_a_hostile_stream_of_arrow_from_a_server_is_refused(url):
    case = Case("pull", "arrow", "frame-category", 1000)
    with client_of(url, hostile_stream(), max_bytes=2**20) as client:
        client.ask("prepare", case=case, making=True, timeout=30)
        with pytest.raises(Failed, match="WireError: not a valid Arrow stream"):
            client.ask("once", verifying=True)


def test_a_server_cannot_send_more_than_what_is_wanted(url):
    case = Case("pull", "zmq", "u1", 1000)
    with client_of(url, bytes(2**20 + 1), max_bytes=2**20) as client:
        client.ask("prepare", case=case, making=True, timeout=0.5)
        with pytest.raises(Failed, match="did not answer in time"):
            client.ask("once", verifying=True)


def test_a_client_takes_no_more_than_its_largest_payload_explains(url, monkeypatch):
    opened = []
    monkeypatch.setattr(Child, "ask", lambda client, do, **options: opened.append(options))
    case = Case("pull", "raw", "f8", 2**20)
    with Control(url) as control, Pair(control, 1, [case]):
        assert 2**20 < opened[0]["max_bytes"] < 5 * 2**20


def test_a_server_for_others_must_be_asked_for():
    run = subprocess.run(
        [sys.executable, "-m", "bridge", "bench", "serve", "--bind", "tcp://0.0.0.0:0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "can be reached from other computers" in run.stderr


def test_a_port_that_is_taken_is_named():
    with contextlib.ExitStack() as stack:
        while True:  # a port of which the second after it is taken by us
            taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = taken.getsockname()[1] - 2
            with contextlib.suppress(OSError):
                socket.create_server(("127.0.0.1", port)).close()
                socket.create_server(("127.0.0.1", port + 1)).close()
                break
        url, _ = stack.enter_context(serving("--bind", f"tcp://127.0.0.1:{port}"))
        control = stack.enter_context(Control(url))
        with pytest.raises(TransportError, match=r"Address already in use.* the three ports after P"):
            Pair(control, 1, [])


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────


def test_where_no_server_is_the_command_to_start_one_is_named(monkeypatch):
    monkeypatch.setattr("bridge.bench.control.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    run = CliRunner().invoke(commands, ["bench", f"tcp://127.0.0.1:{port}"])
    assert isinstance(run.exception, TransportError)
    assert "zbridge bench serve" in str(run.exception)


def test_another_server_of_zbridge_is_told_from_one_for_benchmarks():
    with bridge.serve(x=1) as server, pytest.raises(bridge.WireError, match="is no benchmark server"):
        Control(server.url)


def test_a_server_cannot_send_its_client_elsewhere(url, monkeypatch):
    answer = Control.ask

    def ask(control, do, **options):
        ports = answer(control, do, **options)
        return ports | {"rep": "1;127.0.0.2:22"} if do == "start" else ports

    monkeypatch.setattr(Control, "ask", ask)
    with Control(url) as control, pytest.raises(bridge.WireError, match="expected a port for rep, tcp"):
        Pair(control, 1, [])


def test_a_server_that_is_gone_is_noticed_by_its_connection():
    with serving() as (url, process), Control(url) as control:
        process.kill()
        with pytest.raises(TransportError, match=r"connection to the benchmark server .* was lost"):
            control.ask("ping")


def test_a_client_that_is_interrupted_leaves_the_server_free():
    with serving() as (url, server):
        client = subprocess.Popen(
            [sys.executable, "-m", "bridge", "bench", url, "--sizes", "1KiB", "--budget", "none"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert server.stderr is not None
        assert server.stderr.readline() == "a client has begun\n"
        client.send_signal(signal.SIGINT)
        assert client.wait(10) == 130
        assert server.stderr.readline() == "done\n"


def test_a_case_that_kills_the_worker_is_skipped_with_its_reason(url, monkeypatch):
    first = Pair.first

    def fatal(self, case):
        if case.format == "npy":
            self._clients[0]._process.kill()
        return first(self, case)

    monkeypatch.setattr(Pair, "first", fatal)
    result = bridge.bench(
        url, payloads=["f8"], sizes=[100], formats=["npy", "raw"], processes=1, budget=None
    )
    by_format = {case["format"]: case for case in result.document["cases"]}
    assert "the process died" in by_format["npy"]["skipped"]
    assert by_format["raw"]["exact"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_in_peace_and_takes_its_worker_with_it(how):
    with serving() as (url, process), Control(url) as control:
        port = control.ask("start")["tcp"]
        process.send_signal(how)
        assert process.wait(10) == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 1).close()


def _answers(url, orders):
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.setsockopt(zmq.LINGER, 0)
        req.connect(url)
        answers = []
        for order in orders:
            req.send(order)
            assert req.poll(10_000), "no answer"
            answers.append(json.loads(req.recv()))
        return answers


# ── memory ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="the peak of a single transfer is known on Linux alone"
)
@pytest.mark.parametrize(
    ("format_", "client", "server"),
    [
        ("raw", 1, 0),
        ("pickle-oob", 1, 0),
        ("bridge", 1, 0),
        ("zmq", 1, 0),
        ("pickle", 2, 1),
        ("npy", 3, 1),
    ],
)
def test_the_peak_of_memory_is_the_copies_that_a_format_makes(url, format_, client, server):
    case = Case("pull", format_, "f8", 64 * 2**20)
    with Control(url) as control, Pair(control, 1, [case]) as pair:
        peaks = pair.memory(case)
    assert peaks is not None
    assert peaks["client"] / case.size == pytest.approx(client, abs=0.3)
    assert peaks["server"] / case.size == pytest.approx(server, abs=0.3)
