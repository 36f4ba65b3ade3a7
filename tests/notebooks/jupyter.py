"""A JupyterLab of its own, and a browser that a test drives."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Where the distribution of jupyterlab put what the browser loads, and the widgets beside it.
SHARE = Path(str(distribution("jupyterlab").locate_file("."))).parents[2] / "share/jupyter"
START_SECONDS = 40


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook of code cells that were not run."""
    listed = [
        {
            "cell_type": "code",
            "id": f"cell-{place}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for place, source in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": listed})
    )


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[str]:
    """Run JupyterLab on a folder, with no settings but its own, and yield its address."""
    home = folder / ".home"
    settings = home / "settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
    environment = os.environ | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_PATH": str(SHARE),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_DIR": str(SHARE / "lab"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"),
        "--expose-app-in-browser",
        *("--IdentityProvider.token=", "--ServerApp.password=", f"--notebook-dir={folder}"),
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield _address(home / "runtime", process, home / "log")
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def page_of(url: str) -> Iterator[Any]:
    """Open a page in a browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1100, "height": 1000})
            page.goto(url)
            yield page
        finally:
            browser.close()


def _address(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # it is being written
                return str(json.loads(file.read_text())["url"])
        time.sleep(0.05)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")
