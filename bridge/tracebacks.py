"""How an error of this library looks in IPython and in notebooks.

What a user wrote is shown, and where it went into the library; what happened in there is not, and of what
happened on the server the end. An error keeps all of it: `traceback.print_exception` prints it.
"""

from __future__ import annotations

import sys
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Final

__all__ = ["folded", "hide_frames", "in_ipython", "rendered"]

# Lines of the traceback on the server: what was raised, and where.
FOLDED_LINES: Final = 4


def in_ipython() -> Any:
    """Return the running shell of IPython, or None where there is none. It is not imported for that."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def rendered(shown: BaseException, original: BaseException) -> list[str]:
    """Return an error as IPython shows it, without the frames of this library.

    Parameters
    ----------
    shown
        What is printed in its place.
    original
        The error with its traceback.
    """
    kept, hidden = _frames_of_the_user(original.__traceback__)
    # The outermost frame is IPython's.
    renderer = in_ipython().InteractiveTB
    lines: list[str] = renderer.structured_traceback(type(shown), shown, kept, tb_offset=1)
    if hidden:
        # Before the message and what was noted under it.
        place = len(lines) - 1 - len(getattr(shown, "__notes__", ()))
        lines.insert(place, f"    [... {hidden} frames of zbridge are hidden]\n")
    return lines


def hide_frames(error: BaseException) -> None:
    """Have IPython show Ctrl-C like an error of this library.

    Of any other error the frames stay: it may come from a function of the user's, which reports progress.
    """
    if isinstance(error, KeyboardInterrupt) and in_ipython() is not None:
        # IPython looks for it in the error itself.
        error._render_traceback_ = partial(rendered, error, error)  # type: ignore[attr-defined]


def folded(traceback: str) -> str:
    r"""Return the end of a traceback, and how much is left out.

    Examples
    --------
    >>> print(folded("1\n2\n3\n4\n5\n6"))
    [... 2 lines are hidden: the error's remote_traceback has them]
    3
    4
    5
    6
    """
    lines = traceback.rstrip().splitlines()
    beyond = len(lines) - FOLDED_LINES
    if beyond <= 0:
        return traceback
    return "\n".join(
        [f"[... {beyond} lines are hidden: the error's remote_traceback has them]", *lines[beyond:]]
    )


def _frames_of_the_user(traceback: TracebackType | None) -> tuple[TracebackType | None, int]:
    """Return the frames up to the first that is ours, and how many come from there on."""
    links: list[TracebackType] = []
    while traceback is not None:
        links.append(traceback)
        traceback = traceback.tb_next
    ours = next((place for place, link in enumerate(links) if _is_ours(link.tb_frame)), len(links))
    kept: TracebackType | None = None
    for link in reversed(links[:ours]):
        kept = TracebackType(kept, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return kept, len(links) - ours


def _is_ours(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package == __name__.partition(".")[0]
