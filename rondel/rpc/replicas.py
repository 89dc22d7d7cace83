"""`merge_replicas`: selections of replicas as one, without fetching twice what they have alike.

The samples of each series come from the first replica that has it. The others tell a digest of theirs, and
where that is another one, their samples are fetched as well and merged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.model.merge import join_labels, merge_samples, merge_selections
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.selection import Decoding, RemoteSelection, SelectStream, Session
from rondel.storage import Selection

__all__ = ["merge_replicas"]

_Rows = NDArray[np.int64]
_T = TypeVar("_T")


def merge_replicas(selections: Sequence[Selection]) -> Selection:
    """What `merge_selections` makes of them; those that should be read most come first."""
    holding = [one for one in selections if len(one.labels)]
    remote = [(one, one.reader) for one in holding if isinstance(one, RemoteSelection)]
    sessions = [session for one, session in remote if isinstance(session, Session) and one.picked is None]
    if not 1 < len(holding) == len(sessions):
        return merge_selections(selections)
    labels, places = _joined([one.labels for one in holding])
    replicas = _Replicas(list(zip(sessions, places, strict=True)))
    # Whoever selects reads, as a rule, and has to look for blocks before.
    return RemoteSelection(replicas, labels, first_rows=sessions[0].small)


def _joined(parts: list[LabelSets]) -> tuple[LabelSets, list[_Rows]]:
    """As `join_labels`; labels that are one and the same object are looked at once."""
    distinct = list({id(one): one for one in parts}.values())
    labels, rows = join_labels(distinct)
    of = {id(one): own for one, own in zip(distinct, rows, strict=True)}
    return labels, [of[id(one)] for one in parts]


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """What one replica is asked for, of the rows of one read."""

    stream: SelectStream
    numbers: _Rows
    """of each row its place in the replica's own order, -1 where it is not asked for it"""
    digests: bool = False
    answer: bytes = b""
    """where it is here already; it has all that the replica has, in its own order"""

    async def fetch(self) -> tuple[bytes, int, _Rows]:
        """The answer, how many series it has, and of each row its place in it, or -1."""
        asked = self.numbers >= 0
        wanted = self.numbers[asked]
        if self.answer:
            return self.answer, len(wanted), self.numbers
        first, last = int(wanted[0]), int(wanted[-1])
        if last - first == len(wanted) - 1 and bool((np.diff(wanted) == 1).all()):
            rows = pb.Rows(start=first, stop=last + 1, digests=self.digests)
        else:
            rows = pb.Rows(picked=wanted.tolist(), digests=self.digests)
        places = np.where(asked, np.cumsum(asked) - 1, -1)
        return await self.stream.read(rows), len(wanted), places

    def rest(self, differing: _Rows) -> _Piece:
        """For the samples of rows of which the digests are no others'."""
        self.stream.differs |= 2 * len(differing) > int((self.numbers >= 0).sum())
        numbers = np.full(len(self.numbers), -1, np.int64)
        numbers[differing] = self.numbers[differing]
        return _Piece(self.stream, numbers)


class _Replicas:
    """Implements `rondel.rpc.selection.Reader` over a session with each replica."""

    def __init__(self, parts: list[tuple[Session, _Rows]]) -> None:
        """Each with its own number of every series, or -1."""
        self._parts = parts
        self._first = parts[0][0]

    def start(self, start: int, stop: int, picked: _Rows | None, labels: LabelSets) -> Future[SeriesFrame]:
        own = np.arange(start, stop, dtype=np.int64)
        rows = own if picked is None else picked[start:stop]
        return self._started(self._pieces(rows), labels.take(own))

    def at_once(self, labels: LabelSets) -> Future[SeriesFrame] | None:
        if not all(session.samples for session, _ in self._parts):
            return None
        here = [_Piece(one.stream, numbers, answer=one.samples) for one, numbers in self._parts]
        return self._started(here, labels)

    def wait(self, future: Future[_T]) -> _T:
        try:
            return self._first.wait(future)
        except BaseException:
            for session, _ in self._parts:
                session.end()
            raise

    def _pieces(self, rows: _Rows) -> list[_Piece]:
        found = []
        taken = np.zeros(len(rows), np.bool_)
        for session, numbers in self._parts:
            own, stream = numbers[rows], session.stream
            here = own >= 0
            doubled = np.zeros_like(taken) if stream.differs else here & taken
            for asked, digests in ((here & ~doubled, False), (doubled, True)):
                if asked.any():
                    found.append(_Piece(stream, np.where(asked, own, -1), digests))
            taken |= here
        return found

    def _started(self, pieces: list[_Piece], labels: LabelSets) -> Future[SeriesFrame]:
        # Whoever waits for it must not be held by it: sessions end with the last selection.
        return self._first.bridge.start(_frame(pieces, labels, self._first.decoding))


async def _frame(pieces: list[_Piece], labels: LabelSets, decoding: Decoding) -> SeriesFrame:
    decode = decoding.decoder.replicas
    answers = await asyncio.gather(*(piece.fetch() for piece in pieces))
    frame, differing = await decoding.run(lambda: decode(labels, answers))
    rest = [piece.rest(rows) for piece, rows in zip(pieces, differing, strict=True) if len(rows)]
    if not rest:
        return frame
    more = await asyncio.gather(*(piece.fetch() for piece in rest))
    return await decoding.run(lambda: _merged(frame, decode(labels, more)[0]))


def _merged(one: SeriesFrame, other: SeriesFrame) -> SeriesFrame:
    """Of the same series."""
    rows = np.arange(len(one.labels), dtype=np.int64)
    return SeriesFrame.of(
        one.labels, merge_samples(len(rows), [(rows, one.arrays()), (rows, other.arrays())])
    )
