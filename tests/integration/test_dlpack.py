"""What arrives is handed to torch, jax and numpy by DLPack, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

DTYPES = ["f4", "f8", "i1", "i8", "u1", "?", "c8"]


def torch(values: np.ndarray) -> tuple[Any, int]:
    tensor = pytest.importorskip("torch", reason="torch is not installed").from_dlpack(values)
    return tensor.numpy(), tensor.data_ptr()


def jax(values: np.ndarray) -> tuple[Any, int]:
    library = pytest.importorskip("jax", reason="jax is not installed")
    library.config.update("jax_enable_x64", True)  # else it makes float32 of float64
    array = library.dlpack.from_dlpack(values)
    return np.asarray(array), array.unsafe_buffer_pointer()


def numpy(values: np.ndarray) -> tuple[Any, int]:
    array = np.from_dlpack(values)
    return array, array.ctypes.data


@pytest.mark.parametrize("length", [16, 300_000], ids=["one message", "windows"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("library", [numpy, torch, jax], ids=lambda library: library.__name__)
def test_an_array_becomes_a_tensor_in_the_same_memory(server, client, library, dtype, length):
    expected = (np.arange(length * 4) % 100).astype(dtype).reshape(length, 4)
    server["x"] = expected
    values = client["x"][:]
    result, address = library(values)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == expected.dtype
    # jax takes as it lies what lies at a multiple of 64 bytes, as what comes in windows does.
    assert address == values.ctypes.data or (library is jax and length == 16)


def test_what_a_tensor_writes_is_in_the_array(server, client):
    server["x"] = np.zeros(10)
    values = client.read("x")
    np.from_dlpack(values)[...] = 7
    assert values.sum() == 70
