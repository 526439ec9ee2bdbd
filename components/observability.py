"""What is watched of a stack: PodMonitorings, by which Managed Service for Prometheus collects, and dashboards."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning.observability.plan import MetricsPlan, ObservabilityPlan

from .served_apis import ServedApis

_POD_MONITORING = ("monitoring.googleapis.com/v1", "PodMonitoring")


@dataclass(frozen=True, kw_only=True)
class ObservabilityArgs:
    """What observability needs.

    Attributes:
        plan: what is watched, decided and checked.
        after: what must exist before, such as the namespace.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: ObservabilityPlan
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class Observability(pulumi.ComponentResource):
    """What is watched of a stack; pass the cluster's Kubernetes provider in the options."""

    TYPE = "gke-llm-inference:index:Observability"

    dashboards: Mapping[str, gcp.monitoring.Dashboard]
    """The dashboards by their titles."""
    metrics: Mapping[str, kubernetes.apiextensions.CustomResource]
    """The PodMonitorings by the servers' names in the configuration."""

    def __init__(self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self._prefix = name
        self._args = args
        self.metrics = {one.server: self._pod_monitoring(one) for one in args.plan.metrics}
        self.dashboards = {
            one.title: gcp.monitoring.Dashboard(
                f"{name}-{one.name}",
                dashboard_json=json.dumps(one.document, sort_keys=True),
                project=args.plan.project,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for one in args.plan.dashboards
        }
        self.register_outputs({})

    def _pod_monitoring(self, plan: MetricsPlan) -> kubernetes.apiextensions.CustomResource:
        args = self._args
        return kubernetes.apiextensions.CustomResource(
            f"{self._prefix}-{plan.name}-metrics",
            api_version=_POD_MONITORING[0],
            kind=_POD_MONITORING[1],
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=args.served_apis.once_served(*_POD_MONITORING, plan.name) if args.served_apis else plan.name,
                namespace=plan.namespace,
                labels=plan.labels,
            ),
            spec=plan.spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.after, replace_with=args.replace_with or None),
        )
