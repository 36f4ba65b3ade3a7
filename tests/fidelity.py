"""What comes back from four ways to send data: ``python -m tests.fidelity`` measures it and writes it down.

Every sample is sent and compared by `tests.check.difference`, which sees all that a user could see.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bridge import codecs
from bridge.codecs import strict_json
from bridge.errors import EncodeError
from tests.check import difference
from tests.samples import arrays, frames

PAGE = Path(__file__).with_suffix(".md")

IDENTICAL, CHANGED, REFUSED = "identical", "changed", "refused"
OUTCOMES = (IDENTICAL, CHANGED, REFUSED)

# Writing out 2**62 rows takes the other formats for ever.
MAX_ROWS = 2**30


def by_pickle(obj: Any) -> Any:
    """Send by pickle, protocol 5."""
    return pickle.loads(pickle.dumps(obj, protocol=5))


def array_by_json(array: Any) -> Any:
    """Send as people send arrays in JSON: nested lists, with dtype and shape beside them."""
    text = json.dumps({"dtype": array.dtype.str, "shape": array.shape, "data": array.tolist()})
    parts = json.loads(text)
    return np.array(parts["data"], parts["dtype"]).reshape(parts["shape"])


def array_by_tensor(array: Any) -> Any:
    """Send as an Arrow tensor."""
    sink = pa.BufferOutputStream()
    pa.ipc.write_tensor(pa.Tensor.from_numpy(array), sink)
    return pa.ipc.read_tensor(pa.BufferReader(sink.getvalue())).to_numpy()


def array_by_table(array: Any) -> Any:
    """Send as an Arrow table of one column, with the shape beside it."""
    table = _through_ipc(pa.table({"x": array.ravel()}))
    return table["x"].to_numpy().reshape(array.shape)


def frame_by_json(frame: Any) -> Any:
    """Send as pandas' own JSON with a schema."""
    return pd.read_json(StringIO(frame.to_json(orient="table")), orient="table")


def frame_by_arrow(frame: Any) -> Any:
    """Send as an Arrow IPC stream with pandas' metadata."""
    return _through_ipc(pa.Table.from_pandas(frame)).to_pandas()


def by_zbridge(obj: Any) -> Any:
    """Send by this library."""
    descriptor, buffers = codecs.encode(obj)
    return codecs.decode(strict_json.loads(strict_json.dumps(descriptor)), [bytes(b) for b in buffers])


# Of several ways, the best outcome counts.
ARRAYS: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "pickle 5": (by_pickle,),
    "JSON": (array_by_json,),
    "Arrow IPC": (array_by_tensor, array_by_table),
    "zbridge": (by_zbridge,),
}
FRAMES: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "pickle 5": (by_pickle,),
    "JSON": (frame_by_json,),
    "Arrow IPC": (frame_by_arrow,),
    "zbridge": (by_zbridge,),
}


def array_samples() -> dict[str, Callable[[], Any]]:
    """Return what makes each array, numpy scalar and masked array."""
    refused = {name: make for name, (make, _) in arrays.REFUSED.items()}
    samples = {**arrays.SAMPLES, **refused}
    return {name: make for name, make in samples.items() if _is_array(make())}


def frame_samples() -> dict[str, Callable[[], Any]]:
    """Return what makes each DataFrame."""
    refused = {name: make for name, (make, _) in frames.REFUSED.items()}
    samples = {name.removeprefix("frame: "): make for name, make in frames.SAMPLES.items()} | refused
    return {name: make for name, make in samples.items() if _is_frame(make())}


def measure(
    samples: dict[str, Callable[[], Any]], ways: dict[str, tuple[Callable[[Any], Any], ...]]
) -> dict[str, dict[str, str]]:
    """Send each sample in each way.

    Returns
    -------
    dict
        The outcomes, by the name of the sample and that of the format.
    """
    return {
        name: {
            format_: min((_outcome(make, send) for send in sends), key=OUTCOMES.index)
            for format_, sends in ways.items()
        }
        for name, make in samples.items()
    }


def measured() -> dict[str, dict[str, dict[str, str]]]:
    """Send all samples in all ways."""
    return {
        "Arrays": measure(array_samples(), ARRAYS),
        "DataFrames": measure(frame_samples(), FRAMES),
    }


def page(measured: dict[str, dict[str, dict[str, str]]]) -> str:
    """Return the page that says what was measured."""
    parts = [_HEAD.format(versions=versions()), *(_counts(*item) for item in measured.items())]
    return "\n".join([*parts, *(_table(*item) for item in measured.items())])


def versions() -> str:
    """Return the versions of the libraries that the outcomes depend on."""
    packages = ("numpy", "pandas", "pyarrow")
    return ", ".join(f"{name} {'.'.join(version(name).split('.')[:2])}" for name in packages)


_HEAD = """\
# What comes back

Written by `python -m tests.fidelity` with {versions}. Each sample is sent, and what comes
back is compared with it: types, dtypes, byte order, shape, memory order, every bit of the values, names, index,
frequency, flags. Refused means that there was an error instead.

| format | arrays | DataFrames |
|---|---|---|
| pickle 5 | `pickle.dumps(x, protocol=5)` | the same |
| JSON | `tolist()`, with dtype and shape | `to_json(orient="table")`, `read_json` |
| Arrow IPC | the better of `pa.Tensor` and a table of one column | `pa.Table.from_pandas`, `to_pandas` |
| zbridge | `codecs.encode`, `codecs.decode` | the same |
"""


def _outcome(make: Callable[[], Any], send: Callable[[Any], Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            received = send(make())
        except EncodeError:
            return REFUSED
        except Exception:  # whatever another format raises
            if send is by_zbridge:
                raise
            return REFUSED
        try:
            return CHANGED if difference(make(), received) else IDENTICAL
        except (AssertionError, ValueError, TypeError):  # pandas' own comparisons raise
            return CHANGED


def _counts(title: str, measured: dict[str, dict[str, str]]) -> str:
    formats = next(iter(measured.values()))
    lines = [f"**{len(measured)} {title}**", "", f"| | {' | '.join(OUTCOMES)} |", "|---|---|---|---|"]
    for name in formats:
        counts = Counter(row[name] for row in measured.values())
        lines.append(f"| {name} | {' | '.join(str(counts[outcome]) for outcome in OUTCOMES)} |")
    return "\n".join([*lines, ""])


def _table(title: str, measured: dict[str, dict[str, str]]) -> str:
    formats = next(iter(measured.values()))
    lines = [f"## {title}", "", f"| | {' | '.join(formats)} |", "|---" * (len(formats) + 1) + "|"]
    for name, row in measured.items():
        escaped = name.replace("|", r"\|")
        lines.append(f"| {escaped} | {' | '.join(row.values())} |")
    return "\n".join([*lines, ""])


def _is_array(obj: Any) -> bool:
    return isinstance(obj, np.ndarray | np.generic) and type(obj).__module__.startswith("numpy")


def _is_frame(obj: Any) -> bool:
    return type(obj) is pd.DataFrame and len(obj) < MAX_ROWS


def _through_ipc(table: Any) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


if __name__ == "__main__":
    PAGE.write_text(page(measured()), encoding="utf-8")
    sys.stdout.write(f"{PAGE} written\n")
