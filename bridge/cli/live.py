"""Functions and channels: ``call`` and ``follow``."""

from __future__ import annotations

from typing import Any

import click

import bridge
from bridge.cli import files
from bridge.cli.echo import DataStream, echo, echo_json, json_pieces
from bridge.cli.fetch import save, verb_for
from bridge.cli.options import command, json_option, name_argument, output_options, url_option
from bridge.cli.syntax import parse_arguments
from bridge.errors import an

__all__ = ["call", "follow"]


@command(
    "zbridge call monthly_mean column=temp_max year=2015",
    "zbridge call monthly_mean column=wind year=2014 -o wind.npy",
    "zbridge call years column=precipitation --json",
)
@name_argument("query", "stream")
@click.argument("arguments", metavar="[KEY=VALUE]...", nargs=-1)
@output_options
@url_option
@json_option
def call(
    name: str,
    arguments: tuple[str, ...],
    output: str | None,
    form: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Call a function on the server, and print the result.

    Of a stream, each value is printed as it comes. An argument that is no JSON is text: year=2015, column=wind,
    limits=[0,0.5], code='"7"'.
    """
    form = files.chosen_form(output, form, as_json=as_json)
    given = parse_arguments(arguments)
    with bridge.connect(url) as b:
        handle = b[name]
        if not isinstance(handle, bridge.RemoteQuery):
            raise click.ClickException(
                f"{name!r} is no function; read it with: zbridge {verb_for(handle)} {name}"
            )
        if not isinstance(handle, bridge.RemoteStream):
            try:
                result = b.call(name, **given)
            except TypeError as exc:
                if isinstance(exc, bridge.BridgeError):
                    raise
                raise bridge.WireError(
                    f"{name!r} answered with no value or with several, as a stream does; expected one"
                ) from exc
            if output is None:
                _print(result, as_json)
            else:
                save(b, result, output, form, as_json)
        elif output is not None:
            raise click.UsageError(
                f"{name!r} is a stream: its values are printed, not written to a file"
            )
        else:
            for value in b.stream(name, **given):
                _print(value, as_json)


@command(
    "zbridge follow replay",
    "zbridge follow replay --start begin --json",
)
@name_argument("channel")
@click.option(
    "--start",
    default="end",
    show_default=True,
    help="begin: all rows that are kept; end: those to come; or a row's number.",
)
@url_option
@json_option
def follow(name: str, start: str, url: str | None, as_json: bool) -> None:
    """Print the rows of a live channel as they come.

    It goes on until Ctrl-C. Tables are printed as CSV, other rows a line each; with --json every row is a line
    of JSON.
    """
    if start not in ("begin", "end") and not start.isdecimal():
        raise click.UsageError(f"--start is {start!r}; give begin, end or the number of a row")
    header: list[str] = []
    with bridge.connect(url) as b:
        handle = b[name]
        if not isinstance(handle, bridge.RemoteChannel):
            raise click.ClickException(
                f"{name!r} is no channel; read it with: zbridge {verb_for(handle)} {name}"
            )
        for rows in b.follow(name, start=int(start) if start.isdecimal() else start):
            header = _print_rows(rows, header, as_json)


def _print(value: Any, as_json: bool) -> None:
    from bridge.cli import show

    if as_json:
        echo_json(show.plain(value))
    else:
        echo(show.text(value))


def _print_rows(rows: Any, header: list[str], as_json: bool) -> list[str]:
    """Print a run of rows, and of a table its header if that is another than before; return the header.

    Row by row: many may have one long value, which came once.
    """
    from bridge.cli import show

    stream = DataStream()
    is_table = hasattr(rows, "columns") or hasattr(rows, "column_names")
    if as_json or not is_table:
        listed = show.rows_of(rows)
        if listed is None:
            raise bridge.WireError(
                f"the rows of the channel came as {an(type(rows).__name__)}; expected a table, an array "
                "or a list"
            )
        for row in listed:
            stream.writelines(json_pieces(row) if as_json else [str(row)])
            stream.write("\n")
        stream.flush()
        return header
    names = show.header_of(rows)
    files.write(rows, "csv", stream, header=names != header)
    stream.flush()
    return names
