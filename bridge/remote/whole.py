"""What is fetched whole, or called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from bridge import display
from bridge.display import Progress
from bridge.display.cards import handle_card
from bridge.remote.array import RemoteArray
from bridge.remote.handle import Entry, Fetch, Handle, whole_number
from bridge.remote.large import Plan, Rate, unknown_rate

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["RemoteChannel", "RemoteObject", "RemoteQuery", "RemoteStream"]


class RemoteObject(Handle):
    """An object on the server that is fetched whole: a Series, a dict, a sparse matrix.

    Attributes
    ----------
    type_name : str
        The name of its class.
    labels : dict or None
        Of an `xarray.Dataset`: its attrs, and the dims, attrs and entries of its variables.
    """

    def __init__(
        self, entry: Entry, fetch: Fetch, labels: Any = None, *, rate: Rate = unknown_rate
    ) -> None:
        super().__init__(entry, fetch, rate=rate)
        self.labels = labels
        self.type_name = display.text(entry.get("type", "object"))

    def read(self, *, progress: Progress | None = None, timeout: float | None = None) -> Any:
        """Fetch the object."""
        return self._fetch(self.name, progress=progress, timeout=timeout)[0]

    def plan(self) -> Plan:
        """Return what it would cost to read the object. No I/O."""
        return self._plan(self.nbytes)

    def to_xarray(self) -> xr.Dataset:
        """Return a Dataset whose values are fetched when they are looked at. Needs xarray.

        Raises
        ------
        ValueError
            If this is no Dataset.
        """
        from bridge.integrations.xarray import opened

        dataset: xr.Dataset = opened(self)
        return dataset

    def member(self, name: str, entry: Entry) -> RemoteArray:
        """Return the handle of a variable; `labels` hold its entry. No I/O."""
        return RemoteArray({**entry, "name": f"{self.name}/{name}"}, self._fetch, rate=self._rate)

    def __repr__(self) -> str:
        return f"<RemoteObject {self.name!r} {self._what}>"

    def _repr_html_(self) -> str:
        return handle_card("object", self.name, self._what)

    @property
    def _what(self) -> str:
        return f"{self.type_name}, {display.nbytes_text(self.nbytes)}"


class RemoteQuery:
    """A function on the server. Call it with its arguments by name or in order.

    Attributes
    ----------
    name : str
    signature : str
        For example ``spectrum(channel: int, window: str = 'hann')``.
    """

    def __init__(self, entry: Entry, call: Callable[..., Any]) -> None:
        self.name: str = entry["name"]
        self._call = call
        parameters = entry.get("parameters")
        listed = parameters if isinstance(parameters, list) else []
        self._parameters: list[dict[str, Any]] = [p for p in listed if type(p) is dict]
        self.signature = display.signature_text(entry)
        self.__doc__ = display.lines(entry.get("doc", ""))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function on the server; see `bridge.Client.call`."""
        names = [str(p.get("name")) for p in self._parameters if not p.get("any")]
        if len(args) > len(names):
            raise TypeError(f"{self.signature} takes {len(names)} arguments, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name in given.keys() & kwargs.keys():
            raise TypeError(f"{self.signature} got two values for {name!r}")
        return self._call(self.name, **given, **kwargs)

    def __repr__(self) -> str:
        summary = inspect.cleandoc(self.__doc__ or "").partition("\n")[0]
        return f"<{type(self).__name__} {self.signature}{': ' if summary else ''}{summary}>"

    def _repr_html_(self) -> str:
        kind = type(self).__name__.removeprefix("Remote").lower()
        return handle_card(kind, self.name, self.signature, inspect.cleandoc(self.__doc__ or ""))


class RemoteStream(RemoteQuery):
    """A stream on the server. Call it with its arguments, and iterate over what it gives."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Begin the stream; see `bridge.Client.stream`."""
        values: Iterator[Any] = super().__call__(*args, **kwargs)
        return values


class RemoteChannel:
    """A live channel on the server.

    Attributes
    ----------
    name : str
    rows : int
        How many were appended when this handle was made.
    """

    def __init__(self, entry: Entry, follow: Callable[..., Any]) -> None:
        self.name: str = entry["name"]
        self.rows = whole_number(entry, "rows")
        self._follow = follow

    def follow(self, *, start: str | int = "end", timeout: float | None = None) -> Iterator[Any]:
        """Iterate over its rows as they are appended; see `bridge.Client.follow`."""
        batches: Iterator[Any] = self._follow(self.name, start=start, timeout=timeout)
        return batches

    def __repr__(self) -> str:
        return f"<RemoteChannel {self.name!r} {self._what}>"

    def _repr_html_(self) -> str:
        return handle_card("channel", self.name, self._what)

    @property
    def _what(self) -> str:
        return f"{self.rows:,} rows so far"
