"""Which nodes to add and which to remove. Pure: what the cluster has goes in, what to change comes out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from local.gke.nodes import POOL_LABEL, node_name
from local.gke.simulation import Pool, Taint

_SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_NOT_READY = "node.kubernetes.io/not-ready"
_RESOURCES = ("cpu", "memory", "ephemeral-storage", GPU_RESOURCE)


@dataclass(frozen=True)
class Amount:
    """Resources of a pod or a node: vCPU, bytes, GPUs."""

    cpu: float = 0
    memory: float = 0
    storage: float = 0
    gpus: float = 0

    @classmethod
    def of(cls, quantities: Mapping[str, str]) -> "Amount":
        """The amount that a map of Kubernetes quantities says."""
        return cls(*(quantity(quantities.get(name, "0")) for name in _RESOURCES))

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.cpu + other.cpu, self.memory + other.memory, self.storage + other.storage, self.gpus + other.gpus
        )

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(
            self.cpu - other.cpu, self.memory - other.memory, self.storage - other.storage, self.gpus - other.gpus
        )

    def holds(self, other: "Amount") -> bool:
        """Whether `other` fits, but for the dust of binary fractions."""
        left = self - other
        return min(left.cpu + 1e-9, left.memory, left.storage, left.gpus) >= 0


@dataclass(frozen=True)
class Place:
    """A node, or one that is on its way, and what is free on it."""

    name: str
    pool: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    free: Amount


@dataclass(frozen=True)
class Addition:
    """A node to add: the number of it in its pool."""

    pool: Pool
    number: int


def quantity(text: str) -> float:
    """The number that a Kubernetes quantity says: `500m` is 0.5, `2Gi` 2147483648."""
    match = re.fullmatch(r"([0-9.]+)(m|[KMGT]i?|k)?", str(text))
    if match is None:
        raise ValueError(f"{text} is not a quantity")
    number, suffix = match.groups()
    return float(number) / 1000 if suffix == "m" else float(number) * _SUFFIXES.get(suffix or "", 1)


def requests_of(pod: Mapping[str, Any]) -> Amount:
    """What a pod requests; init containers run before the others, so the larger counts."""
    spec = pod["spec"]
    total = Amount()
    for container in spec["containers"]:
        total += Amount.of(container.get("resources", {}).get("requests", {}))
    for container in spec.get("initContainers", ()):
        own = Amount.of(container.get("resources", {}).get("requests", {}))
        total = Amount(
            max(total.cpu, own.cpu),
            max(total.memory, own.memory),
            max(total.storage, own.storage),
            max(total.gpus, own.gpus),
        )
    return total


def places(nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> list[Place]:
    """The nodes and what their pods leave."""
    taken: dict[str, Amount] = {}
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            taken[name] = taken.get(name, Amount()) + requests_of(pod)
    return [
        Place(
            node["metadata"]["name"],
            node["metadata"]["labels"].get(POOL_LABEL, ""),
            node["metadata"]["labels"],
            tuple(
                Taint(taint["key"], taint.get("value", ""), taint["effect"])
                for taint in node["spec"].get("taints", ())
                # A node that has just come has it for a moment, and pods wait for that one.
                if taint["key"] != _NOT_READY
            ),
            Amount.of(node["status"]["allocatable"]) - taken.get(node["metadata"]["name"], Amount()),
        )
        for node in nodes
    ]


def additions(
    pending: Iterable[Mapping[str, Any]],
    current: Sequence[Place],
    pools: Sequence[Pool],
    system: Amount,
) -> list[Addition]:
    """Nodes that the pending pods need, and those that pools always have.

    Args:
        pending: pods without a node.
        current: nodes, those on their way included.
        pools: pools in the order of preference.
        system: what GKE's own pods take of every node.

    """
    room = list(current)
    counts = {pool.name: sum(place.pool == pool.name for place in current) for pool in pools}
    taken = {place.name for place in current}
    added: list[Addition] = []

    def add(pool: Pool, used: Amount) -> None:
        number = next(number for number in range(counts[pool.name] + 1) if node_name(pool.name, number) not in taken)
        name = node_name(pool.name, number)
        taken.add(name)
        counts[pool.name] += 1
        added.append(Addition(pool, number))
        room.append(replace(_place(pool, name), free=_offered(pool) - system - used))

    for pool in pools:
        while counts[pool.name] < pool.min_nodes:
            add(pool, Amount())
    for pod in sorted(pending, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"])):
        need = requests_of(pod)
        found = next((index for index, place in enumerate(room) if _goes(pod, place) and place.free.holds(need)), None)
        if found is not None:
            room[found] = replace(room[found], free=room[found].free - need)
            continue
        for pool in pools:
            if (
                counts[pool.name] < pool.max_nodes
                and _goes(pod, _place(pool, ""))
                and (_offered(pool) - system).holds(need)
            ):
                add(pool, need)
                break
    return added


def idle(nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of the nodes that run nothing but DaemonSets."""
    busy = {
        pod["spec"].get("nodeName")
        for pod in pods
        if not _of_daemon_set(pod) and pod["status"].get("phase") not in ("Succeeded", "Failed")
    }
    return {node["metadata"]["name"] for node in nodes} - busy


def _of_daemon_set(pod: Mapping[str, Any]) -> bool:
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))


def _place(pool: Pool, name: str) -> Place:
    return Place(name, pool.name, pool.labels, pool.taints, _offered(pool))


def _offered(pool: Pool) -> Amount:
    return Amount(
        pool.cpu_millicores / 1000,
        pool.memory_mib * 2**20,
        int(pool.ephemeral_gib * 1024) * 2**20,
        pool.gpus,
    )


def _goes(pod: Mapping[str, Any], place: Place) -> bool:
    """Whether the pod's selector and tolerations let it go there, however full it is."""
    spec = pod["spec"]
    if any(place.labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    return all(
        taint.effect == "PreferNoSchedule"
        or any(_tolerates(toleration, taint) for toleration in spec.get("tolerations", ()))
        for taint in place.taints
    )


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint.key)
    return toleration.get("key") == taint.key and toleration.get("value", "") == taint.value
