"""The disk images that nodes may start with which GKE makes for pods."""

# Postponed annotations: naming the SDK's modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import apiextensions, meta

from gke_llm_inference.planning import AllowlistPlan

from .served_apis import ServedApis

_API = ("node.gke.io/v1", "GCPResourceAllowlist")
_LABELS = {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"}


@dataclass(frozen=True, kw_only=True)
class BootDiskAllowlistArgs:
    """What the list needs.

    Attributes:
        plan: the list, decided.
        replace_with: what it goes and comes with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; it is made at once if None.

    """

    plan: AllowlistPlan
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class BootDiskAllowlist(pulumi.ComponentResource):
    """One object of the whole cluster, which one stack makes; pass the cluster's Kubernetes provider in the options."""

    TYPE = "gke-llm-inference:index:BootDiskAllowlist"

    allowlist: apiextensions.CustomResource
    """The object that GKE looks for."""

    def __init__(self, name: str, args: BootDiskAllowlistArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        plan = args.plan
        self.allowlist = apiextensions.CustomResource(
            name,
            api_version=_API[0],
            kind=_API[1],
            metadata=meta.v1.ObjectMetaArgs(
                name=args.served_apis.once_served(*_API, plan.name) if args.served_apis else plan.name, labels=_LABELS
            ),
            spec={"allowedResourcePatterns": list(plan.patterns)},
            opts=pulumi.ResourceOptions(parent=self, replace_with=args.replace_with or None),
        )
        self.register_outputs({"patterns": list(plan.patterns)})
