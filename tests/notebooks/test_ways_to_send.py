"""The notebook that compares ZeroMQ's ways to send, run from the first cell to the last."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples/ways_to_send.ipynb"


@pytest.mark.slow
def test_the_notebook_shows_what_each_way_costs_and_loses():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # What it warns of is an error there.
    warnings = nbformat.v4.new_code_cell("import warnings; warnings.simplefilter('error')")
    notebook.cells.insert(0, warnings)
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    asyncio.run(client.async_execute())

    shown = {}
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        assert not [output.text for output in outputs if output.get("name") == "stderr"]
        shown[cell.source] = "".join(
            output.text if output.output_type == "stream" else output.data["text/plain"]
            for output in outputs
        )

    def after(text):
        return next(output for source, output in shown.items() if text in source)

    turn = "Operation cannot be accomplished in current state"
    assert turn in after("and how humid?")
    assert "not JSON serializable" in after("array.tolist()")
    assert "float32 became" in after("array.tolist()")
    assert "printed by recv_pyobj" in after("Harmless()")
    of_array, of_frame = after("of_array"), after("of_frame")
    assert re.search(r"raw .* nothing", of_array)
    assert re.search(r"json .* F order became C order", of_array)
    assert re.search(r"raw .* nothing", of_frame)
    assert re.search(r"arrow .* index: the frequency was lost", of_frame)
    assert f"send: {turn}" in after("are you there?")
    assert after('b.read("frame")').count("nothing changed") == 2
    assert "TypeError" not in after("bridge.EncodeError")
    assert re.search(r"\(\d+, 16\)", after("server.close()"))


def test_the_notebook_is_kept_without_what_it_showed_once():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
    assert notebook.cells[0].source.startswith("# ")
