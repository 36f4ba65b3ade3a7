"""Functions to be called at a time, and waits that end. No sockets."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

__all__ = ["Timers"]

# When, a number that tells those of the same time apart, and what; None if it was taken back.
_Timer: TypeAlias = list[Any]


class Timers:
    """Functions to be called at a time, on the clock of `time.monotonic`. Thread-safe.

    Attributes
    ----------
    on_add
        Called when there is a new time, so that whoever sleeps until the next one can look again.
    """

    def __init__(self) -> None:
        self.on_add: Callable[[], None] = lambda: None
        self._heap: list[_Timer] = []
        self._taken_back = 0  # of these
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: float, function: Callable[[], None]) -> Callable[[], None]:
        """Have `function` called at the first `run` after a time. Return how to take that back."""
        timer: _Timer = [when, next(self._numbers), function]
        with self._lock:
            heapq.heappush(self._heap, timer)
            is_next = self._heap[0] is timer
        if is_next:
            self.on_add()

        def take_back() -> None:
            with self._lock:
                if timer[2] is not None:
                    timer[2] = None  # and with it all that the function knows, such as the request
                    self._taken_back += 1
                    self._tidy()

        return take_back

    def _tidy(self) -> None:
        """Forget those that were taken back, once they are most of all."""
        if self._taken_back > len(self._heap) // 2:
            self._heap = [timer for timer in self._heap if timer[2] is not None]
            heapq.heapify(self._heap)
            self._taken_back = 0

    def limit(
        self,
        seconds: float,
        wait: Callable[[Callable[..., None]], None],
        give_up: Callable[[Callable[..., None]], None],
        deliver: Callable[..., None],
    ) -> None:
        """Call ``wait(deliver)``, and ``give_up(deliver)`` if it was not called after so many seconds.

        What both are given stands for `deliver`, and is the same object.
        """
        take_back: Callable[[], None] | None = None
        delivered = False

        def deliver_in_time(*values: Any) -> None:
            nonlocal delivered
            delivered = True
            if take_back is not None:
                take_back()
            deliver(*values)

        wait(deliver_in_time)
        if not delivered:
            take_back = self.add(time.monotonic() + seconds, partial(give_up, deliver_in_time))
            if delivered:  # by another thread, just before
                take_back()

    def run(self, now: float, most: float) -> float:
        """Call what is due, and return the seconds until the next is, or `most` if that is less."""
        while True:
            with self._lock:
                if not self._heap or self._heap[0][0] > now:
                    return min(most, self._heap[0][0] - now) if self._heap else most
                timer = heapq.heappop(self._heap)
                function, timer[2] = timer[2], None  # it is too late to take it back
                self._taken_back -= function is None
            if function is not None:
                function()
