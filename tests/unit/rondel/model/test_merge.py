"""Somebody has to wait for an answer: sources look whether they do between two pieces of work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rondel.block import BlockStore, BlockWriter, new_ulid
from rondel.errors import QueryCanceled
from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import MergedStorage
from rondel.objstore import open_bucket
from rondel.promql.control import Control
from rondel.storage import PATIENT, Select, Storage, Watch
from tests.support.memory_storage import MemoryStorage

EVER = (0, 1 << 40)
MATCH = Matchers([("__name__", "=", "up")])
CALLS: dict[str, Callable[[Storage, Watch], object]] = {
    "select": lambda storage, watch: storage.select(Select("t", MATCH, *EVER, watch=watch)),
    "series": lambda storage, watch: storage.series("t", [MATCH], *EVER, watch=watch),
    "label_names": lambda storage, watch: storage.label_names("t", [MATCH], *EVER, watch=watch),
    "label_values": lambda storage, watch: storage.label_values("t", "a", [MATCH], *EVER, watch=watch),
}


class Impatient:
    """Waits for so many pieces of work, and no longer."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces

    def check(self) -> None:
        if self.left == 0:
            raise QueryCanceled("gone")
        self.left -= 1


def memory() -> MemoryStorage:
    storage = MemoryStorage()
    storage.append({"__name__": "up", "a": "b"}, [(1, 1.0)])
    return storage


def blocks(count: int) -> BlockStore:
    bucket = open_bucket("memory://")
    for index in range(count):
        labels = LabelSets.from_dicts([{"__name__": "up", "a": str(index)}])
        with BlockWriter(bucket, "t", new_ulid(index + 1)) as writer:
            writer.add(SeriesFrame(labels, np.array([0, 1]), np.array([index]), np.array([1.0])))
            writer.finish()
    return BlockStore(bucket)


@pytest.mark.parametrize("call", sorted(CALLS))
def test_a_merge_asks_no_further_storage_for_whoever_has_gone(call: str) -> None:
    storage = MergedStorage([memory(), memory(), memory()])
    CALLS[call](storage, Impatient(3))
    watch = Impatient(2)
    with pytest.raises(QueryCanceled, match="gone"):
        CALLS[call](storage, watch)
    assert watch.left == 0


@pytest.mark.parametrize("call", sorted(CALLS))
def test_blocks_are_opened_only_while_somebody_waits(call: str) -> None:
    store = blocks(3)
    CALLS[call](store, Impatient(3))
    with pytest.raises(QueryCanceled, match="gone"):
        CALLS[call](store, Impatient(2))
    CALLS[call](store, PATIENT)


@pytest.mark.parametrize("call", sorted(CALLS))
def test_the_control_of_a_query_is_such_a_watch(call: str) -> None:
    control = Control()
    control.cancel()
    with pytest.raises(QueryCanceled, match="query was canceled"):
        CALLS[call](MergedStorage([memory()]), control)
