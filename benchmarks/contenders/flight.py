"""Arrow Flight. The tables are made before the first request: a Flight server holds Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import flight

# Of one record batch: the fastest of 256 KiB to 16 MiB for each kind of payload; all in one is far slower.
BATCH_BYTES: Final = 2**20


class _Server(flight.FlightServerBase):  # type: ignore[misc]
    def __init__(self, tables: dict[str, pa.Table]) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._tables = tables

    def do_get(self, context: Any, ticket: flight.Ticket) -> flight.RecordBatchStream:
        """Answer a ticket, which is a name."""
        return flight.RecordBatchStream(self._tables[ticket.ticket.decode()])


@contextmanager
def serve(payloads: dict[str, Any]) -> Iterator[str]:
    """Serve each payload as a table; an array is one of a single column."""
    with _Server({name: _table(obj) for name, obj in payloads.items()}) as server:
        yield f"grpc://127.0.0.1:{server.port}"


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Read a table as pandas, or its only column as numpy."""
    with flight.connect(address) as client:

        def fetch(name: str) -> Any:
            reader = client.do_get(flight.Ticket(name.encode()))
            if name.startswith("array"):
                return reader.read_all().column("array").to_numpy()
            return reader.read_pandas()

        yield fetch


def _table(obj: Any) -> pa.Table:
    table = pa.table({"array": obj}) if isinstance(obj, np.ndarray) else pa.Table.from_pandas(obj)
    rows = max(1, BATCH_BYTES * table.num_rows // table.nbytes)
    return pa.Table.from_batches(table.to_batches(max_chunksize=rows))
