"""Sparse arrays and matrices of scipy, in the formats CSR, CSC and COO.

::

    {"kind": "sparse", "class": "csr_array", "shape": [3, 4],
     "data": array, "indices": array, "indptr": array}
    {"kind": "sparse", "class": "coo_array", "shape": [3, 4], "canonical": bool,
     "data": array, "coords": [array, …]}                       one array of coordinates for each axis

The buffers are those of the arrays, in the order shown. Each array has one axis and the byte order of
the computer; data are bool, int, uint, float32, float64, complex64 or complex128, and the others are
all int32 or all int64. Explicit zeros, duplicates and the order of the entries are kept.

scipy hands indices to C code that does not look whether they fit, so `decode` checks every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from bridge.codecs import Buffer, BufferReader, Descriptor, array, field
from bridge.errors import EncodeError, WireError, an

__all__ = ["decode", "encode"]

_Array: TypeAlias = "np.ndarray[Any, Any]"

_CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.csc_matrix,
        sparse.coo_array,
        sparse.coo_matrix,
    )
}

# What scipy's C code is compiled for, less the types that differ between computers.
_DATA_DTYPES = frozenset(np.dtype(char) for char in "?bBhHiIqQfdFD")
_INDEX_DTYPES = frozenset(np.dtype(char) for char in "iq")


def encode(obj: Any, buffers: list[Buffer]) -> Descriptor:
    """Encode a sparse array or matrix, without a copy of its arrays.

    Raises
    ------
    EncodeError
        For other formats, for subclasses, and for dtypes that scipy itself does not compute with.
    """
    name = type(obj).__name__
    if type(obj) is not _CLASSES.get(name):
        raise EncodeError(f"{type(obj).__module__}.{name} cannot be sent; send {_instead(obj)}")
    compressed = obj.format != "coo"
    indices = [obj.indices, obj.indptr] if compressed else list(obj.coords)
    if fault := _dtype_fault(obj.data, indices):
        raise EncodeError(f"this {name} cannot be sent: {fault}")
    if compressed and not obj.indptr[-1] == obj.indices.size == obj.data.size:
        # scipy itself reads uninitialized memory when it converts such a thing.
        raise EncodeError(f"this {name} has room behind its entries; call x.prune() first")
    descriptor: Descriptor = {"kind": "sparse", "class": name, "shape": list(obj.shape)}
    data, *parts = [array.encode(values, buffers) for values in (obj.data, *indices)]
    if compressed:
        return {**descriptor, "data": data, "indices": parts[0], "indptr": parts[1]}
    canonical = bool(obj.has_canonical_format)
    return {**descriptor, "canonical": canonical, "data": data, "coords": parts}


def decode(descriptor: Descriptor, reader: BufferReader) -> Any:
    """Rebuild a sparse array or matrix.

    Returns
    -------
    scipy.sparse.sparray or scipy.sparse.spmatrix
        Its arrays are writable, in the memory of the reader's buffers where they are large.

    Raises
    ------
    WireError
        If an index lies outside the shape, or the arrays do not fit each other.
    """
    name = field(descriptor, "class", str)
    if name not in _CLASSES:
        raise WireError(f"unknown sparse class {name[:40]!r}; expected {', '.join(_CLASSES)}")
    shape = array.decode_shape(field(descriptor, "shape", list))
    data = array.array_from(field(descriptor, "data", dict), reader)
    decode_indices = _decode_coo if name.startswith("coo") else _decode_compressed
    return decode_indices(_CLASSES[name], shape, data, descriptor, reader)


def _instead(obj: Any) -> str:
    if not sparse.issparse(obj):
        return "the arrays and numbers that it holds"
    same_format = f"{obj.format}_array"
    return f"scipy.sparse.{same_format}(x)" if same_format in _CLASSES else "x.tocsr()"


def _decode_compressed(
    cls: Any, shape: tuple[int, ...], data: _Array, descriptor: Descriptor, reader: BufferReader
) -> Any:
    indices = array.array_from(field(descriptor, "indices", dict), reader)
    indptr = array.array_from(field(descriptor, "indptr", dict), reader)
    _check_arrays(data, [indices, indptr])
    if not 1 <= len(shape) <= 2:
        raise WireError(f"{an(cls.__name__)} has no {len(shape)} axes")
    rows, columns = shape if len(shape) == 2 else (1, *shape)
    if cls.__name__.startswith("csc"):
        rows, columns = columns, rows
    if indptr.size != rows + 1 or indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        raise WireError(f"'indptr' does not rise from 0 in {rows + 1} items")
    if not indptr[-1] == indices.size == data.size:
        raise WireError(
            f"'indptr' ends at {indptr[-1]}, for {data.size} data and {indices.size} indices"
        )
    _check_range(indices, columns)
    matrix = _built(cls, (data, indices, indptr), shape)
    if matrix.indices.itemsize > indices.itemsize:
        raise WireError(f"the shape {shape} needs indices of 64 bits")
    # The constructor narrows indices where it can, and copies views of what looks like larger arrays.
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def _decode_coo(
    cls: Any, shape: tuple[int, ...], data: _Array, descriptor: Descriptor, reader: BufferReader
) -> Any:
    coords = tuple(array.array_from(part, reader) for part in field(descriptor, "coords", list))
    _check_arrays(data, coords)
    if len(coords) != len(shape):
        raise WireError(f"{len(coords)} arrays of coordinates do not fit the shape {shape}")
    for values, length in zip(coords, shape, strict=True):
        if values.size != data.size:
            raise WireError(f"{values.size} coordinates do not fit {data.size} data")
        _check_range(values, length)
    matrix = _built(cls, (data, coords), shape)
    matrix.coords = coords
    matrix.has_canonical_format = field(descriptor, "canonical", bool)
    return matrix


def _check_arrays(data: _Array, indices: Sequence[_Array]) -> None:
    if fault := _dtype_fault(data, indices):
        raise WireError(fault)
    if any(values.ndim != 1 for values in (data, *indices)):
        raise WireError("the arrays of a sparse array have one axis each")


def _dtype_fault(data: _Array, indices: Sequence[_Array]) -> str:
    if data.dtype not in _DATA_DTYPES:
        return f"scipy does not compute with data of {data.dtype.str}; use .astype(float)"
    kinds = {values.dtype for values in indices}
    if len(kinds) != 1 or not kinds <= _INDEX_DTYPES:
        return f"its indices are {', '.join(sorted(map(str, kinds)))}; use all int32 or all int64"
    return ""


def _check_range(indices: _Array, length: int) -> None:
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < length:
        raise WireError(
            f"indices from {indices.min()} to {indices.max()} do not fit an axis of {length}"
        )


def _built(cls: Any, arrays: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    # The one seam to scipy's checks: how many axes a class has differs between its versions.
    try:
        return cls(arrays, shape=shape)
    except (TypeError, ValueError, OverflowError) as exc:
        raise WireError(f"scipy has no {cls.__name__} of the shape {shape}: {exc}") from exc
