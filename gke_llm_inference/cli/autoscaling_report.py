"""How a server scales, for people and programs."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan, MetricsAdapterPlan, ScalingRule


def autoscaling_document(plan: AutoscalingPlan | None) -> dict[str, Any] | None:
    """How a server scales as plain data for JSON; None where the number of its pods is fixed."""
    if plan is None:
        return None
    return {
        "source": plan.source,
        "sourceReason": plan.source_why,
        "minReplicas": plan.min_replicas,
        "maxReplicas": plan.max_replicas,
        "boundsReason": plan.bounds_why,
        "requestsAtOnce": plan.holds,
        "signals": [
            {"name": one.name, "metric": one.metric, "target": one.target, "reason": one.why} for one in plan.signals
        ],
        "coldStartSeconds": plan.cold_start_seconds,
        "scaleUp": _rule(plan.up),
        "scaleDown": _rule(plan.down),
        "holder": None
        if plan.min_replicas
        else {
            "queue": None
            if plan.queue is None
            else {"subscription": plan.queue.subscription, "messages": plan.queue.messages},
            "interceptor": None
            if plan.interceptor is None
            else {
                "url": plan.interceptor.url,
                "hosts": list(plan.interceptor.hosts),
                "waitSeconds": plan.interceptor.wait_seconds,
            },
        },
    }


def adapter_document(plan: MetricsAdapterPlan | None) -> dict[str, Any] | None:
    """The adapter as plain data for JSON; None where the stack does not make it."""
    return None if plan is None else {"image": plan.image, "namespace": plan.namespace}


def autoscaling_lines(plan: AutoscalingPlan | None) -> Iterator[str]:
    """How a server scales as lines of the plan's text; none where the number of its pods is fixed."""
    if plan is None:
        return
    yield f"  scales     {plan.min_replicas} to {plan.max_replicas} by {plan.source}: {plan.source_why}"
    yield f"             {plan.bounds_why}"
    for signal in plan.signals:
        yield f"    {signal.name:<8} {signal.target} for each pod: {signal.why}"
    yield f"    up       {_pace(plan.up)}: {plan.up.why}"
    yield f"    down     {_pace(plan.down)}: {plan.down.why}"
    if plan.queue is not None:
        yield f"    at zero  {plan.queue.subscription} holds requests; {plan.queue.messages} for each pod"
    if plan.interceptor is not None:
        yield f"    at zero  {plan.interceptor.url} holds requests for {plan.interceptor.wait_seconds} s at most"


def _pace(rule: ScalingRule) -> str:
    after = f" after {rule.window_seconds} s" if rule.window_seconds else ""
    pods = f"{rule.pods} pod{'s' if rule.pods != 1 else ''}"
    return f"{pods} in {rule.period_seconds} s{after}"


def _rule(rule: ScalingRule) -> dict[str, Any]:
    return {
        "windowSeconds": rule.window_seconds,
        "pods": rule.pods,
        "periodSeconds": rule.period_seconds,
        "reason": rule.why,
    }
