"""A query that an ingester broke off is run again: the others have what it had."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from rondel.errors import Unavailable
from rondel.promql.control import Control

__all__ = ["again"]

_T = TypeVar("_T")

_RUNS: Final = 3
_PAUSE_S: Final = 0.2
_PASSING: Final = "read-broken"
"""Id of the error after which the next run finds something else: others to ask."""


def again(work: Callable[[], _T], control: Control, pause_s: float = _PAUSE_S) -> _T:
    """`work()`, run at most three times, and within its time. Raises what it raises."""
    for _ in range(_RUNS - 1):
        try:
            return work()
        except Unavailable as error:
            if error.id != _PASSING:
                raise
        time.sleep(pause_s)
        control.check()
        control.restart()
    return work()
