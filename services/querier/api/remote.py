"""`/read`: remote read, with which another Prometheus looks into our samples.

The client names the kinds of answers that it takes, and gets the first that is known here: chunks in a
stream, of which one batch of series is in memory at a time, or one message with all samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData
from rondel.model import remote_read
from rondel.model.labels import Matchers
from rondel.model.remote_read import SAMPLES, STREAMED_XOR_CHUNKS, ReadQuery, ReadRequest
from rondel.promql.control import Control
from rondel.runtime.router import Route, route
from rondel.storage import Select, Selection
from services.querier.api import params as form
from services.querier.api.context import Context
from services.querier.api.stream import Emit, Streamed
from services.querier.reading import batches, in_order

__all__ = ["routes"]

_T = TypeVar("_T")
_BODY_BYTES_MAX: Final = 32 << 20
_FRAME_BYTES_MAX: Final = 1 << 20
"""As Prometheus cuts its frames; a single chunk may be larger."""
_STREAM: Final = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
_MESSAGE: Final = "application/x-protobuf"


def routes(context: Context) -> list[Route]:
    read = _Read(context)
    return [route("/read", read.handle, ["POST"])]


class _Read:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, request: Request) -> Response:
        context, tenant = self._context, self._context.tenant(request)
        body = await form.body(request, _BODY_BYTES_MAX)
        asked = await asyncio.to_thread(ReadRequest.decode, body, _BODY_BYTES_MAX)
        kind = _negotiated(asked.accepted)
        options = context.engine.options_of(tenant)
        timeout_s = options.timeout_s
        # Samples are counted over the whole answer below; what is in memory at once is bounded in bytes.
        control = Control(
            timeout_s=timeout_s, memory_bytes_max=options.memory_bytes_max, limits=options.limits
        )
        if kind == STREAMED_XOR_CHUNKS:
            return Streamed(
                context.executor,
                "read",
                control,
                lambda emit: self._remembered(
                    tenant, asked, lambda: self._stream(tenant, asked, control, emit)
                )(),
                timeout_s=timeout_s,
                media_type=_STREAM,
            )
        answer = await context.executor.run(
            "read",
            control,
            request.receive,
            self._remembered(tenant, asked, lambda: self._samples(tenant, asked, control)),
            timeout_s=timeout_s,
        )
        return Response(answer, media_type=_MESSAGE, headers={"content-encoding": "snappy"})

    def _remembered(self, tenant: str, asked: ReadRequest, work: Callable[[], _T]) -> Callable[[], _T]:
        text = " ".join(
            ["read", *(f"{name}{op}{value}" for one in asked.queries for name, op, value in one.matchers)]
        )
        span_ms = max((one.maxt_ms - one.mint_ms for one in asked.queries), default=0)
        return self._context.remembered(tenant, text, span_ms, work)

    def _stream(self, tenant: str, asked: ReadRequest, control: Control, emit: Emit) -> None:
        for index, query in enumerate(asked.queries):
            for frame in batches(in_order(self._select(tenant, query, control)), control):
                emit(remote_read.chunked(frame, index, _FRAME_BYTES_MAX))

    def _samples(self, tenant: str, asked: ReadRequest, control: Control) -> bytes:
        """All in memory, which the query's budget bounds: parts are held to the end."""
        results, samples_max = [], self._context.engine.options_of(tenant).samples_max
        samples = 0
        for query in asked.queries:
            parts = []
            for frame in batches(in_order(self._select(tenant, query, control)), control):
                samples += frame.samples
                if samples > samples_max:
                    raise InvalidData(f"exceeded sample limit ({samples_max})")
                part = remote_read.series(frame)
                control.hold(0, 2 * len(part))  # once by itself, once in the message
                parts.append(part)
            results.append(parts)
        return remote_read.response(results)

    def _select(self, tenant: str, query: ReadQuery, control: Control) -> Selection:
        control.check()
        control.check_range(query.maxt_ms - query.mint_ms)
        request = Select(tenant, Matchers(query.matchers), query.mint_ms, query.maxt_ms, watch=control)
        selection = self._context.storage.select(request)
        control.find(len(selection.labels))
        return selection


def _negotiated(accepted: list[int]) -> int:
    for kind in accepted or [SAMPLES]:
        if kind in (SAMPLES, STREAMED_XOR_CHUNKS):
            return kind
    raise InvalidData(
        f"server does not support any of the requested response types: {accepted}; "
        f"supported: {[SAMPLES, STREAMED_XOR_CHUNKS]}"
    )
