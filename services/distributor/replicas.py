"""Pairs of Prometheus servers that send the same series: whose samples are taken."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Protocol

from rondel.cluster.ha import Tracker
from rondel.cluster.keys import Keys
from rondel.errors import InvalidData, LimitExceeded
from rondel.kv.store import KeyValueStore
from rondel.model.write import WriteBatch, Written
from rondel.runtime.clock import Clock
from rondel.runtime.service import Service
from rondel.runtime.tasks import TaskOwner
from services.distributor.config import Config

__all__ = ["NotElected", "Pairs", "Replicas", "service", "tracker_of"]


class Replicas(Protocol):
    """Who elects; `rondel.cluster.ha.Tracker` does."""

    failovers: int

    def elected(self, tenant: str, pair: str) -> str:
        """The replica that is listened to; empty where none was elected."""

    async def accepts(self, tenant: str, pair: str, replica: str) -> bool:
        """Whether samples of this replica are taken. Raises LimitExceeded and Unavailable."""


class NotElected(Exception):
    """A whole request is dropped, because another replica of its pair is listened to. Not a failure: the
    sender goes on as if it had been written."""

    def __init__(self, message: str, counts: Written) -> None:
        super().__init__(message)
        self.counts = counts
        """What the request had."""


class Pairs:
    """Which tenants send pairs, and the judgement on their requests."""

    def __init__(self, config: Config, tenants: Mapping[str, Config], replicas: Replicas | None) -> None:
        self._all = config.accept_ha_samples
        self._own = {tenant: own.accept_ha_samples for tenant, own in tenants.items()}
        if replicas is None and is_wanted(config, tenants):
            raise ValueError("accept_ha_samples needs somebody who elects")
        self._replicas = replicas

    def are_sent_by(self, tenant: str) -> bool:
        return self._own.get(tenant, self._all)

    @property
    def failovers(self) -> int:
        return self._replicas.failovers if self._replicas else 0

    async def check(self, tenant: str, batch: WriteBatch) -> None:
        """Raises NotElected where the batch is of a replica that is not listened to, InvalidData for one pair
        too many, and Unavailable where nobody can be elected."""
        pair = batch.pair
        if pair is None or self._replicas is None:
            return
        cluster, replica = pair
        try:
            if await self._replicas.accepts(tenant, cluster, replica):
                return
        except LimitExceeded as error:
            raise InvalidData(str(error), error.id) from error
        elected = self._replicas.elected(tenant, cluster)
        message = f"replica {replica!r} of {cluster!r} is not listened to, {elected!r} is"
        raise NotElected(message, Written(batch.sample_count, batch.histogram_count, batch.exemplar_count))


def is_wanted(config: Config, tenants: Mapping[str, Config]) -> bool:
    """Whether any tenant sends pairs."""
    return config.accept_ha_samples or any(own.accept_ha_samples for own in tenants.values())


def tracker_of(
    config: Config, tenants: Mapping[str, Config], store: KeyValueStore, keys: Keys, clock: Clock
) -> Tracker | None:
    """The one who elects, where one is needed; `service` runs it."""
    if not is_wanted(config, tenants):
        return None
    return Tracker(store, keys, clock.now_ms, Random(), config.ha)


def service(tracker: Tracker) -> Service:
    """Runs for as long as requests come: it starts before them and stops after them. It fails when following
    the store does, which is a bug: a store that is away is not."""
    ha: Service
    tasks = TaskOwner("replicas", lambda _, error: ha.fail(error))

    async def start() -> None:
        tasks.spawn(tracker.run(), name="tracker")

    ha = Service("ha", start=start, stop=tasks.close)
    return ha
