"""A bar for those who wait."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeAlias

from bridge.display.plain import text

__all__ = ["Progress", "progress_bar"]

# Called with the bytes that are here and those that there will be.
Progress: TypeAlias = Callable[[int, int], object]

# Who waits for less does not look for a bar.
BAR_SECONDS: Final = 0.5


@contextlib.contextmanager
def progress_bar(name: str, progress: Progress | None) -> Iterator[Progress | None]:
    """Give the callback for a transfer: the user's, else a bar if a person watches, else None.

    The bar appears when the transfer takes longer than `BAR_SECONDS`, on a terminal or in a notebook.
    """
    if progress is not None or not _is_watched():
        yield progress
        return
    bar: Any = None
    start = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal bar
        waited = time.monotonic() - start
        if bar is None and waited > BAR_SECONDS and done < total:
            bar = _tqdm()(total=total, desc=text(name), unit="B", unit_scale=True, unit_divisor=1024)
            # Its clock began with the transfer, or the rate would be that of a moment.
            bar.start_t = bar.last_print_t = bar.start_t - waited
        if bar is not None:
            bar.total = total
            bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def _is_watched() -> bool:
    # Bars of several threads would write over each other.
    if threading.current_thread() is not threading.main_thread():
        return False
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def _tqdm() -> Any:
    if "ipykernel" in sys.modules and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as notebook_tqdm

        return notebook_tqdm
    from tqdm import tqdm

    # Notebooks show what is written to stderr in red.
    return partial(tqdm, file=sys.stdout) if "ipykernel" in sys.modules else tqdm
