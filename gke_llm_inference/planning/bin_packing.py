"""How many equal nodes a number of pods takes."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gke_llm_inference.planning.capacity import Capacity

NOTHING = Capacity()


@dataclass
class _Run:
    """Nodes that stand one after the other and have the same left."""

    left: Capacity
    nodes: int


class Packing:
    """Pods on equal nodes, each on the first that has room for it.

    Pods that are alike are placed together, so that the time depends on how many kinds of pods there are.
    """

    def __init__(self, room: Capacity) -> None:
        self._room = room
        self._runs: list[_Run] = []
        self._full = 0

    @property
    def nodes(self) -> int:
        """How many nodes have a pod."""
        return self._full + sum(run.nodes for run in self._runs)

    def add(self, pod: Capacity, count: int, least: Capacity = NOTHING) -> bool:
        """Place so many pods of a kind; whether such a pod fits a node at all.

        Args:
            pod: what each requests.
            count: how many there are.
            least: what every pod that comes later requests at least; a node with less left is full.

        """
        if not pod.fits(self._room):
            return False
        placed: list[_Run] = []
        for place, run in enumerate(self._runs):
            if not count:
                placed += self._runs[place:]
                break
            count = _fill(run, pod, count, placed)
        each = how_many(pod, self._room)
        _append(placed, self._room, pod, each, count // each)
        _append(placed, self._room, pod, count % each, 1 if count % each else 0)
        self._runs = [run for run in placed if run.left.gpus and least.fits(run.left)]
        self._full += sum(run.nodes for run in placed) - sum(run.nodes for run in self._runs)
        return True


def nodes_for(pods: Iterable[Capacity] | Mapping[Capacity, int], room: Capacity) -> int | None:
    """How many nodes the pods take, the largest placed first; None if one does not fit an empty node.

    Args:
        pods: what each pod requests, or how many pods request so much.
        room: what an empty node has for pods.

    """
    counts = pods if isinstance(pods, Mapping) else Counter(pods)
    kinds = sorted((pod for pod, count in counts.items() if count), reverse=True)
    least = NOTHING
    smallest = []
    for pod in reversed(kinds):
        smallest.append(least)
        least = pod if least is NOTHING else smaller(least, pod)
    packing = Packing(room)
    for pod, later in zip(kinds, reversed(smallest), strict=True):
        if not packing.add(pod, counts[pod], later):
            return None
    return packing.nodes


def smaller(one: Capacity, other: Capacity) -> Capacity:
    """The smaller of every measure."""
    return Capacity(
        gpus=min(one.gpus, other.gpus),
        cpu_millicores=min(one.cpu_millicores, other.cpu_millicores),
        memory_mib=min(one.memory_mib, other.memory_mib),
        disk_gib=min(one.disk_gib, other.disk_gib),
    )


def how_many(pod: Capacity, left: Capacity) -> int:
    """How many such pods fit what is left of a node; one that requests nothing counts once."""
    if not pod.fits(left):
        return 0
    pairs = (
        (pod.gpus, left.gpus),
        (pod.cpu_millicores, left.cpu_millicores),
        (pod.memory_mib, left.memory_mib),
        (pod.disk_gib, left.disk_gib),
    )
    return min((int(has // asked) for asked, has in pairs if asked and has != math.inf), default=1)


def _fill(run: _Run, pod: Capacity, count: int, placed: list[_Run]) -> int:
    """Put pods on the nodes of a run, which may come apart; how many pods are left."""
    each = how_many(pod, run.left)
    if not each:
        placed.append(run)
        return count
    filled = min(run.nodes, count // each)
    _append(placed, run.left, pod, each, filled)
    count -= filled * each
    nodes = run.nodes - filled
    if nodes and count:
        _append(placed, run.left, pod, count, 1)
        nodes, count = nodes - 1, 0
    _append(placed, run.left, pod, 0, nodes)
    return count


def _append(placed: list[_Run], left: Capacity, pod: Capacity, count: int, nodes: int) -> None:
    """Add nodes with so many pods more to what is placed; to the last run where they have as much left."""
    if not nodes:
        return
    left = Capacity(
        gpus=left.gpus - count * pod.gpus,
        cpu_millicores=left.cpu_millicores - count * pod.cpu_millicores,
        memory_mib=left.memory_mib - count * pod.memory_mib,
        disk_gib=left.disk_gib - count * pod.disk_gib,
    )
    if placed and placed[-1].left == left:
        placed[-1] = _Run(left, placed[-1].nodes + nodes)
    else:
        placed.append(_Run(left, nodes))
