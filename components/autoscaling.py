"""What scales a server's pods, from its plan."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, autoscaling, meta

from gke_llm_inference.planning import ServerPlan
from gke_llm_inference.planning.autoscaling import specs
from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan

from .served_apis import ServedApis


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """What scales the pods of one server.

    Attributes:
        autoscaler: Kubernetes' autoscaler; None with KEDA, which makes it itself.
        metric: what has GKE read the pods' metrics; None with another source.
        scaled_object: what KEDA makes an autoscaler of; None with another source.
        trigger_authentication: as whom KEDA asks; None where it asks nobody outside of the cluster.
        interceptor_route: which requests KEDA's HTTP add-on holds; None without it.

    """

    autoscaler: autoscaling.v2.HorizontalPodAutoscaler | None = None
    metric: apiextensions.CustomResource | None = None
    scaled_object: apiextensions.CustomResource | None = None
    trigger_authentication: apiextensions.CustomResource | None = None
    interceptor_route: apiextensions.CustomResource | None = None


def autoscaler(
    name: str, plan: ServerPlan, served_apis: ServedApis | None, opts: pulumi.ResourceOptions
) -> Autoscaler | None:
    """Registers what scales a server's pods; None where their number is fixed.

    Args:
        name: name of the server's component, which the objects' begin with.
        plan: the server.
        served_apis: what custom resources wait by; they are made at once if None.
        opts: options of the objects; they depend on the Deployment.

    """
    scaling = plan.autoscaling
    if scaling is None:
        return None
    if scaling.source == "keda":
        return _keda(name, plan, scaling, served_apis, opts)
    metric = None
    if scaling.source == "native":
        spec = specs.autoscaling_metric_spec(scaling, plan.selector, plan.port)
        metric = _custom_resource(f"{name}-autoscaling-metric", specs.NATIVE_API, plan, spec, served_apis, opts)
    hpa: Any = specs.hpa_spec(scaling)
    return Autoscaler(
        autoscaler=autoscaling.v2.HorizontalPodAutoscaler(
            f"{name}-autoscaler",
            metadata=_metadata(plan, scaling.name),
            spec=hpa,
            opts=_after(opts, metric),
        ),
        metric=metric,
    )


def _keda(
    name: str,
    plan: ServerPlan,
    scaling: AutoscalingPlan,
    served_apis: ServedApis | None,
    opts: pulumi.ResourceOptions,
) -> Autoscaler:
    def made(suffix: str, api: tuple[str, str], spec: dict[str, Any], after: pulumi.Resource | None = None) -> Any:
        return _custom_resource(f"{name}-{suffix}", api, plan, spec, served_apis, _after(opts, after))

    route = authentication = None
    if scaling.interceptor is not None:
        route = made("interceptor-route", specs.INTERCEPTOR_ROUTE_API, specs.interceptor_route_spec(scaling))
    else:
        authentication = made(
            "trigger-authentication", specs.TRIGGER_AUTHENTICATION_API, specs.trigger_authentication_spec()
        )
    return Autoscaler(
        scaled_object=made(
            "scaled-object", specs.SCALED_OBJECT_API, specs.scaled_object_spec(scaling), route or authentication
        ),
        trigger_authentication=authentication,
        interceptor_route=route,
    )


def _custom_resource(
    name: str,
    api: tuple[str, str],
    plan: ServerPlan,
    spec: dict[str, Any],
    served_apis: ServedApis | None,
    opts: pulumi.ResourceOptions,
) -> apiextensions.CustomResource:
    served = served_apis.once_served(*api, plan.name) if served_apis else plan.name
    return apiextensions.CustomResource(
        name, api_version=api[0], kind=api[1], metadata=_metadata(plan, served), spec=spec, opts=opts
    )


def _after(opts: pulumi.ResourceOptions, one: pulumi.Resource | None) -> pulumi.ResourceOptions:
    return opts if one is None else pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[one]))


def _metadata(plan: ServerPlan, object_name: pulumi.Input[str]) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(name=object_name, namespace=plan.namespace, labels=plan.labels)
