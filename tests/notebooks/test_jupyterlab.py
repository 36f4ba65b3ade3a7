"""A person at a real JupyterLab: connects, looks, completes, reads, stops, reads again."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

import bridge
from tests.notebooks.jupyter import CHROMIUM, lab, page_of, write_notebook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: no browser was driven"),
]

MILLISECONDS = 30_000
HOSTILE = "<script>document.title = 'stolen'</script>"
ROW_NBYTES = 2 * 2**20


class Slow:
    """An array that is computed at leisure, until nobody waits for it any more."""

    shape = (2000, ROW_NBYTES // 8)
    dtype = np.dtype("f8")

    def __init__(self) -> None:
        self.over = threading.Event()

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        rows, columns = (len(range(n)[part]) for n, part in zip(self.shape, index, strict=True))
        self.over.wait(0.02 * rows)
        return np.ones((rows, columns))


@pytest.fixture(scope="module")
def slow():
    return Slow()


@pytest.fixture(scope="module")
def served(slow):
    y, x = np.mgrid[:60, :80]
    image = np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 200)
    objects = {"waveform": np.arange(1000.0), "image": image, "slow": slow, HOSTILE: np.arange(3)}
    with bridge.serve(objects) as server:
        yield server.url
        slow.over.set()


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    cells = [
        f'import bridge\nb = bridge.connect("{served}")\nb',
        'b["wavef',
        'b["slow"][:60].sum()',
        'b["slow"].read()',
        'b["slow"][:2].sum()',
        'b["image"].peek()',
        'b.call("nothing")',
    ]
    write_notebook(folder / "visit.ipynb", cells)
    with lab(folder) as url, page_of(f"{url}lab/tree/visit.ipynb") as page:
        page.set_default_timeout(MILLISECONDS)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        yield page


def test_a_visit(page, tmp_path):
    run(page, 0)
    card = cell(page, 0).locator(".zbridge")
    card.wait_for()
    assert HOSTILE in card.inner_text()
    assert page.title() != "stolen"

    editor(page, 1).click()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    # One name fits: it is written at once, or offered.
    page.wait_for_function(
        "document.querySelectorAll('.jp-CodeCell')[1].innerText.includes('waveform')"
        " || document.querySelector('.jp-Completer-item')"
    )
    if page.locator(".jp-Completer-item").count():
        page.keyboard.press("Enter")
    assert 'b["waveform' in editor(page, 1).inner_text()

    run(page, 2)
    bar = cell(page, 2).locator(".jupyter-widgets .progress")
    bar.wait_for()
    result(page, 2).wait_for()
    assert float(result(page, 2).inner_text().strip("np.float64() \n")) == 60 * ROW_NBYTES // 8
    assert re.search(r"B/s\]", cell(page, 2).inner_text())

    run(page, 3)
    cell(page, 3).locator(".jupyter-widgets .progress").wait_for()
    page.locator('[data-jp-item-name="interrupt"]').click()
    stopped = cell(page, 3).get_by_text("frames of zbridge are hidden")
    stopped.wait_for()
    assert "KeyboardInterrupt" in cell(page, 3).inner_text()

    run(page, 4)
    result(page, 4).wait_for()
    assert str(2 * ROW_NBYTES // 8) in result(page, 4).inner_text()

    run(page, 5)
    cell(page, 5).locator(".zbridge svg").last.wait_for()
    run(page, 6)
    cell(page, 6).get_by_text("frames of zbridge are hidden").wait_for()

    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        page.wait_for_function(f"document.body.dataset.jpThemeName == '{theme}'")
        page.locator("#jupyterlab-splash").wait_for(state="detached")
        cell(page, 0).scroll_into_view_if_needed()
        page.screenshot(path=tmp_path / f"{theme}.png")  # to look at where something is wrong
        for part in ("td", "header span", "th"):
            assert contrast(card.locator(part).first) > 100, f"{part} cannot be read with {theme}"


def cell(page: Any, place: int) -> Any:
    return page.locator(".jp-Notebook .jp-CodeCell").nth(place)


def editor(page: Any, place: int) -> Any:
    return cell(page, place).locator(".cm-content")


def result(page: Any, place: int) -> Any:
    return cell(page, place).locator(".jp-OutputArea-executeResult .jp-OutputArea-output")


def run(page: Any, place: int) -> None:
    editor(page, place).click()
    page.keyboard.press("Shift+Enter")


def contrast(element: Any) -> float:
    """How far the colour of a text, as it is mixed, is from that of the page; black from white is 255."""
    text, opacity, background = element.evaluate(
        """element => {
            const style = getComputedStyle(element);
            const page = getComputedStyle(document.querySelector('.jp-Notebook'));
            return [style.color, style.opacity, page.backgroundColor];
        }"""
    )
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) / 3 for color in (text, background)]
    return float(opacity) * abs(brightness[0] - brightness[1])
