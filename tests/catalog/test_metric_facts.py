"""What the catalog says of the servers' metrics, by version."""

import pytest

from gke_llm_inference.catalog import ServerKind, load_catalog
from gke_llm_inference.catalog.metric_facts import Concept, ExposedMetric

METRICS = load_catalog().metrics


@pytest.mark.parametrize(
    ("server", "concept", "version", "name"),
    [
        ("vllm", "waiting", "0.6.0", "vllm:num_requests_waiting"),
        ("vllm", "kvCacheUsage", "0.10.0", "vllm:gpu_cache_usage_perc"),
        ("vllm", "kvCacheUsage", "0.10.2", "vllm:gpu_cache_usage_perc"),
        ("vllm", "kvCacheUsage", "0.11.0", "vllm:kv_cache_usage_perc"),
        ("vllm", "kvCacheUsage", "0.33.1", "vllm:kv_cache_usage_perc"),
        ("vllm", "interTokenLatency", "0.10.2", "vllm:time_per_output_token_seconds"),
        ("vllm", "interTokenLatency", "0.26.0", "vllm:inter_token_latency_seconds"),
        ("vllm", "timePerOutputToken", "0.10.2", None),
        ("vllm", "rejectedRequests", "0.31.0", None),
        ("vllm", "rejectedRequests", "0.33.0", "vllm:admission_rejections_total"),
        ("vllm", "failedRequests", "0.33.0", None),
        ("tgi", "running", "3.3.7", "tgi_batch_current_size"),
        ("tgi", "kvCacheUsage", "3.3.7", None),
        ("tgi", "timeToFirstToken", "3.3.7", None),
    ],
)
def test_a_metric_has_its_name_at_a_version(
    server: ServerKind, concept: Concept, version: str, name: str | None
) -> None:
    metric = METRICS[server].metric(concept, version)
    assert (metric and metric.name) == name


@pytest.mark.parametrize("server", sorted(METRICS))
def test_names_are_in_the_order_of_versions_and_each_is_of_one_concept(server: ServerKind) -> None:
    facts = METRICS[server]
    for version in load_catalog().servers[server].known_versions:
        names = [one.name for concept in facts.metrics if (one := facts.metric(concept, version))]
        assert len(names) == len(set(names))
    for metric in facts.metrics.values():
        since = [tuple(map(int, one.since.split("."))) for one in metric.names]
        assert since == sorted(set(since))


def test_cloud_monitoring_has_a_metric_under_its_kind() -> None:
    metric = ExposedMetric(name="vllm:num_requests_waiting", kind="gauge", unit="requests")
    assert metric.cloud_monitoring_type == "prometheus.googleapis.com/vllm:num_requests_waiting/gauge"


def test_only_a_histogram_has_buckets() -> None:
    assert ExposedMetric(name="a_seconds", kind="histogram", unit="seconds").buckets == "a_seconds_bucket"
    with pytest.raises(ValueError, match="a_total is a counter and has no buckets"):
        ExposedMetric(name="a_total", kind="counter", unit="events").buckets  # noqa: B018 the property raises
