"""Arrays on the server."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import codecs, display, selection
from bridge.codecs import Allocate, Buffer, array
from bridge.codecs.dtypes import from_wire, to_wire
from bridge.display import Progress
from bridge.display.cards import handle_card
from bridge.errors import Changed, WireError, an
from bridge.remote.answered import check_array
from bridge.remote.handle import Entry, Fetch, Handle, no_bar, one_ahead
from bridge.remote.large import Plan, Rate, allocating, check_implicit, unknown_rate
from bridge.remote.peek import Peek, array_peek

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

__all__ = ["RemoteArray"]


class RemoteArray(Handle):
    """An array on the server. Index it to fetch a part; the part is cut out there.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    ndim, size : int
    labels : dict or None
        Of an `xarray.DataArray`: its dims, attrs, name, and the entries of its coordinates.

    Examples
    --------
    >>> import bridge, numpy as np
    >>> with bridge.serve(x=np.arange(12.0).reshape(3, 4)) as srv, bridge.connect(srv.url) as b:
    ...     x = b["x"]
    ...     x.shape, x.dtype, x[::2, 1]
    ((3, 4), dtype('float64'), array([1., 9.]))
    """

    def __init__(
        self, entry: Entry, fetch: Fetch, labels: Any = None, *, rate: Rate = unknown_rate
    ) -> None:
        super().__init__(entry, fetch, rate=rate)
        self.labels = labels
        self.shape = array.decode_shape(entry.get("shape"))
        self.dtype = from_wire(entry.get("dtype"))
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)
        # Of no array that there is; and what it would cost could not be said.
        if self.size * max(1, self.dtype.itemsize) >= 2**63:
            raise WireError(
                f"the server describes {self.name!r} as {display.text(self.dtype)} of the shape "
                f"{display.text(self.shape)}; expected less than 2**63 bytes"
            )

    def read(
        self,
        index: Any = None,
        *,
        into: Any = None,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Fetch the array, or a part of it.

        Parameters
        ----------
        index
            A numpy index: integers, slices, ``...``, None, and one list of integers or boolean mask.
        into
            Where it goes: a writable array of the same dtype and shape (also a `numpy.memmap`), or any
            writable buffer of as many bytes, which gets the items in C order.
        progress
            Called as ``progress(done, total)``, in bytes. By default a bar is shown to people who wait for
            longer than half a second.
        timeout
            Seconds without any progress; by default the client's.

        Returns
        -------
        numpy.ndarray or numpy scalar
            What numpy would give for the same index: writable, aligned, owned by the caller; or `into`.

        Raises
        ------
        ValueError
            If `into` has another dtype, shape or size, or is read-only; or the array is masked, and `into` has
            no place for the mask.
        Changed
            If there is `into`, and what the server holds has another dtype or shape than when this handle was
            made. Where that was noticed in the middle, some of what is in `into` is overwritten.
        """
        if into is None:
            return self._read(index, progress=progress, timeout=timeout)[0]
        shape = selection.array_result_shape(self.shape, _local(index))
        allocate = _landing(into, shape, self.dtype)
        values, _ = self._read(index, allocate=allocate, progress=progress, timeout=timeout)
        is_array = isinstance(values, np.ndarray | np.generic)
        if not is_array or (values.dtype, values.shape) != (self.dtype, shape):
            raise Changed(
                f"{self.name!r} was replaced on the server since this handle was made; "
                f"get another, b[{self.name!r}], and read into what fits it"
            )
        return _landed(values, into)

    def blocks(
        self, nbytes: int | str = "64MiB", *, rows: int | None = None, timeout: float | None = None
    ) -> Iterator[np.ndarray[Any, Any]]:
        """Fetch the array in blocks along its first axis, each while the one before is being used.

        Parameters
        ----------
        nbytes
            The size of a block: bytes, or text such as "64MiB" or "1e6".
        rows
            Instead of `nbytes`, the length of a block along the first axis.
        timeout
            Seconds without any progress; by default the client's.

        Yields
        ------
        numpy.ndarray
            Consecutive blocks. Two are in memory at a time.

        Raises
        ------
        Changed
            If the array is replaced on the server in between.
        """
        if not self.shape:
            raise ValueError(f"{self.name!r} has no dimensions; read it whole")
        if rows is None:
            row_nbytes = array.nbytes_of(self.shape[1:], self.dtype)
            size = display.parse_nbytes(nbytes)
            if size < 1:
                raise ValueError(f"nbytes is {nbytes!r}; a block has at least one byte")
            rows = max(1, size // max(1, row_nbytes))
        if rows < 1:
            raise ValueError(f"rows is {rows}; a block has at least one")

        def read(start: int) -> tuple[Any, str]:
            part = slice(start, start + rows)
            return self._read(part, is_strict=True, progress=no_bar, timeout=timeout)

        return one_ahead(map(partial(partial, read), range(0, self.shape[0], rows)), self.name)

    def to_dask(self, chunks: Any = "auto") -> da.Array:
        """Return a dask array whose blocks are fetched where and when they are needed. Needs dask.

        Parameters
        ----------
        chunks
            As in `dask.array.from_array`: a shape, a size such as "64MiB", or "auto".

        Returns
        -------
        dask.array.Array
            Of the data as it is now. Equal handles give equal tokens. Its tasks raise `Changed` once the
            data is replaced on the server. One empty part is fetched at once, which tells of a mask.
        """
        from bridge.integrations.dask import array_of

        blocks: da.Array = array_of(self, chunks)
        return blocks

    def to_xarray(self) -> xr.DataArray:
        """Return a DataArray whose values are fetched when they are looked at. Needs xarray."""
        from bridge.integrations.xarray import opened

        array: xr.DataArray = opened(self)
        return array

    def member(self, name: str, entry: Entry) -> RemoteArray:
        """Return the handle of a coordinate; `labels` hold its entry. No I/O."""
        return RemoteArray({**entry, "name": f"{self.name}/{name}"}, self._fetch, rate=self._rate)

    def peek(self, *, seconds: float = 1.0) -> Peek:
        """Fetch a small look: the first items, and lowest, highest, missing and spread of a sample.

        The sample is a grid of at most 128 KiB. Of an array whose chunks have to be unpacked one by one, the
        server may need long for it.

        Parameters
        ----------
        seconds
            How long the sample is waited for; then the first items are all there is.
        """

        def read(index: Any, *, timeout: float | None) -> Any:
            return self._read(index, is_strict=True, progress=no_bar, timeout=timeout)[0]

        return array_peek(self.name, self._what, self.shape, self.dtype.itemsize, read, seconds)

    def plan(self, index: Any = None) -> Plan:
        """Return what it would cost to read the array, or a part of it. No I/O.

        Parameters
        ----------
        index
            As for `read`.
        """
        shape = selection.array_result_shape(self.shape, _local(index))
        return self._plan(array.nbytes_of(shape, self.dtype))

    def _read(self, index: Any, *, is_strict: bool = False, **options: Any) -> tuple[Any, str]:
        """Fetch a part; it has the dtype and the axes of the handle also if it was replaced, if strict."""
        buffers: list[Buffer] = []
        select = None if index is None else selection.array_to_wire(index, buffers)
        values, version = self._fetch(self.name, select=select, buffers=buffers, **options)
        check_array(
            self.name,
            values,
            self.dtype,
            self.shape,
            selection.array_from_wire(select or [], codecs.BufferReader(buffers)),
            is_same=version == self.version,
            is_exact=self._pinned,
            is_strict=is_strict,
        )
        return values, version

    def __iter__(self) -> Iterator[Any]:
        instead = f"for block in b[{self.name!r}].blocks()"
        check_implicit(self.name, self._most_nbytes, "to iterate", instead)
        for block in self.blocks():
            yield from block

    def __contains__(self, value: Any) -> bool:
        raise TypeError(
            f"{self.name!r} is on the server; read it first: value in b[{self.name!r}].read()"
        )

    def __getitem__(self, index: Any) -> Any:
        return self.read((None,) if index is None else index)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"{self.name!r} has no dimensions, so no length")
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError(f"{self.name!r} is on the server: to have it as an array is to copy it")
        how = "numpy.asarray", f"b[{self.name!r}].read()"
        check_implicit(self.name, self._most_nbytes, *how)
        values, _ = self._read(None, allocate=allocating(self.name, *how))
        return np.asarray(values, dtype=dtype)

    def __repr__(self) -> str:
        return f"<RemoteArray {self.name!r} {self._what}>"

    def _repr_html_(self) -> str:
        return handle_card("array", self.name, self._what)

    @property
    def _most_nbytes(self) -> int:
        """How much it is by its size or by its shape, whichever says more."""
        return max(self.nbytes, array.nbytes_of(self.shape, self.dtype))

    @property
    def _what(self) -> str:
        shape = display.shape_text(self.shape)
        return f"{self.dtype} {shape}, {display.nbytes_text(self.nbytes)}"


def _local(index: Any) -> selection.ArrayIndex:
    buffers: list[Buffer] = []
    select = [] if index is None else selection.array_to_wire(index, buffers)
    return selection.array_from_wire(select, codecs.BufferReader(buffers))


def _landing(into: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Allocate:
    """Return an allocator that has the bytes received into `into`, where they can lie as they come."""
    if isinstance(into, np.ndarray):
        if into.dtype != dtype or into.shape != shape:
            raise ValueError(
                f"into is {into.dtype} {into.shape}; the answer will be {dtype} {shape}: "
                f"np.empty({shape}, {str(dtype)!r}) fits"
            )
        writable = bool(into.flags.writeable)
    elif isinstance(dtype, np.dtypes.StringDType):
        raise ValueError(
            f"into is {an(type(into).__name__)}; the answer is text of no fixed width, which only an array "
            f"holds; give one of the handle's dtype and the shape {shape}"
        )
    else:
        view = memoryview(into)
        nbytes = array.nbytes_of(shape, dtype)
        if view.nbytes != nbytes or not view.c_contiguous:
            raise ValueError(f"into has {view.nbytes} bytes; the answer will have {nbytes}, contiguous")
        writable = not view.readonly
    if not writable:
        raise ValueError("into is read-only; give a writable array or buffer")

    order = "F" if isinstance(into, np.ndarray) and into.flags.fnc else "C"
    expected = {"kind": "array", "dtype": to_wire(dtype), "shape": list(shape), "order": order}
    contiguous = not isinstance(into, np.ndarray) or into.flags.forc
    # The memory of such text holds pointers; what comes is made into items, and copied.
    if isinstance(dtype, np.dtypes.StringDType):
        return codecs.allocate

    def allocate(descriptor: Any, lengths: Sequence[int]) -> list[memoryview]:
        if descriptor != expected or not contiguous:
            return codecs.allocate(descriptor, lengths)
        place = (
            array.flat_bytes(np.asarray(into))
            if isinstance(into, np.ndarray)
            else memoryview(into).cast("B")
        )
        if list(lengths) != [len(place)]:
            return codecs.allocate(descriptor, lengths)
        return [place]

    return allocate


def _landed(values: Any, into: Any) -> Any:
    """Copy what was not received into its place, and return the place."""
    if isinstance(values, np.ma.MaskedArray) and not isinstance(into, np.ma.MaskedArray):
        raise ValueError("the array is masked, and into has no place for the mask; read it without into")
    if isinstance(into, np.ndarray):
        if not np.may_share_memory(into, values):
            into[...] = values
    else:
        target = np.frombuffer(into, np.uint8)
        if not np.may_share_memory(target, values):
            target[:] = np.frombuffer(array.flat_bytes(np.asarray(values, order="C")), np.uint8)
    return into
