"""A plan shown to people and to programs: as an indented tree of text, or as nested values for JSON.

Of a plan that ran under a `Trace`, each node says what it did, and each selector what its sources did.
"""

from __future__ import annotations

from typing import Any

from rondel.promql.operators.node import Node
from rondel.promql.operators.shape import Shared
from rondel.promql.result import QueryStats
from rondel.promql.trace import NodeCost, Trace, cost_of
from rondel.storage import SourceCost

__all__ = ["stats_line", "text", "tree"]


def text(node: Node, trace: Trace | None = None) -> str:
    """One line a node, its children below it, two blanks further in."""
    lines: list[str] = []
    _add_lines(lines, node, trace, "", set())
    return "\n".join(lines)


def tree(node: Node, trace: Trace | None = None) -> dict[str, Any]:
    """`{"operator": ..., "children": [...]}`, with `"cost"` and `"sources"` where it ran."""
    return _tree(node, trace, set())


def stats_line(stats: QueryStats) -> str:
    """What the whole query cost, in a line."""
    parts = [
        _count(stats.series, "series", "series"),
        f"{_count(stats.samples_read, 'sample')} read",
        f"{stats.samples_peak:,} at once",
        f"{stats.memory_bytes_peak:,} bytes at once",
        f"prepared in {_ms(stats.prepare_s)}",
        f"evaluated in {_ms(stats.eval_s)}",
    ]
    return "query: " + ", ".join(parts)


def _add_lines(lines: list[str], node: Node, trace: Trace | None, indent: str, seen: set[int]) -> None:
    cost = cost_of(node)
    again = _is_again(node, seen)
    title = f"{node.title()} (above)" if again else node.title()
    lines.append(
        f"{indent}{title}" if cost is None or again else f"{indent}{title}: {_cost_text(node, cost)}"
    )
    if again:
        return
    indent += "  "
    for source, own in _sources(cost, trace):
        lines.append(f"{indent}from {source}: {_source_text(own)}")
    for child in node.children():
        _add_lines(lines, child, trace, indent, seen)


def _tree(node: Node, trace: Trace | None, seen: set[int]) -> dict[str, Any]:
    shown: dict[str, Any] = {"operator": node.title()}
    if _is_again(node, seen):
        return {**shown, "above": True, "children": []}
    cost = cost_of(node)
    if cost is not None:
        shown["cost"] = _cost_values(node, cost)
    sources = _sources(cost, trace)
    if sources:
        shown["sources"] = [{"source": source, **_source_values(own)} for source, own in sources]
    shown["children"] = [_tree(child, trace, seen) for child in node.children()]
    return shown


def _is_again(node: Node, seen: set[int]) -> bool:
    """Whether this is a shared subtree that was shown under another parent."""
    if not isinstance(node, Shared):
        return False
    again = node.number in seen
    seen.add(node.number)
    return again


def _sources(cost: NodeCost | None, trace: Trace | None) -> list[tuple[str, SourceCost]]:
    if cost is None or trace is None or cost.source is None:
        return []
    costs = trace.selections.get(cost.source)
    return list(costs.by_source.items()) if costs is not None else []


def _hits(node: Node, cost: NodeCost) -> int:
    """How often a shared subtree was asked for beyond the first time."""
    return max(0, cost.opens - 1) if isinstance(node, Shared) else 0


def _cost_text(node: Node, cost: NodeCost) -> str:
    parts = []
    if cost.opens == 0:
        parts.append("never asked")
    if cost.batches:
        parts.append(f"{_count(cost.rows, 'row')} in {_count(cost.batches, 'batch', 'batches')}")
    if cost.fused:
        parts.append("fused" if cost.fused == cost.batches else f"{cost.fused:,} fused")
    if cost.samples:
        parts.append(_count(cost.samples, "sample"))
    if hits := _hits(node, cost):
        parts.append(f"shared {_count(hits, 'time')}")
    return ", ".join([*parts, _ms(cost.own_s)])


def _cost_values(node: Node, cost: NodeCost) -> dict[str, Any]:
    values: dict[str, Any] = {
        "opens": cost.opens,
        "rows": cost.rows,
        "batches": cost.batches,
        "fusedBatches": cost.fused,
        "samples": cost.samples,
        "ownTime": cost.own_s,
        "totalTime": cost.total_s,
    }
    return {**values, "sharedHits": _hits(node, cost)} if isinstance(node, Shared) else values


def _source_text(cost: SourceCost) -> str:
    parts = [
        _count(cost.series, "series", "series"),
        f"{_count(cost.samples, 'sample')} in {_count(cost.reads, 'read')}",
        f"{cost.size_bytes:,} bytes decoded",
    ]
    if cost.fetched_bytes or cost.cached_bytes:
        parts.append(f"{cost.fetched_bytes:,} bytes fetched and {cost.cached_bytes:,} from the cache")
    return ", ".join([*parts, f"found in {_ms(cost.select_s)}", f"read in {_ms(cost.read_s)}"])


def _source_values(cost: SourceCost) -> dict[str, Any]:
    return {
        "series": cost.series,
        "reads": cost.reads,
        "samples": cost.samples,
        "decodedBytes": cost.size_bytes,
        "fetchedBytes": cost.fetched_bytes,
        "cachedBytes": cost.cached_bytes,
        "selectTime": cost.select_s,
        "readTime": cost.read_s,
    }


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"
