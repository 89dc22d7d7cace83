"""Wrong text is refused with Prometheus' words, at Prometheus' position."""

from __future__ import annotations

import pytest

from rondel.errors import ParseError
from rondel.promql.parser import FEATURES, ParserOptions, parse

_EVERYTHING = ParserOptions(FEATURES)
_SELECTORS_NAMED = "an instant vector selector or range vector selector or a subquery"
_DURATION_START = "number, duration, step(), or range()"

_GRAMMAR = [
    ("", "1:1", "no expression found in input"),
    ("# only a comment", "1:1", "no expression found in input"),
    ("1+", "1:3", "unexpected end of input"),
    ("1 + ", "1:5", "unexpected end of input"),
    ("*1", "1:1", "unexpected <op:*>"),
    ("a b", "1:3", 'unexpected identifier "b"'),
    ("a x:y", "1:3", 'unexpected metric identifier "x:y"'),
    ("a 5", "1:3", 'unexpected number "5"'),
    ("a 5m", "1:3", 'unexpected duration "5m"'),
    ('a "long string here"', "1:3", 'unexpected string "\\"long stri"...'),
    ("a\n  + b\n  c", "3:3", 'unexpected identifier "c"'),
    ('{"é"} x', "1:8", 'unexpected identifier "x"'),
    ("(1", "1:3", "unclosed left parenthesis"),
    ("sum(", "1:5", "unclosed left parenthesis"),
    ("1)", "1:3", "unexpected right parenthesis ')'"),
    ("()", "1:2", 'unexpected ")"'),
    ("x:y(1)", "1:4", 'unexpected "("'),
    ("on", "1:1", "unexpected <on>"),
    ("a + group_left b", "1:5", "unexpected <group_left>"),
    ("a + on(x) bool b", "1:11", "unexpected <bool>"),
    ("a]", "1:2", "unexpected right bracket ']'"),
    ("a[[5m]]", "1:3", "unexpected left bracket '['"),
    ("é", "1:1", "unexpected character: 'é'"),
    ("a ! b", "1:3", "unexpected character after '!': ' '"),
    ("a !", "1:3", "unexpected character after '!': '\ufffd'"),
    ("a =~ b", "1:3", "unexpected character after '=': '~'"),
    ("a = b", "1:3", 'unexpected "="'),
    ("a, b", "1:2", 'unexpected ","'),
]

_NUMBERS = [
    ("2.5.", "1:1", 'bad number or duration syntax: "2.5."'),
    ("100..4", "1:1", 'bad number or duration syntax: "100.."'),
    ("0deadbeef", "1:1", 'bad number or duration syntax: "0de"'),
    ("a[5mm]", "1:3", 'bad number or duration syntax: "5mm"'),
    ("a[5m1]", "1:3", 'bad number or duration syntax: "5m1"'),
    ("a[5m:1m1]", "1:6", 'bad number or duration syntax: "1m1"'),
    ("a[1d1y]", "1:3", 'bad number or duration syntax: "1d1"'),
    ("a[1s1m]", "1:3", 'not a valid duration string: "1s1m"'),
    ("a[5hs]", "1:3", 'not a valid duration string: "5hs"'),
    ("a[0m]", "1:3", "duration must be greater than 0"),
    ("a[-1]", "1:3", "duration must be greater than 0"),
    ("a[1e10]", "1:3", "duration out of range"),
    ("a[5m/0]", "1:5", "division by zero"),
    ("a[5m%0]", "1:5", "modulo by zero"),
    ("1" * 5000 + "m", "1:1", "duration out of range"),
    ("a[" + "1" * 5000 + "d]", "1:3", "duration out of range"),
    ("1e999", "1:1", 'error parsing number: strconv.ParseFloat: parsing "1e999": value out of range'),
]

_STRINGS = [
    ('"abc', "1:1", "unterminated quoted string"),
    ('"a\nb"', "1:1", "unterminated quoted string"),
    ("`abc", "1:1", "unterminated raw string"),
    (r"'a\q'", "1:1", "unknown escape sequence U+0071 'q'"),
    (r"'\x1", "1:1", "escape sequence not terminated"),
    (r"'\xzz'", "1:1", "illegal character U+007A 'z' in escape sequence"),
    (r"'\400'", "1:1", "escape sequence is an invalid Unicode code point"),
    (r"'\ud800'", "1:1", "escape sequence is an invalid Unicode code point"),
    ("'\ufffd'", "1:1", "invalid UTF-8 rune"),
    ("`\ufffd`", "1:1", "invalid UTF-8 rune"),
]

_SELECTORS = [
    ("a{", "1:3", "unexpected end of input inside braces"),
    ("a{{", "1:3", "unexpected left brace '{'"),
    ("a{;}", "1:3", "unexpected character inside braces: ';'"),
    ("a{b!c}", "1:4", "unexpected character after '!' inside braces: 'c'"),
    ("a{,}", "1:3", 'unexpected "," in label matching, expected identifier or "}"'),
    ("a{b}", "1:4", 'unexpected "}" in label matching, expected label matching operator'),
    ("a{b=}", "1:5", 'unexpected "}" in label matching, expected string'),
    ("a{b=c}", "1:5", 'unexpected identifier "c" in label matching, expected string'),
    ('a{b="c" d="e"}', "1:9", 'unexpected identifier "d" in label matching, expected "," or "}"'),
    ("{}", "1:1", "vector selector must contain at least one non-empty matcher"),
    ('{a=""}', "1:1", "vector selector must contain at least one non-empty matcher"),
    ('{a!="x",b=~".*"}', "1:1", "vector selector must contain at least one non-empty matcher"),
    ('a{__name__="b"}', "1:1", 'metric name must not be set twice: "a" or "b"'),
    ('a{"b"}', "1:1", 'metric name must not be set twice: "a" or "b"'),
    ('a{b=~"(c"}', "1:3", "error parsing regexp: missing closing ): `(c`"),
    ('a{b=~"*"}', "1:3", "error parsing regexp: missing argument to repetition operator: `*`"),
    ('a{b="\\xff"}', "1:5", 'invalid UTF-8 in "\\xff"'),
]

_RANGES = [
    ("a[", "1:3", "unexpected end of input in duration expression"),
    ("a[5m", "1:5", "unclosed left bracket"),
    ("a[]", "1:3", f'unexpected "]" in subquery or range selector, expected {_DURATION_START}'),
    ('a["5m"]', "1:3", "unexpected character in duration expression: '\"'"),
    ("a[5m x]", "1:6", "unexpected character: 'x', expected ':'"),
    ('a[5m "x"]', "1:6", 'unexpected string "\\"x\\"" in subquery or range selector, expected ":" or "]"'),
    ("a[5m:1m:1m]", "1:8", "unexpected colon ':'"),
    ("a[5m:1m 2m]", "1:9", 'unexpected duration "2m" in subquery selector, expected "]"'),
    ("(a)[5m]", "1:4", "ranges only allowed for vector selectors"),
    ("a offset 5m [5m]", "1:13", "no offset modifiers allowed before range"),
    ("a @ 5 [5m]", "1:7", "no @ modifiers allowed before range"),
    ("a @ start() [5m]", "1:13", "no @ modifiers allowed before range"),
    ("a offset", "1:9", f"unexpected end of input in offset, expected {_DURATION_START}"),
    ("a offset x", "1:10", f'unexpected identifier "x" in offset, expected {_DURATION_START}'),
    ("a offset 5m offset 5m", "1:1", "offset may not be set multiple times"),
    ("a @ 5 @ 6", "1:1", "@ <timestamp> may not be set multiple times"),
    ("a @", "1:4", "unexpected end of input in @, expected timestamp"),
    ("a @ b", "1:5", 'unexpected identifier "b" in @, expected timestamp'),
    ("a @ start", "1:10", "unexpected end of input in @, expected timestamp"),
    ("a @ inf", "1:1", "timestamp out of bounds for @ modifier: +Inf"),
    (
        "(a) offset 5m",
        "1:1",
        f"offset modifier must be preceded by {_SELECTORS_NAMED}",
    ),
    (
        "rate(a[5m]) @ 5",
        "1:1",
        f"@ modifier must be preceded by {_SELECTORS_NAMED}",
    ),
]

_AGGREGATIONS = [
    ("sum()", "1:1", "no arguments for aggregate expression provided"),
    ("sum(1 2)", "1:7", 'unexpected number "2" in aggregation'),
    ("sum by (x) a", "1:12", 'unexpected identifier "a" in aggregation'),
    ("sum by x (a)", "1:8", 'unexpected identifier "x" in grouping opts, expected "("'),
    ("sum by (,) (a)", "1:9", 'unexpected "," in grouping opts, expected label'),
    ("sum by (x y) (a)", "1:11", 'unexpected identifier "y" in grouping opts, expected "," or ")"'),
    ("sum by (x:y) (a)", "1:9", 'unexpected metric identifier "x:y" in grouping opts, expected label'),
    ('sum by ("") (a)', "1:9", 'invalid label name for grouping: ""'),
    ("sum (a) by (x) by (y)", "1:16", "unexpected <by>"),
    (
        "topk(a)",
        "1:1",
        "wrong number of arguments for aggregate expression provided, expected 2, got 1",
    ),
    ("topk(a,)", "1:7", "trailing commas not allowed in function call args"),
    ("topk(a, b)", "1:6", "expected type scalar in aggregation parameter, got instant vector"),
    ("count_values(5, b)", "1:14", "expected type string in aggregation parameter, got scalar"),
    ("sum(1)", "1:5", "expected type instant vector in aggregation expression, got scalar"),
    ("sum(a[5m])", "1:5", "expected type instant vector in aggregation expression, got range vector"),
]

_CALLS = [
    ("unknown(1)", "1:1", 'unknown function with name "unknown"'),
    ("RATE(a[5m])", "1:1", 'unknown function with name "RATE"'),
    ("rate(a)", "1:6", 'expected type range vector in call to function "rate", got instant vector'),
    ("rate()", "1:1", 'expected 1 argument(s) in call to "rate", got 0'),
    ("hour(a, b)", "1:1", 'expected at most 1 argument(s) in call to "hour", got 2'),
    ("round(a, 1, 2)", "1:1", 'expected at most 2 argument(s) in call to "round", got 3'),
    ("label_join(a)", "1:1", 'expected at least 3 argument(s) in call to "label_join", got 1'),
    (
        'label_join(a, "b", ",", "c", 5)',
        "1:30",
        'expected type string in call to function "label_join", got scalar',
    ),
    ("info(a, b)", "1:9", "expected label selectors only, got vector selector instead"),
    ("info(a, 1)", "1:1", 'expected type instant vector in call to function "info", got scalar'),
    ("rate(a[5m],)", "1:11", "trailing commas not allowed in function call args"),
]

_OPERATORS = [
    ("1 == 1", "1:3", "comparisons between scalars must use BOOL modifier"),
    ("a + bool b", "1:3", "bool modifier can only be used on comparison operators"),
    ("a and 1", "1:1", 'set operator "and" not allowed in binary scalar expression'),
    ("1 or 2", "1:1", 'set operator "or" not allowed in binary scalar expression'),
    ("a + on(x) 1", "1:1", "vector matching only allowed between instant vectors"),
    ("a + fill(0) 1", "1:1", "filling in missing series only allowed between instant vectors"),
    ("a and on(x) group_left b", "1:1", 'no grouping allowed for "and" operation'),
    ("a and fill(0) b", "1:1", "filling in missing series not allowed for set operators"),
    ("a / on(x) group_left(x) b", "1:3", 'label "x" must not occur in ON and GROUP clause at once'),
    ("a[5m] + b", "1:1", "binary expression must contain only scalar and instant vector types"),
    ('a + "b"', "1:5", "binary expression must contain only scalar and instant vector types"),
    (
        "-a[5m]",
        "1:1",
        'unary expression only allowed on expressions of type scalar or instant vector, got "range vector"',
    ),
    ("a[5m][5m:]", "1:1", "subquery is only allowed on instant vector, got matrix instead"),
    ("1[5m:]", "1:1", "subquery is only allowed on instant vector, got scalar instead"),
    ("a[5m:] anchored", "1:1", "anchored modifier is not supported for subqueries"),
    ("(a) smoothed", "1:1", "smoothed modifier not implemented"),
    ("a anchored smoothed", "1:1", "anchored and smoothed modifiers cannot be used together"),
]

_ALL = _GRAMMAR + _NUMBERS + _STRINGS + _SELECTORS + _RANGES + _AGGREGATIONS + _CALLS + _OPERATORS


@pytest.mark.parametrize(("text", "place", "message"), _ALL, ids=[text for text, *_ in _ALL])
def test_a_mistake_is_told_with_its_position(text: str, place: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text, _EVERYTHING)
    assert str(caught.value) == f"{place}: parse error: {message}"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("mad_over_time(a[5m])", "1:1", 'function "mad_over_time" is not enabled'),
        ("1 + start()", "1:5", 'function "start" is not enabled'),
        (
            "limitk(1, a)",
            "1:1",
            "limitk() is experimental and must be enabled with "
            "--enable-feature=promql-experimental-functions",
        ),
        ("a + fill(0) b", "1:1", "binop fill modifiers are experimental and not enabled"),
        ("rate(a[5m] anchored)", "1:6", "anchored modifier is experimental and not enabled"),
        ("a smoothed", "1:1", "smoothed modifier is experimental and not enabled"),
    ],
)
def test_experimental_syntax_needs_its_feature(text: str, place: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text, ParserOptions())
    assert str(caught.value) == f"{place}: parse error: {message}"
    parse(text, _EVERYTHING)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "-" * 10_000 + "a",
        "1" + "^1" * 10_000,
        "1" + "+1" * 10_000,
        "sum(" * 10_000 + "a" + ")" * 10_000,
        "a[" + "(" * 10_000 + "1m" + ")" * 10_000 + "]",
        "a[1m" + "^1m" * 10_000 + "]",
        "a" + "[5m:]" * 10_000,
        "1" + "+1" * 500_000,
        "(" * 500_000,
        "x[5m" + "+5m" * 50_000 + "]",
    ],
    ids=lambda text: f"{text[:8]} of {len(text)} characters",
)
def test_no_text_exhausts_the_stack(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text, _EVERYTHING)


def test_a_text_over_the_limit_names_limit_and_actual() -> None:
    with pytest.raises(ParseError, match="expression has 600000 bytes, the limit is 524288"):
        parse("a" * 600_000)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "1" * 100_000 + "x",
        "1_1" * 100_000 + "x",
        "1" * 50_000 + "." + "1" * 50_000 + "x",
        "0x" + "f_" * 100_000,
        "1m" * 100_000,
        "a[" + "1h1d" * 50_000 + "]",
        "#" * 100_000 + "\n$",
        "fill" + " " * 100_000 + "$",
        '"' + "\\n" * 100_000,
        "a{b=~'" + "(x|" * 50_000 + "'}",
        "a" + "\n+a" * 100_000 + "$",
    ],
    ids=lambda text: f"{text[:8]!r} of {len(text)} characters",
)
def test_the_time_for_a_wrong_text_grows_with_its_length_alone(text: str) -> None:
    """What reads a number in every way of splitting it takes hours here."""
    with pytest.raises(ParseError):
        parse(text, _EVERYTHING)
