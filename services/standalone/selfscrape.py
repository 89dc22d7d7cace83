"""Self-observation: the process scrapes its own registry and pushes what it finds to itself.

So the first query after a start has an answer, and the process is watched without anything beside it.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from rondel.model.labels import LabelSets
from rondel.model.tenant import ANONYMOUS
from rondel.model.write import WriteBatch
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner

__all__ = ["Config", "SelfScrape"]

_JOB: Final = "rondel"
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """The process's metrics of itself, stored in itself."""

    interval_s: Annotated[float, msgspec.Meta(ge=0)] = 15.0
    """How often the process stores its own metrics; 0 turns that off."""


class Push(Protocol):
    """Where batches go."""

    def push(self, tenant: str, batch: WriteBatch) -> Awaitable[object]:
        """Stores the batch, or raises."""


class SelfScrape:
    """Scrapes at once when it starts, then every `interval_s`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        target: Push,
        clock: Clock,
        config: Config,
        *,
        instance: str,
    ) -> None:
        self._registry = registry
        self._target = target
        self._clock = clock
        self._interval_s = config.interval_s
        self._labels = {"job": _JOB, "instance": instance or socket.gethostname()}
        self._tasks = TaskOwner("self-scrape")

    async def start(self) -> None:
        """Returns when the first scrape is stored."""
        if self._interval_s > 0:
            await self._scrape()
            self._tasks.spawn(self._run(), name="loop")

    async def stop(self) -> None:
        await self._tasks.close()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._interval_s)
            await self._scrape()

    async def _scrape(self) -> None:
        batch = batch_of(self._registry, self._labels, self._clock.now_ms())
        try:
            await self._target.push(ANONYMOUS, batch)
        except Exception as error:  # a full disk must not end self-observation: it is how one sees it
            _log.warning("own metrics not stored", failure=str(error))


def batch_of(registry: CollectorRegistry, labels: dict[str, str], now_ms: int) -> WriteBatch:
    """All samples of a registry, at one time, with `labels` added, and `up` as a scraper would add it."""
    sets: list[dict[str, str]] = [{"__name__": "up", **labels}]
    values: list[float] = [1.0]
    for family in registry.collect():
        for sample in family.samples:
            sets.append({"__name__": sample.name, **sample.labels, **labels})
            values.append(sample.value)
    count = len(sets)
    times: np.ndarray[Any, np.dtype[np.int64]] = np.full(count, now_ms, np.int64)
    offsets: np.ndarray[Any, np.dtype[np.int64]] = np.arange(count + 1, dtype=np.int64)
    arrays = offsets, times, np.array(values, np.float64), None, None
    return WriteBatch.from_arrays(LabelSets.from_dicts(sets), arrays)
