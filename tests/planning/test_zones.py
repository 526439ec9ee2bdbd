"""Pools take machines from zones that have the GPU, in the region of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.planning.support import GEMMA, existing_stack, only_pool, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning import NodePoolPlan
    from gke_llm_inference.settings import Finding
    from tests.settings.support import Raw

A100 = {"accelerator": {"type": "nvidia-tesla-a100"}}
ON_A100 = {**GEMMA, **A100}


def pool_in(location: str, pool: Raw, server: Raw = GEMMA) -> NodePoolPlan:
    return only_pool(standard_stack({"gpu": pool}, {"gemma": server}, location=location))


def refused_in(location: str, pool: Raw, server: Raw = GEMMA) -> tuple[Finding, ...]:
    return problems_of(standard_stack({"gpu": pool}, {"gemma": server}, location=location))


@pytest.mark.parametrize(
    ("location", "pool", "server", "zones"),
    [
        ("us-central1", {}, GEMMA, ("us-central1-a", "us-central1-b", "us-central1-c")),
        ("us-east4", {}, GEMMA, ("us-east4-a", "us-east4-c")),
        ("us-east1", {}, GEMMA, ("us-east1-b", "us-east1-c", "us-east1-d")),
        ("us-east1", A100, ON_A100, ("us-east1-b",)),
        ("us-central1", {"zones": ["us-central1-c", "us-central1-a"]}, GEMMA, ("us-central1-a", "us-central1-c")),
        ("us-central1", {"zones": ["us-central1-a", "us-central1-a"]}, GEMMA, ("us-central1-a",)),
        ("us-central1-b", {}, GEMMA, ("us-central1-b",)),
        ("us-central1-b", {"zones": ["us-central1-a"]}, GEMMA, ("us-central1-a",)),
    ],
    ids=["all", "not b", "b to d", "A100", "as asked, sorted", "once", "zonal cluster", "zonal cluster, other zone"],
)
def test_a_pool_takes_machines_from_the_zones_that_have_the_gpu(
    location: str, pool: Raw, server: Raw, zones: tuple[str, ...]
) -> None:
    assert pool_in(location, pool, server).zones == zones


@pytest.mark.parametrize(
    ("location", "pool", "path", "what", "fix"),
    [
        ("europe-west8", {}, "accelerator.type", "nvidia-l4 is not offered in europe-west8", "use one of: asia-east1"),
        (
            "europe-west8",
            {"zones": ["europe-west8-a"]},
            "zones[0]",
            "nvidia-l4 is not offered in europe-west8",
            "use one of: asia-east1",
        ),
        (
            "us-central1",
            {"zones": ["us-central1-a", "us-east4-a"]},
            "zones[1]",
            "us-east4-a is not in us-central1",
            "use zones of us-central1, such as us-central1-a",
        ),
        (
            "us-central1-a",
            {"zones": ["us-east4-a"]},
            "zones[0]",
            "us-east4-a is not in us-central1",
            "use zones of us-central1",
        ),
        (
            "us-east4",
            {"zones": ["us-east4-b"]},
            "zones",
            "no zone of the pool is known to have nvidia-l4",
            "use those zones",
        ),
    ],
    ids=["region", "zone of such a region", "other region", "other region, zonal", "zone"],
)
def test_a_pool_without_the_gpu_is_refused(location: str, pool: Raw, path: str, what: str, fix: str) -> None:
    (problem,) = refused_in(location, pool)
    assert (problem.path, problem.what) == (f"nodePools.gpu.{path}", what)
    assert problem.fix.startswith(fix)


def test_a_pool_of_a_zonal_cluster_in_a_zone_without_the_gpu_is_refused() -> None:
    (problem,) = refused_in("us-east4-b", {})
    assert (problem.path, problem.what) == ("cluster.location", "us-east4-b is not known to have nvidia-l4")
    assert "us-east4-a, us-east4-c" in problem.why
    assert "us-east4 for a regional cluster" in problem.fix
    assert pool_in("us-east4-b", {"zones": ["us-east4-a"]}).zones == ("us-east4-a",)


def test_a_zone_that_is_not_known_to_have_the_gpu_beside_one_that_is_known_is_a_warning() -> None:
    server = {**GEMMA, "maxModelLen": 4096}
    plan = planned(
        standard_stack({"gpu": {"zones": ["us-east4-a", "us-east4-b"]}}, {"gemma": server}, location="us-east4")
    )
    (warning,) = plan.warnings
    assert warning.path == "nodePools.gpu.zones[1]"
    assert warning.what == "us-east4-b is not known to have nvidia-l4"
    assert "us-east4-a, us-east4-c" in warning.why
    assert plan.node_pools[0].zones == ("us-east4-a", "us-east4-b")


@pytest.mark.parametrize("location", ["us-central1", "us-central1-a"])
def test_zones_of_the_system_pool_must_be_in_the_region_of_the_cluster(location: str) -> None:
    raw = standard_stack({"gpu": {}}, {"gemma": GEMMA}, location=location, zones=["us-central1-b", "us-east4-a"])
    (problem,) = problems_of(raw)
    assert (problem.path, problem.what) == ("cluster.zones[1]", "us-east4-a is not in us-central1")
    assert problem.fix == "use zones of us-central1"


@pytest.mark.parametrize(
    ("location", "region"),
    [
        ("us-central1", "us-central1"),
        ("us-central1-a", "us-central1"),
        ("northamerica-northeast1-c", "northamerica-northeast1"),
    ],
)
def test_the_region_of_a_cluster_follows_from_its_location(location: str, region: str) -> None:
    cluster: dict[str, Any] = {"name": "theirs", "location": location}
    assert planned(existing_stack({"gemma": GEMMA}, **cluster)).cluster.region == region


def test_pools_of_an_existing_cluster_are_checked_against_its_region() -> None:
    raw = {**existing_stack({"gemma": GEMMA}, name="theirs", location="europe-west8"), "nodePools": {"gpu": {}}}
    assert [problem.path for problem in problems_of(raw)] == ["nodePools.gpu.accelerator.type"]
