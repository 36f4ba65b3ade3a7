"""``keys`` and ``trust``: who you are, whom your servers let in, and which servers you know."""

from __future__ import annotations

import getpass
import math
import shlex
import socket
from typing import Any

import click

import bridge
from bridge.cli.echo import echo, echo_json
from bridge.cli.options import command, json_option

__all__ = ["keys", "trust"]


EXAMPLE = "5ecd2f0b09f1a7c5d4d7c1c0f6a3f1e08d1f7a5b2c3d4e5f60718293a4b5c6d7"
# \b keeps the lines as they are.
EPILOG = """\b
On your computer:
  zbridge keys new
Where the data is:
  zbridge keys allow PUBKEY
  zbridge serve data/ --bind 'tcp://*:5555'
On your computer:
  zbridge ls bridge://KEY@host:5555
"""


def _checked_key(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from bridge.keys import key_of

    try:
        return None if value is None else key_of(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.group(epilog=EPILOG)
def keys() -> None:
    """Make keys, and say whose may connect.

    With keys, a server lets in only the clients that it was told to, and all traffic is encrypted. What is
    made and said here is kept in $BRIDGE_HOME, by default ~/.zbridge, where nobody else may read.
    """


@command("zbridge keys new", name="new")
@json_option
def new(as_json: bool) -> None:
    """Make your key, and print its public half: what a server must be told to let you in."""
    from bridge.keys import CLIENT, home, make_key

    public = make_key(home(), CLIENT).public.hex()
    _show(public, as_json)
    echo(
        f"Made your key, in {home()}. Where the data is, run:\n"
        f"  zbridge keys allow {public} --name {_somebody()}",
        err=True,
    )


@command("zbridge keys show", "zbridge keys show --server", name="show")
@click.option("--server", "role", flag_value="server", help="That of your servers.")
@json_option
def show(role: str | None, as_json: bool) -> None:
    """Print the public half of your key."""
    from bridge.keys import CLIENT, HOW_TO_MAKE, fingerprint, home, own_key

    pair = own_key(home(), role or CLIENT)
    if pair is None:
        role = role or CLIENT
        raise click.ClickException(f"there is no {role} key in {home()}; {HOW_TO_MAKE[role]}")
    _show(pair.public.hex(), as_json)
    echo(fingerprint(pair.public.hex()), err=True)


@command(
    f"zbridge keys allow {EXAMPLE} --name ada",
    f"zbridge keys allow {EXAMPLE} --name ada --only 'run42/*'",
    name="allow",
)
@click.argument("key", callback=_checked_key, metavar="PUBKEY")
@click.option("--name", default="", metavar="NAME", help="What to call it, in lists and logs.")
@click.option(
    "--may",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="What it may do; to write also needs serve --writable.",
)
@click.option(
    "--only", metavar="PATTERN", multiple=True, help="Names, such as 'run42/*'; it sees no others."
)
@click.option(
    "--bytes-in-flight",
    type=click.IntRange(1),
    metavar="BYTES",
    help="Of replies that it has not read yet; more requests wait. [256 MiB]",
)
@click.option(
    "--requests-per-second",
    type=click.FloatRange(0, min_open=True),
    metavar="RATE",
    help="More requests wait; large objects take several. [no limit]",
)
@json_option
def allow(
    key: str,
    name: str,
    may: str,
    only: tuple[str, ...],
    bytes_in_flight: int | None,
    requests_per_second: float | None,
    as_json: bool,
) -> None:
    """Let a client in, from now on. Servers that run need not be started again.

    PUBKEY is what `zbridge keys new` printed on its computer. What it was allowed before is replaced.
    """
    from bridge import clients
    from bridge.keys import home
    from bridge.rights import IN_FLIGHT, Rights

    try:
        rights = Rights(
            may_write=may == "write",
            only=only,
            bytes_in_flight=bytes_in_flight or IN_FLIGHT,
            requests_per_second=requests_per_second or math.inf,
        )
        client = clients.Authorized(key=key, name=name, rights=rights)
        clients.allow(home(), client)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    _list([client], as_json)


@command("zbridge keys deny ada", name="deny")
@click.argument("key", metavar="PUBKEY | NAME")
@json_option
def deny(key: str, as_json: bool) -> None:
    """Let a client in no more. What it has open ends with its next request."""
    from bridge.clients import deny as deny_in
    from bridge.keys import home

    denied = deny_in(home(), key)
    if not denied:
        raise click.ClickException(
            f"no client is allowed by the name or key {key!r}; see: zbridge keys list"
        )
    echo("Let in no more:", err=True)
    _list(denied, as_json)


@command("zbridge keys list", "zbridge keys list --json", name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the clients that are let in."""
    from bridge.clients import authorized
    from bridge.keys import home

    clients = authorized(home())
    if not clients:
        echo("Nobody is let in yet; run: zbridge keys allow PUBKEY", err=True)
    _list(list(clients.values()), as_json)


for _command in (new, show, allow, deny, list_):
    keys.add_command(_command)


@command(
    f"zbridge trust tcp://lab:5555 {EXAMPLE}",
    name="trust",
)
@click.argument("url", metavar="URL")
@click.argument("key", callback=_checked_key, metavar="[KEY]", required=False)
@click.option("--replace", is_flag=True, help="Also if it is known by another key.")
@json_option
def trust(url: str, key: str | None, replace: bool, as_json: bool) -> None:
    """Know a server by its key from now on, so that its address is enough to connect.

    Both are in what `zbridge serve` prints, bridge://KEY@host:port; given as it is, it needs no KEY beside it.
    """
    from bridge import keys
    from bridge.reach import parsed

    try:
        url, given = parsed(url, key)
    except bridge.TransportError as exc:
        raise click.ClickException(str(exc)) from exc
    if given is None or not url.startswith("tcp://"):
        raise click.UsageError("expected tcp://host:port and a key, or bridge://KEY@host:port")
    keys.trust(keys.home(), url, given, replace=replace)
    if as_json:
        echo_json({"url": url, "key": given, "fingerprint": keys.fingerprint(given)})
    else:
        echo(f"{url} is known by {keys.fingerprint(given)}", err=True)


def _show(key: str, as_json: bool) -> None:
    from bridge.keys import fingerprint

    if as_json:
        echo_json({"key": key, "fingerprint": fingerprint(key)})
    else:
        echo(key)


def _list(clients: list[Any], as_json: bool) -> None:
    from bridge.clients import as_json as fields_of
    from bridge.keys import fingerprint

    if as_json:
        echo_json([fields_of(client) | {"fingerprint": fingerprint(client.key)} for client in clients])
        return
    for client in clients:
        fields = fields_of(client)
        echo(f"{fields.pop('key')} {fields.pop('name', '-')} may {fields.pop('may')}", nl=False)
        for name, value in fields.items():
            text = shlex.join(value) if isinstance(value, list) else f"{value:g}"
            echo(f", {name.replace('_', ' ')} {text}", nl=False)
        echo()


def _somebody() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
