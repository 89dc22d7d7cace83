"""Costs of selects are noted by source, and only where somebody asks for them."""

import numpy as np

from rondel.model.costs import counted
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import Reorderable, merge_selections
from rondel.storage import Costs, Select
from tests.support.queries import loaded

EVERYTHING = Matchers([])


def request(costs: Costs | None) -> Select:
    return Select("tenant", EVERYTHING, 0, 10**9, costs)


def test_a_select_that_asks_for_nothing_is_the_sources_own() -> None:
    selection = loaded("a 1+1x9").select(request(None))
    assert counted("head", request(None), lambda: selection) is selection


def test_series_reads_samples_and_traffic_are_noted_by_source() -> None:
    costs, fetched = Costs(), [0, 0]
    storage = loaded('a{x="1"} 1+1x9\na{x="2"} 1+1x4')

    def find():
        fetched[0] += 100
        return storage.select(request(costs))

    selection = counted("block 1", request(costs), find, lambda: (fetched[0], fetched[1]))
    fetched[0] += 1000  # somebody else's
    assert len(selection.read(0, 1)) == 1
    assert len(selection.read(0, 2)) == 2
    other = counted("head", request(costs), lambda: storage.select(request(costs)))
    other.read(1, 2)
    assert list(costs.by_source) == ["block 1", "head"]
    block, head = costs.by_source.values()
    assert (block.series, block.reads, block.samples, block.fetched_bytes) == (2, 2, 25, 100)
    assert (head.series, head.reads, head.samples, head.fetched_bytes) == (2, 1, 5, 0)
    assert block.size_bytes > 25 * 16
    assert block.select_s > 0
    assert block.read_s > 0


class Backwards:
    """A selection that can be put in order."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows
        self.labels = LabelSets.from_dicts([{"x": str(row)} for row in rows])

    def take(self, rows):
        return Backwards([self.rows[row] for row in rows])

    def read(self, start, stop):
        return loaded("a 1").select(request(None)).read(0, 0)


def test_a_source_that_can_be_put_in_order_still_can() -> None:
    costs = Costs()
    counting = counted("head", request(costs), lambda: Backwards([3, 2, 1]))
    assert isinstance(counting, Reorderable)
    taken = counting.take(np.array([2, 0]))
    assert [taken.labels[at] for at in range(2)] == [{"x": "1"}, {"x": "3"}]
    taken.read(0, 1)
    assert costs.by_source["head"].reads == 1
    stored = loaded("a 1").select(request(costs))
    assert not isinstance(counted("head", request(costs), lambda: stored), Reorderable)
    assert len(merge_selections([counting, Backwards([5, 4])]).labels) == 5
