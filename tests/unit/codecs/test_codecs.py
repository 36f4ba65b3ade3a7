"""What holds for every codec, and for the table of them."""

from __future__ import annotations

import copy
import dataclasses
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codecs
from bridge.codecs import BufferReader, strict_json
from bridge.errors import EncodeError, WireError
from tests.check import check_codec
from tests.samples import arrays, sparse

ARRAY = {"kind": "array", "dtype": "|u1", "shape": [3], "order": "C"}

# Values that mean something to some field of some kind, and to numpy's parser.
HOSTILE: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 1.5, "", [], {}, [[]], "x", "\x00"),
        *(-1, 0, 1, 2, 3, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**39),
        *(
            "O",
            "|b1",
            "<i4",
            "<i8",
            ">f8",
            "<M8[ns]",
            "|S0",
            "|V0",
            "|V2147483647",
            "<U3",
            "(9**9)f8",
            "f8,i8",
        ),
        *([0], [-1], [0, 2**62], [2**62], [2**32, 2**32], [1] * 65, [["a", "<f8", [2]]]),
        *("C", "F", "array", "scalar", "masked", "sparse", "csr_array", "csc_matrix", "coo_array"),
        *({"strings": "none", "coerce": True}, {"strings": "unset", "coerce": False}),
    ]
)


def _paths(value: Any, path: tuple = ()) -> list[tuple]:
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(found for key, item in items for found in _paths(item, (*path, key)))]


def _changed(draw: st.DrawFn, descriptor: Any) -> Any:
    descriptor = copy.deepcopy(descriptor)
    *parents, key = draw(st.sampled_from(_paths(descriptor)[1:]))
    place = descriptor
    for parent in parents:
        place = place[parent]
    match draw(st.sampled_from(["set", "delete", "repeat"])):
        case "set":
            place[key] = draw(HOSTILE)
        case "delete":
            del place[key]
        case "repeat" if isinstance(place, list):
            place.append(place[key])
    return descriptor


def _changed_buffers(draw: st.DrawFn, buffers: list[bytes]) -> list[bytes]:
    buffers = list(buffers)
    which = draw(st.integers(0, len(buffers)))
    match draw(st.sampled_from(["none", "add", "remove", "cut", "noise"])):
        case "add":
            buffers.insert(which, draw(st.binary(max_size=9)))
        case "remove" if buffers:
            buffers.pop()
        case "cut" if which < len(buffers):
            buffers[which] = buffers[which][draw(st.integers(0, 9)) :]
        case "noise" if which < len(buffers):
            at = draw(st.integers(0, len(buffers[which])))
            noise = draw(st.binary(max_size=9))
            buffers[which] = buffers[which][:at] + noise + buffers[which][at + len(noise) :]
    return buffers


@st.composite
def _mutations(draw: st.DrawFn, samples: dict[str, Any]) -> tuple[Any, list[bytes]]:
    descriptor, buffers = codecs.encode(samples[draw(st.sampled_from(sorted(samples)))]())
    for _ in range(draw(st.integers(1, 3))):
        if len(_paths(descriptor)) > 1:
            descriptor = _changed(draw, descriptor)
    return descriptor, _changed_buffers(draw, [bytes(buffer) for buffer in buffers])


@pytest.mark.parametrize("samples", [arrays.SAMPLES, sparse.SAMPLES], ids=["arrays", "sparse"])
def test_a_changed_message_is_a_value_or_a_wire_error(samples):
    small = {name: make for name, make in samples.items() if "large" not in name}

    @given(_mutations(small))
    def check(message):
        try:
            result = codecs.decode(*message)
        except WireError:
            return
        check_codec(result)  # what was let through is a value like any other

    check()


@pytest.mark.parametrize("obj", [object(), {1, 2}, len, re, iter([]), NotImplemented])
def test_what_no_codec_knows_is_refused(obj):
    with pytest.raises(EncodeError, match="cannot be sent"):
        codecs.encode(obj)


def test_a_dataclass_is_refused_with_the_way_out():
    @dataclasses.dataclass
    class Point:
        x: float

    with pytest.raises(EncodeError, match="asdict"):
        codecs.encode(Point(1.0))


def test_the_class_that_is_nearest_decides_and_not_what_it_offers():
    class Frame(np.ndarray):
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            raise AssertionError("an array is not a table")

    with pytest.raises(EncodeError, match="class"):
        codecs.encode(np.arange(3).view(Frame))


def test_an_object_that_contains_itself_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(EncodeError, match="contains itself"):
        codecs.encode(endless)


def test_each_kind_and_each_package_has_one_codec():
    kinds = [kind for codec in codecs.CODECS for kind in codec.kinds]
    packages = [package for codec in codecs.CODECS for package in codec.packages]
    assert len(set(kinds)) == len(kinds)
    assert len(set(packages)) == len(packages)


@pytest.mark.parametrize(
    "descriptor", [None, [], "array", 3, {}, {"kind": None}, {"kind": ["array"]}], ids=repr
)
def test_what_is_no_descriptor_is_a_wire_error(descriptor):
    with pytest.raises(WireError) as caught:
        codecs.decode(descriptor, [])
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("kind", ["", "pickle", "__class__", "array ", "k" * 10_000])
def test_an_unknown_kind_is_unsupported(kind):
    with pytest.raises(WireError, match="this version knows array") as caught:
        codecs.decode({"kind": kind}, [])
    assert caught.value.code == "unsupported"
    assert len(str(caught.value)) < 500


def test_all_buffers_have_to_be_used():
    with pytest.raises(WireError, match="left over"):
        codecs.decode(ARRAY, [b"abc", b""])


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (True, (int,)),
        (1, (bool,)),
        (1.0, (int,)),
        ("1", (int,)),
        (None, (str,)),
        ([], (dict, type(None))),
    ],
)
def test_a_field_has_exactly_the_type_that_is_asked_for(value, types):
    with pytest.raises(WireError, match="'x' is"):
        codecs.field({"x": value}, "x", *types)
    assert codecs.field({"x": value}, "x", type(value)) is value


def test_a_missing_field_is_named():
    with pytest.raises(WireError, match="no 'shape'"):
        codecs.field({"kind": "array"}, "shape", list)


def _address(view: memoryview) -> int:
    address: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return address


def test_a_reader_hands_on_large_buffers_and_copies_small_ones():
    large, small = (np.zeros(n, np.uint8) for n in (codecs.COPY_BELOW, codecs.COPY_BELOW - 1))
    reader = BufferReader([large, small])
    assert _address(reader.take()) == _address(large.data)
    assert _address(reader.take()) != _address(small.data)
    reader.finish()


@pytest.mark.parametrize(
    "buffer",
    [
        bytes(codecs.COPY_BELOW),
        memoryview(bytearray(codecs.COPY_BELOW + 8))[1:],
        memoryview(bytes(codecs.COPY_BELOW + 8))[3:],
        np.zeros((100, 100)),
        b"abc",
        b"",
    ],
    ids=["read-only", "not aligned", "neither", "doubles", "small", "empty"],
)
def test_what_a_reader_gives_is_flat_writable_and_aligned(buffer):
    view = BufferReader([buffer]).take()
    assert (view.ndim, view.format, view.readonly) == (1, "B", False)
    assert view.nbytes == memoryview(buffer).nbytes
    assert bytes(view) == bytes(buffer)
    assert _address(view) % codecs.ALIGNMENT == 0


def test_a_reader_gives_each_buffer_once_and_in_order():
    reader = BufferReader([b"a", b"bc", b"", b"d"])
    assert bytes(reader.take(1)) == b"a"
    assert bytes(reader.take()) == b"bc"
    with pytest.raises(WireError, match="2 buffers are left over"):
        reader.finish()
    assert [bytes(view) for view in reader.take_raw(2)] == [b"", b"d"]
    reader.finish()
    with pytest.raises(WireError, match="more than the 4 buffers"):
        reader.take()


@pytest.mark.parametrize("nbytes", [0, 2, 4, 2**70])
def test_a_buffer_has_the_length_that_its_descriptor_says(nbytes):
    with pytest.raises(WireError, match=f"3 bytes; its descriptor says {nbytes}"):
        BufferReader([b"abc"]).take(nbytes)


@pytest.mark.parametrize("count", [-1, 3, 2**70])
def test_a_reader_gives_no_more_raw_buffers_than_there_are(count):
    with pytest.raises(WireError, match="2 are left"):
        BufferReader([b"a", b"b"]).take_raw(count)


def test_room_for_an_object_is_writable_and_what_it_is_decoded_into():
    sent = np.arange(20_000)
    descriptor, (buffer,) = codecs.encode(sent)
    (room,) = codecs.allocate(descriptor, [len(buffer)])
    room[:] = buffer
    result = codecs.decode(descriptor, [room])
    assert _address(room) == result.__array_interface__["data"][0]
    np.testing.assert_array_equal(result, sent)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_object_that_memory_does_not_hold_is_too_large():
    code = (
        "import resource, numpy as np\n"
        "from bridge import codecs\n"
        "from bridge.errors import BridgeError\n"
        "descriptor, (buffer,) = codecs.encode(np.zeros(2**28, 'u1'))\n"
        "in_use = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**27,) * 2)\n"
        "try:\n"
        "    codecs.decode(descriptor, [buffer.toreadonly()])\n"
        "except BridgeError as error:\n"
        "    print(error.code, isinstance(error, MemoryError), error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("too_large True 268435456 bytes came, and there is no memory")


def test_a_descriptor_is_strict_json_of_one_line():
    for make in (*arrays.SAMPLES.values(), *sparse.SAMPLES.values()):
        text = strict_json.dumps(codecs.encode(make()).descriptor)
        assert b"\n" not in text


def test_arrays_travel_without_pandas_pyarrow_or_scipy():
    code = (
        "import sys, numpy as np\n"
        "from bridge import codecs\n"
        "codecs.decode(*codecs.encode(np.arange(3)))\n"
        "codecs.decode(*codecs.encode(np.ma.array([1], mask=[1])))\n"
        "print({'pandas', 'pyarrow', 'scipy'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
