"""One merge: the blocks of a job become one, in bounded memory.

The sources stay as they are. The new block exists from its `meta.json` on, and covers them from then on:
a crash at any point leaves either the sources or sources and result, which readers tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rondel.block import BlockWriter, Meta
from rondel.block.cache import ByteCache
from rondel.block.reader import Block, BlockSelection
from rondel.errors import Corruption
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import exemplars_of, join_labels, merge_selections
from rondel.objstore import Bucket
from services.compactor.plan import Job

__all__ = ["compact"]

# What a histogram weighs in memory beside a float.
_HISTOGRAM_SAMPLES: Final = 32
# A batch of series ends inside pages that the next batch needs again.
_PAGE_CACHE_BYTES: Final = 64 << 20


def compact(
    bucket: Bucket,
    job: Job,
    ulid: str,
    *,
    batch_samples_max: int,
    scratch: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> Meta:
    """Merges the job's blocks into a new one. Raises `Corruption` that names a damaged source.

    `check` runs before every batch and may raise to give up.
    """
    parts = _open(bucket, job)
    merged = merge_selections(parts)
    exemplars = _Exemplars(merged.labels, job, parts)
    first = job.blocks[0]
    writer = BlockWriter(
        bucket,
        first.tenant,
        ulid,
        level=1 + max(one.level for one in job.blocks),
        sources=[source for one in job.blocks for source in one.sources],
        parents=[one.ulid for one in job.blocks],
        scratch=scratch,
    )
    with writer:
        series = len(merged.labels)
        step = _batch_series(job, batch_samples_max)
        for start in range(0, series, step):
            check()
            stop = min(series, start + step)
            writer.add(merged.read(start, stop), exemplars.read(start, stop))
        _check_counts(job, writer.counts())
        check()
        return writer.finish()


class _Exemplars:
    """The exemplars of all blocks of a job, by row of the merged selection."""

    def __init__(self, labels: LabelSets, job: Job, parts: Sequence[BlockSelection]) -> None:
        holding = [part for part, block in zip(parts, job.blocks, strict=True) if block.exemplars]
        _, rows = join_labels([labels, *(one.labels for one in holding)])
        self._labels = labels
        self._parts = list(zip(rows[1:], holding, strict=True))

    def read(self, start: int, stop: int) -> ExemplarFrame:
        """Those of the series `[start, stop)`, equal ones once."""
        found = []
        for rows, part in self._parts:
            wanted = rows[start:stop]
            present = wanted[wanted >= 0]
            if len(present):
                first, last = int(present[0]), int(present[-1]) + 1
                found.append((np.where(wanted < 0, -1, wanted - first), part.exemplars(first, last)))
        return exemplars_of(self._labels.take(np.arange(start, stop, dtype=np.int64)), found)


def _open(bucket: Bucket, job: Job) -> list[BlockSelection]:
    pages: ByteCache[bytes] = ByteCache(_PAGE_CACHE_BYTES, len)
    everything = Matchers([])
    parts: list[BlockSelection] = []
    for one in job.blocks:
        block = Block(bucket, one, ByteCache(0, lambda index: index.size_bytes), pages)
        selection = block.select(everything, one.mint_ms, one.maxt_ms)
        if len(selection.labels) != one.series:
            message = f"{len(selection.labels)} series, meta.json says {one.series}"
            raise Corruption(message, where=block.key("index"))
        parts.append(selection)
    return parts


def _batch_series(job: Job, samples_max: int) -> int:
    """Series a batch, by the mean over all blocks; a histogram counts as many samples."""
    samples = sum(one.samples + _HISTOGRAM_SAMPLES * one.histograms for one in job.blocks)
    series = max(one.series for one in job.blocks)
    return max(1, samples_max * series // max(1, samples))


def _check_counts(job: Job, merged: Mapping[str, int]) -> None:
    """Merging may drop duplicates and nothing else."""
    for kind in ("samples", "histograms", "exemplars"):
        counts = [getattr(one, kind) for one in job.blocks]
        most = sum(counts)
        least = max(counts) if job.is_overlapping else most
        if not least <= merged[kind] <= most:
            names = ", ".join(one.ulid for one in job.blocks)
            raise Corruption(
                f"merge of {names} has {merged[kind]} {kind}, want {least} to {most}",
                where=job.blocks[0].tenant,
            )
