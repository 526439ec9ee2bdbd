"""What is watched of a stack: PodMonitorings, by which metrics are collected, alert policies and dashboards."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning.observability.plan import AlertPlan, Condition, MetricsPlan, ObservabilityPlan

from .served_apis import ServedApis

_EVALUATION = "60s"
_LOG_INTERVAL = "3600s"
_LOG_CLOSES = "7200s"
_POD_MONITORING = ("monitoring.googleapis.com/v1", "PodMonitoring")


@dataclass(frozen=True, kw_only=True)
class ObservabilityArgs:
    """What observability needs.

    Attributes:
        plan: what is watched, decided and checked.
        after: what must exist before, such as the namespace.
        servers: the servers by their names in the configuration: alerts on a server wait for it, or its first start
            would raise one.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: ObservabilityPlan
    after: list[pulumi.Resource] = field(default_factory=list)
    servers: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class Observability(pulumi.ComponentResource):
    """What is watched of a stack; pass the cluster's Kubernetes provider in the options."""

    TYPE = "gke-llm-inference:index:Observability"

    dashboards: Mapping[str, gcp.monitoring.Dashboard]
    """The dashboards by their titles."""
    metrics: Mapping[str, kubernetes.apiextensions.CustomResource]
    """The PodMonitorings by the servers' names in the configuration."""
    alerts: Mapping[str, gcp.monitoring.AlertPolicy]
    """The alert policies by their names in the plan."""

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
        self.alerts = {one.name: self._alert_policy(one) for one in args.plan.alerts}
        self.register_outputs({})

    def _alert_policy(self, plan: AlertPlan) -> gcp.monitoring.AlertPolicy:
        stack, monitoring = self._args.plan, gcp.monitoring
        server = self._args.servers.get(plan.server or "")
        link = monitoring.AlertPolicyDocumentationLinkArgs(display_name="Runbook", url=plan.runbook)
        return monitoring.AlertPolicy(
            f"{self._prefix}-{plan.name}",
            display_name=plan.title,
            project=stack.project,
            combiner="OR",
            severity=plan.severity,
            conditions=[_condition(plan.title, plan.condition) if plan.condition else _log_condition(plan)],
            alert_strategy=None
            if plan.condition
            else monitoring.AlertPolicyAlertStrategyArgs(
                # Google wants both for an alert on a log.
                notification_rate_limit=monitoring.AlertPolicyAlertStrategyNotificationRateLimitArgs(
                    period=_LOG_INTERVAL
                ),
                auto_close=_LOG_CLOSES,
            ),
            documentation=monitoring.AlertPolicyDocumentationArgs(
                content=plan.text, mime_type="text/markdown", links=[link] if plan.runbook else None
            ),
            notification_channels=list(stack.channels) or None,
            user_labels=plan.labels,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[server] if server is not None else None),
        )

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


def _condition(title: str, condition: Condition) -> gcp.monitoring.AlertPolicyConditionArgs:
    return gcp.monitoring.AlertPolicyConditionArgs(
        display_name=title,
        condition_prometheus_query_language=gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
            query=condition.expression,
            duration=f"{condition.seconds}s",
            evaluation_interval=_EVALUATION,
            # Of a server that has not been collected from yet, Google does not know the metrics.
            disable_metric_validation=True,
        ),
    )


def _log_condition(plan: AlertPlan) -> gcp.monitoring.AlertPolicyConditionArgs:
    return gcp.monitoring.AlertPolicyConditionArgs(
        display_name=plan.title,
        condition_matched_log=gcp.monitoring.AlertPolicyConditionConditionMatchedLogArgs(filter=plan.log_filter or ""),
    )
