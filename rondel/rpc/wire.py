"""Answers of an ingester as bytes (`docs/format/select.md`): the thin door to their native half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rondel._native import (
    decode_exemplars,
    decode_frame,
    decode_labels,
    decode_replicas,
    encode_digests,
    encode_exemplars,
    encode_frame,
    encode_labels,
)
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers

__all__ = ["WireDecoder", "WireEncoder"]


class WireEncoder:
    """Implements `rondel.rpc.codec.Encoder`."""

    def labels(self, labels: LabelSets) -> bytes:
        return encode_labels(labels)

    def frame(self, frame: SeriesFrame) -> bytes:
        """Raises InvalidData where the times of a series do not ascend."""
        return encode_frame(frame.arrays())

    def digests(self, frame: SeriesFrame) -> bytes:
        """Raises as `frame` does."""
        return encode_digests(frame.arrays())

    def exemplars(self, frame: ExemplarFrame) -> bytes:
        return encode_exemplars(frame.labels, frame.arrays())


class WireDecoder:
    """Implements `rondel.rpc.codec.Decoder`."""

    def matchers(self, matchers: Matchers) -> list[tuple[str, str, str]]:
        return matchers.spelled

    def labels(self, data: bytes) -> LabelSets:
        return decode_labels(data)

    def frame(self, labels: LabelSets, data: bytes) -> SeriesFrame:
        return SeriesFrame.of(labels, decode_frame(data, len(labels)))

    def replicas(
        self, labels: LabelSets, answers: Sequence[tuple[bytes, int, NDArray[np.int64]]]
    ) -> tuple[SeriesFrame, list[NDArray[np.int64]]]:
        arrays, differing = decode_replicas(len(labels), answers)
        return SeriesFrame.of(labels, arrays), differing

    def exemplars(self, data: bytes) -> ExemplarFrame:
        return ExemplarFrame.of(*decode_exemplars(data))
