"""`Siblings`: the metrics of all workers of a supervisor, from whichever of them is asked.

Workers share a port, so a scrape reaches any of them. Each one tells the others its metrics over a Unix
socket in a directory that they share, and whoever is scraped shows all of them, with a label `worker`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import ConfigError
from rondel.runtime.router import Route, route
from rondel.runtime.telemetry import exposition

__all__ = ["Siblings", "Worker", "routes"]

_TIMEOUT_S: Final = 2.0
_PATH_BYTES_MAX: Final = 100
"""of a Unix socket; the kernel takes 107"""


class _Family(msgspec.Struct, array_like=True):
    name: str
    documentation: str
    type: str
    unit: str
    samples: list[tuple[str, dict[str, str], float]]


_decoder = msgspec.msgpack.Decoder(list[_Family])


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of several processes that share a port this one is."""

    number: int
    count: int


class Siblings:
    """What a worker says of all. Raises ConfigError where the path of the directory is too long."""

    def __init__(self, registry: CollectorRegistry, folder: Path, worker: Worker) -> None:
        self._registry = registry
        self._number = worker.number
        self._paths = [folder / f"worker-{one}.sock" for one in range(worker.count)]
        self._server: asyncio.Server | None = None
        if len(bytes(self._paths[-1])) > _PATH_BYTES_MAX:
            raise ConfigError(
                f"data_dir: {self._paths[-1]} is too long for a socket, at most {_PATH_BYTES_MAX} bytes"
            )

    async def start(self) -> None:
        path = self._paths[self._number]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._tell, path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._paths[self._number].unlink(missing_ok=True)

    async def families(self) -> list[Metric]:
        """Of all workers that answer; `rondel_worker_up` says which do."""
        numbers = range(len(self._paths))
        told = await asyncio.gather(*(self._told(number) for number in numbers))
        merged: dict[str, Metric] = {}
        up = GaugeMetricFamily("rondel_worker_up", "1 where a worker answers.", labels=["worker"])
        for number, families in zip(numbers, told, strict=True):
            worker = str(number)
            up.add_metric([worker], float(families is not None))
            for one in families or ():
                family = merged.get(one.name)
                if family is None:
                    family = merged[one.name] = Metric(one.name, one.documentation, one.type, one.unit)
                for name, labels, value in one.samples:
                    family.add_sample(name, {**labels, "worker": worker}, value)
        return [up, *merged.values()]

    async def _told(self, number: int) -> list[_Family] | None:
        """None where the worker does not answer."""
        if number == self._number:
            return self._own()
        with suppress(OSError, TimeoutError, msgspec.DecodeError):
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._paths[number])
                try:
                    return _decoder.decode(await reader.read())
                finally:
                    writer.close()
        return None

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(msgspec.msgpack.encode(self._own()))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def _own(self) -> list[_Family]:
        return [
            _Family(
                one.name,
                one.documentation,
                one.type,
                one.unit,
                [(sample.name, dict(sample.labels), float(sample.value)) for sample in one.samples],
            )
            for one in self._registry.collect()
        ]


class _Collected(CollectorRegistry):
    """What was collected before, as a registry."""

    def __init__(self, families: list[Metric]) -> None:
        super().__init__(auto_describe=False)
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def routes(siblings: Siblings) -> list[Route]:
    """`/metrics` of all workers."""

    async def metrics(request: Request) -> Response:
        collected = _Collected(await siblings.families())
        body, content_type = exposition(collected, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return [route("/metrics", metrics, ["GET"])]
