"""What both ends need in memory, beside the data."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import bridge
from bridge.limits import STANDARD
from tests.faults import naive
from tests.faults.memory import MIB, forget_peak, only_on_linux, peak, resident
from tests.faults.proxy import Proxy
from tests.faults.reading import BLOCK, MARK
from tests.faults.served import serving, tell
from tests.processes import line_of, started

pytestmark = only_on_linux

GIB = 1024 * MIB
ALLOWED = 32 * MIB


@pytest.fixture
def sparse(tmp_path):
    """A file of 8 GiB that takes a few KiB of the disk: one number in `MARK` is its own index."""
    path = tmp_path / "sparse.npy"
    values = np.lib.format.open_memmap(path, "w+", np.int64, (8 * GIB // 8,))
    values[::MARK] = np.arange(0, len(values), MARK)
    values.flush()
    return str(path)


@contextlib.contextmanager
def measured(*pids):
    """Yields a function that says by how much each process has grown at its peak since now."""
    before = [resident(pid) for pid in pids]
    for pid in pids:
        forget_peak(pid)
    yield lambda: [peak(pid) - base for pid, base in zip(pids, before, strict=True)]


def growth_of_both_ends(task, url, name, server, order=""):
    with started("-m", "tests.faults.reading", task, url, name) as client:
        assert line_of(client) == "ready"
        with measured(client.pid, server.pid) as growth:
            tell(client, order)
            assert line_of(client) == "read"
            return growth()


@pytest.mark.parametrize(("name", "nbytes"), [("numbers", GIB), ("frame", GIB // 4)])
def test_an_array_or_frame_takes_its_own_size_on_the_client_and_nothing_on_the_server(name, nbytes):
    sources = {"large": [name, nbytes], "small": ["numbers", 80]}
    with serving(sources) as (url, server):
        client_grew, server_grew = growth_of_both_ends("whole", url, "large", server)
    assert nbytes <= client_grew <= nbytes + ALLOWED
    assert server_grew <= ALLOWED


@pytest.mark.parametrize("nbytes", [GIB, pytest.param(8 * GIB, marks=pytest.mark.slow)])
@pytest.mark.timeout(180)
def test_a_file_of_any_size_is_read_in_blocks_in_the_memory_of_a_few_of_them(sparse, nbytes):
    sources = {"file": ["file", sparse], "small": ["numbers", 80]}
    with serving(sources) as (url, server):
        client_grew, server_grew = growth_of_both_ends("blocks", url, "file", server, nbytes)
    assert client_grew <= 3 * BLOCK + ALLOWED
    assert server_grew <= ALLOWED


@pytest.mark.parametrize("nbytes", [GIB // 4, pytest.param(5 * GIB, marks=pytest.mark.slow)])
@pytest.mark.timeout(180)
def test_no_frame_on_the_wire_is_larger_than_a_window(sparse, nbytes):
    sources = {"file": ["file", sparse]}
    with serving(sources) as (url, _), Proxy(url) as proxy, bridge.connect(proxy.url) as client:
        values = client["file"][: nbytes // 8]
        assert len(proxy.frames) > nbytes // STANDARD.window
        assert max(proxy.frames) <= STANDARD.window
    marked = np.arange(0, len(values), MARK)
    assert np.array_equal(values[marked], marked)
    assert np.count_nonzero(values) == len(marked) - 1


def test_the_naive_server_sends_a_frame_as_large_as_the_array():
    sources = {"array": ["numbers", 16 * MIB]}
    with serving(sources, program="naive") as (url, _), Proxy(url) as proxy:
        naive.read(proxy.url, "array", timeout=20)
        assert max(proxy.frames) == 16 * MIB
