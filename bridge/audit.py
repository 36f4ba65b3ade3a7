"""Who asked what, and what came of it: a line for each query and each handshake that was refused.

On the logger ``bridge.audit``, at level INFO; `zbridge serve` prints it. The fields of a line are attributes of
its record too. Keys are in it as fingerprints, data not at all.
"""

from __future__ import annotations

import logging

__all__ = ["FIELDS", "LOGGER", "audit", "is_audited"]

LOGGER = "bridge.audit"
# As attributes of the record; `name` is taken there.
FIELDS = {
    "peer": "peer",
    "key": "key",
    "op": "op",
    "name": "name_",
    "nbytes": "nbytes",
    "ms": "ms",
    "outcome": "outcome",
}

_log = logging.getLogger(LOGGER)


def is_audited() -> bool:
    """Whether anybody wants these lines."""
    return _log.isEnabledFor(logging.INFO)


def audit(
    *,
    op: str,
    outcome: str,
    peer: str = "",
    key: str = "",
    name: str = "",
    nbytes: int = 0,
    ms: float = 0.0,
) -> None:
    """Write a line.

    Parameters
    ----------
    op
        Of the request, or "handshake".
    outcome
        "ok", a failure code, or why a handshake failed; "begun" of a put whose bytes are still to come, which
        takes place when it is "done".
    peer, key
        The network address, and the name and fingerprint of the key.
    name
        What was asked for.
    nbytes, ms
        Bytes in both directions, and milliseconds until the reply.
    """
    fields = {
        "peer": peer or "-",
        "key": key,
        "op": op,
        "name_": name,
        "nbytes": nbytes,
        "ms": round(ms, 3),
        "outcome": outcome,
    }
    _log.info(
        "%(peer)s %(key)s %(op)s %(name_)r %(nbytes)d B %(ms).1f ms %(outcome)s", fields, extra=fields
    )
