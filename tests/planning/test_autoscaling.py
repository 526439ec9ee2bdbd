"""Pods that follow the load: what they aim at, between which bounds, how fast, by whom, and what cannot be."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.planning import StackIdentity
from gke_llm_inference.planning.autoscaling import specs
from gke_llm_inference.planning.autoscaling.pace import pace_down, pace_up
from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan
from gke_llm_inference.planning.plan import ServerPlan
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.provider.plans import server_plan
from gke_llm_inference.settings import Refusal
from tests.planning.support import (
    CATALOG,
    QWEN,
    existing_stack,
    only_problem,
    only_server,
    outcome_of,
    planned,
    standard_stack,
)
from tests.settings.support import PROPERTY, Raw

NATIVE = "1.37.0-gke.3100000"
SMALL = {**QWEN, "maxModelLen": 4096}
BUSY = {**SMALL, "workload": {"profile": "chat"}, "objectives": {"ttft": {"milliseconds": 2000}}}
HTTP: Raw = {"minReplicas": 0, "scaleToZero": {"holder": "httpAddOn"}}
QUEUE: Raw = {"minReplicas": 0, "scaleToZero": {"holder": "pubSub", "subscription": "work", "messages": 20}}


def scaled(server: Raw = SMALL, nodes: int = 8, cluster: Raw | None = None, **asked: Any) -> Raw:
    server = {**server, "autoscaling": {"maxReplicas": 4, **asked}}
    return standard_stack({"l4": {"maxNodes": nodes}}, {"chat": server}, **(cluster or {}))


def scaling(raw: Raw) -> AutoscalingPlan:
    plan = only_server(raw).autoscaling
    assert plan is not None
    return plan


def test_without_a_workload_pods_aim_at_what_the_kv_cache_holds_of_whole_contexts() -> None:
    plan = scaling(scaled())
    server = only_server(scaled())
    assert server.memory is not None
    assert plan.holds == math.floor(server.memory.state.max_concurrency) == 22
    running, waiting = plan.signals
    assert (running.metric, running.target) == ("vllm:num_requests_running", 17)
    assert running.why == "80% of 22, as the KV cache holds so many requests of 4,096 tokens"
    assert (waiting.metric, waiting.target) == ("vllm:num_requests_waiting", 3)
    assert waiting.why.startswith("what Google advises to begin with")


def test_with_objectives_pods_aim_at_what_these_allow() -> None:
    server = only_server(scaled(BUSY))
    plan, speed = server.autoscaling, server.performance
    assert plan is not None
    assert speed is not None
    assert speed.highest is not None
    answer = speed.highest.ttft_ms.p50 + speed.workload.mean_output * speed.highest.tpot_ms.p50
    assert plan.target("running") == max(1, math.floor(0.8 * math.floor(speed.highest.rate * answer / 1000)))
    assert plan.target("waiting") == max(1, math.floor(speed.highest.rate * 2))
    assert plan.holds > plan.target("running")


def test_the_server_s_own_limit_of_requests_bounds_the_target() -> None:
    plan = scaling(scaled({**SMALL, "maxNumSeqs": 8}))
    assert (plan.holds, plan.target("running")) == (8, 6)
    assert plan.signals[0].why == "80% of 8, as the server answers no more at once"


def test_tgi_is_scaled_by_its_own_metrics() -> None:
    plan = scaling(scaled({**SMALL, "server": "tgi"}))
    assert [signal.metric for signal in plan.signals] == ["tgi_batch_current_size", "tgi_queue_size"]


def test_stated_targets_win() -> None:
    plan = scaling(scaled(target={"runningRequests": 10, "waitingRequests": 7}))
    assert [(signal.target, signal.why) for signal in plan.signals] == [
        (10, "the stack states it"),
        (7, "the stack states it"),
    ]


def test_a_target_that_no_pod_comes_to_is_refused_with_a_workload_and_a_warning_without() -> None:
    problem = only_problem(scaled({**SMALL, "workload": {"profile": "chat"}}, target={"runningRequests": 200}))
    assert problem.path == "servers.chat.autoscaling.target.runningRequests"
    assert "the load of a pod never comes to the target" in problem.why
    (warning,) = planned(scaled(target={"runningRequests": 40})).warnings
    assert warning.what == "40 are more than a pod answers at once"
    assert warning.fix == "use 22 or less, or remove it; with a workload the lengths of requests are known"


@pytest.mark.parametrize(
    ("start", "least", "most", "up", "down"),
    [
        (990, 1, 4, (0, 1, 60), (990, 1, 990)),
        (200, 1, 4, (0, 1, 60), (300, 1, 200)),
        (120, 1, 20, (0, 10, 60), (300, 1, 120)),
        (30, 0, 5, (0, 4, 60), (300, 1, 60)),
        (9000, 1, 4, (0, 1, 60), (3600, 1, 1800)),
    ],
)
def test_the_pace_follows_from_the_start(
    start: int, least: int, most: int, up: tuple[int, int, int], down: tuple[int, int, int]
) -> None:
    rules = (pace_up(start, least, most), pace_down(start, CATALOG.autoscaling))
    assert [(one.window_seconds, one.pods, one.period_seconds) for one in rules] == [up, down]


def test_a_start_on_a_new_node_decides() -> None:
    server = only_server(scaled())
    assert server.autoscaling is not None
    assert server.autoscaling.cold_start_seconds == server.start.new_node_seconds == 990


@pytest.mark.parametrize(
    ("version", "asked", "source", "why"),
    [
        (None, {}, "adapter", "cluster.gkeVersion is not known, and the adapter works with every version"),
        ("1.36", {}, "adapter", f"before GKE {NATIVE}, and the adapter works with every version"),
        ("1.37.0-gke.3000000", {}, "adapter", f"before GKE {NATIVE}, and the adapter works with every version"),
        (NATIVE, {}, "native", f"cluster.gkeVersion is {NATIVE} or later"),
        ("1.38.0-gke.1", {}, "native", f"cluster.gkeVersion is {NATIVE} or later"),
        (NATIVE, {"source": "keda"}, "keda", "the server states it"),
        (NATIVE, HTTP, "keda", "its HTTP add-on holds the requests"),
        ("1.36", QUEUE, "keda", "only KEDA goes to zero before GKE 1.37"),
        ("1.37", QUEUE, "adapter", "GKE 1.37 goes to zero by itself, by the length of the queue"),
    ],
)
def test_the_cluster_s_version_decides_on_the_source(version: str | None, asked: Raw, source: str, why: str) -> None:
    plan = scaling(scaled(cluster={"gkeVersion": version} if version else None, **asked))
    assert (plan.source, plan.source_why) == (source, why)


def test_servers_beside_one_with_keda_use_it_too() -> None:
    raw = scaled()
    keda = {**SMALL, "autoscaling": {"maxReplicas": 2, "source": "keda"}}
    chat, other = planned({**raw, "servers": {**raw["servers"], "other": keda}}).servers
    assert chat.autoscaling is not None
    assert other.autoscaling is not None
    assert chat.autoscaling.source == other.autoscaling.source == "keda"


def test_a_stack_that_makes_its_cluster_makes_the_adapter_that_a_server_needs() -> None:
    adapter = planned(scaled()).metrics_adapter
    assert adapter is not None
    assert (adapter.image, adapter.project) == (CATALOG.autoscaling.adapter.image, "my-project")
    assert planned(scaled(cluster={"gkeVersion": NATIVE})).metrics_adapter is None
    assert planned({**scaled(), "autoscaling": {"metricsAdapter": "existing"}}).metrics_adapter is None
    image = CATALOG.autoscaling.adapter.image
    pinned = planned({**scaled(), "imageDigests": {image: "sha256:" + "a" * 64}})
    assert pinned.warnings == ()
    assert pinned.metrics_adapter is not None
    assert pinned.metrics_adapter.image == f"{image}@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("asked", "stack", "why"),
    [
        ({"source": "keda"}, {}, "KEDA reads the metrics of a Google Cloud project"),
        ({}, {"metricsAdapter": "create"}, "the adapter reads the metrics of a Google Cloud project"),
        ({}, {"metricsAdapter": "existing"}, None),
        (HTTP, {}, None),
        ({"source": "native"}, {}, None),
    ],
)
def test_what_reads_a_project_s_metrics_needs_one(asked: Raw, stack: Raw, why: str | None) -> None:
    raw = existing_stack({"chat": {**SMALL, "autoscaling": {"maxReplicas": 2, **asked}}})
    outcome = outcome_of({**raw, "autoscaling": stack}, StackIdentity(project="p", stack="s"))
    problems = outcome.problems if isinstance(outcome, Refusal) else ()
    assert [(one.path, one.why) for one in problems] == ([("gcp:project", why)] if why else [])


def test_a_server_of_a_program_in_another_language_takes_the_adapter_for_there() -> None:
    raw = {"server": {**SMALL, "autoscaling": {"maxReplicas": 2}}}
    plan = server_plan(raw, "chat", StackIdentity(project="p", stack="s"))
    assert plan.warnings == ()
    assert plan.metrics_adapter is None
    (chat,) = plan.servers
    assert chat.autoscaling is not None
    assert chat.autoscaling.source == "adapter"


def test_metrics_are_collected_where_cloud_monitoring_is_read() -> None:
    assert [one.server for one in planned(scaled()).observability.metrics] == ["chat"]
    assert planned(scaled(source="keda")).observability.metrics
    assert planned(scaled(cluster={"gkeVersion": NATIVE})).observability.metrics == ()
    assert planned(scaled(**HTTP)).observability.metrics == ()
    problem = only_problem({**scaled(), "observability": {"metrics": {"enabled": False}}})
    assert (problem.path, problem.what) == (
        "observability.metrics.enabled",
        "is false, and servers.chat is scaled by its metrics",
    )


def test_gke_s_own_way_takes_the_cluster_s_performance_profile() -> None:
    assert planned(scaled(cluster={"gkeVersion": NATIVE})).cluster.fast_autoscaling
    assert not planned(scaled()).cluster.fast_autoscaling


def test_the_autoscaler_s_spec_is_exactly_this() -> None:
    assert specs.hpa_spec(scaling(scaled(minReplicas=2))) == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
        "minReplicas": 2,
        "maxReplicas": 4,
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "prometheus.googleapis.com|vllm:num_requests_running|gauge"},
                    "target": {"type": "AverageValue", "averageValue": "17"},
                },
            },
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"},
                    "target": {"type": "AverageValue", "averageValue": "3"},
                },
            },
        ],
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 990,
                "selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 990}],
            },
        },
    }


def test_a_plan_may_be_changed_before_its_spec_is_made() -> None:
    plan = scaling(scaled())
    spec = specs.hpa_spec(replace(plan, down=replace(plan.down, window_seconds=1, period_seconds=2)))
    assert spec["behavior"]["scaleDown"] == {
        "stabilizationWindowSeconds": 1,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 2}],
    }


def test_gke_s_own_way_reads_the_pods_of_the_server_alone() -> None:
    server = only_server(scaled(cluster={"gkeVersion": NATIVE}))
    assert server.autoscaling is not None
    assert specs.autoscaling_metric_spec(server.autoscaling, server.selector, server.port) == {
        "metrics": [
            {
                "pod": {
                    "selector": {"matchLabels": server.selector},
                    "containers": [
                        {
                            "endpoint": {"port": 8000, "path": "/metrics"},
                            "metrics": [
                                {"gauge": {"name": name, "prometheusMetricName": f"vllm:num_requests_{name}"}}
                                for name in ("running", "waiting")
                            ],
                        }
                    ],
                }
            }
        ]
    }
    names = [one["pods"]["metric"]["name"] for one in specs.hpa_spec(server.autoscaling)["metrics"]]
    assert names == ["autoscaling.gke.io|chat|running", "autoscaling.gke.io|chat|waiting"]


def test_keda_asks_managed_prometheus_and_takes_missing_series_for_no_load() -> None:
    plan = scaling(scaled(source="keda"))
    spec = specs.scaled_object_spec(plan)
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 4)
    assert "cooldownPeriod" not in spec
    running, waiting = spec["triggers"]
    assert running == {
        "type": "prometheus",
        "name": "running",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": "https://monitoring.googleapis.com/v1/projects/my-project/location/global/prometheus",
            "query": "sum(vllm:num_requests_running{"
            'cluster="gke-llm-inference-test",job="chat",location="us-central1",namespace="llm-inference"})',
            "threshold": "17",
            "ignoreNullValues": "false",
        },
        "authenticationRef": {"name": "chat", "kind": "TriggerAuthentication"},
    }
    assert waiting["metadata"]["threshold"] == "3"
    with pytest.raises(ValueError, match="ScaledObject"):
        specs.hpa_spec(plan)


def test_the_add_on_holds_requests_and_counts_them() -> None:
    server = only_server(scaled(**HTTP))
    plan = server.autoscaling
    assert plan is not None
    assert [signal.name for signal in plan.signals] == ["running"]
    spec = specs.scaled_object_spec(plan)
    assert spec["triggers"] == [
        {
            "type": "external-push",
            "metadata": {"scalerAddress": "keda-add-ons-http-external-scaler.keda:9090", "interceptorRoute": "chat"},
        }
    ]
    assert (spec["minReplicaCount"], spec["cooldownPeriod"]) == (0, 990)
    assert specs.interceptor_route_spec(plan) == {
        "target": {"service": "chat", "port": 8000},
        "rules": [{"hosts": ["chat.llm-inference", "chat.llm-inference.svc.cluster.local"]}],
        "scalingMetric": {"concurrency": {"targetValue": 17}},
        "timeouts": {"readiness": "1980s", "request": "0s", "responseHeader": "0s"},
    }
    assert server.network_policy is not None
    (flow,) = [flow for flow in server.network_policy.flows if flow.feature == "holder"]
    assert str(flow.peer) == (
        "pods app.kubernetes.io/component=interceptor, app.kubernetes.io/name=http-add-on of namespace keda"
    )


def test_a_queue_wakes_a_server() -> None:
    external = specs.hpa_spec(scaling(scaled(cluster={"gkeVersion": "1.37"}, **QUEUE)))["metrics"][-1]
    assert external == {
        "type": "External",
        "external": {
            "metric": {
                "name": "pubsub.googleapis.com|subscription|num_undelivered_messages",
                "selector": {"matchLabels": {"resource.labels.subscription_id": "work"}},
            },
            "target": {"type": "AverageValue", "averageValue": "20"},
        },
    }
    trigger = specs.scaled_object_spec(scaling(scaled(**QUEUE)))["triggers"][-1]
    assert trigger["metadata"]["query"] == (
        "pubsub_googleapis_com:subscription_num_undelivered_messages"
        '{monitored_resource="pubsub_subscription",subscription_id="work"}'
    )
    assert trigger["metadata"]["threshold"] == "20"


def test_the_plan_says_what_the_fewest_and_the_most_pods_cost() -> None:
    plan = planned(scaled(nodes=4))
    text, document = stack_text(plan, CATALOG), stack_document(plan, CATALOG)
    assert "  replicas   1 to 4, each on 1 × nvidia-l4" in text
    assert "GPUs cost 0.85 to 3.41 USD an hour, 623 to 2,493 a month, 0 idle" in text
    for cost in (document["cost"], document["servers"]["chat"]["cost"]):
        assert (cost["leastHourlyUsd"], cost["hourlyUsd"]) == (0.8536, 3.4144)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert document["servers"]["chat"]["autoscaling"]["scaleDown"] == {
        "windowSeconds": 990,
        "pods": 1,
        "periodSeconds": 990,
        "reason": "a pod that went too early takes 990 s to come back",
    }


def test_updates_and_disruptions_count_the_most_replicas() -> None:
    server = only_server(scaled(nodes=4))
    assert (server.replicas, server.least_replicas) == (4, 1)
    assert server.rollout.disruption_budget
    assert (server.rollout.max_surge, server.rollout.max_unavailable) == (0, 1)
    assert server.rollout.reason.endswith(
        "one pod at a time makes room for its successor; while it has one only, that stops first"
    )
    two = only_server(scaled(nodes=4, minReplicas=2))
    assert two.rollout.reason.endswith("one pod at a time makes room for its successor")
    assert only_server(scaled(nodes=5)).rollout.max_surge == 1


def test_who_reads_the_load_is_among_the_flows_where_gke_does_itself() -> None:
    raw = scaled(cluster={"gkeVersion": "1.37.0-gke.3100000"})
    policy, other = only_server(raw).network_policy, only_server(scaled()).network_policy
    assert policy is not None
    assert other is not None
    (flow,) = [flow for flow in policy.flows if flow.feature == "load"]
    assert (str(flow.peer), flow.direction) == ("the pod's own node", "in")
    assert not [flow for flow in other.flows if flow.feature == "load"]


def test_goals_do_not_choose_the_number_of_pods_of_a_server_that_scales() -> None:
    server = {**BUSY, "presets": ["cost"], "workload": {"profile": "chat", "requestRate": 2}}
    plan = only_server(scaled(server))
    assert plan.replicas == 4
    assert plan.choice is not None
    assert "replicas" not in dict(plan.choice.settings)


def test_too_few_pods_at_most_are_told_where_they_are_stated() -> None:
    raw = scaled({**BUSY, "allowSlow": True, "workload": {"profile": "chat", "requestRate": 20}})
    told = [warning for warning in planned(raw).warnings if "maxReplicas" in warning.path]
    assert [one.path for one in told] == ["servers.chat.autoscaling.maxReplicas"]
    assert told[0].fix.startswith("set autoscaling.maxReplicas to ")


ASKED = st.fixed_dictionaries(
    {"maxReplicas": st.integers(1, 8)},
    optional={
        "minReplicas": st.integers(0, 8),
        "source": st.sampled_from(["native", "adapter", "keda"]),
        "scaleToZero": st.sampled_from([HTTP["scaleToZero"], QUEUE["scaleToZero"]]),
        "target": st.fixed_dictionaries({}, optional={"runningRequests": st.integers(1, 300)}),
    },
)
VERSIONS = st.sampled_from([None, "1.34", "1.36", "1.37", NATIVE, "1.38.0-gke.5"])
STACKS = st.builds(
    lambda servers, nodes, version, own, quota, adapter, exposure, mode: {
        **(
            standard_stack({"l4": {"maxNodes": nodes}}, {}, **({"gkeVersion": version} if version else {}))
            if mode == "standard"
            else {
                "cluster": {
                    "mode": "autopilot",
                    "location": "us-central1",
                    **({"gkeVersion": version} if version else {}),
                }
            }
        ),
        "gateway": {"hostname": "llm.example.com"},
        "autoscaling": {
            **({"source": own} if own else {}),
            **({"metricsAdapter": adapter} if adapter else {}),
        },
        **({"gpuQuota": {"NVIDIA_L4_GPUS": quota}} if quota else {}),
        "servers": {
            f"s{number}": {**SMALL, "exposure": exposure, "autoscaling": one} for number, one in enumerate(servers)
        },
    },
    st.lists(ASKED, min_size=1, max_size=3),
    st.integers(1, 12),
    VERSIONS,
    st.sampled_from([None, None, "native", "adapter", "keda"]),
    st.sampled_from([None, None, 4, 12]),
    st.sampled_from([None, None, "create", "existing"]),
    st.sampled_from(["none", "none", "internal"]),
    st.sampled_from(["standard", "autopilot"]),
)


@PROPERTY
@given(STACKS)
def test_what_is_planned_is_possible(raw: Raw) -> None:
    """Bounds within pool and quota, targets within the KV cache, sources that the cluster has and that get along."""
    plan = outcome_of(raw)
    if isinstance(plan, Refusal):
        return
    version = raw["cluster"].get("gkeVersion")
    sources = set()
    for server in plan.servers:
        scaling = server.autoscaling
        assert scaling is not None
        assert 0 <= scaling.min_replicas <= scaling.max_replicas == server.replicas
        sources.add(scaling.source)
        _hold_bounds(server, scaling)
        if scaling.source == "native":
            assert version is None or version_parts(version) >= version_parts(NATIVE)
            assert scaling.queue is None
        if not scaling.min_replicas:
            assert (scaling.queue is None) != (scaling.interceptor is None)
            assert scaling.source == "keda" or version_parts(version or "0") >= (1, 37)
        if scaling.interceptor is not None:
            assert (scaling.source, server.key in {one.server for one in plan.access.servers}) == ("keda", False)
    assert not {"adapter", "keda"} <= sources
    assert plan.metrics_adapter is None or "keda" not in sources
    most = sum(server.replicas * server.gpu_count for server in plan.servers)
    if plan.node_pools:
        assert most <= sum(pool.settings.max_nodes * pool.settings.accelerator.count for pool in plan.node_pools)
    assert most <= raw.get("gpuQuota", {}).get("NVIDIA_L4_GPUS", math.inf)


def _hold_bounds(server: ServerPlan, scaling: AutoscalingPlan) -> None:
    assert server.memory is not None
    state, limits = server.memory.state, server.memory.limits
    assert 1 <= scaling.holds <= max(1, min(limits.max_num_seqs, state.max_concurrency))
    assert scaling.target("running") <= limits.max_num_seqs
    stated = scaling.signals[0].why == "the stack states it"
    assert stated or scaling.target("running") <= max(1, 0.8 * scaling.holds)
    for rule in (scaling.up, scaling.down):
        assert 0 <= rule.window_seconds <= 3600
        assert 1 <= rule.period_seconds <= 1800
        assert rule.pods >= 1
    assert scaling.down.window_seconds >= min(3600, scaling.cold_start_seconds)


@PROPERTY
@given(st.integers(1, 20_000), st.integers(0, 1000), st.integers(1, 1000))
def test_the_whole_range_is_asked_for_within_one_start(start: int, least: int, most: int) -> None:
    rule = pace_up(start, min(least, most), most)
    minutes = max(1, start // 60)
    assert rule.pods * minutes >= most - max(1, min(least, most))
