"""Response compression: which coding a client takes, and the bytes in it."""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["SIZE_BYTES_MIN", "compress", "negotiate"]

SIZE_BYTES_MIN: Final = 1024
"""Smaller bodies fit into one packet as they are."""

_OURS: Final = ("zstd", "gzip", "deflate")
"""Best first. Level 1 of all: an answer is read once."""


def negotiate(accept_encoding: str) -> str | None:
    """The coding to use for an Accept-Encoding header, or None for none."""
    if not accept_encoding:
        return None
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, _, parameters = part.partition(";")
        weights[name.strip().lower()] = _weight(parameters)
    best = max(_OURS, key=lambda name: weights.get(name, weights.get("*", 0.0)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else None


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def compress(body: bytes, coding: str) -> bytes:
    """The body in `coding`, one of those that `negotiate` answers."""
    if coding == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=1).compress(body)
    return zlib.compress(body, level=1, wbits=31 if coding == "gzip" else 15)
