"""Block sinks for tests: blocks as plain values, and as many failures as wanted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from rondel.block.meta import File, Meta
from rondel.errors import Unavailable
from rondel.model.frame import ExemplarFrame, SeriesFrame
from tests.support.ingesters import Contents, Samples, contents, exemplars_by_name

__all__ = ["Shelf"]

OTHER_KINDS: Final = ("starts", "histograms", "exemplars")


class Shelf:
    """Where sinks put their blocks. `failures` counts down: that many blocks are refused at the end."""

    def __init__(self) -> None:
        self.blocks: dict[str, Samples] = {}
        self.others: dict[str, Contents] = {}
        """What is no float sample."""
        self.announced: list[Meta] = []
        self.failures = 0
        self._numbers = itertools.count(1)

    def open(self, tenant: str) -> _Sink:
        """A sink for one block."""
        return _Sink(self, tenant, f"block-{next(self._numbers)}")

    def samples(self) -> Samples:
        """Float samples of all blocks merged."""
        return merged(self.blocks.values())

    def contents(self) -> Contents:
        """Everything in all blocks merged, by kind."""
        others = {kind: merged(one.get(kind, {}) for one in self.others.values()) for kind in OTHER_KINDS}
        return {"floats": self.samples(), **others}


def merged(blocks: Iterable[Samples]) -> Samples:
    """A timestamp that two blocks have must have one value."""
    found: dict[str, dict[int, float]] = {}
    for block in blocks:
        for name, samples in block.items():
            for time_ms, value in samples:
                assert found.setdefault(name, {}).setdefault(time_ms, value) == value
    return {name: sorted(samples.items()) for name, samples in found.items()}


class _Sink:
    def __init__(self, shelf: Shelf, tenant: str, ulid: str) -> None:
        self._shelf = shelf
        self._tenant = tenant
        self._ulid = ulid
        self._series: Samples = {}
        self._others: Contents = {kind: {} for kind in OTHER_KINDS}
        self._last = ""
        self._times: list[int] = []

    def add(self, frame: SeriesFrame, exemplars: ExemplarFrame | None = None) -> None:
        """Checks the order that blocks rely on."""
        assert frame.labels.sort_order().tolist() == list(range(len(frame)))
        names = [frame.labels[index]["__name__"] for index in range(len(frame))]
        assert not names or names[0] > self._last
        self._last = names[-1] if names else self._last
        found = contents(frame)
        if exemplars is not None:
            assert [exemplars.labels[row] for row in range(len(exemplars))] == [
                frame.labels[row] for row in range(len(frame))
            ]
            found["exemplars"] = exemplars_by_name(exemplars)
        for kind, series in found.items():
            mine = self._series if kind == "floats" else self._others[kind]
            for name, points in series.items():
                times = [time_ms for time_ms, _ in points]
                assert times == sorted(set(times))
                mine[name] = points
                self._times += times

    def finish(self) -> Meta:
        """Puts the block on the shelf, or fails as an object store does."""
        if self._shelf.failures > 0:
            self._shelf.failures -= 1
            raise Unavailable("the object store is away")
        self._shelf.blocks[self._ulid] = self._series
        self._shelf.others[self._ulid] = self._others
        bounds = min(self._times), max(self._times)
        counts = len(self._series), len(self._times), 1
        nothing = File(0, 0)
        return Meta(1, self._ulid, self._tenant, *bounds, 1, (self._ulid,), (), *counts, nothing, nothing)

    def close(self) -> None:
        """Nothing is held."""
