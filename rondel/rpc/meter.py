"""What calls cost and how they end, as metrics: those that we make and those that we take.

A call may be a stream that is open for days: so streams of pushes count when they end, and pushes for
themselves.
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from rondel.errors import QueryCanceled

__all__ = ["OK", "CallMeter", "Meter", "outcome_of"]

OK: Final = "ok"
_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

_T = TypeVar("_T")
_Message = TypeVar("_Message")


class Meter:
    """One for a registry and a side: `client` or `server`."""

    def __init__(self, side: str, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        name = f"rondel_rpc_{side}"
        self.calls = Counter(
            f"{name}_calls",
            "Calls that have ended, by what they ended with: ok, or the class of the error.",
            ["method", "outcome"],
            registry=registry,
        )
        self.duration = Histogram(
            f"{name}_call_duration_seconds",
            "Time from the start of a call to its end; of streams of pushes, see the pushes.",
            ["method"],
            registry=registry,
            buckets=_BUCKETS_S,
        )
        self.open = Gauge(f"{name}_calls_open", "Calls that have not ended.", ["method"], registry=registry)
        self.received = Counter(
            f"{name}_received_bytes", "Bytes of messages received.", ["method"], registry=registry
        )
        self.sent = Counter(f"{name}_sent_bytes", "Bytes of messages sent.", ["method"], registry=registry)
        self.pushes = Counter(
            f"{name}_pushes",
            "Pushes that have ended, by what they ended with: ok, or the class of the error.",
            ["outcome"],
            registry=registry,
        )
        self.push_duration = Histogram(
            f"{name}_push_duration_seconds",
            "Time from a push to its answer.",
            registry=registry,
            buckets=_BUCKETS_S,
        )
        self._methods: dict[str, CallMeter] = {}

    def of(self, path: str) -> CallMeter:
        """The meter of one method, by its full path."""
        name = path.rpartition("/")[2]
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = CallMeter(self, name)
        return found

    async def push(self, push: Awaitable[_T]) -> _T:
        """Awaits one push and counts it."""
        start_s = time.perf_counter()
        outcome = OK
        try:
            return await push
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            self.pushes.labels(outcome).inc()
            self.push_duration.observe(time.perf_counter() - start_s)


class CallMeter:
    """Counts the calls of one method."""

    def __init__(self, meter: Meter, method: str) -> None:
        self._calls = meter.calls
        self._method = method
        self._duration = meter.duration.labels(method)
        self._open = meter.open.labels(method)
        self._received = meter.received.labels(method)
        self._sent = meter.sent.labels(method)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call."""
        ended = self.begun()
        try:
            yield
        except BaseException as error:
            ended(outcome_of(error))
            raise
        else:
            ended(OK)

    def begun(self) -> Callable[[str], None]:
        """A call begins; the returned function ends it, once, with its outcome."""
        start_s = time.perf_counter()
        self._open.inc()
        is_open = True

        def end(outcome: str) -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self._open.dec()
                self._calls.labels(self._method, outcome).inc()
                self._duration.observe(time.perf_counter() - start_s)

        return end

    def encoder(self, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        """`encode`, with its bytes counted as sent."""

        def counted(message: Any) -> bytes:
            data = encode(message)
            self._sent.inc(len(data))
            return data

        return counted

    def decoder(self, decode: Callable[[bytes], _Message]) -> Callable[[bytes], _Message]:
        """`decode`, with its bytes counted as received."""

        def counted(data: bytes) -> _Message:
            self._received.inc(len(data))
            return decode(data)

        return counted


def outcome_of(error: BaseException) -> str:
    """The label of a call that ended so: whoever went away canceled it, what is none of ours is a bug."""
    if isinstance(error, CancelledError | QueryCanceled | GeneratorExit):
        return "canceled"
    return type(error).__name__
