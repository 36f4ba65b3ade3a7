"""The public names, and what it costs to import them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bridge

PUBLIC = {
    "BenchError",
    "BridgeError",
    "Changed",
    "Client",
    "EncodeError",
    "IdleTimeout",
    "Lagged",
    "Limits",
    "RemoteArray",
    "RemoteChannel",
    "RemoteError",
    "RemoteObject",
    "RemoteQuery",
    "RemoteStream",
    "RemoteTable",
    "Server",
    "Service",
    "TransportError",
    "WireError",
    "__version__",
    "aio",
    "bench",
    "cancelled",
    "connect",
    "options",
    "scan_polars",
    "serve",
}
HEAVY = {"numpy", "pandas", "pyarrow", "scipy", "tqdm", "zmq"}


def packages_loaded_by(code: str) -> set[str]:
    """Run `code` in a new interpreter; the top-level packages that it has loaded at its end."""
    report = "import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{report}\n{code}"], capture_output=True, text=True, check=True
    )
    modules = done.stdout.rpartition("loaded ")[2].split()
    return {module.partition(".")[0] for module in modules}


def test_the_public_names_are_these():
    assert set(bridge.__all__) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_can_be_imported_and_is_listed(name):
    assert getattr(bridge, name) is not None
    assert name in dir(bridge)


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_a_public_name_is_documented(name):
    assert getattr(bridge, name).__doc__


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        bridge.conect  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_installed_distributions():
    assert bridge.__version__[0].isdigit()


def test_import_bridge_loads_nothing_heavy():
    assert not packages_loaded_by("import bridge") & HEAVY


def test_the_commands_help_loads_nothing_heavy():
    code = "import sys; sys.argv = ['zbridge', '--help']; import bridge.cli; bridge.cli.main()"
    loaded = packages_loaded_by(code)
    assert "click" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", ["BridgeError", "__version__"])
def test_errors_and_version_load_nothing_heavy(name):
    assert not packages_loaded_by(f"import bridge; bridge.{name}") & HEAVY
