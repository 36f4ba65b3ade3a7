"""What each format keeps, how often it copies, and that a pickle cannot run anything."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bridge.bench import exact, formats, payloads
from bridge.bench.cases import Case
from bridge.bench.formats import FORMATS
from bridge.bench.pair import most_bytes
from bridge.errors import BridgeError, WireError

NAMES = [*payloads.DTYPES, "f8-F", "f8-strided", "struct-F", *payloads.FRAMES]
CARRIERS = [name for name, row in FORMATS.items() if row.encode and not row.is_baseline]
PICKLES = [name for name, row in FORMATS.items() if row.unpickles]


def received(frames):
    """The frames as ZeroMQ gives them: writable memory of their own."""
    return [memoryview(bytearray(frame)) for frame in frames]


def through(format_, obj):
    row = FORMATS[format_]
    return row.decoded(received(row.encoded(obj)))


def carried_by(format_, name):
    return ("array" if payloads.is_array(name) else "frame") in FORMATS[format_].carries


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("format_", ["raw", *PICKLES])
def test_raw_and_pickle_change_nothing(format_, name):
    payload = payloads.build(name, 20_000)
    assert exact.changes(payload, through(format_, payload)) == []


@pytest.mark.parametrize("name", [name for name in NAMES if carried_by("npy", name)])
def test_npy_changes_nothing(name):
    payload = payloads.build(name, 20_000)
    assert exact.changes(payload, through("npy", payload)) == []


def test_json_loses_order_digits_and_what_describes_a_frame():
    assert exact.changes(*_both("json", "f8-F")) == ["F order became C order"]
    assert exact.changes(*_both("json", "frame-float")) == ["values of float64 changed"]
    changes = exact.changes(*_both("json", "frame-mixed"))
    assert "attrs were lost" in changes
    assert "index: the frequency was lost" in changes
    assert "dtype int32 became int64" in changes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("format_", CARRIERS)
def test_no_message_is_longer_than_a_client_takes(format_, name):
    with contextlib.suppress(TypeError):  # JSON and complex numbers
        for size in (1, 1000, 200_000) if carried_by(format_, name) else ():
            frames = FORMATS[format_].encoded(payloads.build(name, size))
            nbytes = sum(memoryview(frame).nbytes for frame in frames)
            assert nbytes < most_bytes(Case("pull", format_, name, size))


@pytest.mark.parametrize("name", payloads.FRAMES)
def test_what_arrow_writes_of_a_payload_passes_the_check(name):
    row = FORMATS["arrow"]
    checked = row.checked(received(row.encoded(payloads.build(name, 20_000))))
    assert checked.seconds > 0


def test_arrow_loses_the_frequency_of_an_index():
    assert exact.changes(*_both("arrow", "frame-mixed")) == ["index: the frequency was lost"]


@pytest.mark.parametrize("name", ["c16", "S16"])
def test_json_has_no_complex_numbers_and_no_bytes(name):
    with pytest.raises(TypeError, match="not JSON serializable"):
        through("json", payloads.build(name, 100))


def test_a_baseline_carries_any_bytes_as_they_are():
    array = payloads.build("u1", 1000)
    assert exact.changes(array, through("zmq", array)) == []
    with pytest.raises(TypeError, match="no message carries this"):
        FORMATS["tcp"].encoded(array)


# ── copies ────────────────────────────────────────────────────────────────────────────────────────


def _shared(frames, obj):
    """How many bytes of the frames are memory of an object, by address."""
    pieces = list(payloads._memory(obj))
    arrays = (np.frombuffer(frame, np.uint8) for frame in frames)
    return sum(a.nbytes for a in arrays if any(np.may_share_memory(a, piece) for piece in pieces))


@pytest.mark.parametrize("name", ["f8", "f8-F", "struct", "frame-float100"])
@pytest.mark.parametrize(
    ("format_", "encoding_copies", "decoding_copies"),
    [
        ("raw", False, False),
        ("pickle-oob", False, False),
        ("pickle", True, True),
        ("npy", True, True),
        ("zmq", False, False),
    ],
)
def test_a_format_copies_as_often_as_it_says(format_, encoding_copies, decoding_copies, name):
    row = FORMATS[format_]
    if row.is_baseline:
        payload = payloads.build("u1", 2**20)
    elif carried_by(format_, name):
        payload = payloads.build(name, 2**20)
    else:
        return
    nbytes = payload.nbytes if isinstance(payload, np.ndarray) else payload.to_numpy().nbytes
    encoded = row.encoded(payload)
    assert _shared(encoded, payload) == (0 if encoding_copies else nbytes)
    frames = received(encoded)
    assert _shared(frames, row.decoded(frames)) == (0 if decoding_copies else nbytes)


def test_the_unpickler_makes_no_copy_that_pickle_does_not():
    """One copy into the bytearray that the array keeps: reads of the whole go straight there."""
    payload = payloads.build("f8", 2**20)
    reads = []

    class Bytes(formats._Bytes):
        def readinto(self, buffer):
            reads.append(len(buffer))
            return super().readinto(buffer)

    head = FORMATS["pickle"].encoded(payload)[0]
    file = io.BufferedReader(Bytes(head), formats.READ_AHEAD)
    result = formats._Unpickler(file).load()
    assert exact.changes(payload, result) == []
    assert max(reads) > payload.nbytes - 2 * formats.READ_AHEAD


# ── Arrow ─────────────────────────────────────────────────────────────────────────────────────────


def _stream(column):
    table = pa.table({"x": column})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


ARROW = {
    "an index outside of its dictionary": _stream(
        pa.DictionaryArray.from_arrays(pa.array([0, 1_000_000]), pa.array(["a"]), safe=False)
    ),
    "a text that ends behind the others": _stream(pa.array(["abc"])).replace(
        b"\0\0\0\0\3\0\0\0", b"\0\0\0\0\3\0\0\1"
    ),
    "a text that is no UTF-8": _stream(pa.array(["abcdef"])).replace(b"abcdef", b"abc\xffef"),
    "half a stream": _stream(pa.array(["abc"]))[:200],
    "no stream": b"ARROW1\0\0",
}


@pytest.mark.parametrize("stream", ARROW.values(), ids=ARROW)
def test_a_hostile_stream_of_arrow_is_not_decoded(stream):
    with pytest.raises(WireError, match="not a valid Arrow stream"):
        FORMATS["arrow"].checked([memoryview(stream)])


# ── pickles ───────────────────────────────────────────────────────────────────────────────────────


class Hostile:
    """Says, when it is unpickled: run this."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("format_", PICKLES)
@pytest.mark.parametrize(
    "function", [os.system, eval, exec, getattr, __import__, open, pd.read_pickle, np.load, pickle.loads]
)
def test_a_hostile_pickle_is_refused_before_it_runs(tmp_path, format_, function):
    touched = tmp_path / "touched"
    hostile = pickle.dumps([np.arange(3), Hostile(function, f"touch {touched}")], protocol=5)
    with pytest.raises(WireError, match=f"names .*{function.__name__}, which no payload is made of"):
        FORMATS[format_].decoded([memoryview(hostile)])
    assert not touched.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"cposix\nsystem\n(S'true'\ntR.",  # protocol 0
        b"\x80\x04\x8c\x05numpy\x8c\x0dlib.npyio.load\x93.",  # a dotted name
        b"\x80\x04\x8c\x06pandas\x8c\x12DataFrame.to_pickle\x93.",
        b"\x80\x02\x82\x01.",  # the registry of extensions
        b"\x80\x04Pid\n.",  # a persistent identifier
        b"\x80\x05\x97.",  # a buffer that did not come
        b"",
        b"\x80\x05",
        b"cnumpy\n",
    ],
)
def test_other_ways_into_the_interpreter_are_closed(pickled):
    with pytest.raises((BridgeError, pickle.UnpicklingError, ValueError, EOFError)):
        FORMATS["pickle"].decoded([memoryview(pickled)])


def test_nothing_is_imported_executed_or_opened_by_a_hostile_pickle():
    code = """
import os, pickle, sys
from bridge.bench.formats import FORMATS
from bridge.errors import WireError
class Hostile:
    def __reduce__(self): return os.system, ("true",)
texts = [pickle.dumps(Hostile(), protocol=p) for p in range(6)] + [b"cantigravity\\nx\\n."]
seen = []
bad = ("import", "exec", "compile", "open", "os.system", "subprocess.Popen")
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in bad else None)
for text in texts:
    try: FORMATS["pickle"].decoded([memoryview(text)])
    except WireError: pass
    else: raise SystemExit("not refused")
print(seen)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_allowed_names_are_those_that_payloads_need_and_no_more():
    needed = set()

    class Recording(formats._Unpickler):
        def find_class(self, module, name):
            needed.add((module, name))
            return super().find_class(module, name)

    for name in NAMES:
        for format_ in PICKLES:
            head, *buffers = received(FORMATS[format_].encoded(payloads.build(name, 20_000)))
            Recording(io.BytesIO(head), buffers=buffers).load()
    assert needed == formats.PICKLED


def _both(format_, name):
    payload = payloads.build(name, 20_000)
    return payload, through(format_, payload)
