"""What Prometheus 3.14, and so Rondel, answers otherwise than 3.5, with which it is compared.

What is compared, but for this:

* Told since: `sort` in a range query; counter resets that collide; custom buckets that were reconciled.
* A binary operator told only of the last pair of a step that it does not take.
* Positions, and the name of a metric that is not known, were written otherwise. Which of the names of metrics
  with exponential and custom buckets is told depends on the order in which a store finds series.
* A match of many to one counted only pairs that a filter kept and that the operator took.
* Series that lose their names at the end of a range query, and are never there at once, are one since.
* `histogram_count` of an `irate` of histograms that fall: alone 3.5 takes a reset, below an aggregation it
  does not, so that its sum is not the sum of what it answers.
* Some queries of histograms of several layouts failed with an index that is out of range.

What the random expressions leave out, because 3.5 answers otherwise:

* Rates of histograms near zero: 3.5 extrapolates them to less than nothing, 3.14 stops at zero. Counters of
  the fleet are never near it, and gauges have no rates.
* `histogram_fraction` of classic buckets from 0 or less: 3.5 answers NaN.
* Quantiles of histograms with NaN observations: 3.5 skips the first bucket.
* Quantiles of histograms that count less than nothing: 3.5 looks at the other end of the bucket.
* Schemas whose bounds a zero bucket cuts: 3.5 loses the bucket that is cut. Their sum is then not the count.
* `mad_over_time` of NaN: 3.5 leaves it out, 3.14 answers NaN.
* A selector with `@` in a subquery with `@`: 3.5 looks at neither time.
* Resets in subqueries: 3.5 counts the reset at each step where the sample is still the latest.
* Windows of histograms whose layout changes, and sums over subqueries of histograms: 3.5 adds in place to
  what it still shows elsewhere, and answers not the same twice.
* Comparisons of two vectors and `last_over_time` of subqueries where names are dropped late: 3.5 forgets
  that a name was to go.
* A vector that does not change aggregated with a parameter that does: 3.5 takes the first one throughout.
* Changes of histograms whose layout changes: what is in a chunk together is read with all its buckets, so
  that which neighbours are equal is up to the chunks.
* `sort` among ties, `topk` of ties and `limitk` below the size of a group: left to the order of the store.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["annotation_differences", "contradicts_itself", "merged_since", "refused_since"]

_POSITION: Final = re.compile(r" \(\d+:\d+\)$")
_NAME: Final = re.compile(r"(vector contains a mix of histograms with exponential.*) for metric name .*")
_TOLD_SINCE: Final = re.compile(
    r"sort is ineffective for range queries|conflicting counter resets during|"
    r"mismatched custom buckets were reconciled|encountered for binary operator"
)
_COUNT_OF_IRATE: Final = re.compile(r"histogram_(count|sum|avg)\(irate\(")
_OMITTED: Final = "annotations omitted"


def refused_since(error: str) -> bool:
    """Whether 3.5 answers what is refused now."""
    return error.startswith("multiple matches for labels: many-to-one matching must be explicit")


def contradicts_itself(query: str) -> bool:
    """Whether 3.5 answers a part of the query otherwise alone than within it."""
    return _COUNT_OF_IRATE.search(query) is not None


def merged_since(error: str) -> bool:
    """Whether 3.5 refuses what is answered now."""
    return error == "vector cannot contain metrics with the same labelset"


def annotation_differences(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """What differs between the warnings and infos of two answers, as far as both show all they have."""
    found = []
    for kind in ("warnings", "infos"):
        theirs, ours = expected.get(kind, []), got.get(kind, [])
        if any(_OMITTED in text for text in (*theirs, *ours)):
            continue
        missing, extra = _known(theirs) - _known(ours), _known(ours) - _known(theirs)
        extra = {text for text in extra if not _TOLD_SINCE.search(text)}
        if missing or extra:
            found.append(f"{kind}: {sorted(extra)} instead of {sorted(missing)}")
    return found


def _known(texts: list[str]) -> set[str]:
    plain = (_POSITION.sub("", text).removesuffix(' for metric name ""') for text in texts)
    return {_NAME.sub(r"\1", text) for text in plain}
