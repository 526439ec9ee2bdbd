"""The LeaderWorkerSet of a server whose replicas span several machines, from its plan."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta

from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.groups.plan import GROUP_API
from gke_llm_inference.planning.groups.specs import group_spec, leader_template, worker_template

from .served_apis import ServedApis


def leader_worker_set(
    name: str,
    plan: ServerPlan,
    marks: Mapping[str, pulumi.Input[str]],
    served_apis: ServedApis | None,
    opts: pulumi.ResourceOptions,
) -> apiextensions.CustomResource:
    """Registers what runs the groups of a server, once the cluster serves its API.

    Args:
        name: name of the server's component, which the resource's begins with.
        plan: the server, which has a group.
        marks: annotations of the pods that only a deployment knows.
        served_apis: what it waits by; it is made at once if None.
        opts: options of the resource.

    """
    leader, worker = leader_template(plan), worker_template(plan)
    for template in (leader, worker):
        marked(template, marks)
    # Pulumi knows no such kind; it waits for the condition that every group is ready, or for nothing without groups.
    waits = {"pulumi.com/waitFor": "condition=Available"} if plan.replicas else {"pulumi.com/skipAwait": "true"}
    return apiextensions.CustomResource(
        f"{name}-leader-worker-set",
        api_version=GROUP_API[0],
        kind=GROUP_API[1],
        metadata=meta.v1.ObjectMetaArgs(
            name=served_apis.once_served(*GROUP_API, plan.name) if served_apis else plan.name,
            namespace=plan.namespace,
            labels=plan.labels,
            annotations=waits,
        ),
        spec=group_spec(plan, leader, worker),
        opts=opts,
    )


def marked(template: dict[str, Any], marks: Mapping[str, pulumi.Input[str]]) -> None:
    """Adds annotations to a pod template."""
    annotations = {**template["metadata"].pop("annotations", {}), **marks}
    if annotations:
        template["metadata"]["annotations"] = annotations
