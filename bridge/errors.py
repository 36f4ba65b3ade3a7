"""The one error tree. The class says whose fault it is.

::

    BridgeError
    ├── EncodeError (TypeError)            you gave something that cannot be sent exactly
    ├── WireError (ValueError)             the peer sent bytes outside the protocol
    ├── TransportError (ConnectionError)   the connection could not be made, or was lost
    │   └── IdleTimeout (TimeoutError)     nothing arrived for `timeout` seconds
    ├── RemoteError                        the server answered with a failure
    ├── Changed                            the data was replaced while it was being read
    ├── BenchError (ValueError)            a record of the benchmark does not fit, or two do not compare
    └── Lagged                             a follower of a live channel fell behind

Any other exception out of this library is a bug in it.
"""

from __future__ import annotations

import copy
import re
from functools import cache

from bridge import tracebacks

__all__ = [
    "BenchError",
    "BridgeError",
    "Changed",
    "EncodeError",
    "IdleTimeout",
    "Lagged",
    "RemoteError",
    "TransportError",
    "WireError",
    "an",
    "printable",
    "remote_error",
]

# What a terminal takes for more than a character, but for tabs and ends of lines: control characters, marks
# that turn the direction of writing, and halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class BridgeError(Exception):
    """The root of all errors of this library."""

    def _render_traceback_(self) -> list[str]:
        """Return the error as IPython shows it, which asks for this: the user's own frames."""
        return tracebacks.rendered(self._folded(), self)

    def _folded(self) -> BridgeError:
        """Return what is shown instead, without the errors of other libraries that it was made from."""
        return copy.copy(self)


class EncodeError(BridgeError, TypeError):
    """An object cannot travel exactly, so it is refused before anything is sent."""


class WireError(BridgeError, ValueError):
    """The peer sent bytes outside the protocol.

    Parameters
    ----------
    message
        What was wrong, the value, and what was expected.
    code
        The failure code that a server answers with: ``bad_request``, ``too_large`` or
        ``unsupported``.
    """

    def __init__(self, message: str, *, code: str = "bad_request") -> None:
        super().__init__(message)
        self.code = code


class TransportError(BridgeError, ConnectionError):
    """The connection could not be made, or was lost."""


class IdleTimeout(TransportError, TimeoutError):
    """Nothing arrived for the whole of the idle timeout."""


class Changed(BridgeError):
    """The data was replaced on the server while it was being read."""


class BenchError(BridgeError, ValueError):
    """A record of the benchmark does not fit its schema, or two records cannot be compared."""


class Lagged(BridgeError):
    """A follower of a live channel fell behind the rows that the server keeps.

    Parameters
    ----------
    lost
        How many rows were dropped before this follower could read them.
    """

    def __init__(self, lost: int) -> None:
        super().__init__(
            f"{lost} rows were dropped before they were read; "
            "follow again with start='begin' or start='end', or let the channel keep more rows"
        )
        self.lost = lost

    def __reduce__(self) -> tuple[type[Lagged], tuple[int]]:
        return Lagged, (self.lost,)


class RemoteError(BridgeError):
    """The server answered with a failure.

    Where a builtin exception was raised on the server, the error raised here is an instance of that
    class too: a missing name is also a `KeyError`, a bad index also an `IndexError`.

    Parameters
    ----------
    code
        One of the failure codes of the wire, for example ``not_found``.
    message
        The server's sentence.
    type_name
        The name of the exception class on the server, or an empty string.
    remote_traceback
        The traceback on the server, or an empty string where the server does not show it.
    """

    def __init__(self, code: str, message: str, type_name: str = "", remote_traceback: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.type_name = type_name
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        text = self.message
        if self.code == "failed" and self.type_name:
            text = f"{self.type_name}: {text}"
        if self.remote_traceback:
            text = f"{text}\n\nOn the server:\n{self.remote_traceback}"
        return printable(text)

    def _folded(self) -> RemoteError:
        traceback = tracebacks.folded(self.remote_traceback)
        shown = remote_error(self.code, self.message, self.type_name, traceback)
        for note in getattr(self, "__notes__", ()):
            shown.add_note(note)
        return shown

    def __reduce__(self) -> tuple[object, tuple[str, str, str, str]]:
        return remote_error, (self.code, self.message, self.type_name, self.remote_traceback)


# What a name in a reply may become. A closed table: a peer's text is never looked up anywhere else.
# Classes whose constructors want more than a message (UnicodeDecodeError) have no place in it, nor have those
# that would be taken for the end of something here: EOFError (click: of the command), StopIteration.
_BUILTIN_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        ArithmeticError,
        AssertionError,
        AttributeError,
        BufferError,
        FileExistsError,
        FileNotFoundError,
        FloatingPointError,
        ImportError,
        IndexError,
        IsADirectoryError,
        KeyError,
        LookupError,
        MemoryError,
        ModuleNotFoundError,
        NameError,
        NotADirectoryError,
        NotImplementedError,
        OSError,
        OverflowError,
        PermissionError,
        RecursionError,
        ReferenceError,
        RuntimeError,
        TimeoutError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    )
}


def an(noun: str) -> str:
    """Return a noun, such as the name of a class, with its article.

    Examples
    --------
    >>> an("int"), an("dict"), an("uint8")
    ('an int', 'a dict', 'a uint8')
    """
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def printable(text: str) -> str:
    r"""Return the text of a peer with escapes for what a terminal would obey.

    Examples
    --------
    >>> print(printable("red: \x1b[31m"))
    red: \x1b[31m
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def remote_error(
    code: str, message: str, type_name: str = "", remote_traceback: str = ""
) -> RemoteError:
    """Build the error for a failure reply.

    Returns
    -------
    RemoteError
        An instance of a subclass that also derives from the builtin exception `type_name`, if that
        is one; else a plain `RemoteError`.

    Examples
    --------
    >>> error = remote_error("not_found", "no 'x' here", "KeyError")
    >>> isinstance(error, KeyError), isinstance(error, RemoteError), str(error)
    (True, True, "no 'x' here")
    """
    return _remote_class(type_name)(code, message, type_name, remote_traceback)


def _remote_class(type_name: str) -> type[RemoteError]:
    return _remote_subclass(type_name) if type_name in _BUILTIN_ERRORS else RemoteError


@cache
def _remote_subclass(type_name: str) -> type[RemoteError]:
    bases = (RemoteError, _BUILTIN_ERRORS[type_name])
    return type(f"Remote{type_name}", bases, {"__module__": __name__})
