"""The checks that every codec must pass, and what "identical" means."""

from __future__ import annotations

import importlib
import random
from typing import Any

import numpy as np
import pytest

from bridge import codecs, selection
from bridge.codecs import strict_json
from bridge.codecs.dtypes import to_wire
from bridge.errors import EncodeError

# The kind of object, by the package of its class, and the module that knows how to compare it.
_COMPARED_BY = {
    "numpy": "arrays",
    "pandas": "frames",
    "pyarrow": "tables",
    "scipy": "sparse",
}


def difference(a: Any, b: Any) -> str | None:
    """Say how `b` differs from `a` in any way that a user could see, or None."""
    if type(a) is not type(b):
        return f"type {type(b).__module__}.{type(b).__qualname__}, was {type(a).__qualname__}"
    package = type(a).__module__.partition(".")[0]
    if package == "tests":  # a class of our own, which only pickle can carry
        return difference(vars(a), vars(b))
    module = importlib.import_module(f"tests.samples.{_COMPARED_BY.get(package, 'trees')}")
    result: str | None = module.difference(a, b)
    return result


def check_codec(obj: Any) -> Any:
    """Send an object through its codec as the wire would, and return the equal object that comes back."""
    descriptor, buffers = codecs.encode(obj)
    for buffer in buffers:
        assert isinstance(buffer, memoryview)
        assert buffer.ndim == 1
        assert buffer.format == "B"
        assert buffer.c_contiguous
    text = strict_json.dumps(descriptor)
    assert len(text) < 64 * 1024, "what grows with the data must not be in the descriptor"
    received = [np.frombuffer(bytes(buffer), np.uint8).copy().data for buffer in buffers]
    result = codecs.decode(strict_json.loads(text), received)
    assert difference(obj, result) is None, difference(obj, result)
    # Read-only buffers (plain bytes) must do as well.
    again = codecs.decode(strict_json.loads(text), [bytes(buffer) for buffer in buffers])
    assert difference(obj, again) is None, difference(obj, again)
    return result


def check_refused(obj: Any, *words: str) -> None:
    """An object that cannot travel exactly is refused with a message that holds each of `words`."""
    with pytest.raises(EncodeError) as refused:
        codecs.encode(obj)
    for word in words:
        assert word in str(refused.value)


def read_source(source: Any, select: Any = None, reader: Any = None, form: str | None = None) -> Any:
    """Read from a source as a client would, in small windows."""
    plan = source.plan(select, reader or codecs.BufferReader(()), form)
    descriptor, buffers = plan.encode()
    return codecs.decode(strict_json.loads(strict_json.dumps(descriptor)), [whole(b) for b in buffers])


def whole(buffer: Any, window: int = 1_000_003) -> bytes:
    """Return the bytes of a buffer, or of what is read when it is sent, in windows."""
    return b"".join(bytes(buffer[i : i + window]) for i in range(0, len(buffer), window))


def check_source(source: Any, expected: Any, *, seed: int = 0) -> None:
    """What is asked of a source equals what the same object in memory gives: entry, all of it, parts of it.

    Parameters
    ----------
    source
        Of an array or a table.
    expected
        The `numpy.ndarray` or `pyarrow.Table` that it holds.
    """
    entry = strict_json.loads(strict_json.dumps(source.entry()))
    assert isinstance(entry["version"], str)
    assert entry["version"] == source.entry()["version"]
    assert source.plan(None, codecs.BufferReader(()), None).version == entry["version"]
    check = _check_array_source if isinstance(expected, np.ndarray) else _check_table_source
    check(source, entry, expected, random.Random(seed))


def _check_array_source(source: Any, entry: Any, expected: Any, rng: random.Random) -> None:
    assert entry["kind"] == "array"
    assert entry["dtype"] == to_wire(expected.dtype)
    assert entry["shape"] == list(expected.shape)
    assert entry["nbytes"] == expected.nbytes
    everything: Any = (...,)
    for index in [everything, *(_random_index(expected.shape, rng) for _ in range(25))]:
        buffers: list[Any] = []
        select = selection.array_to_wire(index, buffers)
        result = read_source(source, select, codecs.BufferReader(buffers))
        wanted = expected[index]
        assert type(result) is type(wanted), index
        assert result.dtype == wanted.dtype, index
        np.testing.assert_array_equal(result, wanted, err_msg=str(index))
    np.testing.assert_array_equal(read_source(source), expected)


def _random_index(shape: tuple[int, ...], rng: random.Random) -> tuple[Any, ...]:
    def bound(n: int) -> int | None:
        return rng.choice([None, rng.randint(-n - 1, n + 1)])

    def item(n: int) -> Any:
        if n and rng.random() < 0.3:
            return rng.randrange(-n, n)
        return slice(bound(n), bound(n), rng.choice([None, 1, 2, -1, -3]))

    items = [item(n) for n in shape]
    axis = rng.randrange(len(shape)) if shape else 0
    if shape and shape[axis] and rng.random() < 0.3:
        n = shape[axis]
        items[axis] = np.array([rng.randrange(-n, n) for _ in range(rng.randrange(5))], np.int64)
    if rng.random() < 0.3:
        items.insert(rng.randint(0, len(items)), None)
    if rng.random() < 0.3:
        items.append(...)
    return tuple(items)


def _check_table_source(source: Any, entry: Any, expected: Any, rng: random.Random) -> None:
    assert entry["kind"] == "table"
    assert entry["format"] == "arrow"
    assert entry["rows"] == expected.num_rows
    assert entry["columns"] == expected.num_columns
    skeleton = codecs.decode(*source.skeleton())
    assert skeleton.equals(expected.schema.empty_table(), check_metadata=True)
    result = read_source(source)
    result.validate(full=True)
    assert result.schema.equals(expected.schema, check_metadata=True)
    assert result.equals(expected)
    assert read_source(source, form="arrow").equals(expected)
    for _ in range(25):
        wanted = _random_selection(expected, rng)
        buffers: list[Any] = []
        select = selection.table_to_wire(wanted, buffers)
        result = read_source(source, select, codecs.BufferReader(buffers))
        assert result.equals(selection.select_table(expected, wanted)), wanted


def _random_selection(table: Any, rng: random.Random) -> selection.TableSelection:
    n = table.num_rows
    names = table.column_names
    filters = None
    if n and rng.random() < 0.5:
        column = rng.choice(names)
        value = table[column][rng.randrange(n)].as_py()
        op = rng.choice(["=", "!=", "<", ">="])
        filters = [(column, op, value)] if value is not None else [(column, "is null")]
    start, stop = (rng.choice([None, rng.randint(-n - 1, n + 1)]) for _ in range(2))
    return selection.TableSelection(
        columns=rng.choice([None, rng.sample(names, rng.randint(1, len(names)))]),
        rows=rng.choice([None, slice(start, stop, rng.choice([None, 1, 3, -1, -7]))]),
        filters=filters,
    )
