"""Who can reach a server: nothing is public without authentication."""

from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.policy.model import NoSettings, StackPolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items
from gke_llm_inference.policy.workloads import object_name, same_namespace

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
                        yield resource.urn, f"is a public Gateway, whose {route} leads to {backend} without IAP"


def _is_public_service(service: Resource) -> bool:
    if service.at("spec", "type") != "LoadBalancer":
        return False
    annotations = service.at("metadata", "annotations")
    kinds = [at(annotations, key) for key in _INTERNAL_SERVICE]
    return not any(isinstance(kind, Opaque) or str(kind).lower() == "internal" for kind in kinds)


def _is_public_ingress(ingress: Resource) -> bool:
    named = [
        ingress.at("spec", "ingressClassName"),
        ingress.at("metadata", "annotations", "kubernetes.io/ingress.class"),
    ]
    return not any(isinstance(name, Opaque) or name == _INTERNAL_INGRESS for name in named)


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
                if isinstance(backend, str) and not _has_backend_policy(backend, route, resources):
                    found.add((f"{route.kind} {route.name}", backend))
    return sorted(found)


def _has_backend_policy(backend: str, route: Resource, resources: Sequence[Resource]) -> bool:
    return any(
        policy.kind == "GCPBackendPolicy"
        and same_namespace(policy, route)
        and (isinstance(target := policy.at("spec", "targetRef", "name"), Opaque) or target == backend)
        and _enabled(policy.at("spec", "default", "iap", "enabled"))
        for policy in resources
    )


def _enabled(value: Any) -> bool:
    return value is True or isinstance(value, Opaque)


AUTHENTICATED_ENTRY = StackPolicy(
    name="authenticated-entry",
    what="Nothing is reachable from the internet without authentication.",
    why=(
        "Inference servers do not authenticate clients: whoever finds the address can use the GPUs and read the "
        "answers."
    ),
    fix=(
        "keep Services internal (networking.gke.io/load-balancer-type: Internal), or put a Gateway or Ingress with "
        "Identity-Aware Proxy in front of them"
    ),
    check=_public,
)
