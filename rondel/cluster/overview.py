"""The ring as one process sees it, for people and for programs: plain values, and what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rondel.cluster.forget import living, sound
from rondel.cluster.node import INGESTER, Node
from rondel.cluster.register import Page, Register
from rondel.errors import Unavailable
from rondel.kv.session import payload
from rondel.ring.instance import Instance, State
from rondel.ring.quorum import unanswered, write_quorum
from rondel.ring.ring import NOBODY, Ring

__all__ = ["Overview", "Row", "look", "warnings"]


@dataclass(frozen=True, slots=True)
class Row:
    """One ingester."""

    id: str
    zone: str
    address: str
    ordinal: int
    state: State
    is_alive: bool | None
    """whether a living process is it; None while the store does not say"""
    ownership: float
    """share of all hashes that it holds a replica of; all of them add up to the replication factor"""
    tokens: int
    epoch: int
    """of its last step"""
    applied: int | None
    """epoch that it has applied of the ring; None where it is not alive"""
    since_ms: int
    """since when its last step is settled; 0 while it joins first"""
    behind_since_ms: int
    """from when on it may lack what it acknowledged; 0 where it lacks nothing"""


@dataclass(frozen=True, slots=True)
class Overview:
    """What `/ring` shows."""

    cluster: str
    role: str
    id: str
    replication_factor: int
    epoch: int
    fence: int
    revision: int
    instances: list[Row]
    gone: list[Row]
    """those that have left, for two days"""
    readers: dict[str, int]
    """epoch that each living process has applied"""
    moving: dict[str, str]
    """whose turn it is to join or to leave, by zone"""
    store: str
    """what is wrong with the store; empty where nothing is"""
    lacking: list[str]
    """ids of entries that the store has lost"""
    malformed: int
    """entries of the store that cannot be read"""
    waits_for: str
    """of an ingester: why it does not take its next step"""
    warnings: list[str]


async def look(node: Node, waits_for: str) -> Overview:
    """Of what this process believes and, while the store answers, of who is alive."""
    register = Register(node.store, node.keys)
    try:
        page, trouble = await register.read(), node.view.suspicion
    except Unavailable as error:
        page, trouble = None, f"{error}; shown is what was known last"
    ring = node.view.ring
    alive = living(page, register, ring) if page else None
    applied = dict(page.applied) if page else {}
    ownership = ring.ownership()
    rows = [_row(one, alive, applied, ownership.get(one.id, 0.0)) for one in ring.entries]
    return Overview(
        cluster=node.config.name,
        role=node.role,
        id=node.id,
        replication_factor=ring.replication_factor,
        epoch=ring.epoch,
        fence=ring.fence,
        revision=ring.revision,
        instances=rows[: len(ring.instances)],
        gone=rows[len(ring.instances) :],
        readers=dict(sorted(applied.items())),
        moving=_moving(page, register, ring) if page else {},
        store=trouble,
        lacking=[one.id for one in node.view.lacking],
        malformed=node.view.malformed,
        waits_for=waits_for if node.role == INGESTER else "",
        warnings=list(warnings(ring, alive)) if alive is not None else [],
    )


def _row(one: Instance, alive: frozenset[str] | None, applied: dict[str, int], ownership: float) -> Row:
    return Row(
        id=one.id,
        zone=one.zone,
        address=one.address,
        ordinal=one.ordinal,
        state=one.state,
        is_alive=None if alive is None else one.id in alive,
        ownership=ownership,
        tokens=len(one.tokens()),
        epoch=one.epoch,
        applied=applied.get(one.id),
        since_ms=one.settled_ms,
        behind_since_ms=one.behind_since_ms,
    )


def _moving(page: Page, register: Register, ring: Ring) -> dict[str, str]:
    turns = {one.zone: page.items.get(register.keys.turn(one.zone)) for one in ring.instances}
    return {zone: payload(item.value).decode(errors="replace") for zone, item in turns.items() if item}


def warnings(ring: Ring, alive: frozenset[str]) -> Iterator[str]:
    """What keeps samples from being written, read or safe."""
    if not ring.instances:
        yield "The ring has no ingester."
        return
    written = [one for one in ring.instances if one.state.is_written]
    if len(written) < ring.replication_factor:
        yield (
            f"{len(written)} ingesters take writes, fewer than the replication factor, "
            f"{ring.replication_factor}."
        )
    by_zone: dict[str, list[Instance]] = defaultdict(list)
    for one in ring.instances:
        by_zone[one.zone].append(one)
    for zone, members in sorted(by_zone.items()):
        if not any(one.id in alive for one in members):
            yield f"Zone {zone}: none of its ingesters is alive ({', '.join(one.id for one in members)})."
    yield from _without_quorum(ring, alive)


def _without_quorum(ring: Ring, alive: frozenset[str]) -> Iterator[str]:
    places = [one.id in alive for one in ring.entries]
    routes = ring.writes
    enough = np.array([*places, False])[routes.sets]
    short = (enough & (routes.sets != NOBODY)).sum(axis=1) < write_quorum(ring.replication_factor)
    if short.any():
        sizes = np.diff(routes.ends.astype(np.float64), prepend=0.0) / float(1 << 64)
        yield f"Series without a quorum for writes: {float(sizes[short].sum()):.1%} of all."
    missing = unanswered(ring, sound(ring, alive), 0)
    if missing is not None:
        yield (
            f"Series without a quorum for reads: {missing.share:.1%} of all; not alive, or lacking what they "
            f"acknowledged: {', '.join(missing.members)}."
        )
