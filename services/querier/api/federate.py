"""`/federate`: the latest samples of selected series, for another Prometheus to scrape.

What a scrape gets, and how names are spelled in it, is negotiated by the Accept header as Prometheus does:
text or, for native histograms, delimited protobuf; `escaping=` for readers that do not know all of UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData
from rondel.model import exposition
from rondel.model.exposition import ESCAPINGS, Latest
from rondel.model.merge import merge_selections
from rondel.promql.control import Control
from rondel.runtime.router import Route, route
from rondel.storage import Select
from services.querier.api import params as form
from services.querier.api.accept import ranges
from services.querier.api.context import Context
from services.querier.api.params import Params
from services.querier.api.selectors import matcher_sets
from services.querier.querylog import Entry
from services.querier.reading import batches

__all__ = ["negotiated", "routes"]

_PROTOBUF: Final = "application/vnd.google.protobuf"
_MESSAGE: Final = "io.prometheus.client.MetricFamily"
_TEXT_VERSIONS: Final = ("0.0.4", "1.0.0")


@dataclass(frozen=True, slots=True)
class Format:
    """How the answer is written."""

    media_type: str
    escaping: str
    encode: Callable[[Latest, str], bytes]

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; escaping={self.escaping}"


def routes(context: Context) -> list[Route]:
    return [route("/federate", _Federate(context).handle, ["GET"])]


class _Federate:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant, now_ms = context.tenant(request), context.clock.now_ms()
        if not asked.selectors():
            raise InvalidData("no match[] parameter provided")
        shape = negotiated(", ".join(request.headers.getlist("accept")))
        control = context.engine.control(tenant)

        options = context.engine.options_of(tenant)
        text = " ".join([request.url.path, *asked.selectors()])
        entry = Entry("federate", tenant, text, now_ms - options.lookback_ms, now_ms)

        def work() -> bytes:
            body = shape.encode(self._latest(tenant, asked, now_ms, control), shape.escaping)
            entry.size_bytes = len(body)
            return body

        body = await context.ask(request, entry, control, work, timeout_s=options.timeout_s)
        return Response(body, headers={"content-type": shape.content_type})

    def _latest(self, tenant: str, asked: Params, now_ms: int, control: Control) -> Latest:
        mint_ms = now_ms - self._context.engine.options_of(tenant).lookback_ms
        storage = self._context.storage
        found = []
        for matchers in matcher_sets(asked, control):
            control.check()
            found.append(storage.select(Select(tenant, matchers, mint_ms, now_ms, watch=control)))
        selection = merge_selections(found)
        control.find(len(selection.labels))
        return Latest.concat([exposition.latest(frame) for frame in batches(selection, control)])


def negotiated(accept: str) -> Format:
    """The first alternative that is known here, else text. The last `escaping=` up to it counts."""
    escaping = "underscores"
    for one in ranges(accept):
        wanted = one.params.get("escaping", "")
        escaping = wanted if wanted in ESCAPINGS else escaping
        version = one.params.get("version", "")
        if one.type == _PROTOBUF and one.params.get("proto") == _MESSAGE:
            if one.params.get("encoding") == "delimited":
                media_type = f"{_PROTOBUF}; proto={_MESSAGE}; encoding=delimited"
                return Format(media_type, escaping, exposition.protobuf)
        elif one.type == "text/plain" and version in ("", *_TEXT_VERSIONS):
            return _text(version or _TEXT_VERSIONS[0], escaping)
    return _text(_TEXT_VERSIONS[0], escaping)


def _text(version: str, escaping: str) -> Format:
    return Format(f"text/plain; version={version}; charset=utf-8", escaping, exposition.text)
