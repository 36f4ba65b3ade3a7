"""Magics for IPython and notebooks, after ``%load_ext bridge``.

::

    %bridge tcp://lab:5555 [as b]     connect, and show what is served
    %pull waveform[:1000, 3] as w     fetch into a variable; without "as" it is the result
    %push result [as mine/result]     have the server serve a variable

What is typed is a name, an index and a variable. It is not evaluated as Python.
"""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from bridge import Client, RemoteArray, RemoteTable, connect
from bridge.selection.written import split_name

__all__ = ["BridgeMagics", "load_ipython_extension"]


@magics_class
class BridgeMagics(Magics):
    """The magics, and the client that they use."""

    shell: Any  # the running one, for those who need types
    client: Client | None = None

    @line_magic
    def bridge(self, line: str) -> Client:
        """Connect to a server, and show what it serves: ``%bridge [URL] [as NAME]``.

        Without URL it is the environment variable BRIDGE_URL, else tcp://127.0.0.1:5555. The client is put
        into a variable, by default ``b``; ``%pull`` and ``%push`` use it.
        """
        url, variable = _parted(line)
        _check_variable(variable)
        self.client = connect(url or None)
        self.shell.push({variable or "b": self.client})
        return self.client

    @line_magic
    def pull(self, line: str) -> Any:
        """Fetch something, whole or in part: ``%pull NAME[INDEX] [as VARIABLE]``.

        The index has integers, slices, ``...`` and None; of a table it is one slice of its rows. Without
        ``as``, what was fetched is the result: ``x = %pull waveform[:10]``.
        """
        text, variable = _parted(line)
        _check_variable(variable)
        try:
            name, index = split_name(text)
        except ValueError as exc:
            raise UsageError(f"%pull: {exc}") from exc
        if not name:
            raise UsageError("%pull: what? For example: %pull waveform[:1000] as w")
        value = self._connected().read(name) if index is None else self._part(name, index)
        if variable is None:
            return value
        self.shell.push({variable: value})
        return None

    @line_magic
    def push(self, line: str) -> None:
        """Have the server serve the value of a variable: ``%push VARIABLE [as NAME]``.

        Where the server allows writing; by default under the name of the variable.
        """
        variable, name = _parted(line)
        if variable not in self.shell.user_ns:
            raise UsageError(f"%push: there is no variable {variable!r}; for example: %push x as mine/x")
        self._connected().put(name or variable, self.shell.user_ns[variable])

    def _part(self, name: str, index: tuple[Any, ...]) -> Any:
        handle = self._connected()[name]
        if isinstance(handle, RemoteTable) and not (len(index) == 1 and isinstance(index[0], slice)):
            raise UsageError(f"%pull: {name!r} is a table; of its rows, take one slice: {name}[:1000]")
        if not isinstance(handle, RemoteArray | RemoteTable):
            raise UsageError(f"%pull: {name!r} is neither an array nor a table; it has no parts")
        return handle[index[0] if len(index) == 1 else index]

    def _connected(self) -> Client:
        if self.client is None:
            raise UsageError("there is no connection yet; %bridge URL makes one")
        return self.client


def load_ipython_extension(shell: Any) -> None:
    """Offer the magics: what ``%load_ext bridge`` calls."""
    shell.register_magics(BridgeMagics)


def _check_variable(variable: str | None) -> None:
    if variable is not None and (not variable.isidentifier() or iskeyword(variable)):
        raise UsageError(f"{variable!r} is no name of a variable")


def _parted(line: str) -> tuple[str, str | None]:
    """Return what stands before and after " as "."""
    what, word, after = line.strip().rpartition(" as ")
    return (what.strip(), after.strip()) if word else (line.strip(), None)
