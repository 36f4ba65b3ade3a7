"""What `pip install` brings to a computer that has never seen this repository."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Building needs seconds, but a machine without pip's cache first fetches the dependencies.
pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Without isolation: the build backend is among the development dependencies.
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, cwd=ROOT)
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs of a new environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


def test_the_wheel_holds_the_data_its_origin_the_licence_and_the_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"bridge/py.typed", "bridge/data/seattle-weather.csv", "bridge/data/README.md"} <= {*names}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_holds_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {Path(name).parts[0] for name in names if ".dist-info/" not in name} == {"bridge"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_demo_runs_where_only_the_wheel_is_installed(installed, tmp_path):
    output = run(installed / "zbridge", "demo", cwd=tmp_path)
    assert "weather" in output
    assert "All that came is identical to what is served." in output


def test_the_version_is_the_wheels(wheel, installed, tmp_path):
    version = wheel.name.split("-")[1]
    assert version in run(installed / "zbridge", "--version", cwd=tmp_path)
