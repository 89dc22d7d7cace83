"""A real ingester behind its calls: what is pushed over a stream is read back from there, all kinds of it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from rondel.errors import InvalidData
from rondel.model.labels import Matchers
from rondel.model.write import Decoder, WriteLimits, Written
from rondel.rpc.answer import PushAnswer
from rondel.storage import Select
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from tests.support.ingesters import EVER, NOW_MS, batch, contents, contents_of, exemplars_by_name, make
from tests.support.remote_write import body_of, write_request
from tests.support.rpc import Pushes, pushing, reading, serving


class Bodies:
    """Takes remote-write bodies as batches."""

    def __init__(self, ingester: Ingester) -> None:
        self._ingester = ingester
        self._decoder = Decoder(WriteLimits(), seed=1)

    async def __call__(self, body: bytes) -> PushAnswer:
        return PushAnswer(await self._ingester.push("a", self._decoder.decode(body, NOW_MS)))


async def test_what_is_acknowledged_over_the_stream_is_read_back(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    choose = random.Random(1)
    names = [f"m{number}" for number in range(20)]
    wanted = {name: [(NOW_MS + step, choose.random()) for step in range(10)] for name in names}
    async with (
        serving(HeadStorage(ingester.tenants), pushes=Pushes(answer=Bodies(ingester))) as served,
        pushing(served.endpoint) as stream,
        reading(served.endpoint) as remote,
    ):
        for step in range(10):
            series = [({"__name__": name, "job": "test"}, [wanted[name][step]]) for name in names]
            pushes = [stream.push("a", body_of(write_request([one])), 1, timeout_s=20) for one in series]
            answers = await asyncio.gather(*pushes)
            assert [one.result.accepted for one in answers] == [Written(1)] * 20
        other = write_request([({"__name__": "m0", "job": "test"}, [(NOW_MS + 9, -1.0)])])
        answer = await stream.push("a", body_of(other), 1, timeout_s=20)
        assert [one.id for one in answer.result.rejections] == ["sample-duplicate-timestamp"]
        with pytest.raises(InvalidData) as refused:
            await stream.push("a", b"no body", 1, timeout_s=20)
        assert refused.value.id == "snappy-corrupt"

        def read() -> dict[str, list[tuple[int, float]]]:
            selection = remote.select(Select("a", Matchers([("job", "=", "test")]), *EVER))
            return contents(selection.read(0, len(selection.labels)))["floats"]

        assert await asyncio.to_thread(read) == wanted
        assert served.bugs == []
    await ingester.stop()


async def test_histograms_exemplars_and_metadata_are_read_back(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    await ingester.push("a", batch({"m": [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]}, mixed=True))
    described = write_request([], [{"type": 1, "metric_family_name": "m", "help": "h", "unit": "u"}])
    await Bodies(ingester)(body_of(described))
    here = HeadStorage(ingester.tenants)
    async with serving(here) as served, reading(served.endpoint) as remote:

        def read() -> None:
            selection = remote.select(Select("a", Matchers([("job", "=", "test")]), *EVER))
            exemplars = exemplars_by_name(remote.exemplars("a", [Matchers([("job", "=", "test")])], *EVER))
            found = {**contents(selection.read(0, 1)), "exemplars": exemplars}
            assert found == contents_of(ingester, "a")
            assert remote.metadata("a", None) == here.metadata("a", None) != []

        await asyncio.to_thread(read)
        assert served.bugs == []
    await ingester.stop()
