"""Whether somebody learns that a server is ill."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.policy.model import NoSettings, StackPolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, fields, items
from gke_llm_inference.policy.workloads import is_server, is_workload, object_name, same_namespace, selects

_ALERT_POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
_ASKED = ("filter", "query")
_MONITORINGS = ("PodMonitoring", "ClusterPodMonitoring")


def _alerts(resources: Sequence[Resource], _: NoSettings) -> Iterator[tuple[str | None, str]]:
    alerts = [one for one in resources if one.type == _ALERT_POLICY and one.at("enabled") is not False]
    monitorings = [one for one in resources if one.group == "monitoring.googleapis.com" and one.kind in _MONITORINGS]
    for workload in resources:
        if not is_workload(workload) or not is_server(workload) or _may_have_no_pods(workload):
            continue
        if not any(_collects(one, workload) for one in monitorings):
            yield workload.urn, "has no PodMonitoring, so that its metrics are not collected"
        own = [one for one in alerts if _is_about(one, workload)]
        if not own:
            yield workload.urn, "has no alert policy that names it"
        elif not any(_tells(one) for one in own):
            yield workload.urn, "has alert policies, but none with a notification channel"


def _may_have_no_pods(workload: Resource) -> bool:
    replicas = workload.at("spec", "replicas")
    return isinstance(replicas, Opaque) or replicas == 0


def _collects(monitoring: Resource, workload: Resource) -> bool:
    return (monitoring.kind == "ClusterPodMonitoring" or same_namespace(monitoring, workload)) and selects(
        monitoring.at("spec", "selector"), workload
    )


def _is_about(alert: Resource, workload: Resource) -> bool:
    """Whether a condition asks for a workload by its name, or may."""
    conditions, name = alert.at("conditions"), object_name(workload)
    if isinstance(conditions, Opaque) or name is None:
        return True
    whole = re.compile(rf"(?<![A-Za-z0-9.-]){re.escape(name)}(?![A-Za-z0-9.-])")
    return any(
        isinstance(asked, Opaque) or whole.search(asked) for one in items(conditions) for asked in _questions(one)
    )


def _questions(condition: Any) -> Iterator[Any]:
    """What a condition asks, rather than how it is called."""
    if isinstance(condition, Opaque):
        yield condition
    for part in fields(condition).values():
        if isinstance(part, dict | Opaque):
            yield from (asked for key in _ASKED if isinstance(asked := at(part, key), str | Opaque))


def _tells(alert: Resource) -> bool:
    channels = alert.at("notificationChannels")
    return isinstance(channels, Opaque) or bool(items(channels))


SERVER_ALERTS = StackPolicy(
    name="server-alerts",
    what="Every inference server is collected from, and has an alert that reaches somebody.",
    why="A server that is down, full or idle costs clients or money until somebody looks at it by chance.",
    fix="set observability.metrics.enabled and observability.alerts with notificationChannels",
    check=_alerts,
)
