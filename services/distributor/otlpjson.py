"""OTLP's JSON into its protobuf, for the few senders that speak it: what it writes is then read natively.

JSON of OTLP is that of protobuf with two exceptions: ids of traces and spans are hexadecimal, and enums are
numbers. Unknown fields are skipped, as readers have to.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from rondel.errors import InvalidData

__all__ = ["message_of"]

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2


def message_of(body: bytes) -> bytes:
    """The `ExportMetricsServiceRequest`. Raises InvalidData for what is none."""
    try:
        return _written(_REQUEST, json.loads(body))
    except (ValueError, TypeError, OverflowError, RecursionError, struct.error) as error:
        raise InvalidData(f"not OTLP as JSON: {error}", "otlp-json-malformed") from error


class _Field(NamedTuple):
    """A field of a message."""

    number: int
    wire: int
    write: Callable[[Any], bytes]
    is_list: bool = False


_Message: TypeAlias = Mapping[str, _Field]


def _written(message: _Message, value: Any) -> bytes:
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} where an object is wanted")
    out = bytearray()
    for name, content in value.items():
        field = message.get(name)
        if field is None or content is None:
            continue
        if field.is_list and not isinstance(content, list):
            raise ValueError(f"{name} is no list")
        for one in content if field.is_list else (content,):
            out += _varint(field.number << 3 | field.wire)
            written = field.write(one)
            out += _varint(len(written)) + written if field.wire == _BYTES else written
    return bytes(out)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _integer(value: Any) -> int:
    """64-bit integers come as texts, because JSON's numbers are doubles."""
    if isinstance(value, str):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{_shown(value)} is no integer")


def _number(value: Any) -> bytes:
    return _varint(_integer(value))


def _zigzag(value: Any) -> bytes:
    number = _integer(value)
    return _varint(number << 1 ^ number >> 63)


def _fixed(value: Any) -> bytes:
    return struct.pack("<Q", _integer(value) & (1 << 64) - 1)


def _double(value: Any) -> bytes:
    """Also from the texts `NaN`, `Infinity` and `-Infinity`."""
    if isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is no number")
    return struct.pack("<d", float(value))


def _bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is neither true nor false")
    return _varint(value)


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no text")
    return value.encode("utf-8", "replace")


def _bytes(value: Any) -> bytes:
    return b64decode(_text(value), validate=True)


def _id(value: Any) -> bytes:
    return bytes.fromhex(_text(value).decode())


def _part(number: int, message: _Message) -> _Field:
    return _Field(number, _BYTES, lambda value: _written(message, value))


def _parts(number: int, message: _Message) -> _Field:
    return _part(number, message)._replace(is_list=True)


_ANY: Final[dict[str, _Field]] = {
    "stringValue": _Field(1, _BYTES, _text),
    "boolValue": _Field(2, _VARINT, _bool),
    "intValue": _Field(3, _VARINT, _number),
    "doubleValue": _Field(4, _FIXED64, _double),
    "bytesValue": _Field(7, _BYTES, _bytes),
}
_KEY_VALUE: Final = {"key": _Field(1, _BYTES, _text), "value": _part(2, _ANY)}
_ANY["arrayValue"] = _part(5, {"values": _parts(1, _ANY)})
_ANY["kvlistValue"] = _part(6, {"values": _parts(1, _KEY_VALUE)})

_TIMES: Final = {
    "startTimeUnixNano": _Field(2, _FIXED64, _fixed),
    "timeUnixNano": _Field(3, _FIXED64, _fixed),
}
_EXEMPLAR: Final = {
    "timeUnixNano": _Field(2, _FIXED64, _fixed),
    "asDouble": _Field(3, _FIXED64, _double),
    "spanId": _Field(4, _BYTES, _id),
    "traceId": _Field(5, _BYTES, _id),
    "asInt": _Field(6, _FIXED64, _fixed),
    "filteredAttributes": _parts(7, _KEY_VALUE),
}
_NUMBER_POINT: Final = {
    **_TIMES,
    "asDouble": _Field(4, _FIXED64, _double),
    "exemplars": _parts(5, _EXEMPLAR),
    "asInt": _Field(6, _FIXED64, _fixed),
    "attributes": _parts(7, _KEY_VALUE),
    "flags": _Field(8, _VARINT, _number),
}
_HISTOGRAM_POINT: Final = {
    **_TIMES,
    "count": _Field(4, _FIXED64, _fixed),
    "sum": _Field(5, _FIXED64, _double),
    "bucketCounts": _Field(6, _FIXED64, _fixed, is_list=True),
    "explicitBounds": _Field(7, _FIXED64, _double, is_list=True),
    "exemplars": _parts(8, _EXEMPLAR),
    "attributes": _parts(9, _KEY_VALUE),
    "flags": _Field(10, _VARINT, _number),
}
_BUCKETS: Final = {
    "offset": _Field(1, _VARINT, _zigzag),
    "bucketCounts": _Field(2, _VARINT, _number, is_list=True),
}
_EXPONENTIAL_POINT: Final = {
    **_TIMES,
    "attributes": _parts(1, _KEY_VALUE),
    "count": _Field(4, _FIXED64, _fixed),
    "sum": _Field(5, _FIXED64, _double),
    "scale": _Field(6, _VARINT, _zigzag),
    "zeroCount": _Field(7, _FIXED64, _fixed),
    "positive": _part(8, _BUCKETS),
    "negative": _part(9, _BUCKETS),
    "flags": _Field(10, _VARINT, _number),
    "exemplars": _parts(11, _EXEMPLAR),
    "zeroThreshold": _Field(14, _FIXED64, _double),
}
_QUANTILE: Final = {"quantile": _Field(1, _FIXED64, _double), "value": _Field(2, _FIXED64, _double)}
_SUMMARY_POINT: Final = {
    **_TIMES,
    "count": _Field(4, _FIXED64, _fixed),
    "sum": _Field(5, _FIXED64, _double),
    "quantileValues": _parts(6, _QUANTILE),
    "attributes": _parts(7, _KEY_VALUE),
    "flags": _Field(8, _VARINT, _number),
}
_TEMPORALITY: Final = {"aggregationTemporality": _Field(2, _VARINT, _number)}
_METRIC: Final = {
    "name": _Field(1, _BYTES, _text),
    "description": _Field(2, _BYTES, _text),
    "unit": _Field(3, _BYTES, _text),
    "gauge": _part(5, {"dataPoints": _parts(1, _NUMBER_POINT)}),
    "sum": _part(
        7,
        {"dataPoints": _parts(1, _NUMBER_POINT), **_TEMPORALITY, "isMonotonic": _Field(3, _VARINT, _bool)},
    ),
    "histogram": _part(9, {"dataPoints": _parts(1, _HISTOGRAM_POINT), **_TEMPORALITY}),
    "exponentialHistogram": _part(10, {"dataPoints": _parts(1, _EXPONENTIAL_POINT), **_TEMPORALITY}),
    "summary": _part(11, {"dataPoints": _parts(1, _SUMMARY_POINT)}),
}
_RESOURCE: Final = {"attributes": _parts(1, _KEY_VALUE)}
_RESOURCE_METRICS: Final = {
    "resource": _part(1, _RESOURCE),
    "scopeMetrics": _parts(2, {"metrics": _parts(2, _METRIC)}),
}
_REQUEST: Final = {"resourceMetrics": _parts(1, _RESOURCE_METRICS)}
