"""Moving data: ``get`` and ``put``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import click

import bridge
from bridge.cli import files
from bridge.cli.echo import DataStream, echo, echo_json
from bridge.cli.options import command, json_option, name_argument, output_options, url_option
from bridge.cli.syntax import column_finder, parse_filter

__all__ = ["get", "put", "save"]


@command(
    "zbridge get weather",
    "zbridge get weather -o weather.parquet",
    "zbridge get weather --columns date,wind --rows -7: -o week.csv",
    'zbridge get weather --filter "precipitation > 40 and date >= 2014-01-01"',
    "zbridge get weather --filter \"weather in ['snow', 'fog']\" -o - --format csv",
    "zbridge get 'temperature[::7, 0]' -o weekly.npy",
    "zbridge get 'temperature[:365]' -o - > year.npy",
)
@name_argument("array", "table", "object", metavar="NAME[SLICE]")
@output_options
@click.option("--columns", metavar="A,B", help="Of a table, these columns alone.")
@click.option("--filter", "conditions", metavar="TEXT", help='Of a table, the rows where "price > 100".')
@click.option("--rows", metavar="START:STOP", help="These rows alone, of those that pass the filter.")
@url_option
@json_option
def get(
    name: str,
    output: str | None,
    form: str | None,
    columns: str | None,
    conditions: str | None,
    rows: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Fetch an array or a table, or a part of it.

    It goes to a file or to stdout; without -o, what it is and its first values are printed.

    A SLICE is written as numpy's, with integers, slices, ... and None. A filter is COLUMN OP VALUE, several
    joined by and: OP is == != < <= > >=, in [...], not in [...], is null or is not null; VALUE is a number,
    true, false, text in quotes, or a date or time in ISO form.
    """
    form = files.chosen_form(output, form, as_json=as_json)
    from bridge.selection.written import parse_rows, split_name

    try:
        name, index = split_name(name)
        chosen_rows = parse_rows(rows) if rows is not None else None
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    if index is not None and chosen_rows is not None:
        raise click.UsageError("the slice and --rows say both which rows; choose one")
    with bridge.connect(url) as b:
        handle = b[name]
        if isinstance(handle, bridge.RemoteTable):
            chosen_rows = _only_slice(index) if index is not None else chosen_rows
            handle = _narrowed(handle, columns, conditions, chosen_rows)
        elif columns is not None or conditions is not None:
            raise click.ClickException(f"{name!r} is no table; --columns and --filter are for tables")
        elif chosen_rows is not None:
            index = (chosen_rows,)
        if isinstance(handle, bridge.RemoteArray):
            _get_array(b, handle, index, output, form, as_json)
            return
        if (verb := verb_for(handle)) != "get":
            raise click.ClickException(f"{name!r} is read with: zbridge {verb} {name}")
        if index is not None and not isinstance(handle, bridge.RemoteTable):
            raise click.ClickException(f"{name!r} is no array; it is fetched whole")
        if output is not None:
            if isinstance(handle, bridge.RemoteTable):  # before it is fetched for nothing
                files.form_for(output, form, is_array=False)
            save(b, handle.read(), output, form, as_json)
        elif isinstance(handle, bridge.RemoteTable):
            _look_at_table(handle, as_json)
        else:
            _look_at(handle.read(), as_json)


def verb_for(handle: Any) -> str:
    """Return the command that reads what a handle stands for."""
    if isinstance(handle, bridge.RemoteChannel):
        return "follow"
    return "call" if isinstance(handle, bridge.RemoteQuery) else "get"


@command(
    "zbridge put mine/weekly weekly.npy",
    "zbridge put mine/weather weather.parquet",
)
@name_argument()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option
@json_option
def put(name: str, file: Path, url: str | None, as_json: bool) -> None:
    """Send a file to the server.

    It serves what is in the .npy, .parquet, .arrow or .csv file under the name, if it allows that: see
    zbridge serve --writable.
    """
    value = files.load(file)
    with bridge.connect(url) as b:
        b.put(name, value)
    _report({"name": name, "nbytes": int(value.nbytes)}, "put {nbytes} to {name}", as_json)


def save(b: bridge.Client, value: Any, output: str, form: str | None, as_json: bool) -> None:
    """Write an array or a table that was fetched to a file, or with ``-`` to stdout."""
    import numpy as np

    package = type(value).__module__.partition(".")[0]
    if isinstance(value, np.ma.MaskedArray) or not (
        isinstance(value, np.ndarray | np.generic) or package == "pyarrow" or hasattr(value, "to_csv")
    ):
        raise click.ClickException(
            f"there is no file format for this {type(value).__name__}; leave -o out, or read it in Python"
        )
    is_array = package == "numpy"
    form = files.form_for(output, form, is_array=is_array)
    value = np.asarray(value) if is_array else value
    if output == "-" and sys.stdout.isatty():  # CSV, as the others are refused there
        shown = DataStream()
        files.write(value, form, shown)
        shown.flush()
        return
    if output == "-":
        files.write(value, form, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with files.replacing(output) as path, path.open("xb") as stream:
        files.write(value, form, stream)
    _report_file(b, output, as_json)


def _get_array(
    b: bridge.Client,
    handle: bridge.RemoteArray,
    index: tuple[Any, ...] | None,
    output: str | None,
    form: str | None,
    as_json: bool,
) -> None:
    from bridge import selection
    from bridge.codecs import BufferReader

    wire = selection.array_to_wire(index or (), [])
    local = selection.array_from_wire(wire, BufferReader([]))
    try:
        shape = selection.array_result_shape(handle.shape, local)
    except (IndexError, ValueError) as exc:
        raise click.ClickException(f"{handle.name!r} has the shape {handle.shape}: {exc}") from None
    if output is None:
        _look_at_array(handle, local, shape, as_json)
    elif output == "-":
        save(b, handle.read(index), output, form, as_json)
    else:
        files.form_for(output, form, is_array=True)
        with files.replacing(output) as path:
            files.receive_array(handle, index, shape, path)
        _report_file(b, output, as_json)


def _only_slice(index: tuple[Any, ...]) -> slice:
    if len(index) == 1 and isinstance(index[0], slice):
        return index[0]
    raise click.ClickException(
        "of a table, a slice is of its rows alone: [0:1000]; choose columns by --columns"
    )


def _narrowed(
    table: bridge.RemoteTable, columns: str | None, conditions: str | None, rows: slice | None
) -> bridge.RemoteTable:
    if conditions is not None:
        table = table.filter(parse_filter(conditions, column_finder(_types(table))))
    if columns is not None:
        find = column_finder((label, None) for label in table.columns)
        table = table.select([find(text.strip())[0] for text in columns.split(",")])
    return table if rows is None else table.slice(rows.start, rows.stop, rows.step)


def _types(table: bridge.RemoteTable) -> list[tuple[Any, Any]]:
    import pyarrow as pa

    try:
        schema = {field.name: field.type for field in table.schema}
    except (pa.ArrowException, ValueError, TypeError):  # a column without a form in Arrow
        schema = {}
    return [(label, schema.get(str(label))) for label in table.columns]


# ── a first look ──────────────────────────────────────────────────────────────────────────────────


def _look_at_array(
    handle: bridge.RemoteArray, index: tuple[Any, ...], shape: tuple[int, ...], as_json: bool
) -> None:
    import numpy as np

    from bridge.cli import show
    from bridge.display import lines, shape_text, text

    first = handle.read(show.first_items(handle.shape, index))
    nbytes = math.prod(shape) * handle.dtype.itemsize
    if as_json:
        facts = {"kind": "array", "dtype": str(handle.dtype), "shape": list(shape), "nbytes": nbytes}
        echo_json({"name": handle.name, **facts, "first": show.plain(first)})
        return
    echo(f"{text(handle.name)}: {show.array_text(handle.dtype, shape, nbytes)}")
    echo(lines(first))
    if np.shape(first) != shape:
        echo(f"… the first {shape_text(np.shape(first))}")


def _look_at_table(table: bridge.RemoteTable, as_json: bool) -> None:
    from bridge.cli import show
    from bridge.display import table_text, text

    try:
        first = table.head(show.ROWS).read()
    except bridge.EncodeError:  # rows from the end, or with a step
        first = table.read()[: show.ROWS]
    dtypes = {text(label): str(dtype) for label, dtype in table.dtypes.items()}
    if as_json:
        facts = {"kind": "table", "rows": table.num_rows, "columns": dtypes}
        echo_json({"name": table.name, **facts, "first": show.plain(first)})
        return
    are_all = len(first) < show.ROWS if table.num_rows is None else len(first) == table.num_rows
    rows = len(first) if are_all else table.num_rows
    echo(f"{text(table.name)}: {table_text(rows, len(dtypes))}")
    echo(show.text(first))
    if not are_all:
        echo(f"… the first {len(first)}")


def _look_at(value: Any, as_json: bool) -> None:
    from bridge.cli import show

    if as_json:
        echo_json(show.plain(value))
    else:
        echo(show.text(value))


def _report_file(b: bridge.Client, output: str, as_json: bool) -> None:
    receipt = b.last
    if receipt is None:
        return
    facts = {"file": output, "nbytes": receipt.nbytes, "seconds": round(receipt.seconds, 6)}
    _report(facts, "{file}: {nbytes} in {seconds:.2f} s", as_json)


def _report(facts: dict[str, Any], sentence: str, as_json: bool) -> None:
    """Say what was done: to programs on stdout, to people on stderr."""
    from bridge.display import nbytes_text

    if as_json:
        echo_json(facts)
    else:
        echo(sentence.format(**{**facts, "nbytes": nbytes_text(facts["nbytes"])}), err=True)
