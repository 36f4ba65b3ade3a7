"""Through ssh, to a server that only its own computer reaches: with a real sshd, on this one."""

from __future__ import annotations

import getpass
import os
import pickle
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge import clients
from bridge.clients import Authorized
from bridge.rights import Rights
from tests.integration.conftest import until
from tests.processes import output_of, serving

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(
    not (SSHD and shutil.which("ssh") and shutil.which("ssh-keygen")),
    reason="OpenSSH's ssh, ssh-keygen and sshd are needed: apt-get install openssh-client openssh-server",
)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """An sshd with keys of its own: its port, options for ssh, and its folder; "user" may log in."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user", "forwarder"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    user, forwarder = ((folder / f"{name}.pub").read_text() for name in ("user", "forwarder"))
    (folder / "authorized_keys").write_text(
        f'{user}restrict,port-forwarding,command="exit 1" {forwarder}'
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\n"
        f"PidFile {folder}/pid\n"
        f"SetEnv BRIDGE_HOME={folder}/home\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    host_key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    try:
        Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd goes
    except OSError as exc:
        pytest.skip(f"sshd needs the directory /run/sshd: {exc.strerror}")
    assert SSHD is not None
    command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    until((folder / "pid").exists)
    options = ["-F", "none", "-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "BatchMode=yes"]
    yield port, [*options, "-o", "IdentitiesOnly=yes"], folder
    process.terminate()
    process.wait()


@pytest.fixture
def place():
    """Where what is made for a tunnel lies: the paths of sockets are short."""
    folder = tempfile.mkdtemp(prefix="z-")
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture
def ssh(sshd, monkeypatch, place):
    """The beginning of an address through that sshd; what is made for a tunnel is in `place`."""
    port, options, folder = sshd
    command = (
        f'echo $$ >> {place}/.pids; exec {shlex.join(["ssh", *options, "-i", f"{folder}/user"])} "$@"'
    )
    monkeypatch.setenv("BRIDGE_SSH", shlex.join(["sh", "-c", command, "ssh"]))
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setenv("BRIDGE_HOME", f"{folder}/home")
    return f"ssh://{getpass.getuser()}@127.0.0.1:{port}"


def port_of(server):
    return server.url.rpartition(":")[2]


def tunnels(folder):
    """The process ids of the ssh that run, or ended and were not waited for."""
    return [pid for pid in map(int, (folder / ".pids").read_text().split()) if is_there(pid)]


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def folders(folder):
    return list(folder.glob("zbridge-*"))


@needs_sshd
def test_a_server_that_only_its_own_computer_reaches_is_read_through_ssh(server, ssh, place):
    server["x"] = np.arange(1_000_000)
    address = f"{ssh}/{port_of(server)}"
    with bridge.connect(address) as b:
        assert np.array_equal(b.read("x"), np.arange(1_000_000))
        assert b.url == address
        assert address in repr(b)
        (folder,) = folders(place)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(tunnels(place)) == 1
    assert folders(place) == []
    assert tunnels(place) == []


@needs_sshd
def test_the_port_of_the_only_server_there_is_found_by_one_who_logs_in_once(ssh, sshd, place):
    log = sshd[2] / "log"
    before = log.read_text().count("Accepted publickey")
    with bridge.serve(x=np.arange(1000)), bridge.connect(ssh) as b:
        assert np.array_equal(b.read("x"), np.arange(1000))
        assert b.url == ssh
        assert len(tunnels(place)) == 1
        assert log.read_text().count("Accepted publickey") == before + 1
    assert folders(place) == []
    assert tunnels(place) == []


@needs_sshd
def test_where_temporary_files_have_long_names_sockets_lie_elsewhere(ssh, place, monkeypatch):
    long = place / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with bridge.serve(x=1) as srv:
        for address in (ssh, f"{ssh}/{port_of(srv)}"):
            with bridge.connect(address) as b:
                assert b.read("x") == 1
    assert list(long.iterdir()) == []


@needs_sshd
def test_a_computer_that_prints_without_end_is_not_heard_out(ssh, monkeypatch):
    monkeypatch.setattr("bridge.running.FIND", "echo zbridge 1; echo zbridge 2; yes")
    assert "you run 2 servers" in failure(ssh)
    monkeypatch.setattr("bridge.running.FIND", "echo zbridge 1; echo zbridge 2; sleep 5")
    monkeypatch.setattr("bridge.tunnel.ASK_SECONDS", 1.0)
    assert "you run 2 servers" in failure(ssh)


@needs_sshd
def test_of_several_servers_there_the_one_at_the_default_port_is_taken_or_none(ssh, monkeypatch):
    with bridge.serve(x=1) as one, bridge.serve(x=2) as two:
        ports = sorted(map(int, map(port_of, (one, two))))
        message = failure(ssh)
        assert (
            f"you run 2 servers on the computer of {ssh}, at the ports {ports[0]}, {ports[1]}" in message
        )
        assert f"say which: {ssh}/{ports[0]}" in message
        monkeypatch.setattr("bridge.tunnel.DEFAULT_PORT", int(port_of(two)))
        with bridge.connect(ssh) as b:
            assert b.read("x") == 2


SERVE = "import bridge, sys; print(bridge.serve(x=1).url, flush=True); sys.stdin.read()"


@needs_sshd
def test_servers_that_were_closed_or_killed_or_have_keys_are_not_found(ssh, sshd, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        default = free.getsockname()[1]
    monkeypatch.setattr("bridge.tunnel.DEFAULT_PORT", default)
    bridge.serve(x=1).close()
    assert list((sshd[2] / "home" / "servers").iterdir()) == []
    keyed = sshd[2] / "keyed"
    clients.allow(keyed, Authorized(key="ab" * 32, name="ada", rights=Rights()))
    with bridge.Server("tcp://127.0.0.1:0", keys=keyed):
        assert list((sshd[2] / "home" / "servers").iterdir()) == []
    with serving("-c", SERVE) as (_, process):
        process.kill()
    assert len(list((sshd[2] / "home" / "servers").iterdir())) == 1
    assert f"no server answers on its port {default}" in failure(ssh)
    with bridge.serve(x=2), bridge.connect(ssh) as b:
        assert b.read("x") == 2


@needs_sshd
def test_who_may_only_forward_ports_gets_to_the_default_one(ssh, sshd, monkeypatch):
    monkeypatch.setenv("BRIDGE_SSH", shlex.join(["ssh", *sshd[1], "-i", f"{sshd[2]}/forwarder"]))
    with bridge.serve(x=1), bridge.serve(x=2) as srv:
        srv._unlist()  # who may ask would find the other
        monkeypatch.setattr("bridge.tunnel.DEFAULT_PORT", int(port_of(srv)))
        with bridge.connect(ssh) as b:
            assert b.read("x") == 2


@needs_sshd
def test_an_ssh_that_makes_no_end_of_the_tunnel_is_an_error_with_its_words(ssh, monkeypatch, place):
    refuse = 'case "$*" in *"-O forward"*) echo no room >&2; exit 255;; esac; exec ssh'
    monkeypatch.setenv("BRIDGE_SSH", os.environ["BRIDGE_SSH"].replace("exec ssh", refuse))
    with bridge.serve(x=1):
        assert failure(ssh) == f"no way to {ssh}: ssh says: no room"
    assert folders(place) == []


@needs_sshd
def test_where_there_are_no_private_sockets_the_tunnel_begins_at_a_port(server, ssh, monkeypatch):
    monkeypatch.setattr("bridge.tunnel.PRIVATE_ENDS", False)
    server["x"] = 1
    with bridge.connect(f"{ssh}/{port_of(server)}") as b:
        assert b.read("x") == 1


@needs_sshd
def test_after_it_was_closed_and_after_ssh_has_died_a_client_gets_a_new_tunnel(server, ssh, place):
    server["x"] = 1
    with bridge.connect(f"{ssh}/{port_of(server)}") as b:
        b.close()
        assert b.read("x") == 1
        (pid,) = tunnels(place)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert b.read("x") == 1


@needs_sshd
def test_an_interrupt_of_the_terminal_does_not_end_the_tunnel(server, ssh, place):
    server["x"] = 1
    with bridge.connect(f"{ssh}/{port_of(server)}") as b:
        (pid,) = tunnels(place)
        os.kill(pid, signal.SIGINT)
        assert b.read("x") == 1
        assert tunnels(place) == [pid]


@needs_sshd
def test_a_pickled_client_makes_a_tunnel_of_its_own(server, ssh):
    server["x"] = 1
    with bridge.connect(f"{ssh}/{port_of(server)}") as b, pickle.loads(pickle.dumps(b)) as again:
        assert (b.read("x"), again.read("x")) == (1, 1)


FORK = """
import os, sys, warnings, bridge
b = bridge.connect(sys.argv[1])
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn: there are threads
child = os.fork()
value = b.read("x")
if not child:
    b.close()
    os._exit(value)
print(value, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), b.read("x"))
b.close()
"""


@needs_sshd
def test_in_a_forked_child_the_parents_tunnel_is_left_to_the_parent(server, ssh):
    server["x"] = 1
    assert output_of("-c", FORK, f"{ssh}/{port_of(server)}") == "1 1 1\n"


def failure(address):
    with pytest.raises(bridge.TransportError) as caught:
        bridge.connect(address)
    return str(caught.value)


@needs_sshd
def test_who_takes_long_to_log_in_is_waited_for(server, ssh, monkeypatch):
    monkeypatch.setenv("BRIDGE_SSH", os.environ["BRIDGE_SSH"].replace("exec ssh", "sleep 1; exec ssh"))
    monkeypatch.setattr("bridge.client.CONNECT_SECONDS", 0.9)
    server["x"] = 1
    with bridge.connect(f"{ssh}/{port_of(server)}") as b:
        assert b.read("x") == 1


@needs_sshd
def test_where_no_server_listens_the_error_says_so(ssh, place):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    message = failure(f"{ssh}/{port}")
    assert f"no server answers on its port {port}" in message
    assert "Connection refused" in message
    assert folders(place) == []


@needs_sshd
def test_of_an_ssh_that_says_nothing_and_goes_on_no_exit_code_is_told(ssh, monkeypatch):
    quiet = os.environ["BRIDGE_SSH"].replace("exec ssh", "exec ssh -q")
    monkeypatch.setenv("BRIDGE_SSH", quiet)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert failure(f"{ssh}/{port}").endswith("ssh says: nothing")


@needs_sshd
def test_where_ssh_is_not_let_in_the_error_has_its_words(ssh, sshd, monkeypatch, place):
    monkeypatch.setenv("BRIDGE_SSH", shlex.join(["ssh", *sshd[1], "-i", "/dev/null"]))
    message = failure(ssh)
    assert "ssh says:" in message
    assert "Permission denied" in message
    assert folders(place) == []


def test_where_nothing_listens_the_error_has_the_words_of_ssh(monkeypatch):
    monkeypatch.setenv("BRIDGE_SSH", "sh -c 'echo the cable is out >&2; exit 255' --")
    assert failure("ssh://lab") == "no way to ssh://lab: ssh says: the cable is out"


def test_where_there_is_no_ssh_the_error_says_so(monkeypatch):
    monkeypatch.setenv("BRIDGE_SSH", "no-such-program -v")
    assert "needs the program 'no-such-program', which cannot be run" in failure("ssh://lab")


@pytest.mark.parametrize(
    "address",
    [
        "ssh://",
        "ssh://-oProxyCommand=id",
        "ssh://-l@lab",
        "ssh://me@-lab",
        "ssh://lab:port",
        "ssh://lab/x",
        "ssh://lab:22/5555/x",
        "ssh://me@you@lab",
        "ssh://la b",
        "ssh://lab\n",
        "ssh://la\0b",
        "ssh://`id`",
        "ssh://$(id)@lab",
        "ssh://me;id@lab",
        "ssh://lab:\u0662\u0662",
    ],
)
def test_what_is_no_address_is_never_shown_to_ssh(address, monkeypatch):
    monkeypatch.setenv("BRIDGE_SSH", "no-such-program")
    assert "is not an address; expected ssh://user@host" in failure(address)
