from __future__ import annotations

import numpy as np

from rondel.model.histogram import Histograms
from rondel.promql.hints import unrelated, untold_resets

NAMES = ["unknown", "reset", "not_reset", "gauge"]


def hinted(*hints: str) -> Histograms:
    return Histograms.from_dicts([{"count": float(at), "hint": hint} for at, hint in enumerate(hints)])


def names(histograms: Histograms) -> list[str]:
    return [NAMES[hint] for hint in histograms.hints()]


def test_a_reset_that_is_stored_is_not_told() -> None:
    kept = untold_resets(hinted(*NAMES))
    assert names(kept) == ["unknown", "unknown", "not_reset", "gauge"]
    np.testing.assert_array_equal(kept.counts(), [0.0, 1.0, 2.0, 3.0])


def test_what_has_another_sample_before_it_says_nothing_but_that_it_is_a_gauge() -> None:
    assert names(unrelated(hinted(*NAMES))) == ["unknown", "unknown", "unknown", "gauge"]


def test_nothing_is_copied_where_nothing_changes() -> None:
    plain = hinted("unknown", "gauge")
    assert untold_resets(plain) is plain
    assert unrelated(plain) is plain
    counters = hinted("not_reset")
    assert untold_resets(counters) is counters
