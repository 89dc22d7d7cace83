"""`/ring` shows what a process believes, what is wrong, and does what an operator says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rondel.cluster.node import Node
from rondel.cluster.overview import warnings
from rondel.cluster.page import routes
from rondel.kv.memory import MemoryStore
from rondel.kv.store import Put
from rondel.ring.instance import State, encode
from rondel.ring.ring import Ring
from rondel.runtime.edge import Edge
from rondel.runtime.router import Router
from tests.support.asgi import Answer, call
from tests.unit.rondel.cluster.test_ha import virtually
from tests.unit.rondel.cluster.test_node import node_of
from tests.unit.rondel.cluster.test_ringview import ENTRIES, store_of

Ask = Callable[..., Awaitable[Answer]]


def served(
    tmp_path: Path, work: Callable[[MemoryStore, Node, Ask], Awaitable[None]], waits_for: str = ""
) -> None:
    async def whole() -> None:
        store = store_of(*ENTRIES)
        node = node_of(store, tmp_path, "ingester" if waits_for else "querier", "<q>")
        await node.start()
        await asyncio.sleep(1)
        app = Edge(Router(routes(node, lambda: 7, lambda: waits_for)), CollectorRegistry())

        async def ask(path: str, **how: Any) -> Answer:
            return await call(app, path, **how)

        try:
            await work(store, node, ask)
        finally:
            await node.stop()

    virtually(whole())


async def shown(ask: Ask) -> dict[str, Any]:
    answer = await ask("/ring", method="GET", headers={"Accept": "application/json"})
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_the_ring_as_json(tmp_path: Path) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        await node.session.put(node.keys.holder("a0"), b"a0:1")
        seen = await shown(ask)
        assert [(one["id"], one["is_alive"]) for one in seen["instances"]] == [
            ("a0", True),
            ("b0", False),
            ("c0", False),
        ]
        assert seen["readers"] == {"querier/<q>": 3}
        assert (seen["epoch"], seen["store"], seen["lacking"]) == (3, "", [])
        assert sum(one["ownership"] for one in seen["instances"]) == pytest.approx(3)
        assert seen["warnings"] == [
            "Zone b: none of its ingesters is alive (b0).",
            "Zone c: none of its ingesters is alive (c0).",
            "Series without a quorum for writes: 100.0% of all.",
            "Series without a quorum for reads: 100.0% of all; not alive, or lacking what they acknowledged: "
            "b0, c0.",
        ]

    served(tmp_path, work)


def test_the_ring_for_people_is_escaped_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        evil = replace(ENTRIES[0], address="<script>alert(1)</script>", epoch=9, settled_ms=1 << 62)
        await store.commit([], [Put(node.keys.ingester(evil.id), encode(evil))])
        await asyncio.sleep(1)
        answer = await ask("/ring", method="GET")
        assert answer.headers["content-type"].startswith("text/html")
        assert "<script" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "&lt;q&gt;" in answer.text
        assert "9999-12-31" in answer.text
        assert "src=" not in answer.text
        assert "href=" not in answer.text

    served(tmp_path, work)


def test_an_ingester_says_what_it_waits_for(tmp_path: Path) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        assert (await shown(ask))["waits_for"] == "its turn"
        assert "This ingester waits: its turn." in (await ask("/ring", method="GET")).text

    served(tmp_path, work, waits_for="its turn")


def test_while_the_store_is_away_the_last_known_ring_is_shown(tmp_path: Path) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        store.is_down = True
        seen = await shown(ask)
        assert [one["is_alive"] for one in seen["instances"]] == [None, None, None]
        assert "shown is what was known last" in seen["store"]
        assert (await ask("/ring", method="GET")).status == 200

    served(tmp_path, work)


def test_a_wiped_store_is_believed_only_by_somebody_who_accepts_the_loss(tmp_path: Path) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        store.wipe()
        await asyncio.sleep(2)
        assert (await shown(ask))["lacking"] == ["a0", "b0", "c0"]
        refused = await ask("/ring/believe")
        assert refused.status == 409
        assert "a0, b0, c0" in refused.text
        told = await ask("/ring/believe", query="accept_loss=true")
        assert json.loads(told.body)["data"] == {"forgotten": ["a0", "b0", "c0"]}
        assert node.view.ring.instances == ()
        assert (await shown(ask))["warnings"] == ["The ring has no ingester."]

    served(tmp_path, work)


def test_forgetting_takes_all_steps_and_says_what_it_came_to(tmp_path: Path) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        for id in ("b0", "c0"):
            await node.session.put(node.keys.holder(id), b"x")
            await node.session.put(node.keys.reader(id), b"99")
        answer = await ask("/ring/forget", query="id=a0")
        assert (answer.status, json.loads(answer.body)["data"]) == (
            200,
            {"id": "a0", "state": "LEFT", "waits_for": ""},
        )

    served(tmp_path, work)


@pytest.mark.parametrize(
    ("query", "headers", "status", "says"),
    [
        ("", {}, 400, "id: name the ingester"),
        ("id=z", {}, 404, "no ingester 'z'"),
        ("id=a0&accept_loss=yes", {}, 400, "want true or false"),
        ("id=a0", {"Origin": "http://evil", "Host": "here:9009"}, 409, "http://evil"),
    ],
)
def test_a_word_that_cannot_be_meant_changes_nothing(
    query: str, headers: dict[str, str], status: int, says: str, tmp_path: Path
) -> None:
    async def work(store: MemoryStore, node: Node, ask: Ask) -> None:
        before = await store.snapshot(node.keys.ingesters)
        answer = await ask("/ring/forget", query=query, headers=headers)
        assert (answer.status, says in answer.text) == (status, True)
        assert (await store.snapshot(node.keys.ingesters)).items == before.items

    served(tmp_path, work)


def test_warnings_of_a_ring_that_is_whole_or_small() -> None:
    ring = Ring(tuple(replace(one, state=State.ACTIVE) for one in ENTRIES))
    alive = frozenset(one.id for one in ENTRIES)
    assert list(warnings(ring, alive)) == []
    assert list(warnings(ring, alive - {"a0"})) == ["Zone a: none of its ingesters is alive (a0)."]
    two = Ring(ENTRIES[:2])
    assert "2 ingesters take writes, fewer than the replication factor, 3." in list(warnings(two, alive))
