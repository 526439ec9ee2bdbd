"""The place where a server keeps what it compiled."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes import core, meta

if TYPE_CHECKING:
    from gke_llm_inference.planning import ServerPlan


def compile_cache(name: str, plan: ServerPlan, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """What must exist before a pod can keep what it compiles; nothing where the plan keeps nothing.

    Args:
        name: what the resources' names begin with.
        plan: the server's plan.
        opts: options of each resource.

    """
    kept = plan.compile_cache
    if kept is None:
        return []
    return [
        core.v1.PersistentVolumeClaim(
            f"{name}-compile-cache",
            metadata=meta.v1.ObjectMetaArgs(
                name=kept.disk.claim,
                namespace=plan.namespace,
                labels=plan.labels,
                # The disk is made where the first pod runs, so that the claim waits for it.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=kept.disk.storage_class,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{kept.disk.size_gib}Gi"}),
            ),
            opts=opts,
        )
    ]
