"""Notes what a select and its reads cost one source, where somebody asked for that.

`counted` stands in front of a source. Without a place to note anything it is the source itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.model.merge import Reorderable
from rondel.storage import Costs, Select, Selection

__all__ = ["counted"]

_Rows = NDArray[np.int64]


def counted(
    source: str,
    request: Select,
    find: Callable[[], Selection],
    traffic: Callable[[], tuple[int, int]] = lambda: (0, 0),
    *,
    asked_s: float | None = None,
) -> Selection:
    """`find()`, with its costs and those of its reads noted under the name of the source.

    `traffic` tells `(fetched, cached)` bytes of the source so far. `asked_s`, of `time.perf_counter`, is when
    a source was asked that has answered already.
    """
    costs = request.costs
    if costs is None:
        return find()
    noted = _Noted(source, costs, traffic)
    began_s, before = (time.perf_counter(), traffic()) if asked_s is None else (asked_s, (0, 0))
    selection = find()
    noted.note(before, series=len(selection.labels), select_s=time.perf_counter() - began_s)
    return _wrapped(selection, noted)


class _Noted:
    def __init__(self, source: str, costs: Costs, traffic: Callable[[], tuple[int, int]]) -> None:
        self._source = source
        self._costs = costs
        self.traffic = traffic

    def note(self, before: tuple[int, int], **amounts: float) -> None:
        fetched, cached = self.traffic()
        self._costs.add(
            self._source, fetched_bytes=fetched - before[0], cached_bytes=cached - before[1], **amounts
        )


class _Counted:
    def __init__(self, selection: Selection, noted: _Noted) -> None:
        self._selection = selection
        self._noted = noted

    @property
    def labels(self) -> LabelSets:
        return self._selection.labels

    def read(self, start: int, stop: int) -> SeriesFrame:
        """As the source reads."""
        began_s, before = time.perf_counter(), self._noted.traffic()
        frame = self._selection.read(start, stop)
        took_s = time.perf_counter() - began_s
        self._noted.note(before, reads=1, samples=frame.samples, size_bytes=frame.size_bytes, read_s=took_s)
        return frame


class _CountedReorderable(_Counted):
    def __init__(self, selection: Selection, noted: _Noted, take: Callable[[_Rows], Selection]) -> None:
        super().__init__(selection, noted)
        self._take = take

    def take(self, rows: _Rows) -> Selection:
        """The same with only these rows, in this order."""
        return _wrapped(self._take(rows), self._noted)


def _wrapped(selection: Selection, noted: _Noted) -> Selection:
    if isinstance(selection, Reorderable):
        return _CountedReorderable(selection, noted, selection.take)
    return _Counted(selection, noted)
