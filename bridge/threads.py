"""Executors: threads that let the interpreter exit, a share of them, and none at all.

`concurrent.futures.ThreadPoolExecutor` waits for its threads when Python ends, so one query function
that never returns would keep a notebook's kernel or a server's process alive for ever. These threads
are daemons: they end with the process.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

__all__ = ["DaemonThreads", "Inline", "Share", "Shares"]

# A thread that had nothing to do for so long ends.
IDLE_SECONDS: Final = 10.0

P = ParamSpec("P")
T = TypeVar("T")

_Task: TypeAlias = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]
# Of one thread, for its next task; None is the end.
_Mailbox: TypeAlias = "queue.SimpleQueue[_Task | None]"


class DaemonThreads(Executor):
    """An executor of daemon threads, started as they are needed.

    Parameters
    ----------
    most
        How many there may be; by default as many as `ThreadPoolExecutor` has.

    Attributes
    ----------
    most
        How many there may be.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most if most is not None else min(32, (os.cpu_count() or 1) + 4)
        self._tasks: deque[_Task] = deque()
        self._count = 0
        # Of the threads that wait. The last is the first to get a task: each has memory of its own that the
        # system's allocator keeps, and those that are not needed end.
        self._idle: list[_Mailbox] = []
        self._shut_down = False
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn(*args, **kwargs)`` in a thread; see `concurrent.futures.Executor.submit`.

        Raises
        ------
        RuntimeError
            If the executor is shut down, or no thread can be started and there is none.
        """
        future: Future[T] = Future()
        task = future, fn, args, kwargs
        with self._lock:
            if self._shut_down:
                raise RuntimeError("the executor is shut down")
            if self._idle:
                self._idle.pop().put(task)
            else:
                if self._count < self.most:
                    self._start_thread()
                self._tasks.append(task)
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Take no more work. What runs goes on, and is not waited for, whatever `wait` says."""
        waiting: list[_Task] = []
        with self._lock:
            self._shut_down = True
            if cancel_futures:
                waiting.extend(self._tasks)
                self._tasks.clear()
            while self._idle:
                self._idle.pop().put(None)
        # Without the lock: whoever hears of it may submit more, and is to be refused.
        for future, *_ in waiting:
            future.cancel()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"bridge-work-{self._count + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more of them
            if not self._count:
                raise
            return  # those that there are get to it
        self._count += 1

    def _work(self) -> None:
        mailbox: _Mailbox = queue.SimpleQueue()
        while (task := self._next_task(mailbox)) is not None:
            future, function, args, kwargs = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args, **kwargs))
                except BaseException as exc:
                    future.set_exception(exc)
            del task, future, function, args, kwargs

    def _next_task(self, mailbox: _Mailbox) -> _Task | None:
        """Return what is to be done next, or None if this thread is to end."""
        with self._lock:
            if self._tasks:
                return self._tasks.popleft()
            if self._shut_down:
                self._count -= 1
                return None
            self._idle.append(mailbox)
        try:
            return mailbox.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with self._lock:
                if mailbox not in self._idle:  # it was given something just now
                    return mailbox.get_nowait()
                self._idle.remove(mailbox)
                self._count -= 1
                return None


class Shares:
    """An executor of which nobody takes more than a quarter of the threads: his other tasks wait for his own.

    Only of `DaemonThreads` is it known how many there are; any other executor is everybody's.

    Parameters
    ----------
    executor
        Where the tasks run.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._most = max(1, executor.most // 4) if isinstance(executor, DaemonThreads) else 0
        self._running: Counter[Hashable] = Counter()
        # Only of those who have as many running as they may.
        self._waiting: dict[Hashable, OrderedDict[Future[Any], Callable[[], Any]]] = {}
        self._lock = threading.Lock()

    def of(self, who: Hashable) -> Executor:
        """Return the executor for somebody's tasks."""
        return Share(self, who) if self._most else self._executor

    def submit(self, who: Hashable, function: Callable[[], T]) -> Future[T]:
        """Call a function in a thread, when it is its turn."""
        future: Future[T] = Future()
        with self._lock:
            waits = self._running[who] >= self._most
            if waits:
                self._waiting.setdefault(who, OrderedDict())[future] = function
            else:
                self._running[who] += 1
        if waits:
            future.add_done_callback(partial(self._forget, who))  # it may be given up before its turn
            return future
        try:
            self._start(who, future, function)
        except RuntimeError:
            self._next(who)
            raise
        return future

    def _start(self, who: Hashable, future: Future[Any], function: Callable[[], Any]) -> None:
        def cancel(inner: Future[None]) -> None:
            if inner.cancelled():  # by a shutdown
                future.cancel()
                self._next(who)

        self._executor.submit(self._work, who, future, function).add_done_callback(cancel)

    def _work(self, who: Hashable, future: Future[Any], function: Callable[[], Any]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                _fulfil(future, function)
        finally:
            self._next(who)

    def _next(self, who: Hashable) -> None:
        """Start what waits, now that a task is over."""
        while True:
            with self._lock:
                waiting = self._waiting.get(who)
                if not waiting:
                    self._waiting.pop(who, None)
                    self._running[who] -= 1
                    if not self._running[who]:
                        del self._running[who]
                    return
                future, function = waiting.popitem(last=False)
            try:
                self._start(who, future, function)
                return
            except RuntimeError as exc:
                if future.set_running_or_notify_cancel():
                    future.set_exception(exc)

    def _forget(self, who: Hashable, future: Future[Any]) -> None:
        with self._lock:
            if who in self._waiting:
                self._waiting[who].pop(future, None)


class Share(Executor):
    """What `Shares` has for one."""

    def __init__(self, shares: Shares, who: Hashable) -> None:
        self._shares = shares
        self._who = who

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn(*args, **kwargs)`` in a thread, when it is its turn.

        Raises
        ------
        RuntimeError
            As `DaemonThreads.submit`.
        """
        return self._shares.submit(self._who, partial(fn, *args, **kwargs))


def _fulfil(future: Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except BaseException as exc:
        future.set_exception(exc)


class Inline(Executor):
    """An executor that does the work when it is submitted, in the thread that submits it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn(*args, **kwargs)`` now; see `concurrent.futures.Executor.submit`."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except KeyboardInterrupt:  # is meant for the thread
            raise
        except BaseException as exc:  # exit() in a query, for one, does not end its server
            future.set_exception(exc)
        return future
