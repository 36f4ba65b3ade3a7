"""The formats that are compared: each a pair (encode, decode) in one table, everything else the same.

``encode(obj)`` gives the frames of one ZeroMQ message, ``decode(frames)`` gets them as memoryviews and gives
the object. A literal REQ and a literal REP send all with ``send_multipart(frames, copy=False)`` and receive
with ``recv_multipart(copy=False)``. What `zmq.Socket.send_json` and `zmq.Socket.send_pyobj` do beyond that is
in ``json`` and ``pickle``.

This is the only module that unpickles, and by an unpickler that knows nothing but what payloads are made of: a
pickle that names anything else is refused when it names it. That keeps foreign code out. It does not make
foreign bytes safe: a pickle can still describe an array that takes all memory.

Arrow's reader believes what a stream says of itself, and follows it out of its memory. So a stream is checked
before it is decoded, as zbridge checks its own. People who trust each other do not do this: it is not timed. Of
several clients that push, one waits while what another sent is checked.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.lib import format as npy
from zmq.utils import jsonapi

from bridge import codecs
from bridge.codecs import dtypes, ipc, strict_json
from bridge.errors import WireError

__all__ = ["FORMATS", "Format"]

Frames: TypeAlias = Sequence[Any]

# What the reader of a pickle looks ahead; as much as pickle itself does.
READ_AHEAD: Final = 128 * 1024

# All that numpy 2 and pandas 3 name in the pickles of the payloads. Each is data, or makes data.
PICKLED: Final = frozenset(
    {
        ("builtins", "slice"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.numeric", "_frombuffer"),
        ("pandas", "BooleanDtype"),
        ("pandas", "Categorical"),
        ("pandas", "CategoricalDtype"),
        ("pandas", "DataFrame"),
        ("pandas", "DatetimeIndex"),
        ("pandas", "Float64Dtype"),
        ("pandas", "Index"),
        ("pandas", "Int64Dtype"),
        ("pandas", "MultiIndex"),
        ("pandas", "RangeIndex"),
        ("pandas", "StringDtype"),
        ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
        ("pandas._libs.internals", "_unpickle_block"),
        ("pandas._libs.tslibs.offsets", "Milli"),
        ("pandas.arrays", "ArrowStringArray"),
        ("pandas.arrays", "BooleanArray"),
        ("pandas.arrays", "DatetimeArray"),
        ("pandas.arrays", "FloatingArray"),
        ("pandas.arrays", "IntegerArray"),
        ("pandas.core.indexes.base", "_new_Index"),
        ("pandas.core.indexes.datetimes", "_new_DatetimeIndex"),
        ("pandas.core.internals.managers", "BlockManager"),
        ("pyarrow.lib", "_restore_array"),
        ("pyarrow.lib", "py_buffer"),
        ("pyarrow.lib", "type_for_alias"),
    }
)


# ── the functions ─────────────────────────────────────────────────────────────────────────────────


def _to_json(obj: Any) -> Frames:
    if isinstance(obj, pd.DataFrame):
        return [obj.to_json(orient="table").encode()]
    # As people send arrays in JSON, and as send_json does it.
    return [
        jsonapi.dumps(
            {"dtype": dtypes.to_wire(obj.dtype), "shape": list(obj.shape), "data": obj.tolist()}
        )
    ]


def _frame_from_json(frames: Frames) -> Any:
    return pd.read_json(io.BytesIO(frames[0]), orient="table")


def _array_from_json(frames: Frames) -> Any:
    message: Any = jsonapi.loads(bytes(frames[0]))
    return np.array(message["data"], dtypes.from_wire(message["dtype"])).reshape(message["shape"])


def _from_json(frames: Frames) -> Any:
    # pandas writes its schema first.
    is_frame = bytes(frames[0][:10]).startswith(b'{"schema"')
    return _frame_from_json(frames) if is_frame else _array_from_json(frames)


def _to_pickle(obj: Any) -> Frames:
    return [pickle.dumps(obj, protocol=5)]


def _to_pickle_oob(obj: Any) -> Frames:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    return [head, *(buffer.raw() for buffer in buffers)]


def _from_pickle(frames: Frames) -> Any:
    head, *buffers = frames
    return _Unpickler(io.BufferedReader(_Bytes(head), READ_AHEAD), buffers=buffers).load()


def _to_raw(obj: Any) -> Frames:
    descriptor, buffers = codecs.encode(obj)
    return [strict_json.dumps(descriptor), *buffers]


def _from_raw(frames: Frames) -> Any:
    head, *buffers = frames
    return codecs.decode(strict_json.loads(head), buffers)


def _to_arrow(obj: Any) -> Frames:
    table = pa.Table.from_pandas(obj)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return [sink.getvalue()]


def _check_arrow(frames: Frames) -> None:
    reader = codecs.BufferReader(frames[:1])
    ipc.read_stream(reader.take_raw(1), reader.count)


def _from_arrow(frames: Frames) -> Any:
    return pa.ipc.open_stream(pa.py_buffer(frames[0])).read_all().to_pandas()


def _to_npy(obj: Any) -> Frames:
    file = io.BytesIO()
    npy.write_array(file, obj, allow_pickle=False)
    return [file.getbuffer()]


def _from_npy(frames: Frames) -> Any:
    return npy.read_array(io.BytesIO(frames[0]), allow_pickle=False)


def _to_one_frame(obj: Any) -> Frames:
    return [obj]


def _from_one_frame(frames: Frames) -> Any:
    return np.frombuffer(frames[0], np.uint8)


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


class Checked(NamedTuple):
    """Seconds that checking took, on the clock and of the CPU: no part of a transfer."""

    seconds: float
    cpu: float


class Format(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    text
        What it does, for people.
    encode, decode
        An object to the frames of a message, and back; None where the lane does more than carry them.
    carries
        What it can carry: ``array``, ``frame``.
    lane
        What moves it: ``rep``, a REQ and a REP; ``tcp``, a plain socket; ``bridge``, a Client and a Server.
    is_baseline
        Whether it carries as many bytes as the payload has, not the payload.
    unpickles
        Whether decoding is safe from a trusted peer only.
    check
        Raises for frames that harm whoever decodes them; None where decoding itself does.
    """

    text: str
    encode: Callable[[Any], Frames] | None = None
    decode: Callable[[Frames], Any] | None = None
    carries: tuple[str, ...] = ("array", "frame")
    lane: str = "rep"
    is_baseline: bool = False
    unpickles: bool = False
    check: Callable[[Frames], None] | None = None

    def encoded(self, obj: Any) -> Frames:
        """Return the frames of an object."""
        if self.encode is None:
            raise TypeError(f"no message carries this: {self.text}")
        return self.encode(obj)

    def checked(self, frames: Frames) -> Checked:
        """Check what a peer sent, before it is decoded; return what that took.

        Raises
        ------
        WireError
            If it must not be decoded.
        """
        if self.check is None:
            return Checked(0.0, 0.0)
        seconds, cpu = time.perf_counter(), time.thread_time()
        self.check(frames)
        return Checked(time.perf_counter() - seconds, time.thread_time() - cpu)

    def decoded(self, frames: Frames) -> Any:
        """Return the object of some frames, which were `checked`."""
        if self.decode is None:
            raise TypeError(f"no message carries this: {self.text}")
        return self.decode(frames)


FORMATS: Final = {
    "json": Format("tolist() with dtype and shape, or to_json(orient='table')", _to_json, _from_json),
    "pickle": Format("protocol 5 in band, as send_pyobj does", _to_pickle, _from_pickle, unpickles=True),
    "pickle-oob": Format(
        "protocol 5, buffers as frames: the fair rival of raw",
        _to_pickle_oob,
        _from_pickle,
        unpickles=True,
    ),
    "raw": Format("the descriptor and buffers of zbridge in one message", _to_raw, _from_raw),
    "bridge": Format("zbridge itself: windows into the result's memory", lane="bridge"),
    "arrow": Format(
        "an Arrow IPC stream", _to_arrow, _from_arrow, carries=("frame",), check=_check_arrow
    ),
    "npy": Format("what numpy.save writes", _to_npy, _from_npy, carries=("array",)),
    "tcp": Format(
        "as many bytes over a plain socket into memory that is there", lane="tcp", is_baseline=True
    ),
    "zmq": Format("as many bytes as one frame", _to_one_frame, _from_one_frame, is_baseline=True),
}


# ── unpickling ────────────────────────────────────────────────────────────────────────────────────


class _Unpickler(pickle.Unpickler):
    """Knows the names in `PICKLED` and no other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PICKLED:
            raise WireError(
                f"the pickle names {module[:80]}.{name[:80]}, which no payload is made of; it is not run"
            )
        return super().find_class(module, name)


class _Bytes(io.RawIOBase):
    """Reads from memory, which io.BytesIO would copy whole."""

    def __init__(self, view: Any) -> None:
        self._left = memoryview(view)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
