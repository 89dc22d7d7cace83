"""Native histograms: the thin door to their native half."""

from __future__ import annotations

from rondel._native import Histograms

__all__ = ["Histograms"]
