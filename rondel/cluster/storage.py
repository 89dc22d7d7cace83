"""`ClusterStorage`: what the ingesters of a ring hold, as one storage.

Every answer is complete, or Unavailable. What ingesters have moved to blocks is not in it: `ensure` is told
which blocks these are, before the answer is given. So whoever asks here first and blocks after that misses
nothing, without a clock and without another word between ingesters and queriers.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TypeVar

from rondel.cluster.asking import Asker, Question
from rondel.cluster.ringview import GONE_MS
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import distinct, merge_exemplars
from rondel.rpc.replicas import merge_replicas
from rondel.storage import PATIENT, MetricMetadata, Select, Selection, Watch

__all__ = ["ClusterStorage", "Ensure"]

_T = TypeVar("_T")

Ensure = Callable[[str, Set[str]], None]
"""Sees to it that blocks of a tenant are read, by their ULIDs; raises Unavailable where they cannot be."""


def _nothing(tenant: str, ulids: Set[str]) -> None:
    """For who does not read blocks."""


class ClusterStorage:
    """Implements `rondel.storage.Storage`, `ExemplarSource` and `MetadataSource`.

    Replicas hold the same series, some with gaps: samples are merged as those of any two storages.
    """

    def __init__(self, asker: Asker, now_ms: Callable[[], int], ensure: Ensure = _nothing) -> None:
        self._asker = asker
        self._now_ms = now_ms
        self._ensure = ensure

    def select(self, request: Select) -> Selection:
        """Series that match; their samples come from the same ingesters, when they are read."""
        known: dict[bytes, LabelSets] = {}
        found = self._ask(
            request.tenant,
            lambda remote, epoch: remote.select(request, epoch, known),
            request.mint_ms,
            request.watch,
        )
        return merge_replicas(found)

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        return distinct(
            self._ask(
                tenant,
                lambda remote, epoch: remote.series(tenant, matcher_sets, mint_ms, maxt_ms, epoch),
                mint_ms,
                watch,
            )
        )

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        found = self._ask(
            tenant,
            lambda remote, epoch: remote.label_names(tenant, matcher_sets, mint_ms, maxt_ms, epoch),
            mint_ms,
            watch,
        )
        return sorted({name for names in found for name in names})

    def label_values(
        self,
        tenant: str,
        name: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        found = self._ask(
            tenant,
            lambda remote, epoch: remote.label_values(tenant, name, matcher_sets, mint_ms, maxt_ms, epoch),
            mint_ms,
            watch,
        )
        return sorted({value for values in found for value in values})

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        found = self._ask(
            tenant,
            lambda remote, epoch: remote.exemplars(tenant, matcher_sets, mint_ms, maxt_ms, epoch),
            mint_ms,
            PATIENT,
        )
        return merge_exemplars(found)

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        """What is said of metrics now; blocks have nothing of it."""
        answers = self._asker.ask(
            lambda remote, epoch: remote.metadata(tenant, metric, epoch), self._now_ms(), PATIENT
        )
        distinct_entries = {entry for entries in answers.found for entry in entries}
        return sorted(distinct_entries, key=lambda one: (one.metric, one.type, one.help, one.unit))

    def tenants(self, since_ms: int, *, watch: Watch = PATIENT) -> list[str]:
        """Sorted, all of whom anything was written since then."""
        answers = self._asker.ask(lambda remote, epoch: remote.tenants(epoch), self._recent(since_ms), watch)
        return sorted({tenant for tenants in answers.found for tenant in tenants})

    def _ask(self, tenant: str, question: Question[_T], since_ms: int, watch: Watch) -> list[_T]:
        # What is of a time was written at that time or later.
        answers = self._asker.ask(question, self._recent(since_ms), watch)
        if answers.shipped:
            self._ensure(tenant, answers.shipped)
        return answers.found

    def _recent(self, since_ms: int) -> int:
        """Not before the time that rings remember: what was written then is in blocks."""
        return max(since_ms, self._now_ms() - GONE_MS)
