"""The conformance vectors hold, and stay as they are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bridge import wire
from bridge.codecs import CODECS
from tests.vectors import check, invalid, messages, objects, write

ROOT = check.FOLDER.parents[2]
NAMES = check.names()
VALID = [name for name in NAMES if not name.startswith("invalid-")]
INVALID = [name for name in NAMES if name.startswith("invalid-")]


@pytest.mark.parametrize("name", NAMES)
def test_this_library_agrees_with_the_vector(name):
    check.check(name)


def test_all_vectors_hold_where_assertions_are_left_out():
    command = [sys.executable, "-O", "-m", "tests.vectors.check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{len(NAMES)} vectors, 0 failed\n"


def test_there_are_vectors_of_each_op_kind_and_code():
    vectors = {name: json.loads((check.FOLDER / f"{name}.json").read_text("utf-8")) for name in NAMES}
    assert len(VALID) >= 60
    assert len(INVALID) >= 80
    assert {vectors[n]["request"]["op"] for n in NAMES if n.startswith("requests/")} == set(wire.OPS)
    failures = [vectors[n]["reply"].get("error", {}) for n in NAMES if n.startswith("replies/")]
    assert {failure.get("code") for failure in failures} >= set(wire.CODES)
    headers = "".join(vectors[n]["header"] for n in NAMES if n.startswith("objects/"))
    assert [k for codec in CODECS for k in codec.kinds if f'"kind":"{k}"' not in headers] == []


def test_each_vector_has_its_place_in_the_tables_and_the_other_way_round():
    assert sorted(name for name, _ in write.vectors()) == sorted(NAMES)
    assert len(objects.OBJECTS) + len(messages.REQUESTS) + len(messages.REPLIES) > 60
    assert len(invalid.REQUESTS) + len(invalid.REPLIES) + len(invalid.OBJECTS) > 80


def test_the_writer_never_changes_a_vector_that_exists(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(write, "FOLDER", tmp_path)
    monkeypatch.setattr(write, "vectors", lambda: iter([("requests/a", {"header": "1"})]))
    assert write.main() == 0
    written = (tmp_path / "requests/a.json").read_bytes()
    assert write.main() == 0
    monkeypatch.setattr(write, "vectors", lambda: iter([("requests/a", {"header": "2"})]))
    assert write.main() == 1
    assert "requests/a exists" in capsys.readouterr().err
    assert (tmp_path / "requests/a.json").read_bytes() == written


ARRAY = '{"kind":"array","dtype":"<f8","shape":[],"order":"C"}'
FAILURE = {"code": "bad_request", "says": "no such word"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("objects/array-0-d", {"object": {"array": None}}),
        ("replies/get", {"reply": {"id": True}}),
        ("invalid-objects/x", {"failure": FAILURE}),
        ("invalid-replies/x", {"failure": FAILURE}),
        ("invalid-requests/x", {"failure": FAILURE}),
    ],
)
def test_a_vector_that_does_not_hold_is_found(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(check, "FOLDER", tmp_path)
    header = f'{{"bridge":1,"id":1,"object":{ARRAY},"buffers":[8]}}'
    path = tmp_path / f"{name}.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"header": header, "buffers": ["AAAAAAAADEA="], **content}), "utf-8")
    with pytest.raises(check.Failed):
        check.check(name)
