"""The place where a server keeps what it compiled."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_gcp as gcp
from pulumi_kubernetes import core, meta

if TYPE_CHECKING:
    from gke_llm_inference.planning import CacheBucket, CacheDisk, ServerPlan


def compile_cache(name: str, plan: ServerPlan, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """What must exist before a pod can keep what it compiles; nothing where the plan keeps nothing.

    Args:
        name: what the resources' names begin with.
        plan: the server's plan.
        opts: options of what is in the cluster, with the component as parent.

    """
    kept = plan.compile_cache
    if kept is None:
        return []
    if kept.bucket is not None:
        return _bucket(name, kept.bucket, pulumi.ResourceOptions(parent=opts.parent))
    return [_claim(name, plan, kept.disk, opts)] if kept.disk else []


def _bucket(name: str, plan: CacheBucket, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    bucket = gcp.storage.Bucket(
        f"{name}-compile-cache",
        name=plan.name,
        project=plan.project,
        # As Google answers: another spelling would look like a change.
        location=plan.location.upper(),
        storage_class="STANDARD",
        uniform_bucket_level_access=True,
        public_access_prevention="enforced",
        # Whatever is lost is compiled again.
        force_destroy=True,
        versioning=gcp.storage.BucketVersioningArgs(enabled=False),
        soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=0),
        labels=plan.labels or None,
        opts=opts,
    )
    # What lies there runs in the server's pods: nobody else gets a role.
    members = [
        gcp.storage.BucketIAMMember(
            f"{name}-compile-cache-{index}", bucket=bucket.name, role=role, member=plan.member, opts=opts
        )
        for index, role in enumerate(plan.roles)
    ]
    return [bucket, *members]


def _claim(name: str, plan: ServerPlan, disk: CacheDisk, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    return core.v1.PersistentVolumeClaim(
        f"{name}-compile-cache",
        metadata=meta.v1.ObjectMetaArgs(
            name=disk.claim,
            namespace=plan.namespace,
            labels=plan.labels,
            # The disk is made where the first pod runs, so that the claim waits for it.
            annotations={"pulumi.com/skipAwait": "true"},
        ),
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=disk.storage_class,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{disk.size_gib}Gi"}),
        ),
        opts=opts,
    )
