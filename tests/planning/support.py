"""Plans of raw configurations, and the problems that refuse them."""

from __future__ import annotations

from typing import Any

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.planning import NodePoolPlan, ServerPlan, StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import Finding, Refusal, parse_settings
from tests.settings.support import Raw, autopilot_stack

CATALOG = load_catalog()
IDENTITY = StackIdentity(project="gke-llm-inference", stack="test", gcp_project="my-project")
UNFIT = {"allowUnfit": True}
"""For what is not about memory: a server that does not fit its GPUs is planned all the same, with a warning."""
GEMMA = {"server": "vllm", "model": "google/gemma-7b-it", **UNFIT}
QWEN = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}
TGI = {"server": "tgi", "model": "google/gemma-7b-it", **UNFIT}


def architecture(**numbers: Any) -> Raw:
    """Numbers of a small model that the catalog does not have."""
    return {
        "parameters": 10**9,
        "layers": 16,
        "hiddenSize": 2048,
        "intermediateSize": 8192,
        "attentionHeads": 32,
        "kvHeads": 8,
        "headDim": 64,
        "vocabSize": 32000,
        "maxPositions": 8192,
        **numbers,
    }


def standard_stack(pools: Raw, servers: Raw, **cluster: Any) -> Raw:
    """A Standard cluster in us-central1 with these pools and servers; `cluster` changes or adds keys of it."""
    return {
        "cluster": {"mode": "standard", "location": "us-central1", **cluster},
        "huggingFace": {"tokenSource": "config"},
        "nodePools": pools,
        "servers": servers,
    }


def existing_stack(servers: Raw, **cluster: Any) -> Raw:
    """An existing cluster of a kubeconfig with these servers."""
    return {
        "cluster": {"mode": "existing", **(cluster or {"kubeconfigContext": "local"})},
        "huggingFace": {"tokenSource": "config"},
        "servers": servers,
    }


def planned(raw: Raw, identity: StackIdentity = IDENTITY, catalog: Catalog | None = None) -> StackPlan:
    """The plan of `raw`."""
    return plan_stack(parse_settings(raw), identity, catalog)


def is_of_vulnerabilities(finding: Finding) -> bool:
    """Whether it names the known vulnerabilities of an old version; tests of other rules look past it."""
    return finding.path.endswith(".version") and "vulnerabilit" in finding.what


def outcome_of(raw: Raw, identity: StackIdentity = IDENTITY, catalog: Catalog | None = None) -> StackPlan | Refusal:
    """What planning `raw` gives: a plan or a refusal, never anything else."""
    try:
        return planned(raw, identity, catalog)
    except Refusal as refusal:
        return refusal


def problems_of(raw: Raw, identity: StackIdentity = IDENTITY) -> tuple[Finding, ...]:
    """The problems for which the plan of `raw` is refused."""
    outcome = outcome_of(raw, identity)
    assert isinstance(outcome, Refusal), "the plan is not refused"
    return outcome.problems


def only_problem(raw: Raw, identity: StackIdentity = IDENTITY) -> Finding:
    """The one problem for which the plan of `raw` is refused."""
    (problem,) = problems_of(raw, identity)
    return problem


def only_server(raw: Raw) -> ServerPlan:
    """The plan of the one server of `raw`."""
    (server,) = planned(raw).servers
    return server


def on_autopilot(**server: Any) -> ServerPlan:
    """The plan of a gemma server on Autopilot; `server` changes or adds keys of it."""
    return only_server(autopilot_stack(**server))


def only_pool(raw: Raw) -> NodePoolPlan:
    """The plan of the one node pool of `raw`."""
    (pool,) = planned(raw).node_pools
    return pool
