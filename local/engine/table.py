"""What runs on the local control plane, as tables of the terminal's width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE, SPOT_LABEL
from gke_llm_inference.terminal import rendered, wrapped
from local.gke.compute_classes import PRIORITY
from local.gke.nodes import MACHINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gke_llm_inference.planning import ServerPlan, StackPlan
    from local.engine.cluster import ApiServer, Object

_MACHINE_LABEL = "node.kubernetes.io/instance-type"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Node:
    """A node with GPUs.

    Attributes:
        machine: its machine type.
        gpus: GPUs that pods can ask for.
        used: GPUs that pods on it have asked for.
        spot: whether it is a Spot VM.
        tier: how Google gave it, and its place in the list of a compute class that it was made for.

    """

    name: str
    machine: str
    gpus: int
    used: int
    spot: bool = False
    tier: str = "-"


@dataclass(frozen=True)
class Server:
    """An inference server as it is.

    Attributes:
        wanted: replicas that its Deployment asks for; None if it has none.
        nodes: nodes that its pods are on, sorted.
        waiting: why pods of it are not running, if any are not.

    """

    name: str
    model: str
    wanted: int | None
    ready: int
    nodes: tuple[str, ...]
    endpoint: str
    waiting: str = ""


@dataclass(frozen=True)
class Report:
    """What is there: servers and nodes with GPUs, sorted by name.

    Attributes:
        used: what the machines with GPUs would have cost so far, line by line.

    """

    servers: tuple[Server, ...]
    nodes: tuple[Node, ...]
    used: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether every server has all of its replicas."""
        return all(server.wanted is not None and server.ready >= server.wanted for server in self.servers)


def read_report(cluster: ApiServer, plan: StackPlan, used: Sequence[str] = ()) -> Report:
    """Reads the state of a stack's servers and of the nodes from the cluster; what was used is handed in."""
    pods = cluster.select("v1", "Pod", plan.namespace, {})
    taken: dict[str, int] = {}
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        if node and (pod.get("status") or {}).get("phase") not in _ENDED:
            taken[node] = taken.get(node, 0) + _gpus_of(pod)
    nodes = []
    for node in cluster.select("v1", "Node", "", {}):
        gpus = int((node.get("status") or {}).get("allocatable", {}).get(GPU_RESOURCE, 0))
        if gpus:
            name, labels = node["metadata"]["name"], node["metadata"].get("labels", {})
            spot = labels.get(SPOT_LABEL) == "true"
            tier = _tier(node["metadata"].get("annotations") or {})
            nodes.append(Node(name, labels.get(_MACHINE_LABEL, "?"), gpus, taken.get(name, 0), spot, tier))
    return Report(tuple(_server(server, cluster, pods) for server in plan.servers), tuple(nodes), tuple(used))


def render(report: Report) -> str:
    """The table, what it costs on the real thing, and the next commands."""
    machines = {node.name: node.machine for node in report.nodes}
    servers = _table("SERVER", "READY", "MODEL", "MACHINE")
    for server in report.servers:
        ready = f"{server.ready}/{server.wanted if server.wanted is not None else '-'}"
        kinds = ", ".join(sorted({machines.get(node, "?") for node in server.nodes})) or "-"
        servers.add_row(server.name, ready, server.model, kinds)
    nodes = _table("NODE", "SERVERS", "GPUS USED", "TIER")
    for node in report.nodes:
        names = ", ".join(server.name for server in report.servers if node.name in server.nodes) or "-"
        nodes.add_row(node.name, names, f"{node.used} of {node.gpus}", node.tier)
    lines = [] if report.nodes else ["none with GPUs"]
    used, free = sum(node.used for node in report.nodes), sum(node.gpus - node.used for node in report.nodes)
    lines += ["", f"GPUs      {used} used, {free} free", f"cost      {_cost(report)}"]
    for number, used_line in enumerate(report.used):
        lines += wrapped(f"{'' if number else 'used':<10}{used_line}", rest=" " * 10)
    lines += [f"endpoint  {server.endpoint}" for server in report.servers]
    lines += what_waits(report)
    lines += [
        "",
        "next      make status              what runs now",
        "          make preview STACK=dev   what a stack on Google Cloud consists of",
        "          make down                remove all of it",
    ]
    return rendered(servers, "", nodes) + "".join(f"{line}\n" for line in lines)


def _tier(annotations: Mapping[str, str]) -> str:
    model = annotations.get(MACHINE, "-").partition(" ")[0]
    place = annotations.get(PRIORITY)
    return model if place is None else f"{model} ({place})"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # Long names go on in the next line; figures stay whole.
        table.add_column(column, overflow="fold", no_wrap=column in ("READY", "MACHINE", "GPUS USED", "TIER"))
    return table


def what_waits(report: Report) -> list[str]:
    """Lines that say why pods of servers are not running."""
    return [
        line
        for server in report.servers
        if server.waiting
        for line in wrapped(f"waiting   {server.name}: {server.waiting}", rest=" " * 10)
    ]


def _server(plan: ServerPlan, cluster: ApiServer, pods: Sequence[Object]) -> Server:
    deployment = cluster.get("apps/v1", "Deployment", plan.namespace, plan.name)
    own = [pod for pod in pods if plan.selector.items() <= pod["metadata"].get("labels", {}).items()]
    nodes = sorted({node for pod in own if (node := (pod.get("spec") or {}).get("nodeName"))})
    return Server(
        name=plan.name,
        model=plan.model,
        wanted=None if deployment is None else int(deployment["spec"].get("replicas", 1)),
        ready=0 if deployment is None else int((deployment.get("status") or {}).get("readyReplicas", 0)),
        nodes=tuple(nodes),
        endpoint=f"http://{plan.name}.{plan.namespace}.svc.cluster.local:{plan.service_port}",
        waiting=next(filter(None, map(_why, own)), ""),
    )


def _why(pod: Object) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason"))
    return ""


def _gpus_of(pod: Object) -> int:
    containers: list[dict[str, Any]] = (pod.get("spec") or {}).get("containers") or []
    return sum(
        int((container.get("resources") or {}).get("limits", {}).get(GPU_RESOURCE, 0)) for container in containers
    )


def _cost(report: Report) -> str:
    catalog = load_catalog()
    total = 0.0
    for node in report.nodes:
        machine = catalog.machine_types.get(node.machine)
        if machine is None or machine.usd_per_hour is None:
            return f"nothing here; on GKE unknown, without a price of {node.machine}"
        total += machine.usd_per_hour.spot if node.spot else machine.usd_per_hour.on_demand
    return f"nothing here; on GKE {total:.2f} USD an hour ({catalog.prices.reference_region}, {catalog.prices.date})"
