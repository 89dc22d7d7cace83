"""Which coding a client gets, and that it can undo it."""

import zlib

import pytest
import zstandard

from rondel.runtime.compress import compress, negotiate


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("deflate, gzip;q=0.9", "deflate"),
        ("zstd;q=0.1, gzip;q=0.5", "gzip"),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("identity", None),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip;q=nonsense", None),
    ],
)
def test_the_weightiest_coding_that_both_know(header: str, coding: str | None) -> None:
    assert negotiate(header) == coding


def test_every_coding_can_be_undone() -> None:
    body = b"a metric and its value, " * 1000
    assert zlib.decompress(compress(body, "gzip"), wbits=31) == body
    assert zlib.decompress(compress(body, "deflate")) == body
    assert zstandard.ZstdDecompressor().decompress(compress(body, "zstd")) == body
