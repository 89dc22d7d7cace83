"""The stream of pushes to one ingester: answers find their pushes, and streams come back."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from rondel.errors import InvalidData, RateLimited, TooLarge, Unavailable
from rondel.model.write import PushResult, Rejection, Written
from rondel.rpc.answer import PushAnswer
from rondel.rpc.channel import Stream
from rondel.rpc.identity import Identity
from rondel.rpc.intake import Intake
from rondel.rpc.methods import PUSH
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.push import PushLimits, PushStream, Reason, Undelivered
from rondel.rpc.server import ServerConfig
from tests.support.cut_proxy import CutProxy
from tests.support.rpc import IDENTITY, Pushes, channel_to, eventually, pushing, running, serving, written


class Gate:
    """An answer that waits until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, batch: bytes) -> PushAnswer:
        await self.opened.wait()
        return written(len(batch))


async def test_a_push_arrives_as_it_was_sent_and_its_answer_comes_back() -> None:
    whole = PushAnswer(PushResult(Written(1, 2, 3), [Rejection("a-b", "tëxt", 4)]), unknown=b"\0" * 32)

    async def answer(batch: bytes) -> PushAnswer:
        return whole

    async with serving(pushes=Pushes(answer=answer)) as served, pushing(served.endpoint) as stream:
        assert await stream.push("a", b"batch", 7, timeout_s=5) == whole
        assert served.pushes.seen == [("a", b"batch", 7)]
        assert (stream.inflight, stream.inflight_bytes) == (0, 0)


async def test_an_answer_says_of_which_items_the_refused_samples_are() -> None:
    rejections = [Rejection("a-b", "old", 3), Rejection("c-d", "new", 1)]
    rows = [np.array([0, 7, 7]), np.array([1 << 31])]

    async def answer(batch: bytes) -> PushAnswer:
        return PushAnswer(PushResult(Written(), rejections), rows=rows)

    async with serving(pushes=Pushes(answer=answer)) as served, pushing(served.endpoint) as stream:
        found = await stream.push("a", b"x", 1, timeout_s=5)
        assert found.result.rejections == rejections
        assert [one.tolist() for one in found.rows] == [[0, 7, 7], [1 << 31]]


async def test_answers_find_their_pushes_whatever_their_order() -> None:
    async def answer(batch: bytes) -> PushAnswer:
        await asyncio.sleep(0.001 * (len(batch) % 7))
        return written(len(batch))

    async with serving(pushes=Pushes(answer=answer)) as served, pushing(served.endpoint) as stream:
        sizes = range(1, 301)
        answers = await asyncio.gather(*(stream.push("a", b"x" * n, 1, timeout_s=20) for n in sizes))
        assert [one.result.accepted.samples for one in answers] == list(sizes)
        assert len(served.pushes.seen) == 300


async def test_what_waits_leaves_together_in_messages_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[tuple[int, int]] = []
    async with serving() as served, pushing(served.endpoint) as stream:
        send = Stream.send

        async def noted(self: Stream, message: Any) -> None:
            sizes.append((len(message.requests), message.ByteSize()))
            await send(self, message)

        monkeypatch.setattr(Stream, "send", noted)
        await asyncio.gather(*(stream.push("a", b"x" * 50_000, 1, timeout_s=20) for _ in range(100)))
    assert sum(requests for requests, _ in sizes) == 100
    assert max(size for _, size in sizes) <= 1 << 20
    assert len(sizes) < 20


async def test_a_batch_of_many_messages_sizes_arrives_alone() -> None:
    async with serving() as served, pushing(served.endpoint) as stream:
        batch = bytes(5 << 20)
        answer = await stream.push("a", batch, 1, timeout_s=20)
        assert answer.result.accepted.samples == len(batch)


async def test_a_batch_that_fits_no_message_is_refused_before_it_is_sent() -> None:
    async with serving() as served, pushing(served.endpoint) as stream:
        with pytest.raises(TooLarge, match="larger than a message"):
            await stream.push("a", bytes(64 << 20), 1, timeout_s=20)
        assert (await stream.push("a", b"x", 1, timeout_s=20)).result.accepted.samples == 1


async def test_a_refusal_is_the_error_that_the_ingester_raised() -> None:
    async def answer(batch: bytes) -> PushAnswer:
        if batch == b"quota":
            raise RateLimited("slower", id="x-y", retry_after_s=2.5)
        raise Unavailable("later", retry_after_s=9)

    async with serving(pushes=Pushes(answer=answer)) as served, pushing(served.endpoint) as stream:
        with pytest.raises(RateLimited, match=r"^slower$") as limited:
            await stream.push("a", b"quota", 1, timeout_s=5)
        assert (limited.value.id, limited.value.retry_after_s) == ("x-y", 2.5)
        with pytest.raises(Unavailable, match=r"^later$") as later:
            await stream.push("a", b"", 1, timeout_s=5)
        assert later.value.retry_after_s == 9


async def test_a_bug_of_the_handler_fails_one_push_and_is_reported() -> None:
    async def answer(batch: bytes) -> PushAnswer:
        if batch == b"bad":
            raise ZeroDivisionError("secret")
        return written(1)

    async with serving(pushes=Pushes(answer=answer)) as served, pushing(served.endpoint) as stream:
        with pytest.raises(Unavailable, match=r"^internal error: ZeroDivisionError$"):
            await stream.push("a", b"bad", 1, timeout_s=5)
        await stream.push("a", b"good", 1, timeout_s=5)
        assert [type(bug) for bug in served.bugs] == [ZeroDivisionError]


async def test_a_bug_of_ours_costs_a_stream_and_not_all_that_would_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receive = Stream.receive
    bugs = [ZeroDivisionError("a bug")]

    async def once(self: Stream) -> Any:
        message = await receive(self)
        if bugs and message is not None and message.replies:
            raise bugs.pop()
        return message

    monkeypatch.setattr(Stream, "receive", once)
    async with serving() as served, pushing(served.endpoint) as stream:
        with pytest.raises(Undelivered, match="internal error: ZeroDivisionError"):
            await stream.push("a", b"x", 1, timeout_s=5)
        await eventually(lambda: stream.connected)
        assert (await stream.push("a", b"x", 1, timeout_s=5)).result.accepted.samples == 1


@pytest.mark.parametrize("tenant", ["", "..", "a/b"])
async def test_a_tenant_that_is_none_reaches_no_handler(tenant: str) -> None:
    async with serving() as served, pushing(served.endpoint) as stream:
        with pytest.raises(InvalidData, match="tenant"):
            await stream.push(tenant, b"x", 1, timeout_s=5)
        assert served.pushes.seen == []


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (PushLimits(inflight_max=3), r"3 pushes to .* wait for answers \(limit 3\)"),
        (PushLimits(inflight_bytes_max=4_000), r"more are too many \(limit 4000\)"),
    ],
)
async def test_more_than_may_be_on_its_way_is_refused_at_once(limits: PushLimits, text: str) -> None:
    gate = Gate()
    async with serving(pushes=Pushes(answer=gate)) as served, pushing(served.endpoint, limits) as stream:
        open = [asyncio.ensure_future(stream.push("a", b"x" * 1_000, 1, timeout_s=20)) for _ in range(3)]
        await eventually(lambda: len(served.pushes.seen) == 3)
        with pytest.raises(Undelivered, match=text) as full:
            await stream.push("a", b"x" * 1_000, 1, timeout_s=20)
        assert full.value.reason is Reason.FULL
        gate.opened.set()
        await asyncio.gather(*open)
        await stream.push("a", b"x" * 1_000, 1, timeout_s=20)


async def test_an_ingester_that_does_not_answer_in_time_holds_up_nothing() -> None:
    gate = Gate()
    async with serving(pushes=Pushes(answer=gate)) as served, pushing(served.endpoint) as stream:
        with pytest.raises(Undelivered, match=r"has not answered a push in 0\.1 s") as silent:
            await stream.push("a", b"slow", 1, timeout_s=0.1)
        assert silent.value.reason is Reason.SILENT
        assert (stream.inflight, stream.inflight_bytes) == (0, 0)
        gate.opened.set()
        await stream.push("a", b"next", 1, timeout_s=5)  # The late answer to the first one is nobody's.


async def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    gate = Gate()
    async with serving(pushes=Pushes(answer=gate)) as served, pushing(served.endpoint) as stream:
        push = asyncio.ensure_future(stream.push("a", b"x", 1, timeout_s=20))
        await eventually(lambda: served.pushes.seen)
        push.cancel()
        with pytest.raises(asyncio.CancelledError):
            await push
        assert (stream.inflight, stream.inflight_bytes) == (0, 0)
        gate.opened.set()
        await stream.push("a", b"y", 1, timeout_s=5)


async def test_a_stream_that_breaks_fails_what_is_on_its_way_and_comes_back() -> None:
    gate = Gate()
    async with serving(pushes=Pushes(answer=gate)) as served:
        with CutProxy(served.server.port) as proxy:
            async with pushing(f"127.0.0.1:{proxy.port}") as stream:
                open = [asyncio.ensure_future(stream.push("a", b"x", 1, timeout_s=60)) for _ in range(5)]
                await eventually(lambda: len(served.pushes.seen) == 5)
                proxy.cut()
                for push in open:
                    with pytest.raises(Undelivered, match="a push was cut off") as cut:
                        await push
                    assert cut.value.reason is Reason.CUT
                with pytest.raises(Undelivered, match="has no stream for pushes") as down:
                    await stream.push("a", b"x", 1, timeout_s=60)
                assert down.value.reason is Reason.DOWN
                assert stream.down
                proxy.join()
                gate.opened.set()
                await eventually(lambda: stream.connected)
                await stream.push("a", b"again", 1, timeout_s=10)
                assert (stream.opened, stream.down) == (2, "")
                assert (stream.inflight, stream.inflight_bytes) == (0, 0)


async def test_pushes_get_unavailable_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with pushing(f"127.0.0.1:{port}") as stream:
        with pytest.raises(Unavailable, match="cut off"):
            await stream.push("a", b"x", 1, timeout_s=20)
        with pytest.raises(Unavailable, match="has no stream for pushes"):
            await stream.push("a", b"x", 1, timeout_s=20)


async def test_what_nobody_waits_for_any_more_is_neither_kept_nor_sent() -> None:
    async with serving() as served, channel_to(served.endpoint) as channel:
        stream = PushStream(channel, IDENTITY)
        given_up = asyncio.ensure_future(stream.push("a", bytes(1 << 20), 1, timeout_s=20))
        kept = asyncio.ensure_future(stream.push("a", b"kept", 1, timeout_s=20))
        await asyncio.sleep(0)
        assert stream.inflight == 2
        given_up.cancel()
        await asyncio.sleep(0)
        assert (stream.inflight, stream.inflight_bytes) == (1, 4 + 256)
        async with running(stream.run()):
            await kept
        assert [batch for _, batch, _ in served.pushes.seen] == [b"kept"]


async def test_a_process_that_accepts_and_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        async with pushing(f"127.0.0.1:{frozen.getsockname()[1]}") as stream:
            with pytest.raises(Unavailable, match="cut off"):
                await stream.push("a", b"x", 1, timeout_s=20)


async def test_a_stream_on_which_nobody_speaks_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: Intake, messages: Any, context: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(Intake, "serve", silent)
    async with serving() as served, pushing(served.endpoint, PushLimits(open_timeout_s=0.2)) as stream:
        with pytest.raises(Unavailable, match="does not greet"):
            await stream.push("a", b"x", 1, timeout_s=20)


async def test_what_was_sent_is_answered_when_the_server_closes() -> None:
    gate = Gate()
    config = ServerConfig(listen="127.0.0.1:0", drain_s=10)
    serve = serving(pushes=Pushes(answer=gate), config=config)
    async with serve as served, pushing(served.endpoint) as stream:
        push = asyncio.ensure_future(stream.push("a", b"x", 1, timeout_s=20))
        await eventually(lambda: served.pushes.seen)
        stopping = asyncio.ensure_future(served.server.stop())
        await asyncio.sleep(0.2)
        with pytest.raises(Unavailable, match="closes its streams"):
            await stream.push("a", b"y", 1, timeout_s=20)
        gate.opened.set()
        assert (await push).result.accepted.samples == 1
        async with asyncio.timeout(5):  # Long before `drain_s`: nobody is waited for in vain.
            await stopping


async def test_every_push_ends_when_the_stream_is_closed() -> None:
    async with serving(pushes=Pushes(answer=Gate())) as served:
        async with pushing(served.endpoint) as stream:
            push = asyncio.ensure_future(stream.push("a", b"x", 1, timeout_s=20))
            await eventually(lambda: served.pushes.seen)
        with pytest.raises(Unavailable, match="the stream is closed"):
            await push
        with pytest.raises(Unavailable, match="the stream is closed"):
            await stream.push("a", b"x", 1, timeout_s=20)


@pytest.mark.parametrize(
    ("meant", "text"),
    [
        (Identity("other", "ingester-0"), "this is cluster 'test', the call is meant for 'other'"),
        (Identity("test", "ingester-1"), "this is instance 'ingester-0', the call is meant for 'ingester-1'"),
    ],
)
async def test_a_stream_to_another_process_than_meant_is_refused(meant: Identity, text: str) -> None:
    async with serving() as served, pushing(served.endpoint, meant=meant) as stream:
        with pytest.raises(Unavailable, match=text):
            await stream.push("a", b"x", 1, timeout_s=20)
        assert served.pushes.seen == []


async def test_a_server_reads_no_more_than_it_may_work_on() -> None:
    gate = Gate()
    config = ServerConfig(listen="127.0.0.1:0", drain_s=0.2, push_bytes_max=2_500)
    serve = serving(pushes=Pushes(answer=gate), config=config)
    async with serve as served, pushing(served.endpoint) as stream:
        open = [asyncio.ensure_future(stream.push("a", b"x" * 1_000, 1, timeout_s=20)) for _ in range(9)]
        await eventually(lambda: len(served.pushes.seen) == 2)
        await asyncio.sleep(0.2)
        assert len(served.pushes.seen) == 2
        gate.opened.set()
        await asyncio.gather(*open)


async def test_a_message_that_is_larger_than_allowed_harms_nobody_else() -> None:
    requests = pb.PushRequests(requests=[pb.PushRequest(id=1, tenant="a", batch=bytes(65 << 20))])
    careless = [("grpc.max_send_message_length", -1)]
    async with serving() as served, pushing(served.endpoint) as stream:
        async with grpc.aio.insecure_channel(served.endpoint, careless) as channel:
            call = channel.stream_stream(PUSH.path)(metadata=IDENTITY.metadata())
            await call.read()
            with suppress(grpc.aio.AioRpcError):
                await call.write(requests.SerializeToString())
            with pytest.raises(grpc.aio.AioRpcError, match="larger than max"):
                await call.read()
        await stream.push("a", b"x", 1, timeout_s=5)
        assert [batch for _, batch, _ in served.pushes.seen] == [b"x"]
