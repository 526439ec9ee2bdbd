"""What a pod requests, how long it may take to start and end, how updates replace it, and where it may run."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning import RolloutPlan, Toleration
from gke_llm_inference.planning.pods import pod_resources, probe_plan, rollout_plan
from gke_llm_inference.settings import ResourceSettings
from tests.planning.support import (
    CATALOG,
    GEMMA,
    QWEN,
    TGI,
    architecture,
    existing_stack,
    on_autopilot,
    only_problem,
    only_server,
    planned,
    standard_stack,
)
from tests.settings.support import PROPERTY, Raw, autopilot_stack

GEMMA_7B_GIB = CATALOG.models["google/gemma-7b"].weights_gib
GPU_TAINT = Toleration(key="nvidia.com/gpu", value="", effect="NoSchedule")
SPOT = {"provisioning": {"model": "spot"}}


@pytest.mark.parametrize(
    ("gpus", "cpu", "memory", "shared"),
    [(1, 4, 14, 1), (2, 6, 26, 4), (4, 10, 48, 8), (8, 18, 92, 16)],
)
def test_requests_grow_with_the_gpus(gpus: int, cpu: int, memory: int, shared: int) -> None:
    resources = pod_resources(gpus, GEMMA_7B_GIB, ResourceSettings(), CATALOG)
    assert (resources.cpu_millicores, resources.memory_gib, resources.shared_memory_gib) == (cpu * 1000, memory, shared)


@pytest.mark.parametrize(
    ("model", "cache", "storage", "on_disk"),
    [
        ("google/gemma-3-1b-it", 11, 13, False),
        ("google/gemma-7b", 26, 28, False),
        ("google/gemma-3-27b-it", 65, 67, False),
        ("tiiuae/falcon-40b-instruct", 94, 96, False),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 104, 8, True),
        ("meta-llama/Llama-3.1-70B-Instruct", 153, 8, True),
    ],
)
def test_a_cache_holds_the_model_and_gets_a_disk_of_its_own_where_it_is_big(
    model: str, cache: int, storage: int, *, on_disk: bool
) -> None:
    resources = pod_resources(1, CATALOG.models[model].weights_gib, ResourceSettings(), CATALOG)
    assert (resources.cache_gib, resources.ephemeral_storage_gib, resources.cache_on_disk) == (cache, storage, on_disk)
    assert resources.cache_storage_class == "premium-rwo"
    assert resources.cache_gib >= math.ceil(CATALOG.models[model].weights_gib * 1.1)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"cpu": 2}, (2000, 14, 28, 26)),
        ({"cpu": 0.5}, (500, 14, 28, 26)),
        ({"cpu": 3.9995}, (4000, 14, 28, 26)),
        ({"memoryGib": 24}, (4000, 24, 28, 26)),
        ({"ephemeralStorageGib": 60}, (4000, 14, 60, 58)),
    ],
    ids=lambda value: str(next(iter(value.items()))) if isinstance(value, dict) else "",
)
def test_requests_that_were_asked_for_win(asked: Raw, expected: tuple[int, int, int, int]) -> None:
    resources = on_autopilot(resources=asked).resources
    assert expected == (
        *(resources.cpu_millicores, resources.memory_gib),
        *(resources.ephemeral_storage_gib, resources.cache_gib),
    )


def test_a_storage_that_was_asked_for_keeps_a_big_model_on_the_boot_disk() -> None:
    asked = ResourceSettings(ephemeral_storage_gib=200)
    resources = pod_resources(1, CATALOG.models["meta-llama/Llama-3.1-70B-Instruct"].weights_gib, asked, CATALOG)
    assert (resources.cache_on_disk, resources.ephemeral_storage_gib, resources.cache_gib) == (False, 200, 198)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"ephemeralStorageGib": 17}, id="storage below the model"),
        pytest.param({"memoryGib": 4}, id="memory no larger than what is shared and needed first"),
        pytest.param({"cpu": 0.0004}, id="no CPU at all"),
    ],
)
def test_requests_with_which_no_server_can_start_are_refused(asked: Raw) -> None:
    problem = only_problem(autopilot_stack(resources=asked))
    assert problem.path == f"servers.gemma.resources.{next(iter(asked))}"


def test_the_least_requests_with_which_a_server_can_start_are_planned() -> None:
    server = {**GEMMA, "resources": {"ephemeralStorageGib": 18, "memoryGib": 5, "cpu": 0.1}}
    resources = only_server(standard_stack({"l4": {}}, {"gemma": server})).resources
    assert (resources.ephemeral_storage_gib, resources.memory_gib, resources.cpu_millicores) == (18, 5, 100)


@pytest.mark.parametrize("cpu", [float("inf"), 1e308])
def test_endless_requests_are_refused(cpu: float) -> None:
    assert only_problem(autopilot_stack(resources={"cpu": cpu})).path == "servers.gemma.resources.cpu"


@given(
    gpus=st.sampled_from([1, 2, 4, 8]),
    checkpoint=st.floats(0.001, 2000),
    storage=st.one_of(st.none(), st.integers(1, 2000)),
)
@PROPERTY
def test_shared_memory_and_cache_stay_within_what_is_requested(
    gpus: int, checkpoint: float, storage: int | None
) -> None:
    resources = pod_resources(gpus, checkpoint, ResourceSettings(ephemeral_storage_gib=storage), CATALOG)
    assert 0 < resources.shared_memory_gib < resources.memory_gib
    assert resources.cache_on_disk or resources.cache_gib <= resources.ephemeral_storage_gib
    assert not (resources.cache_on_disk and storage)
    if storage is None:
        assert resources.cache_gib > checkpoint
        assert resources.ephemeral_storage_gib <= CATALOG.gke.boot_disk_cache_gib + 2


@pytest.mark.parametrize(
    ("expected", "budget"), [(1, 600), (288, 600), (660, 1320), (1508, 3020), (2000, 3600), (3600, 4320)]
)
def test_the_startup_budget_is_twice_the_expected_time(expected: int, budget: int) -> None:
    probes = probe_plan(expected, "/health")
    assert (probes.path, probes.startup_seconds) == ("/health", budget)
    assert probes.startup_failures * probes.startup_period_seconds == budget


@given(expected=st.lists(st.floats(1, 50_000), min_size=2, max_size=6))
@PROPERTY
def test_what_takes_longer_never_gets_less_time_to_start(expected: list[float]) -> None:
    budgets = [probe_plan(seconds, "/health").startup_seconds for seconds in sorted(expected)]
    assert budgets == sorted(budgets)
    assert all(budget >= 600 and budget % 10 == 0 for budget in budgets)
    assert all(
        1.19 * seconds <= budget <= max(3600, 1.2 * seconds + 10)
        for seconds, budget in zip(sorted(expected), budgets, strict=True)
    )


@pytest.mark.parametrize(
    ("replicas", "may_surge", "pool_known", "surge", "unavailable", "reason"),
    [
        (1, True, True, 1, 0, "the node pool has room for one more pod"),
        (3, True, True, 1, 0, "the node pool has room for one more pod"),
        (0, True, True, 1, 0, "the node pool has room for one more pod"),
        (2, False, True, 0, 1, "the node pool has no room for one more pod: one pod at a time"),
        (2, False, False, 0, 1, "whether the cluster has a spare GPU is not known: one pod at a time"),
        (1, False, True, 0, 1, "the node pool has no room for one more pod: the only pod stops"),
        (1, False, False, 0, 1, "whether the cluster has a spare GPU is not known: the only pod stops"),
    ],
)
def test_an_update_needs_no_gpu_that_is_not_there(
    replicas: int, *, may_surge: bool, pool_known: bool, surge: int, unavailable: int, reason: str
) -> None:
    plan = rollout_plan(replicas, 2000, "standard", may_surge=may_surge, pool_known=pool_known)
    assert (plan.strategy, plan.max_surge, plan.max_unavailable) == ("RollingUpdate", surge, unavailable)
    assert plan.reason.startswith(reason)
    assert plan.disruption_budget is (replicas > 1)
    assert (plan.progress_deadline_seconds, plan.longest_seconds) == (2000, 2000 * max(1, replicas))


@pytest.mark.parametrize("replicas", [1, 2])
def test_autopilot_promises_no_spare_gpu(replicas: int) -> None:
    rollout = on_autopilot(replicas=replicas).rollout
    assert (rollout.strategy, rollout.max_surge, rollout.max_unavailable) == ("RollingUpdate", 0, 1)
    assert rollout.reason.startswith("a spare GPU is not guaranteed on Autopilot")


def rollouts(pool: Raw, servers: Raw) -> dict[str, RolloutPlan]:
    return {server.key: server.rollout for server in planned(standard_stack({"l4": pool}, servers)).servers}


@pytest.mark.parametrize(
    ("pool", "servers", "surge"),
    [
        ({"maxNodes": 1}, {"gemma": GEMMA}, {"gemma": 0}),
        ({"maxNodes": 2}, {"gemma": GEMMA}, {"gemma": 1}),
        ({"maxNodes": 2}, {"gemma": GEMMA, "qwen": QWEN}, {"gemma": 0, "qwen": 0}),
        ({"maxNodes": 3}, {"gemma": GEMMA, "qwen": QWEN}, {"gemma": 1, "qwen": 1}),
        ({"maxNodes": 1, "accelerator": {"count": 2}}, {"gemma": GEMMA}, {"gemma": 1}),
        (
            {"maxNodes": 2, "accelerator": {"count": 2}},
            {"gemma": {**GEMMA, "accelerator": {"count": 2}}, "qwen": QWEN},
            {"gemma": 0, "qwen": 1},
        ),
    ],
    ids=["full", "spare node", "two servers, full", "two servers, spare node", "spare GPU", "spare GPU for one"],
)
def test_what_a_pool_has_to_spare_decides_on_the_surge(pool: Raw, servers: Raw, surge: dict[str, int]) -> None:
    assert {key: rollout.max_surge for key, rollout in rollouts(pool, servers).items()} == surge


def test_an_update_does_not_wait_for_a_pod_that_no_node_has_room_for() -> None:
    pool = {"maxNodes": 1, "accelerator": {"count": 2}}
    assert rollouts(pool, {"gemma": {**GEMMA, "resources": {"cpu": 20}}})["gemma"].max_surge == 0


ACCELERATOR = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
ON_AUTOPILOT = {
    **ACCELERATOR,
    "cloud.google.com/gke-accelerator-count": "1",
    "cloud.google.com/gke-gpu-driver-version": "latest",
}


@pytest.mark.parametrize(
    ("raw", "selector"),
    [
        (autopilot_stack(), ON_AUTOPILOT),
        (autopilot_stack(**SPOT), {**ON_AUTOPILOT, "cloud.google.com/gke-spot": "true"}),
        (
            autopilot_stack(accelerator={"count": 2}),
            {**ON_AUTOPILOT, "cloud.google.com/gke-accelerator-count": "2"},
        ),
        (standard_stack({"l4": {}}, {"gemma": GEMMA}), {**ACCELERATOR, "llm-inference/node-pool": "l4"}),
        (
            standard_stack({"l4": {**SPOT, "labels": {"team": "ml"}}}, {"gemma": GEMMA}),
            {**ACCELERATOR, "llm-inference/node-pool": "l4"},
        ),
        (existing_stack({"gemma": GEMMA}), ACCELERATOR),
        (existing_stack({"gemma": GEMMA}, profile="autopilot", kubeconfigContext="c"), ON_AUTOPILOT),
    ],
    ids=["Autopilot", "Spot", "two GPUs", "pool", "Spot pool", "existing", "existing Autopilot"],
)
def test_a_pod_selects_nodes_by_labels_that_its_cluster_knows(raw: Raw, selector: dict[str, str]) -> None:
    assert only_server(raw).node_selector == selector


def test_the_nodes_of_a_pool_have_the_label_that_its_pods_select() -> None:
    plan = planned(standard_stack({"L4 pool": {"labels": {"team": "ml"}}}, {"gemma": GEMMA}))
    pool, server = plan.node_pools[0], plan.servers[0]
    assert pool.node_labels == {"team": "ml", "llm-inference/node-pool": pool.name}
    assert server.node_selector["llm-inference/node-pool"] == pool.name
    assert (server.node_pool, pool.key) == ("L4 pool", "L4 pool")


@pytest.mark.parametrize(
    ("raw", "tolerations"),
    [
        (autopilot_stack(), (GPU_TAINT,)),
        (autopilot_stack(**SPOT), (Toleration(key="cloud.google.com/gke-spot", value="true"), GPU_TAINT)),
        (standard_stack({"l4": {}}, {"gemma": GEMMA}), (GPU_TAINT,)),
        (
            standard_stack({"l4": SPOT}, {"gemma": GEMMA}),
            (Toleration(key="cloud.google.com/gke-spot", value="true"), GPU_TAINT),
        ),
        (
            standard_stack(
                {
                    "l4": {
                        "taints": [
                            {"key": "team", "value": "ml", "effect": "NO_EXECUTE"},
                            {"key": "cost", "value": "high", "effect": "PREFER_NO_SCHEDULE"},
                            {"key": "z", "value": "1"},
                        ]
                    }
                },
                {"gemma": GEMMA},
            ),
            (
                Toleration(key="cost", value="high", effect="PreferNoSchedule"),
                GPU_TAINT,
                Toleration(key="team", value="ml", effect="NoExecute"),
                Toleration(key="z", value="1", effect="NoSchedule"),
            ),
        ),
        (existing_stack({"gemma": GEMMA}), (GPU_TAINT,)),
    ],
    ids=["Autopilot", "Autopilot on Spot", "pool", "Spot pool", "tainted pool", "existing"],
)
def test_a_pod_tolerates_the_taints_of_its_nodes_and_no_others(raw: Raw, tolerations: tuple[Toleration, ...]) -> None:
    assert only_server(raw).tolerations == tolerations


def test_a_pod_has_the_recommended_labels_beside_its_own() -> None:
    server = only_server(autopilot_stack(labels={"team": "ml"}))
    assert server.labels == {
        "ai.gke.io/inference-server": "vllm",
        "ai.gke.io/model": "gemma-7b-it",
        "app.kubernetes.io/component": "inference-server",
        "app.kubernetes.io/instance": "gemma",
        "app.kubernetes.io/managed-by": "pulumi",
        "app.kubernetes.io/name": "vllm",
        "app.kubernetes.io/part-of": "gke-llm-inference",
        "app.kubernetes.io/version": "0.26.0",
        "team": "ml",
    }
    assert server.selector.items() <= server.labels.items()


def test_a_tgi_pod_is_labeled_as_googles_manifests_do() -> None:
    labels = only_server(autopilot_stack(**TGI)).labels
    assert labels["ai.gke.io/inference-server"] == "text-generation-inference"
    assert labels["app.kubernetes.io/name"] == "tgi"


def test_what_selects_the_pods_does_not_change_with_version_or_labels() -> None:
    first, second = on_autopilot(), on_autopilot(version="0.10.0", labels={"team": "ml"}, maxModelLen=2)
    assert first.selector == second.selector
    assert "app.kubernetes.io/version" not in first.selector


@pytest.mark.parametrize(
    ("server", "port", "user", "home"),
    [(GEMMA, 8000, (2000, 0), "/home/vllm"), (TGI, 8080, None, "/data")],
    ids=["vllm", "tgi"],
)
def test_a_server_listens_runs_and_stores_as_its_image_needs(
    server: Raw, port: int, user: tuple[int, int] | None, home: str
) -> None:
    plan = on_autopilot(**server)
    assert (plan.service_port, plan.port, plan.user, plan.home) == (8000, port, user, home)
    assert plan.probes.path == "/health"
    assert list(plan.environment) == sorted(plan.environment)
    assert all(value.startswith(home) for name, value in plan.environment if name in ("HF_HOME", "HOME"))


def test_a_described_model_decides_on_storage_and_start() -> None:
    described: dict[str, Any] = {"model": "me/mine", "architecture": architecture(parameters=10**10, dtype="float32")}
    plan = on_autopilot(**described)
    assert plan.resources.cache_gib == math.ceil(37.2529 * 1.1) + 8
    assert plan.start.expected_seconds == math.ceil(37.2529 / 0.18 + 37.2529 / 0.2 + 120)
