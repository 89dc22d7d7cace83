"""Chunks as Prometheus' TSDB stores them and remote read streams them: the thin door to their codecs.

`xor_encode` and `xor_decode` are for float samples, `histogram_chunk_encode` and `histogram_chunk_decode` for
native histograms, always in floats. Decoders raise Corruption and never ask for more memory than the bytes
of a chunk can fill; a chunk has no checksum of its own.
"""

from __future__ import annotations

from rondel._native import histogram_chunk_decode, histogram_chunk_encode, xor_decode, xor_encode

__all__ = ["histogram_chunk_decode", "histogram_chunk_encode", "xor_decode", "xor_encode"]
