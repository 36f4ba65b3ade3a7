from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from bridge.bench import palette
from bridge.bench.record import PHASES
from bridge.bench.result import Result
from tests.bench_records import COSTS, environment, record

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = "<script>alert(1)</script>\"'&</style><img src=x onerror=alert(1)>\x00\x1b[31m"


class Tags(HTMLParser):
    """All start tags, with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page(**options):
    return Result(record(**({"small_rounds": 20} | options))).to_html()


@pytest.fixture(scope="module")
def whole():
    return page(payloads=("f8", "frame-mixed"), directions=("pull", "push"), same_host=True)


def test_a_page_loads_and_runs_nothing(whole):
    parsed = Tags(whole)
    assert not {"script", "img", "iframe", "object", "embed"} & {tag for tag, _ in parsed.tags}
    addresses = [attrs[name] for _, attrs in parsed.tags for name in ("src", "href") if name in attrs]
    assert addresses == ["data:,"]
    assert "url(" not in whole
    assert "@import" not in whole


def test_nothing_of_a_record_becomes_markup():
    document = record(payloads=("f8",), sizes=(1024, 2**20, 2**30), warnings=[HOSTILE], url=HOSTILE)
    document |= dict.fromkeys(("created", "zbridge", "command"), HOSTILE)
    document["client"] = {key: HOSTILE if isinstance(v, str) else v for key, v in environment().items()}
    for case in document["cases"]:
        case["payload"] = HOSTILE
        if case["format"] == "npy":
            case |= {"format": HOSTILE, "exact": False, "changes": [HOSTILE]}
        if case["skipped"]:
            case["skipped"] = HOSTILE
    result = Result(document)
    for text in (result.to_html(), result._repr_html_()):
        tags = {tag for tag, _ in Tags(text).tags}
        assert not {"script", "img"} & tags
        assert not any(name.startswith("on") for _, attrs in Tags(text).tags for name in attrs)
        assert HOSTILE[:30] not in text
        assert "\x00" not in text
        assert "\x1b" not in text


def test_every_figure_has_a_title_a_description_and_a_table(whole):
    figures = re.findall("<figure>.*?</figure>", whole, re.DOTALL)
    assert len(figures) == 4 * 9
    for figure in figures:
        (svg,) = (attrs for tag, attrs in Tags(figure).tags if tag == "svg")
        assert svg["role"] == "img"
        for name in ("aria-labelledby", "aria-describedby"):
            assert re.search(f'id="{svg[name]}">[^<]+<', figure)
        assert "<figcaption><strong>" in figure
        assert "<tbody><tr>" in figure
    ids = re.findall(' id="([^"]+)"', whole)
    assert len(ids) == len(set(ids))


def test_a_page_has_what_a_reader_needs_to_judge_it(whole):
    text = Tags(whole).text
    for part in (
        "zbridge bench tcp://lab-b:5556 --seed 0",  # what reproduces it
        "Both ends ran on one host",
        "Not measured: json at 1 GiB would need 19 GB here",
        "≠ json changes frame-mixed: column 'when': datetime64[us] became datetime64[ns]; attrs were lost.",
        "Example CPU @ 2.60 GHz",
        "pickle is faster than raw below about",
        "Time = startup + size / rate",
    ):
        assert part in text


def test_a_format_that_changes_data_is_marked_in_every_table_and_figure_and_others_in_none():
    text = page(payloads=("frame-mixed",), sizes=(1024, 2**18, 2**24))
    tables = re.findall("<tbody>.*?</tbody>", text, re.DOTALL)
    rows = [row for table in tables for row in re.findall('<th scope="row">([^<]*)</th>', table)]
    assert "≠ json" in rows
    assert "json" not in rows
    assert "raw" in rows
    labels = re.findall('<text [^>]*class="(?:label|name)"[^>]*>([^<]*)<', text)
    assert "≠ json" in labels
    assert "json" not in labels


@pytest.mark.parametrize(
    "options",
    [
        {"sizes": ()},
        {"sizes": (1024,), "formats": ("json",)},
        {"sizes": (2**30,), "formats": ("json",)},
        {"sizes": (1, 2**30), "formats": ("tcp",), "processes": 1, "rounds": 1, "small_rounds": 1},
        {"sizes": (7,), "formats": ("raw", "flight", "newest"), "payloads": ("",)},
    ],
    ids=["no-case", "one-case", "nothing-measured", "one-sample", "unknown-format"],
)
def test_small_runs_have_a_page_too(options, monkeypatch):
    for name in ("flight", "newest"):
        monkeypatch.setitem(COSTS, name, COSTS["raw"])
    text = page(**options)
    assert "nan" not in Tags(text).text.lower().replace("nanosecond", "")
    assert not re.search(r'(?:d|x|y|width|height|viewBox)="[^"]*(?:nan|inf|-\d[^"]*" height)', text)


def test_formats_that_take_the_same_time_have_a_page_too():
    document = record(formats=("tcp", "raw", "npy"))
    for raw, npy in zip(document["cases"][1::3], document["cases"][2::3], strict=True):
        npy["samples"] = raw["samples"]
    assert "npy" in Tags(Result(document).to_html()).text


def test_a_time_that_does_not_grow_has_no_rate():
    document = record(formats=("raw",), sizes=(1024, 2048, 4096))
    for case in document["cases"]:
        case["samples"] |= {phase: [1024 / case["nbytes"]] * 20 for phase in PHASES}
    text = Tags(Result(document).to_html()).text
    assert "size makes no difference" in text
    assert "inf" not in text


# The matrices of Machado, Oliveira, Fernandes (2009) for full deficiency, on linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour):
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    """B. Ottosson, "A perceptual color space for image processing", 2020."""
    lms = np.array(
        [
            [0.4122215, 0.5363325, 0.0514460],
            [0.2119035, 0.6806995, 0.1073970],
            [0.0883025, 0.2817188, 0.6299787],
        ]
    )
    lab = np.array(
        [
            [0.2104543, 0.7936178, -0.0040720],
            [1.9779985, -2.4285922, 0.4505937],
            [0.0259040, 0.7827718, -0.8086758],
        ]
    )
    return lab @ np.cbrt(lms @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_formats_are_told_apart_by_colour_in_any_sight(sight, dark):
    colours = {name: look.dark if dark else look.light for name, look in palette.LOOKS.items()}
    seen = {name: oklab(np.array(SIGHTS[sight]) @ linear(colour)) for name, colour in colours.items()}
    solid = [name for name, look in palette.LOOKS.items() if look.dashes == "none"]
    for one, other in combinations(solid, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 0.09, (one, other)


@pytest.mark.parametrize(
    ("dark", "page_colour"), [(False, "#ffffff"), (True, "#16181d")], ids=["light", "dark"]
)
def test_every_colour_stands_out_from_the_page(dark, page_colour):
    def luminance(colour):
        return float(linear(colour) @ [0.2126, 0.7152, 0.0722])

    for name, look in palette.LOOKS.items():
        pair = sorted((luminance(look.dark if dark else look.light), luminance(page_colour)))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3, name


def test_no_two_formats_share_colour_and_marker_and_dashes():
    assert len({*palette.LOOKS.values(), palette.look("of another release")}) == len(palette.LOOKS) + 1


@pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"LOUD: {CHROMIUM} is absent, so no page was opened in a browser"
)
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_an_error_or_a_request(whole, tmp_path, width):
    from playwright.sync_api import sync_playwright

    path = tmp_path / "run.html"
    path.write_text(whole, "utf-8")
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            for scheme in ("light", "dark"):
                tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
                tab.on("console", lambda message: said.append(message.text))
                tab.on("pageerror", lambda error: said.append(str(error)))
                tab.on("request", lambda request: asked.append(request.url))
                tab.goto(path.as_uri())
                assert (
                    tab.evaluate("document.documentElement.scrollWidth") == width
                )  # nothing sticks out
                background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
                assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 29)"}[scheme]
                tree = tab.locator("svg").first.aria_snapshot()
                assert 'img "Time against size: f8, pull"' in tree
                smallest = tab.evaluate(
                    "Math.min(...[...document.querySelectorAll('svg text')]"
                    ".map(text => text.getBoundingClientRect().height))"
                )
                assert smallest >= 10
        finally:
            browser.close()
    assert said == []
    assert asked == [path.as_uri()] * 2
