"""The HTTP contract of the read API: methods, prefixes, parameters, errors, shapes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rondel.storage import MetricMetadata
from services.querier.config import Config
from tests.support.querier import MemoryStorage, Querier

T0 = 1_700_000_000
NO_TIME = 'invalid parameter "{}": cannot parse "{}" to a valid timestamp'
BACKWARDS = 'invalid parameter "end": end timestamp must not be before start time'
SELECTS_ALL = 'invalid parameter "match[]": match[] must contain at least one non-empty matcher'
ENDPOINTS = {
    "query": {"query": "1+1", "time": "4"},
    "query_range": {"query": "up", "start": str(T0), "end": str(T0 + 60), "step": "15"},
    "explain": {"query": "up"},
    "query_exemplars": {"query": "up", "start": str(T0), "end": str(T0 + 60)},
    "series": {"match[]": "up"},
    "labels": {},
    "label/job/values": {},
    "metadata": {},
    "rules": {},
    "alerts": {},
    "alertmanagers": {},
    "targets": {},
    "targets/metadata": {},
    "scrape_pools": {},
    "format_query": {"query": "up"},
    "parse_query": {"query": "up"},
    "status/buildinfo": {},
    "status/config": {},
    "status/flags": {},
    "status/runtimeinfo": {},
    "status/tsdb": {},
    "status/tsdb/blocks": {},
    "status/walreplay": {},
    "features": {},
    "status/self_metrics": {"metric_name_pattern": "rondel_query_running"},
}


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    for instance in ("1", "2", "3"):
        labels = {"__name__": "up", "job": "node", "instance": instance, "http.status": "200"}
        storage.add(labels, [(T0 * 1000 + k * 15_000, 1.0) for k in range(5)])
    storage.add({"__name__": "load", "job": "host"}, [(T0 * 1000, 0.5)])
    storage.entries = [
        MetricMetadata("load", "gauge", "Load.", ""),
        MetricMetadata("up", "gauge", "One way.", ""),
        MetricMetadata("up", "untyped", "Another way.", ""),
    ]
    return storage


@pytest.fixture
async def querier(storage: MemoryStorage) -> AsyncIterator[Querier]:
    querier = Querier(storage)
    yield querier
    await querier.close()


async def get(querier: Querier, path: str, params: Any = None, status: int = 200) -> Any:
    answer = await querier.client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def refused(querier: Querier, path: str, params: Any, status: int = 400) -> str:
    """The message of an error, whose envelope is checked."""
    body = await get(querier, path, params, status)
    assert body["status"] == "error"
    assert set(body) == {"status", "errorType", "error"}
    assert status != 400 or body["errorType"] == "bad_data"
    return str(body["error"])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_get_and_post_below_both_prefixes_answer_the_same(querier: Querier, endpoint: str) -> None:
    params = ENDPOINTS[endpoint]
    answers = []
    for prefix in ("/api/v1", "/prometheus/api/v1"):
        url = f"{prefix}/{endpoint}"
        answers.append(await querier.client.get(url, params=params))
        answers.append(await querier.client.post(url, data=params))
        answers.append(await querier.client.post(url, params=params))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json() == answers[0].json()
        assert answer.json()["status"] == "success"
        assert answer.json()["data"] is not None


@pytest.mark.parametrize("path", ["/api/v1/absent", "/prometheus/api/v1/query/x", "/api/v1/label//values"])
async def test_a_path_that_does_not_exist_is_404_in_json(querier: Querier, path: str) -> None:
    answer = await querier.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["errorType"] == "not_found"


async def test_a_method_that_is_not_spoken_is_405_in_json(querier: Querier) -> None:
    answer = await querier.client.put("/api/v1/query")
    assert answer.status_code == 405
    assert answer.json()["status"] == "error"


async def test_the_health_check_of_grafana_is_a_scalar_with_its_type_first(querier: Querier) -> None:
    answer = await querier.client.post("/api/v1/query", data={"query": "1+1", "time": "4"})
    assert answer.text == '{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}'


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        (
            "query",
            {"query": "up", "time": "x"},
            'invalid parameter "time": cannot parse "x" to a valid timestamp',
        ),
        (
            "query",
            {"query": "up", "timeout": "x"},
            'invalid parameter "timeout": cannot parse "x" to a valid duration',
        ),
        ("query", {"query": "up", "limit": "-1"}, 'invalid parameter "limit": limit must be non-negative'),
        (
            "query",
            {"query": "up", "lookback_delta": "x"},
            'error parsing lookback delta duration: cannot parse "x" to a valid duration',
        ),
        ("query_range", {"query": "up"}, 'invalid parameter "start": cannot parse "" to a valid timestamp'),
        (
            "query_range",
            {"query": "up", "start": "1"},
            'invalid parameter "end": cannot parse "" to a valid timestamp',
        ),
        (
            "query_range",
            {"query": "up", "start": "2", "end": "1", "step": "1"},
            'invalid parameter "end": end timestamp must not be before start time',
        ),
        (
            "query_range",
            {"query": "up", "start": "1", "end": "2", "step": "0"},
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer",
        ),
        (
            "query_range",
            {"query": "up", "start": "0", "end": "11001", "step": "1"},
            "exceeded maximum resolution of 11,000 points per timeseries. "
            "Try decreasing the query resolution (?step=XX)",
        ),
        ("series", {}, "no match[] parameter provided"),
        (
            "series",
            {"match[]": "{}"},
            'invalid parameter "match[]": match[] must contain at least one non-empty matcher',
        ),
        (
            "labels",
            {"match[]": '{a=~".*"}'},
            'invalid parameter "match[]": match[] must contain at least one non-empty matcher',
        ),
        ("labels", {"start": "x"}, 'invalid parameter "start": cannot parse "x" to a valid timestamp'),
        (
            "labels",
            {"start": "2", "end": "1"},
            'invalid parameter "end": end timestamp must not be before start time',
        ),
        ("metadata", {"limit": "x"}, "limit must be a number"),
        ("metadata", {"limit_per_metric": "x"}, "limit_per_metric must be a number"),
        ("rules", {"type": "x"}, 'invalid parameter "type": not supported value "x"'),
        ("status/tsdb", {"limit": "0"}, "limit must be a positive number"),
        ("status/tsdb", {"limit": "10001"}, "limit must not exceed 10000"),
    ],
)
async def test_wrong_parameters_are_named_in_the_words_of_prometheus(
    querier: Querier, path: str, params: dict[str, str], message: str
) -> None:
    assert await refused(querier, path, params) == message


@pytest.mark.parametrize("path", ["query", "format_query", "parse_query"])
async def test_text_that_does_not_parse_is_the_parameters_fault(querier: Querier, path: str) -> None:
    message = await refused(querier, path, {"query": "up{"})
    assert message.startswith('invalid parameter "query": 1:4: parse error: ')


async def test_a_selector_that_does_not_parse_is_the_parameters_fault(querier: Querier) -> None:
    message = await refused(querier, "series", {"match[]": "up{"})
    assert message.startswith('invalid parameter "match[]": 1:4: parse error: ')


async def test_exactly_eleven_thousand_steps_are_allowed(querier: Querier) -> None:
    params = {"query": "1", "start": "0", "end": "11000", "step": "1"}
    body = await get(querier, "query_range", params)
    assert len(body["data"]["result"][0]["values"]) == 11_001


async def test_selectors_are_alternatives(querier: Querier) -> None:
    body = await get(querier, "series", {"match[]": ["load", 'up{instance="2"}']})
    assert [entry["__name__"] for entry in body["data"]] == ["load", "up"]


async def test_match_without_brackets_is_understood(querier: Querier) -> None:
    body = (await querier.client.post("/api/v1/series", data={"match": "load"})).json()
    assert body["data"] == [{"__name__": "load", "job": "host"}]


async def test_grafanas_selector_with_a_trailing_comma_is_understood(querier: Querier) -> None:
    body = await get(querier, "label/job/values", {"match[]": '{__name__=~".+",}'})
    assert body["data"] == ["host", "node"]


async def test_labels_and_values_come_sorted_and_within_the_time_range(querier: Querier) -> None:
    assert (await get(querier, "labels"))["data"] == ["__name__", "http.status", "instance", "job"]
    assert (await get(querier, "label/job/values", {"match[]": "load"}))["data"] == ["host"]
    later = {"start": str(T0 + 30), "end": str(T0 + 90)}
    assert (await get(querier, "label/__name__/values", later))["data"] == ["up"]


@pytest.mark.parametrize("name", ["http.status", "U__http_2e_status", "http%2Estatus"])
async def test_label_names_in_paths_may_be_escaped(querier: Querier, name: str) -> None:
    assert (await get(querier, f"label/{name}/values"))["data"] == ["200"]


async def test_an_unknown_label_has_no_values_not_null(querier: Querier) -> None:
    assert (await get(querier, "label/nothing/values"))["data"] == []


@pytest.mark.parametrize(
    ("path", "params", "count"),
    [
        ("labels", {"limit": "2"}, 2),
        ("label/instance/values", {"limit": "1"}, 1),
        ("series", {"match[]": "up", "limit": "2"}, 2),
    ],
)
async def test_what_a_limit_cuts_off_is_said(
    querier: Querier, path: str, params: dict[str, str], count: int
) -> None:
    body = await get(querier, path, params)
    assert len(body["data"]) == count
    assert body["warnings"] == ["results truncated due to limit"]


async def test_a_limit_on_a_query_cuts_series(querier: Querier) -> None:
    params = {"query": "up", "time": str(T0 + 60), "limit": "2"}
    body = await get(querier, "query", params)
    assert len(body["data"]["result"]) == 2
    assert body["warnings"] == ["results truncated due to limit"]


async def test_a_limit_that_is_not_reached_is_silent(querier: Querier) -> None:
    assert "warnings" not in await get(querier, "labels", {"limit": "40000"})


async def test_metadata_groups_by_metric(querier: Querier) -> None:
    body = await get(querier, "metadata")
    assert body["data"]["load"] == [{"type": "gauge", "help": "Load.", "unit": ""}]
    assert [entry["help"] for entry in body["data"]["up"]] == ["One way.", "Another way."]


@pytest.mark.parametrize(
    ("params", "metrics", "entries"),
    [
        ({"metric": "up"}, ["up"], 2),
        ({"metric": "absent"}, [], 0),
        ({"limit": "1"}, ["load"], 1),
        ({"limit": "0"}, [], 0),
        ({"limit_per_metric": "1"}, ["load", "up"], 2),
    ],
)
async def test_metadata_has_two_limits(
    querier: Querier, params: dict[str, str], metrics: list[str], entries: int
) -> None:
    families = (await get(querier, "metadata", params))["data"]
    assert list(families) == metrics
    assert sum(map(len, families.values())) == entries


async def test_exemplars_in_milliseconds_by_mistake_do_not_break(querier: Querier) -> None:
    params = {"query": "test", "start": str(T0 * 1000), "end": str(T0 * 1000 + 1)}
    assert (await get(querier, "query_exemplars", params))["data"] == []


async def test_a_query_at_the_end_of_time_is_empty_not_an_error(querier: Querier) -> None:
    for time in ("1e300", "-1e300", "1700000000000", "292277025-08-18T07:12:54.999999999Z"):
        body = await get(querier, "query", {"query": "up", "time": time})
        assert body["data"] == {"resultType": "vector", "result": []}


async def test_statistics_come_when_asked_for(querier: Querier) -> None:
    params = {"query": "up", "time": str(T0 + 60), "stats": "all"}
    data = (await get(querier, "query", params))["data"]
    assert list(data) == ["resultType", "result", "stats"]
    assert set(data["stats"]) == {"timings", "samples", "stages"}
    assert data["stats"]["samples"] == {"totalQueryableSamples": 3, "samplesRead": 3, "peakSamples": 15}
    data = (await get(querier, "query", {**params, "stats": "true"}))["data"]
    assert set(data["stats"]) == {"timings", "samples"}
    assert "stats" not in (await get(querier, "query", {"query": "up"}))["data"]


async def test_the_stages_of_a_query_have_what_they_took_and_looked_at(querier: Querier) -> None:
    params = {"query": "up", "time": str(T0 + 60), "stats": "all"}
    stats = (await get(querier, "query", params))["data"]["stats"]
    names = ["queue", "prepare", "select", "read", "compute", "sort"]
    assert [stage["stage"] for stage in stats["stages"]] == names
    assert all(stage["time"] >= 0 for stage in stats["stages"])
    assert (stats["stages"][2]["series"], stats["stages"][3]["samples"]) == (3, 15)
    taken_s = sum(stage["time"] for stage in stats["stages"])
    assert taken_s == pytest.approx(stats["timings"]["execTotalTime"])


async def test_samples_of_each_step_come_with_their_feature_flag(storage: MemoryStorage) -> None:
    querier = Querier(storage, config=Config(features=("promql-per-step-stats",)))
    window = {"start": str(T0), "end": f"{T0 + 30.5}", "step": "15.25", "query": "count_over_time(up[30s])"}
    for stats, shown in (("all", True), ("true", False)):
        body = await get(querier, "query_range", {**window, "stats": stats})
        samples = body["data"]["stats"]["samples"]
        assert ("totalQueryableSamplesPerStep" in samples) == ("samplesReadPerStep" in samples) == shown
        if shown:
            steps = [T0, T0 + 15.25, T0 + 30.5]
            assert samples["totalQueryableSamplesPerStep"] == [[steps[0], 3], [steps[1], 6], [steps[2], 6]]
            assert samples["samplesReadPerStep"] == [[steps[0], 3], [steps[1], 3], [steps[2], 3]]
    features = (await get(querier, "features"))["data"]
    assert features["promql"]["per_step_stats"] is True
    await querier.close()


async def test_the_statistics_of_a_string_are_zero(querier: Querier) -> None:
    body = await get(querier, "query", {"query": "'text'", "stats": "all"})
    assert body["data"]["stats"]["samples"]["totalQueryableSamples"] == 0


async def test_series_are_in_the_order_of_their_labels_by_the_bytes_of_their_names(
    querier: Querier, storage: MemoryStorage
) -> None:
    """Names that begin with an uppercase letter come before `__name__`, what has no name at all after it."""
    expected = [
        {"Zone": "1", "__name__": "b"},
        {"Zone": "2", "__name__": "a"},
        {"__address__": "x", "__name__": "c"},
        {"__name__": "a"},
        {"__name__": "a", "z": "1"},
        {"a": "1"},
    ]
    for labels in reversed(expected):
        storage.add({**labels, "order": "1"}, [(T0 * 1000, 1.0)])
    found = await get(querier, "series", {"match[]": '{order="1"}'})
    assert [{**one, "order": "1"} for one in expected] == found["data"]
    window = {"query": '{order="1"}', "start": str(T0), "end": str(T0 + 1), "step": "1"}
    for path, params in (
        ("query", {"query": '{order="1"}', "time": str(T0)}),
        ("query", {"query": '{order="1"}[1m]', "time": str(T0)}),
        ("query_range", window),
    ):
        body = await get(querier, path, params)
        assert [one["metric"] for one in body["data"]["result"]] == found["data"], (path, params)


async def test_other_values_of_stats_are_taken_with_a_warning(querier: Querier) -> None:
    for value in ("true", "all"):
        assert "warnings" not in await get(querier, "query", {"query": "up", "stats": value})
    body = await get(querier, "query", {"query": "up", "stats": "yes"})
    assert "samples" in body["data"]["stats"]
    assert len(body["warnings"]) == 1
    assert '"yes"' in body["warnings"][0]


async def test_lookback_may_be_asked_for(querier: Querier) -> None:
    params = {"query": "load", "time": str(T0 + 120)}
    assert len((await get(querier, "query", params))["data"]["result"]) == 1
    params["lookback_delta"] = "1m"
    assert (await get(querier, "query", params))["data"]["result"] == []


async def test_a_query_without_a_time_is_about_now(querier: Querier) -> None:
    body = await get(querier, "query", {"query": "1"})
    assert body["data"]["result"] == [T0, "1"]


async def test_a_timeout_that_has_passed_is_503(querier: Querier) -> None:
    body = await get(querier, "query", {"query": "up", "timeout": "-1"}, 503)
    assert body["errorType"] == "timeout"


async def test_buildinfo_looks_like_prometheus_without_features(querier: Querier) -> None:
    data = (await get(querier, "status/buildinfo"))["data"]
    assert set(data) == {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"}
    assert data["version"].startswith("3.")
    assert all(isinstance(value, str) for value in data.values())


async def test_features_are_booleans_by_category(querier: Querier) -> None:
    data = (await get(querier, "features"))["data"]
    assert data["promql_functions"]["rate"] is True
    assert data["api"]["admin"] is False
    assert all(isinstance(on, bool) for names in data.values() for on in names.values())


async def test_tsdb_status_counts_series(querier: Querier) -> None:
    data = (await get(querier, "status/tsdb", {"limit": "1"}))["data"]
    stats = {"numSeries": 4, "chunkCount": 7, "minTime": 1, "maxTime": 2, "numLabelPairs": 8}
    assert data["headStats"] == stats
    assert data["seriesCountByMetricName"] == [{"name": "up", "value": 3}]


async def test_empty_lists_are_lists(querier: Querier) -> None:
    assert (await get(querier, "rules"))["data"] == {"groups": []}
    assert (await get(querier, "alerts"))["data"] == {"alerts": []}
    assert (await get(querier, "status/tsdb/blocks"))["data"] == {"blocks": []}
    targets = (await get(querier, "targets"))["data"]
    assert targets == {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}


async def test_flags_are_texts(querier: Querier) -> None:
    flags = (await get(querier, "status/flags"))["data"]
    assert flags["queue_max"] == "256"
    assert flags["log_all"] == "false"


async def test_a_tenant_sees_its_own_series_only(storage: MemoryStorage) -> None:
    storage.tenant = "team-a"
    querier = Querier(storage, tenancy=True)
    for tenant, names in (("team-a", ["load", "up"]), ("team-b", [])):
        answer = await querier.client.get("/api/v1/label/__name__/values", headers={"x-scope-orgid": tenant})
        assert answer.json()["data"] == names
    twice = [("x-scope-orgid", "team-b"), ("x-scope-orgid", "team-a")]
    assert (await querier.client.get("/api/v1/labels", headers=twice)).status_code == 400
    nobody = await querier.client.get("/api/v1/labels")
    assert nobody.status_code == 401
    assert nobody.json()["status"] == "error"
    await querier.close()


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        (r'"\xff"', 200, '"�"'),
        (r'label_replace(up, "a", "\xff", "", "")', 200, '"a":"�"'),
        (r'label_join(up, "a", "\xff", "job", "job")', 200, '"a":"node�node"'),
        (r'label_join(up, "\xff", "", "job")', 422, "invalid destination label name"),
    ],
)
async def test_text_that_is_not_utf8_is_answered_in_json(
    querier: Querier, query: str, status: int, said: str
) -> None:
    answer = await querier.client.get("/api/v1/query", params={"query": query, "time": str(T0)})
    assert answer.status_code == status
    assert answer.json()["status"] == ("success" if status == 200 else "error")
    assert said in answer.text


async def test_a_literal_that_is_not_utf8_is_parsed(querier: Querier) -> None:
    body = await get(querier, "parse_query", {"query": r'"\xff"'})
    assert body["data"] == {"type": "stringLiteral", "val": "�"}


async def test_the_times_of_exemplars_may_be_left_out(querier: Querier) -> None:
    assert (await get(querier, "query_exemplars", {"query": "up"}))["data"] == []
    message = await refused(querier, "query_exemplars", {"query": "up", "start": "2", "end": "1"})
    assert message == "end timestamp must not be before start timestamp"


async def test_selectors_are_joined_and_each_series_comes_once(querier: Querier) -> None:
    selectors = [("match[]", "up"), ("match[]", 'up{instance="1"}'), ("match[]", "load"), ("match[]", "up")]
    assert len((await get(querier, "series", selectors))["data"]) == 4
    names = (await get(querier, "labels", selectors))["data"]
    assert names == ["__name__", "http.status", "instance", "job"]
    assert (await get(querier, "label/job/values", selectors))["data"] == ["host", "node"]


@pytest.mark.parametrize("lookback", ["0", "-1"])
async def test_no_lookback_is_the_default(querier: Querier, lookback: str) -> None:
    params = {"query": "load", "time": str(T0 + 60), "lookback_delta": lookback}
    assert len((await get(querier, "query", params))["data"]["result"]) == 1


async def test_the_parts_of_the_time_add_up(querier: Querier) -> None:
    body = await get(querier, "query", {"query": "sum(up)", "time": str(T0), "stats": "all"})
    timings = body["data"]["stats"]["timings"]
    evaluated = timings["queryPreparationTime"] + timings["innerEvalTime"] + timings["resultSortTime"]
    assert timings["evalTotalTime"] == pytest.approx(evaluated)
    assert timings["execTotalTime"] == pytest.approx(timings["evalTotalTime"] + timings["execQueueTime"])
    assert all(seconds > 0 for seconds in timings.values())


@pytest.mark.parametrize(
    "endpoint", [name for name in ENDPOINTS if not name.startswith(("status/", "f", "parse"))]
)
async def test_with_tenancy_every_look_at_data_needs_a_tenant(storage: MemoryStorage, endpoint: str) -> None:
    querier = Querier(storage, tenancy=True)
    answer = await querier.client.get(f"/api/v1/{endpoint}", params=ENDPOINTS[endpoint])
    assert answer.status_code == 401
    await querier.close()


@pytest.mark.parametrize("action", ["delete_series", "clean_tombstones", "snapshot"])
async def test_the_admin_api_is_off_as_in_prometheus(querier: Querier, action: str) -> None:
    for method in ("POST", "PUT"):
        answer = await querier.client.request(method, f"/api/v1/admin/tsdb/{action}")
        assert answer.status_code == 500
        body = {"status": "error", "errorType": "unavailable", "error": "admin APIs disabled"}
        assert answer.json() == body
    assert (await querier.client.get(f"/api/v1/admin/tsdb/{action}")).status_code == 405


async def test_own_metrics_are_families_in_protobufs_json(querier: Querier) -> None:
    await get(querier, "labels")
    pattern = {"metric_name_pattern": "rondel_query_(running|duration_seconds)"}
    histogram, gauge = (await get(querier, "status/self_metrics", pattern))["data"]
    assert gauge["name"] == "rondel_query_running"
    assert (gauge["type"], gauge["metric"]) == ("GAUGE", [{"label": [], "gauge": {"value": 0.0}}])
    assert histogram["type"] == "HISTOGRAM"
    (metric,) = histogram["metric"]
    assert metric["label"] == [{"name": "kind", "value": "labels"}]
    assert metric["histogram"]["sampleCount"] == "1"
    assert metric["histogram"]["bucket"][-1] == {"cumulativeCount": "1", "upperBound": "Infinity"}
    assert len((await get(querier, "status/self_metrics"))["data"]) > 5
    assert "metric_name_pattern" in await refused(
        querier, "status/self_metrics", {"metric_name_pattern": "("}
    )
