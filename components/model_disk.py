"""Volumes of Hyperdisk ML that GKE fills from a bucket, and the nodes that it fills them on."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, core, meta, storage

from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.model_source import specs
from gke_llm_inference.planning.model_source.plan import TransferNodes

from .served_apis import ServedApis


@dataclass(frozen=True, kw_only=True)
class ModelDisk:
    """A volume with a server's model, and what fills it.

    Attributes:
        service_account: what reads the bucket; the server's own pods have no right to it.
        data_source: what the volume is filled from.
        storage_class: what makes it.
        claim: the volume, which is there once it is filled.

    """

    service_account: core.v1.ServiceAccount
    data_source: apiextensions.CustomResource
    storage_class: storage.v1.StorageClass
    claim: core.v1.PersistentVolumeClaim


def model_disk(
    name: str, plan: ServerPlan, served_apis: ServedApis | None, opts: pulumi.ResourceOptions
) -> ModelDisk | None:
    """The volume of a server; None where it reads its model from none of the stack's making.

    Args:
        name: what its resources are called after.
        plan: the server.
        served_apis: what custom resources wait by; they are made at once if None.
        opts: options of each resource.

    """
    source = plan.model_source
    if source is None or source.disk is None or source.reader is None:
        return None
    disk = source.disk

    def after(*resources: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources), **more))

    def metadata(object_name: pulumi.Input[str]) -> meta.v1.ObjectMetaArgs:
        return meta.v1.ObjectMetaArgs(name=object_name, namespace=plan.namespace, labels=plan.labels)

    account = core.v1.ServiceAccount(
        f"{name}-model-account", metadata=metadata(source.reader), automount_service_account_token=False, opts=opts
    )
    # They are called after what the volume holds: another one is filled beside the one that pods still read.
    api_version, kind = specs.DATA_SOURCE
    data_source = apiextensions.CustomResource(
        f"{disk.name}-source",
        api_version=api_version,
        kind=kind,
        metadata=metadata(served_apis.once_served(api_version, kind, disk.name) if served_apis else disk.name),
        spec=specs.data_source_spec(disk, source.reader),
        opts=after(account),
    )
    shape: Any = specs.storage_class(disk)
    storage_class = storage.v1.StorageClass(
        f"{disk.name}-class",
        metadata=meta.v1.ObjectMetaArgs(name=disk.storage_class, labels=plan.labels),
        provisioner=shape["provisioner"],
        parameters=shape["parameters"],
        allow_volume_expansion=shape["allowVolumeExpansion"],
        reclaim_policy=shape["reclaimPolicy"],
        volume_binding_mode=shape["volumeBindingMode"],
        allowed_topologies=shape["allowedTopologies"],
        opts=opts,
    )
    spec: Any = specs.claim_spec(disk)
    claim = core.v1.PersistentVolumeClaim(
        f"{disk.name}-claim",
        metadata=metadata(disk.name),
        spec=spec,
        # A claim whose source is gone can never be deleted: it goes first.
        opts=after(data_source, storage_class, custom_timeouts=pulumi.CustomTimeouts(create=f"{disk.ready_seconds}s")),
    )
    return ModelDisk(service_account=account, data_source=data_source, storage_class=storage_class, claim=claim)


def transfer_nodes(
    plan: TransferNodes,
    service_account: pulumi.Input[str] | None,
    served_apis: ServedApis | None,
    opts: pulumi.ResourceOptions,
) -> apiextensions.CustomResource:
    """The ComputeClass that GKE looks for when it fills a volume.

    Args:
        plan: the nodes.
        service_account: email that they run as; the cluster's own default if None.
        served_apis: what the ComputeClass waits by; it is made at once if None.
        opts: its options.

    """
    api_version, kind = specs.COMPUTE_CLASS
    account = {"nodePoolConfig": {"serviceAccount": service_account}} if service_account is not None else {}
    return apiextensions.CustomResource(
        plan.name,
        api_version=api_version,
        kind=kind,
        metadata=meta.v1.ObjectMetaArgs(
            name=served_apis.once_served(api_version, kind, plan.name) if served_apis else plan.name
        ),
        spec={**specs.compute_class_spec(plan), **account},
        opts=opts,
    )
