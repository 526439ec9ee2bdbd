"""Endpoint pickers: where the Inference Gateway may be used, and what a picker goes by for each server and version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, UNFIT, existing_stack, only_problem, outcome_of, planned

if TYPE_CHECKING:
    from gke_llm_inference.planning import PickerPlan, StackPlan
    from tests.settings.support import Raw

VLLM = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "replicas": 2, **UNFIT}
TGI = {**VLLM, "server": "tgi"}
REACHED = {"exposure": "internal", "hostname": "llm.example.com"}


def stack(servers: Raw, cluster: Raw | None = None, **gateway: Any) -> Raw:
    return {
        "cluster": {"mode": "autopilot", "location": "us-central1", **(cluster or {})},
        "gateway": {"routing": "inferenceGateway", "tls": {"source": "secret", "secretName": "tls"}, **gateway},
        "servers": servers,
    }


def picker_of(plan: StackPlan, key: str = "chat") -> PickerPlan:
    reached = plan.access.of(key)
    assert reached
    assert reached.picker
    return reached.picker


def test_a_server_has_the_gateways_routing_unless_it_states_its_own() -> None:
    chat: Raw = {**VLLM, **REACHED}
    servers: Raw = {
        "chat": chat,
        "plain": {**VLLM, **REACHED, "hostname": "plain.example.com", "routing": "service"},
        "inside": VLLM,
    }
    plan = planned(stack(servers))
    assert {one.server: one.routing for one in plan.access.servers} == {"chat": "inferenceGateway", "plain": "service"}
    plan = planned(stack({**servers, "chat": {**chat, "routing": "inferenceGateway"}}, routing="service"))
    assert {one.server: one.routing for one in plan.access.servers} == {"chat": "inferenceGateway", "plain": "service"}


def test_by_default_the_service_finds_the_pod() -> None:
    raw = stack({"chat": {**VLLM, **REACHED}})
    del raw["gateway"]["routing"]
    (reached,) = planned(raw).access.servers
    assert (reached.routing, reached.picker) == ("service", None)


@pytest.mark.parametrize(
    ("server", "version", "scorers", "metrics"),
    [
        (
            "vllm",
            "0.33.0",
            {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3, "lora-affinity-scorer": 1},
            {
                "queuedRequestsSpec": "vllm:num_requests_waiting",
                "runningRequestsSpec": "vllm:num_requests_running",
                "kvUsageSpec": "vllm:kv_cache_usage_perc",
                "loraSpec": "vllm:lora_requests_info",
                "cacheInfoSpec": "vllm:cache_config_info",
            },
        ),
        (
            "vllm",
            "0.6.0",
            {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3},
            {
                "queuedRequestsSpec": "vllm:num_requests_waiting",
                "runningRequestsSpec": "vllm:num_requests_running",
                "kvUsageSpec": "vllm:gpu_cache_usage_perc",
                "cacheInfoSpec": "vllm:cache_config_info",
            },
        ),
        (
            "tgi",
            "3.3.7",
            {"queue-scorer": 2, "prefix-cache-scorer": 3},
            {"queuedRequestsSpec": "tgi_queue_size", "runningRequestsSpec": "tgi_batch_current_size"},
        ),
    ],
)
def test_a_picker_reads_the_metrics_of_its_servers_version_and_weighs_nothing_else(
    server: str, version: str, scorers: dict[str, int], metrics: dict[str, str]
) -> None:
    plan = planned(stack({"chat": {**VLLM, **REACHED, "server": server, "version": version, "maxModelLen": 4096}}))
    picker = picker_of(plan)
    assert dict(picker.scorers) == scorers
    plugins = {one["type"]: one.get("parameters") for one in picker.configuration["plugins"]}
    assert plugins["core-metrics-extractor"] == {
        "defaultEngine": server,
        "engineConfigs": [{"name": server, **metrics}],
    }
    (profile,) = picker.configuration["schedulingProfiles"]
    assert {one["pluginRef"]: one["weight"] for one in profile["plugins"]} == scorers
    assert [one["pluginRef"] for one in picker.configuration["requestHandler"]["parsers"]] == [
        "openai-parser",
        "passthrough-parser",
    ], "what is not OpenAI's is not refused, but chosen for by load"


def test_a_picker_is_small_pinned_and_outlives_the_answers_that_pass_it() -> None:
    plan = planned(stack({"chat": {**VLLM, **REACHED, "maxModelLen": 1024}}))
    picker, facts = picker_of(plan), CATALOG.picker
    assert picker.image == f"{facts.image}:{facts.version}@{facts.digest}"
    assert (picker.cpu_millicores, picker.memory_mib, picker.limits_cpu) == (750, 1024, True)
    (reached,) = plan.access.servers
    assert picker.grace_seconds == CATALOG.gke.shutdown.gateway + reached.draining_seconds + 10
    assert {"--pool-name=chat-pool", "--drain-timeout=30s", "--enable-pprof=false", "--tracing=false"} <= set(
        picker.arguments
    )
    more = picker_of(planned(stack({"chat": {**VLLM, **REACHED, "replicas": 12}})))
    assert more.cpu_millicores == 1500


def test_a_picker_ends_within_what_the_autoscaler_leaves_to_a_pod() -> None:
    assert picker_of(planned(stack({"chat": {**VLLM, **REACHED, "maxModelLen": 32768}}))).grace_seconds == 600


def test_on_nodes_of_a_pool_cpu_is_not_limited_and_without_policies_a_picker_has_none() -> None:
    raw = {
        **existing_stack({"chat": {**VLLM, **REACHED, "networkPolicy": {"enabled": False}}}),
        "gateway": {"routing": "inferenceGateway", "proxySubnet": {"mode": "existing", "cidr": "10.99.0.0/23"}},
    }
    picker = picker_of(planned(raw))
    assert (picker.limits_cpu, picker.network_policy) == (False, None)


REFUSED: list[tuple[Raw, str, str, str]] = [
    (
        stack({"chat": {**VLLM, "routing": "inferenceGateway"}}, routing="service"),
        "servers.chat.routing",
        "is inferenceGateway, while the server's exposure is none",
        "set exposure, or remove routing",
    ),
    (
        stack({"chat": {**VLLM, **REACHED, "replicas": 1}}),
        "servers.chat.routing",
        "is inferenceGateway, while the server has one replica",
        "set replicas to 2 or more, or routing: service",
    ),
    (
        stack({"chat": {**VLLM, **REACHED}}, {"gkeVersion": "1.33.5-gke.1080000"}),
        "cluster.gkeVersion",
        "1.33.5-gke.1080000 is before 1.34.0-gke.1626000, from which GKE has InferencePool",
        "upgrade the cluster, or use routing: service",
    ),
    (
        stack({"chat": {**VLLM, **REACHED}, "chat-picker": VLLM}),
        "servers.chat.routing",
        "gets objects with the name that those of servers.chat-picker have: chat-picker",
        "rename one of them",
    ),
    (
        stack({"chat": {**VLLM, **REACHED}, "chat-pool": VLLM}),
        "servers.chat.routing",
        "gets objects with the name that those of servers.chat-pool have: chat-pool",
        "rename one of them",
    ),
]


@pytest.mark.parametrize(
    ("raw", "path", "what", "fix"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_cannot_work_is_refused(raw: Raw, path: str, what: str, fix: str) -> None:
    problem = only_problem(raw)
    assert (problem.path, problem.what, problem.fix) == (path, what, fix)
    assert problem.why


def test_a_cluster_that_is_new_enough_or_of_no_stated_version_is_not_refused() -> None:
    for known in ({}, {"gkeVersion": "1.34.0-gke.1626000"}, {"gkeVersion": "1.35.2"}):
        assert planned(stack({"chat": {**VLLM, **REACHED}}, known)).access.servers[0].picker


def test_pods_that_follow_the_load_count_by_the_most_of_them() -> None:
    rest = {key: value for key, value in VLLM.items() if key != "replicas"}
    one, many = ({**rest, **REACHED, "autoscaling": {"maxReplicas": most}} for most in (1, 12))
    cluster = {"gkeVersion": "1.37.0"}
    assert only_problem(stack({"chat": one}, cluster)).what == "is inferenceGateway, while the server has one replica"
    assert picker_of(planned(stack({"chat": many}, cluster))).cpu_millicores == 1500


def test_a_server_without_pods_keeps_its_picker() -> None:
    assert picker_of(planned(stack({"chat": {**VLLM, **REACHED, "replicas": 0}})))


def test_a_server_whose_metrics_are_not_known_is_refused() -> None:
    metrics = CATALOG.metrics["tgi"]
    rest = {concept: one for concept, one in metrics.metrics.items() if concept not in ("waiting", "running")}
    blind = metrics.model_copy(update={"metrics": rest})
    catalog = CATALOG.model_copy(update={"metrics": {**CATALOG.metrics, "tgi": blind}})
    outcome = outcome_of(stack({"chat": {**TGI, **REACHED}}), catalog=catalog)
    assert isinstance(outcome, Refusal)
    (problem,) = outcome.problems
    assert (problem.path, problem.what) == (
        "servers.chat.routing",
        "needs metrics that Text Generation Inference 3.3.7 does not have: waiting, running",
    )


def test_a_picker_comes_through_the_repository_of_its_registry_by_the_same_digest() -> None:
    raw = {**stack({"chat": {**VLLM, **REACHED}}), "imageRegistry": {"mode": "create"}}
    plan = planned(raw)
    path = CATALOG.picker.pinned_image.removeprefix("ghcr.io/")
    assert picker_of(plan).image == f"us-central1-docker.pkg.dev/my-project/gke-llm-inference-test-ghcr/{path}"
    assert plan.image_registry is not None
    assert [one.upstream for one in plan.image_registry.repositories] == ["docker.io", "ghcr.io"]
