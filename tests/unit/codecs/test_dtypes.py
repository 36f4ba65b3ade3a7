from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridge.codecs import dtypes
from bridge.errors import EncodeError, WireError
from tests.samples import arrays

INT = "<i4"
LAYOUT = {
    "fields": [["a", "|i1", [], 0, None], ["b", "<f8", [], 8, None]],
    "itemsize": 16,
    "align": True,
}


def _layout(*fields: list, itemsize: Any = 16, align: Any = False) -> dict:
    return {"fields": list(fields), "itemsize": itemsize, "align": align}


def _nested(levels: int) -> object:
    wire: object = INT
    for _ in range(levels):
        wire = [["x", wire, []]]
    return wire


NOT_DTYPES: list[Any] = [
    # what numpy's own parser would take
    *("O", "|O", "f8", "float64", "=f8", "d", "f8,i8", "(10**9)f8", "(2,)f8", "i4:1", "str", ""),
    *("<f16", "<g8", "<c32", "|f8", "<i1", "|b8", "<b1", "<f8 ", " <f8", "<f8\n", "<f٨"),
    *("S5", "<S5", "|U5", "=U5", "|S-1", "|S05", "|S9999999999", "|V2147483648", "<U536870912"),
    *("<M8[]", "<M8[x]", "<M8[1us]", "<M8[025us]", "<M8[0s]", "<M8[2147483648s]", "<M8[s]/2"),
    *("<M8[ns][ns]", "<M8[generic]", "|M8[ns]", "<M4", "T", "StringDType()"),
    # what is not of the grammar's types
    *(None, True, 1, 1.5, {}, {"a": INT}, [INT], [["a"]], [["a", INT]], [["a", INT, [], 0]]),
    *([[1, INT, []]], [[None, INT, []]], [["a", None, []]], [["a", INT, None]], [["a", INT, 3]]),
    *([["a", INT, [-1]]], [["a", INT, [True]]], [["a", INT, [1.0]]], [["a", INT, ["1"]]]),
    # what numpy cannot hold
    *(
        [["a", INT, [2**62]]],
        [["a", INT, [2**31, 0]]],
        [["a", INT, [1] * 65]],
        [["a", INT, [2**63]]],
    ),
    *([["a", INT, []], ["a", INT, []]], [["a", "|V2147483647", []], ["b", "|i1", []]]),
    # layouts
    *(_layout(["a", INT, [], -1, None]), _layout(["a", INT, [], True, None])),
    *(_layout(["a", INT, [], 13, None]), _layout(["a", INT, [], 2**63, None])),
    *(_layout(["a", INT, [], 0, 1]), _layout(["a", INT, [], 0, []]), _layout(["a", INT, []])),
    *(
        _layout(itemsize=2**31),
        _layout(itemsize=-1),
        _layout(itemsize=True),
        _layout(itemsize=None),
    ),
    *(_layout(align=1), _layout(["a", INT, [], 2, None], align=True)),
    _layout(["a", INT, [], 0, None], itemsize=5, align=True),
    _layout(["a", INT, [], 0, "b"], ["b", INT, [], 4, None]),
    _layout(["a", INT, [], 0, None], ["b", INT, [], 2, None]),
    {"fields": []},
    {"fields": [], "itemsize": 0},
    {**LAYOUT, "fields": {}},
    # strings
    {"strings": "unset"},
    {"strings": "other", "coerce": True},
    {"strings": None, "coerce": True},
    {"strings": "none", "coerce": 1},
    [["a", {"strings": "none", "coerce": True}, []]],
]


@pytest.mark.parametrize(
    ("dtype", "wire"),
    [
        ("?", "|b1"),
        ("i1", "|i1"),
        (">u4", ">u4"),
        ("<f2", "<f2"),
        (">c16", ">c16"),
        ("M8", "<M8"),
        (">m8[ns]", ">m8[ns]"),
        ("M8[25us]", "<M8[25us]"),
        ("S0", "|S0"),
        ("S16", "|S16"),
        ("V16", "|V16"),
        ("<U8", "<U8"),
        (">U8", ">U8"),
        (np.dtypes.StringDType(), {"strings": "unset", "coerce": True}),
        (np.dtypes.StringDType(na_object=None), {"strings": "none", "coerce": True}),
        (np.dtypes.StringDType(na_object=np.nan, coerce=False), {"strings": "nan", "coerce": False}),
        ([], []),
        ([("a", "<i4"), ("b", ">f8", (2, 3))], [["a", "<i4", []], ["b", ">f8", [2, 3]]]),
        ([("a", [("b", "S2")])], [["a", [["b", "|S2", []]], []]]),
        (np.dtype([("a", "i1"), ("b", "<f8")], align=True), LAYOUT),
        ([(("title", "a"), "<i4")], _layout(["a", "<i4", [], 0, "title"], itemsize=4)),
        (
            {"names": ["b", "a"], "formats": ["<i2", "<f4"], "offsets": [12, 4], "itemsize": 20},
            _layout(["b", "<i2", [], 12, None], ["a", "<f4", [], 4, None], itemsize=20),
        ),
    ],
)
def test_a_dtype_has_one_json_form_and_is_rebuilt_from_it(dtype, wire):
    dtype = np.dtype(dtype)
    assert dtypes.to_wire(dtype) == wire
    assert arrays.visible(dtypes.from_wire(wire)) == arrays.visible(dtype)


@given(
    st.one_of(
        hnp.scalar_dtypes(),
        hnp.array_dtypes(),
        hnp.nested_dtypes(),
        hnp.array_dtypes(allow_subarrays=True),
    ),
    st.booleans(),
)
def test_any_dtype_of_numpy_comes_back_identical_through_json(dtype, align):
    if dtype.subdtype is not None:
        dtype = np.dtype([("x", dtype)])
    if dtype.names is not None and align:
        dtype = np.dtype(dtype.descr, align=True)
    if dtype.names is not None and any(
        name != name.encode("utf-8", "replace").decode() for name in dtype.names
    ):
        return
    wire = json.loads(json.dumps(dtypes.to_wire(dtype)))
    assert arrays.visible(dtypes.from_wire(wire)) == arrays.visible(dtype)


def test_two_c_types_of_the_same_bytes_are_one_dtype():
    assert dtypes.to_wire(np.dtype("q")) == dtypes.to_wire(np.dtype("l")) == "<i8"


def test_a_dtype_of_another_package_is_refused():
    rational = np.dtype(pytest.importorskip("numpy._core._rational_tests").rational)
    assert rational.str == "<V8"  # it looks like bytes
    with pytest.raises(EncodeError, match="astype"):
        dtypes.to_wire(rational)


@pytest.mark.parametrize("wire", NOT_DTYPES, ids=lambda wire: repr(wire)[:40])
def test_what_is_not_in_the_grammar_is_a_wire_error(wire):
    with pytest.raises(WireError):
        dtypes.from_wire(wire)


def test_records_nest_up_to_the_limit_and_no_deeper():
    deepest = dtypes.from_wire(_nested(dtypes.MAX_LEVELS))
    assert dtypes.to_wire(deepest) == _nested(dtypes.MAX_LEVELS)
    with pytest.raises(WireError, match="levels deep"):
        dtypes.from_wire(_nested(dtypes.MAX_LEVELS + 1))
    with pytest.raises(EncodeError, match="levels deep"):
        dtypes.to_wire(np.dtype([("x", deepest)]))


def test_records_have_fields_up_to_the_limit_and_no_more():
    wire = [[f"f{i}", "|i1", []] for i in range(dtypes.MAX_FIELDS)]
    assert dtypes.from_wire(wire).itemsize == dtypes.MAX_FIELDS
    with pytest.raises(WireError, match="fields"):
        dtypes.from_wire([*wire, ["one more", "|i1", []]])


def test_a_dtype_whose_items_are_pointers_is_no_layout_of_bytes():
    wire = dtypes.to_wire(np.dtypes.StringDType())
    assert dtypes.from_wire(wire) == np.dtypes.StringDType()
    with pytest.raises(WireError):
        dtypes.raw_from_wire(wire)


# Text made of the grammar's own pieces reaches further into it than any text does.
PIECES = st.sampled_from(
    [*"<>|=[]()*,0123456789", *"biufcmMSUVOT", "M8", "8", "16", "us", "ns", "25", "[ns]"]
)


@given(st.one_of(st.text(max_size=12), st.lists(PIECES, max_size=6).map("".join)))
@example("|S" + "9" * 10)
def test_text_is_a_dtype_with_that_text_or_a_wire_error(text):
    try:
        dtype = dtypes.from_wire(text)
    except WireError:
        return
    assert dtype.str == text
    assert dtypes.to_wire(dtype) == text


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2**70),
        st.sampled_from(["<f8", "|S3", "|V0", "a", "b", "unset"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.tuples(st.sampled_from("abc"), inner, st.lists(st.integers(0, 3), max_size=2)).map(list),
        st.fixed_dictionaries({"fields": inner, "itemsize": inner, "align": inner}),
        st.fixed_dictionaries({"strings": inner, "coerce": inner}),
    ),
)


@given(JSON)
def test_json_is_a_dtype_or_a_wire_error(value):
    try:
        dtype = dtypes.from_wire(value)
    except WireError:
        return
    assert dtypes.identical(dtypes.from_wire(dtypes.to_wire(dtype)), dtype)


@pytest.mark.parametrize(
    "value",
    [None, 3, True, "3", (3,), {}, [-1], [2**63], [True], [1.0], ["1"], [None], [[1]], [1] * 65],
    ids=repr,
)
def test_what_is_no_shape_is_a_wire_error(value):
    with pytest.raises(WireError):
        dtypes.decode_shape(value)


@pytest.mark.parametrize("value", [[], [0], [0, 2**62], [2**63 - 1] * 64])
def test_a_shape_is_a_tuple_of_lengths_however_large(value):
    assert dtypes.decode_shape(value) == tuple(value)


def test_no_text_of_a_peer_is_compiled_or_imported():
    events: list[str] = []
    watching = True

    def hook(event: str, args: tuple) -> None:
        if watching and event in ("compile", "exec", "import", "open"):
            events.append(f"{event} {args!r}")

    sys.addaudithook(hook)
    for text in (
        "f8,i8",
        "(10**9)f8",
        "O",
        "__import__('os')",
        "i4:1",
        "<M8[ns]",
        [["a", "(2,)f8", []]],
    ):
        try:
            dtypes.from_wire(text)
        except WireError:
            continue
    watching = False
    assert events == []
