"""dask.distributed: a scheduler, a worker in its own process, and a client that gathers from the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster, wait

from benchmarks.payloads import build


@contextmanager
def serve(payloads: dict[str, Any]) -> Iterator[str]:
    """Start a cluster. Its worker makes the payloads when the client connects."""
    payloads.clear()
    with LocalCluster(
        n_workers=1,
        processes=True,
        threads_per_worker=2,
        memory_limit=0,  # no spilling to disk
        dashboard_address=None,
        host="127.0.0.1",
        protocol="tcp",
    ) as cluster:
        yield cluster.scheduler_address


@contextmanager
def connect(address: str, names: Iterable[str]) -> Iterator[Callable[[str], Any]]:
    """Have the worker make the payloads, and gather them from it."""
    with Client(address) as client:
        futures = {name: client.submit(build, name) for name in names}
        wait(list(futures.values()))
        yield lambda name: client.gather(futures[name], direct=True)
