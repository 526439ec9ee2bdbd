"""What is the same under another name: to Pulumi one resource that goes, and another one that comes first."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.diff.compare import Comparison, ResourceChange
from gke_llm_inference.diff.severity import Effect, Severity
from gke_llm_inference.diff.wording import quote
from gke_llm_inference.preview.recording import Resource

NODE_POOL = "gcp:container/nodePool:NodePool"
_DEPLOYMENT = "kubernetes:apps/v1:Deployment"
_SERVICE = "kubernetes:core/v1:Service"
_MODEL = "ai.gke.io/model"
_ACCELERATOR = "cloud.google.com/gke-accelerator"


class OtherNames:
    """Servers and node pools that one revision calls otherwise than the other."""

    def __init__(self, comparison: Comparison) -> None:
        changes = comparison.resources
        self._services = [one for one in changes if one.resource.type == _SERVICE]
        self._new: dict[str, Resource] = {}
        self._old: dict[str, Resource] = {}
        for type_ in (_DEPLOYMENT, NODE_POOL):
            gone = [one.resource for one in changes if one.action == "removed" and one.resource.type == type_]
            come = [one.resource for one in changes if one.action == "added" and one.resource.type == type_]
            for old, new in _pairs(gone, come):
                self._new[old.urn], self._old[new.urn] = new, old

    def of(self, change: ResourceChange) -> Iterator[Effect]:
        """What another name of a resource means: nothing for what has none."""
        urn = change.resource.urn
        if change.action == "removed" and urn in self._new:
            what = "server" if change.resource.type == _DEPLOYMENT else "node pool"
            text = f"is called {quote(self._new[urn].name)} now: the new {what} is created before this one is deleted"
            yield Effect(Severity.REMOVED, text, gist=f"a {what} has another name")
        elif change.action == "added" and urn in self._old:
            yield Effect(Severity.WEAKENED, self._sentence(self._old[urn], change.resource))

    def _sentence(self, old: Resource, new: Resource) -> str:
        text = f"it is {quote(old.name)} under another name: both exist for a while"
        if new.type == NODE_POOL:
            return f"{text}, which takes twice the nodes, and GPUs if it has any; its pods move to the new one"
        count, kind = _gpus(new)
        if count:
            text += (
                f", which takes twice the GPUs: quota and nodes for {count} more {quote(kind)}. Without them its pods "
                f"wait, and the update fails while {quote(old.name)} still serves"
            )
        before, after = self._url(old), self._url(new)
        if before and after and before != after:
            text += f". Its URL changes from {quote(before)} to {quote(after)}: the old one ends with the update"
        return text

    def _url(self, deployment: Resource) -> str:
        """The address of a server's Service, which is its sibling."""
        for change in self._services:
            service = change.resource
            if service.parent == deployment.parent and change.action in ("added", "removed"):
                metadata, ports = _mapping(service.inputs.get("metadata")), _mapping(service.inputs.get("spec"))
                return service_url(metadata, ports.get("ports"))
        return ""


def service_url(metadata: dict[str, Any], ports: Any = None) -> str:
    """Where clients find a Service within the cluster; empty where its name is not known."""
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not isinstance(namespace, str):
        return ""
    port = _mapping(ports[0]).get("port") if isinstance(ports, list) and ports else None
    return f"http://{name}.{namespace}.svc.cluster.local" + (f":{port}" if isinstance(port, int) else "")


def _pairs(gone: list[Resource], come: list[Resource]) -> Iterator[tuple[Resource, Resource]]:
    """Each that goes with the most similar one that comes and is for the same, no one twice."""
    left = list(come)
    for old in gone:
        what = _purpose(old)
        same = [new for new in left if what is not None and _purpose(new) == what]
        if same:
            best = max(same, key=lambda new: _likeness(old, new))
            left.remove(best)
            yield old, best


def _purpose(resource: Resource) -> Any:
    """What it is for: the model of a server, the machines of a pool; None where that is not known."""
    if resource.type == NODE_POOL:
        config = _mapping(resource.inputs.get("nodeConfig"))
        return (config.get("machineType"), str(config.get("guestAccelerators"))) if config.get("machineType") else None
    template = _mapping(_mapping(resource.inputs.get("spec")).get("template"))
    labels = _mapping(_mapping(template.get("metadata")).get("labels"))
    container = _container(resource)
    arguments = container.get("args")
    first = arguments[0] if isinstance(arguments, list) and arguments else None
    return labels.get(_MODEL) or first or container.get("image")


def _likeness(old: Resource, new: Resource) -> int:
    arguments = [_container(one).get("args") for one in (old, new)]
    before, after = ([str(one) for one in found] if isinstance(found, list) else [] for found in arguments)
    return len({*before} & {*after})


def _gpus(deployment: Resource) -> tuple[int, str]:
    """GPUs of all pods, and their type."""
    spec = _mapping(deployment.inputs.get("spec"))
    replicas = spec.get("replicas", 1)
    limits = _mapping(_mapping(_container(deployment).get("resources")).get("limits"))
    count = str(limits.get(GPU_RESOURCE, ""))
    selector = _mapping(_pod(deployment).get("nodeSelector"))
    if not count.isdecimal() or not isinstance(replicas, int):
        return 0, ""
    return int(count) * replicas, str(selector.get(_ACCELERATOR, "GPUs"))


def _pod(deployment: Resource) -> dict[str, Any]:
    template = _mapping(_mapping(deployment.inputs.get("spec")).get("template"))
    return _mapping(template.get("spec"))


def _container(deployment: Resource) -> dict[str, Any]:
    containers = _pod(deployment).get("containers")
    return _mapping(containers[0]) if isinstance(containers, list) and containers else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
