"""Token buckets, one a tenant: how many samples it may send now. Pure; the caller tells the time."""

from __future__ import annotations

from typing import Final

__all__ = ["RateLimit"]

_TENANTS_MAX: Final = 10_000


class RateLimit:
    """`rate` samples a second on average and up to `burst` at once, of each tenant."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        """of the whole cluster"""
        self.parts = 1
        """distributors that share it; what a tenant has saved up stays when it changes"""
        self.burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}
        """tenant -> (tokens, when they were counted)"""

    def take(self, tenant: str, samples: int, now_s: float) -> float | None:
        """Takes the tokens, or takes none and gives the seconds until they would be there."""
        tokens = self._tokens(tenant, now_s)
        if samples > tokens:
            return (min(samples, self.burst) - tokens) * self.parts / self.rate
        if len(self._buckets) >= _TENANTS_MAX:
            self._forget_full(now_s)
        self._buckets[tenant] = (tokens - samples, now_s)
        return None

    def _tokens(self, tenant: str, now_s: float) -> float:
        tokens, counted_s = self._buckets.get(tenant, (float(self.burst), now_s))
        return min(self.burst, tokens + (now_s - counted_s) * self.rate / self.parts)

    def _forget_full(self, now_s: float) -> None:
        """A tenant whose bucket is full again is like one that never came."""
        for tenant in [name for name in self._buckets if self._tokens(name, now_s) >= self.burst]:
            del self._buckets[tenant]
