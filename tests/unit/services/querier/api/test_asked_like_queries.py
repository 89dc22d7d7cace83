"""What reads samples without being `/query` passes what queries pass: guard, limits, time and log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.types import Message

from rondel.errors import QueryCanceled, QueryError, QueryTimeout, QueryTooExpensive
from rondel.storage import Select, Selection
from services.querier.config import Config
from tests.support.asgi import call
from tests.support.querier import MemoryStorage, Querier
from tests.support.remote_read import CHUNKS, frames_of, request_of

SERIES = 300
EVERYTHING = [("__name__", "=", "up")]
STREAM = request_of((0, 2**62, EVERYTHING), accepted=(CHUNKS,))
MESSAGE = request_of((0, 2**62, EVERYTHING))


class Storage(MemoryStorage):
    """Many series; counts the batches that are read, and may do something before each."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.before_read: Callable[[Select], None] = lambda request: None

    def select(self, request: Select) -> Selection:
        found = super().select(request)
        return _Noticed(found, self, request)


class _Noticed:
    def __init__(self, found: Selection, storage: Storage, request: Select) -> None:
        self.labels, self._found, self._storage, self._request = found.labels, found, storage, request

    def read(self, start: int, stop: int) -> Any:
        self._storage.before_read(self._request)
        self._storage.reads += 1
        return self._found.read(start, stop)


class Reader:
    """The other end of a connection: takes so many parts, then no more, and goes away when told to."""

    def __init__(self, parts: int) -> None:
        self.gone = asyncio.Event()
        self.stuck = asyncio.Event()
        self.parts: list[bytes] = []
        self.status = 0
        self.ended = False
        self._room = parts
        self._asked = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": STREAM, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if len(self.parts) == self._room:
            self.stuck.set()
            await asyncio.Event().wait()
        self.parts.append(message["body"])
        self.ended = not message.get("more_body", False)

    async def read_from(self, querier: Querier) -> None:
        scope = {"type": "http", "method": "POST", "path": "/api/v1/read", "headers": [], "query_string": b""}
        await querier.app(scope, self.receive, self.send)


@pytest.fixture
def storage() -> Storage:
    storage = Storage()
    for number in range(SERIES):
        storage.add({"__name__": "up", "instance": f"{number:03}"}, [(1_000, 1.0), (2_000, 2.0)])
    return storage


@pytest.fixture
async def querier(storage: Storage) -> AsyncIterator[Querier]:
    querier = Querier(storage, config=Config(log_all=True))
    yield querier
    await querier.close()


async def is_idle(querier: Querier) -> bool:
    """Whether no query runs any more, waited for."""
    for _ in range(500):
        if querier.registry.get_sample_value("rondel_query_running") == 0:
            return True
        await asyncio.sleep(0.01)
    return False


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.name == "rondel.query"]
    return [{**record.fields, "message": record.message} for record in records]  # type: ignore[attr-defined]


async def test_a_stream_that_is_read_to_its_end_is_whole_and_logged(
    querier: Querier, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reader = Reader(parts=100)
    await reader.read_from(querier)
    assert (reader.status, reader.ended) == (200, True)
    body = b"".join(reader.parts)
    assert len(list(frames_of(body))) == SERIES
    [seen] = logged(caplog)
    assert (seen["message"], seen["kind"], seen["query"]) == ("query", "read", "read __name__=up")
    assert (seen["series"], seen["samples_read"], seen["bytes"]) == (SERIES, 2 * SERIES, len(body))


async def test_a_client_that_goes_away_amid_a_stream_ends_its_work(
    querier: Querier, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reader = Reader(parts=1)
    running = asyncio.ensure_future(reader.read_from(querier))
    await reader.stuck.wait()
    reader.gone.set()
    await running  # nobody is there to be told
    assert await is_idle(querier)
    assert storage.reads == 2
    assert not reader.ended
    [seen] = logged(caplog)
    assert (seen["message"], seen["error_type"], seen["status"]) == ("query failed", "canceled", 499)
    assert seen["bytes"] == len(reader.parts[0])


async def test_a_deadline_that_passes_while_a_reader_is_slow_cuts_the_stream(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    querier = Querier(storage, config=Config(timeout_s=1.0, refuse_after_failures=1))
    reader = Reader(parts=1)
    with pytest.raises(QueryTimeout):
        await reader.read_from(querier)
    assert (reader.status, reader.ended) == (200, False)
    assert await is_idle(querier)
    assert logged(caplog)[0]["error_type"] == "timeout"
    # It may be the reader's fault, and is not held against the query.
    assert (await querier.client.get("/querier/refused")).json()["data"] == []
    await querier.close()


async def test_a_deadline_that_passes_while_the_storage_is_slow_cuts_the_stream(storage: Storage) -> None:
    querier = Querier(storage, config=Config(timeout_s=1.0))

    def slow(request: Select) -> None:
        while storage.reads:
            request.watch.check()

    storage.before_read = slow
    reader = Reader(parts=100)
    with pytest.raises(QueryTimeout):
        await reader.read_from(querier)
    assert (reader.status, reader.ended, len(reader.parts), storage.reads) == (200, False, 1, 1)
    assert await is_idle(querier)
    await querier.close()


async def test_an_error_before_the_first_part_of_a_stream_is_an_ordinary_one(
    querier: Querier, storage: Storage
) -> None:
    def fails(request: Select) -> None:
        raise QueryTooExpensive("too much")

    storage.before_read = fails
    answer = await call(querier.app, "/api/v1/read", body=STREAM)
    assert (answer.status, "too much" in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("path", "method", "params", "body", "kind", "text"),
    [
        ("/api/v1/read", "POST", {}, STREAM, "read", "read __name__=up"),
        ("/api/v1/read", "POST", {}, MESSAGE, "read", "read __name__=up"),
        ("/federate", "GET", {"match[]": "up"}, b"", "federate", "/federate up"),
        ("/api/v1/explain", "GET", {"query": "up", "analyze": "1", "time": "2"}, b"", "explain", "up"),
    ],
)
async def test_all_that_read_samples_are_logged_refused_and_cancelled_like_queries(
    querier: Querier,
    storage: Storage,
    caplog: pytest.LogCaptureFixture,
    path: str,
    method: str,
    params: dict[str, str],
    body: bytes,
    kind: str,
    text: str,
) -> None:
    caplog.set_level(logging.INFO)
    now_ms = querier.clock.now_ms()
    storage.add({"__name__": "up"}, [(now_ms - 1, 1.0)])

    async def asked() -> int:
        return (await querier.client.request(method, path, params=params, content=body)).status_code

    assert await asked() == 200
    [seen] = logged(caplog)
    assert (seen["kind"], seen["query"], seen["status"]) == (kind, text, 200)
    assert min(seen["series"], seen["samples_read"], seen["bytes"]) > 0
    assert "queue_ms" in seen

    def fails(request: Select) -> None:
        raise QueryTooExpensive("too much")

    storage.before_read = fails
    reads = storage.reads
    for _ in range(6):
        assert await asked() == 422
    [entry] = (await querier.client.get("/querier/refused")).json()["data"]
    assert (entry["text"], entry["failures"]) == (text, 5)
    assert "is refused for another" in logged(caplog)[-1]["failure"]
    assert storage.reads == reads


@pytest.mark.parametrize(
    ("path", "params"),
    [("/federate", b"match[]=up"), ("/api/v1/explain", b"query=up&analyze=1&time=2")],
)
async def test_what_is_not_streamed_ends_when_its_client_goes_away(
    querier: Querier, storage: Storage, path: str, params: bytes
) -> None:
    now_ms, reader, loop = querier.clock.now_ms(), Reader(parts=9), asyncio.get_running_loop()
    storage.add({"__name__": "up"}, [(now_ms - 1, 1.0)])
    errors: list[QueryError] = []

    def until_cancelled(request: Select) -> None:
        loop.call_soon_threadsafe(reader.gone.set)
        try:
            while True:
                request.watch.check()
        except QueryError as error:
            errors.append(error)
            raise

    storage.before_read = until_cancelled
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": params}
    await querier.app(scope, reader.receive, reader.send)
    assert reader.status == 499
    assert [type(error) for error in errors] == [QueryCanceled]
