"""Both sides count their calls, how they end, and their bytes."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from rondel.errors import NotFound, RateLimited
from rondel.model.labels import Matchers
from rondel.rpc.answer import PushAnswer
from rondel.rpc.meter import Meter
from rondel.rpc.push import PushStream
from rondel.rpc.remote import Remote
from rondel.rpc.wire import WireDecoder
from tests.support.rpc import (
    IDENTITY,
    THREADS,
    MemorySource,
    Pushes,
    RemoteStorage,
    channel_to,
    eventually,
    running,
    serving,
    written,
)


class Sides:
    """A registry with the meters of both."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.client = Meter("client", self.registry)
        self.server = Meter("server", self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"rondel_rpc_{name}", labels)

    def both(self, name: str, **labels: str) -> tuple[float | None, float | None]:
        return self.value(f"client_{name}", **labels), self.value(f"server_{name}", **labels)


async def test_pushes_are_counted_by_how_they_end() -> None:
    async def answer(batch: bytes) -> PushAnswer:
        if batch == b"no":
            raise RateLimited("slow", id="x-y")
        return written(1)

    sides = Sides()
    async with (
        serving(pushes=Pushes(answer=answer), meter=sides.server) as served,
        channel_to(served.endpoint, meter=sides.client) as channel,
    ):
        stream = PushStream(channel, IDENTITY)
        async with running(stream.run()):
            await stream.push("a", b"x" * 1000, 1, timeout_s=5)
            with pytest.raises(RateLimited):
                await stream.push("a", b"no", 1, timeout_s=5)
            assert sides.both("pushes_total", outcome="ok") == (1, 1)
            assert sides.both("pushes_total", outcome="RateLimited") == (1, 1)
            assert sides.both("push_duration_seconds_count") == (2, 2)
            assert sides.both("calls_open", method="Push") == (1, 1)
            sent, received = (
                sides.value("client_sent_bytes_total", method="Push"),
                sides.value("server_received_bytes_total", method="Push"),
            )
            assert sent is not None
            assert sent == received
            assert 1000 < sent < 1200
        await eventually(lambda: sides.both("calls_open", method="Push") == (0, 0))


async def test_reads_are_counted_and_timed() -> None:
    sides = Sides()
    async with (
        serving(MemorySource(), meter=sides.server) as served,
        channel_to(served.endpoint, meter=sides.client) as channel,
    ):
        storage = RemoteStorage(Remote(channel, IDENTITY, WireDecoder(), asyncio.get_running_loop(), THREADS))
        await asyncio.to_thread(storage.label_names, "a", [Matchers([("job", "=", "x")])], 0, 9)
        await eventually(lambda: sides.both("calls_total", method="LabelNames", outcome="ok") == (1, 1))
        assert sides.both("call_duration_seconds_count", method="LabelNames") == (1, 1)
        assert sides.both("calls_open", method="LabelNames") == (0, 0)


async def test_an_error_of_a_read_is_counted_on_both_sides() -> None:
    class Empty(MemorySource):
        def metadata(self, tenant: str, metric: str | None) -> list[object]:  # type: ignore[override]
            raise NotFound("nothing of that name")

    sides = Sides()
    async with (
        serving(Empty(), meter=sides.server) as served,
        channel_to(served.endpoint, meter=sides.client) as channel,
    ):
        storage = RemoteStorage(Remote(channel, IDENTITY, WireDecoder(), asyncio.get_running_loop(), THREADS))
        with pytest.raises(NotFound):
            await asyncio.to_thread(storage.metadata, "a", None)
        await eventually(lambda: sides.both("calls_total", method="Metadata", outcome="NotFound") == (1, 1))
