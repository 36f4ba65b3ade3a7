"""Calls as plain state: values are made a little ahead, each is handed out in order, nothing is left behind."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from bridge import calls
from bridge.calls import END, PENDING, PREFETCH, Call, Calls, cancelled
from bridge.errors import RemoteError, WireError
from bridge.limits import Limits
from bridge.threads import DaemonThreads, Inline

CALL = "a call of some length"


class OnDemand(Executor):
    """Does what was submitted when it is told to."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, /, *args, **kwargs):
        future: Future[Any] = Future()
        self.tasks.append((future, fn))
        return future

    def work(self):
        while self.tasks:
            future, fn = self.tasks.pop(0)
            if future.set_running_or_notify_cancel():
                future.set_result(fn())


def call_of(function, executor=None, /, *, encode=lambda value: (value, 0), many=False, **arguments):
    return Call(executor or Inline(), function, arguments, encode=encode, many=many)


def next_of(call, number=None):
    """The value, the exception or the signal that one wait is given."""
    given: list[Any] = []
    call.wait(given.append, number)
    (item,) = given
    return item if isinstance(item, calls.Signal) else item.error or item.value


def test_the_value_of_a_function_is_the_last_one():
    given: list[Any] = []
    call_of(lambda a, b: a + b, a=1, b=2).wait(given.append)
    assert [(item.value, item.last) for item in given] == [(3, True)]


@pytest.mark.parametrize("name", ["function", "fn", "self", "args", "key", "workers"])
def test_arguments_may_have_any_name(name):
    assert next_of(call_of(lambda **given: given, **{name: 1})) == {name: 1}


@pytest.mark.parametrize("executor", [Inline(), DaemonThreads(), ThreadPoolExecutor()])
def test_every_value_of_a_stream_comes_once_and_in_order_and_then_the_end(executor):
    call = call_of(lambda n: iter(range(n)), executor, many=True, n=100)
    there, given = threading.Semaphore(0), []

    def deliver(item):
        given.append(item)
        there.release()

    while not given or given[-1] is not END:
        call.wait(deliver)
        assert there.acquire(timeout=30)
    assert [item.value for item in given[:-1]] == list(range(100))
    executor.shutdown()


def test_a_value_that_takes_long_to_encode_is_not_overtaken_by_the_next():
    def encode(value):
        time.sleep(0.02 if value % 2 == 0 else 0.0)
        return value, 0

    executor = DaemonThreads(4)
    call = call_of(lambda: iter(range(20)), executor, encode=encode, many=True)
    there: queue.SimpleQueue[Any] = queue.SimpleQueue()
    values: list[int] = []
    while len(values) < 20:
        call.wait(there.put)
        while (item := there.get(timeout=30)) is PENDING:
            pass
        values.append(item.value)
    assert values == list(range(20))
    executor.shutdown()


def test_a_stream_runs_ahead_of_its_client_by_a_bounded_number_of_values():
    made: list[int] = []

    def count():
        while True:
            made.append(len(made))
            yield made[-1]

    call = call_of(count, many=True)
    assert made == list(range(PREFETCH))
    for taken in range(10):
        assert next_of(call) == taken
        assert len(made) == taken + 1 + PREFETCH


def test_what_was_raised_in_mid_stream_comes_after_the_values_before():
    def fail():
        yield 1
        yield 2
        raise KeyError("told you")

    call = call_of(fail, many=True)
    assert [next_of(call), next_of(call)] == [1, 2]
    assert isinstance(next_of(call), KeyError)
    assert next_of(call) is END


def test_a_value_that_cannot_be_sent_ends_a_stream_and_closes_it():
    closed = []

    def values():
        try:
            yield 1
            yield 0
            yield 2
        finally:
            closed.append(True)

    call = call_of(values, encode=lambda value: (1 // value, 0), many=True)
    assert next_of(call) == 1
    assert isinstance(next_of(call), ZeroDivisionError)
    assert next_of(call) is END
    assert closed == [True]


def test_a_stream_that_is_none_is_a_failure():
    assert isinstance(next_of(call_of(lambda: 5, many=True)), TypeError)


def test_a_value_whose_reply_was_lost_is_given_again_and_no_other():
    call = call_of(lambda: iter("abcdef"), many=True)
    assert [next_of(call, 0), next_of(call, 0), next_of(call, 1), next_of(call, 1)] == list("aabb")
    assert next_of(call) == "c"
    for number in (0, 1, 4, 2**62):
        with pytest.raises(WireError, match="the next value of this call is 3"):
            call.wait(print, number)
    assert next_of(call, 3) == "d"


def test_who_waits_too_long_is_told_so_and_may_ask_again():
    executor = OnDemand()
    given: list[Any] = []
    call = call_of(lambda: 5, executor)
    call.wait(given.append)
    assert call.is_awaited
    call.give_up_waiting(given.append)
    call.give_up_waiting(print)  # who does not wait
    assert given == []
    first = given.append
    call.wait(first)
    assert given == [PENDING], "only one waits at a time"
    call.give_up_waiting(first)
    assert given == [PENDING, PENDING]
    executor.work()
    assert next_of(call) == 5


def test_a_call_that_was_stopped_before_it_began_never_runs():
    executor = OnDemand()
    ran: list[Any] = []
    given: list[Any] = []
    call = call_of(ran.append, executor, object=1)
    call.wait(given.append)
    call.close()
    executor.work()
    assert ran == []
    assert [item.error.code for item in given] == ["expired"]


def test_a_stream_that_was_stopped_does_not_look_complete():
    call = call_of(lambda: iter(range(5)), many=True)
    assert next_of(call) == 0
    call.close()
    assert isinstance(next_of(call), RemoteError)


@pytest.mark.parametrize("begun", [False, True])
def test_a_stream_that_was_stopped_is_closed(begun):
    executor, closed = OnDemand(), []

    class Values:
        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def close(self):
            closed.append(True)

    call = call_of(Values, executor, many=True)
    if begun:
        executor.work()
    else:
        future, fn = executor.tasks.pop()
        future.set_running_or_notify_cancel()  # it cannot be cancelled any more
    call.close()
    if not begun:
        future.set_result(fn())
    executor.work()
    assert closed == [True]


def test_a_running_function_sees_that_it_was_given_up():
    entered = threading.Event()
    seen = threading.Event()

    def function():
        assert not cancelled()
        entered.set()
        while not cancelled():
            time.sleep(0.001)
        seen.set()

    with ThreadPoolExecutor(1) as pool:
        call = call_of(function, pool)
        assert entered.wait(30)
        call.close()
        assert seen.wait(30)
        assert pool.submit(cancelled).result() is False
    assert cancelled() is False


def test_an_executor_that_takes_nothing_is_a_failure():
    executor = ThreadPoolExecutor()
    executor.shutdown()
    assert isinstance(next_of(call_of(print, executor)), RuntimeError)


def test_calls_are_found_by_tokens_that_are_used_once():
    all_calls = Calls()
    call = all_calls.add(CALL, lambda: call_of(int))
    assert all_calls.find(CALL) is call
    with pytest.raises(RemoteError, match="choose another") as failure:
        all_calls.add(CALL, lambda: pytest.fail("it was called"))
    assert failure.value.code == "bad_request"
    all_calls.cancel(CALL)
    all_calls.cancel(CALL)
    with pytest.raises(RemoteError) as failure:
        all_calls.find(CALL)
    assert failure.value.code == "expired"


def test_there_is_a_limit_to_calls_under_way():
    all_calls = Calls(Limits(calls=2))
    for number in range(2):
        all_calls.add(f"{CALL} {number}", lambda: call_of(int), client=number)
    with pytest.raises(RemoteError) as failure:
        all_calls.add(CALL, lambda: pytest.fail("it was called"))
    assert failure.value.code == "busy"


def test_results_that_nobody_fetches_make_room_for_others_the_least_recently_used_first():
    def result():
        return "a result"

    all_calls, executor = Calls(), OnDemand()
    for number in range(3):
        all_calls.add(
            f"{CALL} {number}", lambda: call_of(result, executor, encode=lambda value: (value, 10))
        )
    executor.work()
    all_calls.make_room(70, 100)
    assert len(all_calls) == 3
    all_calls.make_room(75, 100)
    assert len(all_calls) == 2
    with pytest.raises(RemoteError) as failure:
        all_calls.find(f"{CALL} 0")
    assert failure.value.code == "expired"
    assert next_of(all_calls.find(f"{CALL} 2")) == "a result"


def test_a_value_that_was_handed_out_makes_room_when_the_next_is_asked_for():
    call = call_of(lambda: iter(range(3)), encode=lambda value: (value, 10), many=True)
    held = []
    while next_of(call) is not END:
        held.append(call.held)
    assert held == [30, 20, 10]


def test_what_calls_are_given_counts_as_long_as_they_are_there():
    all_calls = Calls()
    all_calls.add(
        CALL, lambda: Call(OnDemand(), int, {}, encode=lambda value: (value, 0), many=False, nbytes=60)
    )
    with pytest.raises(RemoteError) as failure:
        all_calls.make_room(50, 100)
    assert failure.value.code == "busy"
    all_calls.cancel(CALL)
    all_calls.make_room(50, 100)


def test_a_call_that_nobody_asks_about_is_stopped_and_one_that_is_awaited_is_not():
    all_calls, executor = Calls(), OnDemand()
    awaited = all_calls.add(f"{CALL} 1", lambda: call_of(int, executor))
    all_calls.add(f"{CALL} 2", lambda: call_of(int, executor))
    awaited.wait(print)
    all_calls.expire(time.monotonic() + calls.IDLE_SECONDS - 1)
    assert len(all_calls) == 2
    all_calls.expire(time.monotonic() + calls.IDLE_SECONDS + 1)
    assert len(all_calls) == 1
    assert all_calls.find(f"{CALL} 1") is awaited
    all_calls.close()
    assert len(all_calls) == 0


def test_each_value_of_a_stream_has_its_time():
    executor, late, in_time = OnDemand(), [], []

    def limit(function):
        number = len(late)
        late.append(function)
        return lambda: in_time.append(number)

    call = Call(
        executor, lambda: iter("abcdef"), {}, encode=lambda value: (value, 1), many=True, limit=limit
    )
    given: list[Any] = []
    call.wait(given.append)
    executor.work()
    made = len(in_time)
    assert made == PREFETCH + 2  # the one that was waited for, and the generator itself
    assert given[0].value == "a"
    call.wait(given.append)  # another is made
    for function in late[:made]:
        function()  # too late for these: they are there
    assert given[1].value == "b"
    late[-1]()
    assert next_of(call).code == "expired"
    assert in_time == list(range(len(late)))
