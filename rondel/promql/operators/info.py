"""`info`: samples get the labels of the info series that describe the same target at the same step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.errors import ExecutionError
from rondel.model.labels import METRIC_NAME, LabelSets, Matchers
from rondel.promql.ast import LabelMatcher, Matching
from rondel.promql.matrix import Block, Bools, Grid
from rondel.promql.operators.infopick import Pick, Variants, newest, variants
from rondel.promql.operators.match import group_rows, labels_text
from rondel.promql.operators.node import Node, Run, Stream, VectorNode, keep_flags, replace_labels
from rondel.promql.operators.select import InstantSelect, Source, Take

__all__ = ["Info", "info_matchers"]

IDENTIFYING: Final = ("instance", "job")
"""Labels that tell one target from another."""
DEFAULT: Final = LabelMatcher(METRIC_NAME, "=", "target_info")
ANY: Final = LabelMatcher(METRIC_NAME, "=~", ".+_info")
LISTED_MAX: Final = 256
"""Values of an identifying label that a selector lists; with more it asks for any."""

_ESCAPES: Final = str.maketrans({sign: f"\\{sign}" for sign in r"\.+*?()|[]{}^$"})

Rows = NDArray[np.int64]


def info_matchers(matchers: Sequence[LabelMatcher]) -> tuple[LabelMatcher, ...]:
    """What selects info series: `target_info` without a word on names, else what says which they are.

    Where only names to leave out are given, info metrics are those that end in `_info`.
    """
    named = [m.op for m in matchers if m.name == METRIC_NAME]
    if not named:
        return (DEFAULT, *matchers)
    return tuple(matchers) if {"=", "=~"} & set(named) else (ANY, *matchers)


@dataclass(frozen=True, slots=True)
class Info(VectorNode):
    """`info(v, {matchers})`. Info series are held, rows of `v` stream."""

    child: VectorNode
    matchers: tuple[LabelMatcher, ...]
    """what selects info series, by name and by the labels that are wanted of them"""
    grid: Grid
    window: Grid
    """When the info series are looked at: as the first selector of the argument is."""
    lookback_ms: int

    def title(self) -> str:
        inner = ", ".join(f'{m.name}{m.op}"{m.value}"' for m in self.matchers)
        return f"info {{{inner}}} at {self.window.start_ms}"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        base = self.child.open(run)
        enriched = ~self._is_info(base.labels)
        info = self._info(run, base.labels.take(np.flatnonzero(enriched)))
        join = self._join(run, base.labels, enriched, info)
        labels, clashes = join.labels(base.labels), join.clashes(base.labels)
        stream = Stream(labels, base.drop_name[join.base], join.blocks(run, base, info.labels, clashes))
        return replace_labels(run, stream, labels, base.drop_name[join.base], self.grid.count)

    def _is_info(self, labels: LabelSets) -> Bools:
        """bool[rows]: rows that are info series themselves, and so are passed on as they are."""
        codes, names = labels.column(METRIC_NAME)
        compiled = _compiled([m for m in self.matchers if m.name == METRIC_NAME])
        return np.array([compiled.matches({METRIC_NAME: name}) for name in names], dtype=np.bool_)[codes]

    def _info(self, run: Run, base: LabelSets) -> Stream:
        """Info series that may describe a row; their values are the times of their samples in seconds."""
        identifying = [matcher for name in IDENTIFYING if (matcher := _any_of(base, name))]
        if not identifying:
            nothing = LabelSets.from_dicts([])
            return Stream(nothing, keep_flags(nothing), iter(()))
        mint_ms = self.window.start_ms - self.lookback_ms + 1
        maxt_ms = max(self.window.start_ms, self.window.end_ms)
        source = Source((*self.matchers, *identifying), mint_ms, maxt_ms)
        selection = source.select(run)
        select = InstantSelect(source, self.grid, self.window, self.lookback_ms, take=Take.TIME)
        return Stream(selection.labels, keep_flags(selection.labels), select.blocks(run, selection, self))

    def _join(self, run: Run, base: LabelSets, enriched: Bools, info: Stream) -> _Join:
        steps = self.grid.count
        target_of, info_target, targets = group_rows(base, info.labels, Matching(labels=IDENTIFYING, on=True))
        # The last target is none: nothing describes it.
        target_of = np.where(enriched, target_of, targets)
        picks = []
        codes, names = info.labels.column(METRIC_NAME)
        run.control.hold(0, (targets + 1) * steps * np.dtype(np.int32).itemsize * (len(names) + 1))
        with run.whole(info, steps) as times:
            if times.histograms is not None:
                raise ExecutionError("info sample should be float")
            for code in range(len(names)):
                rows = np.flatnonzero(codes == code)
                picks.append(newest(times.take(rows), rows, info_target[rows], targets + 1))
        found = variants(picks, targets + 1, steps)
        needed = not all(_compiled([m]).matches_empty() for m in self.matchers if m.name != METRIC_NAME)
        row, variant = found.of_rows(target_of)
        kept = found.described[variant] | ~enriched[row] | (not needed)
        wanted = sorted({m.name for m in self.matchers} - {METRIC_NAME})
        given = info.labels.project(wanted) if wanted else info.labels.drop([METRIC_NAME])
        return _Join(row[kept], variant[kept], target_of, found, picks, given)


@dataclass(frozen=True, slots=True, eq=False)
class _Join:
    """Rows of the result, by base row: one for each distinct description that a row meets."""

    base: Rows
    variant: Rows
    target_of: Rows
    """target of each base row"""
    variants: Variants
    picks: list[Pick]
    info: LabelSets
    """what each info series gives"""

    def labels(self, base: LabelSets) -> LabelSets:
        """Labels of the result: what a base row has stays, what describes it comes along."""
        labels = base.take(self.base)
        for of_variant in self.variants.picks:
            labels = labels.completed(self.info, of_variant[self.variant].astype(np.int64))
        return labels

    def clashes(self, base: LabelSets) -> dict[int, str]:
        """Rows that get different values of a label from different info metrics, with the label."""
        clashes: dict[int, str] = {}
        for name in self.info.names() if len(self.variants.picks) > 1 else ():
            in_doubt = np.flatnonzero(self._disagree(name)[self.variant])
            if len(in_doubt):
                codes, values = base.column(name)
                lacking = np.array([value == "" for value in values], dtype=np.bool_)[codes]
                clashes |= dict.fromkeys(in_doubt[lacking[self.base[in_doubt]]].tolist(), name)
        return clashes

    def _disagree(self, name: str) -> Bools:
        """bool[variants]: which are made of series with different values of a label."""
        codes, values = self.info.column(name)
        given = np.array([value != "" for value in values], dtype=np.bool_)[codes]
        first = np.full(self.variants.picks.shape[1], -1, dtype=np.int32)
        disagree = np.zeros(len(first), dtype=np.bool_)
        for pick in self.variants.picks:
            code = np.where((pick >= 0) & given[pick], codes[pick], -1)
            disagree |= (first >= 0) & (code >= 0) & (code != first)
            first = np.where(first < 0, code, first)
        return disagree

    def blocks(self, run: Run, base: Stream, info: LabelSets, clashes: dict[int, str]) -> Iterator[Block]:
        """The base rows where their variant is the description. Raises ExecutionError for a clash."""
        at = 0
        for block in base.blocks:
            run.control.check()
            self._check_picks(at, block, info)
            first, last = np.searchsorted(self.base, [at, at + len(block)]).tolist()
            rows = self.base[first:last]
            variant = self.variant[first:last]
            described = self.variants.at_steps[self.target_of[rows]] == variant[:, np.newaxis]
            result = block.take(rows - at).kept(described)
            for row in clashes.keys() & range(first, last) if clashes else ():
                if result.filled[row - first].any():
                    raise ExecutionError(f"conflicting label: {clashes[row]}")
            yield result
            at += len(block)

    def _check_picks(self, at: int, block: Block, info: LabelSets) -> None:
        """Raises ExecutionError where two series of one info metric describe a sample equally well."""
        targets = self.target_of[at : at + len(block)]
        for row, doubt in self.picks:
            if doubt is None:
                continue
            two = np.argwhere(block.filled & (row[targets] != doubt.other[targets]))
            if len(two):
                target, step = targets[two[0, 0]], two[0, 1]
                time_ms = round(float(doubt.time_s[target, step]) * 1000)
                existing, new = info[int(doubt.other[target, step])], info[int(row[target, step])]
                raise ExecutionError(
                    f"found duplicate series for info metric: existing {labels_text(existing)} @ {time_ms}, "
                    f"new {labels_text(new)} @ {time_ms}"
                )


def _compiled(matchers: Sequence[LabelMatcher]) -> Matchers:
    return Matchers([(m.name, m.op, m.value) for m in matchers])


def _any_of(base: LabelSets, name: str) -> LabelMatcher | None:
    """A matcher for the values that a label has in these rows; None where it has none."""
    _, values = base.column(name)
    met = [value for value in values if value]
    if not met:
        return None
    if len(met) > LISTED_MAX:
        return LabelMatcher(name, "!=", "")
    return LabelMatcher(name, "=~", "|".join(value.translate(_ESCAPES) for value in met))
