"""A body of a few megabytes can ask for much more; the decoder bounds what it takes before it takes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rondel.errors import InvalidData
from rondel.model.write import Decoder, Version, WriteLimits
from tests.support.remote_write import body_of

MESSAGE_BYTES = 16 << 20
MEMORY_BYTES_MAX = 12 * MESSAGE_BYTES
LIMITS = WriteLimits(message_size_bytes_max=MESSAGE_BYTES)


def field(tag: int, content: bytes) -> bytes:
    """A field of bytes with its length."""
    length = b""
    size = len(content)
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([tag]) + length + bytes([size]) + content


def filled(part: bytes, *, around: bytes = b"", room: int = 64) -> bytes:
    """As many parts as a message has room for."""
    return around + part * ((MESSAGE_BYTES - len(around) - room) // len(part))


NAME_V1 = field(0x0A, field(0x0A, b"__name__") + field(0x12, b"up"))
SYMBOLS = field(0x22, b"") + field(0x22, b"__name__") + field(0x22, b"up")
NAME_V2 = field(0x0A, b"\x01\x02")
LONG = field(0x22, b"") + field(0x22, b"__name__") + field(0x22, b"v" * (1 << 20))
LONG_LABELS = NAME_V2 + field(0x12, b"\x10\x07")
SPAN = b"\x08\x00\x10\x01"

# name -> (version, message, id)
BOMBS: dict[str, tuple[Version, bytes, str]] = {
    "samples of two bytes": (
        Version.V1,
        field(0x0A, filled(b"\x12\x00", around=NAME_V1)),
        "max-samples-per-request",
    ),
    "samples of four bytes": (
        Version.V2,
        SYMBOLS + field(0x2A, filled(b"\x12\x02\x10\x07", around=NAME_V2)),
        "max-samples-per-request",
    ),
    "histograms of two bytes": (
        Version.V1,
        field(0x0A, filled(b"\x22\x00", around=NAME_V1)),
        "max-samples-per-request",
    ),
    "exemplars of two bytes": (
        Version.V2,
        SYMBOLS + field(0x2A, filled(b"\x22\x00", around=NAME_V2)),
        "max-exemplars-per-request",
    ),
    "symbols of two bytes": (Version.V2, filled(b"\x22\x00"), "max-symbols-per-request"),
    "a long symbol in every series": (
        Version.V2,
        filled(field(0x2A, LONG_LABELS), around=LONG),
        "distributor-max-write-message-size",
    ),
    "many layouts": (
        Version.V1,
        filled(
            field(0x0A, NAME_V1 + b"".join(field(0x22, b"\x20" + bytes([s])) for s in (2, 4, 6, 8))),
        ),
        "max-samples-per-request",
    ),
}

# Left out, not refused.
LEFT_OUT: dict[str, bytes] = {
    "spans of one histogram": filled(field(0x5A, SPAN)),
    "deltas of one histogram": field(0x62, b"\x00" * (MESSAGE_BYTES - 256)),
    "bounds of one histogram": field(0x82, b"")[:1] + field(0x01, b"\x00" * 8 * ((MESSAGE_BYTES - 256) // 8)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_grows_in_memory_is_refused(name: str) -> None:
    version, message, id = BOMBS[name]
    with pytest.raises(InvalidData) as refused:
        Decoder(LIMITS, seed=1).decode(body_of(message), 0, version)
    assert refused.value.id == id


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_histogram_with_too_much_of_anything_is_left_out(name: str) -> None:
    message = field(0x0A, NAME_V1 + field(0x22, LEFT_OUT[name]))
    batch = Decoder(LIMITS, seed=1).decode(body_of(message), 0)
    assert [id for id, _, _ in batch.rejections] == ["max-native-histogram-buckets"]


MEASURE = """
import resource
from rondel.errors import InvalidData
from rondel.model.write import Decoder, Version
from tests.unit.rondel.model.test_decoder_bounds import BOMBS, LEFT_OUT, LIMITS, NAME_V1, body_of, field
bodies = [(version, body_of(message)) for version, message, _ in BOMBS.values()]
bodies += [(Version.V1, body_of(field(0x0A, NAME_V1 + field(0x22, one)))) for one in LEFT_OUT.values()]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for version, body in bodies:
    try:
        Decoder(LIMITS, seed=1).decode(body, 0, version)
    except InvalidData:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_none_of_them_takes_much_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert 0 <= int(done.stdout) < MEMORY_BYTES_MAX
