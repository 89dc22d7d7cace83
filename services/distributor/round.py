"""`Round`: one batch on its way by one ring. It collects what comes back until that decides the batch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rondel.errors import CallerError, RateLimited, RondelError, Unavailable
from rondel.model.write import PushResult, Rejection, WriteBatch, Written
from rondel.ring.membership import RING_EPOCH
from rondel.ring.quorum import Outcome, PushTally, Refusal, write_quorum
from services.distributor.destination import Refused, Taken

__all__ = ["Round"]

_NAMED_MAX = 4
"""ingesters that an error names"""
_CHARS_MAX = 200
"""of what it says of each"""


class Round:
    """Members are places in the ring."""

    def __init__(
        self, batch: WriteBatch, set_of: NDArray[np.int64], sets: NDArray[np.int16], replication_factor: int
    ) -> None:
        self.decided: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._batch = batch
        self._items = len(set_of)
        self._factor = replication_factor
        self._tally = PushTally(set_of, sets, replication_factor)
        self._taken: dict[str, Taken] = {}
        self._lost: dict[str, RondelError] = {}

    def took(self, member: int, id: str, taken: Taken) -> None:
        """A member has what it was sent but for what it refused."""
        if not self.decided.done():
            self._taken[id] = taken
            self._tally.took(member, _refusals(taken))
            self.judge()

    def refused(self, member: int, id: str, error: CallerError, items: NDArray[np.int64]) -> None:
        """A member will never take any of these items."""
        batch, series = self._batch, items[items < len(self._batch)]
        samples = [len(batch.series(at)[1]) + len(batch.histograms(at)[0]) for at in series.tolist()]
        every = np.concatenate([np.repeat(series, samples), items[items >= len(batch)]])
        reason = getattr(error, "id", "distributor-max-write-message-size")
        self.took(member, id, Taken([Refused(reason, str(error), every)]))

    def lost(self, member: int, id: str, reason: RondelError) -> None:
        """Nobody knows whether the member has anything."""
        if not self.decided.done():
            self._lost[id] = reason
            self._tally.lost(member)
            self.judge()

    def judge(self) -> None:
        """Decides, where what came back so far is enough."""
        outcome = self._tally.outcome
        if outcome is not Outcome.OPEN and not self.decided.done():
            self.decided.set_result(outcome)

    @property
    def is_late(self) -> bool:
        """Whether an ingester refused it because our ring is too old."""
        return any(getattr(error, "id", "") == RING_EPOCH for error in self._lost.values())

    def failure(self) -> Unavailable:
        """Why it failed, by the ingesters that did not take all of it."""
        needed = write_quorum(self._factor)
        told = [f"{id}: {_short(error)}" for id, error in sorted(self._lost.items())]
        told += [
            f"{id} refused samples: {_short(taken.refused[0].message)}"
            for id, taken in sorted(self._taken.items())
            if taken.refused
        ]
        more = f" and {len(told) - _NAMED_MAX} more" if len(told) > _NAMED_MAX else ""
        return Unavailable(
            f"fewer than {needed} of {self._factor} replicas have it: {'; '.join(told[:_NAMED_MAX])}{more}",
            retry_after_s=_retry_after_s(self._lost),
            id="distributor-write-quorum",
        )

    def result(self) -> PushResult:
        """What a quorum has, and what a quorum refused."""
        batch, refused = self._batch, self._rejected()
        floats, histograms = batch.sample_count, batch.histogram_count
        rejections = []
        for refusal in self._tally.refusals():
            series = refusal.series[refusal.series < len(batch)]  # The others are metadata.
            counts = refused[series]
            rejections.append(Rejection(refusal.id, refusal.message, int(counts.sum())))
            of_histograms = self._histograms_among(series, counts)
            histograms -= of_histograms
            floats -= int(counts.sum()) - of_histograms
        return PushResult(Written(floats, histograms, self._exemplars()), rejections)

    def _rejected(self) -> NDArray[np.int64]:
        """int64[items]: samples of each that so many members refused as a quorum has."""
        counts = [_counts(taken, self._items) for taken in self._taken.values() if taken.refused]
        needed = write_quorum(self._factor)
        if len(counts) < needed:
            return np.zeros(self._items, np.int64)
        return np.asarray(np.sort(np.stack(counts), axis=0)[-needed])

    def _histograms_among(self, series: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
        """How many of the refused samples of these series are histograms; of a series that has both kinds,
        floats are taken to be refused first."""
        batch = self._batch
        if not batch.histogram_count or not batch.sample_count:
            return int(counts.sum()) if batch.histogram_count else 0
        found = 0
        for place, count in zip(series.tolist(), counts.tolist(), strict=True):
            own = len(batch.histograms(place)[0])
            found += min(own, max(0, count - len(batch.series(place)[1])) if own else 0)
        return found

    def _exemplars(self) -> int:
        """Exact where no ingester refused any."""
        if not self._batch.exemplar_count:
            return 0
        accepted = sum(taken.exemplars for taken in self._taken.values())
        return min(self._batch.exemplar_count, accepted // write_quorum(self._factor))


def _refusals(taken: Taken) -> list[Refusal]:
    """Each series once, even where a member refused samples of it for several reasons."""
    found: list[Refusal] = []
    seen: NDArray[np.int64] = np.empty(0, np.int64)
    for one in taken.refused:
        fresh = np.setdiff1d(one.items, seen)
        seen = np.union1d(seen, fresh)
        if len(fresh):
            found.append(Refusal(one.id, one.message, fresh))
    return found


def _counts(taken: Taken, items: int) -> NDArray[np.int64]:
    every = np.concatenate([one.items for one in taken.refused])
    return np.bincount(every, minlength=items)


def _short(told: object) -> str:
    text = str(told)
    return text if len(text) <= _CHARS_MAX else text[:_CHARS_MAX] + "…"


def _retry_after_s(lost: Mapping[str, RondelError]) -> float:
    told = [one.retry_after_s for one in lost.values() if isinstance(one, Unavailable | RateLimited)]
    return max(told, default=1.0)
