"""Remote read: what is negotiated, what the two kinds of answers hold, what is refused."""

from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from rondel.model.tsdb import xor_decode
from services.querier.config import Config
from tests.support.asgi import call
from tests.support.querier import MemoryStorage, Querier
from tests.support.remote_read import CHUNKS, SAMPLES, frames_of, request_of, series_of

T0 = 1_700_000_000_000
EVERYTHING = [("__name__", "=~", ".+")]
MANY = 700


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    for number in range(5):
        samples = [(T0 + k * 1000, float(k * number)) for k in range(MANY)]
        storage.add({"__name__": "up", "instance": str(9 - number), "Zone": str(number % 2)}, samples)
    storage.add({"__name__": "a", "job": "host"}, [(T0, 0.5), (T0 + 10, float("inf"))])
    return storage


@pytest.fixture
async def querier(storage: MemoryStorage) -> AsyncIterator[Querier]:
    querier = Querier(storage)
    yield querier
    await querier.close()


async def read(querier: Querier, body: bytes, status: int = 200) -> tuple[dict[str, str], bytes]:
    """Past the client, which would undo a content encoding."""
    answer = await call(querier.app, "/api/v1/read", body=body)
    assert answer.status == status, answer.body
    return answer.headers, answer.body


def stored(storage: MemoryStorage) -> list[tuple[tuple[tuple[str, str], ...], list[tuple[int, float]]]]:
    """In the order of labels."""
    return sorted((tuple(sorted(labels.items())), samples) for labels, samples in storage.series_of)


async def test_samples_are_the_default_and_come_sorted(querier: Querier, storage: MemoryStorage) -> None:
    headers, body = await read(querier, request_of((0, 2**62, EVERYTHING)))
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-encoding"] == "snappy"
    (result,) = series_of(body)
    assert [(one.labels, one.samples) for one in result] == stored(storage)


@pytest.mark.parametrize(
    ("accepted", "streamed"), [((CHUNKS, SAMPLES), True), ((SAMPLES, CHUNKS), False), ((7, CHUNKS), True)]
)
async def test_the_first_kind_that_is_known_is_taken(
    querier: Querier, accepted: tuple[int, ...], streamed: bool
) -> None:
    headers, _ = await read(querier, request_of((0, 2**62, EVERYTHING), accepted=accepted))
    assert ("ChunkedReadResponse" in headers["content-type"]) == streamed


async def test_streamed_chunks_hold_every_sample(querier: Querier, storage: MemoryStorage) -> None:
    headers, body = await read(querier, request_of((0, 2**62, EVERYTHING), accepted=(CHUNKS,)))
    assert headers["content-type"] == "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    frames = list(frames_of(body))
    assert [frame.labels for frame in frames] == [labels for labels, _ in stored(storage)]
    for frame, (_, samples) in zip(frames, stored(storage), strict=True):
        times, values = zip(*(xor_decode(data) for *_, data in frame.chunks), strict=True)
        assert (
            list(zip(np.concatenate(times).tolist(), np.concatenate(values).tolist(), strict=True)) == samples
        )
        for (first, last, kind, _), own in zip(frame.chunks, times, strict=True):
            assert (first, last, kind) == (own[0], own[-1], 1)
            assert len(own) <= 120


async def test_a_frame_is_at_most_a_mebibyte_where_its_chunks_are(
    querier: Querier, storage: MemoryStorage
) -> None:
    noise = np.random.default_rng(1).random(300_000)
    storage.add({"__name__": "long"}, [(T0 + k * 7, value) for k, value in enumerate(noise.tolist())])
    body = request_of((0, 2**62, [("__name__", "=", "long")]), accepted=(CHUNKS,))
    frames = list(frames_of((await read(querier, body))[1]))
    assert len(frames) > 2
    assert {frame.labels for frame in frames} == {(("__name__", "long"),)}
    assert all(frame.size_bytes <= (1 << 20) + 64 for frame in frames)
    chunks = [chunk for frame in frames for chunk in frame.chunks]
    assert all(before[1] < after[0] for before, after in pairwise(chunks))
    assert sum(len(xor_decode(data)[0]) for *_, data in chunks) == len(noise)


@pytest.mark.parametrize("kind", [SAMPLES, CHUNKS])
async def test_queries_are_answered_in_their_order(querier: Querier, kind: int) -> None:
    queries = [
        (T0, T0 + 1000, [("instance", "=~", "5|6"), ("Zone", "!=", "1")]),
        (T0, T0, [("job", "=", "nobody")]),
        (T0 + 10, T0 + 10, [("job", "!=", "")]),
    ]
    _, body = await read(querier, request_of(*queries, accepted=(kind,)))
    if kind == SAMPLES:
        found = [[one.samples for one in result] for result in series_of(body)]
    else:
        found = [[], [], []]
        for frame in frames_of(body):
            ((*_, data),) = frame.chunks
            times, values = xor_decode(data)
            found[frame.query].append(list(zip(times.tolist(), values.tolist(), strict=True)))
    assert found == [[[(T0, 0.0), (T0 + 1000, 4.0)]], [], [[(T0 + 10, float("inf"))]]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no snappy at all", "snappy"),
        (request_of((0, 1, EVERYTHING), accepted=(9, 8)), "response types"),
        (request_of((0, 1, [("a", "=~", "(")])), "regex"),
    ],
)
async def test_what_cannot_be_read_is_the_callers_fault(querier: Querier, body: bytes, said: str) -> None:
    headers, answer = await read(querier, body, 400)
    assert headers["content-type"] == "application/json"
    assert said in answer.decode()


async def test_more_samples_than_the_limit_are_refused(storage: MemoryStorage) -> None:
    querier = Querier(storage, config=Config(samples_max=1000))
    _, answer = await read(querier, request_of((0, 2**62, EVERYTHING)), 400)
    assert b"exceeded sample limit (1000)" in answer
    # A stream holds a batch at a time, and goes on.
    _, body = await read(querier, request_of((0, 2**62, EVERYTHING), accepted=(CHUNKS,)), 200)
    assert len(list(frames_of(body))) == 6
    await querier.close()


async def test_a_tenant_reads_its_own_series_only(storage: MemoryStorage) -> None:
    querier = Querier(storage, tenancy=True)
    body = request_of((0, 2**62, EVERYTHING))
    answer = await call(querier.app, "/api/v1/read", body=body, headers={"X-Scope-OrgID": "another"})
    assert series_of(answer.body) == [[]]
    assert (await call(querier.app, "/api/v1/read", body=body)).status == 401
    await querier.close()
