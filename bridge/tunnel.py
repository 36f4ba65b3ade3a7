"""A way through ssh: the system's own, so that its configuration, jump hosts, agents and questions work.

``ssh -N -L SOCKET:127.0.0.1:PORT host`` leads to a server that only its own computer reaches. This end of the
tunnel is a socket in a directory that nobody else may enter; on a port, every user of this computer could come
along. Windows has no such sockets, and gets the port.

Which port the server has is asked on its computer, through the same ssh, so that nobody logs in twice: that ssh
lends its connection to others (``ControlMaster``), at another socket in that directory. That of Windows cannot,
and goes to the default port; so does one that may run no commands there.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

from bridge import running
from bridge.errors import TransportError, printable
from bridge.transport import DEFAULT_PORT, Link, Unreachable

__all__ = ["Tunnel"]

# Passwords and second factors are typed within this time.
LOGIN_SECONDS: Final = 60.0
# A server greets whoever connects.
GREETING_SECONDS: Final = 5.0
# A question to the computer, once one is logged in; disks may have to wake up.
ASK_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.02
PRIVATE_ENDS: Final = os.name == "posix"
OPTIONS: Final = (
    *("-o", "ExitOnForwardFailure=yes"),
    # A computer that is gone is noticed within a minute.
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
)
# A connection that the user's configuration shares would go on without us.
UNSHARED: Final = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
SHARING: Final = ("-o", "ControlMaster=yes", "-o", "ControlPersist=no")
# Where the connection is gone, it is not to log in anew.
ASKING: Final = ("-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-o", "BatchMode=yes")
# It is to run what we say, without a terminal, and to lend nothing of this computer.
FINDING: Final = ("-T", "-a", "-x", "-o", "RemoteCommand=none")
# What a computer may say to a question.
MAX_SAID: Final = 65_536
# Of what ssh has to say, its end is shown.
MAX_WORDS: Final = 2000
# Directories in which a socket may lie: its path has at most 103 bytes, of which ssh and we need 40, and no
# letters that mean something to ssh.
_SHORT = re.compile(r"[\w/.+-]{1,60}", re.ASCII)
# No part begins with "-": ssh would take it for an option. And none has what means something to a shell: the
# user's configuration may hand it to one.
_WORD = r"""(?!-)[^\s\x00-\x1f\x7f@/:'"`$;&|<>(){}]+"""
_ADDRESS = re.compile(
    rf"ssh://(?P<target>(?:{_WORD}@)?{_WORD})(?::(?P<ssh>\d{{1,5}}))?(?:/(?P<port>\d{{1,5}})?)?",
    re.ASCII,
)


_Seen = TypeVar("_Seen")


class Tunnel:
    """Makes connections through one ssh, which is started for the first of them.

    Parameters
    ----------
    address
        ``ssh://[user@]host[:port][/server port]``. The first port is that of ssh, by default what its
        configuration says; the second that of the server on that computer. Without it, it is that of the only
        server that this user runs there without keys; 5555, where there is none, or one of several has it.
        ``$BRIDGE_SSH`` is the command to run instead of ``ssh``, with options.
    """

    def __init__(self, address: str) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise TransportError(
                f"{address!r} is not an address; expected ssh://user@host, perhaps with :port for that of ssh "
                "and /port for that of the server"
            )
        self.address = address
        self._target = match["target"]
        self._port = int(match["port"]) if match["port"] else None
        self._command = shlex.split(os.environ.get("BRIDGE_SSH") or "ssh")
        self._command += ["-p", match["ssh"]] if match["ssh"] else []
        self._lock = threading.Lock()
        self._ssh: _Ssh | None = None

    def open(self) -> None:
        """Start ssh if it does not run.

        Raises
        ------
        TransportError
            If ssh fails, with what it said; or if no server listens at the other end.
        """
        self._url()

    def link(self) -> Link:
        """Make a connection, through an ssh that is started if it does not run; see `open`."""
        link = Link(self._url())
        link.url = self.address  # what the user knows it by
        return link

    def close(self) -> None:
        """End ssh."""
        with self._lock:
            self._end_ssh()

    def _url(self) -> str:
        with self._lock:
            if self._ssh is None or not self._ssh.is_running():
                self._end_ssh()
                self._ssh = _Ssh(self.address, self._command, self._target, self._port)
            return self._ssh.url

    def _end_ssh(self) -> None:
        if self._ssh is not None:
            self._ssh.close()
            self._ssh = None


class _Ssh:
    """One ssh that runs, with a server at its other end."""

    def __init__(self, address: str, command: list[str], target: str, port: int | None) -> None:
        self._address = address
        self._directory = _private_directory()
        self._said = self._directory / "said"
        self._pid = os.getpid()
        self._control = self._directory / "c"
        self._here, self._end, self.url = _end_in(self._directory)
        self._command, self._target = command, target
        self._port = port if port is not None or PRIVATE_ENDS else DEFAULT_PORT
        self._process = self._start()
        self.close = weakref.finalize(self, _close, self._process, self._directory, self._pid)
        try:
            if self._port is None:
                self._wait_for(self._control.exists)
                self._port = self._find_port()
                self._begin_to_forward()
            with self._wait_for(self._connected) as probe:
                self._check_greeting(probe)
        except BaseException:
            self.close()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        way = (
            [*SHARING, "-S", str(self._control)] if self._port is None else [*UNSHARED, *self._forward()]
        )
        command = [*self._command, "-N", *OPTIONS, *way, "--", self._target]
        try:
            with self._said.open("ab") as said, _interrupts_blocked():
                return subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
                )
        except OSError as exc:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise Unreachable(
                f"{self._address} needs the program {command[0]!r}, which cannot be run: {exc.strerror}"
            ) from exc

    def _forward(self) -> list[str]:
        return ["-L", f"{self._here}:127.0.0.1:{self._port}"]

    def is_running(self) -> bool:
        """Whether it can be used here: that of a parent process is left to the parent."""
        return self._pid == os.getpid() and self._process.poll() is None

    def _find_port(self) -> int:
        """Ask for the port of the server that the user runs there, or take the one that it has by default."""
        command = [*self._asking(*FINDING), "--", self._target, running.FIND]
        ports = running.found(_output_of(command))
        if len(ports) > 1 and DEFAULT_PORT not in ports:
            raise Unreachable(
                f"you run {len(ports)} servers on the computer of {self._address}, at the ports "
                f"{', '.join(map(str, ports))}; say which: {self._address.rstrip('/')}/{ports[0]}"
            )
        return ports[0] if len(ports) == 1 else DEFAULT_PORT

    def _begin_to_forward(self) -> None:
        command = [*self._asking("-O", "forward", *self._forward()), "--", self._target]
        with self._said.open("ab") as said, contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=ASK_SECONDS,
                check=False,
            )
            if done.returncode == 0:
                return
        raise Unreachable(f"no way to {self._address}: ssh says: {self._words()}")

    def _asking(self, *options: str) -> list[str]:
        """Return a command for the ssh that runs."""
        return [*self._command, *ASKING, *options, "-S", str(self._control)]

    def _connected(self) -> socket.socket | None:
        """Connect to this end of the tunnel, if it is there."""
        family, place = self._end
        probe = socket.socket(family)
        try:
            probe.connect(place)
        except OSError:
            probe.close()
            return None
        return probe

    def _wait_for(self, look: Callable[[], _Seen | None]) -> _Seen:
        """Look until something is seen, as long as ssh runs and somebody may be logging in."""
        deadline = time.monotonic() + LOGIN_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise Unreachable(f"no way to {self._address}: ssh says: {self._words()}")
            seen = look()
            if seen:
                return seen
            time.sleep(POLL_SECONDS)
        raise Unreachable(
            f"no way to {self._address}: ssh was not let in for {LOGIN_SECONDS:g} s"
            + (
                ""
                if self._port is not None
                else "; if it was, say the server's port: ssh://user@host/port"
            )
        )

    def _check_greeting(self, probe: socket.socket) -> None:
        """Make sure that somebody listens: this end of a tunnel connects also where nobody does."""
        probe.settimeout(GREETING_SECONDS)
        try:
            greeting = probe.recv(1)
        except OSError:
            greeting = b""
        if not greeting:
            raise Unreachable(
                f"ssh gets to the computer of {self._address}, but no server answers on its port "
                f"{self._port}; start one there, or say which port it has: ssh://user@host/port. "
                f"ssh says: {self._words()}"
            )

    def _words(self) -> str:
        text = self._said.read_text("utf-8", "replace").strip()[-MAX_WORDS:]
        ended = self._process.poll()
        return printable(text) or ("nothing" if ended is None else f"nothing (exit code {ended})")


def _private_directory() -> Path:
    """Make a directory that only this user may enter, where sockets can lie."""
    place = tempfile.gettempdir()
    if PRIVATE_ENDS and not _SHORT.fullmatch(place):
        place = "/tmp"  # noqa: S108 - its mode protects it
    return Path(tempfile.mkdtemp(prefix="zbridge-", dir=place))


def _end_in(directory: Path) -> tuple[str, tuple[int, Any], str]:
    """Choose this end of a tunnel: what ssh calls it, how to connect to it, and its URL."""
    if PRIVATE_ENDS:
        path = directory / "socket"
        return str(path), (socket.AF_UNIX, str(path)), f"ipc://{path}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = free.getsockname()
    here = "{}:{}".format(*place)
    return here, (socket.AF_INET, place), f"tcp://{here}"


def _output_of(command: list[str]) -> str:
    """Run a command that somebody else's computer answers: so much of it, and for so long, is read."""
    said = b""
    deadline = time.monotonic() + ASK_SECONDS
    with (
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is ours
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        pipe = cast("IO[bytes]", process.stdout)
        selector.register(pipe, selectors.EVENT_READ)
        try:
            while len(said) < MAX_SAID and selector.select(deadline - time.monotonic()):
                chunk = os.read(pipe.fileno(), MAX_SAID)
                if not chunk:
                    break
                said += chunk
        finally:
            process.kill()
    return said.decode("utf-8", "replace")


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Have what is started here not hear of Ctrl-C: that ends a call of ours, not the tunnel."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(process: subprocess.Popen[bytes], directory: Path, pid: int) -> None:
    if pid != os.getpid():
        process.returncode = 0  # it is the parent's, who will wait for it
        return
    process.kill()  # it has nothing to put in order, and what it forwards is closed by the system
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)
