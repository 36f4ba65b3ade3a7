"""The closed grammar of dtypes.

::

    dtype   =  text | record | layout | strings
    text    =  "|b1"  "|i1"  "|u1"                      one byte has no byte order
               "<i2" … "<i8"  "<u2" … "<u8"             little-endian; with ">" big-endian
               "<f2" … "<f8"  "<c8"  "<c16"
               "<M8"  "<m8[ns]"  "<M8[25us]"            generic, a unit, a multiple of a unit
               "|S16"  "|V16"  "<U8"                    16 bytes; 8 code points of 4 bytes
    record  =  [[name, dtype, shape], …]                packed; shape [] unless it is a sub-array
    layout  =  {"fields": [[name, dtype, shape, offset, title], …], "itemsize": int, "align": bool}
                                                        any other structured one; title may be null
    strings =  {"strings": na_object, "coerce": bool}   StringDType, but not as a field;
                                                        na_object: "unset", "none" or "nan"

`from_wire` builds dtypes from tables and checked integers: no text of a peer reaches ``np.dtype``,
which is a parser. `to_wire` sends what `from_wire` gives back identical and nothing else, so each
limit is written once. Two C types of the same bytes (``long``, ``longlong``) are one dtype here, as
they are to ``==``.
"""

from __future__ import annotations

import re
from itertools import accumulate
from math import isnan, prod
from typing import Any, TypeAlias

import numpy as np

from bridge.codecs import field
from bridge.errors import EncodeError, WireError

__all__ = ["Wire", "decode_shape", "from_wire", "identical", "raw_from_wire", "to_wire"]

Wire: TypeAlias = str | list[Any] | dict[str, Any]

# numpy's own limits: there are no more axes, a length is a C ssize_t, an itemsize is a C int.
MAX_NDIM = 64
MAX_LENGTH = 2**63 - 1
MAX_ITEMSIZE = 2**31 - 1
MAX_MULTIPLE = 2**31 - 1

# A descriptor has to fit into a header. A record as wide as this is a table; send it as one.
MAX_FIELDS = 4096

# Each level costs three of the JSON parser's 100; dtypes in use are 3 deep.
MAX_LEVELS = 16

_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
_PLAIN: dict[str, np.dtype[Any]] = {
    text: np.dtype(text)
    for text in (
        *("|b1", "|i1", "|u1"),
        *(f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)),
        *(f"{order}f{size}" for order in "<>" for size in (2, 4, 8)),
        *(f"{order}c{size}" for order in "<>" for size in (8, 16)),
        *(f"{order}{kind}8" for order in "<>" for kind in "Mm"),
        *(f"{order}{kind}8[{unit}]" for order in "<>" for kind in "Mm" for unit in _UNITS),
    )
}
# numpy would take a multiple of 0, and divide by it.
_MULTIPLE = re.compile(rf"([<>][Mm]8)\[([1-9][0-9]{{0,9}})({'|'.join(_UNITS)})\]")
_SIZED = re.compile(r"([|<>])([SUV])([0-9]{1,10})")

# The type of a sized dtype, and the bytes of one unit of its size.
_SIZED_TYPES: dict[str, tuple[Any, int]] = {
    "S": (np.bytes_, 1),
    "U": (np.str_, 4),
    "V": (np.void, 1),
}

_STRINGS: dict[str, dict[str, Any]] = {
    "unset": {},
    "none": {"na_object": None},
    "nan": {"na_object": np.nan},
}

# What to do about a dtype that never travels, by its `char`.
_REFUSED = {
    "O": "object dtype holds Python objects; convert to a plain dtype with .astype(float) or "
    ".astype(np.dtypes.StringDType()), or send a list or a pandas Series",
    "g": "longdouble differs between computers; convert with .astype(np.float64)",
    "G": "clongdouble differs between computers; convert with .astype(np.complex128)",
}
_COPY = "copy the array to a packed dtype of plain types with .astype()"


def to_wire(dtype: np.dtype[Any]) -> Wire:
    """Return the JSON form of a dtype.

    Parameters
    ----------
    dtype
        The dtype of an array.

    Returns
    -------
    str, list or dict
        In the grammar of this module.

    Raises
    ------
    EncodeError
        If it would not come back identical: object dtype, longdouble, `numpy.record`, metadata,
        overlapping fields, dtypes of other packages.

    Examples
    --------
    >>> to_wire(np.dtype(">f8"))
    '>f8'
    >>> to_wire(np.dtype([("time", "<M8[ns]"), ("xyz", "<f4", (3,))]))
    [['time', '<M8[ns]', []], ['xyz', '<f4', [3]]]
    """
    wire = _describe(dtype)
    try:
        result = from_wire(wire)
    except WireError as exc:
        raise EncodeError(f"the dtype {dtype!r} cannot be sent: {exc}; {_COPY}") from exc
    if not identical(dtype, result):
        raise EncodeError(f"the dtype {dtype!r} would come back as {result!r}; {_COPY}")
    return wire


def from_wire(wire: Any) -> np.dtype[Any]:
    """Build a dtype from its JSON form, or from whatever a peer sent in its place.

    Raises
    ------
    WireError
        If it is not in the grammar of this module, or beyond a limit.

    Examples
    --------
    >>> from_wire([["time", "<M8[ns]", []], ["xyz", "<f4", [3]]])
    dtype([('time', '<M8[ns]'), ('xyz', '<f4', (3,))])
    """
    if type(wire) is dict and "strings" in wire:
        return _strings(wire)
    return raw_from_wire(wire)


def raw_from_wire(wire: Any) -> np.dtype[Any]:
    """Like `from_wire`, but only a dtype whose items are plain bytes.

    An item of a StringDType is a pointer: such an array must never lie over a received buffer.
    """
    return _raw(wire, level=0)


def identical(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    """Say whether two dtypes are the same also in what ``==`` passes over.

    That is: alignment, titles, metadata, and the scalar type of records.
    """
    if a != b or a.metadata or b.metadata or a.alignment != b.alignment:
        return False
    if a.subdtype is not None:
        return a.shape == b.shape and identical(a.base, b.base)
    if a.names is None:
        return True
    return (
        (a.type, a.names, a.isalignedstruct) == (b.type, b.names, b.isalignedstruct)
        and [entry[1:] for entry in _entries(a)] == [entry[1:] for entry in _entries(b)]
        and all(identical(x[0], y[0]) for x, y in zip(_entries(a), _entries(b), strict=True))
    )


def decode_shape(value: Any) -> tuple[int, ...]:
    """Check a shape that a peer sent.

    Returns
    -------
    tuple of int
        At most 64 lengths, each from 0 to 2**63 - 1. Their product may be far larger.

    Raises
    ------
    WireError
        If it is anything but a list of such lengths.
    """
    if type(value) is not list:
        raise WireError(f"the shape {_brief(value)} is not a list")
    if len(value) > MAX_NDIM:
        raise WireError(f"the shape has {len(value)} axes; at most {MAX_NDIM} exist")
    return tuple(_integer(length, "the shape", MAX_LENGTH) for length in value)


def _describe(dtype: np.dtype[Any]) -> Wire:
    if dtype.char in _REFUSED:
        raise EncodeError(_REFUSED[dtype.char])
    if isinstance(dtype, np.dtypes.StringDType):
        return {"strings": _na_object(dtype), "coerce": dtype.coerce}
    if dtype.metadata:
        raise EncodeError(f"the metadata of the dtype {dtype!r} would be lost; {_COPY}")
    if dtype.names is None:
        return dtype.str
    if dtype.type is not np.void:
        raise EncodeError(
            f"records of type {dtype.type.__name__} would come back as np.void; "
            "send np.asarray(x).view((np.void, x.dtype))"
        )
    return _describe_fields(dtype)


def _describe_fields(dtype: np.dtype[Any]) -> Wire:
    entries = _entries(dtype)
    names: Any = dtype.names
    titles = [entry[2] if len(entry) == 3 else None for entry in entries]
    for text in (*names, *titles):
        _check_sendable(text)
    rows = [
        [name, _describe(entry[0].base), list(entry[0].shape), entry[1], title]
        for name, entry, title in zip(names, entries, titles, strict=True)
    ]
    ends = [0, *accumulate(entry[0].itemsize for entry in entries)]
    packed = [*(entry[1] for entry in entries), dtype.itemsize] == ends
    if packed and not dtype.isalignedstruct and titles.count(None) == len(titles):
        return [row[:3] for row in rows]
    return {"fields": rows, "itemsize": dtype.itemsize, "align": dtype.isalignedstruct}


def _entries(dtype: np.dtype[Any]) -> list[Any]:
    # (dtype, offset) or (dtype, offset, title) of each field. `fields` has the titles as keys too.
    fields: Any = dtype.fields
    return [fields[name] for name in dtype.names or ()]


def _check_sendable(text: Any) -> None:
    if text is None:
        return
    if type(text) is not str:
        raise EncodeError(f"the field title {text!r} is not a str; {_COPY}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"the field name {text!r} is not valid Unicode; rename the field") from None


def _na_object(dtype: np.dtypes.StringDType) -> str:
    if not hasattr(dtype, "na_object"):
        return "unset"
    value: Any = dtype.na_object
    if value is None:
        return "none"
    if type(value) is float and isnan(value):
        return "nan"
    raise EncodeError(
        f"StringDType(na_object={value!r}) cannot be sent; "
        "convert with .astype(np.dtypes.StringDType(na_object=None))"
    )


def _strings(wire: dict[str, Any]) -> np.dtype[Any]:
    options = _STRINGS.get(field(wire, "strings", str))
    if options is None:
        raise WireError(f"'strings' is {_brief(wire['strings'])}; expected one of {', '.join(_STRINGS)}")
    return np.dtypes.StringDType(coerce=field(wire, "coerce", bool), **options)


def _raw(wire: Any, *, level: int) -> np.dtype[Any]:
    if type(wire) is str:
        return _plain(wire)
    if level == MAX_LEVELS:
        raise WireError(f"the dtype is nested more than {MAX_LEVELS} levels deep")
    if type(wire) is list:
        rows = _rows(wire, "name", "dtype", "shape")
        formats = [_format(row[1], row[2], level=level + 1) for row in rows]
        ends = [0, *accumulate(dtype.itemsize for dtype in formats)]
        rows = [[*row, start, None] for row, start in zip(rows, ends, strict=False)]
        return _structured(rows, formats, itemsize=ends[-1], align=False)
    rows = _rows(field(wire, "fields", list), "name", "dtype", "shape", "offset", "title")
    formats = [_format(row[1], row[2], level=level + 1) for row in rows]
    itemsize = field(wire, "itemsize", int)
    return _structured(rows, formats, itemsize=itemsize, align=field(wire, "align", bool))


def _plain(text: str) -> np.dtype[Any]:
    if text in _PLAIN:
        return _PLAIN[text]
    if match := _SIZED.fullmatch(text):
        scalar_type, unit = _SIZED_TYPES[match[2]]
        size = _integer(int(match[3]), "the dtype", MAX_ITEMSIZE // unit)
        order: Any = match[1]
        dtype = np.dtype((scalar_type, size)).newbyteorder(order)
    elif match := _MULTIPLE.fullmatch(text):
        multiple = _integer(int(match[2]), "the dtype", MAX_MULTIPLE)
        dtype = _built(f"{_PLAIN[match[1]].str}[{multiple}{_UNITS[_UNITS.index(match[3])]}]")
    else:
        raise WireError(f"{_brief(text)} is not a dtype of this protocol")
    # One dtype, one text: no leading zeros, no byte order where there is none.
    if dtype.str != text:
        raise WireError(f"{_brief(text)} is not a dtype of this protocol; is {dtype.str!r} meant?")
    return dtype


def _rows(fields: list[Any], *columns: str) -> list[list[Any]]:
    if len(fields) > MAX_FIELDS:
        raise WireError(f"the dtype has {len(fields)} fields; at most {MAX_FIELDS} are allowed")
    for row in fields:
        if type(row) is not list or len(row) != len(columns) or type(row[0]) is not str:
            raise WireError(f"{_brief(row)} is not a field; expected [{', '.join(columns)}]")
    return fields


def _format(wire: Any, shape: Any, *, level: int) -> np.dtype[Any]:
    base, lengths = _raw(wire, level=level), decode_shape(shape)
    _integer(prod(lengths) * base.itemsize, "the size of a field", MAX_ITEMSIZE)
    return _built((base, lengths)) if lengths else base


def _structured(
    rows: list[list[Any]], formats: list[np.dtype[Any]], *, itemsize: int, align: bool
) -> np.dtype[Any]:
    _integer(itemsize, "the itemsize", MAX_ITEMSIZE)
    names = [row[0] for row in rows]
    offsets = [_integer(row[3], "the offsets", MAX_ITEMSIZE) for row in rows]
    titles = [row[4] for row in rows]
    if not all(title is None or type(title) is str for title in titles):
        raise WireError(f"the titles {_brief(titles)} are not all strings or null")
    end = 0
    for start, size in sorted(zip(offsets, (dtype.itemsize for dtype in formats), strict=True)):
        if start < end:
            raise WireError("the fields of the dtype overlap")
        end = start + size
    if end > itemsize:
        raise WireError(f"the fields of the dtype end at {end}, beyond its itemsize {itemsize}")
    layout = {"names": names, "formats": formats, "offsets": offsets, "titles": titles}
    return _built(layout | {"itemsize": itemsize}, align=align)


def _built(spec: Any, *, align: bool = False) -> np.dtype[Any]:
    # The one seam to numpy's checks: repeated names, offsets against `align`, huge sub-arrays.
    try:
        dtype: np.dtype[Any] = np.dtype(spec, align=align)
    except (TypeError, ValueError, OverflowError) as exc:
        raise WireError(f"numpy has no such dtype: {_brief(str(exc))}") from exc
    return dtype


def _integer(value: Any, what: str, most: int) -> int:
    if type(value) is int and 0 <= value <= most:
        return value
    raise WireError(f"{what} holds {_brief(value)}; expected an integer from 0 to {most}")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
