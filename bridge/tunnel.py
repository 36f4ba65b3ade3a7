"""A way through ssh: the system's own, so that its configuration, jump hosts, agents and questions work.

``ssh -N -L SOCKET:127.0.0.1:PORT host`` leads to a server that only its own computer reaches. This end of the
tunnel is a socket in a directory that nobody else may enter; on a port, every user of this computer could come
along. Windows has no such sockets, and gets the port.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bridge.errors import TransportError, printable
from bridge.transport import DEFAULT_PORT, Link, Unreachable

__all__ = ["Tunnel"]

# Passwords and second factors are typed within this time.
LOGIN_SECONDS: Final = 60.0
# A server greets whoever connects.
GREETING_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.02
PRIVATE_ENDS: Final = os.name == "posix"
OPTIONS: Final = (
    *("-o", "ExitOnForwardFailure=yes"),
    # A computer that is gone is noticed within a minute.
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),
    # A connection that is shared would go on without us.
    *("-o", "ControlMaster=no", "-o", "ControlPath=none"),
)
# No part begins with "-": ssh would take it for an option. And none has what means something to a shell: the
# user's configuration may hand it to one.
_WORD = r"""(?!-)[^\s\x00-\x1f\x7f@/:'"`$;&|<>(){}]+"""
_ADDRESS = re.compile(
    rf"ssh://(?P<target>(?:{_WORD}@)?{_WORD})(?::(?P<ssh>\d{{1,5}}))?(?:/(?P<port>\d{{1,5}})?)?",
    re.ASCII,
)


class Tunnel:
    """Makes connections through one ssh, which is started for the first of them.

    Parameters
    ----------
    address
        ``ssh://[user@]host[:port][/server port]``. The first port is that of ssh, by default what its
        configuration says; the second that of the server on that computer, by default 5555. ``$BRIDGE_SSH`` is
        the command to run instead of ``ssh``, with options.
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
        self._port = int(match["port"] or DEFAULT_PORT)
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

    def __init__(self, address: str, command: list[str], target: str, port: int) -> None:
        self._address = address
        self._port = port
        self._directory = Path(tempfile.mkdtemp(prefix="zbridge-"))  # that only this user may enter
        self._said = self._directory / "said"
        self._pid = os.getpid()
        here, self._end, self.url = _end_in(self._directory)
        try:
            with self._said.open("wb") as said, _interrupts_blocked():
                self._process = subprocess.Popen(
                    [*command, "-N", *OPTIONS, "-L", f"{here}:127.0.0.1:{port}", "--", target],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
        except OSError as exc:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise Unreachable(
                f"{address} needs the program {command[0]!r}, which cannot be run: {exc.strerror}"
            ) from exc
        self.close = weakref.finalize(self, _close, self._process, self._directory, self._pid)
        try:
            with self._probe() as probe:
                self._check_greeting(probe)
        except BaseException:
            self.close()
            raise

    def is_running(self) -> bool:
        """Whether it can be used here: that of a parent process is left to the parent."""
        return self._pid == os.getpid() and self._process.poll() is None

    def _probe(self) -> socket.socket:
        """Connect to this end of the tunnel when it is there."""
        deadline = time.monotonic() + LOGIN_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise Unreachable(f"no way to {self._address}: ssh says: {self._words()}")
            family, place = self._end
            probe = socket.socket(family)
            try:
                probe.connect(place)
                return probe
            except OSError:
                probe.close()
            time.sleep(POLL_SECONDS)
        raise Unreachable(f"no way to {self._address}: ssh was not let in for {LOGIN_SECONDS:g} s")

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
        text = self._said.read_text("utf-8", "replace").strip()
        ended = self._process.poll()
        return printable(text) or ("nothing" if ended is None else f"nothing (exit code {ended})")


def _end_in(directory: Path) -> tuple[str, tuple[int, Any], str]:
    """Choose this end of a tunnel: what ssh calls it, how to connect to it, and its URL."""
    if PRIVATE_ENDS:
        path = directory / "socket"
        return str(path), (socket.AF_UNIX, str(path)), f"ipc://{path}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = free.getsockname()
    here = "{}:{}".format(*place)
    return here, (socket.AF_INET, place), f"tcp://{here}"


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
