"""The executor whose threads let the interpreter exit."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, wait

import pytest

from bridge import threads as module
from bridge.threads import DaemonThreads, Inline, Shares


@pytest.fixture
def threads():
    executor = DaemonThreads(2)
    yield executor
    executor.shutdown(cancel_futures=True)


def test_results_and_exceptions_come_through_futures(threads):
    assert threads.submit(divmod, 7, 2).result() == (3, 1)
    assert threads.submit(int, "ff", base=16).result() == 255
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result()
    assert list(threads.map(abs, [-1, 2, -3])) == [1, 2, 3]


def test_an_exception_that_ends_programs_does_not_end_the_thread(threads):
    def leave():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        threads.submit(leave).result()
    assert threads.submit(abs, -1).result() == 1


def test_the_threads_are_daemons_and_not_more_than_was_said(threads):
    together = threading.Barrier(2)

    def meet():
        together.wait()
        return threading.current_thread()

    workers = {threads.submit(meet) for _ in range(8)}
    found = {future.result() for future in wait(workers).done}
    assert len(found) == 2
    assert all(thread.daemon for thread in found)


def test_a_thread_that_is_idle_takes_the_next_task(threads):
    first = threads.submit(threading.current_thread).result()
    second = threads.submit(threading.current_thread).result()
    assert {first.name, second.name} <= {"bridge-work-1", "bridge-work-2"}


def test_after_shutdown_nothing_is_taken(threads):
    threads.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        threads.submit(abs, 1)


def test_shutdown_does_not_wait_and_cancels_what_has_not_begun():
    executor = DaemonThreads(1)
    begun, released = threading.Event(), threading.Event()

    def work():
        begun.set()
        released.wait()
        return "done"

    running = executor.submit(work)
    begun.wait()
    waiting = executor.submit(abs, 1)
    executor.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        waiting.result()
    assert not running.done()
    released.set()
    assert running.result() == "done"


def test_shutdown_lets_what_was_submitted_finish():
    executor = DaemonThreads(1)
    futures = [executor.submit(abs, -number) for number in range(10)]
    executor.shutdown()
    assert [future.result() for future in futures] == list(range(10))


def test_who_hears_that_his_task_was_cancelled_may_submit_and_is_refused():
    executor, refused, released = DaemonThreads(1), [], threading.Event()

    def submit_again(_):
        with pytest.raises(RuntimeError):
            executor.submit(abs, 1)
        refused.append(True)

    executor.submit(released.wait)
    executor.submit(abs, 1).add_done_callback(submit_again)
    executor.shutdown(cancel_futures=True)
    released.set()
    assert refused == [True]


def test_threads_that_have_nothing_to_do_end_and_others_begin(monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    executor = DaemonThreads(2)
    for _ in range(3):
        worker = executor.submit(threading.current_thread).result()
        worker.join(30)
        assert not worker.is_alive()
    executor.shutdown()


def test_no_task_is_forgotten_while_threads_end(monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.001)
    executor = DaemonThreads(3)
    for number in range(200):
        assert executor.submit(abs, -number).result(30) == number
        if number % 3 == 0:
            time.sleep(0.001)  # as long as a thread waits
    executor.shutdown()


def test_after_more_than_all_threads_can_do_at_once_and_a_rest_the_next_task_is_done(monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    executor = DaemonThreads(2)
    workers = {
        future.result() for future in [executor.submit(threading.current_thread) for _ in range(40)]
    }
    for worker in workers:
        worker.join(30)
    assert executor.submit(abs, -1).result(30) == 1
    executor.shutdown()


def test_as_many_threads_as_there_are_tasks_work_also_after_a_burst(threads):
    wait([threads.submit(abs, number) for number in range(40)])
    for _ in range(20):
        together = threading.Barrier(2)
        wait([threads.submit(together.wait, 30) for _ in range(2)])
        assert not together.broken


def test_a_task_for_which_no_thread_can_be_started_is_refused_and_never_done(threads, monkeypatch):
    done = []
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", _fail_to_start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(done.append, "refused")
    threads.submit(done.append, "taken").result(30)
    assert done == ["taken"]


def test_a_thread_that_cannot_be_started_is_no_matter_where_there_are_others(threads, monkeypatch):
    begun, released = threading.Event(), threading.Event()

    def work():
        begun.set()
        return released.wait(30)

    running = threads.submit(work)
    begun.wait()
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", _fail_to_start)
        waiting = threads.submit(abs, -1)
    released.set()
    assert running.result(30)
    assert waiting.result(30) == 1
    together = threading.Barrier(2)
    wait([threads.submit(together.wait, 30) for _ in range(2)])
    assert not together.broken


def _fail_to_start(thread):
    raise RuntimeError("can't start new thread")


def test_inline_work_is_done_when_it_is_submitted_in_the_thread_that_submits_it():
    assert Inline().submit(threading.current_thread).result() is threading.current_thread()
    with pytest.raises(SystemExit):
        Inline().submit(exit).result()
    with pytest.raises(KeyboardInterrupt):
        Inline().submit(_interrupted)


def _interrupted():
    raise KeyboardInterrupt


# ── shares ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def eight():
    executor = DaemonThreads(8)
    yield executor
    executor.shutdown(cancel_futures=True)


def test_one_takes_a_quarter_of_the_threads_and_the_others_have_theirs(eight, gate):
    shares, begun = Shares(eight), threading.Semaphore(0)

    def work():
        begun.release()
        return gate.wait(30)

    tasks = [shares.of("greedy").submit(work) for _ in range(20)]
    for _ in range(2):
        assert begun.acquire(timeout=30)
    assert shares.of("modest").submit(abs, -1).result(timeout=30) == 1
    assert not begun.acquire(blocking=False)
    gate.set()
    assert all(task.result(timeout=30) for task in tasks)


def test_what_waits_in_a_share_has_its_turn_in_order(gate):
    executor = DaemonThreads(4)
    share, order = Shares(executor).of("one"), []
    tasks = [share.submit(gate.wait, 30)]
    tasks += [share.submit(order.append, number) for number in range(50)]
    gate.set()
    wait(tasks, timeout=30)
    assert order == list(range(50))
    executor.shutdown()


def test_what_is_cancelled_while_it_waits_in_a_share_is_forgotten(eight, gate):
    shares = Shares(eight)
    share = shares.of("one")
    blocking = [share.submit(gate.wait, 30) for _ in range(2)]
    for _ in range(100):
        assert share.submit(abs, -1).cancel()
    assert not shares._waiting["one"]
    gate.set()
    wait(blocking, timeout=30)
    assert share.submit(abs, -1).result(timeout=30) == 1


def test_an_exception_in_a_share_gives_the_thread_back(eight):
    share = Shares(eight).of("one")
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            share.submit(divmod, 1, 0).result(timeout=30)
    assert share.submit(abs, -1).result(timeout=30) == 1


def test_a_shutdown_ends_what_waits_in_a_share(gate):
    executor = DaemonThreads(1)
    shares = Shares(executor)
    begun = threading.Event()

    def work():
        begun.set()
        return gate.wait(30)

    running = shares.of("one").submit(work)
    assert begun.wait(30)
    other, another = (shares.of(who).submit(abs, -1) for who in ("two", "one"))
    executor.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        other.result(timeout=30)
    gate.set()
    assert running.result(timeout=30)
    with pytest.raises(RuntimeError, match="shut down"):
        another.result(timeout=30)
    with pytest.raises(RuntimeError, match="shut down"):
        shares.of("one").submit(abs, -1)


def test_an_executor_of_unknown_size_is_everybodys():
    executor = Inline()
    assert Shares(executor).of("one") is executor
