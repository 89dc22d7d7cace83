"""`match[]`: selector texts become compiled matchers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rondel.errors import InvalidData, ParseError
from rondel.model.labels import Matchers
from rondel.promql.control import Control
from rondel.promql.parser import parse_matchers
from services.querier.api.params import Params, invalid

__all__ = ["each_selector", "matcher_sets"]

_T = TypeVar("_T")


def matcher_sets(asked: Params, control: Control) -> list[Matchers]:
    """One compiled set for each distinct selector.

    Raises InvalidData where one does not parse or selects everything. Thousands of them take seconds, so
    this belongs in a worker thread.
    """
    sets = []
    for text in dict.fromkeys(asked.selectors()):
        control.check()
        sets.append(_compiled(text))
    return sets


def each_selector(control: Control, find: Callable[[list[Matchers]], _T], sets: list[Matchers]) -> list[_T]:
    """What `find` answers for each selector alone, so that a client's going is seen between two of them."""
    found = []
    for selector in [[one] for one in sets] or [[]]:
        control.check()
        found.append(find(selector))
    return found


def _compiled(text: str) -> Matchers:
    try:
        matchers = Matchers([(one.name, one.op, one.value) for one in parse_matchers(text)])
    except (ParseError, InvalidData) as error:
        raise invalid("match[]", error) from error
    if matchers.matches_empty():
        raise invalid("match[]", "match[] must contain at least one non-empty matcher")
    return matchers
