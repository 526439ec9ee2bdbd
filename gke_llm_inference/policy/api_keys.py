"""Which servers answer nobody without an API key, as far as resources tell."""

from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.access_facts import GuardedPaths
from gke_llm_inference.planning.access.exposed import guarded_paths
from gke_llm_inference.policy.resources import Opaque, Resource, at, fields, items
from gke_llm_inference.policy.workloads import is_workload, object_name, pod_spec, pod_template, same_namespace, selects

_VERSION = "app.kubernetes.io/version"
# vLLM reads several keys from a file, which is mounted from a Secret.
_KEY_FILE = "--config"
_UNSEEN = "unseen"
_POOL = ("inference.networking.k8s.io", "InferencePool")


def leads_to_pool(backend: Any) -> bool:
    """Whether what a rule leads to is an InferencePool; a Service where it does not say."""
    return bool(at(backend, "kind") == _POOL[1])


def asks_for_key(backend: Any, route: Resource, rule: Any, resources: Sequence[Resource]) -> bool:
    """Whether a server asks for an API key on every path that a rule of a route leads to it.

    Args:
        backend: what the rule leads to: a Service, or an InferencePool.
        route: the HTTPRoute.
        rule: the rule of it.
        resources: every resource of the stack.

    """
    return any(_guards(workload, rule) for workload in _behind(backend, route, resources))


def _behind(backend: Any, route: Resource, resources: Sequence[Resource]) -> Iterator[Resource]:
    """The workloads that a Service or an InferencePool leads to."""
    name = at(backend, "name")
    is_unseen = isinstance(at(backend, "kind"), Opaque)
    for service in resources:
        pooled = (service.group, service.kind) == _POOL
        if not pooled and (service.group, service.kind) != ("core", "Service"):
            continue
        if pooled != leads_to_pool(backend) and not is_unseen:
            continue
        if not same_namespace(service, route) or object_name(service) not in (name, None):
            continue
        selector = service.at("spec", "selector", "matchLabels") if pooled else service.at("spec", "selector")
        for workload in resources:
            if is_workload(workload) and same_namespace(workload, service) and _selects(selector, workload):
                yield workload


def _selects(selector: Any, workload: Resource) -> bool:
    """Whether a selector of labels alone covers the pods; an empty one of a Service covers none."""
    if isinstance(selector, Opaque):
        return True
    wanted = fields(selector)
    return bool(wanted) and selects({"matchLabels": wanted}, workload)


def _guards(workload: Resource, rule: Any) -> bool:
    spec, matches = pod_spec(workload), at(rule, "matches")
    containers = at(spec, "containers")
    if isinstance(containers, Opaque) or isinstance(matches, Opaque):
        return True
    catalog = load_catalog()
    version = at(pod_template(workload), "metadata", "labels", _VERSION)
    for container in items(containers):
        kind = _kind(container, spec, catalog)
        if kind == _UNSEEN or (kind and isinstance(version, Opaque)):
            return True
        for name, facts in catalog.access.items():
            if name != kind:
                continue
            # A version that is not stated may be any.
            known = version if isinstance(version, str) else catalog.servers[name].known_versions[0]
            guarded = guarded_paths(known, facts)
            return bool(items(matches)) and all(_is_guarded(match, guarded) for match in items(matches))
    return False


def _kind(container: Any, spec: Any, catalog: Catalog) -> str | None:
    """Which server of the catalog reads a key in a container; `_UNSEEN` if that cannot be seen, None if none does."""
    environment, arguments = at(container, "env"), at(container, "args")
    variables = [at(entry, "name") for entry in items(environment)]
    if any(isinstance(one, Opaque) for one in (environment, arguments, *variables, *items(arguments))):
        return _UNSEEN
    for kind, facts in catalog.access.items():
        for entry in items(environment):
            if at(entry, "name") == facts.key_variable and at(entry, "valueFrom", "secretKeyRef"):
                return kind
    volumes = at(spec, "volumes")
    if _KEY_FILE in items(arguments) and (
        isinstance(volumes, Opaque) or any(at(volume, "secret") for volume in items(volumes))
    ):
        return next((kind for kind, facts in catalog.access.items() if facts.key_file_since), None)
    return None


def _is_guarded(match: Any, guarded: GuardedPaths) -> bool:
    kind, path, method = at(match, "path", "type"), at(match, "path", "value"), at(match, "method")
    if any(isinstance(one, Opaque) for one in (kind, path, method)):
        return True
    if not isinstance(path, str) or kind not in ("Exact", "PathPrefix"):
        return False
    # A prefix of a route ends where a part of the path does, as those of the server's guard may.
    return path.startswith(guarded.prefixes) or (kind == "Exact" and guarded.guards(path, str(method)))
