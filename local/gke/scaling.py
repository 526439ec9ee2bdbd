"""Which nodes to add and which to remove. Pure: what the cluster has goes in, what to change comes out."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL, GPU_RESOURCE, ZONE_LABEL
from local.gke.compute_classes import ComputeClass
from local.gke.nodes import MACHINE, node_name, zone_labels, zone_of
from local.gke.pools import POOL_LABEL, Pool, Taint
from local.gke.stock import Stock

_SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_NOT_READY = "node.kubernetes.io/not-ready"
_CORDONED = "node.kubernetes.io/unschedulable"
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
    """A node, or one that is on its way, and what is free on it.

    Attributes:
        words: by which a stock calls its machine; none while it waits for one.

    """

    name: str
    pool: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    free: Amount
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Addition:
    """A node to add: the number of it in its pool.

    Attributes:
        zone: where its machine is; None: it waits until there is one.

    """

    pool: Pool
    number: int
    zone: str | None


@dataclass(frozen=True)
class Market:
    """What decides about machines beside the node pools.

    Attributes:
        classes: the cluster's compute classes, by name.
        stock: the machines that Google has.
        cooling: names of the pools that ran out a short while ago.
        zones: zones of the volumes that pods read, by the pods' keys; other pods go to any.

    """

    classes: Mapping[str, ComputeClass] = field(default_factory=dict)
    stock: Stock = field(default_factory=Stock)
    cooling: frozenset[str] = frozenset()
    zones: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What to do for the pods that wait.

    Attributes:
        added: nodes to add.
        ran_out: names of the pools of which Google has no machine.
        places: where each pod will go, by the pod's key: a node that is there, is coming, or is added.
        triggers: what was added, by the key of the pod that it was added for.
        refusals: why nothing is added, by the pod's key.

    """

    added: tuple[Addition, ...]
    ran_out: frozenset[str]
    places: Mapping[str, str]
    triggers: Mapping[str, str]
    refusals: Mapping[str, str]


def quantity(text: str) -> float:
    """The number that a Kubernetes quantity says: `500m` is 0.5, `2Gi` 2147483648."""
    match = re.fullmatch(r"([0-9.]+)(m|[KMGT]i?|k)?", str(text))
    if match is None:
        raise ValueError(f"{text} is not a quantity")
    number, suffix = match.groups()
    return float(number) / 1000 if suffix == "m" else float(number) * _SUFFIXES.get(suffix or "", 1)


def key_of(pod: Mapping[str, Any]) -> str:
    """What tells a pod from all others that are there."""
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


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
            _taints_of(node),
            Amount.of(node["status"]["allocatable"]) - taken.get(node["metadata"]["name"], Amount()),
            tuple(node["metadata"].get("annotations", {}).get(MACHINE, "").split()),
        )
        for node in nodes
    ]


def _taints_of(node: Mapping[str, Any]) -> tuple[Taint, ...]:
    return tuple(
        Taint(taint["key"], taint.get("value", ""), taint["effect"])
        for taint in node["spec"].get("taints", ())
        # A node that has just come has it for a moment, and pods wait for that one.
        if taint["key"] != _NOT_READY
    )


def closed(place: Place) -> Place:
    """The place of a node that takes no more pods."""
    return replace(place, taints=(*place.taints, Taint(_CORDONED, "", "NoSchedule")))


def coming(added: Addition, system: Amount) -> Place:
    """The place that a node on its way will be."""
    pool, zone = added.pool, added.zone or zone_of(added.pool, added.number)
    words = (*pool.words, zone) if added.zone and pool.words else ()
    labels = {**pool.labels, **zone_labels(zone)}
    return Place(node_name(pool.name, added.number), pool.name, labels, pool.taints, _offered(pool) - system, words)


def decide(
    pending: Iterable[Mapping[str, Any]],
    current: Sequence[Place],
    pools: Sequence[Pool],
    system: Amount,
    market: Market | None = None,
) -> Decision:
    """Nodes that the pending pods need, and those that pools always have.

    A pod with a compute class gets a node of its first tier that has a machine; one without, of the first pool.

    Args:
        pending: pods without a node.
        current: nodes, those on their way included.
        pools: pools in the order of preference.
        system: what GKE's own pods take of every node.
        market: compute classes and Google's stock; without it there is no class, and every machine.

    """
    decider = _Decider(pools, system, market or Market())
    for place in current:
        decider.take(place)
    for pool in pools:
        while decider.nodes_of(pool) < pool.min_nodes:
            # Nodes that a pool always has were there before anything ran out.
            decider.add(pool, zone_of(pool, decider.next_number(pool)))
    for pod in sorted(pending, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"])):
        decider.place(pod)
    return Decision(
        tuple(decider.added), frozenset(decider.ran_out), decider.places, decider.triggers, decider.refusals
    )


@dataclass
class _Decider:
    pools: Sequence[Pool]
    system: Amount
    market: Market
    room: list[Place] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)
    added: list[Addition] = field(default_factory=list)
    ran_out: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)

    def take(self, place: Place) -> None:
        self.room.append(place)
        self.names.setdefault(place.pool, set()).add(place.name)

    def nodes_of(self, pool: Pool) -> int:
        return len(self.names.get(pool.name, ()))

    def next_number(self, pool: Pool) -> int:
        taken = self.names.get(pool.name, set())
        return next(number for number in range(len(taken) + 1) if node_name(pool.name, number) not in taken)

    def add(self, pool: Pool, zone: str | None) -> None:
        addition = Addition(pool, self.next_number(pool), zone)
        self.added.append(addition)
        self.take(coming(addition, self.system))

    def place(self, pod: Mapping[str, Any]) -> None:
        need = requests_of(pod)
        goes = (i for i, place in enumerate(self.room) if self._goes(pod, place) and place.free.holds(need))
        index = next(goes, None)
        if index is None and self._bring(pod, need):
            index = len(self.room) - 1
        if index is not None:
            self.room[index] = replace(self.room[index], free=self.room[index].free - need)
            self.places[key_of(pod)] = self.room[index].name

    def _goes(self, pod: Mapping[str, Any], place: Place) -> bool:
        zones = self.market.zones.get(key_of(pod))
        return _goes(pod, place) and (zones is None or place.labels.get(ZONE_LABEL) in zones)

    def _bring(self, pod: Mapping[str, Any], need: Amount) -> bool:
        """Add a node for the pod, or say why not."""
        key = key_of(pod)
        selected = (pod["spec"].get("nodeSelector") or {}).get(COMPUTE_CLASS_LABEL)
        why: list[str] = []
        for title, pool in self._options(selected, why):
            problem = self._problem(pod, need, pool)
            if problem is None:
                self.triggers[key] = title
                return True
            if selected is not None or problem != _NOT_FOR_IT:
                why.append(f"{title}: {problem}")
        if selected is not None and selected in self.market.classes:
            says = self.market.classes[selected].when_unsatisfiable
            why.insert(0, f"compute class {selected} says {says}, and none of its tiers gives a node")
        self.refusals[key] = "; ".join(why) or "no node pool takes it"
        return False

    def _options(self, selected: str | None, why: list[str]) -> Iterator[tuple[str, Pool]]:
        """Titles and pools in the order of preference; what cannot be one is put down in `why`."""
        if selected is None:
            yield from ((f"node pool {pool.name}", pool) for pool in self.pools)
            return
        found = self.market.classes.get(selected)
        if found is None:
            why.append(f"there is no compute class {selected}")
            return
        named = {pool.name: pool for pool in self.pools}
        for tier in found.tiers:
            if tier.problem:
                why.append(f"tier {tier.index}: {tier.problem}")
            yield from ((f"tier {tier.index} ({', '.join(pool.words)})", pool) for pool in tier.pools)
            for name in tier.named:
                if name in named:
                    yield f"tier {tier.index} (node pool {name})", named[name]
                else:
                    why.append(f"tier {tier.index}: there is no node pool {name}")

    def _problem(self, pod: Mapping[str, Any], need: Amount, pool: Pool) -> str | None:
        """Why the pool gives no node; None: it has given one."""
        zones = [zone for zone in pool.zones if self._goes(pod, _place(pool, zone))]
        if not zones:
            return _NOT_FOR_IT
        if not (_offered(pool) - self.system).holds(need):
            return "its machine does not hold the pod"
        if self.nodes_of(pool) >= pool.max_nodes:
            return f"it has its most nodes, {pool.max_nodes}"
        if pool.name in self.market.cooling | self.ran_out:
            return "it ran out, and is asked again later"
        asked = replace(pool, zones=tuple(zones))
        first = zone_of(asked, self.next_number(pool))
        zone = self.market.stock.zone(asked, first, (place.words for place in self.room))
        if zone is None and not pool.provision.wait_seconds:
            self.ran_out.add(pool.name)
            return "it ran out, and is asked again later"
        self.add(pool, zone)
        return None


_NOT_FOR_IT = "its labels, taints or zones keep the pod away"


def idle(nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of the nodes that run nothing but DaemonSets."""
    busy = {
        pod["spec"].get("nodeName")
        for pod in pods
        if not of_daemon_set(pod) and pod["status"].get("phase") not in ("Succeeded", "Failed")
    }
    return {node["metadata"]["name"] for node in nodes} - busy


def of_daemon_set(pod: Mapping[str, Any]) -> bool:
    """Whether a pod goes with its node, and never anywhere else."""
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))


def _place(pool: Pool, zone: str) -> Place:
    return Place("", pool.name, {**pool.labels, **zone_labels(zone)}, pool.taints, _offered(pool))


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
