"""The namespace of a stack: never one of the system's, and with the standard that its pods need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gke_llm_inference.settings import Refusal
from tests.planning.support import existing_stack, only_problem, outcome_of, planned, standard_stack
from tests.settings.support import autopilot_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

SMALL = {"server": "vllm", "model": "google/gemma-3-1b-it", "maxModelLen": 2048, "gpuMemoryUtilization": 0.44}
SYSTEM = ["kube-system", "kube-public", "kube-node-lease", "default", "gke-managed-system", "gmp-system", "gmp-public"]
ENFORCE = "pod-security.kubernetes.io/enforce"


def shared(strategy: str | None, **keys: object) -> Raw:
    sharing = {} if strategy is None else {"sharing": {"strategy": strategy, "maxClients": 2}}
    pool = {**sharing, "maxNodes": 2, "machineType": "g2-standard-32"}
    return {**standard_stack({"l4": pool}, {"small": SMALL}), **keys}


@pytest.mark.parametrize("name", [*SYSTEM, "kube-anything", "gke-mine", "gmp-mine", "istio-system"])
@pytest.mark.parametrize("cluster", ["autopilot", "standard", "existing"])
def test_a_namespace_of_the_system_is_never_made(cluster: str, name: str) -> None:
    stacks = {"autopilot": autopilot_stack(), "standard": shared(None), "existing": existing_stack({"small": SMALL})}
    problem = only_problem({**stacks[cluster], "namespace": name})
    assert (problem.path, problem.what) == ("namespace", f"{name} belongs to Kubernetes or GKE")
    assert problem.fix.startswith("use a namespace of your own")


@pytest.mark.parametrize("name", ["llm-inference", "models", "kubernetes-models", "defaults", "my-gke-models"])
def test_a_namespace_of_one_s_own_is_made(name: str) -> None:
    assert planned({**shared(None), "namespace": name}).namespace == name


def test_the_default_namespace_is_used_as_it_is() -> None:
    plan = planned({**shared(None), "namespace": "default", "createNamespace": False})
    assert not plan.create_namespace
    assert plan.warnings == ()


def test_another_of_the_systems_namespaces_is_refused_on_autopilot_and_a_warning_elsewhere() -> None:
    keys = {"namespace": "gke-managed-system", "createNamespace": False}
    assert only_problem({**autopilot_stack(), **keys}).path == "namespace"
    outcome = outcome_of({**shared(None), **keys})
    assert not isinstance(outcome, Refusal)
    assert [warning.path for warning in outcome.warnings] == ["namespace"]


@pytest.mark.parametrize(
    ("strategy", "standard"), [(None, "baseline"), ("timeSharing", "baseline"), ("mps", "privileged")]
)
def test_pods_that_share_by_mps_have_the_nodes_ipc_and_a_namespace_that_allows_it(
    strategy: str | None, standard: str
) -> None:
    plan = planned(shared(strategy))
    assert plan.servers[0].host_ipc is (strategy == "mps")
    assert plan.namespace_labels[ENFORCE] == standard
    assert any("hostIPC" in str(decision) for decision in plan.servers[0].decisions) is (strategy == "mps")


def test_a_namespace_that_the_stack_does_not_make_is_to_be_looked_at() -> None:
    (warning,) = planned(shared("mps", createNamespace=False)).warnings
    assert warning.path == "nodePools.l4.sharing"
    assert ENFORCE in warning.fix
