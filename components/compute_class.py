"""A ComputeClass of GKE: kinds of machines, or node pools, that the autoscaler tries in order."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, meta

from gke_llm_inference.planning.capacity_tiers.plan import ClassRule, ComputeClassPlan

from .served_apis import ServedApis

_COMPUTE_CLASS = ("cloud.google.com/v1", "ComputeClass")
_LABELS = {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"}


@dataclass(frozen=True, kw_only=True)
class ComputeClassArgs:
    """What a compute class needs.

    Attributes:
        plan: the class, decided and checked.
        node_pools: names of node pools in Google Cloud by their keys in the configuration, for rules that name them.
        service_account: email that nodes which GKE makes for the class run as; the cluster's own default if None.
        after: what must exist before, such as node pools.
        replace_with: what the class goes and comes with: the cluster, where the same program makes it.
        served_apis: what the class waits by; it is made at once if None.

    """

    plan: ComputeClassPlan
    node_pools: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    service_account: pulumi.Input[str] | None = None
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class ComputeClass(pulumi.ComponentResource):
    """A compute class; pass the cluster's Kubernetes provider in the options.

    A change of its rules is made in place: nodes that run stay, and new ones follow the new rules.
    """

    TYPE = "gke-llm-inference:index:ComputeClass"

    compute_class: apiextensions.CustomResource
    """The class; servers whose pods ask for it depend on it."""

    def __init__(self, name: str, args: ComputeClassArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        plan = args.plan
        served = args.served_apis
        self.compute_class = apiextensions.CustomResource(
            f"{name}-compute-class",
            api_version=_COMPUTE_CLASS[0],
            kind=_COMPUTE_CLASS[1],
            metadata=meta.v1.ObjectMetaArgs(
                name=served.once_served(*_COMPUTE_CLASS, plan.name) if served else plan.name, labels=_LABELS
            ),
            spec=_spec(args),
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, replace_with=args.replace_with or None),
        )
        self.register_outputs({"name": plan.name})


def _spec(args: ComputeClassArgs) -> dict[str, Any]:
    plan = args.plan
    spec: dict[str, Any] = {
        # Pods wait for a GPU of the list rather than land on a machine without one.
        "whenUnsatisfiable": "DoNotScaleUp",
        "priorities": [_rule(rule, args) for rule in plan.rules],
    }
    if plan.creates_pools:
        spec["nodePoolAutoCreation"] = {"enabled": True}
    config: dict[str, Any] = {}
    if args.service_account is not None and any(rule.node_pool is None for rule in plan.rules):
        config["serviceAccount"] = args.service_account
    if plan.creates_pools or any(rule.secondary_boot_disk for rule in plan.rules):
        # What streams images also finds them on a secondary boot disk. Autopilot has it on by itself.
        config["imageStreaming"] = {"enabled": True}
    if config:
        spec["nodePoolConfig"] = config
    return spec


def _rule(rule: ClassRule, args: ComputeClassArgs) -> dict[str, Any]:
    if rule.node_pool is not None:
        return {"nodepools": [args.node_pools[rule.node_pool]]}
    spec: dict[str, Any] = {
        "machineType": rule.machine_type,
        "gpu": {"type": rule.gpu_type, "count": rule.gpu_count, "driverVersion": rule.driver_version},
    }
    if rule.spot:
        spec["spot"] = True
    if rule.reservation is not None:
        held = {"name": rule.reservation.name, "project": rule.reservation.project, "zones": rule.reservation.zones}
        specific = {key: list(value) if key == "zones" else value for key, value in held.items() if value}
        # What is there of any reservation would become on-demand machines where there is nothing, and end the list.
        spec["reservations"] = {"affinity": "Specific", "specific": [specific]}
    if rule.flex_start is not None:
        flex: dict[str, Any] = {"enabled": True}
        if rule.flex_start.recycle_lead_seconds is not None:
            flex["nodeRecycling"] = {"leadTimeSeconds": rule.flex_start.recycle_lead_seconds}
        spec["flexStart"] = flex
        spec["maxRunDurationSeconds"] = rule.flex_start.max_run_seconds
        if rule.flex_start.wait_seconds is not None:
            spec["capacityCheckWaitTimeSeconds"] = rule.flex_start.wait_seconds
    if rule.shutdown is not None:
        spec["nodeSystemConfig"] = {
            "kubeletConfig": {
                "shutdownGracePeriodSeconds": rule.shutdown.seconds,
                "shutdownGracePeriodCriticalPodsSeconds": rule.shutdown.critical_seconds,
            }
        }
    storage: dict[str, Any] = {
        "bootDiskType": rule.boot_disk_type,
        "bootDiskSize": rule.boot_disk_gb,
        "localSSDCount": rule.local_ssds,
    }
    if rule.secondary_boot_disk is not None:
        _, project, _, _, image = rule.secondary_boot_disk.split("/")
        storage["secondaryBootDisks"] = [{"diskImageName": image, "project": project, "mode": "CONTAINER_IMAGE_CACHE"}]
    if any(storage.values()):
        spec["storage"] = {key: value for key, value in storage.items() if value}
    return spec
