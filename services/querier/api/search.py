"""`/search/...`: metric names, label names and label values for who types a part of one.

The answer is lines of JSON: batches of results, and a last line that says whether there were more. As in
Prometheus it is there only with the feature flag `search-api`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData
from rondel.model.labels import METRIC_NAME, Matchers
from rondel.promql.control import Control
from rondel.promql.options import SEARCH_API
from rondel.runtime import envelope
from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import Context
from services.querier.api.params import Params, invalid
from services.querier.api.selectors import each_selector, matcher_sets
from services.querier.api.stream import Emit, Streamed
from services.querier.querylog import Entry
from services.querier.search import Fuzzy, Scorer, scorer

__all__ = ["routes"]

_Find: TypeAlias = Callable[[list[Matchers]], list[str]]
_Describe: TypeAlias = Callable[[str], dict[str, str]]
_Found: TypeAlias = list[tuple[float, str]]
_HOUR_MS: Final = 3_600_000
_TERMS_MAX: Final = 32
_DEFAULT: Final = 100
"""results of an answer, and of a batch"""
_RESULTS_MAX: Final = 10_000
_CHECK_EVERY: Final = 256
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_MEDIA_TYPE: Final = "application/x-ndjson; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    score: Scorer
    by_score: bool
    descending: bool
    with_score: bool
    start_ms: int
    end_ms: int
    limit: int
    batch: int


def _no_metadata(name: str) -> dict[str, str]:
    return {}


def routes(context: Context) -> list[Route]:
    found = _Search(context)
    return [
        route("/search/metric_names", found.metric_names),
        route("/search/label_names", found.label_names),
        route("/search/label_values", found.label_values),
    ]


class _Search:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def metric_names(self, request: Request) -> Response:
        params, tenant = await form.read(request), self._context.tenant(request)
        if not self._is_on(tenant):
            return _disabled()
        described = _boolean(params, "include_metadata", default=False)
        describe = partial(self._metadata, tenant) if described else _no_metadata
        return self._found(request, tenant, params, METRIC_NAME, describe)

    async def label_names(self, request: Request) -> Response:
        params, tenant = await form.read(request), self._context.tenant(request)
        return self._found(request, tenant, params, None) if self._is_on(tenant) else _disabled()

    async def label_values(self, request: Request) -> Response:
        params, tenant = await form.read(request), self._context.tenant(request)
        if not self._is_on(tenant):
            return _disabled()
        if not params.get("label"):
            raise InvalidData('missing required parameter "label"')
        return self._found(request, tenant, params, params.get("label"))

    def _is_on(self, tenant: str) -> bool:
        return SEARCH_API in self._context.engine.options_of(tenant).features

    def _metadata(self, tenant: str, metric: str) -> dict[str, str]:
        entries = self._context.metadata.metadata(tenant, metric)
        if not entries:
            return {}
        first = entries[0]
        shown = {"type": first.type, "help": first.help, "unit": first.unit}
        return {name: text for name, text in shown.items() if text}

    def _found(
        self,
        request: Request,
        tenant: str,
        params: Params,
        label: str | None,
        describe: _Describe = _no_metadata,
    ) -> Response:
        """Values of the label, or names of labels where it is None."""
        context, asked = self._context, _asked(params, self._context.clock.now_ms())
        options = context.engine.options_of(tenant)
        control = Control(timeout_s=options.timeout_s, limits=options.limits)
        text = " ".join([request.url.path, *params.all("search[]"), *params.selectors()])
        entry = Entry("search", tenant, text, asked.start_ms, asked.end_ms)
        storage, start_ms, end_ms = context.storage, asked.start_ms, asked.end_ms
        find: _Find
        if label is None:
            find = partial(storage.label_names, tenant, mint_ms=start_ms, maxt_ms=end_ms, watch=control)
        else:
            find = partial(
                storage.label_values, tenant, label, mint_ms=start_ms, maxt_ms=end_ms, watch=control
            )

        def work(emit: Emit) -> None:
            results = _results(asked, each_selector(control, find, matcher_sets(params, control)), control)
            for at in range(0, max(1, min(asked.limit, len(results))), asked.batch):
                batch = results[at : min(at + asked.batch, asked.limit)]
                emit(_line({"results": [_shown(asked, score, name, describe) for score, name in batch]}))
            emit(_line({"status": "success", "has_more": len(results) > asked.limit}))

        run = partial(
            context.ask, request, entry, control, timeout_s=options.timeout_s, counts_timeouts=False
        )
        return Streamed(run, work, media_type=_MEDIA_TYPE)


def _results(asked: _Asked, parts: list[list[str]], control: Control) -> _Found:
    """What fits, in order."""
    names = parts[0] if len(parts) == 1 else sorted(set().union(*parts))
    found: _Found = []
    for number, name in enumerate(names):
        if number % _CHECK_EVERY == 0:
            control.check()
        score = asked.score(name)
        if score is not None:
            found.append((score, name))
    if asked.by_score:
        found.sort(key=lambda one: (-one[0], one[1]))
    elif asked.descending:
        found.reverse()
    return found


def _shown(asked: _Asked, score: float, name: str, describe: _Describe) -> dict[str, Any]:
    scored = {"score": score} if asked.with_score else {}
    return {"name": name, **scored, **describe(name)}


def _line(values: dict[str, Any]) -> bytes:
    return msgspec.json.encode(values) + b"\n"


def _disabled() -> Response:
    # Prometheus' status for this kind of error, as for its admin API.
    body = envelope.error("unavailable", "search API disabled")
    return Response(body, 500, media_type=envelope.JSON)


def _asked(params: Params, now_ms: int) -> _Asked:
    terms, by, direction = params.all("search[]"), params.get("sort_by"), params.get("sort_dir")
    if len(terms) > _TERMS_MAX:
        raise InvalidData(f"too many search[] terms (limit: {_TERMS_MAX}, actual: {len(terms)})")
    _check_order(by, direction, bool(terms))
    start_ms, end_ms = params.time_ms("start", now_ms - _HOUR_MS), params.time_ms("end", now_ms)
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    limit = _count(params, "limit")
    if limit > _RESULTS_MAX:
        raise InvalidData(f"invalid limit {limit}: must be at most {_RESULTS_MAX}")
    case_sensitive = _boolean(params, "case_sensitive", default=True)
    return _Asked(
        score=scorer(terms, _fuzzy(params), _threshold(params), case_sensitive=case_sensitive),
        by_score=by == "score",
        descending=direction == "dsc",
        with_score=_boolean(params, "include_score", default=False),
        start_ms=start_ms,
        end_ms=end_ms,
        limit=limit,
        batch=_count(params, "batch_size"),
    )


def _check_order(by: str, direction: str, searched: bool) -> None:
    if by not in ("", "alpha", "score"):
        raise InvalidData(f'invalid sort_by "{by}": must be "alpha" or "score"')
    if direction and not by:
        raise InvalidData("sort_dir is only valid when sort_by is set")
    if direction and by == "score":
        raise InvalidData("sort_dir is not supported for sort_by=score")
    if direction not in ("", "asc", "dsc"):
        raise InvalidData(f'invalid sort_dir "{direction}": must be "asc" or "dsc"')
    if by == "score" and not searched:
        raise InvalidData("sort_by=score requires search[] to be set")


def _fuzzy(params: Params) -> Fuzzy:
    text = params.get("fuzz_alg")
    if text and text not in list(Fuzzy):
        raise InvalidData(f'unsupported fuzz_alg "{text}": must be one of {" ".join(Fuzzy)}')
    return Fuzzy(text) if text else Fuzzy.SUBSEQUENCE


def _threshold(params: Params) -> float:
    text = params.get("fuzz_threshold")
    if not text:
        return 0.0
    value = params.integer("fuzz_threshold")
    if value is None or not 0 <= value <= 100:
        raise InvalidData(f'invalid fuzz_threshold "{text}": must be 0-100')
    return value / 100


def _count(params: Params, name: str) -> int:
    text = params.get(name)
    if not text:
        return _DEFAULT
    value = params.integer(name)
    if value is None or value < 0:
        raise InvalidData(f'invalid {name} "{text}": must be non-negative integer')
    return value or _DEFAULT


def _boolean(params: Params, name: str, *, default: bool) -> bool:
    text = params.get(name)
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text:
        raise InvalidData(f'invalid {name} "{text}": must be boolean')
    return default
