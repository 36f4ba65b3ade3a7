"""What the code may import and call, held by reading it.

Imports point one way, so that each layer can be understood, tested and replaced without those above
it; and what could run a peer's code is nowhere to be found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import bridge

ROOT = Path(bridge.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# A module may import what stands above it. Modules in one row do not import each other; the files
# of one package do.
LAYERS = (
    {"tracebacks"},
    {"errors", "limits", "threads", "timers", "giving_up", "rights", "audit"},
    {"codecs"},
    {"selection"},
    {"wire"},
    {"transfer", "calls", "zap", "private"},
    {"transport"},
    {"sources"},
    {"catalogue"},
    {"failures"},
    {"answers"},
    {"service"},
    {"display"},
    {"remote"},
    {"keys", "exchange"},
    {"clients", "running"},
    {"connections", "entrance", "tunnel"},
    {"reach"},
    {"server", "client"},
    {"bench"},
    {"cli", "aio", "integrations"},
)
RANKS = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}

# These know less than their place in the row would let them.
ONLY = {
    "limits": set(),
    "transport": {"errors", "limits", "zap"},
    "zap": set(),
    "connections": {"limits"},
    "display": {"errors"},
    "private": {"errors"},
    "keys": {"errors", "private", "transport"},
    "clients": {"codecs", "errors", "keys", "private", "rights"},
    "running": {"errors", "keys", "private"},
    "tunnel": {"errors", "running", "transport"},
    "entrance": {"audit", "clients", "errors", "keys", "rights", "timers", "transport"},
    "reach": {"errors", "keys", "transport", "tunnel"},
    "tracebacks": set(),
    "threads": set(),
    "timers": set(),
    "giving_up": set(),
    "rights": set(),
    "audit": set(),
    "failures": {"errors"},
    "calls": {"errors", "limits", "threads"},
    "data": set(),
    "__main__": {"cli"},
}

# What a method hands its object to: by a name in the method alone, so nothing is imported in a circle.
HANDS_ON = {"remote": {"integrations"}, "cli": {"data"}}

# Foreign modules with their homes, files or folders; None: no home at all. The benchmark measures pyzmq itself.
HOMES: dict[str, str | tuple[str, ...] | None] = {
    "zmq": ("transport/", "bench/"),
    "click": "cli/",
    "pickle": "bench/formats.py",
    "cloudpickle": "bench/formats.py",
    "dill": None,
    "joblib": None,
    "marshal": None,
    "shelve": None,
    "code": None,
    "codeop": None,
    "runpy": None,
}

# By the last part of the name, or the whole.
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "literal_eval", "np.load"}

# Where modules are imported by names that are computed: from tables in the same file, or, to be served, a
# module of the user's own that is named on the command line.
TABLES_OF_MODULES = {"__init__.py", "codecs/__init__.py", "cli/serve.py"}

# Ways in which the libraries below us would unpickle, or would parse a peer's text.
FORBIDDEN_WORDS = {
    "allow_pickle",
    "read_pickle",
    "to_pickle",
    "deserialize_pandas",
    "find_class",
    "PyExtensionType",
    "safe_eval",
}


class Import(NamedTuple):
    """An import of another module of ours ("codecs.array"), or of a foreign one ("numpy.lib")."""

    ours: bool
    module: str

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def top_of(path: Path) -> str:
    """The module or package directly under `bridge` that a file belongs to."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file, wherever they stand: in functions and for type checkers too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            yield Import(True, rest) if package == "bridge" else Import(False, name)


def calls(path: Path) -> Iterator[str]:
    """The functions that a file calls, as they are written there."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def words(path: Path) -> set[str]:
    """All names, attributes, and keywords of calls in a file."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and ast.unparse(node) == "allow_pickle=False":
            continue
        elif isinstance(node, ast.keyword | ast.alias):
            found.add((node.arg if isinstance(node, ast.keyword) else node.name) or "")
    return found


def allowed(path: Path) -> set[str]:
    """What a file may import of ours, as modules and packages directly under `bridge`."""
    top = top_of(path)
    itself = {top} if path.parent != ROOT else set()
    if top in ONLY:
        return ONLY[top] | itself
    below = {module for module, rank in RANKS.items() if rank < RANKS[top]}
    return below | itself | HANDS_ON.get(top, set())


every_file = pytest.mark.parametrize("path", FILES, ids=name_of)


@every_file
def test_imports_point_one_way(path):
    if path == ROOT / "__init__.py":
        return  # the public names come from everywhere
    # `import bridge` gives all public names: for the outermost layer alone. The version is for all.
    outermost = top_of(path) in LAYERS[-1]
    imported = {i.top for i in imports(path) if i.ours} - {"__version__"}
    public = {name for name in imported if not name or name in {*bridge.__all__} - RANKS.keys()}
    assert outermost or not public
    assert imported - public <= allowed(path)


@every_file
def test_every_module_has_its_place(path):
    top = top_of(path)
    assert top in RANKS.keys() | ONLY.keys() | {"__init__"}
    house = (ROOT.parent / "CONTRIBUTING.md").read_text("utf-8")
    assert top.startswith("_") or f" {top}.py " in house or f" {top}/ " in house


@every_file
def test_a_foreign_library_is_imported_in_its_home_alone(path):
    foreign = {i.top for i in imports(path) if not i.ours}
    at_home = {module for module, home in HOMES.items() if home and name_of(path).startswith(home)}
    assert not (foreign & HOMES.keys()) - at_home


@every_file
def test_nothing_runs_text_as_code(path):
    called = set(calls(path)) - {"re.compile"}
    assert not (called | {call.rpartition(".")[2] for call in called}) & FORBIDDEN_CALLS


@every_file
def test_modules_are_imported_by_name_from_tables_alone(path):
    if name_of(path) not in TABLES_OF_MODULES:
        assert not {"import_module", "importlib.import_module"} & set(calls(path))


@every_file
def test_nothing_unpickles(path):
    if name_of(path) != "bench/formats.py":
        assert not FORBIDDEN_WORDS & words(path)


@every_file
def test_no_check_vanishes_with_optimisation(path):
    assert not [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)]


def test_there_is_no_drawer_for_everything():
    drawers = {"util", "utils", "helper", "helpers", "common", "misc"}
    assert not {path.stem for path in FILES} & drawers
