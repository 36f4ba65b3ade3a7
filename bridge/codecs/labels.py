"""Labels that a peer chose, before they are put into a table of hashes.

Python hashes text, bytes and dates with a key that nobody else knows. Of numbers, and of tuples of numbers,
anybody can make as many with one hash as they like: (0, -1) and (0, -2) have one. In a set or a dict each of
them is compared with all that came before.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from itertools import pairwise
from typing import Final

import numpy as np

from bridge.errors import WireError

__all__ = ["MAX_ALIKE", "check_hashes"]

# Different labels with one hash. Of those that people give, two have it now and then.
MAX_ALIKE: Final = 1000

# What is hashed with a key, or has few values.
_KEYED: Final = frozenset({str, bytes, date, datetime, time, bool, type(None)})


def check_hashes(labels: Iterable[object]) -> None:
    """Refuse labels that it takes forever to look for. What has no hash is in no table.

    Raises
    ------
    WireError
        If more than `MAX_ALIKE` of them differ, and have one hash.
    """
    unkeyed = [label for label in labels if type(label) not in _KEYED]
    if len(unkeyed) <= MAX_ALIKE:
        return
    hashes = np.fromiter(map(_hash, unkeyed), np.int64, len(unkeyed))
    order = np.argsort(hashes, kind="stable")
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(hashes[order])) + 1, [len(order)]))
    for run in np.flatnonzero(np.diff(bounds) > MAX_ALIKE):
        alike = [unkeyed[place] for place in order[bounds[run] : bounds[run + 1]]]
        # A label that many columns share is found at once.
        if sum(a is not b and a != b for a, b in pairwise(alike)) >= MAX_ALIKE:
            raise WireError(
                f"more than {MAX_ALIKE} labels have one hash, which takes forever to look for one; "
                "rename them, most simply to text"
            )


def _hash(label: object) -> int:
    try:
        return hash(label)
    except TypeError:
        return id(label)
