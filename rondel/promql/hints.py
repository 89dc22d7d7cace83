"""Counter-reset hints of histograms: what a query may still believe of them, and what it says.

A stored hint speaks of the sample before in its series. Prometheus forgets a reset when it reads the sample
that tells of it, unless only counts and sums are asked for, and so it is here: a sum of counters that were
reset is `unknown`, and collides with nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rondel.model.histogram import Histograms

__all__ = ["GAUGE", "RESET", "UNKNOWN", "unrelated", "untold_resets"]

UNKNOWN: Final = 0
RESET: Final = 1
GAUGE: Final = 3


def untold_resets(histograms: Histograms) -> Histograms:
    """The histograms with `unknown` where a reset is stored."""
    hints = histograms.hints()
    resets = hints == RESET
    if not resets.any():
        return histograms
    return histograms.with_hints(np.where(resets, UNKNOWN, hints).astype(np.uint8))


def unrelated(histograms: Histograms) -> Histograms:
    """The histograms where others may come before them than did in the store: gauges, or `unknown`."""
    hints = histograms.hints()
    if ((hints == UNKNOWN) | (hints == GAUGE)).all():
        return histograms
    return histograms.with_hints(np.where(hints == GAUGE, GAUGE, UNKNOWN).astype(np.uint8))
