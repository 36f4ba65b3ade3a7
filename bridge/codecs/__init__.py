"""Objects to descriptor and buffers, and back.

A **descriptor** is a small JSON object with a ``kind``; **buffers** are raw bytes. A codec is a module
with two functions::

    encode(obj, buffers) -> descriptor    appends the object's bytes to the list `buffers`
    decode(descriptor, reader) -> obj     takes its buffers from `reader`, in the same order

`CODECS` is the table of them. A codec that holds other objects (a frame its index, a dict its
values) calls `encode_into` and `decode_from` of this module for each, so descriptors nest and the
buffers of all lie in one list, in the order in which they were encoded.

What an encoder promises: no copy of contiguous data and at most one of any other; the decoded object
is identical to the encoded one, or `EncodeError` is raised before anything is sent. What a decoder
promises: whatever the descriptor and the buffers hold, it returns an object that is writable, aligned
and owned by the caller, or raises `WireError`; sizes are checked before memory is taken; no text of
the peer reaches a parser of numpy, pandas or Python.

The libraries behind the kinds (pandas, pyarrow, scipy) are imported when the first object of that
kind is met, not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from functools import cache
from itertools import accumulate
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from bridge.codecs import strict_json
from bridge.codecs.weight import Weight
from bridge.errors import BridgeError, EncodeError, WireError, remote_error

__all__ = [
    "CODECS",
    "Allocate",
    "Buffer",
    "BufferReader",
    "Buffers",
    "Descriptor",
    "Encoded",
    "allocate",
    "count",
    "decode",
    "decode_from",
    "encode",
    "encode_into",
    "field",
]

Descriptor: TypeAlias = dict[str, Any]
# Flat, C-contiguous, one byte an item (format "B").
Buffer: TypeAlias = memoryview
# Makes room for an object, as `allocate` does: from its descriptor and the lengths of its buffers.
Allocate: TypeAlias = Callable[[Any, Sequence[int]], list[Buffer]]

# The kinds whose buffers are pieces of one stream of bytes. No set: what a peer sent in the place of a kind
# may have no hash.
JOINED = ("table", "batch")

# Descriptors inside descriptors. A frame whose cells hold frames is 4 deep; the JSON parser's own
# limit is wider, and Python's recursion limit wider still.
MAX_NESTING = 32

# Every dtype on the wire is content with this alignment, and so is every Arrow type.
ALIGNMENT = 8

# Where room is made for a buffer: a line of the processor's cache, which jax asks for to take an array as it
# lies, and Arrow recommends.
PLACED = 64

# Below this a received buffer is copied into memory of its own: a small ZeroMQ frame is a slice of a
# receive buffer that the view would keep alive whole.
COPY_BELOW = 64 * 1024


class Codec(NamedTuple):
    """A row of the table: which kinds a module decodes, and the objects of which packages it encodes."""

    kinds: tuple[str, ...]
    module: str
    packages: tuple[str, ...]


class Encoded(NamedTuple):
    """An object as it travels: its descriptor, and its buffers in order.

    A buffer is a `Buffer`, or anything else with a length in bytes of which a slice gives the bytes
    of that range: a range of a file, which is read when it is sent.
    """

    descriptor: Descriptor
    buffers: Sequence[Any]


CODECS = (
    Codec(("array", "scalar", "masked"), "array", ("numpy",)),
    Codec(("frame", "series", "index", "extension", "pandas-scalar"), "frame", ("pandas",)),
    Codec(("table", "batch", "arrow-chunked", "arrow-array"), "table", ("pyarrow",)),
    Codec(("sparse",), "sparse", ("scipy",)),
    Codec(("tree",), "tree", ("builtins", "datetime", "decimal", "uuid", "zoneinfo", "_decimal")),
)

_BY_KIND = {kind: codec for codec in CODECS for kind in codec.kinds}
_BY_PACKAGE = {package: codec for codec in CODECS for package in codec.packages}


class Buffers(list[Buffer]):
    """The buffers of one message that is being made, and what it stands for beyond them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Weight()

    def check(self) -> None:
        """Raise `EncodeError` if the message stands for more than the other side takes."""
        if fault := self.weight.fault(sum(map(len, self))):
            raise EncodeError(f"this object has {fault}; send it in parts")


class BufferReader:
    """The buffers of one message: each is taken once, in order.

    Parameters
    ----------
    buffers
        Bytes-like objects. They are handed on as views where they are large, writable and aligned;
        else as copies.

    Attributes
    ----------
    kinds
        Of the objects that may be made of them from now on; None: all.
    """

    def __init__(self, buffers: Sequence[Any]) -> None:
        self._buffers = buffers
        self._next = 0
        self._depth = 0
        self._weight = Weight()
        self.kinds: Collection[str] | None = None

    @property
    def nbytes(self) -> int:
        """Of all buffers, taken or not."""
        return sum(memoryview(buffer).nbytes for buffer in self._buffers)

    def count(self, what: str, count: int) -> None:
        """Count what the message stands for beyond its bytes, before memory is taken for it.

        Raises
        ------
        WireError
            If it is more than `weight.LIMITS` allow.
        """
        if count:
            self._weight.add(what, count)
            # All buffers are looked at only where it is too much for none.
            if self._weight.fault(0) and (fault := self._weight.fault(self.nbytes)):
                raise WireError(f"the object has {fault}", code="too_large")

    def take(self, nbytes: int | None = None) -> Buffer:
        """Return the next buffer.

        Parameters
        ----------
        nbytes
            How many bytes the descriptor says it has; None where any number will do.

        Returns
        -------
        memoryview
            Flat, format "B", writable, aligned to `ALIGNMENT` bytes.

        Raises
        ------
        WireError
            If there is no further buffer, or its length is another.
        """
        if self._next >= len(self._buffers):
            raise WireError(f"the descriptor needs more than the {self._next} buffers that came")
        view = memoryview(self._buffers[self._next])
        if view.ndim != 1 or view.format != "B":
            view = view.cast("B")
        if nbytes is not None and view.nbytes != nbytes:
            raise WireError(f"buffer {self._next} has {view.nbytes} bytes; its descriptor says {nbytes}")
        self._next += 1
        if view.nbytes < COPY_BELOW or view.readonly or not _is_aligned(view):
            return _copy(view)
        return view

    def take_json(self) -> Any:
        """Return the value of the next buffer, which is JSON text.

        Raises
        ------
        WireError
            If it is not, or holds too many values.
        """
        text = bytes(self.take())
        self.count("values", strict_json.values_in(text))
        return strict_json.loads(text)

    def take_raw(self, count: int) -> list[Buffer]:
        """Return the next `count` buffers as they came: not copied, perhaps read-only or unaligned.

        Raises
        ------
        WireError
            If there are fewer.
        """
        left = len(self._buffers) - self._next
        if not 0 <= count <= left:
            raise WireError(f"the descriptor needs {count} more buffers; {left} are left")
        taken = [memoryview(b).cast("B") for b in self._buffers[self._next : self._next + count]]
        self._next += count
        return taken

    def finish(self) -> None:
        """Raise `WireError` if any buffer was not taken."""
        left = len(self._buffers) - self._next
        if left:
            raise WireError(f"{left} buffers are left over; the descriptor does not use them")


def encode(obj: Any) -> Encoded:
    """Turn an object into its descriptor and its buffers.

    Returns
    -------
    Encoded
        The descriptor, and views of the object's own memory where that is contiguous.

    Raises
    ------
    EncodeError
        If the object cannot travel exactly.
    """
    buffers = Buffers()
    try:
        descriptor = encode_into(obj, buffers)
    except RecursionError:
        raise EncodeError(
            f"this {type(obj).__name__} is nested too deeply, or contains itself; send it in parts"
        ) from None
    buffers.check()
    return Encoded(descriptor, buffers)


def count(buffers: list[Buffer], what: str, number: int) -> None:
    """Count what the message of these buffers stands for beyond its bytes: one of `weight.LIMITS`."""
    if isinstance(buffers, Buffers):
        buffers.weight.add(what, number)


def encode_into(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Like `encode`, with the buffers appended to a list that may hold others already."""
    codec = _codec_for(type(obj))
    if codec is not None:
        module = _module(codec)
    elif type(obj).__module__.partition(".")[0] == "xarray":
        raise EncodeError(
            f"{_full_name(type(obj))} has labels, which would be lost; assign a Dataset or DataArray to a name "
            "of a server, or send obj.values, or obj.to_dict(data='array')"
        )
    elif hasattr(obj, "__arrow_c_stream__"):
        module = _module(_BY_KIND["table"])
    elif hasattr(obj, "__dlpack__") or hasattr(obj, "__array__"):
        module = _module(_BY_KIND["array"])
    else:
        raise EncodeError(
            f"{_full_name(type(obj))} cannot be sent; send arrays, DataFrames, Arrow tables, or dicts "
            "and lists of them, for example dataclasses.asdict(obj)"
        )
    descriptor: Descriptor = module.encode(obj, buffers)
    return descriptor


def decode(descriptor: Any, buffers: Sequence[Any]) -> Any:
    """Rebuild the object from its descriptor and all of its buffers.

    Raises
    ------
    WireError
        If they do not fit each other, or break a rule of the format.
    RemoteError
        ``too_large`` if this computer has no memory for the object; also a `MemoryError`.
    """
    reader = BufferReader(buffers)
    try:
        obj = decode_from(descriptor, reader)
    except MemoryError as exc:
        raise _no_memory(f"{reader.nbytes} bytes came, and there is no memory to rebuild them") from exc
    except RecursionError:
        raise WireError("objects are nested in objects too deeply; Python cannot hold them") from None
    reader.finish()
    return obj


def allocate(descriptor: Any, lengths: Sequence[int]) -> list[Buffer]:
    """Make room for the buffers of an object that is to be received.

    Parameters
    ----------
    descriptor
        The object's.
    lengths
        Of its buffers, in bytes.

    Returns
    -------
    list of memoryview
        One writable destination for each buffer, at a multiple of `PLACED`. Those of an Arrow table lie
        end to end in one piece of memory, so that it can be decoded where it lies.

    Raises
    ------
    RemoteError
        ``too_large`` if this computer has no memory for it; also a `MemoryError`.
    """
    try:
        if isinstance(descriptor, dict) and descriptor.get("kind") in JOINED:
            region = _room(sum(lengths))
            ends = list(accumulate(lengths))
            return [region[end - n : end] for n, end in zip(lengths, ends, strict=True)]
        return [_room(n) for n in lengths]
    except MemoryError as exc:
        raise _no_memory(f"{sum(lengths)} bytes are to come, and there is no memory for them") from exc


def decode_from(descriptor: Any, reader: BufferReader) -> Any:
    """Like `decode`, for an object whose buffers are some of the reader's."""
    kind = field(descriptor, "kind", str)
    codec = _BY_KIND.get(kind)
    if codec is None:
        raise WireError(
            f"unknown kind {kind[:40]!r}; this version knows {', '.join(_BY_KIND)}", code="unsupported"
        )
    if reader.kinds is not None and kind not in reader.kinds:
        raise WireError(
            f"an object of the kind {kind!r} has no place here; only {', '.join(reader.kinds)}"
        )
    reader._depth += 1
    if reader._depth > MAX_NESTING:
        raise WireError(f"descriptors are nested more than {MAX_NESTING} deep")
    obj = _module(codec).decode(descriptor, reader)
    reader._depth -= 1
    return obj


def field(descriptor: Any, key: str, *types: type) -> Any:
    """Return one field of a descriptor, checked.

    Parameters
    ----------
    descriptor
        What the peer sent in the place of a JSON object.
    key
        The field, which must be there.
    types
        The exact types that it may have: True is not an int here. None stands for null as
        ``type(None)``.

    Raises
    ------
    WireError
        If `descriptor` is not an object, or the field is missing or of another type.
    """
    if type(descriptor) is not dict:
        raise WireError(f"expected a JSON object with {key!r}, not {type(descriptor).__name__}")
    if key not in descriptor:
        raise WireError(f"the descriptor has no {key!r}")
    value = descriptor[key]
    if type(value) not in types:
        expected = " or ".join(t.__name__ for t in types)
        raise WireError(f"{key!r} is {str(value)[:40]!r}; expected {expected}")
    return value


def _no_memory(what: str) -> BridgeError:
    return remote_error("too_large", f"{what} here; take a part at a time", "MemoryError")


def _codec_for(cls: type) -> Codec | None:
    # The first class with a known package decides, so a subclass of a DataFrame meets the frame codec,
    # which refuses it, and is not taken for something that merely has `__array__`.
    for base in cls.__mro__:
        if base is not object:
            codec = _BY_PACKAGE.get(base.__module__.partition(".")[0])
            if codec is not None:
                return codec
    return None


@cache
def _module(codec: Codec) -> ModuleType:
    return importlib.import_module(f"bridge.codecs.{codec.module}")


def _full_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _is_aligned(view: memoryview) -> bool:
    address: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return address % ALIGNMENT == 0


def _room(nbytes: int) -> Buffer:
    room = np.empty(nbytes + PLACED - 1, np.uint8)
    start = -room.ctypes.data % PLACED
    return room[start : start + nbytes].data


def _copy(view: memoryview) -> memoryview:
    copy = np.empty(view.nbytes, np.uint8)
    copy[:] = np.frombuffer(view, np.uint8)
    return copy.data
