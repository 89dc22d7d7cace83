"""What is in a block: for people (`rondel tools block`) and for the bytes-per-sample measurement."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.block import meta
from rondel.block.kernel import BlockIndex, describe_page
from rondel.block.meta import Meta
from rondel.errors import Corruption
from rondel.model.labels import Matchers
from rondel.objstore import Bucket

__all__ = ["Codec", "describe", "inspect"]


@dataclass(slots=True)
class Codec:
    """Columns of one codec. Bytes in the zone are those before the page's zstd."""

    columns: int = 0
    samples: int = 0
    zone_bytes: int = 0
    own_bytes: int = 0


def inspect(bucket: Bucket, block: Meta) -> dict[str, Codec]:
    """Reads a whole block and counts its columns by codec; every page is checked on the way."""
    index = BlockIndex(bucket.get(meta.key(block.tenant, block.ulid, meta.INDEX)))
    ids = index.select(Matchers([]), block.mint_ms, block.maxt_ms)
    where = meta.key(block.tenant, block.ulid, meta.DATA)
    codecs: dict[str, Codec] = {}
    plans = (
        index.plan(ids, block.mint_ms, block.maxt_ms),
        index.exemplar_plan(ids, block.mint_ms, block.maxt_ms),
    )
    for offset, length in [page for plan in plans for page in plan.pages()]:
        (page,) = bucket.get_ranges(where, [(offset, length)])
        try:
            columns = describe_page(page, offset)
        except Corruption as damage:
            raise damage.at(where) from None
        for name, samples, zone_bytes, own_bytes in columns:
            codec = codecs.setdefault(name, Codec())
            codec.columns += 1
            codec.samples += samples
            codec.zone_bytes += zone_bytes
            codec.own_bytes += own_bytes
    return codecs


def describe(block: Meta, codecs: dict[str, Codec]) -> str:
    """The statistics as a small table."""
    per_sample = block.size_bytes / max(1, block.samples + block.histograms)
    lines = [
        f"block {block.tenant}/{block.ulid}  level {block.level}  [{block.mint_ms}, {block.maxt_ms}]",
        f"{block.series} series, {block.samples} samples, {block.histograms} histograms, "
        f"{block.exemplars} exemplars, {block.columns} columns",
        f"data {block.data.size_bytes}, index {block.index.size_bytes} bytes: {per_sample:.4f} a sample",
        f"{'codec':<10} {'columns':>9} {'samples':>12} {'zone bytes':>12} {'own bytes':>12}",
    ]
    lines += [
        f"{name:<10} {one.columns:>9} {one.samples:>12} {one.zone_bytes:>12} {one.own_bytes:>12}"
        for name, one in sorted(codecs.items())
    ]
    return "\n".join(lines) + "\n"
