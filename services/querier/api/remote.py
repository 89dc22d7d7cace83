"""`/read`: remote read, with which another Prometheus looks into our samples.

The client names the kinds of answers that it takes, and gets the first that is known here: chunks in a
stream, of which one batch of series is in memory at a time, or one message with all samples.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

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
from services.querier.querylog import Entry
from services.querier.reading import batches, in_order

__all__ = ["routes"]

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
        entry, span_ms = _entry(tenant, asked)
        if kind == STREAMED_XOR_CHUNKS:
            # How long a stream takes is up to its reader too.
            run = partial(
                context.ask,
                request,
                entry,
                control,
                timeout_s=timeout_s,
                span_ms=span_ms,
                counts_timeouts=False,
                repeats=False,  # Parts of the answer have left.
            )
            return Streamed(run, partial(self._stream, asked, entry, control), media_type=_STREAM)
        work = partial(self._samples, asked, entry, control)
        answer = await context.ask(request, entry, control, work, timeout_s=timeout_s, span_ms=span_ms)
        return Response(answer, media_type=_MESSAGE, headers={"content-encoding": "snappy"})

    def _stream(self, asked: ReadRequest, entry: Entry, control: Control, emit: Emit) -> None:
        for index, query in enumerate(asked.queries):
            for frame in batches(in_order(self._select(entry.tenant, query, control)), control):
                part = remote_read.chunked(frame, index, _FRAME_BYTES_MAX)
                emit(part)
                entry.size_bytes += len(part)

    def _samples(self, asked: ReadRequest, entry: Entry, control: Control) -> bytes:
        """All in memory, which the query's budget bounds: parts are held to the end."""
        tenant = entry.tenant
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
        body = remote_read.response(results)
        entry.size_bytes = len(body)
        return body

    def _select(self, tenant: str, query: ReadQuery, control: Control) -> Selection:
        control.check()
        control.check_range(query.maxt_ms - query.mint_ms)
        request = Select(tenant, Matchers(query.matchers), query.mint_ms, query.maxt_ms, watch=control)
        selection = self._context.storage.select(request)
        control.find(len(selection.labels))
        return selection


def _entry(tenant: str, asked: ReadRequest) -> tuple[Entry, int]:
    """What the query log and the guard know of it, and the widest span of its queries."""
    matchers = (f"{name}{op}{value}" for one in asked.queries for name, op, value in one.matchers)
    start_ms = min((one.mint_ms for one in asked.queries), default=0)
    end_ms = max((one.maxt_ms for one in asked.queries), default=0)
    span_ms = max((one.maxt_ms - one.mint_ms for one in asked.queries), default=0)
    return Entry("read", tenant, " ".join(["read", *matchers]), start_ms, end_ms), span_ms


def _negotiated(accepted: list[int]) -> int:
    for kind in accepted or [SAMPLES]:
        if kind in (SAMPLES, STREAMED_XOR_CHUNKS):
            return kind
    raise InvalidData(
        f"server does not support any of the requested response types: {accepted}; "
        f"supported: {[SAMPLES, STREAMED_XOR_CHUNKS]}"
    )
