"""Which servers run: entered while they do, and found by a shell."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from bridge import keys, running
from tests.processes import output_of

ENTER = "from bridge import running; running.enter('tcp://127.0.0.1:6000')"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no shell that would find them")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "new" / "home"))
    return tmp_path / "new" / "home" / "servers"


def asked(shell="sh"):
    done = subprocess.run([shell, "-c", running.FIND], stdout=subprocess.PIPE, text=True, check=False)
    return running.found(done.stdout)


def names(folder):
    return [file.name for file in folder.iterdir()]


SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "tcsh", "csh", "fish") if shutil.which(shell)]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::]"])  # noqa: S104
def test_a_server_that_the_loopback_reaches_is_found_until_it_leaves(host):
    leave = running.enter(f"tcp://{host}:6000")
    assert asked() == [6000]
    leave()
    leave()
    assert asked() == []


@pytest.mark.parametrize(
    "url", ["tcp://192.0.2.1:6000", "tcp://[::1]:6000", "ipc:///tmp/s", "inproc://s"]
)
def test_a_server_elsewhere_is_not_entered(url, folder):
    running.enter(url)()
    assert not folder.exists()


def test_all_that_is_made_for_it_is_the_users_alone(folder):
    running.enter("tcp://127.0.0.1:6000")
    (file,) = folder.iterdir()
    assert [
        path.stat().st_mode & 0o777 for path in (file, folder, folder.parent, folder.parent.parent)
    ] == [
        0o600,
        0o700,
        0o700,
        0o700,
    ]
    keys.make_key(keys.home(), keys.SERVER)  # the directory is fit for keys


def test_a_server_that_ended_without_leaving_is_not_found_and_swept_up_by_the_next(folder):
    output_of("-c", f"{ENTER}; import os; os._exit(0)")
    assert len(names(folder)) == 1
    assert asked() == []
    running.enter("tcp://127.0.0.1:6001")
    assert names(folder) == [f"6001@{os.uname().nodename}"]


def test_a_program_that_ends_leaves(folder):
    output_of("-c", ENTER)
    assert names(folder) == []


def test_a_forked_child_that_ends_or_leaves_is_not_the_server(folder):
    fork = """
import os, sys
leave = running.enter('tcp://127.0.0.1:6000')
if child := os.fork():
    os.waitpid(child, 0)
    os._exit(0)
leave()
"""
    output_of("-c", f"from bridge import running\n{fork}")
    assert names(folder) == [f"6000@{os.uname().nodename}"]


def test_a_port_that_is_taken_over_belongs_to_the_new_server(folder):
    leave = running.enter("tcp://127.0.0.1:6000")
    (file,) = folder.iterdir()
    file.write_text("1\n")
    leave()
    assert file.read_text() == "1\n"
    again = running.enter("tcp://127.0.0.1:6000")
    assert asked() == [6000]
    again()


def test_servers_of_other_computers_with_the_same_home_are_left_alone(folder):
    running.enter("tcp://127.0.0.1:6000")
    others = {
        f"6001@{prefix}{os.uname().nodename}{suffix}" for prefix, suffix in (("x", ""), ("", "-2"))
    }
    for name in others:
        (folder / name).write_text("999999999\n")
    running.enter("tcp://127.0.0.1:6002")
    assert asked() == [6000, 6002]
    assert others < set(names(folder))


@pytest.mark.parametrize("home", ["file", "readable", "~nobody-of-this-name"])
def test_a_home_that_cannot_be_used_is_left_as_it_is(home, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "readable" / "servers").mkdir(parents=True)
    (tmp_path / "readable" / "servers").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_HOME", home)
    before = sorted(tmp_path.rglob("*"))
    running.enter("tcp://127.0.0.1:6000")()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_home_of_another_user_is_left_alone(monkeypatch, folder):
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    running.enter("tcp://127.0.0.1:6000")()
    assert not folder.exists()


def test_junk_in_the_directory_is_no_server_and_does_no_harm(folder):
    running.enter("tcp://127.0.0.1:6000")
    junk = {
        "x": "1",
        "1; id": "1",
        "0": f"{os.getpid()}",
        "70000000": "-e",
        "6001": "9" * 40,
        "6002": "",
    }
    for name, text in junk.items():
        (folder / f"{name}@{os.uname().nodename}").write_text(f"{text}\n")
    (folder / f"6003@{os.uname().nodename}").mkdir()
    assert asked() == [6000]
    running.enter("tcp://127.0.0.1:6004")
    assert asked() == [6000, 6004]


def test_of_what_a_shell_says_only_ports_count():
    said = "Welcome to lab\nzbridge 6000\r\nzbridge 6001\nzbridge 000007\nzbridge x\n zbridge 5\nzbridge 6001\n"
    assert running.found(said) == [6000, 6001]
