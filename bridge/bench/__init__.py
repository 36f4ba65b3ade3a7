"""What a link and a kind of data cost in each format: a benchmark between two computers.

On one of them ``zbridge bench serve``, on the other ``zbridge bench tcp://host:5556``, or from Python::

    result = bridge.bench("tcp://host:5556", payloads=["f8", "frame-mixed"], sizes="1KiB..64MiB:x4")
    result.save("link.html")

The module itself can be called: it is `bench`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.bench.result import Result

__all__ = ["bench"]

DEFAULT_PAYLOADS = ("f8", "frame-mixed")
DEFAULT_SIZES = "1KiB..32MiB:x32"
DEFAULT_BUDGET = 120.0


def bench(
    url: str | None = None,
    *,
    payloads: Sequence[str] = DEFAULT_PAYLOADS,
    sizes: str | Sequence[int] = DEFAULT_SIZES,
    formats: Sequence[str] | None = None,
    directions: Sequence[str] = ("pull",),
    clients: int = 1,
    processes: int = 5,
    budget: float | str | None = DEFAULT_BUDGET,
    seed: int = 1,
    progress: Callable[[str, float], object] | None = None,
) -> Result:
    """Measure what it costs to move payloads to or from a server, in each format.

    Parameters
    ----------
    url
        Of a ``zbridge bench serve``; by default the one on this computer.
    payloads
        Names of arrays (``f8``, ``c16-F``, ``f4-strided-smooth``, ``u1-zeros``) and frames (``frame-mixed``).
    sizes
        Bytes of the payloads: numbers, or a text such as ``"1KiB..1GiB:x4"`` or ``"800B,64MiB"``.
    formats
        By default all.
    directions
        ``pull``: the server sends; ``push``: this end does.
    clients
        How many processes fetch at the same time.
    processes
        How many pairs of fresh processes, at least 5 for intervals to mean something.
    budget
        Seconds for everything, or a text such as ``"2min"``; what does not fit is skipped, and the result says
        so. None measures all, however long it takes.
    seed
        Of the order in which everything is measured.
    progress
        Is called with what is being done, and which part of all is done, from 0 to 1.

    Returns
    -------
    Result
        All samples, and the figures made of them.

    Raises
    ------
    TransportError
        If no such server answers.
    RemoteError
        If it refuses: another client is measuring.
    ValueError
        If a name or a size is none.
    """
    from bridge.bench import cases
    from bridge.bench.formats import FORMATS
    from bridge.bench.lanes import DEFAULT_URL
    from bridge.bench.result import Result
    from bridge.bench.run import run
    from bridge.bench.state import Settings

    url = url or DEFAULT_URL
    formats = list(FORMATS) if formats is None else formats
    options = {
        "payloads": ",".join(payloads),
        "sizes": sizes if isinstance(sizes, str) else ",".join(map(str, sizes)),
        "formats": ",".join(formats),
        "direction": "both" if set(directions) == {"pull", "push"} else "".join(directions),
        "clients": clients,
        "processes": processes,
        "budget": "none" if budget is None else budget,
        "seed": seed,
    }
    settings = Settings(
        cases=cases.all_cases(directions, formats, payloads, cases.parse_sizes(str(options["sizes"]))),
        processes=processes,
        clients=clients,
        budget=None if budget is None else cases.parse_seconds(budget),
        seed=seed,
        command=shlex.join(["zbridge", "bench", url, *(f"--{key}={options[key]}" for key in options)]),
    )
    return Result(run(url, settings, progress=progress or (lambda text, part: None)))


class _Callable(ModuleType):
    """A module that is a function too."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `bench`."""
        return bench(*args, **options)


sys.modules[__name__].__class__ = _Callable
