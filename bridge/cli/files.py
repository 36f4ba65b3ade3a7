"""Files that are fetched into and sent from: arrays as .npy, tables as .parquet, .arrow and .csv.

A file appears under its name when it is complete; until then it has another name beside it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from bridge.errors import an

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from bridge import RemoteArray

__all__ = ["FORMS", "chosen_form", "form_for", "load", "receive_array", "replacing", "write"]

FORMS = ("npy", "parquet", "arrow", "csv")

_SUFFIXES = {".npy": "npy", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".csv": "csv"}


def chosen_form(output: str | None, form: str | None, *, as_json: bool) -> str | None:
    """Return what to write by what was typed: the form, or the suffix; None where neither says."""
    if as_json and output == "-":
        raise click.UsageError("--json and -o - would both write to stdout; choose one")
    if form is None and output not in (None, "-"):
        form = _SUFFIXES.get(Path(str(output)).suffix.lower())
        if form is None:
            raise click.UsageError(
                f"{output!r} has none of the suffixes {', '.join(_SUFFIXES)}; add one, or pass --format"
            )
    return form


def form_for(output: str, form: str | None, *, is_array: bool) -> str:
    """Return what to write of an array, or of a table, when the user chose a form or none."""
    form = form or ("npy" if is_array else "arrow")
    if is_array != (form == "npy"):
        raise click.ClickException(
            "an array is written as .npy"
            if is_array
            else "a table is written as .parquet, .arrow or .csv"
        )
    if output == "-" and form != "csv" and sys.stdout.isatty():
        raise click.ClickException(
            f"{form} on a terminal is unreadable; redirect stdout, or name a file"
        )
    return form


@contextlib.contextmanager
def replacing(output: str) -> Iterator[Path]:
    """Give the name of a new file to write, and have it replace `output` when that went well."""
    target = Path(output).resolve()  # of a symbolic link, what it means
    if not target.parent.is_dir():
        raise click.ClickException(
            f"there is no directory {str(target.parent)!r} to write {target.name!r} to"
        )
    if target.exists() and not target.is_file():
        raise click.ClickException(f"{output!r} is no file; name one, or write to stdout with -o -")
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _shown_as(f"{output!r} cannot be written"):
            yield new
            new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def receive_array(handle: RemoteArray, index: Any, shape: tuple[int, ...], path: Path) -> None:
    """Fetch an array, or a part of it, straight into a new .npy file: no memory holds all of it."""
    from numpy.lib import format as npy

    with _shown_as(f"{handle.name!r} cannot be written as .npy"):
        values = npy.open_memmap(path, mode="w+", dtype=handle.dtype, shape=shape)
        _reserve(path)
        handle.read(index, into=values)
        values.flush()


def write(value: Any, form: str, stream: Any, *, header: bool = True) -> None:
    """Write an array or a table in one of the `FORMS`; CSV, also as text, or without its header."""
    with _shown_as(f"{an(type(value).__name__)} cannot be written as {form}"):
        if form == "npy":
            from numpy.lib import format as npy

            # As something that is no file: into a pipe numpy would write by another way, which fails.
            npy.write_array(SimpleNamespace(write=stream.write), value, allow_pickle=False)
        elif form == "csv":
            frame = _frame(value)
            frame.to_csv(stream, header=header, index=not _is_row_numbers(frame.index))
        elif form == "parquet":
            from pyarrow import parquet

            parquet.write_table(_table(value), stream)
        else:
            from pyarrow import ipc

            table = _table(value)
            # A file can be read from any place, a stream as it comes.
            new = ipc.new_stream if stream is sys.stdout.buffer else ipc.new_file
            with new(stream, table.schema) as writer:
                writer.write_table(table)


def load(path: Path) -> Any:
    """Return what a file holds: an array that stays in the file, or an Arrow table."""
    form = _SUFFIXES.get(path.suffix.lower())
    with _shown_as(f"{str(path)!r} cannot be read"):
        if form == "npy":
            import numpy as np
            from numpy.lib import format as npy

            from bridge.sources.choose import source_of

            source_of(path)  # refuses what cannot be sent in the words of `serve`
            return np.asarray(npy.open_memmap(path, mode="r"))
        if form == "parquet":
            from pyarrow import parquet

            return parquet.read_table(path)
        if form == "csv":
            from pyarrow import csv

            return csv.read_csv(path)
        if form == "arrow":
            return _load_arrow(path)
    raise click.UsageError(f"{path.name!r} has none of the suffixes {', '.join(_SUFFIXES)}")


def _load_arrow(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import ipc

    source = pa.memory_map(str(path))
    try:
        return ipc.open_file(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return ipc.open_stream(source).read_all()


def _reserve(path: Path) -> None:
    # Without it a full disk is noticed by a write to mapped memory, which kills the process.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _table(value: Any) -> pa.Table:
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return pa.table({"values": value})
    return pa.Table.from_pandas(_frame(value))


def _frame(value: Any) -> pd.DataFrame:
    import pandas as pd

    from bridge.remote.frame import frame_of

    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, pd.Series | pd.Index):
        return value.to_frame()
    return frame_of(_table(value))


def _is_row_numbers(index: pd.Index[Any]) -> bool:
    """Whether an index is one that nobody made: also where a filter has left only some of the numbers."""
    return list(index.names) == [None] and index.dtype.kind in "iu"


@contextlib.contextmanager
def _shown_as(what: str) -> Iterator[None]:
    """Show what libraries say of files and their formats as one sentence."""
    import bridge

    try:
        yield
    except (bridge.BridgeError, BrokenPipeError):
        raise
    # Those of pyarrow are among these.
    except (
        OSError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        NotImplementedError,
        MemoryError,
        RecursionError,
    ) as exc:
        raise click.ClickException(f"{what}: {str(exc) or type(exc).__name__}") from exc
