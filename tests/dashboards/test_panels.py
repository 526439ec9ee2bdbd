"""What is drawn of a server follows from what its version measures, and from nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import ServerKind, load_catalog
from gke_llm_inference.planning.observability.panels import Panel, Threshold, Watched, row_of
from gke_llm_inference.planning.observability.queries import Metrics, matching, matching_pods
from gke_llm_inference.settings import LatencyObjective, ObjectiveSettings

CATALOG = load_catalog()
SELECTOR = '{cluster="prod",namespace="inference",job="chat"}'


def watched(kind: ServerKind = "vllm", version: str = "0.33.0", **more: object) -> Watched:
    metrics = Metrics(facts=CATALOG.metrics[kind], version=version, selector=SELECTOR)
    return Watched(server="chat", title="chat", metrics=metrics, **more)  # type: ignore[arg-type]


def panels(server: Watched) -> dict[str, Panel]:
    return {panel.title: panel for panel in row_of(server).panels}


def queries(server: Watched, title: str) -> dict[str, str]:
    return {line.name: line.query for line in panels(server)[title].lines}


def test_a_version_is_asked_by_its_own_names() -> None:
    old, new = watched(version="0.10.0"), watched(version="0.11.0")
    assert queries(old, "KV cache")["mean"] == f"100 * avg(vllm:gpu_cache_usage_perc{SELECTOR})"
    assert queries(new, "KV cache")["mean"] == f"100 * avg(vllm:kv_cache_usage_perc{SELECTOR})"
    # The old version tells the time of each token only, under the name that the new one has for requests.
    assert queries(old, "Time per output token")["p95"] == (
        f"histogram_quantile(0.95, sum by (le) (rate(vllm:time_per_output_token_seconds_bucket{SELECTOR}[5m])))"
    )
    assert "Time between tokens" not in panels(old)
    assert queries(new, "Time per output token")["p95"] == (
        f"histogram_quantile(0.95, sum by (le) (rate(vllm:request_time_per_output_token_seconds_bucket{SELECTOR}[5m])))"
    )
    assert "Time between tokens" in panels(new)


def test_what_a_server_does_not_measure_is_not_drawn() -> None:
    assert list(panels(watched("tgi", "3.3.7"))) == [
        "Requests",
        "KV cache",
        "Finished requests",
        "Time in the queue",
        "Time per output token",
        "Whole requests",
        "Tokens",
        "Replicas",
    ]
    assert list(panels(watched(gpu_metrics=CATALOG.gpu_metrics, usd_per_replica_hour=0.7))) == [
        "Requests",
        "KV cache",
        "Preemptions",
        "Finished requests",
        "Time to first token",
        "Time per output token",
        "Time between tokens",
        "Whole requests",
        "Tokens",
        "Prefix cache",
        "GPU utilization",
        "GPU memory",
        "Cost per hour",
        "Cost per million output tokens",
    ]


def test_objectives_are_lines_at_their_own_percentile() -> None:
    objectives = ObjectiveSettings(
        ttft=LatencyObjective(percentile=90, milliseconds=500),
        tpot=LatencyObjective(percentile=95, milliseconds=40),
        max_usd_per_million_tokens=2.5,
    )
    drawn = panels(watched(objectives=objectives, usd_per_replica_hour=0.7))
    assert [line.name for line in drawn["Time to first token"].lines] == ["p50", "p90", "p95", "p99"]
    assert drawn["Time to first token"].thresholds == (Threshold(name="objective of p90", value=0.5),)
    assert [line.name for line in drawn["Time per output token"].lines] == ["p50", "p95", "p99"]
    assert drawn["Time per output token"].thresholds == (Threshold(name="objective of p95", value=0.04),)
    assert drawn["Time between tokens"].thresholds == ()
    assert drawn["Cost per million output tokens"].thresholds == (Threshold(name="objective", value=2.5),)


def test_a_price_that_is_not_known_is_not_drawn() -> None:
    drawn = panels(watched(price_note="Autopilot bills a premium"))
    assert "Cost per hour" not in drawn
    assert drawn["Replicas"].what == (
        "Replicas that answer the collector. Their price is not known: Autopilot bills a premium."
    )
    priced = queries(watched(usd_per_replica_hour=0.7064), "Cost per million output tokens")["all replicas"]
    replicas = f"count(count by (pod) (vllm:num_requests_running{SELECTOR}))"
    tokens = f"sum(rate(vllm:generation_tokens_total{SELECTOR}[5m]))"
    assert priced == f"0.7064 * {replicas} / (0.0036 * {tokens} > 0.0036)"


def test_labels_that_are_not_known_are_not_asked_for() -> None:
    assert matching(cluster=None, namespace="inference", job="chat") == '{namespace="inference",job="chat"}'
    assert matching_pods("chat", None) == '{pod=~"chat-[a-z0-9]{1,10}-[a-z0-9]{5}"}'


@pytest.mark.parametrize("length", [1, 46, 47, 58, 63])
def test_pods_of_a_deployment_are_found_however_long_its_name_is(length: int) -> None:
    name = "a" * length
    # Kubernetes cuts the name of the ReplicaSet to 58 letters before the five of the pod.
    pod = f"{f'{name}-7d9c5b4f68-'[:58]}x2z7k"
    found = re.search('pod=~"(.*)"', matching_pods(name, "prod"))
    assert found is not None
    assert re.fullmatch(found[1], pod)
    assert not re.fullmatch(found[1], "b" + pod[1:])


def test_pods_of_a_deployment_whose_name_begins_the_same_are_not_meant() -> None:
    found = re.search('pod=~"(.*)"', matching_pods("chat", "prod"))
    assert found is not None
    assert not re.fullmatch(found[1], "chat-large-7d9c5b4f68-x2z7k")


@given(
    st.sampled_from([(kind, version) for kind in CATALOG.servers for version in CATALOG.servers[kind].known_versions])
)
def test_every_name_is_of_the_version(server: tuple[ServerKind, str]) -> None:
    kind, version = server
    facts = CATALOG.metrics[kind]
    known = {
        name
        for concept in facts.metrics
        if (metric := facts.metric(concept, version))
        for name in ((f"{metric.name}_bucket", f"{metric.name}_sum") if metric.kind == "histogram" else (metric.name,))
    }
    for panel in row_of(watched(kind, version, usd_per_replica_hour=1.0)).panels:
        assert panel.lines
        for line in panel.lines:
            assert set(re.findall(r"[a-z_:0-9]+(?=\{)", line.query)) <= known
