"""Disks that machines of a family can have: boot disks, disks of a cache, local SSDs."""

from __future__ import annotations

import pytest

from tests.planning.support import (
    CATALOG,
    QWEN,
    existing_stack,
    only_pool,
    only_problem,
    only_server,
    planned,
    problems_of,
    standard_stack,
)

LLAMA_70B = {
    "server": "vllm",
    "model": "meta-llama/Llama-3.1-70B-Instruct",
    "accelerator": {"count": 8},
    "maxModelLen": 4096,
}
EIGHT = {"accelerator": {"count": 8}}


def test_every_machine_of_the_catalog_is_of_a_family_whose_disks_are_known() -> None:
    system = [f"{kind}-{vcpus}" for kind, counts in CATALOG.system_machine_types.items() for vcpus in counts]
    assert [name for name in (*CATALOG.machine_types, *system) if not CATALOG.disks.types(name)] == []


@pytest.mark.parametrize(
    ("machine", "disk"),
    [
        ("n4-standard-4", "hyperdisk-balanced"),
        ("c4-standard-8", "hyperdisk-balanced"),
        ("e2-standard-4", "pd-balanced"),
        ("n2-highmem-4", "pd-balanced"),
        ("n2d-standard-4", "pd-balanced"),
        ("c3-standard-4", "pd-balanced"),
        ("t2d-standard-4", "pd-balanced"),
    ],
)
def test_a_system_pool_boots_from_what_its_machines_boot_from(machine: str, disk: str) -> None:
    raw = standard_stack({"l4": {}}, {"qwen": QWEN}, systemPool={"machineType": machine})
    assert planned(raw).cluster.system_disk_type == disk


@pytest.mark.parametrize("family", ["a3-ultragpu", "a4", "a4x", "g4"])
def test_machines_that_attach_hyperdisk_only_have_no_storage_class_of_gkes_own(family: str) -> None:
    assert CATALOG.disks.storage_class(CATALOG.disks.types(f"{family}-1g")) is None


@pytest.mark.parametrize("gpu", ["nvidia-h200-141gb", "nvidia-b200", "nvidia-gb200", "nvidia-rtx-pro-6000"])
def test_a_large_cache_for_machines_without_persistent_disk_is_refused_with_what_to_do(gpu: str) -> None:
    server = {**LLAMA_70B, "accelerator": {"type": gpu, "count": 8, "memoryMib": 143_000}}
    problem = only_problem(existing_stack({"llama": server}))
    assert problem.path == "servers.llama.model"
    assert "Hyperdisk" in problem.why
    assert "modelVolume" in problem.fix
    on_nodes = {**server, "resources": {"ephemeralStorageGib": 300}}
    assert not only_server(existing_stack({"llama": on_nodes})).resources.cache_on_disk


@pytest.mark.parametrize("gpu", ["nvidia-l4", "nvidia-tesla-a100", "nvidia-a100-80gb", "nvidia-h100-80gb"])
def test_a_large_cache_gets_the_fastest_disk_that_its_machines_attach(gpu: str) -> None:
    server = {**LLAMA_70B, "accelerator": {"type": gpu, "count": 8}}
    resources = only_server(existing_stack({"llama": server})).resources
    assert (resources.cache_on_disk, resources.cache_storage_class) == (True, "premium-rwo")


def test_a_large_cache_is_on_the_local_ssds_of_its_pool() -> None:
    plan = planned(standard_stack({"l4": {**EIGHT, "localSsds": 8}}, {"llama": LLAMA_70B}))
    resources = plan.servers[0].resources
    assert not resources.cache_on_disk
    assert (resources.cache_gib, resources.ephemeral_storage_gib) == (153, 155)


@pytest.mark.parametrize(
    "pools",
    [
        {"l4": {**EIGHT, "localSsds": 0}},
        {"l4": {**EIGHT, "localSsds": 8}, "other": EIGHT},
    ],
    ids=["no local SSD", "one of two pools"],
)
def test_a_large_cache_has_a_disk_of_its_own_where_a_node_may_have_no_local_ssd(pools: dict[str, object]) -> None:
    plan = planned(standard_stack(pools, {"llama": LLAMA_70B}))
    assert plan.servers[0].resources.cache_on_disk


def test_a_pool_that_is_named_decides_alone() -> None:
    pools = {"l4": {**EIGHT, "localSsds": 8}, "other": EIGHT}
    plan = planned(standard_stack(pools, {"llama": {**LLAMA_70B, "nodePool": "l4"}}))
    assert not plan.servers[0].resources.cache_on_disk


def test_local_ssds_that_do_not_hold_what_pods_request_are_refused() -> None:
    servers = {"qwen": {**QWEN, "resources": {"ephemeralStorageGib": 340}}}
    (problem,) = problems_of(standard_stack({"l4": {"localSsds": 1}}, servers))
    assert (problem.path, problem.fix) == ("nodePools.l4.localSsds", "use more, or remove localSsds")
    assert only_pool(
        standard_stack({"l4": {"localSsds": 1}}, {"qwen": {**QWEN, "resources": {"ephemeralStorageGib": 330}}})
    ).settings.local_ssds
