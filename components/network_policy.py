"""The network policies of a server, from its plan."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta, networking

from gke_llm_inference.planning import ServerPlan


def network_policy(name: str, plan: ServerPlan, opts: pulumi.ResourceOptions) -> networking.v1.NetworkPolicy | None:
    """Registers what denies a server's pods all traffic but its flows; None where the plan has no policy.

    Args:
        name: name of the server's component, which the policy's begins with.
        plan: the server.
        opts: options of the policy.

    """
    if plan.network_policy is None:
        return None
    spec: Any = plan.network_policy.spec
    return networking.v1.NetworkPolicy(f"{name}-network-policy", metadata=_metadata(plan), spec=spec, opts=opts)


def fqdn_network_policy(
    name: str, plan: ServerPlan, opts: pulumi.ResourceOptions
) -> apiextensions.CustomResource | None:
    """Registers what allows a server's pods hosts by their names; None where the plan names none.

    Args:
        name: name of the server's component, which the policy's begins with.
        plan: the server.
        opts: options of the policy.

    """
    spec = plan.network_policy.fqdn_spec if plan.network_policy else None
    if spec is None:
        return None
    return apiextensions.CustomResource(
        f"{name}-fqdn-network-policy",
        api_version="networking.gke.io/v1alpha1",
        kind="FQDNNetworkPolicy",
        metadata=_metadata(plan),
        spec=spec,
        opts=opts,
    )


def _metadata(plan: ServerPlan) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(name=plan.name, namespace=plan.namespace, labels=plan.labels)
