from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge import codecs
from bridge.codecs import array
from bridge.codecs.dtypes import from_wire
from bridge.errors import EncodeError, WireError
from tests.check import check_codec, check_refused
from tests.samples import arrays

# Above `codecs.COPY_BELOW`, so that received buffers are used as they are.
LARGE = 20_000


@pytest.mark.parametrize("make", arrays.SAMPLES.values(), ids=arrays.SAMPLES)
def test_comes_back_identical(make):
    check_codec(make())


@pytest.mark.parametrize(("make", "word"), arrays.REFUSED.values(), ids=arrays.REFUSED)
def test_is_refused_with_a_way_out(make, word):
    check_refused(make(), word)


DTYPES = st.one_of(hnp.scalar_dtypes(), hnp.nested_dtypes()).filter(lambda dtype: dtype.subdtype is None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)


@given(st.data())
def test_any_array_and_any_view_of_it_comes_back_identical(data):
    values = data.draw(hnp.arrays(DTYPES, SHAPES))
    view = values[data.draw(hnp.basic_indices(values.shape, allow_newaxis=True, allow_ellipsis=True))]
    check_codec(np.asarray(view))
    check_codec(np.asarray(view).T)


@given(hnp.arrays(DTYPES, 1))
def test_any_scalar_comes_back_identical(values):
    scalar = values[0]
    if isinstance(scalar, np.generic) and type(scalar) is not np.longlong:
        check_codec(scalar)


@given(st.data())
def test_any_masked_array_comes_back_identical(data):
    values = data.draw(hnp.arrays(hnp.scalar_dtypes(), SHAPES))
    mask = data.draw(st.one_of(st.just(np.ma.nomask), hnp.arrays(bool, values.shape)))
    check_codec(np.ma.MaskedArray(values, mask, hard_mask=data.draw(st.booleans())))


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8")))))
def test_any_strings_come_back_identical(items):
    check_codec(np.array(items, np.dtypes.StringDType(na_object=None)))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(LARGE),
        np.asfortranarray(np.ones((200, 100))),
        np.arange(LARGE).astype("M8[s]"),
        np.arange(LARGE, dtype=">i8").reshape(100, 200).T,
        np.zeros(LARGE, arrays.SENSOR),
        np.array(3.5),
    ],
    ids=["C order", "Fortran order", "dates", "transposed", "structured", "0-d"],
)
def test_contiguous_data_are_never_copied_by_the_sender(values):
    _, (buffer,) = codecs.encode(values)
    assert np.shares_memory(np.frombuffer(buffer, np.uint8), values)
    assert buffer.nbytes == values.nbytes


def test_masked_data_and_mask_are_not_copied_by_the_sender():
    masked = np.ma.MaskedArray(np.arange(LARGE), np.zeros(LARGE, bool))
    _, (data, mask) = codecs.encode(masked)
    assert np.shares_memory(np.frombuffer(data, np.uint8), masked.data)
    assert np.shares_memory(np.frombuffer(mask, np.uint8), masked.mask)


@pytest.mark.parametrize("dtype", ["<f8", ">i4", "<c16", "M8[ns]", "<U3", arrays.SENSOR, arrays.ALIGNED])
def test_a_large_result_is_the_received_memory(dtype):
    sent = np.zeros((LARGE, 2), dtype, order="F")
    descriptor, (buffer,) = codecs.encode(sent)
    received = np.frombuffer(bytes(buffer), np.uint8).copy()
    result = codecs.decode(descriptor, [received.data])
    assert np.shares_memory(result, received)
    assert result.flags.writeable
    assert result.flags.aligned
    assert result.flags.f_contiguous


@pytest.mark.parametrize("offset", [1, 4, 7])
def test_a_result_is_aligned_and_writable_wherever_its_bytes_were_received(offset):
    sent = np.arange(LARGE, dtype=np.float64)
    descriptor, (buffer,) = codecs.encode(sent)
    received = memoryview(bytes(offset) + bytes(buffer))[offset:]
    result = codecs.decode(descriptor, [received])
    assert result.flags.aligned
    assert result.flags.writeable
    np.testing.assert_array_equal(result, sent)


def test_a_structured_scalar_is_writable_and_does_not_share_the_sent_memory():
    sent = np.zeros(1, arrays.SENSOR)[0]
    result = check_codec(sent)
    result["id"] = b"new"
    assert sent["id"] == b""


def test_encoding_a_masked_array_does_not_touch_its_fill_value():
    masked: Any = np.ma.MaskedArray([1, 2, 3])
    assert check_codec(masked).astype(float).fill_value == 1e20
    assert masked.astype(float).fill_value == 1e20


def test_the_masked_constant_stays_one_object():
    assert check_codec(np.ma.masked) is np.ma.masked


def test_a_fill_value_for_each_item_is_refused():
    masked: Any = np.ma.MaskedArray([1, 2, 3])
    masked._fill_value = np.array([7, 8, 9])
    check_refused(masked, "fill_value")


def test_a_memmap_travels_as_a_plain_array(tmp_path):
    mapped = np.memmap(tmp_path / "data", np.float32, "w+", shape=(3, 4))
    mapped[:] = np.arange(12).reshape(3, 4)
    result = codecs.decode(*codecs.encode(mapped))
    assert type(result) is np.ndarray
    assert arrays.difference(np.asarray(mapped), result) is None
    assert (
        arrays.difference(np.asarray(mapped[:, ::2]), codecs.decode(*codecs.encode(mapped[:, ::2])))
        is None
    )


class _OnlyArray:
    """What xarray is to numpy."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


class _OnlyDLPack:
    """What torch is to numpy."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


class _OnAnotherDevice(_OnlyDLPack, _OnlyArray):
    """What jax is to numpy where the data are not in main memory."""

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("not in main memory")


@pytest.mark.parametrize("wrap", [_OnlyArray, _OnlyDLPack, _OnAnotherDevice])
def test_what_offers_itself_as_an_array_is_taken_without_a_copy(wrap):
    values = np.arange(LARGE).reshape(100, -1)
    descriptor, (buffer,) = codecs.encode(wrap(values))
    assert np.shares_memory(np.frombuffer(buffer, np.uint8), values)
    assert arrays.difference(values, codecs.decode(descriptor, [buffer])) is None


@pytest.mark.parametrize("values", [np.ma.array([1]), np.array([1], object), np.ones(1, np.longdouble)])
def test_what_offers_an_array_that_cannot_travel_is_refused(values):
    check_refused(_OnlyArray(values), "conver")


def test_the_size_of_an_array_does_not_overflow():
    assert array.nbytes_of((2**62, 2**62), np.dtype("f8")) == 2**127
    assert array.nbytes_of([0, 2**62], np.dtype("f8")) == 0


@pytest.mark.parametrize("name", ["every third", "broadcast"])
def test_the_bytes_of_a_strided_array_cannot_be_viewed(name):
    with pytest.raises(ValueError, match="contiguous"):
        array.flat_bytes(arrays.SAMPLES[name]())


ARRAY = {"kind": "array", "dtype": "<f8", "shape": [2], "order": "C"}
STRINGS = {**ARRAY, "dtype": {"strings": "none", "coerce": True}}
OFFSETS = np.array([0, 1, 3], "<i8").tobytes()
DATA = bytes(16)
BOOLS = {**ARRAY, "dtype": "|b1"}
MASKED = {"kind": "masked", "data": ARRAY, "mask": BOOLS, "fill": None, "hard": False}


def _offsets(*values: int) -> bytes:
    return np.array(values, "<i8").tobytes()


@pytest.mark.parametrize(
    ("descriptor", "buffers"),
    [
        ({**ARRAY, "shape": [3]}, [DATA]),
        ({**ARRAY, "shape": [-2]}, [DATA]),
        ({**ARRAY, "shape": [True, 2]}, [DATA]),
        ({**ARRAY, "shape": [2.0]}, [DATA]),
        ({**ARRAY, "shape": 2}, [DATA]),
        ({**ARRAY, "shape": [2] + [1] * 64}, [DATA]),
        ({**ARRAY, "shape": [2**61]}, [DATA]),
        ({**ARRAY, "shape": [2**32, 2**32]}, [b""]),
        ({**ARRAY, "shape": [0, 2**62]}, [b""]),
        ({**ARRAY, "shape": [0, 2**40, 2**40]}, [b""]),
        ({**ARRAY, "dtype": "|V0", "shape": [2**62, 4]}, [b""]),
        ({**ARRAY, "order": "A"}, [DATA]),
        ({**ARRAY, "order": None}, [DATA]),
        ({**ARRAY, "dtype": "O"}, [DATA]),
        ({**ARRAY, "dtype": None}, [DATA]),
        ({"kind": "array", "dtype": "<f8", "order": "C"}, [DATA]),
        (ARRAY, []),
        (ARRAY, [DATA, b""]),
        (ARRAY, [DATA[:-1]]),
        (STRINGS, [b"", OFFSETS]),
        (STRINGS, [b"", OFFSETS, b"ab"]),
        (STRINGS, [b"", OFFSETS, b"abcd"]),
        (STRINGS, [b"", OFFSETS, b"a\xff\xff"]),
        (STRINGS, [b"", _offsets(0, 1, 3), "aö".encode()[:2] + b"x"]),
        (STRINGS, [b"", _offsets(1, 1, 3), b"abc"]),
        (STRINGS, [b"", _offsets(0, 4, 3), b"abc"]),
        (STRINGS, [b"", _offsets(0, -1, 3), b"abc"]),
        (STRINGS, [b"", _offsets(0, 3), b"abc"]),
        (STRINGS, [b"\x03\x00", OFFSETS, b"abc"]),
        ({**STRINGS, "dtype": {"strings": "unset", "coerce": True}}, [b"\x01", OFFSETS, b"abc"]),
        ({**STRINGS, "shape": [2**62]}, [b"", OFFSETS, b"abc"]),
        ({"kind": "scalar", "dtype": STRINGS["dtype"]}, [DATA]),
        ({"kind": "scalar", "dtype": "<f8"}, [DATA]),
        ({"kind": "scalar", "dtype": "<U1"}, [b"\xff\xff\xff\xff"]),
        ({"kind": "scalar"}, [DATA]),
        ({**MASKED, "data": {"kind": "scalar", "dtype": "<f8"}}, [DATA[:8], b"01"]),
        ({**MASKED, "mask": {**BOOLS, "shape": [1, 2]}}, [DATA, b"01"]),
        ({**MASKED, "mask": {**BOOLS, "dtype": "|i1"}}, [DATA, b"01"]),
        ({**MASKED, "mask": [BOOLS]}, [DATA, b"01"]),
        ({**MASKED, "fill": ARRAY}, [DATA, b"01", DATA]),
        (
            {**MASKED, "fill": {**ARRAY, "dtype": [["a", "<f8", []]], "shape": []}},
            [DATA, b"01", DATA[:8]],
        ),
        ({**MASKED, "hard": 1}, [DATA, b"01"]),
        ({**MASKED, "data": None}, [DATA, b"01"]),
    ],
)
def test_what_does_not_fit_together_is_a_wire_error(descriptor, buffers):
    with pytest.raises(WireError):
        codecs.decode(descriptor, buffers)


U3 = [["n", "|i1", []], ["t", "<U3", []]]
BEYOND = {"<": b"\x00\x00\x11\x00", ">": b"\x00\x11\x00\x00"}


@pytest.mark.parametrize(
    "dtype",
    [
        "<U2",
        ">U2",
        U3,
        [["t", ">U3", []]],
        [["n", "<i8", []], ["t", "<U1", [2, 2]]],
        [["outer", [["inner", U3, [2]], ["n", "|i1", []]], [3]]],
        [["n", "|V0", []], ["e", "<U0", []], ["z", "<U1", [0, 3]], ["t", "<U1", []]],
        {"fields": [["t", "<U1", [], 8, "title"]], "itemsize": 17, "align": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["array", "scalar", "masked", "fill"])
def test_text_beyond_unicode_is_refused_wherever_it_stands(dtype, kind):
    item = from_wire(dtype)
    order = ">" if ">" in str(dtype) else "<"
    # The last character of the last text of an item.
    end = item.itemsize if item.itemsize != 17 else 12
    end -= 1 if "inner" in str(dtype) else 0  # the field behind it
    bad = bytes(end - 4) + BEYOND[order] + bytes(item.itemsize - end)
    last = np.array(0x10FFFF, f"{order}u4").tobytes()
    largest = bytes(end - 4) + last + bytes(item.itemsize - end)
    one = {**ARRAY, "dtype": dtype, "shape": [], "order": "C"}
    two = {**one, "shape": [2]}
    whole = {"kind": "masked", "data": two, "mask": None, "fill": one, "hard": False}
    bodies = {
        "array": (two, [bytes(item.itemsize) + bad], [bytes(item.itemsize) + largest]),
        "scalar": ({"kind": "scalar", "dtype": dtype}, [bad], [largest]),
        "masked": ({**whole, "fill": None}, [bad + bad], [largest + largest]),
        "fill": (whole, [bytes(2 * item.itemsize), bad], [bytes(2 * item.itemsize), largest]),
    }
    descriptor, refused, taken = bodies[kind]
    codecs.decode(descriptor, taken)
    with pytest.raises(WireError, match=r"Unicode|no character"):
        codecs.decode(descriptor, refused)


def test_a_claim_costs_no_memory():
    for dtype in ("<f8", "|V2147483647", STRINGS["dtype"], [["x", "|i1", [2**30]]]):
        with pytest.raises(WireError):
            codecs.decode({**ARRAY, "dtype": dtype, "shape": [2**31]}, [b"", b"", b""])


def test_a_subclass_of_a_scalar_is_refused():
    class Celsius(np.float64):
        pass

    with pytest.raises(EncodeError, match=r"x\.dtype\.type\(x\)"):
        codecs.encode(Celsius(3))
