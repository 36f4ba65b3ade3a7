"""``serve``: files, directories, and objects of the user's modules."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.echo import echo, echo_json
from bridge.cli.options import command, json_option

if TYPE_CHECKING:
    import bridge

__all__ = ["serve"]


@command(
    "zbridge serve",
    "zbridge serve data/",
    "zbridge serve weather.parquet week=temperature.npy",
    "zbridge serve analysis:spectrum --workers 4",
    "zbridge serve --writable mine/ --log-format json",
)
@click.argument("what", nargs=-1, metavar="[DIR | FILE | NAME=PATH | MODULE:OBJECT]...")
@click.option(
    "--bind",
    metavar="URL",
    default="tcp://127.0.0.1:5555",
    show_default=True,
    help="Where to listen; port 0 picks a free one.",
)
@click.option(
    "--writable",
    metavar="PREFIX",
    multiple=True,
    help="Let clients write names that begin so; '' for all. What they put under names of a served "
    "directory is written into it as files. May be repeated.",
)
@click.option("--keys", is_flag=True, help="Let in only clients with keys, also from this computer.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Listen where other computers reach it, without keys: all of them may read.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Threads for functions; by default a few more than CPUs."
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@json_option
def serve(
    what: tuple[str, ...],
    bind: str,
    writable: tuple[str, ...],
    keys: bool,
    insecure: bool,
    workers: int | None,
    log_format: str,
    as_json: bool,
) -> None:
    """Serve files, directories and Python objects.

    The names are those of the files, without suffix, as paths below the directory. MODULE:OBJECT is imported
    from the current directory: an array, a table, a function, a generator function, or a dict of them by name.
    Without arguments the weather of Seattle is served, to try things out. Ctrl-C and SIGTERM stop the server.

    Where other computers reach it, only clients whose keys are allowed get in: see zbridge keys.

    The log has a line for each query: who, what, bytes, milliseconds, outcome.
    """
    import bridge
    from bridge.cli.log import log_to_stderr
    from bridge.keys import home
    from bridge.threads import DaemonThreads

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log_to_stderr(log_format)
    executor = DaemonThreads(workers) if workers is not None else None
    try:
        server = bridge.Server(
            bind,
            executor=executor,
            insecure=insecure,
            keys=home() if keys else None,
            writable=writable,
        )
    except (bridge.TransportError, ValueError) as exc:  # what was typed, not a server that is away
        raise click.ClickException(str(exc)) from exc
    with contextlib.closing(server):
        for argument in what:
            _add(server, argument)
        if not what:
            from bridge.cli import example

            example.add_to(server)
        _announce(server, as_json)
        server.run()


def _add(server: bridge.Server, argument: str) -> None:
    """Serve what an argument means: the first reading that fits."""
    name, equals, path = argument.partition("=")
    module, colon, attribute = argument.partition(":")
    if Path(argument).exists():
        _add_path(server, "", Path(argument))
    elif equals and Path(path).exists():
        _add_path(server, name, Path(path))
    elif colon and module and attribute and not equals:
        _add_object(server, module, attribute)
    else:
        raise click.UsageError(
            f"there is no file or directory {path if equals else argument!r}"
            + (
                "; what stands after = is one, and MODULE:OBJECT goes by its own name"
                if equals
                else ", nor is it MODULE:OBJECT"
            )
        )


def _add_path(server: bridge.Server, name: str, path: Path) -> None:
    try:
        if path.is_dir():
            server.mount(path, prefix=f"{name}/" if name else "")
        else:
            server[name or path.stem] = path
    except (OSError, ValueError, TypeError) as exc:
        raise click.ClickException(f"{str(path)!r} cannot be served: {exc}") from exc


def _add_object(server: bridge.Server, module_name: str, attribute: str) -> None:
    """Import an object of a module of the user's, and serve it; of a dict, each value under its key."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        obj: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise  # something that the user's module needs
        raise click.UsageError(
            f"there is no module {exc.name!r} in the current directory or elsewhere"
        ) from None
    for part in attribute.split("."):
        try:
            obj = getattr(obj, part)
        except AttributeError:
            raise click.UsageError(f"the module {module_name!r} has no {attribute!r}") from None
    for name, value in obj.items() if isinstance(obj, dict) else [(attribute, obj)]:
        try:
            server[name] = _servable(value)
        except (TypeError, ValueError) as exc:
            raise click.ClickException(f"{name!r} of {module_name!r} cannot be served: {exc}") from exc


def _servable(value: Any) -> Any:
    from bridge.sources.query import Query

    if not inspect.isroutine(value):
        return value
    return Query(value, is_stream=inspect.isgeneratorfunction(value))


def _announce(server: bridge.Server, as_json: bool) -> None:
    from bridge.entrance import for_others

    names = list(server)
    url = for_others(server.url)
    if as_json:
        echo_json({"url": url, "names": names})
        return
    from bridge.display import list_text

    echo(f"Serving {list_text(names)} at {url}; Ctrl-C stops.", err=True)
    echo(f"Look at it with: zbridge ls {url}", err=True)
