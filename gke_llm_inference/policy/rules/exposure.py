"""Who can reach a server: nothing is public without authentication."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from gke_llm_inference.policy.api_keys import asks_for_key
from gke_llm_inference.policy.model import NoSettings, ResourcePolicy, StackPolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items
from gke_llm_inference.policy.workloads import object_name, same_namespace
from gke_llm_inference.settings.base import Settings

_INTERNAL_SERVICE = ("networking.gke.io/load-balancer-type", "cloud.google.com/load-balancer-type")
_BACKEND_CONFIG = ("cloud.google.com/backend-config", "beta.cloud.google.com/backend-config")
_INTERNAL_INGRESS = "gce-internal"
_ROUTES = ("HTTPRoute", "GRPCRoute")


def _public(resources: Sequence[Resource], _: NoSettings) -> Iterator[tuple[str | None, str]]:
    for resource in resources:
        match resource.group, resource.kind:
            case "core", "Service":
                if _is_public_service(resource):
                    yield resource.urn, "is a public load balancer without authentication"
            case (("networking.k8s.io" | "extensions"), "Ingress"):
                if _is_public_ingress(resource):
                    for service in _unprotected_services(resource, resources):
                        yield (
                            resource.urn,
                            f"is a public Ingress, whose Service {service} has no BackendConfig with IAP",
                        )
            case "gateway.networking.k8s.io", "Gateway":
                if _is_public_gateway(resource):
                    for route, backend in _unprotected_backends(resource, resources):
                        yield (
                            resource.urn,
                            f"is a public Gateway, whose {route} leads to {backend} without IAP, and some of it "
                            "without an API key",
                        )


def _is_public_service(service: Resource) -> bool:
    if service.at("spec", "type") != "LoadBalancer":
        return False
    return not any(isinstance(kind, Opaque) or str(kind).lower() == "internal" for kind in _balancer_kinds(service))


def _balancer_kinds(service: Resource) -> list[Any]:
    return [service.at("metadata", "annotations", key) for key in _INTERNAL_SERVICE]


def _is_public_ingress(ingress: Resource) -> bool:
    return not any(isinstance(name, Opaque) or name == _INTERNAL_INGRESS for name in _ingress_classes(ingress))


def _ingress_classes(ingress: Resource) -> list[Any]:
    return [
        ingress.at("spec", "ingressClassName"),
        ingress.at("metadata", "annotations", "kubernetes.io/ingress.class"),
    ]


def _unprotected_services(ingress: Resource, resources: Sequence[Resource]) -> list[str]:
    backends = [ingress.at("spec", "defaultBackend")]
    for rule in items(ingress.at("spec", "rules")):
        backends += [at(path, "backend") for path in items(at(rule, "http", "paths"))]
    names = {name for backend in backends if isinstance(name := at(backend, "service", "name"), str)}
    return sorted(name for name in names if not _has_backend_config(name, ingress, resources))


def _has_backend_config(service: str, ingress: Resource, resources: Sequence[Resource]) -> bool:
    configs = [one for one in resources if one.kind == "BackendConfig" and same_namespace(one, ingress)]
    for one in resources:
        if (one.group, one.kind) != ("core", "Service") or not same_namespace(one, ingress):
            continue
        if object_name(one) not in (service, None):
            continue
        annotations = [one.at("metadata", "annotations", key) for key in _BACKEND_CONFIG]
        for annotation in annotations:
            if isinstance(annotation, Opaque):
                return True
            if isinstance(annotation, str) and any(
                _is_named(config, annotation) and _enabled(config.at("spec", "iap", "enabled")) for config in configs
            ):
                return True
    return False


def _is_named(config: Resource, annotation: str) -> bool:
    """Whether a Service's annotation names a BackendConfig, or may."""
    name = object_name(config)
    return name is None or f'"{name}"' in annotation


def _is_public_gateway(gateway: Resource) -> bool:
    name = gateway.at("spec", "gatewayClassName")
    return isinstance(name, str) and "rilb" not in name and "internal" not in name


def _unprotected_backends(gateway: Resource, resources: Sequence[Resource]) -> list[tuple[str, str]]:
    name = object_name(gateway)
    found = set()
    for route in resources:
        if route.group != "gateway.networking.k8s.io" or route.kind not in _ROUTES:
            continue
        if name is None or not any(at(parent, "name") == name for parent in items(route.at("spec", "parentRefs"))):
            continue
        for rule in items(route.at("spec", "rules")):
            for reference in items(at(rule, "backendRefs")):
                backend = at(reference, "name")
                if (
                    isinstance(backend, str)
                    and not _has_backend_policy(reference, route, resources)
                    and not asks_for_key(reference, route, rule, resources)
                ):
                    found.add((f"{route.kind} {route.name}", backend))
    return sorted(found)


def _has_backend_policy(backend: Any, route: Resource, resources: Sequence[Resource]) -> bool:
    name, kind = at(backend, "name"), at(backend, "kind") or "Service"
    return any(
        policy.kind == "GCPBackendPolicy"
        and same_namespace(policy, route)
        and (isinstance(target := policy.at("spec", "targetRef", "name"), Opaque) or target == name)
        and policy.at("spec", "targetRef", "kind") in (kind, *Opaque)
        and _enabled(policy.at("spec", "default", "iap", "enabled"))
        for policy in resources
    )


def _enabled(value: Any) -> bool:
    return value is True or isinstance(value, Opaque)


class ExposureSettings(Settings):
    """Where load balancers may be."""

    exposures: Annotated[tuple[Literal["internal", "external"], ...], Field(strict=False)]
    """Exposures that are allowed; none for no load balancer at all."""


def _internal(resources: Sequence[Resource], _: NoSettings) -> Iterator[tuple[str | None, str]]:
    for resource in resources:
        if _is_gateway(resource) and _exposure(resource) == "internal":
            for route, backend in _unprotected_backends(resource, resources):
                yield resource.urn, f"its {route} leads to {backend}, and some of it without an API key"


def _encrypted(resource: Resource, _: NoSettings) -> Iterator[str]:
    if _is_gateway(resource):
        for index, listener in enumerate(items(resource.at("spec", "listeners"))):
            protocol = at(listener, "protocol")
            if not isinstance(protocol, Opaque) and protocol not in ("HTTPS", "TLS"):
                yield f"listens without TLS: spec.listeners[{index}].protocol"


def _exposures(resource: Resource, settings: ExposureSettings) -> Iterator[str]:
    exposure = _exposure(resource)
    if exposure is not None and exposure not in settings.exposures:
        yield f"is {exposure}; allowed: {', '.join(settings.exposures) or 'none'}"


def _exposure(resource: Resource) -> str | None:
    """Where a load balancer is; None for what is not one, or where that is not known."""
    match resource.group, resource.kind:
        case "core", "Service" if resource.at("spec", "type") == "LoadBalancer":
            unknown = any(isinstance(kind, Opaque) for kind in _balancer_kinds(resource))
            return None if unknown else "external" if _is_public_service(resource) else "internal"
        case (("networking.k8s.io" | "extensions"), "Ingress"):
            unknown = any(isinstance(name, Opaque) for name in _ingress_classes(resource))
            return None if unknown else "external" if _is_public_ingress(resource) else "internal"
        case "gateway.networking.k8s.io", "Gateway" if isinstance(resource.at("spec", "gatewayClassName"), str):
            return "external" if _is_public_gateway(resource) else "internal"
        case _:
            return None


def _is_gateway(resource: Resource) -> bool:
    return (resource.group, resource.kind) == ("gateway.networking.k8s.io", "Gateway")


AUTHENTICATED_ENTRY = StackPolicy(
    name="authenticated-entry",
    what="Nothing is reachable from the internet without authentication.",
    why=(
        "Whoever finds the address can use the GPUs and read the answers. Inference servers ask for a key only where "
        "they have one, and only on some of their paths."
    ),
    fix=(
        "set apiKeys of the server, and let a Gateway through to paths that the key guards; or keep Services internal "
        "(networking.gke.io/load-balancer-type: Internal), or put Identity-Aware Proxy in front of them"
    ),
    check=_public,
)
INTERNAL_AUTHENTICATION = StackPolicy(
    name="internal-authentication",
    what="Nothing is reachable through an internal Gateway without authentication.",
    why="Every machine and every pod of the VPC could use the GPUs, and nobody could be shut out.",
    fix="set apiKeys of the server, and let the Gateway through to paths that the key guards",
    check=_internal,
)
ENCRYPTED_ENTRY = ResourcePolicy(
    name="encrypted-entry",
    what="Gateways listen with TLS alone.",
    why="API keys, prompts and answers would cross networks in clear.",
    fix="set gateway.tls to a certificate of Certificate Manager or of a Secret",
    check=_encrypted,
)
ALLOWED_EXPOSURES = ResourcePolicy(
    name="allowed-exposures",
    what="Load balancers are only where they are allowed: inside of the VPC, on the internet, or nowhere.",
    why="Who may reach a server is for the organization to decide, not for one stack.",
    fix="change exposure of the server or of gateway, or add it to this policy's exposures",
    settings=ExposureSettings,
    check=_exposures,
)
