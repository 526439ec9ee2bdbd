"""The network policies of a server, from its plan."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta, networking

from gke_llm_inference.planning import ServerPlan

from .served_apis import ServedApis

_FQDN_POLICY = ("networking.gke.io/v1alpha1", "FQDNNetworkPolicy")


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
    return networking.v1.NetworkPolicy(
        f"{name}-network-policy", metadata=_metadata(plan, plan.name), spec=spec, opts=opts
    )


def group_network_policies(
    name: str, plan: ServerPlan, opts: pulumi.ResourceOptions
) -> list[networking.v1.NetworkPolicy]:
    """Registers what lets the pods of each group talk to each other; nothing for a server without groups.

    Args:
        name: name of the server's component, which the policies' begin with.
        plan: the server.
        opts: options of the policies.

    """
    specs: Any = plan.network_policy.group_specs if plan.network_policy else ()
    return [
        networking.v1.NetworkPolicy(
            f"{name}-group-{index}-network-policy",
            metadata=_metadata(plan, f"{plan.name}-group-{index}"),
            spec=spec,
            opts=opts,
        )
        for index, spec in enumerate(specs)
    ]


def fqdn_network_policy(
    name: str, plan: ServerPlan, served_apis: ServedApis | None, opts: pulumi.ResourceOptions
) -> apiextensions.CustomResource | None:
    """Registers what allows a server's pods hosts by their names; None where the plan names none.

    Args:
        name: name of the server's component, which the policy's begins with.
        plan: the server.
        served_apis: what the policy waits by; it is made at once if None.
        opts: options of the policy.

    """
    spec = plan.network_policy.fqdn_spec if plan.network_policy else None
    if spec is None:
        return None
    return apiextensions.CustomResource(
        f"{name}-fqdn-network-policy",
        api_version=_FQDN_POLICY[0],
        kind=_FQDN_POLICY[1],
        metadata=_metadata(plan, served_apis.once_served(*_FQDN_POLICY, plan.name) if served_apis else plan.name),
        spec=spec,
        opts=opts,
    )


def _metadata(plan: ServerPlan, object_name: pulumi.Input[str]) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(name=object_name, namespace=plan.namespace, labels=plan.labels)
