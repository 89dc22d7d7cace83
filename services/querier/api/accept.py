"""The Accept header: media ranges with parameters and weights, and which of ours a client prefers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["MediaRange", "best", "ranges"]


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One of the alternatives, in lower case but for the values of parameters."""

    type: str
    """`text/plain`, `text/*` or `*/*`"""
    weight: float = 1.0
    params: dict[str, str] = field(default_factory=dict)

    def takes(self, media_type: str) -> bool:
        main, _, _ = media_type.partition("/")
        return self.type in (media_type, f"{main}/*", "*/*")


def ranges(header: str) -> list[MediaRange]:
    """The alternatives of a header, the best first, else in their order; those of weight 0 are left out."""
    found = [_range(part) for part in header.split(",") if part.strip()]
    return sorted((one for one in found if one.weight > 0), key=lambda one: -one.weight)


def best(header: str, media_types: Sequence[str]) -> str | None:
    """Which of the types (ours in our order) the client would rather have; None where it takes none."""
    if not header.strip():
        return media_types[0]
    for one in ranges(header):
        for media_type in media_types:
            if one.takes(media_type):
                return media_type
    return None


def _range(text: str) -> MediaRange:
    kind, *rest = text.split(";")
    params: dict[str, str] = {}
    weight = 1.0
    for part in rest:
        name, _, value = part.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "q":
            weight = _weight(value)
        elif name:
            params[name] = value
    return MediaRange(kind.strip().lower(), weight, params)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
