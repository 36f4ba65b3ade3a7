"""Object arrays of pandas: Python values, each with its exact type.

::

    {"kind": "objects", "codes": A | null, "text": T?, "bytes": T?,
        "ints": A?, "floats": A?, "bools": A?, "dates": A?, "others": D?}

``codes`` says what each cell is: 0 None, 1 pandas.NA, 2 pandas.NaT, or a cell of a part: 3 ``text``,
4 ``bytes``, 5 ``ints`` ("<i8"), 6 ``floats`` ("<f8"), 7 ``bools`` ("|b1"), 8 ``dates`` ("<M8[D]"), 9
``others``. It is an array of |u1, or null where there is one part and all cells are in it. A part holds
its cells in their order: T is text as in the module `text`, A an array, D a tree, which is a list. Buffers are
in the order of the fields. So columns of simple values cost no Python code per cell on either side.
"""

from __future__ import annotations

from datetime import date
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from bridge.codecs import Buffer, BufferReader, Descriptor, decode_from, encode_into, field
from bridge.codecs.text import decode_text, encode_text
from bridge.errors import EncodeError, WireError, an

__all__ = ["decode_objects", "encode_objects"]

Array: TypeAlias = "np.ndarray[Any, Any]"

MISSING: tuple[Any, ...] = (None, pd.NA, pd.NaT)

# The other codes: the class of a part's cells, its name, and how they are packed. The exact class decides: a
# subclass, such as numpy.str_ of str, is among the others.
PARTS: dict[int, tuple[type, str, Any]] = {
    3: (str, "text", pa.large_string()),
    4: (bytes, "bytes", pa.large_binary()),
    5: (int, "ints", np.dtype("<i8")),
    6: (float, "floats", np.dtype("<f8")),
    7: (bool, "bools", np.dtype("|b1")),
    8: (date, "dates", np.dtype("<M8[D]")),
}
OTHER = 9

# An error names so many of the offending rows: enough to see the pattern.
SHOWN_ROWS = 3

_CODE_OF_TYPE: dict[type, int] = {
    **{type(value): code for code, value in enumerate(MISSING)},
    **{cls: code for code, (cls, _, _) in PARTS.items()},
}


def encode_objects(values: Array, buffers: list[Buffer]) -> Descriptor:
    """Turn an object array into its descriptor, with its bytes appended to `buffers`.

    Parameters
    ----------
    values
        Shape (n,), object dtype.

    Raises
    ------
    EncodeError
        If a cell is of a type that does not come back exact. It names the first such rows.
    """
    codes = _codes(values)
    packed = _pack(values, codes)
    parts = len(packed) + bool((codes == OTHER).any())
    alone = parts == 1 and len(values) > 0 and bool((codes >= len(MISSING)).all())
    descriptor: Descriptor = {"kind": "objects", "codes": None if alone else encode_into(codes, buffers)}
    for code, cells in packed.items():
        encoder = encode_text if isinstance(cells, pa.Array) else encode_into
        descriptor[PARTS[code][1]] = encoder(cells, buffers)
    if parts > len(packed):
        descriptor["others"] = _encode_others(values, codes, buffers)
    return descriptor


def decode_objects(descriptor: Descriptor, reader: BufferReader) -> Array:
    """Rebuild an object array.

    Returns
    -------
    ndarray
        Shape (n,), object dtype.

    Raises
    ------
    WireError
        If codes and parts do not fit each other.
    """
    codes = None
    if field(descriptor, "codes", dict, type(None)) is not None:
        codes = decode_from(descriptor["codes"], reader)
        if not _is_array(codes, np.dtype(np.uint8)) or (codes > OTHER).any():
            raise WireError(f"the codes of an object array are not an array of |u1 up to {OTHER}")
    parts = {
        code: _decode_part(descriptor[name], reader, name, kind)
        for code, (_, name, kind) in PARTS.items()
        if name in descriptor
    }
    if "others" in descriptor:
        parts[OTHER] = _decode_others(descriptor["others"], reader)
    if codes is not None:
        return _merge(codes, parts)
    if len(parts) != 1:
        raise WireError(f"an object array without codes has {len(parts)} parts; expected 1")
    [cells] = parts.values()
    return cells


# ── encoding ──────────────────────────────────────────────────────────────────────────────────────


def _codes(values: Array) -> Array:
    cells = values.tolist()
    code_of = {cls: _CODE_OF_TYPE.get(cls, OTHER) for cls in set(map(type, cells))}
    if len(code_of) == 1:
        [code] = code_of.values()
        return np.full(len(cells), code, np.uint8)
    return np.fromiter(map(code_of.__getitem__, map(type, cells)), np.uint8, len(cells))


def _pack(values: Array, codes: Array) -> dict[int, Any]:
    """Pack all parts but the others. A part that cannot be packed becomes others: `codes` changes."""
    packed: dict[int, Any] = {}
    for code, (_, _, kind) in PARTS.items():
        chosen = codes == code
        if chosen.any():
            cells = values[chosen]
            try:
                packed[code] = (
                    cells.astype(kind) if isinstance(kind, np.dtype) else pa.array(cells, kind)
                )
            except (UnicodeEncodeError, OverflowError):  # a lone surrogate, an int beyond 64 bits
                codes[chosen] = OTHER
    return packed


def _encode_others(values: Array, codes: Array, buffers: list[Buffer]) -> Descriptor:
    rows = np.flatnonzero(codes == OTHER)
    try:
        return encode_into(values[rows].tolist(), buffers)
    except EncodeError as exc:
        raise EncodeError(f"{_offenders(values, rows)}: {exc}") from exc


def _offenders(values: Array, rows: Array) -> str:
    # One cell at a time is slow, and happens only where the answer is an error.
    found = islice((row for row in rows if not _can_be_sent(values[row])), SHOWN_ROWS)
    texts = [f"row {row} holds {an(type(values[row]).__qualname__)}" for row in found]
    return ", ".join(texts) or "its objects cannot be sent together"


def _can_be_sent(cell: Any) -> bool:
    try:
        encode_into([cell], [])
    except EncodeError:
        return False
    return True


# ── decoding ──────────────────────────────────────────────────────────────────────────────────────


def _decode_part(descriptor: Any, reader: BufferReader, name: str, kind: Any) -> Array:
    cells: Array
    if isinstance(kind, pa.DataType):
        text = decode_text(descriptor, reader, kind)
        if text.null_count:
            raise WireError(f"{name!r} of an object array has strings that are missing")
        cells = text.to_numpy(zero_copy_only=False)
        return cells
    packed = decode_from(descriptor, reader)
    if not _is_array(packed, kind):
        raise WireError(f"{name!r} of an object array is not an array of {kind} with one axis")
    cells = packed.astype(object)
    if kind.kind == "M" and set(map(type, cells.tolist())) - {date}:
        raise WireError(f"{name!r} of an object array reach beyond the years 1 to 9999")
    return cells


def _decode_others(descriptor: Any, reader: BufferReader) -> Array:
    cells = decode_from(descriptor, reader)
    if type(cells) is not list:
        raise WireError(f"the others of an object array are {an(type(cells).__qualname__)}, not a list")
    return np.fromiter(cells, object, len(cells))


def _merge(codes: Array, parts: dict[int, Array]) -> Array:
    counts = np.bincount(codes, minlength=OTHER + 1)
    values = np.empty(len(codes), object)
    for code in range(1, len(MISSING)):  # empty is None
        if counts[code]:
            values[codes == code] = MISSING[code]
    for code in (*PARTS, OTHER):
        cells = parts.get(code, values[:0])
        if len(cells) != counts[code]:
            raise WireError(
                f"{counts[code]} codes of an object array are {code}, with {len(cells)} cells"
            )
        if len(cells):
            values[codes == code] = cells
    return values


def _is_array(array: Any, dtype: np.dtype[Any]) -> bool:
    return type(array) is np.ndarray and array.dtype == dtype and array.ndim == 1
