"""`CatchUp`: notices that something may be lacking here, and has it repaired.

That is so after a start, after a lease that ended while we lived, after a freeze, after the disk refused what
our replicas took, and when it has lost what we acknowledged. The note of how far we are (`alive`) stands
still until it is repaired, so a crash in between forgets nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final, Protocol

from rondel.errors import RondelError
from rondel.ring.ring import Ring
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner, in_thread
from services.ingester.alive import Alive, AliveFile
from services.ingester.repair import RepairMetrics

__all__ = ["CatchUp", "Place", "Repairing"]

_FIRST_MS: Final = -(1 << 63)
_PAUSE_S: Final = 5.0
"""after a repair that failed; doubles with each"""
_PAUSE_S_MAX: Final = 60.0
_SPREAD_S: Final = 2.0
"""within which repairs begin: a store that was away ends the leases of all at once"""
_log = logs.get(__name__)


class Repairing(Protocol):
    """As `Repair` does it."""

    async def run(self, mint_ms: int, maxt_ms: int) -> int:
        """Fetches what is lacking of these times; how many samples that were."""


class Place(Protocol):
    """Ours in the cluster."""

    @property
    def id(self) -> str:
        """Our name in the ring."""

    @property
    def is_held(self) -> bool:
        """Whether our lease is alive."""

    @property
    def terms(self) -> int:
        """How many leases we had since the start."""

    @property
    def is_leaving(self) -> bool:
        """Whether we go for good."""

    @property
    def behind_since_ms(self) -> int:
        """From when on we may lack what we acknowledged; 0 for nothing."""

    def ring(self) -> Ring:
        """The ring in force."""

    async def prepared(self) -> None:
        """Returns when all that is known."""

    def caught_up(self) -> None:
        """Says that we lack nothing."""


class CatchUp:
    """`begin` with what the last life left, then `start`."""

    def __init__(
        self,
        place: Place,
        repair: Repairing,
        file: AliveFile,
        clock: Clock,
        metrics: RepairMetrics,
        *,
        segment: Callable[[], int],
        interval_s: float,
        margin_ms: int,
        ahead_ms: int,
        frozen_s: float,
        random: Random,
        on_failure: Callable[[BaseException], None],
        refused: Callable[[], int] = lambda: 0,
    ) -> None:
        """`segment` is the last one of the log, `refused` counts pushes that the disk did not take. Looks
        every `interval_s`; whoever did not for `frozen_s` was frozen. Samples may lie `ahead_ms` ahead of
        the clock."""
        self._place = place
        self._repair = repair
        self._file = file
        self._clock = clock
        self._segment = segment
        self._refused = refused
        self._interval_s = interval_s
        self._margin_ms = margin_ms
        self._ahead_ms = ahead_ms
        self._frozen_s = frozen_s
        self._random = random
        self._note = Alive()
        self._is_lacking = False
        self._pause_s = _PAUSE_S
        self._tasks = TaskOwner("catch-up", lambda _, error: on_failure(error))
        metrics.behind.set_function(lambda: float(bool(place.behind_since_ms)))
        metrics.lag.set_function(lambda: self.lag_s)

    @property
    def lag_s(self) -> float:
        """Since when something may be lacking."""
        return max(0.0, (self._clock.now_ms() - self._note.whole_ms) / 1000) if self._is_lacking else 0.0

    def begin(self, before: Alive | None, boot: str, damages: tuple[tuple[int, int], ...]) -> None:
        """A directory without a note is new, and lacks nothing; or it is behind. Raises OSError."""
        self._is_lacking = before is not None
        whole_ms = before.whole_ms if before else self._clock.now_ms()
        self._note = Alive(whole_ms, boot, segment=self._segment(), damages=damages)
        self._file.store(self._note)  # Before anybody is served.

    async def start(self) -> None:
        self._tasks.spawn(self._run(), name="run")

    async def stop(self) -> None:
        """Gives up a repair; the next life begins it anew."""
        await self._tasks.close()

    async def give_up(self) -> None:
        """An operator's word: what was acknowledged here and is lost stays lost. From now on our answers
        count; what replicas have comes as what was missed. Raises Unavailable where we do not serve yet."""
        self._place.ring()
        self._note = replace(self._note, whole_ms=0)
        await in_thread(partial(self._file.store, self._note))
        self._is_lacking = True
        self._pause_s = _PAUSE_S
        self._place.caught_up()

    def closed(self) -> None:
        """The log is synced and closed."""
        self._store(replace(self._note, is_closed=True))

    async def _run(self) -> None:
        await self._place.prepared()
        await self._clock.sleep(self._random.uniform(0, _SPREAD_S))
        seen_s, terms, refused = self._clock.monotonic_s(), max(1, self._place.terms), 0
        while True:
            was_frozen = self._clock.monotonic_s() - seen_s > self._frozen_s
            has_missed = self._place.terms > terms or self._refused() > refused
            if was_frozen or has_missed or not self._place.is_held:
                self._is_lacking = True
            terms, refused = max(1, self._place.terms), self._refused()
            seen_s = self._clock.monotonic_s()
            if await self._looked():
                seen_s = self._clock.monotonic_s()
            await self._clock.sleep(self._interval_s if self._pause_s == _PAUSE_S else self._pause_s)

    async def _looked(self) -> bool:
        """Notes the time, or repairs; whether the latter."""
        now_ms = self._clock.now_ms()
        place = self._place
        if not self._is_lacking and not place.behind_since_ms:
            await self._noted(now_ms)
            return False
        if not place.is_held or (place.is_leaving and not place.behind_since_ms):
            return False
        try:
            await self._repaired(now_ms)
        except RondelError as error:
            _log.warning("a repair failed, will be tried again", cause=str(error), seconds=self._pause_s)
            self._pause_s = min(_PAUSE_S_MAX, 2 * self._pause_s)
        return True

    async def _repaired(self, now_ms: int) -> None:
        behind_since_ms = self._place.behind_since_ms
        first_ms = self._lacking_since_ms(now_ms) if self._is_lacking else now_ms
        if behind_since_ms:
            first_ms = min(first_ms, _before(behind_since_ms, self._margin_ms))
        if self._has_replicas():
            samples = await self._repair.run(first_ms, now_ms + self._ahead_ms)
            _log.info("repaired", samples=samples, since_ms=first_ms, behind=bool(behind_since_ms))
        elif behind_since_ms:
            _log.error("what was lost stays lost: there is no replica of it")
        if behind_since_ms:
            self._place.caught_up()
        self._is_lacking = False
        self._pause_s = _PAUSE_S
        await self._noted(now_ms)

    def _lacking_since_ms(self, now_ms: int) -> int:
        """A note from the future is of a clock that was set back meanwhile: it says nothing."""
        since_ms = self._note.whole_ms - self._margin_ms
        return since_ms if since_ms <= now_ms else _FIRST_MS

    async def _noted(self, now_ms: int) -> None:
        self._note = replace(self._note, whole_ms=now_ms, segment=self._segment())
        await in_thread(partial(self._store, self._note))

    def _store(self, note: Alive) -> None:
        """Where the disk refuses, the note is older than it need be."""
        try:
            self._file.store(note)
        except OSError as error:
            _log.warning("how far we are cannot be noted", cause=str(error))

    def _has_replicas(self) -> bool:
        ring = self._place.ring()
        return ring.replication_factor > 1 and any(one.id != self._place.id for one in ring.instances)


def _before(since_ms: int, margin_ms: int) -> int:
    return since_ms - margin_ms if since_ms > margin_ms else _FIRST_MS
