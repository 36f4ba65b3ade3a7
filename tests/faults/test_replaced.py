"""Sources that are replaced while they are being read: never a mixture of two versions."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import zmq

import bridge
from tests.faults import naive
from tests.faults.proxy import Proxy
from tests.faults.served import MIB, numbers, serving

NBYTES = 4 * MIB
SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 5 else []) for seed in range(30)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("served") / "file.npy"


@pytest.fixture(scope="module")
def server(path):
    save_renamed(path, seed=0)
    with serving({"array": ["numbers", NBYTES], "file": ["file", str(path)]}) as (url, _):
        yield url


@pytest.fixture
def proxy(server):
    with Proxy(server) as proxy:
        yield proxy


def save_renamed(path: Path, *, seed: int) -> None:
    new = path.with_name("new.npy")
    np.save(new, numbers(NBYTES, seed))
    new.replace(path)


def save_in_place(path: Path, *, seed: int) -> None:
    with path.open("r+b") as file:
        np.save(file, numbers(NBYTES, seed))


def seed_of(result: np.ndarray) -> int:
    """Which version it is, and that it is nothing else."""
    seed = int(result[0]) >> 40
    assert np.array_equal(result, numbers(NBYTES, seed))
    return seed


@pytest.mark.parametrize("seed", SEEDS)
def test_an_array_that_is_replaced_while_it_is_read_comes_whole(server, proxy, seed):
    at = random.Random(seed).randrange(NBYTES)
    with bridge.connect(proxy.url) as client, bridge.connect(server) as writer:

        def replace(seed):
            writer.call("replace", name="array", maker="numbers", arguments=[NBYTES, seed])
            proxy.cut()

        replace(0)
        proxy.after(at, lambda: replace(1))
        assert seed_of(client.read("array")) in (0, 1)
        assert seed_of(client.read("array")) == 1


def test_an_array_that_is_replaced_while_it_is_read_never_comes_to_the_naive_client():
    sources = {"array": ["numbers", NBYTES, 0], "other": ["numbers", NBYTES, 1]}
    with serving(sources, program="naive") as (url, _), Proxy(url) as proxy:

        def replace():
            naive.read(url, "array by other", timeout=20)
            proxy.cut()

        proxy.after(NBYTES // 2, replace)
        with pytest.raises(zmq.Again):
            naive.read(proxy.url, "array", timeout=1.0)


@pytest.mark.parametrize("save", [save_renamed, save_in_place])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_that_is_replaced_while_it_is_read_comes_whole(path, proxy, save, seed):
    at = random.Random(seed).randrange(NBYTES)
    save_renamed(path, seed=0)
    with bridge.connect(proxy.url) as client:
        proxy.after(at, lambda: save(path, seed=1))
        assert seed_of(client.read("file")) in (0, 1)
        assert seed_of(client.read("file")) == 1


def test_a_file_that_is_rewritten_all_the_time_is_a_change(path, proxy):
    save_renamed(path, seed=0)
    with bridge.connect(proxy.url) as client:
        versions = iter(range(1, 100))

        def rewrite(done, total):
            save_in_place(path, seed=next(versions))

        with pytest.raises(bridge.Changed, match="'file' was replaced on the server twice"):
            client.read("file", progress=rewrite)


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error_and_the_server_lives(path, proxy):
    save_renamed(path, seed=0)
    with bridge.connect(proxy.url) as client:
        proxy.after(100_000, lambda: os.truncate(path, NBYTES // 4))
        with pytest.raises(bridge.RemoteError):
            client.read("file")
        save_renamed(path, seed=1)
        assert seed_of(client.read("file")) == 1


def test_of_a_file_that_is_rewritten_in_place_the_naive_server_sends_a_mixture(tmp_path):
    path = tmp_path / "file.npy"
    large = 16 * NBYTES  # more than the buffers of a connection hold
    np.save(path, numbers(large))
    with serving({"file": ["file", str(path)]}, program="naive") as (url, _), Proxy(url) as proxy:

        def rewrite():
            with path.open("r+b") as file:
                np.save(file, numbers(large, seed=1))

        proxy.after(large // 8, rewrite)
        result = naive.read(proxy.url, "file", timeout=20)
    assert {int(result[0]) >> 40, int(result[-1]) >> 40} == {0, 1}
