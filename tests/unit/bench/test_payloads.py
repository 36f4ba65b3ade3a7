from __future__ import annotations

import re

import numpy as np
import pytest

from bridge.bench import exact, payloads

ARRAYS = [
    f"{dtype}{order}{values}"
    for dtype in payloads.DTYPES
    for order in ("", "-F", "-strided")
    for values in ("", "-smooth", "-zeros")
]
NAMES = [*ARRAYS, *payloads.FRAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_payload_is_the_same_wherever_it_is_made(name):
    made = payloads.build(name, 30_000)
    assert exact.changes(made, payloads.build(name, 30_000)) == []
    assert payloads.touch(made) == payloads.touch(payloads.build(name, 30_000))


@pytest.mark.parametrize("name", NAMES)
def test_a_payload_has_the_size_that_was_asked_for(name):
    assert payloads.nbytes_of(payloads.build(name, 2**20)) == pytest.approx(2**20, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_payload_has_something_in_it(name):
    assert payloads.nbytes_of(payloads.build(name, 1)) > 0


def test_names_say_order_and_values():
    assert payloads.build("f8-F", 2**16).flags.f_contiguous
    assert not payloads.build("f8-F", 2**16).flags.c_contiguous
    assert not payloads.build("f8-strided", 2**16).flags.forc
    assert not payloads.build("c16-zeros", 2**16).imag.any() or payloads.build("c16-zeros", 64)[0] == 1j
    smooth = payloads.build("f8-smooth", 2**16)
    assert np.abs(np.diff(smooth)).max() < 1e-3 < np.abs(np.diff(payloads.build("f8", 2**16))).max()


@pytest.mark.parametrize(
    "name", ["", "f9", "f8-", "f8-G", "f8-smooth-F", "f8-F-F", "frame", "frame-x", "O"]
)
def test_a_name_that_is_no_payload_is_refused(name):
    with pytest.raises(ValueError, match=re.escape(f"{name!r} is no payload")):
        payloads.parse(name)


@pytest.mark.parametrize("name", ["f8", "f8-F", "datetime64", "struct", *payloads.FRAMES])
def test_touching_reads_each_page(name):
    made = payloads.build(name, 2**20)
    pages = sum(-(-piece.nbytes // payloads.PAGE) for piece in payloads._memory(made))
    assert pages * payloads.PAGE >= 0.9 * payloads.nbytes_of(made)


def test_a_payload_is_made_once_for_all_formats():
    making = payloads.Making()
    nbytes, made = making.make("frame-mixed", 10_000, opaque=False)
    _, opaque = making.make("frame-mixed", 10_000, opaque=True)
    assert opaque.dtype == np.uint8
    assert opaque.nbytes == nbytes
    assert making.make("frame-mixed", 10_000, opaque=False)[1] is made
    assert making.make("frame-mixed", 10_000, opaque=True)[1] is opaque
