"""The Accept header as HTTP reads it."""

import pytest

from services.querier.api.accept import best, ranges

OURS = ["application/json", "text/plain"]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "application/json"),
        ("text/plain", "text/plain"),
        ("TEXT/Plain ; q=1.0", "text/plain"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/*", "text/plain"),
        ("text/plain;q=0", None),
        ("text/plain;q=nonsense", None),
        ("application/json;q=0.2, text/plain;q=0.3", "text/plain"),
        ("image/png", None),
    ],
)
def test_the_best_that_both_know(header: str, chosen: str | None) -> None:
    assert best(header, OURS) == chosen


def test_ranges_come_best_first_with_their_parameters() -> None:
    open_metrics = 'application/openmetrics-text;version="1.0.0"; Escaping=Dots'
    header = f"text/plain;version=0.0.4;q=0.3, {open_metrics}, ,a/b;q=0"
    found = ranges(header)
    assert [(one.type, one.weight, one.params) for one in found] == [
        ("application/openmetrics-text", 1.0, {"version": "1.0.0", "escaping": "Dots"}),
        ("text/plain", 0.3, {"version": "0.0.4"}),
    ]
