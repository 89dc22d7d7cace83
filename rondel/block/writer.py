"""`BlockWriter`: frames in block order in, one block in the bucket out.

Memory holds the index and the open pages; finished pages wait in a scratch file. The data file goes up
first, then the index; both are read back and compared; then `meta.json` makes the block exist.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rondel.block import meta
from rondel.block.kernel import BlockEncoder, crc32c
from rondel.block.meta import File, Meta
from rondel.errors import Corruption, InvalidData
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.objstore import Bucket

__all__ = ["BlockWriter"]

_VERIFY_BYTES: Final = 4 << 20


class BlockWriter:
    """Writes one block. Use as a context manager, or call `close`: the scratch file goes away with it.

    `sources` are the level-1 blocks inside and `parents` the merged ones; a new block has neither.
    """

    def __init__(
        self,
        bucket: Bucket,
        tenant: str,
        ulid: str,
        *,
        level: int = 1,
        sources: Sequence[str] = (),
        parents: Sequence[str] = (),
        scratch: Path | None = None,
    ) -> None:
        self._bucket = bucket
        self._tenant = tenant
        self._ulid = ulid
        self._level = level
        self._sources = tuple(sorted(set(sources))) or (ulid,)
        self._parents = tuple(parents)
        self._encoder = BlockEncoder()
        # Without a name: it is gone with the process, however that ends.
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed by close()
        self._data = File(0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, frame: SeriesFrame, exemplars: ExemplarFrame | None = None) -> None:
        """Takes the next series, which must follow all before in block order; empty ones are left out.

        `exemplars` are those of the same series in the same order.
        """
        own = None if exemplars is None or not len(exemplars.values) else exemplars.arrays()
        self._append(self._encoder.add(frame.labels, frame.arrays(), own))

    def counts(self) -> dict[str, int]:
        """What was added so far: samples, histograms, exemplars."""
        return self._encoder.counts()

    def finish(self) -> Meta:
        """Uploads and verifies; the block is visible when this returns. `InvalidData` if it is empty."""
        rest, index, totals = self._encoder.finish()
        if not totals["samples"] + totals["histograms"] + totals["exemplars"]:
            raise InvalidData(f"block {self._tenant}/{self._ulid} has no samples", "empty-block")
        self._append(rest)
        block = Meta(
            version=meta.VERSION,
            ulid=self._ulid,
            tenant=self._tenant,
            mint_ms=totals["mint_ms"],
            maxt_ms=totals["maxt_ms"],
            level=self._level,
            sources=self._sources,
            parents=self._parents,
            series=totals["series"],
            samples=totals["samples"],
            columns=totals["columns"] + totals["histogram_columns"],
            index=File(len(index), crc32c(index)),
            data=self._data,
            histograms=totals["histograms"],
            exemplars=totals["exemplars"],
        )
        self._bucket.put_file(self._key(meta.DATA), self._file)
        self._bucket.put(self._key(meta.INDEX), index)
        self._verify(meta.DATA, block.data)
        self._verify(meta.INDEX, block.index)
        self._bucket.put(self._key(meta.META), meta.encode(block))
        return block

    def close(self) -> None:
        """Removes the scratch file."""
        self._file.close()

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._data = File(self._data.size_bytes + len(data), crc32c(data, self._data.crc32c))

    def _verify(self, name: str, want: File) -> None:
        """Compares what the bucket now has; the only other copy of these samples is about to go."""
        checksum = size_bytes = 0
        while size_bytes < want.size_bytes:
            wanted = min(_VERIFY_BYTES, want.size_bytes - size_bytes)
            (part,) = self._bucket.get_ranges(self._key(name), [(size_bytes, wanted)])
            if not part:
                break
            checksum = crc32c(part, checksum)
            size_bytes += len(part)
        stored = self._bucket.head(self._key(name)).size_bytes
        if (stored, checksum) != (want.size_bytes, want.crc32c):
            message = f"{stored} bytes were stored, want {want.size_bytes}, or their checksum is not the same"
            raise Corruption(message, where=self._key(name))

    def _key(self, name: str) -> str:
        return meta.key(self._tenant, self._ulid, name)
