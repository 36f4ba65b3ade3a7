"""``zbridge keys`` and ``zbridge trust``, as they are typed."""

from __future__ import annotations

import json
import shlex

import click
import pytest
from click.testing import CliRunner

import bridge
from bridge import clients, keys
from bridge.cli import commands
from bridge.rights import EVERYTHING, Rights

KEY = "5e" * 32
OTHER = "0f" * 32


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "home"))
    return keys.home()


@pytest.fixture
def run(home):
    """Run a line: what it wrote to stdout. An error is raised as the command would show it."""

    def run(line):
        result = CliRunner().invoke(commands, shlex.split(line), standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.stdout

    return run


def test_a_new_key_is_printed_alone_so_that_it_can_be_piped(run, home):
    public = run("keys new")
    assert public == run("keys show")
    own = keys.own_key(home, keys.CLIENT)
    assert own is not None
    assert public == f"{own.public.hex()}\n"
    assert own.secret.hex() not in run("keys show --json")


def test_a_key_is_not_made_twice(run):
    run("keys new")
    with pytest.raises(bridge.TransportError, match="is there already, and is not overwritten"):
        run("keys new")


@pytest.mark.parametrize(
    ("line", "what"), [("keys show", "zbridge keys new"), ("keys show --server", "one is made when")]
)
def test_where_there_is_no_key_to_show_it_is_said_how_to_get_one(run, line, what):
    with pytest.raises(click.ClickException, match=what):
        run(line)


def test_the_servers_key_is_shown_too(run, home):
    pair = keys.make_key(home, keys.SERVER)
    assert run("keys show --server") == f"{pair.public.hex()}\n"


def test_who_is_allowed_may_read_everything_unless_more_or_less_is_said(run, home):
    run(f"keys allow {KEY}")
    assert clients.authorized(home)[KEY].rights == Rights(may_write=False)
    run(f"keys allow {KEY} --may write")
    assert clients.authorized(home)[KEY].rights == EVERYTHING
    run(
        f"keys allow {KEY} --name ada --only 'run42/*' --only log --bytes-in-flight 1000 "
        "--requests-per-second 2.5"
    )
    client = clients.authorized(home)[KEY]
    assert client.name == "ada"
    assert client.rights == Rights(
        may_write=False, only=("run42/*", "log"), bytes_in_flight=1000, requests_per_second=2.5
    )


def test_the_list_has_a_line_for_each_client(run):
    run(f"keys allow {KEY} --name ada --only 'run42/*' --only 'a b' --requests-per-second 2.5")
    run(f"keys allow {OTHER} --may write")
    assert run("keys list").splitlines() == [
        f"{KEY} ada may read, only 'run42/*' 'a b', requests per second 2.5",
        f"{OTHER} - may write",
    ]
    listed = json.loads(run("keys list --json"))
    assert listed[1] == {"key": OTHER, "may": "write", "fingerprint": keys.fingerprint(OTHER)}


@pytest.mark.parametrize("who", [KEY, "ada"])
def test_who_is_denied_is_not_in_the_list(run, who):
    run(f"keys allow {KEY} --name ada")
    assert "ada" in run(f"keys deny {who}")
    assert run("keys list") == ""
    with pytest.raises(click.ClickException, match=r"no client is allowed by .*zbridge keys list"):
        run(f"keys deny {who}")


@pytest.mark.parametrize(
    "line",
    [
        "keys allow ada",
        f"keys allow {KEY[1:]}",
        f"keys allow {KEY} --may execute",
        f"keys allow {KEY} --requests-per-second 0",
        f"keys allow {KEY} --requests-per-second nan",
        f"keys allow {KEY} --bytes-in-flight 0",
        f"keys allow {KEY} --name 'a\nb'",
        f"keys allow {KEY} --bytes-in-flight {'9' * 60}",
        f"keys allow {KEY} --only 'run\udcff*'",
        f"keys allow {KEY} --only 'a\nb'",
        "trust tcp://lab:5555",
        f"trust ipc:///tmp/s {KEY}",
        f"trust ssh://lab {KEY}",
        "trust bridge://lab",
        f"trust bridge://{KEY}@lab {OTHER}",
    ],
)
def test_what_makes_no_sense_changes_nothing(run, home, line):
    with pytest.raises(click.ClickException):
        run(line)
    assert not list(home.glob("*"))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (f"--bytes-in-flight {'9' * 60}", "cannot be kept in a file: .* 60 digits"),
        ("--only 'run\udcff*'", r"the pattern 'run\\udcff\*' is not printable"),
    ],
)
def test_what_cannot_be_read_again_locks_nobody_out(run, home, more, why):
    run(f"keys allow {KEY} --name ada")
    with pytest.raises(click.UsageError, match=why):
        run(f"keys allow {OTHER} {more}")
    assert clients.authorized(home).keys() == {KEY}
    run(f"keys allow {OTHER}")
    assert clients.authorized(home).keys() == {KEY, OTHER}


@pytest.mark.parametrize(
    "line",
    [f"trust tcp://lab:5555 {KEY}", f"trust lab {KEY}", f"trust bridge://{KEY}@lab:5555"],
)
def test_a_server_is_trusted_by_its_address_and_key(run, home, line):
    run(line)
    assert keys.known_server(home, "tcp://lab:5555") == KEY


def test_another_key_of_a_server_is_trusted_on_purpose_only(run, home):
    run(f"trust lab {KEY}")
    with pytest.raises(bridge.TransportError, match=f"trust tcp://lab:5555 {OTHER} --replace"):
        run(f"trust lab {OTHER}")
    run(f"trust lab {OTHER} --replace")
    assert keys.known_server(home, "tcp://lab:5555") == OTHER


def test_the_examples_of_the_help_work(run, home):
    keys.make_key(home, keys.SERVER)
    group = commands.commands["keys"]
    assert isinstance(group, click.Group)
    for command in [
        *(group.commands[name] for name in ("new", "show", "allow", "list", "deny")),
        commands.commands["trust"],
    ]:
        for line in (command.epilog or "").splitlines():
            if line.strip().startswith("zbridge "):
                run(line.strip().removeprefix("zbridge "))
