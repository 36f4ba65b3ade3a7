"""Which servers run: entered while they do, and found by a shell."""

from __future__ import annotations

import os
import subprocess

import pytest

from bridge import keys, running
from tests.processes import output_of

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
    output_of("-c", "from bridge import running; running.enter('tcp://127.0.0.1:6000')")
    assert len(names(folder)) == 1
    assert asked() == []
    running.enter("tcp://127.0.0.1:6001")
    assert names(folder) == [f"{os.uname().nodename}-6001"]


def test_a_port_that_is_taken_over_belongs_to_the_new_server():
    leave = running.enter("tcp://127.0.0.1:6000")
    output_of("-c", "from bridge import running; running.enter('tcp://127.0.0.1:6000')")
    leave()  # the file is another's by now, as in a forked child
    assert asked() == []
    again = running.enter("tcp://127.0.0.1:6000")
    assert asked() == [6000]
    again()


def test_servers_of_other_computers_with_the_same_home_are_left_alone(folder):
    running.enter("tcp://127.0.0.1:6000")
    (folder / "elsewhere-6001").write_text("999999999\n")
    running.enter("tcp://127.0.0.1:6002")
    assert asked() == [6000, 6002]
    assert "elsewhere-6001" in names(folder)


def test_a_home_that_cannot_be_used_does_no_harm(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path / "file"))
    running.enter("tcp://127.0.0.1:6000")()
    tmp_path.chmod(0o755)
    monkeypatch.setenv("BRIDGE_HOME", str(tmp_path))
    (tmp_path / "servers").mkdir(mode=0o755)
    running.enter("tcp://127.0.0.1:6000")()
    assert names(tmp_path / "servers") == []


def test_junk_in_the_directory_is_no_server(folder):
    running.enter("tcp://127.0.0.1:6000")
    for name, text in {
        "x": "1",
        "1; id": "1",
        "0": f"{os.getpid()}",
        "70000000": f"{os.getpid()}",
    }.items():
        (folder / f"{os.uname().nodename}-{name}").write_text(f"{text}\n")
    (folder / f"{os.uname().nodename}-6001").write_text("-e\n")
    assert asked() == [6000]


def test_of_what_a_shell_says_only_ports_count():
    said = "Welcome to lab\nzbridge 6000\r\nzbridge 6001\nzbridge 000007\nzbridge x\n zbridge 5\nzbridge 6001\n"
    assert running.found(said) == [6000, 6001]
