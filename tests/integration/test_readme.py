"""What the README shows, works."""

from __future__ import annotations

import re
import subprocess

import pytest

from bridge import cli
from tests.integration.test_connecting import refused_port
from tests.processes import ROOT, output_of

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(program):
    """The lines of all bash blocks that run a program, without their comments."""
    lines = "".join(blocks("bash")).splitlines()
    return [line.partition("#")[0].split() for line in lines if line.startswith(f"{program} ")]


def test_the_python_snippets_run_one_after_the_other():
    with refused_port() as free:
        code = "\n".join(blocks("python")).replace("tcp://127.0.0.1:5555", free)
    assert "bridge.Server(" in code
    assert "bridge.connect(" in code
    output_of("-c", f"{code}\nb.close()\nsrv.close()\n")


def test_the_commands_exist():
    for command in commands("make"):
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)
    for command in commands("zbridge"):
        assert command[1] in cli.commands.commands


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README))
def test_its_links_lead_somewhere(path):
    assert "://" in path or (ROOT / path).exists()
