"""Token buckets."""

from __future__ import annotations

from services.distributor.rate import RateLimit


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    limit = RateLimit(rate=10.0, burst=100)
    assert limit.take("a", 100, 0.0) is None
    assert limit.take("a", 1, 0.0) == 0.1
    assert limit.take("a", 10, 1.0) is None
    assert limit.take("a", 1, 1.0) == 0.1


def test_a_refusal_takes_nothing() -> None:
    limit = RateLimit(rate=1.0, burst=10)
    for _ in range(5):
        assert limit.take("a", 11, 0.0) == 0.0
    assert limit.take("a", 10, 0.0) is None


def test_tenants_do_not_share() -> None:
    limit = RateLimit(rate=1.0, burst=1)
    assert limit.take("a", 1, 0.0) is None
    assert limit.take("b", 1, 0.0) is None
    assert limit.take("a", 1, 0.5) == 0.5


def test_tokens_do_not_grow_beyond_the_burst() -> None:
    limit = RateLimit(rate=1.0, burst=5)
    assert limit.take("a", 1, 0.0) is None
    assert limit.take("a", 6, 1e9) is not None
    assert limit.take("a", 5, 1e9) is None


def test_tenants_with_a_full_bucket_are_forgotten() -> None:
    limit = RateLimit(rate=1.0, burst=1)
    for number in range(25_000):
        assert limit.take(f"tenant-{number}", 1, number / 100) is None
    assert len(limit._buckets) <= 10_001


def test_of_a_rate_that_is_shared_each_has_its_part_and_the_whole_burst() -> None:
    limit = RateLimit(rate=10.0, burst=100)
    limit.parts = 4
    assert limit.take("a", 100, 0.0) is None
    assert limit.take("a", 5, 0.0) == 2.0
    assert limit.take("a", 5, 2.0) is None
    limit.parts = 1
    assert limit.take("a", 10, 3.0) is None
