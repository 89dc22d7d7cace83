"""`Asker`: one question to as many ingesters as make its answer complete, and to no more while all is well.

The smallest group that is complete if all of it answers is asked at once: our own zone first, whoever failed
of late last. When one of them fails, or is silent for too long, all others are asked as well. Whether
what came is all there is, the ring says (`rondel.ring.quorum.unanswered`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter

from rondel.errors import CallerError, QueryError, RondelError, Unauthenticated, Unavailable
from rondel.ring.instance import Instance
from rondel.ring.membership import RING_EPOCH
from rondel.ring.quorum import SKEW_MS, enough, unanswered
from rondel.ring.ring import Ring
from rondel.rpc.remote import Remote, Reply
from rondel.rpc.standing import Standing
from rondel.storage import Watch

__all__ = ["INCOMPLETE", "Answers", "Asker", "Metrics", "Question", "Settings", "Suspects"]

_T = TypeVar("_T")

_LOOK_S: Final = 0.05
"""How often whoever waits looks whether it is still waited for."""
_GROUPS_MAX: Final = 256
"""Groups of one ring that are remembered."""
_PAUSE_S: Final = 0.25
"""Before those that failed are asked again."""
_NAMED_MAX: Final = 10
_WHY_CHARS_MAX: Final = 200

INCOMPLETE: Final = "read-incomplete"

Question = Callable[[Remote, int], Reply[_T]]
"""Asks one ingester, by the epoch of our ring."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one process."""

    zone: str = ""
    """ours, whose ingesters are asked first"""
    turn: int = 0
    """where among equals to begin, so that not all processes ask the same ones"""
    hedge_s: float = 0.3
    """after so long without a word from one, the others are asked as well"""
    suspect_s: float = 10.0
    """how long whoever failed is asked last"""
    patience_s: float = 3.0
    """for so long those that are needed and fail are asked again: one that restarts is back in a moment, and
    a ring that they know comes to us in a moment"""
    without: frozenset[str] = frozenset()
    """ids that are never asked, and so never answer"""


@dataclass(slots=True)
class Answers(Generic[_T]):
    """A complete set of them."""

    found: list[_T] = field(default_factory=list)
    """of those whom we like best first"""
    shipped: set[str] = field(default_factory=set)
    """blocks that hold what some of those who answered no longer hold"""


class Metrics:
    """What reads ask of ingesters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.asked = Counter(
            "rondel_cluster_reads_asked",
            "Reads that were sent to an ingester.",
            ["ingester"],
            registry=registry,
        )
        self.failed = Counter(
            "rondel_cluster_reads_failed",
            "Reads that an ingester failed, or broke off.",
            ["ingester"],
            registry=registry,
        )
        self.hedged = Counter(
            "rondel_cluster_reads_hedged",
            "Reads for which more ingesters were asked, since one was slow or failed.",
            ["reason"],
            registry=registry,
        )
        self.incomplete = Counter(
            "rondel_cluster_reads_incomplete", "Reads that too few ingesters answered.", registry=registry
        )


class Suspects:
    """Who failed of late. For any thread."""

    def __init__(self, for_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._for_s = for_s
        self._now_s = now_s
        self._until_s: dict[str, float] = {}

    def add(self, id: str) -> None:
        self._until_s[id] = self._now_s() + self._for_s

    def clear(self, id: str) -> None:
        """It has answered."""
        self._until_s.pop(id, None)

    @property
    def ids(self) -> frozenset[str]:
        now_s = self._now_s()
        return frozenset(id for id, until_s in list(self._until_s.items()) if until_s > now_s)


class Asker:
    """Asks the ingesters of a ring. Calls come from worker threads and wait there."""

    def __init__(
        self,
        ring: Callable[[], Ring],
        connect: Callable[[Instance], Remote],
        settings: Settings,
        suspects: Suspects,
        metrics: Metrics,
    ) -> None:
        self._ring = ring
        self._connect = connect
        self._settings = settings
        self._groups = _Groups()
        self.suspects = suspects
        self.metrics = metrics

    def ask(self, question: Question[_T], since_ms: int, watch: Watch) -> Answers[_T]:
        """Answers that together are complete for what was written since then.

        Raises Unavailable where they cannot be, which names the ingesters that did not answer, and what the
        watch raises.
        """
        until_s = time.monotonic() + self._settings.patience_s
        while True:
            found = self._round(question, since_ms, watch)
            if isinstance(found, Answers):
                return found
            if time.monotonic() + _PAUSE_S > until_s or not found.may_pass:
                raise found.incomplete()
            time.sleep(_PAUSE_S)
            watch.check()

    def _round(self, question: Question[_T], since_ms: int, watch: Watch) -> Answers[_T] | _Round[_T]:
        """The answers, or what came instead of them."""
        ring = self._ring()
        order = self._order(ring)
        group = self._groups.of(ring, order, since_ms)
        asked = _Round(self, ring, question, since_ms, watch)
        if group is None:
            asked.counted.update(order)
            return asked
        try:
            complete = asked.run(group, [id for id in order if id not in group], self._settings.hedge_s)
        finally:
            asked.drop()
        return asked.answers(order) if complete else asked

    def remote(self, instance: Instance) -> Remote:
        self.metrics.asked.labels(instance.id).inc()
        return self._connect(instance)

    def failed(self, id: str) -> None:
        self.suspects.add(id)
        self.metrics.failed.labels(id).inc()

    def _order(self, ring: Ring) -> tuple[str, ...]:
        """Everybody who may be asked, those first whom we like best."""
        settings, suspects = self._settings, self.suspects.ids
        zones = sorted({one.zone for one in ring.instances})
        first = zones.index(settings.zone) if settings.zone in zones else settings.turn
        ranks = {zone: (place - first) % len(zones) for place, zone in enumerate(zones)}
        total = len(ring.instances)

        def rank(place: int, one: Instance) -> tuple[bool, int, int]:
            doubtful = one.id in suspects or bool(one.behind_since_ms)
            return doubtful, ranks[one.zone], (place - settings.turn) % total

        ranked = sorted((rank(place, one), one.id) for place, one in enumerate(ring.instances))
        return tuple(id for _, id in ranked if id not in settings.without)


class _Groups:
    """Remembers the smallest groups of one ring."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ring: Ring | None = None
        self._known: dict[tuple[object, ...], tuple[str, ...] | None] = {}

    def of(self, ring: Ring, order: tuple[str, ...], since_ms: int) -> tuple[str, ...] | None:
        """As `enough`."""
        # What a group must be complete for are the replica sets, which few times change.
        key = (order, *(id(routes) for routes in ring.possible(since_ms - SKEW_MS)))
        with self._lock:
            if self._ring is not ring or len(self._known) >= _GROUPS_MAX:
                self._ring, self._known = ring, {}
            known = self._known
        if key not in known:
            known[key] = enough(ring, order, since_ms)
        return known[key]


class _Round(Generic[_T]):
    """One question and its answers."""

    def __init__(self, asker: Asker, ring: Ring, question: Question[_T], since_ms: int, watch: Watch) -> None:
        self.counted: set[str] = set()
        self._asker = asker
        self._ring = ring
        self._question = question
        self._since_ms = since_ms
        self._watch = watch
        self._instances = {one.id: one for one in ring.instances}
        self._pending: dict[str, Reply[_T]] = {}
        self._behind: set[str] = set()
        self._failures: dict[str, RondelError] = {}
        self._found: dict[str, _T] = {}
        self._shipped: set[str] = set()

    def answers(self, order: Iterable[str]) -> Answers[_T]:
        """What came, in this order of ids."""
        return Answers([self._found[id] for id in order if id in self._found], self._shipped)

    def run(self, group: tuple[str, ...], others: list[str], hedge_s: float) -> bool:
        """Whether the answers are complete; if not, nobody is left who could complete them."""
        self._ask(group)
        hedge_at_s = time.monotonic() + hedge_s
        while self._pending:
            self._watch.check()
            if self._take() and (self.counted.issuperset(group) or self._is_complete()):
                return True
            trouble = self._trouble(hedge_at_s)
            if others and trouble:
                self._asker.metrics.hedged.labels(trouble).inc()
                self._ask(others)
                others = []
            wait([one.future for one in self._pending.values()], _LOOK_S, FIRST_COMPLETED)
        return False

    def drop(self) -> None:
        """Lets go of what nobody waits for any more."""
        for reply in self._pending.values():
            reply.drop()

    def _ask(self, ids: Iterable[str]) -> None:
        for id in ids:
            remote = self._asker.remote(self._instances[id])
            self._pending[id] = self._question(remote, self._ring.epoch)

    def _take(self) -> bool:
        """Takes the answers that are here; whether any of them counts."""
        counted = len(self.counted)
        for id in [id for id, reply in self._pending.items() if reply.future.done()]:
            reply = self._pending.pop(id)
            try:
                answer = reply.get(self._watch)
            except Unauthenticated as error:
                self._fail(id, error)
            except (CallerError, QueryError):
                raise
            except RondelError as error:
                self._fail(id, error)
            else:
                self._note(id, answer, reply.standing or Standing(behind=True))
        return len(self.counted) > counted

    def _note(self, id: str, answer: _T, standing: Standing) -> None:
        self._asker.suspects.clear(id)
        self._found[id] = answer
        self._shipped.update(standing.shipped)
        (self._behind if standing.behind else self.counted).add(id)

    def _fail(self, id: str, error: RondelError) -> None:
        self._failures[id] = error
        if getattr(error, "id", "") != RING_EPOCH:  # Then it is we who are late.
            self._asker.failed(id)

    def _is_complete(self) -> bool:
        return unanswered(self._ring, self.counted, self._since_ms) is None

    def _trouble(self, hedge_at_s: float) -> str:
        """Why more ingesters should be asked; empty where all goes well."""
        if self._failures:
            return "failed"
        if self._behind:
            return "behind"
        silent = [id for id, reply in self._pending.items() if reply.standing is None]
        if not silent or time.monotonic() < hedge_at_s:
            return ""
        for id in silent:
            self._asker.suspects.add(id)
        return "slow"

    @property
    def may_pass(self) -> bool:
        """Whether those that failed may be there in a moment, or a newer ring here."""
        return bool(self._failures)

    @property
    def _is_late(self) -> bool:
        """Whether it is our ring that is too old."""
        return any(getattr(one, "id", "") == RING_EPOCH for one in self._failures.values())

    def incomplete(self) -> Unavailable:
        """The error that says what is missing."""
        self._asker.metrics.incomplete.inc()
        lack = unanswered(self._ring, self.counted, self._since_ms)
        if lack is None or not lack.members:
            return Unavailable("the ring has no ingesters to read from", id=INCOMPLETE)
        silent = ", ".join(f"{id} ({self._why(id)})" for id in lack.members[:_NAMED_MAX])
        more = len(lack.members) - _NAMED_MAX
        text = (
            f"the answer would be incomplete: too few replicas of {lack.share:.1%} of the series answered; "
            f"missing {silent}" + (f" and {more} more" if more > 0 else "")
        )
        return Unavailable(text, id=RING_EPOCH if self._is_late else INCOMPLETE)

    def _why(self, id: str) -> str:
        if id in self._behind:
            return "it may lack what it acknowledged, and is being repaired"
        failure = self._failures.get(id)
        return "not asked" if failure is None else str(failure)[:_WHY_CHARS_MAX]
