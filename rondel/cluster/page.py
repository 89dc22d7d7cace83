"""`/ring`: the ring as this process sees it, and the two things that only an operator can know.

`POST /ring/forget?id=ID`: this ingester is gone for good, with its disk. `POST /ring/believe`: the store is
right where it lacks what was seen before; each process is told for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from html import escape
from string import Template
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rondel.cluster.forget import forget
from rondel.cluster.node import Node
from rondel.cluster.overview import Overview, Row, look
from rondel.errors import Conflict, InvalidData
from rondel.ring.instance import State
from rondel.runtime import envelope, logs
from rondel.runtime.router import Route, route

__all__ = ["accepts_loss", "routes", "same_origin"]

_log = logs.get(__name__)
_encode = msgspec.json.Encoder().encode


def routes(node: Node, now_ms: Callable[[], int], waits_for: Callable[[], str] = lambda: "") -> list[Route]:
    """Of a process of any role; `waits_for` is what an ingester's next step waits for."""
    ring = _Ring(node, now_ms, waits_for)
    return [
        route("/ring", ring.show, ["GET"]),
        route("/ring/forget", ring.forget, ["POST"]),
        route("/ring/believe", ring.believe, ["POST"]),
    ]


class _Ring:
    def __init__(self, node: Node, now_ms: Callable[[], int], waits_for: Callable[[], str]) -> None:
        self._node = node
        self._now_ms = now_ms
        self._waits_for = waits_for

    async def show(self, request: Request) -> Response:
        seen = await look(self._node, self._waits_for())
        if "application/json" in request.headers.get("accept", ""):
            return Response(_encode(seen), media_type=envelope.JSON)
        return HTMLResponse(_html(seen), headers={"content-security-policy": _POLICY})

    async def forget(self, request: Request) -> Response:
        same_origin(request)
        id = request.query_params.get("id", "")
        if not id:
            raise InvalidData("id: name the ingester that is gone, for example /ring/forget?id=ingester-a-0")
        done = await forget(self._node, id, self._now_ms, accept_loss=accepts_loss(request))
        return _answer(done, 200 if done.state is State.LEFT else 202)

    async def believe(self, request: Request) -> Response:
        same_origin(request)
        view = self._node.view
        kept = [one.id for one in view.lacking if one.state is not State.LEFT]
        if kept and not accepts_loss(request):
            raise Conflict(
                f"the store lacks {', '.join(kept)}: this process would forget them, and with them what only "
                "they have. If they are alive they put their entries back; accept_loss=true gives them up"
            )
        view.believe()
        _log.warning("an operator has the store believed", forgotten=kept)
        return _answer({"forgotten": kept}, 200)


def _answer(value: object, status: int) -> Response:
    return Response(envelope.success(_encode(value)), status, media_type=envelope.JSON)


def accepts_loss(request: Request) -> bool:
    """Whether an operator says so with `accept_loss=true`. Raises InvalidData."""
    text = request.query_params.get("accept_loss", "false")
    if text not in ("true", "false"):
        raise InvalidData(f"accept_loss: want true or false, not {text[:40]!r}")
    return text == "true"


def same_origin(request: Request) -> None:
    """A page of somebody else's must not speak for the operator whose browser shows it."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host", ""):
        raise Conflict(f"this is not done for a page of {origin[:200]}")


# --- for people ---------------------------------------------------------------------------------------

_YEAR_9999_S: Final = 253_402_300_799

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Ring of $cluster</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid #8884; }
td.number, th.number { text-align: right; }
.bad { color: #c22; font-weight: 600; }
.warnings { border-left: 4px solid #c22; padding: 0.1rem 1rem; }
code { background: #8882; padding: 0 0.25rem; }
</style></head>
<body>
<h1>Ring of $cluster</h1>
<p>As $role <b>$id</b> sees it: epoch $epoch, fence $fence, revision $revision of the store, replication
factor $factor. The same for programs: <code>Accept: application/json</code>.</p>
$warnings
<h2>Ingesters</h2>
<table><thead><tr><th>id</th><th>zone</th><th>address</th><th class="number">number</th><th>state</th>
<th>process</th><th class="number">owns</th><th class="number">tokens</th><th class="number">epoch</th>
<th class="number">applied</th><th>since</th><th>complete</th></tr></thead>
<tbody>
$rows
</tbody></table>
<h2>Readers</h2>
<p>Every living process, and the epoch that it has applied.</p>
<table><thead><tr><th>process</th><th class="number">epoch</th></tr></thead>
<tbody>
$readers
</tbody></table>
<p>An ingester that is gone for good, with its disk: <code>POST /ring/forget?id=ID</code>. See the page on
operations first: one that comes back with an empty disk repairs itself.</p>
</body></html>
""")


def _html(seen: Overview) -> str:
    return _PAGE.substitute(
        cluster=escape(seen.cluster),
        role=escape(seen.role),
        id=escape(seen.id),
        epoch=seen.epoch,
        fence=seen.fence,
        revision=seen.revision,
        factor=seen.replication_factor,
        warnings=_warnings(seen),
        rows="\n".join(_row(one) for one in (*seen.instances, *seen.gone)),
        readers="\n".join(_reader(id, epoch, seen.epoch) for id, epoch in seen.readers.items()),
    )


def _warnings(seen: Overview) -> str:
    texts = [*seen.warnings]
    if seen.store:
        texts.append(f"Store: {seen.store}.")
    if seen.lacking:
        texts.append(f"Entries that the store has lost: {', '.join(seen.lacking)}.")
    if seen.malformed:
        texts.append(f"Entries of the store that could not be read: {seen.malformed}.")
    if seen.waits_for:
        texts.append(f"This ingester waits: {seen.waits_for}.")
    texts += [f"Zone {zone}: {id} joins or leaves." for zone, id in seen.moving.items()]
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="warnings">{items}</ul>' if items else "<p>Nothing is wrong.</p>"


def _row(one: Row) -> str:
    alive = {True: "alive", False: "gone", None: "unknown"}[one.is_alive]
    is_bad = one.is_alive is False and one.state is not State.LEFT
    complete = "yes" if not one.behind_since_ms else "lacks what it acknowledged"
    return _cells(
        [
            (one.id, ""),
            (one.zone, ""),
            (one.address, ""),
            (str(one.ordinal), "number"),
            (one.state, "bad" if one.state.is_in_doubt else ""),
            (alive, "bad" if is_bad else ""),
            (f"{one.ownership:.1%}", "number"),
            (str(one.tokens), "number"),
            (str(one.epoch), "number"),
            ("" if one.applied is None else str(one.applied), "number"),
            (_time(one.since_ms), ""),
            (complete, "bad" if one.behind_since_ms else ""),
        ]
    )


def _reader(id: str, epoch: int, newest: int) -> str:
    return _cells([(id, ""), (str(epoch), "number bad" if epoch < newest else "number")])


def _cells(cells: Iterable[tuple[str, str]]) -> str:
    return f"<tr>{''.join(f'<td{_class(kind)}>{escape(text)}</td>' for text, kind in cells)}</tr>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _time(time_ms: int) -> str:
    seconds = min(time_ms // 1000, _YEAR_9999_S)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) if time_ms > 0 else ""
