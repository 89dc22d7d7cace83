"""How well a name fits what somebody typed: scores from 0 (not at all) to 1, as Prometheus gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

__all__ = ["Fuzzy", "Scorer", "jaro_winkler", "scorer", "subsequence"]

Scorer: TypeAlias = Callable[[str], float | None]
"""The score of a name, None where it does not fit."""

_INSIDE: Final = 0.9
"""Score of a name that has the term in it, but not at its begin."""
_PREFIX_MAX: Final = 4
_PREFIX_WEIGHT: Final = 0.1


class Fuzzy(StrEnum):
    """What counts as near."""

    SUBSEQUENCE = "subsequence"
    JARO_WINKLER = "jarowinkler"


def scorer(terms: Sequence[str], fuzzy: Fuzzy, threshold: float, *, case_sensitive: bool) -> Scorer:
    """The best score by any of the terms, of those that are not below the threshold; 1 without terms."""
    if not terms:
        return lambda name: 1.0
    score_of = _by_subsequence if fuzzy is Fuzzy.SUBSEQUENCE else _by_similarity
    folded = [term if case_sensitive else term.lower() for term in dict.fromkeys(terms)]

    def best(name: str) -> float | None:
        text = name if case_sensitive else name.lower()
        scores = [score for term in folded if (score := score_of(term, text, threshold)) is not None]
        return max(scores, default=None)

    return best


def _by_subsequence(term: str, text: str, threshold: float) -> float | None:
    if text.startswith(term):
        return 1.0
    score = subsequence(term, text)
    return score if score > 0 and score >= threshold else None


def _by_similarity(term: str, text: str, threshold: float) -> float | None:
    """Whoever has the term in it fits; with a threshold also what is similar to it."""
    if term in text:
        return 1.0 if text.startswith(term) else _INSIDE
    if threshold == 0:
        return None
    score = jaro_winkler(term, text)
    return score if score >= threshold else None


def subsequence(pattern: str, text: str) -> float:
    """1 for equal texts, 0 where the characters of the pattern are not all in the text, in their order.

    In between runs of neighbours count by their square; what is left out costs its share of the text, after
    the last character half of it. The best of all places to begin at counts; from there on each run takes
    the first place that it finds.
    """
    if pattern == text:
        return 1.0
    best, begin = 0.0, text.find(pattern[0]) if pattern else -1
    while 0 <= begin <= len(text) - len(pattern):
        raw = _raw_score(pattern, text, begin)
        if raw is None:  # from further on there is even less to find
            break
        best = max(best, raw)
        begin = text.find(pattern[0], begin + 1)
    return best / len(pattern) ** 2 if pattern else 1.0


def _raw_score(pattern: str, text: str, begin: int) -> float | None:
    taken, end, score, size = 0, 0, 0.0, len(text)
    while taken < len(pattern):
        first = text.find(pattern[taken], max(begin, end))
        if first < 0:
            return None
        score -= (first - end) / size
        end = first
        while taken < len(pattern) and end < size and text[end] == pattern[taken]:
            taken, end = taken + 1, end + 1
        score += (end - first) ** 2
    return score - (size - end) / (2 * size)


def jaro_winkler(one: str, other: str) -> float:
    """The Jaro similarity, raised by up to four characters in common at the begin."""
    if one == other:
        return 1.0
    short, long = sorted((one, other), key=len)
    pairs = _pairs(short, long)
    if not pairs:
        return 0.0
    matched = len(pairs)
    in_long = sorted(at for _, at in pairs)
    swapped = sum(short[at] != long[place] for (at, _), place in zip(pairs, in_long, strict=True))
    jaro = (matched / len(short) + matched / len(long) + (matched - swapped / 2) / matched) / 3
    prefix = 0
    while prefix < min(_PREFIX_MAX, len(short)) and short[prefix] == long[prefix]:
        prefix += 1
    return jaro + prefix * _PREFIX_WEIGHT * (1 - jaro)


def _pairs(short: str, long: str) -> list[tuple[int, int]]:
    """Places of equal characters that are near to each other, each used once."""
    reach = max(len(long) // 2 - 1, 0)
    used: set[int] = set()
    pairs = []
    for at, character in enumerate(short):
        place = long.find(character, max(at - reach, 0), at + reach + 1)
        while place in used:
            place = long.find(character, place + 1, at + reach + 1)
        if place >= 0:
            used.add(place)
            pairs.append((at, place))
    return pairs
