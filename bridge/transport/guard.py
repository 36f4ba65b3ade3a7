"""Whom libzmq lets in: the answers to its questions about keys.

With keys, CURVE encrypts, and libzmq asks the Listener about each peer's key before it lets it in. Such a
Listener has a context of its own, because a context has one place to ask; it answers in the thread that
receives, so there are no requests without somebody who says who may send them.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import zmq

from bridge import zap
from bridge.transport.curve import Gate, own_key_options
from bridge.transport.monitor import BROKEN_OFF, MISMATCH, OTHER_PROTOCOL, WRONG_KEY, events
from bridge.transport.sockets import is_readable, property_of

__all__ = ["Guard"]

# What libzmq does for want of one of these is to let everybody in.
_GATE_OPTIONS: dict[int, int | bytes] = {
    zmq.CURVE_SERVER: 1,
    zmq.ZAP_DOMAIN: zap.DOMAIN,
    zmq.ZAP_ENFORCE_DOMAIN: 1,
}
# Within the context of the socket.
_ZAP: Final = "inproc://zeromq.zap.01"
_FAILURES: Final = "inproc://failures"

_WHY_REFUSED: Final = {
    (OTHER_PROTOCOL, MISMATCH): "it has no key",
    (OTHER_PROTOCOL, WRONG_KEY): "it expects another server's key",
}


class Guard:
    """Answers libzmq when it asks who may connect to a socket, and hears of those who failed before that."""

    def __init__(self, sock: zmq.Socket[bytes], gate: Gate) -> None:
        self._gate = gate
        self._guarded = sock
        # Before each user id: had libzmq not asked, a peer could make one up.
        self._mark = secrets.token_hex(16)
        # Before the socket is bound, and for as long: there is no moment without it.
        self._questions = sock.context.socket(zmq.REP)
        self._failures = sock.context.socket(zmq.PAIR)
        # Without a limit: libzmq would have all connections wait for whoever listens here.
        self._failures.setsockopt(zmq.RCVHWM, 0)
        self.sockets = (self._questions, self._failures)
        try:
            self._questions.bind(_ZAP)
            for option, value in (_GATE_OPTIONS | own_key_options(gate.own)).items():
                sock.setsockopt(option, value)
            sock.monitor(_FAILURES, BROKEN_OFF | OTHER_PROTOCOL)
            self._failures.connect(_FAILURES)
        except BaseException:
            self.close()
            raise

    def work(self) -> None:
        """Answer the questions that are there."""
        while is_readable(self._questions):
            question = self._questions.recv_multipart()
            self._questions.send_multipart(zap.answer(question, self._admits))
        for event in events(self._failures):
            self._gate.refused(_WHY_REFUSED.get(event, "it broke off"))

    def user_of(self, frame: Any) -> str | None:
        """Return what the gate called the peer that a frame came from; None if it never passed the gate."""
        mark, _, user = property_of(frame, "User-Id").partition(" ")
        return user if mark == self._mark else None

    def _admits(self, key: bytes, address: str) -> str | None:
        user = self._gate.admits(key, address)
        return f"{self._mark} {user}" if user else None

    def close(self) -> None:
        """Let nobody in any more."""
        self._guarded.disable_monitor()
        for sock in self.sockets:
            sock.close(0)
