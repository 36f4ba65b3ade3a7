"""numpy arrays, scalars and masked arrays.

::

    {"kind": "array", "dtype": …, "shape": [2, 3], "order": "C" | "F"}
        1 buffer: the items in that order. Of a StringDType 3 buffers, as in Arrow's large_string:
        a bit for each item, 0 where it is missing (no bytes if none is), n + 1 offsets "<i8", text.
    {"kind": "scalar", "dtype": …}
        1 buffer: one item.
    {"kind": "masked", "data": array, "mask": array | null, "fill": array | null, "hard": bool}
        The buffers of the three. The mask has the shape of the data and a bool for each plain item.
        Null stands for `numpy.ma.nomask`, and for a fill value that was never set.
    {"kind": "masked", "data": null}
        No buffers: the constant `numpy.ma.masked`.

The dtypes are those of `bridge.codecs.dtypes`. An array that is contiguous in neither order is
copied once and comes back in C order. Items are not looked at: a bool may be any byte, as in memory. Only
numpy's fixed-width text is, wherever it stands in a dtype: `decode` refuses what is beyond Unicode.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np

from bridge.codecs import Buffer, BufferReader, Descriptor, count, field
from bridge.codecs.dtypes import MAX_LENGTH, Wire, decode_shape, from_wire, raw_from_wire, to_wire
from bridge.codecs.weight import items_without_bytes
from bridge.errors import EncodeError, WireError

__all__ = ["array_from", "decode", "decode_shape", "encode", "flat_bytes", "nbytes_of"]

_Array: TypeAlias = "np.ndarray[Any, Any]"

MAX_CODE_POINT = 0x10FFFF

# Of numpy's strings, so many become Python's at a time.
LISTED = 64 * 1024

# A memmap is a plain array in other memory, and its users expect it to travel. Any other subclass
# means something, which would be lost.
_PLAIN_CLASSES = (np.ndarray, np.memmap)

# What to send instead; the first class that fits.
_ALTERNATIVES: dict[type, str] = {
    np.ma.MaskedArray: "x.filled()",
    np.recarray: "np.asarray(x).view((np.void, x.dtype))",
    np.ndarray: "np.asarray(x)",
}


def encode(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Encode an array, a scalar or a masked array of numpy, or what offers itself as an array.

    Parameters
    ----------
    obj
        Objects of other packages are taken by ``__dlpack__``, without a copy, or by ``__array__``.
    buffers
        The list to append to: views of contiguous arrays, one copy of any other.

    Raises
    ------
    EncodeError
        For dtypes that cannot travel, and for subclasses, whose class would be lost.
    """
    if type(obj) in _PLAIN_CLASSES:
        return _encode_array(obj, buffers)
    if isinstance(obj, np.generic):
        return _encode_scalar(obj, buffers)
    if obj is np.ma.masked:
        return {"kind": "masked", "data": None}
    if type(obj) is np.ma.MaskedArray:
        return _encode_masked(obj, buffers)
    return _encode_array(_as_array(obj), buffers)


def decode(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild what `encode` took.

    Returns
    -------
    numpy.ndarray, numpy.generic or numpy.ma.MaskedArray
        Writable and aligned, in the memory of the reader's buffers where they are large.

    Raises
    ------
    WireError
        If the descriptor and the buffers break a rule of this module.
    """
    return _DECODERS[descriptor["kind"]](descriptor, reader)


def array_from(descriptor: Any, reader: BufferReader) -> _Array:
    """Decode a descriptor inside another one, where only an array will do."""
    if field(descriptor, "kind", str) != "array":
        raise WireError(f"the kind is {descriptor['kind'][:40]!r}; only an array will do here")
    return _decode_array(descriptor, reader)


def nbytes_of(shape: tuple[int, ...] | list[int], dtype: np.dtype[Any]) -> int:
    """Return the size in bytes of an array, in Python's integers, which do not overflow."""
    return prod(shape) * dtype.itemsize


def flat_bytes(array: _Array) -> Buffer:
    """Return the bytes of a contiguous array, in the order in which they lie in memory.

    Parameters
    ----------
    array
        C- or F-contiguous, of any shape and any dtype but object and StringDType: also 0-d, empty,
        read-only, and datetime64, which has no buffer interface of its own.

    Returns
    -------
    memoryview
        A view, never a copy: flat, format "B", read-only where `array` is.

    Raises
    ------
    ValueError
        If `array` is not contiguous.
    """
    if array.nbytes == 0:
        return memoryview(b"")
    if not array.flags.forc:
        raise ValueError("only the bytes of a contiguous array can be viewed")
    return array.ravel(order="K").view(np.uint8).data


def _encode_array(array: _Array, buffers: list[Buffer]) -> Descriptor:
    wire = to_wire(array.dtype)
    order: Any = "F" if array.flags.fnc else "C"
    count(buffers, "free", items_without_bytes(array.shape, array.dtype))
    if isinstance(array.dtype, np.dtypes.StringDType):
        buffers += _string_buffers(array.ravel(order=order))
    else:
        contiguous = array if array.flags.forc else np.array(array, order="C")
        buffers.append(flat_bytes(contiguous))
    return {"kind": "array", "dtype": wire, "shape": list(array.shape), "order": order}


def _decode_array(descriptor: Descriptor, reader: BufferReader) -> _Array:
    dtype = from_wire(field(descriptor, "dtype", str, list, dict))
    shape = decode_shape(field(descriptor, "shape", list))
    order = field(descriptor, "order", str)
    if order not in ("C", "F"):
        raise WireError(f"'order' is {order[:40]!r}; expected 'C' or 'F'")
    # numpy counts like this, also where an array is empty.
    if prod(length or 1 for length in shape) * max(dtype.itemsize, 1) > MAX_LENGTH:
        raise WireError(f"an array of {dtype} and the shape {shape} is larger than numpy allows")
    reader.count("free", items_without_bytes(shape, dtype))
    if isinstance(dtype, np.dtypes.StringDType):
        return _take_strings(dtype, prod(shape), reader).reshape(shape, order=order)
    data = reader.take(nbytes_of(shape, dtype))
    _check_text(dtype, data)
    return np.ndarray(shape, dtype, data, order=order)


def _check_text(dtype: np.dtype[Any], data: Buffer) -> None:
    """Refuse code points beyond Unicode in items of a dtype, and in their fields.

    numpy hands them to Python, where they make strings that cannot be, or a SystemError.
    """
    if dtype.kind not in "UV" or not len(data):
        return
    for order, offset, axes in _text_in(dtype, 0, ((len(data) // dtype.itemsize, dtype.itemsize),)):
        lengths, strides = zip(*axes, strict=True)
        points = np.ndarray(lengths, np.dtype(np.uint32).newbyteorder(order), data, offset, strides)
        if (largest := int(points.max(initial=0))) > MAX_CODE_POINT:
            raise WireError(f"the text holds {largest:#x}, which is no character")


_Axes: TypeAlias = tuple[tuple[int, int], ...]


def _text_in(dtype: np.dtype[Any], offset: int, axes: _Axes) -> Iterator[tuple[Any, int, _Axes]]:
    """Yield where the code points lie: their byte order, the offset of the first, and (length, stride)s."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        # One axis for all of a sub-array's: they may be as many as numpy has.
        if length := prod(shape):
            yield from _text_in(base, offset, (*axes, (length, base.itemsize)))
    elif dtype.names is not None:
        for name in dtype.names:
            part, start = dtype.fields[name][:2]  # type: ignore[index]
            yield from _text_in(part, offset + start, axes)
    elif dtype.kind == "U" and dtype.itemsize:
        yield dtype.byteorder, offset, (*axes, (dtype.itemsize // 4, 4))


def _string_buffers(items: _Array) -> list[Buffer]:
    # Some at a time: no other thread runs while numpy makes a list.
    parts = (items[start : start + LISTED].tolist() for start in range(0, items.size, LISTED))
    texts = [item.encode() if type(item) is str else None for part in parts for item in part]
    offsets = np.zeros(len(texts) + 1, "<i8")
    np.cumsum([len(text or b"") for text in texts], out=offsets[1:])
    present = np.array([text is not None for text in texts], bool)
    bits = b"" if present.all() else np.packbits(present, bitorder="little").data
    return [memoryview(bits), flat_bytes(offsets), memoryview(b"".join(filter(None, texts)))]


def _take_strings(dtype: np.dtypes.StringDType, length: int, reader: BufferReader) -> _Array:
    bits = reader.take()
    offsets = np.ndarray(length + 1, "<i8", reader.take((length + 1) * 8))
    data = reader.take()
    if bits.nbytes not in (0, (length + 7) // 8):
        raise WireError(f"{bits.nbytes} bytes of bits say which of {length} strings are missing")
    if offsets[0] != 0 or offsets[-1] != data.nbytes or (offsets[1:] < offsets[:-1]).any():
        raise WireError(f"the offsets of the strings do not rise from 0 to {data.nbytes}")
    try:
        items: list[Any] = [str(data[start:end], "utf-8") for start, end in pairwise(offsets.tolist())]
    except UnicodeDecodeError as exc:
        raise WireError(f"a string is not UTF-8: {exc.reason}") from exc
    if bits.nbytes:
        if not hasattr(dtype, "na_object"):
            raise WireError("strings are missing, but their dtype has no na_object")
        present = np.unpackbits(np.frombuffer(bits, np.uint8), count=length, bitorder="little")
        for i in np.flatnonzero(present == 0).tolist():
            items[i] = dtype.na_object
    return np.array(items, dtype)


def _encode_scalar(scalar: np.generic, buffers: list[Buffer]) -> Descriptor:
    # An array drops the NULs at the end of a text, and makes an empty one a character wide.
    wire: Wire
    if type(scalar) is np.str_:
        wire, data = f"<U{len(scalar)}", scalar.encode("utf-32-le", "surrogatepass")
    elif type(scalar) is np.bytes_:
        wire, data = f"|S{len(scalar)}", bytes(scalar)
    elif type(scalar) is scalar.dtype.type:
        wire, data = to_wire(scalar.dtype), scalar.tobytes()
    else:
        raise _loses_its_class(scalar, "x.dtype.type(x)")
    count(buffers, "free", items_without_bytes((), scalar.dtype))
    buffers.append(memoryview(data))
    return {"kind": "scalar", "dtype": wire}


def _decode_scalar(descriptor: Descriptor, reader: BufferReader) -> Any:
    dtype = raw_from_wire(field(descriptor, "dtype", str, list, dict))
    reader.count("free", items_without_bytes((), dtype))
    data = reader.take(dtype.itemsize)
    if dtype.kind == "S":
        return np.bytes_(data)
    if dtype.kind == "U":
        try:
            return np.str_(str(data, _UTF32[dtype.str[0]], "surrogatepass"))
        except UnicodeDecodeError as exc:
            raise WireError(f"a scalar of {dtype} is not Unicode: {exc.reason}") from exc
    _check_text(dtype, data)
    return np.ndarray((), dtype, data)[()]


def _encode_masked(masked: Any, buffers: list[Buffer]) -> Descriptor:
    if masked.baseclass not in _PLAIN_CLASSES:
        raise EncodeError(
            f"the data of a masked array would lose its class {masked.baseclass.__name__}; "
            "send np.ma.array(np.asarray(x.data), mask=x.mask)"
        )
    data, mask = masked.view(np.ndarray), np.ma.getmask(masked)
    # `fill_value` would set the default where none is set, and with it what a later astype() does.
    parts = {"mask": None if mask is np.ma.nomask else mask, "fill": masked._fill_value}
    if fault := _masked_fault(data, **parts):
        raise EncodeError(f"{fault}; set x.fill_value to one value")
    return {
        "kind": "masked",
        "data": _encode_array(data, buffers),
        **{key: part if part is None else _encode_array(part, buffers) for key, part in parts.items()},
        "hard": bool(masked.hardmask),
    }


def _decode_masked(descriptor: Descriptor, reader: BufferReader) -> Any:
    if field(descriptor, "data", dict, type(None)) is None:
        return np.ma.masked
    data = array_from(descriptor["data"], reader)
    mask, fill = (
        part if part is None else array_from(part, reader)
        for part in (field(descriptor, key, dict, type(None)) for key in ("mask", "fill"))
    )
    if fault := _masked_fault(data, mask, fill):
        raise WireError(fault)
    masked: Any = np.ma.MaskedArray(
        data, np.ma.nomask if mask is None else mask, hard_mask=field(descriptor, "hard", bool)
    )
    masked._fill_value = fill
    return masked


def _masked_fault(data: _Array, mask: _Array | None, fill: _Array | None) -> str:
    if mask is not None and (
        mask.shape != data.shape or mask.dtype != np.ma.make_mask_descr(data.dtype)
    ):
        return f"a mask of {mask.dtype} and shape {mask.shape} does not fit the data"
    # numpy itself keeps fill values of other plain dtypes: 'N/A' for strings of one character.
    if fill is not None and (
        fill.ndim or (fill.dtype != data.dtype and (fill.dtype.names or data.dtype.names))
    ):
        return f"a fill value of {fill.dtype} and shape {fill.shape} does not fit {data.dtype}"
    return ""


def _as_array(obj: Any) -> _Array:
    for cls, alternative in _ALTERNATIVES.items():
        if isinstance(obj, cls):
            raise _loses_its_class(obj, alternative)
    if type(obj).__module__.partition(".")[0] == "numpy":
        raise _loses_its_class(obj, "what it holds, as arrays and numbers")
    try:
        array = _from_dlpack(obj) if hasattr(obj, "__dlpack__") else np.asanyarray(obj)
    except Exception as exc:  # of whatever class another package raises
        raise EncodeError(
            f"numpy cannot take {_name(obj)} as an array: {exc}; convert it to numpy first"
        ) from exc
    # `asarray` would strip a mask, or a unit, without a word.
    if type(array) not in _PLAIN_CLASSES:
        raise _loses_its_class(array, "what np.asanyarray(x) gives, converted to a plain array")
    return array


def _from_dlpack(obj: Any) -> _Array:
    try:
        return np.from_dlpack(obj)
    except Exception:  # a device, a dtype or a flag that DLPack does not carry to numpy
        return np.asanyarray(obj)


def _loses_its_class(obj: Any, alternative: str) -> EncodeError:
    return EncodeError(f"{_name(obj)} would lose its class; send {alternative}")


def _name(obj: Any) -> str:
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


_UTF32 = {"<": "utf-32-le", ">": "utf-32-be"}
_DECODERS = {"array": _decode_array, "scalar": _decode_scalar, "masked": _decode_masked}
