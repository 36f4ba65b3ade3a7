"""What nulls hide, and what many chunks share, is checked like everything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bridge import codecs
from bridge.codecs.expansion import claims
from bridge.codecs.ipc import JOIN_BELOW
from bridge.codecs.layout import arrays_of, validate
from bridge.errors import WireError
from tests import poisoned
from tests.unit.codecs.test_ipc import refused, stream_of

VIEWS = poisoned.poisoned(poisoned.PLAIN["string_view"](), poisoned.RUBBISH["view of no buffer"])


def read(table):
    descriptor = {"kind": "table", "rows": table.num_rows, "streams": [1]}
    return codecs.decode(descriptor, [stream_of(table)])


# A crash must end another process than this one.
@pytest.mark.parametrize(
    "some", ["string_view", "codes of views", pytest.param("", marks=pytest.mark.slow)]
)
def test_rubbish_under_nulls_of_any_type_ends_no_process(some):
    program = [sys.executable, "-m", "tests.poisoned", some]
    folder = Path(__file__).parents[3]
    run = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, (lines[-1:], run.stderr[-2000:])
    assert lines[-1].endswith("refused")


@pytest.mark.parametrize("wrap", poisoned.WRAPPERS.values(), ids=poisoned.WRAPPERS)
def test_views_of_nulls_that_lead_out_of_their_buffers_are_refused_and_made_empty(wrap):
    try:
        table = pa.table({"x": wrap(VIEWS)})
    except pa.ArrowException:
        pytest.skip("Arrow does not build it")
    with pytest.raises(WireError, match="not a valid Arrow stream: View at slot 0"):
        read(table)
    for part in (table, table.slice(1, 4)):
        came = codecs.decode(*codecs.encode(part))
        assert came.equals(part)


def test_views_of_nulls_that_can_be_followed_are_sent_as_they_are():
    texts = pa.array(["a text of more than twelve bytes"] * 9_999, pa.string_view())
    validity = pa.py_buffer(bytes(1250))
    hidden = pa.Array.from_buffers(pa.string_view(), 9_999, [validity, *texts.buffers()[1:]])
    _, buffers = codecs.encode(pa.table({"x": hidden}))
    sent = [np.frombuffer(buffer, np.uint8).__array_interface__["data"][0] for buffer in buffers]
    assert texts.buffers()[1].size > JOIN_BELOW
    assert texts.buffers()[1].address in sent


def test_buffers_may_be_longer_than_what_is_in_them():
    def longer(array):
        validity, *buffers = array.buffers()
        buffers = [pa.py_buffer(bytes(buffer) + b"123") for buffer in buffers]
        return pa.Array.from_buffers(array.type, len(array), [validity, *buffers])

    codes = pa.DictionaryArray.from_arrays(
        longer(pa.array([0, None], pa.int16())), longer(pa.array(["a"]))
    )
    table = pa.table(
        {
            "views": longer(pa.array([None, "a text of more than twelve bytes"], pa.string_view())),
            "codes": pa.StructArray.from_arrays([codes], ["f"]),
        }
    )
    validate(table)
    assert dict(claims(table))["shown"]
    assert codecs.decode(*codecs.encode(table)) == table


def test_a_dictionary_is_looked_at_once_however_many_chunks_have_it():
    words, others = pa.array(["a", "b"]), pa.array(["c"])
    chunks = [pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), words)] * 500
    chunks += [pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), others)] * 500
    column = read(pa.table({"x": pa.chunked_array(chunks)}))["x"]
    found = list(arrays_of(column))
    assert [array for array in found if not isinstance(array, pa.DictionaryArray)] == [words, others]
    assert len(found) == 1002


def test_each_dictionary_and_each_index_is_checked():
    def codes(index, *words):
        values = pa.array(words, pa.string())
        return pa.DictionaryArray.from_arrays(pa.array([index], pa.int8()), values, safe=False)

    good = [codes(0, "good", "words"), codes(1, "good", "words")]
    for bad in (codes(2, "good", "words"), codes(-1, "good", "words"), codes(0), codes(1, "other")):
        with refused("out of bounds"):
            read(pa.table({"x": pa.chunked_array([*good, bad])}))
    table = pa.table({"x": pa.chunked_array([*good, codes(0, "later")])})
    with refused("UTF8"):
        codecs.decode(
            {"kind": "table", "rows": 3, "streams": [1]},
            [stream_of(table).replace(b"later", b"\xff" * 5)],
        )
