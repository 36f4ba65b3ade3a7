"""What both ends know: several buffers are one range of bytes, which moves in windows."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, TypeAlias

__all__ = ["IDLE_SECONDS", "MIN_WINDOW", "EndToEnd", "Window", "cut", "fill"]

# Buffers, and the range of bytes that is wanted of each.
Window: TypeAlias = list[tuple[Any, int, int]]

# The smallest window, but for the last.
MIN_WINDOW: Final = 64 * 1024
# A transfer that nobody asks about for so long is over.
IDLE_SECONDS: Final = 60.0
# A window in more pieces than this is joined into one: a frame costs more than copying a few bytes.
MAX_PIECES: Final = 16


class EndToEnd:
    """Several buffers as one range of bytes.

    Parameters
    ----------
    buffers
        Bytes-like objects, or ranges of files: anything with a length that slices to bytes.

    Attributes
    ----------
    total
        Bytes of all.
    """

    def __init__(self, buffers: Sequence[Any]) -> None:
        self._buffers = buffers
        self._starts = list(accumulate((len(buffer) for buffer in buffers), initial=0))
        self.total = self._starts[-1]

    def window(self, offset: int, length: int) -> Window:
        """Return where the bytes of a part of the range are; `cut` gives them."""
        window = []
        end = offset + length
        number = bisect.bisect_right(self._starts, offset) - 1
        while offset < end:
            start, stop = self._starts[number], min(self._starts[number + 1], end)
            if stop > offset:
                window.append((self._buffers[number], offset - start, stop - start))
                offset = stop
            number += 1
        return window

    def write(self, offset: int, frames: Sequence[Any]) -> None:
        """Copy frames to where they belong; the buffers are writable memoryviews."""
        for frame in frames:
            source = memoryview(frame)
            for buffer, start, stop in self.window(offset, len(source)):
                buffer[start:stop] = source[: stop - start]
                source = source[stop - start :]
                offset += stop - start


def cut(window: Window) -> list[Any]:
    """Return the bytes of a window: slices of its buffers, not copied unless they are many."""
    pieces = [buffer[start:stop] for buffer, start, stop in window]
    return pieces if len(pieces) <= MAX_PIECES else [b"".join(pieces)]


def fill(part: memoryview, window: Window) -> None:
    """Copy or read the bytes of a window, of buffers and of ranges of files, into memory of its length."""
    for buffer, start, stop in window:
        if isinstance(buffer, memoryview):
            part[: stop - start] = buffer[start:stop]
        else:
            buffer.read_into(part[: stop - start], start)
        part = part[stop - start :]
