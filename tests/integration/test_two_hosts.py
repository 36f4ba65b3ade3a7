"""The benchmark between two network namespaces, as the script runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from benchmarks.two_hosts import main
from bridge.bench.result import Result
from tests.processes import ROOT


def _can_make_namespaces() -> bool:
    if (
        not hasattr(os, "geteuid")
        or os.geteuid() != 0
        or not shutil.which("ip")
        or not shutil.which("tc")
    ):
        return False
    name = f"zbridge-test-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return made.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(
    not _can_make_namespaces(), reason="NOT TESTED: two network namespaces need root, ip and tc"
)
def test_two_hosts_are_measured_and_held_against_a_socket_by_hand(tmp_path):
    command = [sys.executable, "-m", "benchmarks.two_hosts", "--link=1gbit", f"--out={tmp_path}"]
    done = subprocess.run(
        [*command, "--payloads=f8", "--sizes=1KiB,1MiB", "--budget=60s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # How well they agree is the machine's doing; that both were timed is ours.
    assert "1gbit: 1048576 bytes take" in done.stdout, done.stderr
    (path,) = tmp_path.glob("*-1gbit.json")
    assert path.with_suffix(".html").stat().st_size > 10_000
    result = Result.load(path)
    assert result.document["url"] == "tcp://10.83.0.1:5556"
    (tcp,) = result.sweeps[0].measured(name="tcp", nbytes=2**20)
    assert tcp.rate is not None
    assert tcp.rate < 250e6, "nothing is faster than the link, but for what the bucket holds"
    assert json.loads(path.read_text("utf-8"))["command"].startswith("zbridge bench tcp://10.83.0.1")


def test_without_root_the_script_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    run = CliRunner().invoke(main, [])
    assert run.exit_code == 1
    assert "need Linux, root, and the programs ip and tc" in run.output
