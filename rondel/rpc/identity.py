"""`Identity`: which instance of which cluster a call is meant for.

An address outlives the process behind it: the next process there may be another instance, or of another
cluster. What it would write counted for the wrong replica, so every call says whom it means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rondel.errors import Unavailable

__all__ = ["Identity"]

_CLUSTER: Final = "rondel-cluster"
_INSTANCE: Final = "rondel-instance"


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, by the name of its cluster and its own. Both are printable ASCII."""

    cluster: str
    instance: str

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call to this process carries."""
        return (_CLUSTER, self.cluster), (_INSTANCE, self.instance)

    def check(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Raises Unavailable where a call is meant for another: whoever called has an old address."""
        meant = dict(metadata)
        for what, key, own in (
            ("cluster", _CLUSTER, self.cluster),
            ("instance", _INSTANCE, self.instance),
        ):
            if meant.get(key) != own:
                raise Unavailable(f"this is {what} {own!r}, the call is meant for {meant.get(key)!r}")
