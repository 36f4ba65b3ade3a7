from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse as scipy_sparse
from scipy import stats

from bridge import codecs
from bridge.errors import WireError
from tests.check import check_codec, check_refused
from tests.samples import sparse


@pytest.mark.parametrize("make", sparse.SAMPLES.values(), ids=sparse.SAMPLES)
def test_comes_back_identical(make):
    check_codec(make())


@pytest.mark.parametrize(("make", "word"), sparse.REFUSED.values(), ids=sparse.REFUSED)
def test_is_refused_with_a_way_out(make, word):
    check_refused(make(), word)


@given(
    hnp.arrays(
        st.sampled_from(["f8", "i4", "c8", "?"]), hnp.array_shapes(min_dims=2, max_dims=2, min_side=0)
    ),
    st.sampled_from(["csr", "csc", "coo"]),
)
def test_any_matrix_comes_back_identical(dense, form):
    check_codec(scipy_sparse.coo_array(dense).asformat(form))
    check_codec(scipy_sparse.coo_matrix(dense).asformat(form))


def test_the_arrays_are_not_copied_on_either_side():
    sent = scipy_sparse.random_array((1000, 1000), density=0.05, format="csr", rng=1)
    descriptor, buffers = codecs.encode(sent)
    for buffer, part in zip(buffers, (sent.data, sent.indices, sent.indptr), strict=True):
        assert np.shares_memory(np.frombuffer(buffer, np.uint8), part)
    received = [np.frombuffer(bytes(buffer), np.uint8).copy() for buffer in buffers]
    result = codecs.decode(descriptor, [buffer.data for buffer in received])
    assert np.shares_memory(result.data, received[0])
    assert np.shares_memory(result.indices, received[1])
    assert result.data.flags.writeable


def test_what_comes_back_computes_like_what_was_sent():
    for make in sparse.SAMPLES.values():
        sent = make()
        if max(sent.shape) < 10_000:
            result = codecs.decode(*codecs.encode(sent))
            np.testing.assert_array_equal(result.toarray(), sent.toarray())
            np.testing.assert_array_equal(result.sum(axis=0), sent.sum(axis=0))


def test_other_objects_of_scipy_are_refused():
    check_refused(stats.norm(), "arrays")


def _array(values: list, dtype: str) -> tuple[dict, bytes]:
    array = np.array(values, dtype)
    return {"kind": "array", "dtype": dtype, "shape": list(array.shape), "order": "C"}, array.tobytes()


def _csr(
    *,
    data=(1, 2),
    indices=(0, 2),
    indptr=(0, 1, 2),
    shape=(2, 3),
    name="csr_array",
    kinds=("<f8", "<i4", "<i4"),
):
    parts = [_array(list(v), kind) for v, kind in zip((data, indices, indptr), kinds, strict=True)]
    described = dict(zip(("data", "indices", "indptr"), (part[0] for part in parts), strict=True))
    shape = list(shape) if isinstance(shape, tuple) else shape
    return {"kind": "sparse", "class": name, "shape": shape, **described}, [part[1] for part in parts]


def _coo(*coords, data=(1, 2), shape=(2, 3), kind="<i8", **changed):
    parts = [_array(list(data), "<f8"), *(_array(list(values), kind) for values in coords)]
    described = {"data": parts[0][0], "coords": [part[0] for part in parts[1:]], "canonical": False}
    descriptor = {"kind": "sparse", "class": "coo_array", "shape": list(shape), **described, **changed}
    return descriptor, [part[1] for part in parts]


def test_the_descriptors_below_are_wrong_in_one_place_only():
    assert codecs.decode(*_csr()).toarray().tolist() == [[1, 0, 0], [0, 0, 2]]
    assert codecs.decode(*_coo([0, 1], [0, 2])).toarray().tolist() == [[1, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(_csr(indices=(0, 3)), id="index beyond the columns"),
        pytest.param(_csr(indices=(0, -1)), id="negative index"),
        pytest.param(_csr(name="csc_array"), id="csr as csc"),
        pytest.param(_csr(indptr=(0, 2, 1)), id="indptr falls"),
        pytest.param(_csr(indptr=(0, 3, 2)), id="indptr leaves and returns"),
        pytest.param(_csr(indptr=(0, -1, 2)), id="indptr negative"),
        pytest.param(_csr(indptr=(1, 1, 2)), id="indptr does not begin with 0"),
        pytest.param(_csr(indptr=(0, 1, 3)), id="indptr ends beyond the data"),
        pytest.param(_csr(indptr=(0, 1, 1)), id="indptr ends before the data"),
        pytest.param(_csr(indptr=(0, 2)), id="indptr too short"),
        pytest.param(_csr(indptr=()), id="indptr empty"),
        pytest.param(_csr(indptr=(0, 2**63 - 1, 2), kinds=("<f8", "<i8", "<i8")), id="indptr huge"),
        pytest.param(_csr(indices=(0, 1, 2)), id="more indices than data"),
        pytest.param(_csr(data=(1,)), id="fewer data than indices"),
        pytest.param(_csr(data=([1], [2])), id="data with two axes"),
        pytest.param(_csr(kinds=("<f8", "<i4", "<i8")), id="two index dtypes"),
        pytest.param(_csr(kinds=("<f8", "<u4", "<u4")), id="unsigned indices"),
        pytest.param(_csr(kinds=("<f8", ">i4", ">i4")), id="big-endian indices"),
        pytest.param(_csr(kinds=("<f8", "<f8", "<f8")), id="float indices"),
        pytest.param(_csr(kinds=("<M8[s]", "<i4", "<i4")), id="dates as data"),
        pytest.param(_csr(kinds=(">f8", "<i4", "<i4")), id="big-endian data"),
        pytest.param(_csr(shape=(2, 2**40)), id="more columns than int32 counts"),
        pytest.param(_csr(shape=(2**62, 3)), id="many rows"),
        pytest.param(_csr(shape=(-2, 3)), id="negative shape"),
        pytest.param(_csr(shape=(2, 1, 3)), id="three axes"),
        pytest.param(_csr(shape=()), id="no axes"),
        pytest.param(_csr(shape="23"), id="shape is text"),
        pytest.param(_csr(shape=(2,), name="csr_matrix"), id="matrix with one axis"),
        pytest.param(_csr(shape=(2,), name="csc_array"), id="csc with one axis"),
        pytest.param(_csr(name="bsr_array"), id="other format"),
        pytest.param(_csr(name="__class__"), id="other name"),
        pytest.param(_coo([0, 2], [0, 2]), id="coo: index beyond the rows"),
        pytest.param(_coo([0, 1], [0, -1]), id="coo: negative index"),
        pytest.param(_coo([0, 1]), id="coo: axis missing"),
        pytest.param(_coo([0, 1], [0, 1], [0, 0]), id="coo: axis too many"),
        pytest.param(_coo([0, 1], [0]), id="coo: coordinate missing"),
        pytest.param(_coo([0, 1], [0, 1], data=(1, 2, 3)), id="coo: too many data"),
        pytest.param(_coo([[0], [1]], [0, 1]), id="coo: coordinates with two axes"),
        pytest.param(_coo([0, 1], [0, 2], kind="<f8"), id="coo: float coordinates"),
        pytest.param(_coo([0, 1], [0, 2], canonical=1), id="coo: flag is an int"),
        pytest.param(_coo([0, 1], [0, 2], coords={}), id="coo: coordinates in an object"),
        pytest.param(_coo([0, 1], [0, 2], coords=[[], []]), id="coo: no descriptors"),
        pytest.param(_coo(shape=(), data=()), id="coo: no axes"),
        pytest.param(
            _coo([0, 1], [0, 1], [0, 0], shape=(2, 2, 2), **{"class": "coo_matrix"}),
            id="coo: 3-d matrix",
        ),
    ],
)
def test_arrays_that_would_mislead_scipy_are_a_wire_error(message):
    with pytest.raises(WireError):
        codecs.decode(*message)
