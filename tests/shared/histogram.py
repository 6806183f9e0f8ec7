# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""Waiting times in bins, for people."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

EDGES_MS = (1, 2, 5, 10, 20, 50)
NAMES = (*(f"<{edge}" for edge in EDGES_MS), f">={EDGES_MS[-1]}")
BAR = 50  # columns of the fullest bin


def bins(waits_ms: Iterable[float]) -> list[int]:
    """How many fell below each edge, and how many at or above the last one.

    >>> bins([0.5, 1, 60])
    [1, 1, 0, 0, 0, 0, 1]
    """
    counts = [0] * len(NAMES)
    for wait in waits_ms:
        counts[bisect_right(EDGES_MS, wait)] += 1
    return counts


def histogram(waits_ms: Iterable[float]) -> str:
    """A line for each bin."""
    counts = bins(waits_ms)
    most = max(*counts, 1)
    return "\n".join(
        f"{name:>5} ms {count:7}  {'#' * -(-BAR * count // most)}".rstrip()
        for name, count in zip(NAMES, counts, strict=True)
    )
