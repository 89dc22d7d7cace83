"""Cuts answers into messages of bounded size, and puts them together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from rondel.errors import LimitExceeded, Unavailable
from rondel.rpc.channel import Stream
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.standing import Standing, message_of

__all__ = ["ANSWER_BYTES_MAX", "PART_BYTES_MAX", "grouped", "parts", "whole"]

PART_BYTES_MAX: Final = 1 << 20
ANSWER_BYTES_MAX: Final = 1 << 30

_T = TypeVar("_T")


def parts(data: bytes, standing: Standing | None = None, *, samples_follow: bool = False) -> Iterator[Any]:
    """Messages `Part` that together are `data`; at least one, the last of which says so, and whether samples
    follow. The first one has the standing, where there is one."""
    view = memoryview(data)
    for start in range(0, len(data) or 1, PART_BYTES_MAX):
        stop = start + PART_BYTES_MAX
        told = message_of(standing) if standing and start == 0 else None
        last = stop >= len(data)
        piece = data if last and start == 0 else bytes(view[start:stop])
        yield pb.Part(data=piece, last=last, standing=told, samples_follow=last and samples_follow)


def grouped(items: Iterable[_T], size_bytes: Callable[[_T], int]) -> Iterator[list[_T]]:
    """The items in lists whose sizes do not exceed a part, but for single items that do."""
    group: list[_T] = []
    room = PART_BYTES_MAX
    for item in items:
        size = size_bytes(item)
        if group and size > room:
            yield group
            group, room = [], PART_BYTES_MAX
        group.append(item)
        room -= size
    if group:
        yield group


async def whole(stream: Stream, on_first: Callable[[Any], None] = lambda _: None) -> tuple[bytes, bool]:
    """What a stream of parts brings up to the next last one, and whether that says that samples follow;
    `on_first` hears of the first one at once.

    Raises LimitExceeded, and as the stream does.
    """
    found: list[bytes] = []
    size_bytes = 0
    while True:
        part = await stream.receive()
        if part is None:
            raise Unavailable("an answer ended before its last part")
        if not found:
            on_first(part)
        found.append(part.data)
        size_bytes += len(part.data)
        if size_bytes > ANSWER_BYTES_MAX:
            text = f"an answer has more than {ANSWER_BYTES_MAX} bytes; ask for fewer series at a time"
            raise LimitExceeded(text, id="rpc-answer-size")
        if part.last:
            return b"".join(found), part.samples_follow
