"""Giving orders to a server of the benchmark: the client's REQ socket."""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Any, Final

import zmq

from bridge.bench.child import Failed
from bridge.bench.lanes import DEFAULT_URL, full_url
from bridge.bench.serve import VERSION
from bridge.bench.told import checked
from bridge.codecs import strict_json
from bridge.errors import RemoteError, TransportError, WireError, printable

__all__ = ["Control"]

# Until a server answers that is there.
CONNECT_SECONDS: Final = 5.0
# Until it has done what was ordered; it gives up its own workers before.
ANSWER_SECONDS: Final = 90.0
# For what is said at the end.
LAST_WORDS: Final = 1.0
MAX_ANSWER: Final = 1024 * 1024


class Control:
    """A session with a server.

    Parameters
    ----------
    url
        Its address.

    Attributes
    ----------
    hello
        What it said of itself.

    Raises
    ------
    TransportError
        If no server of the benchmark answers there.
    RemoteError
        If it does not want to: it is busy.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = full_url(url)
        self._session = secrets.token_hex(8)
        self._is_open = True
        self._context: Any = zmq.Context()
        try:
            self._req = self._connected()
            self._monitor = self._req.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self.hello: dict[str, Any] = self.ask("hello", seconds=CONNECT_SECONDS)
        except zmq.ZMQError as exc:
            self._context.destroy()
            raise TransportError(f"{url} is no address to connect to: {exc.strerror}") from exc
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, *, seconds: float = ANSWER_SECONDS, **options: Any) -> Any:
        """Give an order, and return what came of it.

        Raises
        ------
        Failed
            If the worker failed.
        RemoteError
            If the server refuses it.
        WireError
            If it answers something else.
        TransportError
            If there is no answer, or the connection is lost.
        """
        self._req.send(self._order(do, options))
        if not self._has_answer(seconds):
            self._is_open = False
            if do == "hello":
                what = f"no benchmark server answers at {self.url}"
            elif self._monitor.poll(0):
                what = f"the connection to the benchmark server at {self.url} was lost"
            else:
                what = f"the benchmark server at {self.url} is silent for {seconds:.0f} s"
            raise TransportError(f"{what}; start one there with: zbridge bench serve")
        answer = strict_json.loads(self._req.recv())
        if type(answer) is not dict or answer.get("zbridge_bench") != VERSION:
            self._is_open = False
            raise WireError(
                f"what answers at {self.url} is no benchmark server of version {VERSION}; "
                "start one there with: zbridge bench serve"
            )
        error = answer.get("error")
        if error is None:
            return checked(do, answer.get("result"))
        if type(error) is not dict:
            raise WireError(
                f"the benchmark server at {self.url} failed with {printable(str(error)[:80])}"
            )
        code, message = (printable(str(error.get(key))) for key in ("code", "message"))
        if code == "failed":
            raise Failed(message)
        raise RemoteError(code, message)

    def stop(self) -> Any:
        """End the session, and return the load of the server's machine."""
        load = self.ask("stop")
        self._is_open = False
        return load

    def close(self) -> None:
        """End the session, if it goes on, and close the connection."""
        if self._is_open:
            self._is_open = False
            # By another socket: this one may be waiting for an answer that Ctrl-C has cut off.
            req = self._connected()
            req.send(self._order("stop", {}))
            req.poll(int(LAST_WORDS * 1000))
        self._context.destroy()

    def _has_answer(self, seconds: float) -> bool:
        """Wait for an answer; no longer than the connection lasts, for a REQ does not ask again."""
        poller = zmq.Poller()
        for socket in (self._req, self._monitor):
            poller.register(socket, zmq.POLLIN)
        poller.poll(int(seconds * 1000))
        # The last answer and the news that the connection is gone may come together.
        return bool(self._req.poll(int(LAST_WORDS * 1000) if self._monitor.poll(0) else 0))

    def _connected(self) -> Any:
        req = self._context.socket(zmq.REQ)
        req.setsockopt(zmq.LINGER, 0)
        req.setsockopt(zmq.MAXMSGSIZE, MAX_ANSWER)
        req.connect(self.url)
        return req

    def _order(self, do: str, options: dict[str, Any]) -> bytes:
        return strict_json.dumps(
            {"zbridge_bench": VERSION, "session": self._session, "do": do, **options}
        )

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
