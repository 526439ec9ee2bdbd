"""Which metrics are collected of which server, and what that takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.cli.plan_report import stack_document, stack_text
from tests.planning.support import CATALOG, QWEN, UNFIT, existing_stack, only_problem, planned

if TYPE_CHECKING:
    from tests.settings.support import Raw

METRICS = {"metrics": {"enabled": True}}
TGI = {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", **UNFIT}


def stack(servers: Raw | None = None, **metrics: Any) -> Raw:
    return {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "observability": {"metrics": {"enabled": True, **metrics}},
        "servers": {"chat": QWEN} if servers is None else servers,
    }


def test_nothing_is_collected_unless_it_is_asked_for() -> None:
    plan = planned({**stack(), "observability": {}})
    assert (plan.observability.metrics, plan.cluster.collects_metrics) == ((), False)
    assert plan.servers[0].network_policy is not None
    assert "metrics" not in plan.servers[0].network_policy.features("in")


def test_every_server_is_collected_from_its_own_port_and_its_collectors_are_let_in() -> None:
    plan = planned(stack({"b": TGI, "a": QWEN}, intervalSeconds=15))
    found = [
        (one.server, one.namespace, one.port, one.path, one.interval_seconds) for one in plan.observability.metrics
    ]
    assert found == [("a", "llm-inference", "http", "/metrics", 15), ("b", "llm-inference", "http", "/metrics", 15)]
    for server, metrics in zip(plan.servers, plan.observability.metrics, strict=True):
        assert (metrics.selector, metrics.labels) == (server.selector, server.labels)
        assert server.network_policy is not None
        assert "metrics" in server.network_policy.features("in")
    assert plan.cluster.collects_metrics


@pytest.mark.parametrize(
    ("server", "kept", "dropped"),
    [
        (
            {**QWEN, "version": "0.10.0", **UNFIT},
            ["vllm:gpu_cache_usage_perc", "vllm:time_per_output_token_seconds_bucket", "vllm:num_preemptions_total"],
            ["vllm:kv_cache_usage_perc", "vllm:inter_token_latency_seconds_bucket", "vllm:request_params_n_bucket"],
        ),
        (
            {**QWEN, "version": "0.33.0"},
            ["vllm:kv_cache_usage_perc", "vllm:inter_token_latency_seconds_sum", "vllm:num_requests_waiting"],
            ["vllm:gpu_cache_usage_perc", "vllm:iteration_tokens_total_bucket", "python_gc_objects_collected_total"],
        ),
        (
            TGI,
            ["tgi_queue_size", "tgi_batch_current_size", "tgi_request_duration_count"],
            ["tgi_batch_next_size_bucket", "tgi_queue_size_total"],
        ),
    ],
    ids=["old", "new", "tgi"],
)
def test_what_is_collected_is_what_the_version_calls_what_the_catalog_knows(
    server: Raw, kept: list[str], dropped: list[str]
) -> None:
    (metrics,) = planned(stack({"chat": server})).observability.metrics
    (rule,) = metrics.spec["endpoints"][0].pop("metricRelabeling")
    assert (rule["action"], rule["sourceLabels"]) == ("keep", ["__name__"])
    assert [name for name in (*kept, *dropped) if re.fullmatch(rule["regex"], name)] == kept
    assert len(rule["regex"]) < 10_000


def test_a_pod_monitoring_selects_the_server_and_keeps_all_where_it_is_asked_to() -> None:
    (metrics,) = planned(stack(everything=True)).observability.metrics
    assert metrics.spec == {
        "selector": {
            "matchLabels": {"app.kubernetes.io/component": "inference-server", "app.kubernetes.io/instance": "chat"}
        },
        "endpoints": [{"port": "http", "path": "/metrics", "interval": "30s"}],
        "targetLabels": {"metadata": ["container", "node", "pod"]},
    }


def test_metrics_need_somebody_who_collects_them() -> None:
    raw = existing_stack({"chat": QWEN}, name="shared", location="us-central1", managedPrometheus=False)
    problem = only_problem({**raw, "observability": METRICS})
    assert problem.path == "observability.metrics.enabled"
    assert problem.what == "needs a cluster with managed collection, and cluster.managedPrometheus is false"
    assert "--enable-managed-prometheus" in problem.fix


def test_the_plan_says_what_is_collected() -> None:
    plan = planned(stack(intervalSeconds=15))
    names = len(plan.observability.metrics[0].collected)
    assert f"  metrics    {names} names of /metrics, every 15 s, as job chat\n" in stack_text(plan, CATALOG)
    shown = stack_document(plan, CATALOG)["servers"]["chat"]["metrics"]
    assert (shown["job"], shown["intervalSeconds"], len(shown["collected"])) == ("chat", 15, names)
    without = planned({**stack(), "observability": {}})
    assert stack_document(without, CATALOG)["servers"]["chat"]["metrics"] is None
    assert "  metrics " not in stack_text(without, CATALOG)
