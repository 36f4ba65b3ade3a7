"""The command line, typed as users type it, in processes of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, feather, ipc, parquet
from scipy import sparse

import bridge
from bridge import codecs
from bridge.cli import commands, files
from bridge.data import weather
from tests import peers
from tests.faults.memory import MIB, only_on_linux
from tests.processes import line_of

ROOT = Path(bridge.__file__).parents[1]

COMMAND = [sys.executable, "-W", "error", "-m", "bridge"]
WEATHER = weather()
TEMPERATURE = WEATHER[["temp_min", "temp_max"]].to_numpy()

# A module as users have it, beside their data.
MODULE = """
import numpy, time, bridge
large = numpy.arange(16_000_000.0).reshape(1000, 16_000)
masked = numpy.ma.array([1, 2], mask=[False, True])

def spectrum(channel: int = 0):
    return numpy.abs(numpy.fft.rfft(large[:100, channel]))

def wait():
    print("entered", flush=True)
    while not bridge.cancelled():
        time.sleep(0.01)
    print("cancelled", flush=True)

def fail():
    raise TimeoutError("the motor is stuck")

def count(to: int):
    yield from range(to)

everything = {
    "large": large, "run/1[a]": numpy.arange(10), "masked": masked, "wait": wait, "fail": fail, "count": count,
    "dict": {"a": numpy.arange(3)},
}
"""


def environment(url=""):
    return os.environ | {"BRIDGE_URL": url, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def names_in(folder):
    return [path.name for path in folder.iterdir()]


@contextlib.contextmanager
def serving(*arguments, folder):
    """A server that was started from the command line: its process, and what it says of itself."""
    command = [*COMMAND, "serve", "--bind", "tcp://127.0.0.1:0", "--json", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, json.loads(line_of(process))
    finally:
        process.kill()
        process.communicate()


def hostile(answers):
    """The address of a server that gives these answers to each op, or what they make of a request."""

    def answer(socket, frames):
        request = json.loads(frames[2])
        answer = ({"hello": ({"hello": {}}, ()), "list": ({"entries": []}, ())} | answers)[request["op"]]
        keys, buffers = answer(request) if callable(answer) else answer
        header = {"bridge": 1, "id": request["id"], **keys}
        if buffers:
            header["buffers"] = [memoryview(buffer).nbytes for buffer in buffers]
        socket.send_multipart([*frames[:2], json.dumps(header).encode(), *buffers])

    return peers.router(answer)


def on_a_terminal(command, typed="", **options):
    """Run a command to its end on a terminal: what a person sees, and its code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, **options
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    said = b""
    with contextlib.suppress(OSError):  # so it ends on Linux
        while read := os.read(ours, 65536):
            said += read
    os.close(ours)
    return said.decode(), process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    (folder / "analysis.py").write_text(MODULE)
    # What the examples of the help begin with, where it is not made by the examples before.
    (folder / "data").mkdir()
    np.save(folder / "temperature.npy", TEMPERATURE)
    np.save(folder / "weekly.npy", TEMPERATURE[::7])
    for path in (folder / "weather.parquet", folder / "data" / "weather.parquet"):
        WEATHER.to_parquet(path)
    return folder


@pytest.fixture(scope="module")
def example(folder):
    """The address of the example data, where mine/ is writable."""
    with serving("--writable", "mine/", folder=folder) as (_, said):
        yield said["url"]


@pytest.fixture(scope="module")
def lab(folder):
    with serving("analysis:everything", folder=folder) as (_, said):
        yield said["url"]


@pytest.fixture
def run(folder):
    """Run a command to its end, with what it wrote as bytes."""

    def run(url, *arguments):
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=folder,
            env=environment(url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )

    return run


@pytest.fixture
def output(run):
    """Run a command that succeeds: what it wrote to stdout. It complains of nothing."""

    def output(url, *arguments):
        done = run(url, *arguments)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    return output


@pytest.fixture
def complaint(run):
    """Run a command that fails with a code: what it wrote to stderr, which is no traceback."""

    def complaint(code, url, *arguments):
        done = run(url, *arguments)
        assert done.returncode == code
        assert b"Traceback" not in done.stderr
        assert done.stdout == b""
        return done.stderr.decode()

    return complaint


# ── examples ──────────────────────────────────────────────────────────────────────────────────────


def examples(name):
    """The lines of a command's help that can be typed."""
    epilog = commands.commands[name].epilog or ""
    return [line.strip() for line in epilog.splitlines() if line.strip().startswith("zbridge ")]


@pytest.fixture
def shell(folder, example):
    """Run a line in a shell, where zbridge is this one and the example data are served."""
    program = folder / "zbridge"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"

    def shell(line):
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=folder,
            env=environment(example) | {"PATH": path},
            stdout=subprocess.PIPE,
        )

    return shell


@pytest.mark.parametrize(
    "line",
    [line for name in ("ls", "info", "ping", "get", "put", "call", "demo") for line in examples(name)],
)
def test_an_example_of_the_help_works(shell, line):
    with shell(line) as process:
        process.communicate()
        assert process.returncode == 0


@pytest.mark.parametrize("line", examples("follow"))
def test_an_example_of_following_works(shell, line):
    with shell(f"exec {line}") as process:
        assert b"precipitation" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT


@pytest.mark.parametrize("line", examples("serve"))
def test_an_example_of_serving_works(shell, folder, line):
    if ("data/" in line or ".parquet" in line) and not hasattr(bridge.Server, "mount"):
        pytest.skip("directories are not served yet")
    with shell(f"exec {line} --bind tcp://127.0.0.1:0 --json") as process:
        said = json.loads(process.stdout.readline())
        with bridge.connect(said["url"]) as b:
            assert list(b) == said["names"]
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


# ── looking ───────────────────────────────────────────────────────────────────────────────────────


def test_ls_lists_what_is_served(output, example):
    assert b"'temperature'            <f8 1461 \xc3\x97 2, 22.8 KiB" in output("", "ls", example)
    entries = json.loads(output(example, "ls", "--json"))
    kinds = {(entry["name"], entry["kind"]) for entry in entries}
    assert {("weather", "table"), ("replay", "channel")} <= kinds


def test_info_shows_columns_and_signatures(output, example):
    assert b"temp_max: float64" in output(example, "info", "weather")
    facts = json.loads(output("", "info", "monthly_mean", "--json", "--url", example))
    assert facts["signature"].startswith("monthly_mean(column: str, year: int)")


def test_ping_knows_the_versions_of_both_ends(output, example):
    facts = json.loads(output(example, "ping", "-n", "5", "--json"))
    assert facts["versions"] == {"client": bridge.__version__, "server": bridge.__version__}
    assert 0 < facts["p50_seconds"] <= facts["p99_seconds"]
    assert b"handshake" in output(example, "ping", "-n", "1")


def test_without_a_file_get_shows_the_first_values(output, example, lab):
    assert b"1,461 rows" in output(example, "get", "weather")
    facts = json.loads(output(lab, "get", "large[::2, 5]", "--json"))
    assert (facts["shape"], facts["first"][:2]) == ([500], [5.0, 32_005.0])
    assert json.loads(output(lab, "get", "dict", "--json")) == {"a": [0, 1, 2]}
    assert json.loads(output(lab, "get", "run/1[a][-2:]", "--json"))["first"] == [8, 9]


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_array_is_fetched_to_npy(run, example, folder):
    for index, expected in {
        "": TEMPERATURE,
        "[::-7, 0]": TEMPERATURE[::-7, 0],
        "[:0]": TEMPERATURE[:0],
    }.items():
        assert run(example, "get", f"temperature{index}", "-o", "a.npy").returncode == 0
        np.testing.assert_array_equal(np.load(folder / "a.npy"), expected, strict=True)


@pytest.mark.parametrize(("suffix", "read"), [("parquet", pd.read_parquet), ("arrow", pd.read_feather)])
def test_a_table_is_fetched_to_a_file(run, example, folder, suffix, read):
    done = run(example, "get", "weather", "-o", f"w.{suffix}", "--json")
    assert json.loads(done.stdout)["file"] == f"w.{suffix}"
    pd.testing.assert_frame_equal(read(folder / f"w.{suffix}"), WEATHER, check_dtype=suffix == "arrow")


def test_columns_rows_and_filters_narrow_a_table(output, example):
    options = ("--columns", "date,wind", "--filter", "wind > 8 and weather in ['fog']", "--rows", "1:3")
    text = output(example, "get", "weather", "-o", "-", "--format", "csv", *options)
    rows = WEATHER[(WEATHER["wind"] > 8) & (WEATHER["weather"] == "fog")][["date", "wind"]][1:3]
    assert text.decode() == rows.to_csv(index=False)


def test_stdout_takes_npy_and_arrow(output, example):
    values = np.load(io.BytesIO(output(example, "get", "temperature[:9]", "-o", "-")))
    np.testing.assert_array_equal(values, TEMPERATURE[:9])
    table = ipc.open_stream(output(example, "get", "weather[:9]", "-o", "-")).read_all()
    assert table.column_names == list(WEATHER.columns)
    assert table.num_rows == 9


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_an_array_larger_than_the_memory_that_may_be_used_is_fetched(lab, folder):
    # 128 MB of data, and 100 MB for all that is not in the file, the stacks of threads among it.
    code = (
        "import resource, sys, numpy, pandas, pyarrow, zmq, bridge.client, bridge.cli as cli\n"
        "used = int(next(l for l in open('/proc/self/status') if l.startswith('VmData')).split()[1]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + 100_000_000,) * 2)\n"
        "cli.main(sys.argv[1:])"
    )
    small = environment(lab) | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", code, "get", "large", "-o", "large.npy"]
    subprocess.run(command, cwd=folder, env=small, check=True, capture_output=True)
    assert np.load(folder / "large.npy", mmap_mode="r")[-1, -1] == 15_999_999


@pytest.mark.parametrize("suffix", ["npy", "parquet", "arrow", "csv"])
def test_what_is_put_is_served(run, example, folder, suffix):
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    writers = {
        "npy": lambda path: np.save(path, TEMPERATURE),
        "parquet": lambda path: parquet.write_table(table, path),
        "arrow": lambda path: feather.write_feather(table, path),
        "csv": lambda path: csv.write_csv(table, path),
    }
    writers[suffix](folder / f"put.{suffix}")
    assert run(example, "put", "mine/x", f"put.{suffix}").returncode == 0
    with bridge.connect(example) as b:
        served = b.read("mine/x")
    if suffix == "npy":
        np.testing.assert_array_equal(served, TEMPERATURE)
    else:
        assert served.column("a").to_pylist() == [1, 2]


# ── functions and channels ────────────────────────────────────────────────────────────────────────


def test_call_prints_the_result_and_of_a_stream_each_value(output, example, lab):
    means = json.loads(output(example, "call", "monthly_mean", "column=wind", "year=2015", "--json"))
    assert len(means) == 12
    assert output(lab, "call", "count", "to=3", "--json") == b"0\n1\n2\n"


def test_follow_prints_rows_as_csv_under_one_header(example, folder):
    command = [*COMMAND, "follow", "replay", "--start", "begin"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(example), stdout=subprocess.PIPE, text=True
    ) as p:
        lines = [line_of(p) for _ in range(3)]
        p.send_signal(signal.SIGINT)
        assert p.wait() == 128 + signal.SIGINT
    assert "\n".join(lines) + "\n" == WEATHER[:2].to_csv(index=False)


def test_ctrl_c_cancels_a_call(folder):
    with serving("analysis:everything", folder=folder) as (server, said):
        with subprocess.Popen(
            [*COMMAND, "call", "wait"], cwd=folder, env=environment(said["url"])
        ) as call:
            assert line_of(server) == "entered"
            call.send_signal(signal.SIGINT)
            assert call.wait() == 128 + signal.SIGINT
        assert line_of(server) == "cancelled"


# ── failures ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Usage: zbridge"),
        (("gte", "x"), "No such command"),
        (("get",), "Missing argument"),
        (("get", "weather", "--rows", "1"), "write 0:1000"),
        (("get", "weather[3]"), "of its rows alone"),
        (("get", "weather", "--filter", "wnd > 3"), "did you mean 'wind'?"),
        (("get", "weather", "--columns", "wnd"), "did you mean 'wind'?"),
        (("get", "temperature[5000]"), "has the shape (1461, 2)"),
        (("get", "temperature", "--columns", "a"), "is no table"),
        (("get", "replay"), "zbridge follow replay"),
        (("get", "years"), "zbridge call years"),
        (("get", "weather", "-o", "w.txt"), "has none of the suffixes"),
        (("get", "weather", "-o", "w.npy"), "a table is written as"),
        (("get", "weather", "-o", "no/such/w.csv"), "there is no directory"),
        (("get", "weather", "-o", "-", "--json"), "choose one"),
        (("put", "x", "no.npy"), "does not exist"),
        (("call", "monthly_mean", "wind"), "write key=value"),
        (("call", "weather"), "zbridge get weather"),
        (("call", "replay"), "zbridge follow replay"),
        (("follow", "weather"), "zbridge get weather"),
        (("follow", "years"), "zbridge call years"),
        (("serve", "no-such-thing"), "no file or directory 'no-such-thing'"),
        (("serve", "mine=analysis:table"), "MODULE:OBJECT goes by its own name"),
        (("serve", "analysis:nothing", "--bind", "tcp://127.0.0.1:0"), "has no 'nothing'"),
        (("serve", "nothing:x", "--bind", "tcp://127.0.0.1:0"), "no module 'nothing'"),
        (("serve", "--bind", "tcp://0.0.0.0:0"), "can be reached from other computers"),
    ],
)
def test_a_mistake_in_what_is_typed_exits_with_1(complaint, example, arguments, says):
    assert says in complaint(1, example, *arguments)


def test_a_server_that_is_not_there_exits_with_2(complaint):
    assert "is its server running?" in complaint(2, "tcp://127.0.0.1:1", "ls")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("get", "larg"), "did you mean 'large'?"),
        (("call", "fail"), "TimeoutError: the motor is stuck"),
        (("call", "count"), "missing a required argument"),
        (("put", "x", "analysis.npy"), "is not writable"),
    ],
)
def test_a_failure_on_the_server_exits_with_3(complaint, lab, folder, arguments, says):
    np.save(folder / "analysis.npy", np.arange(3))
    assert says in complaint(3, lab, *arguments)


def test_an_array_that_a_file_cannot_hold_is_refused_and_leaves_nothing(complaint, lab, folder):
    assert "masked" in complaint(1, lab, "get", "masked", "-o", "masked.npy")
    assert not [name for name in names_in(folder) if "masked" in name]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_download_leaves_nothing(folder, how):
    service = bridge.Service()
    service["large"] = np.zeros(1_000_000)
    asked = threading.Event()

    def answer(socket, frames):
        if b'"part"' in frames[2]:
            asked.set()  # and never answers
        else:
            socket.send_multipart([*frames[:2], *service.handle(frames[2:])])

    command = [*COMMAND, "get", "large", "-o", "cut.npy"]
    with peers.router(answer) as url, subprocess.Popen(command, cwd=folder, env=environment(url)) as get:
        assert asked.wait(30)
        assert [name for name in names_in(folder) if "cut.npy" in name]
        get.send_signal(how)
        assert get.wait() == 128 + how
    assert not [name for name in names_in(folder) if "cut.npy" in name]


def test_a_reader_that_stops_reading_is_no_error(lab, folder):
    command = f"{shlex.join(COMMAND)} get large -o - | head -c 6; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment(lab), capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"\x93NUMPY141\n", b"")


# ── serving ───────────────────────────────────────────────────────────────────────────────────────


def test_files_are_served_under_their_names(folder):
    np.save(folder / "wave.npy", np.arange(5))
    with (
        serving("wave.npy", "other=wave.npy", "analysis:spectrum", folder=folder) as (_, said),
        bridge.connect(said["url"]) as b,
    ):
        assert said["names"] == ["other", "spectrum", "wave"]
        np.testing.assert_array_equal(b.read("other"), np.arange(5))
        assert b.call("spectrum", channel=1).shape == (51,)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_in_peace_and_has_logged_a_line_for_each_query(folder, how):
    with serving("--log-format", "json", folder=folder) as (process, said):
        with bridge.connect(said["url"]) as b:
            b.read("temperature")
            with pytest.raises(KeyError):
                b.read("nothing")
        process.send_signal(how)
        assert process.wait() == 0
        lines = [json.loads(line) for line in process.stderr]
    queries = [(line["op"], line["name"], line["nbytes"], line["outcome"]) for line in lines]
    assert queries[-2:] == [
        ("get", "temperature", TEMPERATURE.nbytes, "ok"),
        ("get", "nothing", 0, "not_found"),
    ]
    assert {line["peer"] for line in lines} == {"127.0.0.1"}


# ── what a server may say ─────────────────────────────────────────────────────────────────────────

# What a terminal would obey: colours, a title, the same by a C1 character, and text from right to left.
ESC = "\x1b[31mEVIL\x1b]0;title\x07\u202e\x9b31m\u061c"
OBEYED = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u202e]")
ARRAY = {"kind": "array", "shape": [], "dtype": "<U40", "nbytes": 160}
TABLE = {"kind": "table", "format": "arrow", "rows": 1, "columns": 1, "nbytes": 8}
QUERY = {"kind": "query", "parameters": [], "doc": ESC}
FRAME = pd.DataFrame({ESC: [ESC]})
UNION = pa.table(
    {
        "a": pa.UnionArray.from_sparse(
            pa.array([0], pa.int8()), [pa.array([1]), pa.array(["a"])], [ESC, "b"]
        )
    }
)


def said(value, **keys):
    """The answer that has an object in it."""
    descriptor, buffers = codecs.encode(value)
    return {"version": "1", "object": descriptor, **keys}, [bytes(buffer) for buffer in buffers]


def server_of(entry, value, skeleton=None):
    """The answers of a server of one object, which says of itself what it likes."""
    known = {"entry": {"name": "x", "version": "1", **entry}}
    described, buffers = ({}, []) if skeleton is None else said(skeleton)
    got = value if isinstance(value, tuple) else said(value)
    return {"describe": (described | known, buffers), "get": got, "call": got}


def channel_of(rows, message=ESC):
    """The answers of a channel that has one run of rows, and then is another."""

    def get(request):
        if request.get("wait") == 0.0:
            return {"next": 0, "version": "1"}, ()
        if rows is None or request["start"] != 0:
            return {"error": {"code": "changed", "message": message}}, ()
        return said(rows, next=len(rows) if hasattr(rows, "__len__") else 1)

    return {"describe": ({"entry": {"name": "x", "kind": "channel", "rows": 0}}, ()), "get": get}


ERROR = {"code": "failed", "message": ESC, "type": "ValueError", "traceback": ESC}
SHOWN = {
    "the text of an array": (
        server_of(ARRAY | {"dtype": np.array(ESC).dtype.str}, np.array(ESC)),
        "get x",
    ),
    "the name of an array": (server_of(ARRAY | {"name": ESC}, np.array("a")), "get x"),
    "the name of a table": (
        server_of(TABLE | {"name": ESC}, pa.table({"a": [1]}), pa.table({"a": [1]})[:0]),
        "get x",
    ),
    "a table": (server_of(TABLE, pa.table(FRAME), pa.table(FRAME)[:0]), "get x"),
    "a table as CSV": (
        server_of(TABLE, pa.table(FRAME), pa.table(FRAME)[:0]),
        "get x -o - --format csv",
    ),
    "a result": (server_of(QUERY, ESC), "call x"),
    "a result as JSON": (server_of(QUERY, {ESC: ESC}), "call x --json"),
    "a signature": (server_of(QUERY, None), "info x"),
    "a catalogue": ({"list": ({"entries": [{"name": ESC, "kind": ESC}]}, ())}, "ls"),
    "a catalogue as JSON": ({"list": ({"entries": [{"name": ESC}]}, ())}, "ls --json"),
    "an error": ({"describe": ({"error": ERROR}, ())}, "get x"),
    "an error of Arrow's": (server_of(TABLE, UNION, UNION[:0]), "get x"),
    "an error of Parquet's": (server_of(TABLE, UNION, UNION[:0]), "get x -o u.parquet"),
    "that a channel changed": (channel_of(None), "follow x"),
    "rows": (channel_of([ESC]), "follow x"),
    "rows of a table": (channel_of(FRAME), "follow x"),
    "rows as JSON": (channel_of([ESC]), "follow x --json"),
}


@pytest.mark.parametrize(("answers", "line"), SHOWN.values(), ids=SHOWN)
def test_nothing_that_a_server_says_commands_a_terminal(folder, answers, line):
    with hostile(answers) as url:
        shown, _ = on_a_terminal([*COMMAND, *line.split()], cwd=folder, env=environment(url))
    assert "EVIL" in shown
    assert OBEYED.findall(shown) == []
    assert "Traceback" not in shown


HUGE = {"version": "1", "object": {"kind": "tree", "value": {"$int": "f" * 10_000}}}, ()


@pytest.mark.parametrize(
    ("code", "answers", "line", "says"),
    [
        (1, server_of(QUERY, HUGE), "call x", "cannot be printed: Exceeds the limit"),
        (1, server_of(QUERY, HUGE), "call x --json", "cannot be printed as JSON: Exceeds the limit"),
        (1, server_of(QUERY, sparse.csr_array(np.eye(3))), "call x --json", "sparse"),
        (3, server_of(QUERY, ({}, ())), "call x", "expected one"),
        (3, channel_of(5), "follow x", "came as an int; expected a table"),
        (3, channel_of({"a": 1}), "follow x --json", "came as a dict; expected a table"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(complaint, code, answers, line, says):
    with hostile(answers) as url:
        said = complaint(code, url, *line.split())
    assert said.startswith("Error: ")
    assert says in said


@pytest.mark.parametrize(
    ("value", "line", "says"),
    [
        (pd.DataFrame({"a": pd.Series([2**70], dtype=object)}), "-o a.parquet", "written as parquet"),
        (pd.DataFrame({"a": pd.Series([Decimal("sNaN")], dtype=object)}), "-o a.csv", "written as csv"),
        (pd.RangeIndex(2**25), "--json", "more than 16,777,216 values"),
        ([pd.RangeIndex(2**20), pd.RangeIndex(2**24)], "--json", "more than 16,777,216 values"),
    ],
    ids=["digits", "no number", "a long range", "long ranges"],
)
def test_an_object_that_cannot_be_written_is_said_in_a_sentence(complaint, value, line, says):
    with hostile(server_of({"kind": "object", "type": "x", "nbytes": 1}, value)) as url:
        said = complaint(1, url, "get", "x", *line.split())
    assert said.startswith("Error: ")
    assert says in said


@pytest.mark.parametrize(
    "value", [pa.array([1, 2]), pa.chunked_array([[1], [2]])], ids=["array", "chunks"]
)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow"])
def test_an_array_of_arrow_is_written_as_a_table_of_one_column(run, folder, value, suffix):
    with hostile(server_of({"kind": "object", "type": "x", "nbytes": 1}, value)) as url:
        assert run(url, "get", "x", "-o", f"column.{suffix}").returncode == 0
    assert files.load(folder / f"column.{suffix}").to_pydict() == {"values": [1, 2]}


def test_dates_without_a_unit_are_shown_without_their_values(output):
    descriptor = {"kind": "array", "dtype": "<M8", "shape": [1], "order": "C"}
    answer = {"version": "1", "object": descriptor}, [bytes(8)]
    entry = {"kind": "array", "dtype": "<M8", "shape": [1], "nbytes": 8}
    with hostile(server_of(entry, answer)) as url:
        assert b"without a text" in output(url, "get", "x")


def test_text_that_has_no_bytes_is_followed_with_escapes(run):
    with hostile(channel_of(["\ud800", "a"])) as url:
        assert run(url, "follow", "x").stdout == b"\\ud800\na\n"


@only_on_linux
@pytest.mark.parametrize("form", ["", "--json"])
def test_rows_that_share_a_long_value_are_printed_one_by_one(folder, form):
    rows = pd.DataFrame({"a": pd.Categorical(["x" * MIB] * 100)})
    with hostile(channel_of(rows)) as url:
        following = subprocess.Popen(
            [*COMMAND, "follow", "x", *form.split()],
            cwd=folder,
            env=environment(url),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        printed = used = 0
        with following:
            assert following.stdout is not None
            while piece := following.stdout.read(MIB):
                printed += len(piece)
                if printed < 100 * MIB:  # it lives
                    status = Path(f"/proc/{following.pid}/status").read_text()
                    used = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    assert printed > 100 * MIB
    assert used < 350 * MIB


@pytest.mark.parametrize("type_name", ["EOFError", "KeyboardInterrupt", "BrokenPipeError", "OSError"])
def test_no_failure_on_the_server_is_taken_for_the_end_of_the_command(complaint, type_name):
    error = {"code": "failed", "message": "no more", "type": type_name}
    with hostile({"describe": ({"error": error}, ())}) as url:
        assert complaint(3, url, "get", "x") == f"Error: {type_name}: no more\n"


@pytest.mark.parametrize("line", ["get x -o - --format csv", "follow x"])
def test_data_in_a_pipe_is_exact_whatever_a_terminal_would_make_of_it(run, line):
    served = server_of(TABLE, pa.table(FRAME), pa.table(FRAME)[:0])
    with hostile(channel_of(FRAME) if line == "follow x" else served) as url:
        assert run(url, *line.split()).stdout.decode() == FRAME.to_csv(index=False)


def test_json_in_a_pipe_means_what_the_server_sent(output):
    with hostile(server_of(QUERY, ESC)) as url:
        assert json.loads(output(url, "call", "x", "--json")) == ESC


# ── the shell ─────────────────────────────────────────────────────────────────────────────────────


def completed(url, line, shell="bash"):
    """What click prints for a shell that completes a line."""
    words = shlex.split(line)
    last = len(words) - (not line.endswith(" "))
    typed = "" if line.endswith(" ") else words[-1]
    asked = {
        "_ZBRIDGE_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": typed if shell == "fish" else str(last),
    }
    code = "from bridge.cli import main, options; options.COMPLETION_SECONDS = 30; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(url) | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def completions(url, line):
    return [line.partition(",")[2] for line in completed(url, line).splitlines() if line]


def test_the_shell_completes_the_names_of_the_server(example):
    assert completions(example, "zbridge get te") == ["temperature"]
    assert completions("", f"zbridge call --url {example} ") == ["monthly_mean", "years"]
    assert completions(example, "zbridge follow ") == ["replay"]


NO_PLAIN_WORDS = (
    *(
        "x;touch y",
        "x`id`",
        "x$(id)",
        "x$HOME",
        "x|id",
        "x&",
        "x>y",
        "x<y",
        "x*",
        "x?",
        "x[a]",
        "x{a,b}",
    ),
    *("x y", "x'", 'x"', "x\\y", "x!1", "x^y", "x#", "x%1", "x~", "x(y)", "x\u2028y", "x\u201dy"),
    *(
        "x\ny",
        "x\nplain,y",
        "x\ndir,/",
        "x\ty",
        "x\ry",
        "x\x1b[2J",
        "x,y",
        "x\u202ey",
        "x\xa0y",
        "x\u3000y",
    ),
    *("--url=tcp://x", "-x", "~root", "=ls", "@x", "+x", ":x"),
)


@pytest.mark.parametrize(
    ("shell", "before"), [("bash", "plain,"), ("fish", "plain,"), ("zsh", "plain\n")]
)
def test_a_shell_is_offered_only_names_that_are_plain_words_to_it(shell, before):
    plain = ["a.b/c:d@e=f+g-h_9", "température"]
    entries = [{"name": name, "kind": "array"} for name in [*plain, *NO_PLAIN_WORDS]]
    with hostile({"list": ({"entries": entries}, ())}) as url:
        said = completed(url, "zbridge get ", shell)
    after = "\n_\n" if shell == "zsh" else "\n"
    assert said == "".join(f"{before}{name}{after}" for name in plain)


def test_a_name_that_a_server_made_up_is_no_command_of_the_shell(folder):
    code = "from bridge.cli import main, options; options.COMPLETION_SECONDS = 30; main()"
    program = folder / "completing" / "zbridge"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{code}" "$@"\n')
    program.chmod(0o755)
    typed = (
        'eval "$(_ZBRIDGE_COMPLETE=bash_source zbridge)"\nzbridge get wea\t\nzbridge get tem\t\nexit\n'
    )
    with bridge.Server("tcp://127.0.0.1:0") as server:
        for name in ("weather;touch made-up #", "temperature/of/2015"):
            server[name] = np.zeros(3)
        environ = environment(server.url) | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
        environ |= {"TERM": "dumb", "HISTFILE": "/dev/null"}
        bash = ["bash", "--norc", "--noprofile", "-i"]
        said, _ = on_a_terminal(bash, typed, cwd=folder, env=environ)
    assert "float64 3" in said  # of what could be completed
    assert "made-up" not in names_in(folder)


def test_without_a_server_the_shell_completes_nothing():
    assert completions("tcp://127.0.0.1:1", "zbridge get ") == []


def test_python_m_bridge_is_the_same_command(output):
    assert b"Usage: zbridge [OPTIONS]" in output("", "--help")
