"""Two computers, as far as their network can tell: from nothing to an encrypted read, as in the README."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge

ROOT = Path(bridge.__file__).parents[1]
COMMAND = [sys.executable, "-W", "error", "-m", "bridge"]
LAB, LAPTOP = "10.211.7.1", "10.211.7.2"
WAVE = np.frombuffer(b"what the wave says is for the laptop alone " * 20_000, np.uint8)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def computers():
    """Two network namespaces with a cable between: their names, the lab's first."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the program ip: apt-get install iproute2")
    lab, laptop = (f"zbridge-{name}-{os.getpid()}" for name in ("lab", "laptop"))
    with contextlib.ExitStack() as stack:
        for name in (lab, laptop):
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as exc:
                pytest.skip(f"no network namespace can be made here: {exc.stderr.decode().strip()}")
            stack.callback(ip, "netns", "delete", name)
        ip("link", "add", "eth0", "netns", lab, "type", "veth", "peer", "name", "eth0", "netns", laptop)
        for name, address in ((lab, LAB), (laptop, LAPTOP)):
            ip("-netns", name, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-netns", name, "link", "set", device, "up")
        yield lab, laptop


@pytest.fixture
def typed(tmp_path) -> Callable[..., Any]:
    """Start a command on a computer, in a directory that is its alone."""

    def start(computer: str, *arguments: str) -> subprocess.Popen[str]:
        folder = tmp_path / computer
        folder.mkdir(exist_ok=True)
        environment = {**os.environ, "BRIDGE_HOME": str(folder / ".zbridge"), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            ["ip", "netns", "exec", computer, *COMMAND, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def output(process: subprocess.Popen[str], code: int = 0) -> str:
    said, complaint = process.communicate(timeout=30)
    assert process.returncode == code, complaint
    return said if code == 0 else complaint


def test_four_commands_lead_from_nothing_to_an_encrypted_read(computers, typed, tmp_path):
    lab, laptop = computers
    (tmp_path / lab).mkdir()
    np.save(tmp_path / lab / "wave.npy", WAVE)

    key = output(typed(laptop, "keys", "new")).strip()
    output(typed(lab, "keys", "allow", key, "--name", "laptop"))
    with typed(lab, "serve", "wave.npy", "--bind", "tcp://*:5555") as serving:
        assert serving.stderr is not None
        said = serving.stderr.readline() + serving.stderr.readline()
        url = said.split()[-1]
        assert url.startswith("bridge://")
        url = f"{url.rpartition('@')[0]}@{LAB}:5555"  # no DNS here: its address for its name
        try:
            output(typed(laptop, "get", "wave", "--url", url, "-o", "wave.npy"))
            np.testing.assert_array_equal(np.load(tmp_path / laptop / "wave.npy"), WAVE)

            # And who has no key, or is on the same computer but has none, gets nothing.
            stranger = output(typed(laptop, "get", "wave", "--url", f"tcp://{LAB}"), code=2)
            assert "lets in only those whose keys it knows" in stranger
        finally:
            serving.terminate()
            log = serving.communicate()[1]
    assert f"{LAPTOP} laptop SHA256:" in log
    assert f"get 'wave' {WAVE.nbytes / 1024:.1f} KiB" in log
    assert key not in log


def test_without_keys_no_other_computer_is_served(computers, typed):
    lab, _ = computers
    message = output(typed(lab, "serve", "--bind", "tcp://*:5555"), code=1)
    assert "no client is allowed to" in message
    assert "zbridge keys allow PUBKEY" in message
