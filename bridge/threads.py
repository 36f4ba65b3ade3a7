"""Two executors: threads that let the interpreter exit, and none at all.

`concurrent.futures.ThreadPoolExecutor` waits for its threads when Python ends, so one query function
that never returns would keep a notebook's kernel or a server's process alive for ever. These threads
are daemons: they end with the process.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

__all__ = ["DaemonThreads", "Inline"]

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
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most if most is not None else min(32, (os.cpu_count() or 1) + 4)
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
                if self._count < self._most:
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
