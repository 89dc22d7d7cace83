"""Random PromQL over the fleet of floats and native histograms: a grammar as a table, and walks over it.

Every rule lists templates, `<rule>` in a template is another draw, and a rule that has leaves draws one of
them when the walk is deep enough. A seed gives the same texts for ever.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["MixedExpressions"]

_RULE: Final = re.compile(r"<([a-z_]+)>")

_LEAVES: Final[Mapping[str, Sequence[str]]] = {
    "vector": ["<selector>", "<window>", "<selector>", "<window>", "<of_histogram>"],
    "histogram": ["<histograms>", "<histogram_window>"],
    "scalar": ["<number>", "<number>", "time()", "pi()"],
}

_RULES: Final[Mapping[str, Sequence[str]]] = {
    "query": [*["<vector>"] * 12, "<scalar>", "<sorted>"],
    "vector": [
        *["<aggregation>"] * 4,
        *["<of_histogram>"] * 4,
        *["<with_scalar>"] * 3,
        *["<join>"] * 3,
        *["<function>"] * 3,
        *["<subquery>"] * 2,
        "<set_operation>",
        "<relabelled>",
        "<histogram>",
        "<selector>",
        "<window>",
    ],
    "sorted": [
        "sort(<vector>)",
        "sort_desc(<vector>)",
        'sort_by_label(<vector>, "instance", "job")',
        'sort_by_label_desc(<vector>, "job")',
        "topk(3, <unique>)",
        "bottomk(2, <unique>)",
    ],
    # --- selectors ---
    "selector": ["<floats>", "<histograms>", "<mixed>"],
    "floats": ["<float_metric><matchers><modifier>"],
    "histograms": ["<histogram_metric><matchers><modifier>", "<restless><matchers><modifier>"],
    "mixed": [
        "<mixed_metric><matchers><modifier>",
        '{"größe.total"<more>}<modifier>',
        '{__name__=~"<float_metric>|<exponential>"<more>}<modifier>',
        '{__name__=~"<exponential>|<mixed_metric>"<more>}<modifier>',
        '{__name__=~"<exponential>|size_bytes"<more>}<modifier>',
    ],
    "ranged": [
        "<float_metric><matchers>[<range>]<modifier>",
        "<histogram_metric><matchers>[<range>]<modifier>",
        "<mixed_metric><matchers>[<range>]<modifier>",
        '{"größe.total"<more>}[<range>]<modifier>',
        '{__name__=~"<exponential>|<mixed_metric>"<more>}[<range>]<modifier>',
    ],
    "float_metric": ["requests_total", "temperature", "latency_seconds_bucket"],
    "histogram_metric": ["call_seconds", "wait_seconds", "size_bytes", "depth", "swing"],
    "restless": ["restless_seconds", "odd_seconds"],
    "exponential": ["call_seconds", "wait_seconds", "depth", "swing"],
    "mixed_metric": ["moody", "half_seconds"],
    "matchers": ["", "", '{job="api"}', '{instance=~"a|b"}', '{path!=""}', '{instance!="c", job!~"d.*"}'],
    "more": ["", ', job="api"', ', instance!="b"'],
    "modifier": [
        *[""] * 5,
        " offset 1m",
        " offset -1m",
        " offset 45s",
        " offset 1m30s",
        " @ start()",
        " @ end()",
        " @ <moment>",
        " @ <moment> offset 2m",
    ],
    "range": ["15s", "30s", "41s", "1m", "1m3s", "4m", "5m", "9m59s", "10m", "60 + 2 * 45s", "150"],
    # --- windows ---
    "window": [
        *["<over_time>_over_time(<ranged>)"] * 3,
        *["<change>(<ranged>)"] * 2,
        "<rate_of_counter>(requests_total<matchers>[<range>]<modifier>)",
        "<rate_of_counter>(<counter_metric><matchers>[<range>]<modifier>)",
        "quantile_over_time(<parameter>, <ranged>)",
        "predict_linear(requests_total[<range>], <number>)",
        "double_exponential_smoothing(<ranged>, 0.3, 0.6)",
        "absent_over_time(<ranged>)",
        "mad_over_time(requests_total<matchers>[<range>]<modifier>)",
    ],
    "over_time": [
        "avg",
        "sum",
        "min",
        "max",
        "count",
        "last",
        "present",
        "stddev",
        "stdvar",
        "ts_of_min",
        "ts_of_max",
        "ts_of_last",
        "avg",
        "sum",
        "last",
    ],
    "change": ["delta", "irate", "idelta", "changes", "resets", "deriv"],
    "rate_of_counter": ["rate", "increase"],
    "last_two": ["delta", "idelta"],
    # --- histograms ---
    "histogram": [
        "<histograms>",
        "<histogram_window>",
        "<sum_or_avg><grouping> (<histogram>)",
        "<histogram> <factor>",
        "(<histogram>) <plus_or_minus> <on_all> (<histogram>)",
        "-<histogram_window>",
        "<sum_or_avg>_over_time((<histogram_window>)[<subwindow>])",
        "<last_two>((<histogram_metric><matchers><modifier>)[<subwindow>])",
        "histogram_count(<histograms>) * <on_all> (<histogram>)",
    ],
    "histogram_window": [
        "<histogram_function>(<histogram_metric><matchers>[<range>]<modifier>)",
        "<histogram_function>(<mixed_metric><matchers>[<range>]<modifier>)",
        "<rate_of_counter>(<counter_metric><matchers>[<range>]<modifier>)",
    ],
    "histogram_function": ["delta", "irate", "idelta", "avg_over_time", "sum_over_time", "last_over_time"],
    "of_histogram": [
        *["histogram_quantile(<phi>, <counts>)"] * 2,
        "histogram_quantile(<phi>, <classic>)",
        "histogram_quantile(<phi>, <both_kinds>)",
        "histogram_fraction(<edge>, <edge>, <counts>)",
        "histogram_fraction(<natural_edge>, <natural_edge>, <classic>)",
        "histogram_<statistic>(<histogram>)",
        "histogram_<statistic>(<vector>)",
    ],
    # With no bucket below zero.
    "counts": [
        "<histogram_metric><matchers><modifier>",
        "restless_seconds<matchers><modifier>",
        "<count_window>",
        "<count_window>",
        "<sum_or_avg><grouping> (<count_window>)",
        "<sum_or_avg><grouping> (restless_seconds<matchers><modifier>)",
        "<count_window> * 2",
        "<mixed>",
        "<sum_or_avg>_over_time(<histogram_metric><matchers>[<range>]<modifier>)",
    ],
    "count_window": ["<rate>(<counter_metric><matchers>[<range>]<modifier>)"],
    "rate": ["rate", "increase", "irate", "avg_over_time", "sum_over_time", "last_over_time"],
    "counter_metric": [
        "call_seconds",
        "wait_seconds",
        "size_bytes",
        "half_seconds",
        "moody",
        "restless_seconds",
    ],
    "statistic": ["count", "sum", "avg", "stddev", "stdvar"],
    "classic": [
        "rate(latency_seconds_bucket[<range>])",
        "sum by (<le>) (rate(latency_seconds_bucket<matchers>[<range>]<modifier>))",
        "latency_seconds_bucket<matchers><modifier>",
    ],
    "both_kinds": [
        'label_replace({__name__=~"latency_seconds_bucket|call_seconds"}, "__name__", "x", "", "")'
    ],
    "le": ["le", "le, job", "le, job, instance"],
    "phi": ["0", "0.1", "0.5", "0.9", "0.99", "1", "-1", "1.5", "NaN", "scalar(<selector>)"],
    "edge": ["0", "0.1", "0.5", "1", "3", "-1", "-Inf", "+Inf", "-0.25", "100", "0.3"],
    "natural_edge": ["0.1", "0.5", "1", "3", "+Inf", "100", "0.3"],
    "factor": ["* 2", "/ 4", "* -1", "/ 0", "* 0", "* Inf", "* 0.25", "/ <number>"],
    "sum_or_avg": ["sum", "avg"],
    "plus_or_minus": ["+", "-"],
    "on_all": ["on (job, instance)", "ignoring (path, le)"],
    # --- scalars ---
    "scalar": ["<number>", "scalar(<vector>)", "scalar(<unique>)", "(<scalar> <arithmetic> <scalar>)"],
    "number": ["2", "0.5", "-1", "7", "0", "Inf", "NaN", "1e3", "3.25", "1m30s", "0x1F", "1_000", "100ms"],
    "parameter": ["0.5", "0.9", "-1", "2", "0", "1", "NaN"],
    # --- operators ---
    "with_scalar": [
        "(<vector>) <arithmetic> (<scalar>)",
        "(<scalar>) <arithmetic> (<vector>)",
        "(<vector>) <comparison> (<scalar>)",
        "(<scalar>) <comparison> (<vector>)",
        "(<selector>) <steep>",
        "-(<vector>)",
    ],
    "arithmetic": ["+", "-", "*", "/"],
    "comparison": ["==", "!=", "<", ">", "<=", ">=", "== bool", "!= bool", "> bool", "<= bool"],
    "steep": ["^ 2", "^ 0.5", "^ -1", "% 7", "% -2.5", "% 0", "atan2 2", "^ 0"],
    "join": [
        "<group><by> (<vector>) <operator> <group><by> (<vector>)",
        "(<vector>) <operator> on (job, instance) group_left () sum by (job, instance) (<vector>)",
        "sum by (job) (<vector>) <operator> on (job) group_right () (<vector>)",
        "<group><by> (<vector>) <filter> <group><by> (<vector>)",
        "(<selector>) <filter> on (job, instance) (<histogram>)",
        "(<selector>) <filter> on (job, instance) group_left () sum by (job, instance) (<vector>)",
        "(<selector>) <operator> on (job, instance) (<histogram>)",
        "(<histogram>) <operator> ignoring (path) (<histogram>)",
        "<selector> atan2 ignoring (path) <selector>",
    ],
    "operator": ["+", "-", "*", "/", "+", "-", "*", "/", "!= bool", ">= bool", "== bool"],
    "filter": ["==", "!=", "<", ">="],
    "by": [" by (job)", " by (job, instance)", " by (instance)"],
    "set_operation": [
        "(<vector>) <set> (<vector>)",
        "(<vector>) <set> on (<label>) (<vector>)",
        "(<vector>) <set> ignoring (<label>) (<vector>)",
    ],
    "set": ["and", "or", "unless"],
    "label": ["job", "instance", "path", '"pod.name"'],
    # --- aggregations ---
    "aggregation": [
        *["<aggregator><grouping> (<vector>)"] * 5,
        *["<sum_or_avg><grouping> (<selector>)"] * 3,
        "quantile<grouping> (<parameter>, <vector>)",
        'count_values<grouping> ("n", changes(<ranged>))',
        'count_values<grouping> ("n", <histograms>)',
        "limitk<grouping> (1000, <vector>)",
        "limitk<grouping> (0, <vector>)",
        "limit_ratio (<ratio>, <selector>)",
        "topk<by> (2, <unique>)",
        "bottomk (2, <unique>)",
    ],
    "aggregator": ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"],
    "group": ["sum", "avg", "min", "max", "count", "group"],
    "grouping": [
        "",
        "",
        " by (job)",
        " by (job, instance)",
        " without (path)",
        " without (instance, le)",
        ' by ("pod.name", job)',
    ],
    "ratio": ["1", "-1", "0.5", "-0.5", "0.3", "1.5", "0", "-3"],
    "unique": [
        "sum by (job, instance) (requests_total<modifier>)",
        "max by (job, instance) (requests_total)",
    ],
    # --- the rest ---
    "function": [
        *["<math>(<vector>)"] * 3,
        "<trigonometric>(clamp(<vector>, -100, 100))",
        "<date>(timestamp(<vector>) * <stretch>)",
        "clamp(<vector>, <number>, <number>)",
        "clamp_min(<vector>, <scalar>)",
        "clamp_max(<vector>, <scalar>)",
        "round(<vector>, <unit>)",
        "round(<selector>)",
        "timestamp(<vector>)",
        "timestamp(<selector>)",
        "absent(<vector>)",
        "vector(<scalar>)",
    ],
    "math": ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "deg", "rad", "atan"],
    "trigonometric": ["sin", "cos", "tanh", "asinh"],
    "date": [
        "hour",
        "minute",
        "day_of_week",
        "day_of_month",
        "days_in_month",
        "month",
        "year",
        "day_of_year",
    ],
    "stretch": ["1", "-1", "3.7", "40"],
    "unit": ["1", "0.5", "10", "-5"],
    "subquery": [
        "<of_subquery>((<vector>)[<subwindow>]<suboffset>)",
        "<of_subquery>((<floats>)[<subwindow>]<suboffset>)",
        "<of_subquery>((<float_metric><matchers>)[<subwindow>] @ <moment>)",
        "<rate_of_counter>((requests_total<matchers>)[<subwindow>]<suboffset>)",
        "<of_subquery>((<float_metric><matchers> offset 30s)[<subwindow>] @ end())",
    ],
    "of_subquery": [
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "sum_over_time",
        "count_over_time",
        "stddev_over_time",
        "present_over_time",
        "delta",
        "idelta",
        "ts_of_last_over_time",
    ],
    "subwindow": ["2m:15s", "2m1s:15s", "5m:1m", "3m1s:30s", "4m:", "90s:10s"],
    "suboffset": ["", "", " offset 1m"],
    "relabelled": [
        'label_replace(<by_target>, "who", "$2-$1", "instance", "(.)(.*)")',
        'label_replace(<vector>, "a.b", "$1", "instance", "(.*)")',
        'sum by ("a.b") (label_replace(<vector>, "a.b", "${x}", "job", "(?P<x>.).*"))',
        'label_join(<by_target>, "where.is", "/", "job", "instance")',
        'label_replace(<vector>, "__name__", "new_$1", "job", "(.*)")',
    ],
    "by_target": ["sum by (job, instance) (<vector>)"],
}


class MixedExpressions:
    """An endless, reproducible stream of queries; `moments` are times that `@` names."""

    def __init__(self, seed: int, moments: Sequence[int]) -> None:
        self._rng = random.Random(seed)
        self._moments = [str(moment) for moment in moments]

    def draw(self) -> str:
        """One query, of vector or scalar type."""
        return self._expand("query", self._rng.randint(2, 7))

    def _expand(self, rule: str, depth: int) -> str:
        if rule == "moment":
            return self._rng.choice(self._moments)
        if rule not in _RULES:
            return f"<{rule}>"
        templates = _LEAVES.get(rule, _RULES[rule]) if depth <= 0 else _RULES[rule]
        template = self._rng.choice(templates)
        return _RULE.sub(lambda found: self._expand(found[1], depth - 1), template)
