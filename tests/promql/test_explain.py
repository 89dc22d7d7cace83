"""Plans and their costs, as text: the files below `explain/` hold queries and what is shown of them.

`EXPLAIN_REWRITE=1` writes what is shown now into the files, for a look at the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rondel.errors import QueryError
from rondel.model.costs import counted
from rondel.promql import duration, explain
from rondel.promql.engine import Engine
from rondel.promql.trace import Trace
from rondel.storage import Select, Selection
from tests.support.queries import CountingStorage, loaded

FOLDER = Path(__file__).with_name("explain")
REWRITE = bool(os.environ.get("EXPLAIN_REWRITE"))
DIRECTIVE = re.compile(r"(explain|analyze) (\w+)(?:\.\.(\w+)/(\w+))?")


class Noting:
    """A storage with one source, called `memory`, that notes its costs."""

    def __init__(self, storage: CountingStorage) -> None:
        self._storage = storage

    def select(self, request: Select) -> Selection:
        return counted("memory", request, lambda: self._storage.select(request))


def shown(engine: Engine, directive: str, query: str) -> str:
    match = DIRECTIVE.fullmatch(directive)
    assert match, directive
    verb, start, end, step = match.groups()
    start_ms = duration.parse_ms(start)
    end_ms, step_ms = (duration.parse_ms(end), duration.parse_ms(step)) if step else (start_ms, 0)
    if verb == "explain":
        node = engine.explain(query, start_ms, end_ms, step_ms)
        return "no plan" if node is None else explain.text(node)
    trace = Trace()
    result = engine.analyze("tenant", query, start_ms, end_ms, step_ms, engine.control(), trace)
    lines = [explain.text(trace.root, trace)] if trace.root is not None else ["no plan"]
    return re.sub(r"\d+\.\d{3} ms", "_ ms", "\n".join([*lines, explain.stats_line(result.stats)]))


def blocks(text: str) -> Iterator[str]:
    """What blank lines separate."""
    yield from text.rstrip("\n").split("\n\n")


def answered(text: str) -> str:
    """The file with every answer as it is now."""
    storage, found = loaded(""), []
    for block in blocks(text):
        lines = block.split("\n")
        comments = [line for line in lines if line.startswith("#")]
        lines = lines[len(comments) :]
        if lines[:1] == ["load"]:
            storage = loaded("\n".join(lines[1:]))
        elif lines:
            engine = Engine(Noting(storage))
            split = lines.index("----")
            directive, query = lines[0], "\n".join(lines[1:split])
            try:
                answer = shown(engine, directive, query)
            except QueryError as error:
                answer = f"error: {error}"
            lines = [*lines[: split + 1], *answer.split("\n")]
        found.append("\n".join(comments + lines))
    return "\n\n".join(found) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_plans_and_costs_are_shown_as_the_file_says(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    now = answered(text)
    if REWRITE:
        path.write_text(now, encoding="utf-8")
    assert now == text or REWRITE
