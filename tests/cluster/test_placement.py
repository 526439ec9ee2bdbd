"""Every example stack and every preset: accepted under strict validation, placed where the plan says, ready."""

import time
from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.preset_facts import Goal
from gke_llm_inference.planning.plan import StackPlan
from gke_llm_inference.settings import Refusal
from tests.cluster.support import MACHINE, NAMESPACE, Cluster, Document, config_text, documents_of, plan_of_file
from tests.planning.combinations import Combination
from tests.planning.support import GEMMA, UNFIT, existing_stack, outcome_of, planned, standard_stack
from tests.presets.test_matrix import server_of
from tests.stacks.test_access import SAMPLE, stack_file
from tests.support import ACCESS, ADAPTERS, COLD_START, EMBEDDINGS, GUIDE, REPOSITORY, STACKS, Recordings
from tools.preset_reference import matrix

EXAMPLES = [
    *(REPOSITORY / f"Pulumi.{stack}.yaml" for stack in STACKS),
    *sorted(GUIDE.glob("Pulumi.*.yaml")),
    *sorted(ACCESS.glob("Pulumi.*.yaml")),
    *sorted(COLD_START.glob("Pulumi.*.yaml")),
    *sorted(EMBEDDINGS.glob("Pulumi.*.yaml")),
    *sorted(ADAPTERS.glob("Pulumi.*.yaml")),
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem.removeprefix("Pulumi."))
def test_every_example_runs_on_the_machines_of_its_plan(
    path: Path, request: pytest.FixtureRequest, recordings: Recordings
) -> None:
    plan = plan_of_file(path)
    cluster: Cluster = request.getfixturevalue(plan.cluster.profile)
    expect_placed(cluster, plan, documents_of(recordings.file(path)))


def expect_placed(cluster: Cluster, plan: StackPlan, documents: list[Document]) -> None:
    cluster.gke.simulate(plan)
    for document in documents:
        cluster.apply(document)
    for server in plan.servers:
        for pod in cluster.expect_ready(server):
            assert cluster.machine_of(pod) == server.machine_type
            requests = pod.spec.containers[0].resources.requests
            assert requests["nvidia.com/gpu"] == str(server.gpu_count)
            # Nobody changed what the plan asked for; on Autopilot that is a promise of the plan.
            assert requests["memory"] == f"{server.resources.memory_gib}Gi"
    used = {one.metadata.labels[MACHINE] for one in cluster.gpu_nodes()}
    assert used == {server.machine_type for server in plan.servers}


def preset_servers() -> dict[str, Document]:
    """For every technique and server, the newest version that it can be used with; and a server for every goal."""
    servers: dict[str, Document] = {}
    for cell in matrix():
        version = cell.version.replace(".", "-")
        server: Document = {**server_of(cell), "presets": [cell.preset], "allowUnfit": True}
        if cell.refusals or isinstance(outcome_of(existing_stack({"one": server})), Refusal):
            continue
        name = f"{cell.preset}-{cell.server}"
        servers = {key: one for key, one in servers.items() if not key.startswith(f"{name}-")}
        servers[f"{name}-{version}"] = server
    for goal in (name for name, preset in load_catalog().presets.items() if isinstance(preset, Goal)):
        loose = {"ttft": {"milliseconds": 60_000}}
        servers[goal] = {"server": "vllm", "model": GEMMA["model"], "presets": [goal], "objectives": loose}
    return servers


def test_every_preset_runs_on_the_machines_of_its_plan(standard: Cluster, recordings: Recordings) -> None:
    servers = preset_servers()
    assert {str(server["presets"][0]) for server in servers.values()} == set(load_catalog().presets)
    # Without pools, a pod with one GPU may go to a machine with two that another server's pod has brought.
    pools = {"l4": {"maxNodes": 100}, "l4-pair": {"accelerator": {"count": 2}, "maxNodes": 100}}
    raw = {**standard_stack(pools, servers), "huggingFace": {"tokenSource": "existingSecret"}}
    expect_placed(standard, planned(raw), documents_of(recordings.config(config_text(raw))))


def test_a_pod_that_the_plan_calls_impossible_stays_pending(standard: Cluster, recordings: Recordings) -> None:
    asked = {"memoryGib": 400}
    refused = outcome_of(existing_stack({"gemma": {**GEMMA, "resources": asked}}))
    assert isinstance(refused, Refusal)
    assert [problem.path for problem in refused.problems] == ["servers.gemma.resources"]
    raw = existing_stack({"gemma": GEMMA})
    standard.gke.simulate(planned(raw))
    for document in documents_of(recordings.config(config_text(raw))):
        if document["kind"] == "Deployment":
            resources = document["spec"]["template"]["spec"]["containers"][0]["resources"]
            for kind in ("requests", "limits"):
                resources[kind]["memory"] = "400Gi"
        standard.apply(document)
    (pod,) = standard.wait(lambda: standard.pods("gemma"), "a pod")
    time.sleep(3)
    (pod,) = standard.pods("gemma")
    (scheduled,) = [one for one in pod.status.conditions if one.type == "PodScheduled"]
    assert (scheduled.status, scheduled.reason) == ("False", "Unschedulable")
    assert standard.gpu_nodes() == []


def test_a_cache_on_a_disk_of_its_own_gets_one_that_goes_with_the_pod(
    standard: Cluster, recordings: Recordings
) -> None:
    server = {"server": "vllm", "model": "meta-llama/Llama-3.1-70B-Instruct", "accelerator": {"count": 8}, **UNFIT}
    raw = {**existing_stack({"llama": server}), "huggingFace": {"tokenSource": "existingSecret"}}
    plan = planned(raw)
    assert plan.servers[0].resources.cache_on_disk
    expect_placed(standard, plan, documents_of(recordings.config(config_text(raw))))
    (claim,) = standard.core.list_namespaced_persistent_volume_claim(NAMESPACE).items
    assert (claim.status.phase, claim.spec.storage_class_name) == ("Bound", "premium-rwo")
    standard.clear()
    standard.wait(lambda: not standard.core.list_persistent_volume().items, "the disk is gone")


@pytest.mark.parametrize("combination", [one for one in SAMPLE if one.mode != "existing"], ids=str)
def test_every_combination_of_access_is_accepted_under_strict_validation(
    combination: Combination, request: pytest.FixtureRequest, recordings: Recordings
) -> None:
    cluster: Cluster = request.getfixturevalue(combination.mode)
    documents = documents_of(recordings.config(stack_file(combination)))
    for document in documents:
        if document["kind"] == "Namespace":
            cluster.apply(document)
    kinds = {document["kind"] for document in documents}
    assert ({"Gateway", "HTTPRoute", "HealthCheckPolicy", "GCPBackendPolicy"} <= kinds) == (
        combination.exposure != "none"
    )
    assert ("InferencePool" in kinds) == combination.picked
    for document in documents:
        cluster.apply(document, dry_run=True)
