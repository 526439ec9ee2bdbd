"""What a cluster needs of its project, and the pool for everything without a GPU of its zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.settings import parse_settings
from tests.planning.support import (
    GEMMA,
    existing_stack,
    only_problem,
    planned,
    standard_stack,
)

if TYPE_CHECKING:
    from tests.settings.support import Raw


@pytest.mark.parametrize(
    "cluster",
    [
        {"mode": "autopilot", "location": "us-central1"},
        {"mode": "standard", "location": "us-central1"},
        {"mode": "existing", "name": "theirs", "location": "us-central1"},
    ],
    ids=lambda cluster: cluster["mode"],
)
def test_a_cluster_in_google_cloud_without_a_project_is_refused(cluster: Raw) -> None:
    raw = existing_stack({"gemma": GEMMA}, **cluster)
    if cluster["mode"] == "standard":
        raw["nodePools"] = {"l4": {}}
    problem = only_problem(raw, StackIdentity("p", "s"))
    assert (problem.path, problem.what) == ("gcp:project", "is missing")
    assert problem.fix == "pulumi config set gcp:project PROJECT"


def test_a_cluster_of_a_kubeconfig_needs_no_project() -> None:
    cluster = plan_stack(parse_settings(existing_stack({"gemma": GEMMA})), StackIdentity("p", "s")).cluster
    assert (cluster.name, cluster.project, cluster.location, cluster.region) == (None, None, None, None)


def test_a_token_in_secret_manager_needs_a_project_whatever_the_cluster() -> None:
    raw = existing_stack({"gemma": GEMMA})
    raw["huggingFace"] = {"tokenSource": "secretManager", "secret": "s", "projectNumber": "123456"}
    problem = only_problem(raw, StackIdentity("p", "s"))
    assert (problem.path, problem.what) == ("gcp:project", "is missing")
    assert "workload identity pool" in problem.why


@pytest.mark.parametrize("project", ["my-project", "abcdef", "example.com:my-project", "a" + "0" * 29])
def test_the_id_of_a_project_is_taken(project: str) -> None:
    assert planned(standard_stack({"l4": {}}, {"gemma": GEMMA}), StackIdentity("p", "s", project)).cluster.project


@pytest.mark.parametrize(
    "project", ["My Project", "123456789012", "abcde", "a" * 31, "my-project-", "projects/mine", ""]
)
def test_a_project_that_is_no_id_is_refused(project: str) -> None:
    problem = only_problem(standard_stack({"l4": {}}, {"gemma": GEMMA}), StackIdentity("p", "s", project))
    assert (problem.path, problem.what) == ("gcp:project", "is not a project id")
    assert "gcloud projects list" in problem.fix


@pytest.mark.parametrize(
    ("cluster", "zones"),
    [
        ({}, 3),
        ({"location": "us-central1-a"}, 1),
        ({"zones": ["us-central1-a", "us-central1-b"]}, 2),
        ({"location": "us-central1-a", "zones": ["us-central1-a", "us-central1-b"]}, 2),
        ({"zones": ["us-central1-a", "us-central1-a"]}, 1),
    ],
    ids=["region", "zone", "two zones", "zone and another", "one zone twice"],
)
def test_a_system_pool_may_have_a_node_in_each_of_its_zones(cluster: Raw, zones: int) -> None:
    def stack(nodes: int) -> Raw:
        pool = {"minNodes": 1, "maxNodes": nodes}
        return standard_stack({"l4": {}}, {"gemma": GEMMA}, **cluster, systemPool=pool)

    planned(stack(zones))
    if zones == 1:
        return
    problem = only_problem(stack(zones - 1))
    assert problem.path == "cluster.systemPool.maxNodes"
    assert problem.what == f"{zones - 1} is less than the {zones} zones of the pool"
    assert problem.fix.startswith(f"use {zones} or more")


@pytest.mark.parametrize(
    ("machine", "fix"),
    [("e2-standard-5", "did you mean e2-standard-"), ("g2-standard-4", "did you mean "), ("x9-mega-1", "use one such")],
)
def test_a_machine_of_the_system_pool_that_google_does_not_have_is_refused(machine: str, fix: str) -> None:
    problem = only_problem(standard_stack({"l4": {}}, {"gemma": GEMMA}, systemPool={"machineType": machine}))
    assert problem.path == "cluster.systemPool.machineType"
    assert problem.what == f"{machine} is not a general-purpose machine of the catalog"
    assert problem.fix.startswith(fix)


@pytest.mark.parametrize("location", ["us-central1", "us-central1-a"])
@pytest.mark.parametrize("key_location", ["global", "us", "us-east1", "us-central1"])
def test_a_key_for_secrets_is_in_the_clusters_region(location: str, key_location: str) -> None:
    raw = standard_stack({"l4": {}}, {"gemma": GEMMA})
    key = f"projects/keys-of-acme/locations/{key_location}/keyRings/gke/cryptoKeys/secrets"
    raw["cluster"] = {"mode": "standard", "location": location, "databaseEncryption": {"key": key}}
    if key_location == "us-central1":
        assert planned(raw).cluster.settings.database_encryption.key == key  # type: ignore[union-attr]
        return
    problem = only_problem(raw)
    assert (problem.path, problem.what) == (
        "cluster.databaseEncryption.key",
        f"is in {key_location}, the cluster in us-central1",
    )
