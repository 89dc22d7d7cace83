"""What each node of a plan does while a query runs, and what each selector costs its sources.

A traced plan is a copy in which every node is of a subclass of its own class that notes what passes
through `open`, `values` and the iteration of its stream. Operators know nothing of it, and an ordinary plan
pays nothing. Time is counted once: what a node waits for its children is theirs. A block that its parent
aggregates without ever computing its cells is *fused*: its work is then part of the parent's time.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeVar, cast

from rondel.promql.matrix import Block, Floats
from rondel.promql.operators.node import (
    Node,
    RangeNode,
    RangeStream,
    Run,
    Samples,
    ScalarNode,
    Stream,
    VectorNode,
)
from rondel.storage import Costs

__all__ = ["NodeCost", "Trace", "cost_of", "traced"]

_T = TypeVar("_T")
_COST: Final = "_cost"


@dataclass(slots=True)
class NodeCost:
    """What one node did."""

    opens: int = 0
    """times that its result was asked for"""
    rows: int = 0
    batches: int = 0
    fused: int = 0
    """batches whose cells were never computed, but added to the parent's groups row by row"""
    samples: int = 0
    """raw samples of a range selector, or cells that were computed and present"""
    own_s: float = 0.0
    """its children's time left out"""
    total_s: float = 0.0
    source: object = None
    """key of the selection that it read, None where it read none"""


@dataclass(slots=True)
class Trace:
    """Collects the costs of one run of one plan, which is one thread's work."""

    clock: Callable[[], float] = time.perf_counter
    root: Node | None = None
    """The plan that ran, whose nodes know their costs; None of a query that needs no plan."""
    selections: dict[object, Costs] = field(default_factory=dict)
    _active: list[list[float]] = field(default_factory=list)

    def costs(self, key: object) -> Costs:
        """Where the sources of a selection note theirs."""
        return self.selections.setdefault(key, Costs())

    @contextmanager
    def during(self, cost: NodeCost) -> Iterator[None]:
        """Counts the time of the context as the node's, without that of contexts inside."""
        began_s = self.clock()
        self._active.append([0.0])
        try:
            yield
        finally:
            took_s = self.clock() - began_s
            (inner_s,) = self._active.pop()
            cost.own_s += took_s - inner_s
            cost.total_s += took_s
            if self._active:
                self._active[-1][0] += took_s


def cost_of(node: Node) -> NodeCost | None:
    """What a traced node did; None of a node that is not traced."""
    return getattr(node, _COST, None)


def traced(root: Node, trace: Trace) -> Node:
    """The plan, each node noting what it does; what parents share stays shared."""
    return _copied(root, trace, {})


def _copied(node: Node, trace: Trace, done: dict[int, Node]) -> Node:
    if id(node) in done:
        return done[id(node)]
    copied: Any = object.__new__(_traced_class(type(node)))
    assert dataclasses.is_dataclass(node)
    for item in dataclasses.fields(node):
        object.__setattr__(copied, item.name, _value(getattr(node, item.name), trace, done))
    object.__setattr__(copied, _COST, NodeCost(source=getattr(node, "source", None)))
    object.__setattr__(copied, "_trace", trace)
    done[id(node)] = copied
    return cast(Node, copied)


def _value(value: _T, trace: Trace, done: dict[int, Node]) -> _T:
    if isinstance(value, Node):
        return cast(_T, _copied(value, trace, done))
    if isinstance(value, tuple) and value and isinstance(value[0], Node):
        return cast(_T, tuple(_copied(child, trace, done) for child in value))
    return value


@cache
def _traced_class(kind: type[Node]) -> type[Node]:
    members: dict[str, Any] = {"__slots__": (_COST, "_trace"), "__module__": kind.__module__}
    if issubclass(kind, ScalarNode):
        members["values"] = _values(kind)
    elif issubclass(kind, RangeNode):
        members["open"] = _open_range(kind)
    elif issubclass(kind, VectorNode):
        members["open"] = _open_vector(kind)
    return type(kind.__name__, (kind,), members)


def _values(kind: type[ScalarNode]) -> Callable[[Any, Run], Floats]:
    def values(self: Any, run: Run) -> Floats:
        cost: NodeCost = self._cost
        cost.opens += 1
        with self._trace.during(cost):
            return kind.values(self, run)

    return values


def _open_vector(kind: type[VectorNode]) -> Callable[[Any, Run], Stream]:
    def open(self: Any, run: Run) -> Stream:
        cost: NodeCost = self._cost
        cost.opens += 1
        with self._trace.during(cost):
            stream = kind.open(self, run)
        stream.blocks = _passing(self._trace, cost, stream.blocks, _note_block)
        return stream

    return open


def _open_range(kind: type[RangeNode]) -> Callable[[Any, Run], RangeStream]:
    def open(self: Any, run: Run) -> RangeStream:
        cost: NodeCost = self._cost
        cost.opens += 1
        with self._trace.during(cost):
            stream = kind.open(self, run)
        stream.batches = _passing(self._trace, cost, stream.batches, _note_samples)
        return stream

    return open


def _passing(
    trace: Trace, cost: NodeCost, items: Iterator[_T], note: Callable[[NodeCost, _T], None]
) -> Iterator[_T]:
    """The items, each noted when it comes back: only then is it known what became of it."""
    while True:
        with trace.during(cost):
            item = next(items, None)
        if item is None:
            return
        try:
            yield item
        finally:
            note(cost, item)


def _note_block(cost: NodeCost, block: Block) -> None:
    cost.batches += 1
    cost.rows += len(block)
    if block.is_computed:
        cost.samples += block.samples
    else:
        cost.fused += 1


def _note_samples(cost: NodeCost, samples: Samples) -> None:
    cost.batches += 1
    cost.rows += len(samples.offsets) - 1
    cost.samples += len(samples.values)
    if samples.histograms is not None:
        cost.samples += len(samples.histograms.values)
