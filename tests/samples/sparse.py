"""scipy's sparse arrays and matrices, and what "identical" means for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from tests.samples import arrays


def _dense(dtype: Any = float, shape: tuple[int, ...] = (4, 5)) -> np.ndarray:
    values = np.random.default_rng(3).integers(-3, 4, shape)
    return np.where(values > 0, values, 0).astype(dtype)


def _unpruned() -> Any:
    matrix = sparse.csr_array(_dense())
    matrix.data = np.append(matrix.data, [9.0, 9.0])
    matrix.indices = np.append(matrix.indices, np.zeros(2, np.int32))
    return matrix


def _int64_indices(matrix: Any) -> Any:
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def _coo(*coords: list[int], shape: tuple[int, ...], cls: Any = sparse.coo_array) -> Any:
    data = np.arange(len(coords[0]), dtype=float)
    return cls((data, tuple(np.array(values) for values in coords)), shape=shape)


def _summed(matrix: Any) -> Any:
    matrix.sum_duplicates()
    return matrix


SAMPLES: dict[str, Callable[[], Any]] = {
    **{
        cls.__name__: partial(cls, _dense())
        for cls in (
            sparse.csr_array,
            sparse.csr_matrix,
            sparse.csc_array,
            sparse.csc_matrix,
            sparse.coo_array,
            sparse.coo_matrix,
        )
    },
    **{
        f"data of {dtype}": partial(sparse.csr_array, _dense(dtype))
        for dtype in ("bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "c8", "c16")
    },
    "explicit zeros": lambda: sparse.csr_array(
        (np.zeros(2), np.array([0, 2]), np.array([0, 1, 2])), shape=(2, 3)
    ),
    "unsorted, with duplicates": lambda: sparse.csc_array(
        (np.arange(4.0), np.array([2, 0, 1, 1]), np.array([0, 2, 4])), shape=(3, 2)
    ),
    "int64 indices, csr": lambda: _int64_indices(sparse.csr_array(_dense())),
    "int64 indices, csc_matrix": lambda: _int64_indices(sparse.csc_matrix(_dense())),
    "int64 indices, coo": lambda: _coo([0, 2**40], [1, 0], shape=(2**41, 3)),
    "no entries": lambda: sparse.csr_array((3, 4)),
    "no rows": lambda: sparse.csr_matrix((0, 4)),
    "no rows, many columns": lambda: sparse.csr_array(
        (np.empty(0), np.empty(0, np.int32), np.zeros(1, np.int32)), shape=(0, 2**40)
    ),
    "no columns, csc": lambda: sparse.csc_array((4, 0)),
    "nothing at all": lambda: sparse.csr_array((0, 0)),
    "csr, 1-d": lambda: sparse.csr_array(np.array([0, 1.5, 0, 2])),
    "coo, 1-d": lambda: _coo([1, 5, 5], shape=(7,)),
    "coo, 3-d": lambda: _coo([1, 0], [0, 2], [3, 3], shape=(2, 3, 4)),
    "coo, duplicates": lambda: _coo([1, 1, 0], [0, 0, 2], shape=(2, 3)),
    "coo, duplicates summed": lambda: _summed(_coo([1, 1, 0], [0, 0, 2], shape=(2, 3))),
    "coo_matrix, empty": lambda: sparse.coo_matrix((2, 3)),
    "large": lambda: sparse.random_array((1000, 1000), density=0.05, format="csr", rng=1),
}


class _Graph(sparse.csr_array):  # type: ignore[misc]
    """A subclass that means something."""


# What cannot travel exactly, and a word of the way out that the error names.
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "bsr": (lambda: sparse.bsr_array(_dense()), "x.tocsr()"),
    "dia": (lambda: sparse.dia_array(_dense()), "x.tocsr()"),
    "lil": (lambda: sparse.lil_matrix(_dense()), "x.tocsr()"),
    "dok": (lambda: sparse.dok_array(_dense()), "x.tocsr()"),
    "subclass": (lambda: _Graph(_dense()), "csr_array(x)"),
    "room behind the entries": (_unpruned, "x.prune()"),
    "big-endian": (lambda: sparse.csr_array(_csr_parts(">f8"), shape=(1, 2)), ".astype("),
    "float16": (lambda: sparse.csr_array(_csr_parts("f2"), shape=(1, 2)), ".astype("),
    "longdouble": (lambda: sparse.csr_array(_dense("g")), ".astype("),
}


def _csr_parts(dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.ones(2, dtype), np.array([0, 1]), np.array([0, 2])


def difference(a: Any, b: Any) -> str | None:
    """Say how one sparse array differs from another, also in what is stored and how, or None."""
    if a.shape != b.shape:
        return f"shape {b.shape}, was {a.shape}"
    for name, was, now in zip(_names(a), _parts(a), _parts(b), strict=True):
        if found := arrays.difference(was, now):
            return f"{name}: {found}"
    for flag in ("has_canonical_format", "has_sorted_indices"):
        if getattr(a, flag, None) != getattr(b, flag, None):
            return f"{flag} is {getattr(b, flag)}"
    return None


def _names(matrix: Any) -> list[str]:
    if matrix.format == "coo":
        return ["data", *(f"coords[{axis}]" for axis in range(matrix.ndim))]
    return ["data", "indices", "indptr"]


def _parts(matrix: Any) -> list[np.ndarray]:
    if matrix.format == "coo":
        return [matrix.data, *matrix.coords]
    return [matrix.data, matrix.indices, matrix.indptr]
