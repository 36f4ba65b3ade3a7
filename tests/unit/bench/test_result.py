from __future__ import annotations

import json
import re
import subprocess
import sys

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.bench import record
from bridge.bench.result import Result
from bridge.errors import BenchError
from tests.bench_records import record as make


@pytest.fixture(scope="module")
def result():
    return Result(make(sizes=(1024, 2**20, 2**30), payloads=("f8", "frame-mixed")))


def test_a_saved_record_is_loaded_again(result, tmp_path):
    result.save(tmp_path / "run.json")
    assert Result.load(tmp_path / "run.json").document == result.document
    jsonschema.validate(json.loads((tmp_path / "run.json").read_text("utf-8")), record.schema())


def test_a_page_is_saved_by_its_suffix(result, tmp_path):
    result.save(str(tmp_path / "run.HTML"))
    assert (tmp_path / "run.HTML").read_text("utf-8") == result.to_html()


def test_another_suffix_is_refused_and_nothing_written(result, tmp_path):
    with pytest.raises(BenchError, match=r"run\.csv' ends in neither \.json .* nor \.html"):
        result.save(tmp_path / "run.csv")
    assert not list(tmp_path.iterdir())


def test_a_document_that_does_not_fit_is_refused():
    with pytest.raises(BenchError, match="no record"):
        Result({})


def test_a_frame_has_a_row_for_each_case(result):
    frame = result.to_pandas()
    assert len(frame) == len(result.document["cases"])
    row = frame.set_index(["payload", "format", "nbytes"]).loc[("f8", "raw", 2**30)]
    assert row["seconds_low"] < row["seconds"] < row["seconds_high"]
    assert row["rate"] == pytest.approx(2**30 / row["seconds"])
    assert row["transfer"] > row["encode"]
    assert row["to_raw"] == 1
    skipped = frame[frame["skipped"].notna()]
    assert set(skipped["format"]) == {"json"}
    assert skipped["seconds"].isna().all()
    assert pd.api.types.is_float_dtype(frame["seconds"])


def test_text_fits_the_width_that_is_given(result):
    assert max(map(len, result.text(width=100).splitlines())) <= 100
    assert repr(result) == result.text(width=80)


NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1, 2**53 - 1, 1e9, 1e-9, 3e-10, 1e-300]),
)


@settings(max_examples=150)
@given(st.data())
def test_whatever_passes_as_a_record_has_a_report(data):
    document = make(formats=("tcp", "raw", "json"), sizes=(1024, 2048, 2**30), rounds=1, processes=3)
    for _ in range(data.draw(st.integers(1, 6))):
        case = data.draw(st.sampled_from(document["cases"]))
        key = data.draw(st.sampled_from(["nbytes", "wire_bytes", "exact", "memory", *case["samples"]]))
        value = data.draw(NUMBERS)
        if key == "memory":
            case[key] = {"client": value, "server": data.draw(NUMBERS)}
        elif key not in case["samples"]:
            case[key] = value
        elif case["samples"][key]:
            case["samples"][key][data.draw(st.integers(0, len(case["samples"][key]) - 1))] = value
    try:
        result = Result(document)
    except BenchError:
        return
    assert max(map(len, result.text(width=80).splitlines())) <= 96
    assert not re.search(r'(?:d|x|y|width)="[^"]*(?:nan|inf)', result.to_html())
    assert len(result.to_pandas()) == 9


def test_a_notebook_shows_the_report_without_a_page_around_it(result):
    shown = [result._repr_html_() for _ in range(2)]
    assert all(text.startswith("<div><style>") and "<html" not in text for text in shown)
    ids = [set(text.split(' id="')[1:]) for text in shown]
    assert not ids[0] & ids[1]


def test_a_plot_has_axes_for_time_and_rate_of_each_payload(result, tmp_path):
    figure = result.plot()
    assert [axes.get_title() for axes in figure.axes] == [
        "f8, pull",
        "f8, pull",
        "frame-mixed, pull",
        "frame-mixed, pull",
    ]
    labels = [text.get_text() for text in figure.axes[3].get_legend().get_texts()]
    assert "≠ json" in labels
    figure.savefig(tmp_path / "plot.png")
    assert figure._repr_png_().startswith(b"\x89PNG"), "what a notebook shows"


def test_a_plot_without_matplotlib_names_the_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"plot\(\) needs matplotlib: pip install 'zbridge\[plot\]'"):
        result.plot()


def test_a_report_needs_neither_matplotlib_nor_pandas(tmp_path):
    (tmp_path / "run.json").write_text(record.dumps(make(sizes=(1024,))), "utf-8")
    code = (
        "import sys; from bridge.bench.result import Result; "
        "result = Result.load(sys.argv[1]); result.text(); result.to_html(); "
        "assert not {'pandas', 'matplotlib', 'zmq', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run.json")], check=True)
