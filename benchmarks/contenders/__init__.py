"""The contenders: the ways to move an object that are compared.

A contender is a module with two context managers::

    serve(payloads: dict[str, object]) -> address       in the server's process, in background threads
    connect(address: str, names) -> fetch               in the client's; fetch(name) returns the object

It is imported in its own processes only, so what one needs may be missing for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

__all__ = ["CONTENDERS", "Contender"]


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes
    ----------
    module
        Of this package.
    text
        What it does, for the report.
    frames
        Whether it carries DataFrames too, or only arrays.
    """

    module: str
    text: str
    frames: bool = True

    def load(self) -> Any:
        """Import the module."""
        return import_module(f"{__name__}.{self.module}")


CONTENDERS: Final = {
    "zbridge": Contender("zbridge", "bridge.Server, and connect().read()"),
    "zbridge-curve": Contender("zbridge_curve", "the same with keys, encrypted by CURVE"),
    "tcp": Contender("tcp", "a plain blocking socket, into a fresh array", frames=False),
    "zmq": Contender("zmq_frame", "pyzmq REQ/REP, JSON header and one zero-copy frame", frames=False),
    "pickle": Contender("pickle_in_band", "pickle protocol 5 in one frame, pyzmq REQ/REP"),
    "pickle-oob": Contender("pickle_out_of_band", "pickle protocol 5, buffers as zero-copy frames"),
    "flight": Contender("flight", "Arrow Flight do_get, read_pandas or to_numpy"),
    "dask": Contender("dask_worker", "dask.distributed, gather(direct=True) from a worker process"),
}
