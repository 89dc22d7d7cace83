"""Every answer says what it is worth, and who asks by an old ring gets none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rondel.errors import QueryCanceled, Unavailable
from rondel.model.labels import Matchers
from rondel.promql.control import Control
from rondel.rpc.remote import Remote
from rondel.rpc.standing import Standing
from rondel.storage import Select
from tests.support.rpc import MemorySource, Settled, eventually, reading, serving
from tests.unit.rondel.rpc.test_remote import EVER, EVERY, Counting, Slow, every, filled, in_thread

ASKS: dict[str, Callable[[Remote, int], Any]] = {
    "select": lambda remote, epoch: remote.select(every(), epoch),
    "series": lambda remote, epoch: remote.series("a", [Matchers(list(EVERY))], *EVER, epoch),
    "label_names": lambda remote, epoch: remote.label_names("a", [], *EVER, epoch),
    "label_values": lambda remote, epoch: remote.label_values("a", "n", [], *EVER, epoch),
    "exemplars": lambda remote, epoch: remote.exemplars("a", [], *EVER, epoch),
    "metadata": lambda remote, epoch: remote.metadata("a", None, epoch),
    "tenants": lambda remote, epoch: remote.tenants(epoch),
}
WITHOUT_RANGE = ("metadata", "tenants")


@pytest.mark.parametrize("name", ASKS)
async def test_every_answer_says_what_it_is_worth(name: str) -> None:
    standings = Settled(behind=True, blocks={"a": ["block-1", "block-2"]}, names=["a", "b"])
    source = MemorySource()  # Even an empty answer says it.
    async with serving(source, standings=standings) as served, reading(served.endpoint) as storage:
        reply = ASKS[name](storage.remote, 7)
        found = await in_thread(lambda: reply.get(Control()))
        blocks = () if name in WITHOUT_RANGE else ("block-1", "block-2")
        assert reply.standing == Standing(behind=True, shipped=blocks)
        if name == "tenants":
            assert found == ["a", "b"]
        assert served.bugs == []


@pytest.mark.parametrize("name", ASKS)
async def test_an_epoch_that_is_too_old_is_refused(name: str) -> None:
    async with (
        serving(filled(3), standings=Settled(epoch_min=8)) as served,
        reading(served.endpoint) as storage,
    ):
        await in_thread(lambda: ASKS[name](storage.remote, 8).get(Control()))
        with pytest.raises(Unavailable, match="epoch 7") as refused:
            await in_thread(lambda: ASKS[name](storage.remote, 7).get(Control()))
        assert refused.value.id == "ring-epoch"


class Shipping(MemorySource):
    """Ships, and is repaired, while it is asked."""

    def __init__(self, standings: Settled) -> None:
        super().__init__()
        self.standings = standings

    def select(self, request: Select) -> Any:
        found = super().select(request)
        self.standings.blocks["a"] = ["shipped meanwhile"]
        self.standings.behind = False
        return found


async def test_what_is_shipped_meanwhile_is_named_and_what_is_repaired_meanwhile_is_not_counted() -> None:
    standings = Settled(behind=True)
    async with (
        serving(Shipping(standings), standings=standings) as served,
        reading(served.endpoint) as storage,
    ):
        reply = storage.remote.select(every(), 0)
        await in_thread(lambda: reply.get(Control()))
        assert reply.standing == Standing(behind=True, shipped=("shipped meanwhile",))


@pytest.mark.parametrize("name", ["select", "label_names"])
async def test_an_answer_that_nobody_wants_any_more_is_let_go(name: str) -> None:
    counting, slow = Counting(), Slow()
    async with serving(counting) as served, reading(served.endpoint) as storage:
        reply = ASKS[name](storage.remote, 0)
        await eventually(reply.future.done)
        reply.drop()
        await eventually(lambda: counting.held == 0)
    async with serving(slow) as served, reading(served.endpoint) as storage:
        reply = ASKS[name](storage.remote, 0)
        await eventually(lambda: slow.asked)
        reply.drop()
        await eventually(lambda: slow.left == [QueryCanceled])
