"""What turns our types into the opaque bytes of calls to an ingester, and back.

Passed in by whoever makes a server or a client. Bytes that are damaged raise Corruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers

__all__ = ["Decoder", "Encodable", "Encoder"]


class Encoder(Protocol):
    """The server's half. Called in worker threads, several at a time."""

    def labels(self, labels: LabelSets) -> bytes: ...

    def frame(self, frame: SeriesFrame) -> bytes:
        """The samples; whoever reads them has the labels."""

    def digests(self, frame: SeriesFrame) -> bytes:
        """Instead of the samples, by what replicas of them are known to be the same."""

    def exemplars(self, frame: ExemplarFrame) -> bytes: ...


@runtime_checkable
class Encodable(Protocol):
    """A selection whose samples are encoded already, for `rondel.rpc.wire` to decode."""

    def encoded(self, start: int, stop: int, *, digests: bool = False) -> bytes:
        """What `WireDecoder.frame` makes the frame of that `read(start, stop)` gives; or its digests."""


class Decoder(Protocol):
    """The client's half. Called in the worker threads of its callers, several at a time."""

    def matchers(self, matchers: Matchers) -> list[tuple[str, str, str]]:
        """`(name, operator, value)`, as `Matchers` takes them."""

    def labels(self, data: bytes) -> LabelSets: ...

    def frame(self, labels: LabelSets, data: bytes) -> SeriesFrame:
        """Of exactly the series of `labels`."""

    def replicas(
        self, labels: LabelSets, answers: Sequence[tuple[bytes, int, NDArray[np.int64]]]
    ) -> tuple[SeriesFrame, list[NDArray[np.int64]]]:
        """One frame of `labels` from `(answer, series in it, rows)`: samples or digests, and of each series
        of `labels` its place in the answer or -1; and for each answer the rows of which its digests tell
        something else."""

    def exemplars(self, data: bytes) -> ExemplarFrame: ...
