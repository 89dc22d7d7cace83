"""`/features`: which parts of Prometheus' API and of PromQL are here, by Prometheus' names."""

from __future__ import annotations

from rondel.promql import options
from rondel.promql.functions import SIGNATURES

__all__ = ["features"]


def features(flags: frozenset[str]) -> dict[str, dict[str, bool]]:
    """category -> name -> whether it is on, under the given feature flags."""
    experimental = options.EXPERIMENTAL_FUNCTIONS in flags
    fill = options.BINOP_FILL in flags
    extended = options.EXTENDED_RANGE_SELECTORS in flags
    return {
        "api": {
            "admin": False,
            "exclude_alerts": False,
            "label_values_match": True,
            "lifecycle": False,
            "otlp_write_receiver": False,
            "query_stats": True,
            "query_warnings": True,
            "remote_write_receiver": True,
            "search": options.SEARCH_API in flags,
            "search_fuzz_alg_jarowinkler": True,
            "search_fuzz_alg_subsequence": True,
            "time_range_labels": True,
            "time_range_series": True,
        },
        "prometheus": {"agent_mode": False, "server_mode": True},
        "promql": {
            **dict.fromkeys(
                ("at_modifier", "bool", "by", "duration_expr", "group_left", "group_right"), True
            ),
            **dict.fromkeys(("ignoring", "negative_offset", "offset", "on", "subqueries", "without"), True),
            "per_query_lookback_delta": True,
            "per_step_stats": options.PER_STEP_STATS in flags,
            "delayed_name_removal": options.DELAYED_NAME_REMOVAL in flags,
            "anchored": extended,
            "smoothed": extended,
            "fill": fill,
            "fill_left": fill,
            "fill_right": fill,
        },
        "promql_functions": {
            name: experimental or not signature.experimental for name, signature in sorted(SIGNATURES.items())
        },
        "tsdb": {"native_histograms": True, "exemplar_storage": True},
    }
