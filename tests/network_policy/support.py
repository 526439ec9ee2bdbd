"""Policies of a server as objects, from settings that are written like a stack's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.network_policy.decide import NetworkPolicyPlan, plan_network_policy
from gke_llm_inference.settings import AutopilotCluster, NetworkPolicySettings, TracingSettings
from tests.network_policy.evaluator import Pod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gke_llm_inference.planning.model_source.source import Reads

NAMESPACE = "llm-inference"
SELECTOR = {"app.kubernetes.io/component": "inference-server", "app.kubernetes.io/instance": "gemma"}
SERVER = Pod(namespace=NAMESPACE, labels=(*SELECTOR.items(), ("app.kubernetes.io/name", "vllm")))
"""The pod that the policies guard."""


def policy(
    settings: Mapping[str, Any] | None = None,
    *,
    storage: str | None = None,
    by_name: bool = False,
    collects_metrics: bool = True,
    proxy_range: str | None = None,
    tracing: Mapping[str, Any] | None = None,
    port: int = 8000,
) -> NetworkPolicyPlan | None:
    """The policies of a server whose model is on a volume of that storage, or downloaded."""
    reads: Reads = "hub" if storage is None else "bucket" if storage == "gcsfuse" else "node"
    return plan_network_policy(
        NetworkPolicySettings.model_validate(settings or {}),
        load_catalog().network,
        selector=SELECTOR,
        port=port,
        reads=reads,
        cluster=AutopilotCluster(mode="autopilot", location="us-central1", fqdn_network_policy=by_name),
        collects_metrics=collects_metrics,
        proxy_range=proxy_range,
        tracing=TracingSettings.model_validate(tracing) if tracing else None,
    )


def objects(plan: NetworkPolicyPlan | None) -> list[dict[str, Any]]:
    """The objects of a server's policies."""
    if plan is None:
        return []
    metadata = {"name": "gemma", "namespace": NAMESPACE}
    found = [{"kind": "NetworkPolicy", "metadata": metadata, "spec": plan.spec}]
    if plan.fqdn_spec is not None:
        found.append({"kind": "FQDNNetworkPolicy", "metadata": metadata, "spec": plan.fqdn_spec})
    return found
