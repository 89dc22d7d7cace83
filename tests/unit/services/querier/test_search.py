"""Scores of names for what somebody typed."""

from __future__ import annotations

from itertools import combinations, groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.querier.search import Fuzzy, jaro_winkler, scorer, subsequence

TEXTS = st.text("abü_", max_size=8)


def twin(pattern: str, text: str) -> float:
    """From each place to begin at, the first places that fit; runs found afterwards."""
    best = 0.0
    for begin in range(len(text)):
        if text[begin] != pattern[0]:
            continue
        places, at = [], begin
        for character in pattern:
            while at < len(text) and text[at] != character:
                at += 1
            if at == len(text):
                break
            places.append(at)
            at += 1
        if len(places) < len(pattern):
            continue
        runs = [
            [place for _, place in run]
            for _, run in groupby(enumerate(places), key=lambda one: one[1] - one[0])
        ]
        left_out = begin + sum(after[0] - before[-1] - 1 for before, after in pairwise(runs))
        behind = len(text) - 1 - places[-1]
        raw = sum(len(run) ** 2 for run in runs) - (left_out + behind / 2) / len(text)
        best = max(best, raw / len(pattern) ** 2)
    return best


@given(TEXTS.filter(bool), TEXTS.filter(bool))
def test_a_subsequence_scores_by_its_runs_and_by_what_it_leaves_out(pattern: str, text: str) -> None:
    expected = 1.0 if pattern == text else twin(pattern, text)
    assert subsequence(pattern, text) == pytest.approx(expected)
    found = any("".join(some) == pattern for some in combinations(text, len(pattern)))
    assert found or subsequence(pattern, text) == 0


@pytest.mark.parametrize(
    ("pattern", "text", "score"),
    [
        ("up", "up", 1),
        ("up", "uptime", (4 - 4 / 6 / 2) / 4),
        ("ab", "xaxb", (2 - 2 / 4) / 4),
        ("http", "a_http", (16 - 2 / 6) / 16),
        ("ba", "ab", 0),
        ("abc", "ab", 0),
    ],
)
def test_subsequences_by_hand(pattern: str, text: str, score: float) -> None:
    assert subsequence(pattern, text) == pytest.approx(score)


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        ("martha", "marhta", 0.9611),
        ("dwayne", "duane", 0.84),
        ("dixon", "dicksonx", 0.8133),
        ("same", "same", 1),
        ("abc", "xyz", 0),
    ],
)
def test_similarities_that_everybody_knows(one: str, other: str, score: float) -> None:
    assert jaro_winkler(one, other) == pytest.approx(score, abs=1e-4)
    assert jaro_winkler(other, one) == pytest.approx(score, abs=1e-4)


@given(TEXTS.filter(bool), TEXTS.filter(bool))
def test_a_similarity_is_between_none_and_the_same(one: str, other: str) -> None:
    assert 0 <= jaro_winkler(one, other) <= 1
    assert (jaro_winkler(one, other) == 1) == (one == other)


def test_without_terms_every_name_fits() -> None:
    assert scorer([], Fuzzy.SUBSEQUENCE, 1, case_sensitive=True)("up") == 1


def test_the_best_of_several_terms_counts() -> None:
    score = scorer(["zz", "tim", "up"], Fuzzy.JARO_WINKLER, 0, case_sensitive=True)
    assert [score(name) for name in ("uptime", "time", "atime", "x")] == [1, 1, 0.9, None]


@pytest.mark.parametrize("fuzzy", list(Fuzzy))
def test_case_counts_where_it_is_to(fuzzy: Fuzzy) -> None:
    assert scorer(["UP"], fuzzy, 0, case_sensitive=True)("up") is None
    assert scorer(["UP"], fuzzy, 0, case_sensitive=False)("Up") == 1


@pytest.mark.parametrize(
    ("fuzzy", "threshold", "found"),
    [
        (Fuzzy.SUBSEQUENCE, 0.0, True),
        (Fuzzy.SUBSEQUENCE, 0.9, False),
        (Fuzzy.JARO_WINKLER, 0.0, False),
        (Fuzzy.JARO_WINKLER, 0.5, True),
        (Fuzzy.JARO_WINKLER, 0.99, False),
    ],
)
def test_what_is_below_the_threshold_does_not_fit(fuzzy: Fuzzy, threshold: float, found: bool) -> None:
    """Without a threshold any subsequence fits, but only what has the term in it is similar."""
    score = scorer(["htreq"], fuzzy, threshold, case_sensitive=True)
    assert (score("http_requests") is not None) == found
