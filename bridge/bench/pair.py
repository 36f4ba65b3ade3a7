"""A pair of fresh processes, the server's and the clients', which does one case at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from bridge.bench.cases import Case
from bridge.bench.child import Child, Died, Failed
from bridge.bench.control import Control
from bridge.bench.formats import FORMATS
from bridge.bench.lanes import EXPANSION, LANES, MESSAGE_ROOM, split
from bridge.errors import TransportError, WireError

__all__ = ["First", "Pair", "Sample", "most_bytes"]

# Until a transfer is given up: so long, and longer by what the slowest link takes for it.
TRANSFER_SECONDS: Final = 60.0
SLOWEST_LINK: Final = 1_000_000
# JSON writes the names of categories, and the number of the row beside each; other formats: `EXPANSION`.
EXPANSIONS: Final = {"json": 40}
# And this for the work before and after the transfers.
WORK_SECONDS: Final = 60.0
# The size of a payload that only wakes the libraries.
TINY: Final = 1024


@dataclass(frozen=True)
class First:
    """What the first transfer of a case in a process shows.

    Attributes
    ----------
    nbytes
        Of the payload.
    wire
        Of the message; None where this is not known.
    changes
        What came back different.
    making
        Seconds until the payload was there.
    memory
        How far the peaks of both ends grew, in bytes, with what it takes to verify; by end.
    """

    nbytes: int
    wire: int | None
    changes: list[str]
    making: float
    memory: dict[str, int | None]


@dataclass(frozen=True)
class Sample:
    """Seconds of one transfer, by phase, and CPU seconds of both ends."""

    encode: float
    transfer: float
    decode: float
    touch: float
    client_cpu: float
    server_cpu: float

    @property
    def total(self) -> float:
        """From the beginning to the end."""
        return self.encode + self.transfer + self.decode + self.touch


class Pair:
    """Both ends in fresh processes.

    Parameters
    ----------
    control
        Of the server.
    clients
        How many processes fetch, or send, at the same time.
    cases
        What it will be asked for. No server makes this computer take larger messages than these explain.

    Attributes
    ----------
    ports
        Of the server's sockets, by lane.
    """

    def __init__(self, control: Control, clients: int, cases: Iterable[Case]) -> None:
        self._control = control
        self._count = clients
        sizes = [most_bytes(case) for case in cases if case.size <= control.hello["max_bytes"]]
        self._max_bytes = max(sizes, default=MESSAGE_ROOM)
        self._clients: list[Child] = []
        self.restart()

    def restart(self) -> None:
        """Begin anew, with fresh processes: a case failed, and nobody knows what it left behind."""
        self.close()
        try:
            self._clients += (Child("client") for _ in range(self._count))
            self._open()
        except Failed as exc:
            self.close()
            raise TransportError(
                f"the processes of both ends could not be connected: {exc}; a server at port P needs the three "
                "ports after P as well, free there and open to this computer"
            ) from exc
        except BaseException:
            self.close()
            raise

    def first(self, case: Case) -> First:
        """Transfer a case for the first time, and verify what came."""
        is_pull = case.direction == "pull"
        start = time.perf_counter()
        nbytes = self._prepare(case, server=True, clients=True)
        making = time.perf_counter() - start
        self._control.ask("begin", keeping=not is_pull)
        self._mark()
        came = self._each("once", case, verifying=is_pull)
        self._raise_failure()
        changes = came[0]["changes"] if is_pull else self._control.ask("verify")
        if changes and FORMATS[case.format].is_baseline:
            raise Failed("other bytes came than were sent")
        return First(nbytes, came[0]["wire"], changes, making, self._grown())

    def samples(self, case: Case, count: int) -> list[list[Sample]]:
        """Transfer a case `count` times, after one time that is not counted.

        Returns
        -------
        list of list of Sample
            Of each client. The CPU seconds of the server are those of all its transfers, in equal parts.
        """
        self._prepare(case, server=True, clients=True)
        self._control.ask("begin", keeping=False)
        timed = self._each("time", case, count=count)
        ended = self._control.ask("end")
        transfers = (count + 1) * len(self._clients)  # each client has warmed up once more
        return [
            [
                _sample(values, encoded, ended["cpu"] / transfers)
                for values, encoded in zip(rows, _encoding(ended, number, count), strict=True)
            ]
            for number, rows in enumerate(timed)
        ]

    def memory(self, case: Case) -> dict[str, int] | None:
        """Return how far the memory of both ends grows for one transfer; None where they cannot tell.

        Each end has the payload that it sends. What it receives, it has no room for yet. A tiny payload goes
        before, so that what libraries load at first use does not count.
        """
        self._prepare(case._replace(size=TINY), server=True, clients=True)
        self._each("once", case)
        is_pull = case.direction == "pull"
        self._prepare(case, server=is_pull, clients=not is_pull)
        self._control.ask("begin", keeping=False)
        self._mark()
        self._each("once", case)
        peaks = self._grown()
        return {end: peak for end, peak in peaks.items() if peak is not None} or None

    def close(self) -> None:
        """End the clients. The server's process ends when the next is started."""
        while self._clients:
            self._clients.pop().close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        self.ports: dict[str, int] = _checked_ports(self._control.ask("start"))
        host, _ = split(self._control.url)
        for number, client in enumerate(self._clients):
            client.ask("open", host=host, ports=self.ports, number=number, max_bytes=self._max_bytes)

    def _prepare(self, case: Case, *, server: bool, clients: bool) -> Any:
        """Have payloads made at the ends that need them, at the same time; return the bytes of one."""
        for client in self._clients:
            client.tell("prepare", case=case, making=clients, timeout=_transfer_seconds(case))
        sizes = [self._control.ask("prepare", case=list(case), making=server)]
        sizes += [client.answer(patience=WORK_SECONDS) for client in self._clients]
        made = {size for size in sizes if size is not None}
        if len(made) > 1:
            raise Failed(f"the two ends make different payloads, of {made} bytes; have they one pandas?")
        return made.pop()

    def _each(self, do: str, case: Case, **options: Any) -> list[Any]:
        """Have all clients do something at the same time."""
        for client in self._clients:
            client.tell(do, **options)
        return [self._wait(client, case, options.get("count", 0) + 1) for client in self._clients]

    def _wait(self, client: Child, case: Case, transfers: int = 1) -> Any:
        patience = WORK_SECONDS + transfers * len(self._clients) * _transfer_seconds(case)
        try:
            return client.answer(patience=patience, meanwhile=lambda: self._control.ask("ping"))
        except Died:
            raise
        except Failed:
            self._raise_failure()
            raise

    def _mark(self) -> None:
        for ask in (self._control.ask, self._clients[0].ask):
            ask("mark")

    def _grown(self) -> dict[str, int | None]:
        return {"client": self._clients[0].ask("grown"), "server": self._control.ask("grown")}

    def _raise_failure(self) -> None:
        """Raise what failed at the server, if something did."""
        failure = self._control.ask("end")["failure"]
        if failure is not None:
            raise Failed(failure)


def most_bytes(case: Case) -> int:
    """Return how many bytes a message has at most that carries the payload of a case."""
    return EXPANSIONS.get(case.format, EXPANSION) * case.size + MESSAGE_ROOM


def _checked_ports(ports: Any) -> dict[str, int]:
    """Return the ports that a server named: text in their place could lead elsewhere."""
    numbers: list[Any] = [ports.get(lane) for lane in LANES] if type(ports) is dict else [None]
    if not all(type(number) is int and 0 < number < 2**16 for number in numbers):
        raise WireError(f"the server named {str(ports)[:80]}; expected a port for {', '.join(LANES)}")
    return dict(zip(LANES, numbers, strict=True))


def _transfer_seconds(case: Case) -> float:
    return TRANSFER_SECONDS + most_bytes(case) / SLOWEST_LINK


def _encoding(ended: dict[str, Any], number: int, count: int) -> list[float]:
    """Return the seconds that the server needed for encoding; nothing for what it does not encode."""
    seconds: list[float] = ended["encode"].get(str(number), [])
    return seconds[-count:] if seconds else [0.0] * count


def _sample(values: list[float], server_encode: float, server_cpu: float) -> Sample:
    total, encode, decode, touch, cpu = values
    encode += server_encode
    return Sample(encode, max(0.0, total - encode - decode - touch), decode, touch, cpu, server_cpu)
