"""Many threads, other processes, forks; and slow work that holds nobody up."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait

import numpy as np
import pytest

import bridge
from tests.processes import output_of

LARGE = np.arange(1024 * 1024, dtype=np.float64)  # 8 MiB: a transfer
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def server(server):
    server.update({f"array {number}": np.full(1000, number) for number in range(16)})
    server["large"] = LARGE
    return server


def double(values):
    return 2 * values


def read_repeatedly(client, name, times=20):
    return [client.read(name) for _ in range(times)]


def test_sixteen_threads_use_one_client_at_once(client):
    names = [f"array {number}" for number in range(16)]
    together = threading.Barrier(16)

    def read(name):
        together.wait()
        return read_repeatedly(client, name)

    with ThreadPoolExecutor(16) as pool:
        for number, results in enumerate(pool.map(read, names)):
            np.testing.assert_array_equal(results, np.full((20, 1000), number))


def test_transfers_in_several_threads_do_not_mix(client, server):
    server.update({f"large {number}": LARGE + number for number in range(4)})

    def read(number):
        return client.read(f"large {number}")

    with ThreadPoolExecutor(4) as pool:
        for number, result in enumerate(pool.map(read, range(4))):
            np.testing.assert_array_equal(result, LARGE + number)


def test_a_client_may_be_closed_while_another_thread_reads(client):
    begun = threading.Event()

    def progress(done, total):
        begun.set()

    with ThreadPoolExecutor() as pool:
        read = pool.submit(client["large"].read, progress=progress)
        begun.wait()
        client.close()
        np.testing.assert_array_equal(read.result(), LARGE)
    np.testing.assert_array_equal(client.read("large"), LARGE)


def test_a_pickled_client_connects_again(client):
    with pickle.loads(pickle.dumps(client)) as copy:
        assert (copy.url, copy.timeout) == (client.url, client.timeout)
        np.testing.assert_array_equal(copy.read("array 3"), np.full(1000, 3))


def test_a_client_is_handed_to_a_spawned_process(client):
    with ProcessPoolExecutor(1, SPAWN) as pool:
        here = read_repeatedly(client, "array 4")
        there = pool.submit(read_repeatedly, client, "array 4").result()
    np.testing.assert_array_equal(here, there)


def test_parent_and_child_read_after_a_fork(server):
    code = """
import os, sys, warnings, numpy, bridge
b = bridge.connect(sys.argv[1])
x = b["large"]
expected = numpy.arange(1024 * 1024)
assert (b.read("large") == expected).all()
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn: ZeroMQ has threads
child = os.fork()
right = all((read == expected).all() for _ in range(10) for read in (b.read("large"), x[...]))
if child == 0:
    os._exit(0 if right else 1)
assert right
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (b.read("large") == expected).all()
b.close()
print("both were right")
"""
    assert output_of("-c", code, server.url) == "both were right\n"


def test_fast_reads_are_done_while_a_slow_query_still_runs(server, client):
    entered, released = threading.Event(), threading.Event()

    @server.query
    def slow():
        entered.set()
        released.wait()
        return "done at last"

    with ThreadPoolExecutor(51) as pool:
        last = pool.submit(client.call, "slow")
        entered.wait()
        fast = [pool.submit(client.read, "large" if n % 10 == 0 else "array 1") for n in range(50)]
        for read in fast:
            assert len(read.result()) in (1000, len(LARGE))
        assert not last.done()
        released.set()
        assert last.result() == "done at last"


def test_more_slow_queries_than_there_are_threads_do_not_hold_up_reads(server, client):
    released = threading.Event()

    @server.query
    def slow(number: int):
        released.wait()
        return number

    with ThreadPoolExecutor(64) as pool:
        calls = [pool.submit(client.call, "slow", number=number) for number in range(64)]
        large = client["large"]
        for _ in range(20):
            np.testing.assert_array_equal(large[...], LARGE)
            np.testing.assert_array_equal(large[::3], LARGE[::3])  # is cut out in a thread
        assert not wait(calls, timeout=0, return_when=FIRST_COMPLETED).done
        released.set()
        assert [call.result() for call in calls] == list(range(64))


@pytest.mark.parametrize("make_executor", [ThreadPoolExecutor, lambda: ProcessPoolExecutor(1, SPAWN)])
def test_queries_run_on_the_executor_of_the_user(make_executor):
    with make_executor() as executor:
        with (
            bridge.Server("tcp://127.0.0.1:0", executor=executor) as server,
            bridge.connect(server.url) as b,
        ):
            server.query(double)
            np.testing.assert_array_equal(b.call("double", values=LARGE[:5]), 2 * LARGE[:5])
            with pytest.raises(TypeError, match="missing a required argument: 'values'"):
                b.call("double")
        assert executor.submit(double, 1).result() == 2, "the server closed what is not its own"


def test_a_query_after_the_executor_was_shut_down_is_a_failure_not_silence():
    executor = ThreadPoolExecutor()
    with bridge.Server("tcp://127.0.0.1:0", executor=executor) as server:
        server.query(double)
        executor.shutdown()
        with bridge.connect(server.url) as b, pytest.raises(RuntimeError, match="shutdown"):
            b.call("double", values=1)
