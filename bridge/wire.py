"""The protocol, version 1. This text is its specification; the code below holds to it.

Messages
--------
Every message is ``[header, buffer, buffer, ...]``, sent after the empty delimiter frame of ZeroMQ's REQ
socket. The header is a JSON object in UTF-8; each buffer is raw bytes. A request goes to the server,
and one reply comes back; a client that has several requests in flight tells the replies apart by
``id``, which the server repeats. Before the delimiter a request may have up to 7 more frames, of up to 255
bytes each, as proxies on the way add them: they come back with the reply. A message of another form is dropped.

Common keys
~~~~~~~~~~~
``bridge``
    1, the major version of the protocol. A message with another is refused.
``id``
    An integer from 0 to 2**63 - 1, chosen by the client.
``buffers``
    The byte length of each buffer frame that follows, in order. All are used, once, in order. May be
    left out when there are none.

Keys that are not named here are ignored. JSON is strict: see `bridge.codecs.strict_json`.

Requests
~~~~~~~~
Each has ``op``, one of:

========== =================================== ====================================================
op         further keys (optional in brackets) the reply has
========== =================================== ====================================================
hello      [client]                            ``hello``: version, instance, features, and limits in
                                               bytes: request, request_header, reply, part
list       [after, limit]                      ``entries``: a page of the catalogue in the order of
                                               names, after the name `after`; ``more``: true if names
                                               are left
describe   name, [max_bytes]                   ``entry``; for tables also ``object``: the table
                                               without its rows; for what has names for its axes, a
                                               tree of these (`bridge.sources.labelled`); with
                                               ``buffers`` or a transfer
get        name, [select, as, max_bytes]       ``version``, ``object``, ``buffers``, or a transfer
get        name, start, [wait, version,        of a channel: ``next``, ``version``, and ``object``,
           max_bytes]                          ``buffers`` or a transfer if there are rows
call       name, [args, as, max_bytes, call,   ``object``, ``buffers``, or a transfer; ``call`` if more
           wait]                               follows, or if nothing is there yet
wait       call, [start, wait, max_bytes]      the same
cancel     call or transfer                    nothing more
part       transfer, offset, length            ``part``: [offset, length], ``buffers``
part       transfer, offset; buffers           of what is put: ``part``: [offset, length]
done       transfer                            nothing more; of what is put: ``version``
put        name, object, [transfer]; buffers   ``version``, or nothing yet
append     name, object; buffers               ``rows``: how many there are now
delete     name                                nothing more
========== =================================== ====================================================

``name``
    The name of an entry of the catalogue: text of 1 to 1,024 bytes.
``select``
    The part that is wanted: see `bridge.selection`. Null or absent: all of it. The filters of a table have at
    most 64 terms; they and its columns hold plain values and scalars, and no other objects.
``as``
    ``"arrow"`` asks for a table as an Arrow IPC stream: the bytes of its buffers, end to end.
``args``
    A descriptor of a dict of arguments, most simply ``{"kind": "tree", "value": {"channel": 3}}``;
    arrays and frames among them have their bytes in this request's buffers.
``max_bytes``
    An answer whose buffers have more bytes than this comes as a transfer. Absent: the whole answer comes
    in one message, up to the server's limit.
``call``
    Text of 16 to 1,024 characters that the client makes up at random, and under which the server keeps the
    call. With it, a call that takes longer than ``wait`` seconds (at most 60) is answered with ``call`` and
    without ``object``; ``wait`` asks again, and ``cancel`` stops it. Each value of a stream comes with
    ``call`` while others may follow; a reply with neither ``object`` nor ``call`` is the end. The values are
    numbered from 0: ``start`` is the number of the one that is waited for, which may also be the one that came
    last, if its reply was lost. A call that nobody asks about for a minute is stopped. Without it, the reply
    comes when the result is there.
``client``
    An object that says who is there: ``version`` and ``features``.

Replies
~~~~~~~
::

    {"bridge": 1, "id": 7, "version": "5c1f.3", "object": {"kind": "array", "dtype": "<f8",
     "shape": [1000], "order": "C"}, "buffers": [8000]}          followed by one frame of 8000 bytes

``object``
    The descriptor of the answer; the kinds are listed in `bridge.codecs` and described in its modules.
``version``
    An opaque string. The same string for the same name and selection means the same bytes.

Transfers
~~~~~~~~~
An answer larger than ``max_bytes``, and one that is read from files and larger than 4 MiB, comes as
``object``, ``version`` and ``buffers`` without the frames, and with ``transfer``, a token. Then the client
asks for parts: ``offset`` and ``length`` count through the buffers end to end. The reply to ``part`` has
frames of ``length`` bytes in all; they may be cut anywhere. A part has at most 4 MiB. ``done`` frees the
answer on the server, and so does ``cancel``. A transfer that was freed, or that nobody asked about for a
minute, is ``expired``; where the data was replaced in place, the failure is ``changed``.

Putting
~~~~~~~
Where the server allows writing, ``put`` with its buffers serves an object under a name. One that is larger
than a request goes as a transfer: ``put`` with ``buffers`` but without their frames, and with ``transfer``, a
token of 16 characters or more that the client makes up at random; then ``part`` with the frames of each part,
in any order; then ``done``, with which the object takes the place of what was there, whole and at once.
A part has at most 4 MiB here too, and no more than the server takes in a request; all but 1,000 have 64 KiB or
more: the server remembers each. ``cancel`` forgets it. So does a minute without a part.

Following
~~~~~~~~~
The rows of a channel are numbered from 0. ``get`` with ``start`` (a number, "begin" or "end") gives some rows
from there on, and in ``next`` the number to ask for after them; with ``wait``, it comes when there are rows, or
after so many seconds. ``lost`` instead of rows says how many are gone that were asked for. ``version`` in the
request is that of an earlier reply: if the channel is another now, the failure is ``changed``.

A failure is a reply whose only further key is ``error``::

    {"bridge": 1, "id": 7, "error": {"code": "not_found", "message": "no 'wavefrom' here; did you mean
     'waveform'?", "type": "KeyError"}}

``code`` is one of `CODES`. ``type`` may name the exception class on the server and ``traceback`` may
hold its traceback. ``id`` is null where the request's could not be read.

Rules
-----
1. Limits come first. A header is measured before it is parsed; the buffers' lengths are compared with
   the frames before anything is decoded.
   What takes no bytes is counted before memory is taken for it (`bridge.codecs.weight`). The object of a
   message has at most 2**26 items without bytes (of numpy's dtypes of no size, Arrow's nulls and runs, arrays
   up to an axis of length 0), and one more for each bit of its buffers; as many rows in each frame or table
   without columns and in each sparse array of pandas; 2**18 columns of frames, and one more for each 8 bytes;
   and 2**24 values in the JSON text of its buffers, where a list or an object counts as 8.
   So is what bytes of an Arrow table are shown many times (`bridge.codecs.expansion`). Its columns with views,
   list views, dictionaries, runs or unions take at most 2**29 bytes when all that these show is written out,
   and 64 more for each byte of the buffers: texts, lists and other things of no fixed width take 8 bytes more.
   A dictionary of plain values that is a column of its own counts once. The dictionaries inside
   other types have at most 2**26 entries, and 8 more for each byte, where each chunk counts those that it has.
   The buffers of a record batch stand one after the other in its body, and share no bytes. The views of nulls,
   too, lead nowhere but into the buffers of their array.
2. Nothing in a header is code, a path, or a format. Dtypes are the closed grammar of
   `bridge.codecs.dtypes`.
3. An unknown op is answered ``unsupported``; so is another major version, with a sentence that says
   which side to upgrade. Nothing optional is used that the other end did not name in ``features``.
4. Released vectors (``tests/vectors/v1``) are never edited: a change that would need it is version 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeGuard

from bridge.codecs import Descriptor, strict_json
from bridge.errors import EncodeError, RemoteError, WireError, remote_error
from bridge.limits import HEADER_COST, STANDARD, Limits
from bridge.rights import ANYBODY, Peer, Rights

__all__ = [
    "CODES",
    "MAX_NAME",
    "MAX_TRANSFER",
    "OPS",
    "VERSION",
    "Frame",
    "Frames",
    "Reply",
    "Request",
    "checked_key",
    "is_name",
    "pack_failure",
    "pack_reply",
    "pack_request",
    "part_of",
    "request_id_of",
    "unpack_reply",
    "unpack_request",
]

Frame: TypeAlias = bytes | memoryview
Frames: TypeAlias = Sequence[Frame]

VERSION: Final = 1

# All buffers of a transfer: what an address can count.
MAX_TRANSFER: Final = 2**62
# Who can guess the token of a call can fetch its result.
MIN_TOKEN: Final = 16
# Names are made by people, or are relative paths of files.
MAX_NAME: Final = 1024
# Characters of a failure's message, and of its traceback, of which the end says most. One takes up to 6
# bytes of JSON.
MAX_ERROR_TEXT: Final = 64 * 1024

OPS: Final = (
    "hello",
    "list",
    "describe",
    "get",
    "call",
    "wait",
    "cancel",
    "part",
    "done",
    "put",
    "append",
    "delete",
)

CODES: Final = (
    "bad_request",
    "not_found",
    "unsupported",
    "too_large",
    "forbidden",
    "busy",
    "changed",
    "expired",
    "failed",
    "internal",
)

_JSON_TYPES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
    bool: "a boolean",
}

# The optional keys of a request, and the JSON types that each may have. Null is the same as absent.
_REQUEST_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "select": (list, dict),
    "as": (str,),
    "args": (dict,),
    "object": (dict,),
    "start": (int, str),
    "version": (str,),
    "max_bytes": (int,),
    "call": (str,),
    "wait": (int, float),
    "transfer": (str,),
    "offset": (int,),
    "length": (int,),
    "after": (str,),
    "limit": (int,),
    "client": (dict,),
}
_REQUIRED = {
    "describe": ("name",),
    "get": ("name",),
    "call": ("name",),
    "wait": ("call",),
    "part": ("transfer", "offset"),
    "done": ("transfer",),
    "put": ("name", "object"),
    "append": ("name", "object"),
    "delete": ("name",),
}
# Of the optional keys, those that an op looks at: the others are checked, and not kept.
_KNOWN = {
    "hello": frozenset({"client"}),
    "list": frozenset({"after", "limit"}),
    "describe": frozenset({"name", "max_bytes"}),
    "get": frozenset({"name", "select", "as", "max_bytes"}),
    "call": frozenset({"name", "args", "as", "max_bytes", "call", "wait"}),
    "wait": frozenset({"call", "start", "wait", "max_bytes"}),
    "cancel": frozenset({"call", "transfer"}),
    "part": frozenset({"transfer", "offset", "length"}),
    "done": frozenset({"transfer"}),
    "put": frozenset({"name", "object", "transfer"}),
    "append": frozenset({"name", "object"}),
    "delete": frozenset({"name"}),
}
# A `get` with `start` follows a channel.
_KNOWN_TO_FOLLOW = frozenset({"name", "start", "wait", "version", "max_bytes"})
# The key under which a client makes up a token.
_NEW_TOKEN = {"call": "call", "put": "transfer"}
_MAX_INT = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: the op, its keys (all but `buffers` are JSON) and its buffers.

    Attributes
    ----------
    lengths
        Of what is put as a transfer: the length of each buffer that will follow. Else None.
    peer
        Who sent it: not in the message, but known to whoever received it.
    header_nbytes
        Of its header, where it was received.
    """

    id: int
    op: str
    keys: dict[str, Any] = field(default_factory=dict)
    buffers: Frames = ()
    lengths: list[int] | None = None
    peer: Peer = ANYBODY
    header_nbytes: int = field(default=0, compare=False)

    @property
    def keys_nbytes(self) -> int:
        """Bytes of memory that its keys take, at most."""
        return HEADER_COST * self.header_nbytes

    @property
    def rights(self) -> Rights:
        """What its peer may do."""
        return self.peer.rights


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply: its keys and buffers, or the failure that came instead.

    Attributes
    ----------
    id
        The request's, or None in a failure where the server could not read it.
    lengths
        Of a transfer: the length of each buffer that is to be fetched. Else None.
    """

    id: int | None
    keys: dict[str, Any] = field(default_factory=dict)
    buffers: Frames = ()
    lengths: list[int] | None = None
    error: RemoteError | None = None

    def key(self, name: str, cls: type) -> Any:
        """Return a key that this reply must have; see `checked_key`."""
        return checked_key(self.keys, name, cls)


def checked_key(keys: dict[str, Any], name: str, cls: type) -> Any:
    """Return a key that a reply must have, checked to be of the JSON type `cls`."""
    value = keys.get(name)
    if type(value) is not cls:
        raise WireError(f"the reply's {name!r} is {_show(value)}; expected {_JSON_TYPES[cls]}")
    return value


def is_name(value: object) -> bool:
    """Return whether an object may be a name of the catalogue: text of 1 to `MAX_NAME` bytes.

    Examples
    --------
    >>> is_name("run/x"), is_name(""), is_name(5)
    (True, False, False)
    """
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= MAX_NAME
    except UnicodeEncodeError:
        return False


def pack_request(request: Request, *, most: int = STANDARD.request) -> list[Frame]:
    """Return the frames of a request.

    Parameters
    ----------
    most
        Bytes of all buffers that the server takes.

    Raises
    ------
    EncodeError
        If the server would not take it, or text in it, such as a name, is no Unicode.
    """
    header = {"bridge": VERSION, "id": request.id, "op": request.op, **request.keys}
    if request.lengths is not None:
        header["buffers"] = request.lengths
    nbytes = sum(len(buffer) for buffer in request.buffers)
    try:
        frames = _pack(header, request.buffers)
    except UnicodeEncodeError as exc:
        raise EncodeError(
            f"this {request.op!r} has text beyond Unicode, {_show(exc.object[exc.start : exc.end])}, as the "
            "names of files have it that are no UTF-8; no server takes it: write another name"
        ) from exc
    if nbytes > most or len(frames[0]) > STANDARD.request_header or len(frames) > STANDARD.buffers:
        raise EncodeError(
            f"this {request.op!r} has {nbytes} bytes in {len(frames) - 1} buffers and a header of "
            f"{len(frames[0])}; this server takes {most}, {STANDARD.buffers} and {STANDARD.request_header} in "
            "a request: send less at a time, or put large data under a name of its own"
        )
    return frames


def pack_reply(reply: Reply) -> list[Frame]:
    """Return the frames of a reply that is no failure."""
    header = {"bridge": VERSION, "id": reply.id, **reply.keys}
    if reply.lengths is not None:
        header["buffers"] = reply.lengths
    return _pack(header, reply.buffers)


def pack_failure(request_id: int | None, error: RemoteError) -> list[Frame]:
    """Return the frames of a failure reply. Its texts are cut to what a header holds."""
    body = {"code": error.code, "message": _printable(error.message[:MAX_ERROR_TEXT])}
    if error.type_name:
        body["type"] = error.type_name
    if error.remote_traceback:
        body["traceback"] = _printable(error.remote_traceback[-MAX_ERROR_TEXT:])
    return _pack({"bridge": VERSION, "id": request_id, "error": body}, ())


def unpack_request(frames: Frames, peer: Peer = ANYBODY, *, limits: Limits = STANDARD) -> Request:
    """Check the frames of a request of a peer, and return it.

    Raises
    ------
    WireError
        With the failure code to answer with.
    """
    header = _unpack_header(frames, STANDARD.request_header)
    request_id = header.get("id")
    if not _is_id(request_id):
        raise WireError(f"'id' is {_show(request_id)}; expected an integer from 0 to 2**63 - 1")
    op = header.get("op")
    if type(op) is not str:
        raise WireError(f"'op' is {_show(op)}; expected one of {', '.join(OPS)}")
    if op not in OPS:
        raise WireError(f"unknown op {_show(op)}; expected one of {', '.join(OPS)}", code="unsupported")
    keys = {}
    known = _KNOWN_TO_FOLLOW if op == "get" and header.get("start") is not None else _KNOWN[op]
    for key, types in _REQUEST_KEYS.items():
        value = header.get(key)
        if value is None:
            continue
        if type(value) not in types:
            expected = " or ".join(_JSON_TYPES[cls] for cls in types)
            raise WireError(f"{key!r} is {_show(value)}; expected {expected}")
        if type(value) in (int, float) and not 0 <= value <= _MAX_INT:
            raise WireError(f"{key!r} is {value}; expected 0 to 2**63 - 1")
        if key in known:
            keys[key] = value
    for key in _REQUIRED.get(op, ()):
        if key not in keys:
            raise WireError(f"{op!r} needs {key!r}")
    if "name" in keys and not is_name(keys["name"]):
        raise WireError(f"'name' is {_show(keys['name'])}; expected 1 to {MAX_NAME} bytes of text")
    token = keys.get(_NEW_TOKEN.get(op, ""))
    if token is not None and not MIN_TOKEN <= len(token) <= MAX_NAME:
        raise WireError(
            f"{_NEW_TOKEN[op]!r} is {_show(token)}; expected {MIN_TOKEN} to {MAX_NAME} characters"
        )
    if op == "part" and len(frames) == 1 and "length" not in keys:
        raise WireError("'part' needs 'length', or the frames of what is put")
    if op == "put" and "transfer" in keys:
        lengths = _checked_lengths(header, MAX_TRANSFER)
        if len(frames) > 1:
            raise WireError(f"a transfer begins without frames; {len(frames) - 1} came")
        buffers: Frames = ()
    else:
        lengths = None
        buffers = _checked_buffers(header, frames, limits.request)
    return Request(
        id=request_id,
        op=op,
        keys=keys,
        buffers=buffers,
        lengths=lengths,
        peer=peer,
        header_nbytes=len(frames[0]),
    )


def unpack_reply(frames: Frames) -> Reply:
    """Check the frames of a reply, and return it.

    Raises
    ------
    WireError
        If the server sent what the protocol does not allow.
    """
    header = _unpack_header(frames, STANDARD.reply_header)
    request_id = header.pop("id", None)
    error = header.pop("error", None)
    if error is not None:
        if request_id is not None and not _is_id(request_id):
            raise WireError(f"the failure's 'id' is {_show(request_id)}; expected an integer or null")
        return Reply(id=request_id, error=_unpack_error(error))
    if not _is_id(request_id):
        raise WireError(f"the reply's 'id' is {_show(request_id)}; expected an integer")
    if "transfer" in header:
        lengths = _checked_lengths(header, MAX_TRANSFER)
        if len(frames) > 1:
            raise WireError(f"a transfer comes without frames; {len(frames) - 1} came")
        return Reply(id=request_id, keys=header, lengths=lengths)
    return Reply(id=request_id, keys=header, buffers=_checked_buffers(header, frames, STANDARD.reply))


def part_of(header: Frame) -> tuple[int, int, list[int]] | None:
    """Look into the header of a reply before its frames are received.

    Returns
    -------
    tuple or None
        The id, the offset and the lengths of the frames, if this is a part in order; else None: what it
        is will be known when all of it is there.
    """
    try:
        keys = _unpack_header([header], STANDARD.reply_header)
        request_id, part = keys.get("id"), keys.get("part")
        lengths = _checked_lengths(keys, STANDARD.reply)
    except WireError:
        return None
    if not _is_id(request_id) or type(part) is not list or len(part) != 2 or not _is_id(part[0]):
        return None
    return request_id, part[0], lengths


def request_id_of(frames: Frames) -> int | None:
    """Return the id of a request that may be broken otherwise, or None."""
    try:
        request_id = _unpack_header(frames, STANDARD.request_header).get("id")
    except (WireError, MemoryError):
        return None
    return request_id if _is_id(request_id) else None


def _pack(header: dict[str, Any], buffers: Frames) -> list[Frame]:
    if buffers:
        header["buffers"] = [len(buffer) for buffer in buffers]
    return [strict_json.dumps(header), *buffers]


def _unpack_header(frames: Frames, limit: int) -> Descriptor:
    if not frames:
        raise WireError("an empty message; expected a header frame")
    if len(frames[0]) > limit:
        raise WireError(
            f"the header has {len(frames[0])} bytes; at most {limit}: what grows with the data belongs "
            "in buffers",
            code="too_large",
        )
    header = strict_json.loads(frames[0])
    if type(header) is not dict:
        raise WireError(f"the header is {_show(header)}; expected a JSON object")
    version = header.pop("bridge", None)
    if type(version) is not int:
        raise WireError(f"'bridge' is {_show(version)}; expected {VERSION}, the protocol's version")
    if version != VERSION:
        side = "this" if version > VERSION else "the sending"
        raise WireError(
            f"the message is of protocol version {version}, this side speaks {VERSION}; "
            f"upgrade zbridge on {side} side",
            code="unsupported",
        )
    return header


def _checked_buffers(header: dict[str, Any], frames: Frames, limit: int) -> Frames:
    lengths = _checked_lengths(header, limit)
    buffers = frames[1:]
    if len(lengths) != len(buffers):
        raise WireError(f"'buffers' names {len(lengths)} buffers; {len(buffers)} frames came")
    for number, (length, buffer) in enumerate(zip(lengths, buffers, strict=True)):
        if len(buffer) != length:
            raise WireError(f"buffer {number} has {len(buffer)} bytes; 'buffers' says {length}")
    return buffers


def _checked_lengths(header: dict[str, Any], limit: int) -> list[int]:
    lengths = header.pop("buffers", None)
    if lengths is None:
        lengths = []
    if type(lengths) is not list or any(type(n) is not int or n < 0 for n in lengths):
        raise WireError(f"'buffers' is {_show(lengths)}; expected a list of lengths in bytes")
    if len(lengths) > STANDARD.buffers:
        raise WireError(
            f"{len(lengths)} buffers; at most {STANDARD.buffers} in a message", code="too_large"
        )
    total = sum(lengths)
    if total > limit:
        raise WireError(f"the buffers have {total} bytes; at most {limit}", code="too_large")
    return lengths


def _unpack_error(error: Any) -> RemoteError:
    if type(error) is not dict:
        raise WireError(f"'error' is {_show(error)}; expected an object")
    texts = [error.get(key, "") for key in ("code", "message", "type", "traceback")]
    if any(type(text) is not str for text in texts):
        raise WireError(f"'error' is {_show(error)}; expected an object of texts")
    if texts[0] not in CODES:
        # A later server may know more codes; to this client they all mean that the request failed.
        texts[0] = "failed"
    return remote_error(*texts)


def _is_id(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MAX_INT


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
