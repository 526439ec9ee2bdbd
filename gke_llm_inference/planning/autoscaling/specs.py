"""Plans as Kubernetes takes them: the specs of what scales a server. Pure, so that tests may change a plan before."""

from typing import Any

from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan, ScalingRule, Signal
from gke_llm_inference.planning.observability.queries import matching

NATIVE_API = ("autoscaling.gke.io/v1beta1", "AutoscalingMetric")
"""GKE's own way to read the metrics of pods."""
SCALED_OBJECT_API = ("keda.sh/v1alpha1", "ScaledObject")
"""What KEDA makes an autoscaler of."""
TRIGGER_AUTHENTICATION_API = ("keda.sh/v1alpha1", "TriggerAuthentication")
"""As whom KEDA asks."""
INTERCEPTOR_ROUTE_API = ("http.keda.sh/v1beta1", "InterceptorRoute")
"""Which requests KEDA's HTTP add-on holds for which Service."""
_UNDELIVERED = "pubsub.googleapis.com|subscription|num_undelivered_messages"
_UNDELIVERED_QUERY = (
    "pubsub_googleapis_com:subscription_num_undelivered_messages"
    '{{monitored_resource="pubsub_subscription",subscription_id="{}"}}'
)


def hpa_spec(plan: AutoscalingPlan) -> dict[str, Any]:
    """The spec of the HorizontalPodAutoscaler (autoscaling/v2).

    Raises:
        ValueError: KEDA makes the autoscaler itself.

    """
    if plan.source == "keda":
        raise ValueError("with KEDA there is a ScaledObject, of which it makes the autoscaler")
    queue = plan.queue
    of_queue = [] if queue is None else [_queue_metric(queue.subscription, queue.messages)]
    return {
        "scaleTargetRef": _deployment(plan),
        "minReplicas": plan.min_replicas,
        "maxReplicas": plan.max_replicas,
        "metrics": [*(_pods_metric(plan, signal) for signal in plan.signals), *of_queue],
        "behavior": behavior(plan),
    }


def behavior(plan: AutoscalingPlan) -> dict[str, Any]:
    """How fast pods come and go, as a HorizontalPodAutoscaler takes it."""
    return {"scaleUp": _rule(plan.up), "scaleDown": _rule(plan.down)}


def autoscaling_metric_spec(plan: AutoscalingPlan, selector: dict[str, str], port: int) -> dict[str, Any]:
    """The spec of GKE's AutoscalingMetric.

    Args:
        plan: how the server scales.
        selector: labels of its pods, and of no others.
        port: port of its container.

    """
    return {
        "metrics": [
            {
                "pod": {
                    "selector": {"matchLabels": dict(selector)},
                    "containers": [
                        {
                            "endpoint": {"port": port, "path": "/metrics"},
                            "metrics": [
                                # The name by which the autoscaler knows it has no colon, unlike vLLM's own.
                                {"gauge": {"name": signal.name, "prometheusMetricName": signal.metric}}
                                for signal in plan.signals
                            ],
                        }
                    ],
                }
            }
        ]
    }


def scaled_object_spec(plan: AutoscalingPlan) -> dict[str, Any]:
    """The spec of KEDA's ScaledObject."""
    assert plan.keda is not None
    return {
        "scaleTargetRef": _deployment(plan),
        "minReplicaCount": plan.min_replicas,
        "maxReplicaCount": plan.max_replicas,
        "pollingInterval": plan.keda.polling_seconds,
        # Only the last pod goes by this; all others go as the autoscaler's behavior says.
        **({} if plan.min_replicas else {"cooldownPeriod": plan.down.window_seconds}),
        "advanced": {"horizontalPodAutoscalerConfig": {"name": plan.name, "behavior": behavior(plan)}},
        "triggers": list(_triggers(plan)),
    }


def trigger_authentication_spec() -> dict[str, Any]:
    """The spec of a TriggerAuthentication: KEDA asks as its own operator."""
    return {"podIdentity": {"provider": "gcp"}}


def interceptor_route_spec(plan: AutoscalingPlan) -> dict[str, Any]:
    """The spec of the InterceptorRoute of KEDA's HTTP add-on."""
    assert plan.interceptor is not None
    return {
        "target": {"service": plan.name, "port": plan.interceptor.port},
        "rules": [{"hosts": list(plan.interceptor.hosts)}],
        "scalingMetric": {"concurrency": {"targetValue": plan.target("running")}},
        # Neither an answer that takes long nor one that begins late is cut; a pod that never comes is.
        "timeouts": {"readiness": f"{plan.interceptor.wait_seconds}s", "request": "0s", "responseHeader": "0s"},
    }


def promql(plan: AutoscalingPlan, signal: Signal) -> str:
    """A signal summed over a server's pods."""
    assert plan.keda is not None
    return f"sum({signal.metric}{matching(**dict(plan.keda.labels))})"


def _triggers(plan: AutoscalingPlan) -> list[dict[str, Any]]:
    assert plan.keda is not None
    if plan.interceptor is not None:
        # The interceptor counts every request that it holds or that is answered: waiting and running ones.
        metadata = {"scalerAddress": plan.interceptor.scaler, "interceptorRoute": plan.name}
        return [{"type": "external-push", "metadata": metadata}]
    asked: list[tuple[str, str, int]] = [(signal.name, promql(plan, signal), signal.target) for signal in plan.signals]
    if plan.queue is not None:
        asked.append(("queue", _UNDELIVERED_QUERY.format(plan.queue.subscription), plan.queue.messages))
    return [
        {
            "type": "prometheus",
            "name": name,
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": plan.keda.prometheus,
                "query": query,
                "threshold": str(target),
                # Series that are missing are no load of zero: an outage of the metrics must not take pods away.
                "ignoreNullValues": "false",
            },
            "authenticationRef": {"name": plan.name, "kind": "TriggerAuthentication"},
        }
        for name, query, target in asked
    ]


def _deployment(plan: AutoscalingPlan) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": plan.name}


def _pods_metric(plan: AutoscalingPlan, signal: Signal) -> dict[str, Any]:
    name = (
        f"autoscaling.gke.io|{plan.name}|{signal.name}"
        if plan.source == "native"
        else f"prometheus.googleapis.com|{signal.metric}|gauge"
    )
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": _average(signal.target)}}


def _queue_metric(subscription: str, messages: int) -> dict[str, Any]:
    selector = {"matchLabels": {"resource.labels.subscription_id": subscription}}
    return {
        "type": "External",
        "external": {"metric": {"name": _UNDELIVERED, "selector": selector}, "target": _average(messages)},
    }


def _average(value: int) -> dict[str, str]:
    return {"type": "AverageValue", "averageValue": str(value)}


def _rule(rule: ScalingRule) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": rule.window_seconds,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": rule.pods, "periodSeconds": rule.period_seconds}],
    }
