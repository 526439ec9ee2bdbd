"""The resources of a recording as a tree, and the inference servers among them."""

from dataclasses import dataclass
from typing import Any

from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE, is_provider_type

INFERENCE_SERVER_TYPE = "gke-llm-inference:index:InferenceServer"
"""Type token of the component whose outputs describe a server."""


@dataclass(frozen=True)
class Node:
    """A resource and what it is the parent of, in the order to show."""

    resource: Resource
    children: "tuple[Node, ...]"

    @property
    def descendants(self) -> int:
        """Number of resources below this one."""
        return sum(1 + child.descendants for child in self.children)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the tree."""
        return {
            "name": self.resource.name,
            "type": self.resource.type,
            "label": short_type(self.resource.type),
            "urn": self.resource.urn,
            "resourceCount": self.descendants,
            "children": [child.as_dict() for child in self.children],
        }


@dataclass(frozen=True)
class Server:
    """An inference server as its component describes it. None for what it does not say.

    Values are `[unknown]` where only a deployment can know them.
    """

    name: str
    urn: str
    server: Any = None
    version: Any = None
    model: Any = None
    image: Any = None
    args: Any = None
    gpu_type: Any = None
    gpu_count: Any = None
    machine_type: Any = None
    replicas: Any = None
    url: Any = None
    least_replicas: Any = None
    """The fewest pods that its autoscaler leaves; its other values are those at its most."""

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, with the keys of the component's outputs."""
        return {
            "name": self.name,
            "urn": self.urn,
            "server": self.server,
            "version": self.version,
            "model": self.model,
            "image": self.image,
            "args": self.args,
            "gpuType": self.gpu_type,
            "gpuCount": self.gpu_count,
            "machineType": self.machine_type,
            "replicas": self.replicas,
            "url": self.url,
        }


def build_tree(recording: Recording) -> tuple[Node, ...]:
    """The roots of the tree: the stack, and whatever has a parent that was not recorded."""
    known = {resource.urn for resource in recording.resources}
    children: dict[str | None, list[Resource]] = {}
    for resource in recording.resources:
        parent = resource.parent if resource.parent in known and resource.parent != resource.urn else None
        children.setdefault(parent, []).append(resource)

    def node(resource: Resource) -> Node:
        below = sorted(children.get(resource.urn, ()), key=_order)
        return Node(resource, tuple(node(child) for child in below))

    return tuple(node(resource) for resource in sorted(children.get(None, ()), key=_order))


def _order(resource: Resource) -> tuple[int, str, str]:
    """The stack first, then plain resources, providers and components, each by name."""
    if resource.type == STACK_TYPE:
        rank = 0
    elif resource.is_component:
        rank = 3
    else:
        rank = 2 if resource.is_provider else 1
    return (rank, resource.name, resource.urn)


def servers_of(recording: Recording) -> tuple[Server, ...]:
    """The inference servers, sorted by name."""
    servers = []
    for resource in recording.resources:
        if resource.type != INFERENCE_SERVER_TYPE:
            continue
        said = resource.outputs or {}
        servers.append(
            Server(
                name=resource.name,
                urn=resource.urn,
                server=said.get("server"),
                version=said.get("version"),
                model=said.get("model"),
                image=said.get("image"),
                args=said.get("args"),
                gpu_type=said.get("gpuType"),
                gpu_count=said.get("gpuCount"),
                machine_type=said.get("machineType"),
                replicas=said.get("replicas"),
                url=said.get("url"),
                least_replicas=_least_replicas(resource, recording),
            )
        )
    return tuple(sorted(servers, key=lambda server: (server.name, server.urn)))


def _least_replicas(server: Resource, recording: Recording) -> Any:
    """The fewest pods by what scales a server; None where nothing does."""
    for resource in recording.resources:
        spec = resource.inputs.get("spec")
        if resource.parent == server.urn and isinstance(spec, dict):
            for key in ("minReplicas", "minReplicaCount"):
                if key in spec:
                    return spec[key]
    return None


def short_type(type_: str) -> str:
    """A type token for reading: `kubernetes Deployment apps/v1`, `gcp container.NodePool`, `GkeCluster`."""
    if type_ == STACK_TYPE:
        return "Stack"
    parts = type_.split(":")
    if len(parts) != 3:
        return type_
    package, module, name = parts
    if is_provider_type(type_):
        return f"{name} provider"
    if package == "kubernetes":
        group = module.removeprefix("core/")
        return f"kubernetes {name} {group}"
    if module in ("index", ""):
        return name
    return f"{package} {module.split('/')[0]}.{name}"
