"""The tutorial notebooks, run from the first cell to the last."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples"
TUTORIALS = [FOLDER / f"{name}.ipynb" for name in ("explore", "live", "measure")]

every_tutorial = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


def executed(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    # What it warns of is an error there.
    notebook.cells.insert(
        0, nbformat.v4.new_code_cell("import warnings; warnings.simplefilter('error')")
    )
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=False)
    return asyncio.run(client.async_execute())


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@every_tutorial
def test_a_notebook_runs_without_a_warning(path):
    outputs = outputs_of(executed(path))
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    shown = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert "zbridge" in shown
    assert any("image/png" in output.data for output in outputs if "data" in output)


@every_tutorial
def test_a_notebook_is_kept_without_what_it_showed_once(path):
    notebook = nbformat.read(path, as_version=4)
    assert not outputs_of(notebook)
    assert not [cell for cell in notebook.cells if cell.get("execution_count")]
    assert not re.search(r"/(home|root|tmp|Users|work)/", path.read_text("utf-8"))
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
