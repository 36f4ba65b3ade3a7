"""Exceptions on the server: as failures of the wire, which say whose fault they are, and in its log."""

from __future__ import annotations

import logging
import textwrap
import traceback
from typing import Final

from bridge.errors import EncodeError, RemoteError, WireError, printable, remote_error

__all__ = ["failure_of", "misfit_of", "raised_failure_of"]

# Characters of a traceback in the log.
MAX_TRACEBACK: Final = 16_000


def failure_of(error: BaseException) -> RemoteError:
    """Return the failure that tells of an exception of our own code."""
    if isinstance(error, RemoteError):
        return error
    if isinstance(error, WireError):
        return remote_error(error.code, str(error), "ValueError")
    if isinstance(error, EncodeError):
        return remote_error("failed", str(error), "TypeError")
    if isinstance(error, MemoryError):
        return remote_error("too_large", "the server has no memory for this answer", "MemoryError")
    return remote_error("internal", f"{type(error).__name__} on the server; its log says more")


def raised_failure_of(error: BaseException, *, with_traceback: bool) -> RemoteError:
    """Return the failure that tells of what a query function of the user's raised."""
    lines = traceback.format_exception(error) if with_traceback else []
    return remote_error("failed", _message(error), _builtin_name(error), "".join(lines))


def misfit_of(error: BaseException) -> RemoteError:
    """Return the failure that tells of a selection that is in order, but does not fit what it selects from."""
    return remote_error("bad_request", _message(error), _builtin_name(error))


def _message(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)
    name = type(error).__name__
    return text if name == _builtin_name(error) else f"{name}: {text}"


def _builtin_name(error: BaseException) -> str:
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "builtins")


def _tame_traceback(record: logging.LogRecord) -> bool:
    """Have the log show a traceback so that a peer, whose text may be in its message, writes no lines there."""
    if isinstance(record.exc_info, tuple):
        text = logging.Formatter().formatException(record.exc_info)[:MAX_TRACEBACK]
        record.exc_text = textwrap.indent(printable(text), "    ")
    return True


logging.getLogger("bridge").addFilter(_tame_traceback)
