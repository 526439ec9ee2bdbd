"""Nodes for the pods that wait: asked for, waited for, and told of."""

from collections.abc import Sequence
from typing import Any

from gke_llm_inference.catalog import Catalog
from local.gke import events
from local.gke.api import Api
from local.gke.disks import zones_of_pods
from local.gke.lifetimes import ends_of
from local.gke.nodes import node, node_name, zone_of
from local.gke.scaling import Addition, Amount, Decision, Market, Place, closed, coming, decide, key_of, places
from local.gke.stock import Stock
from local.gke.view import Document, View, is_leaving, is_pending, name_of

# From asking for a machine to a node that is ready; what users see of L4 machines is one to three minutes.
_NODE_SECONDS = 90


class ScaleUp:
    """What was asked for, and what ran out."""

    def __init__(self, api: Api, catalog: Catalog) -> None:
        self._api = api
        self._cooldown = catalog.gke.compute_class.cooldown_seconds
        system = catalog.gke.system_pods
        self._system = Amount(cpu=system.cpu_millicores / 1000, memory=system.memory_mib * 2**20)
        # Nodes that were asked for: when those whose machine is found are there, until when the others wait for one.
        self._coming: dict[str, tuple[float, Addition]] = {}
        # Until when pools that ran out are not asked.
        self._cooling: dict[str, float] = {}
        # What each pod was told last.
        self._told: dict[str, str] = {}

    def look(self, view: View, stock: Stock) -> Decision:
        """Ask for the nodes that are needed, and make those whose time has come."""
        present, known = {name_of(one) for one in view.nodes}, view.pool_names
        self._coming = {
            name: (due, added)
            for name, (due, added) in self._coming.items()
            if name not in present and added.pool.name in known
        }
        self._cooling = {name: end for name, end in self._cooling.items() if view.now < end}
        current = places(view.nodes, view.pods)
        self._find_machines(view, stock, current)
        leaving = {name_of(one) for one in (*view.recycled, *view.taken)}
        pending = [pod for pod in view.pods if is_pending(pod)]
        # The pods of a node that is replaced need another place before they lose theirs.
        moving = [pod for one in view.recycled for pod in view.on(name_of(one)) if not is_leaving(pod)]
        decision = decide(
            [*pending, *moving],
            [*(closed(one) if one.name in leaving else one for one in current), *self._places()],
            view.simulation.pools,
            self._system,
            Market(view.classes, stock, frozenset(self._cooling), zones_of_pods(view.pods, view.claims, view.volumes)),
        )
        self._cooling |= dict.fromkeys(decision.ran_out, view.later(self._cooldown))
        for added in decision.added:
            # Nodes that a pool always has are there from its beginning.
            seconds = 0 if added.number < added.pool.min_nodes else _NODE_SECONDS
            wait = added.pool.provision.wait_seconds if added.zone is None else seconds
            self._coming[node_name(added.pool.name, added.number)] = (view.later(wait), added)
        for due, added in self._coming.values():
            if due <= view.now and added.zone is not None:
                ends = ends_of(added.pool, view.wall, view.speed)
                self._api.create("/api/v1/nodes", node(added.pool, added.number, zone=added.zone, annotations=ends))
        self._tell(pending, decision, view.wall)
        return decision

    def _places(self) -> list[Place]:
        return [coming(added, self._system) for _, added in self._coming.values()]

    def _find_machines(self, view: View, stock: Stock, current: Sequence[Place]) -> None:
        """Give those that wait for a machine one that has come, or let them wait no longer."""
        for name, (due, added) in list(self._coming.items()):
            if added.zone is not None:
                continue
            taken = (place.words for place in [*current, *self._places()])
            zone = stock.zone(added.pool, zone_of(added.pool, added.number), taken)
            if zone is not None:
                self._coming[name] = (view.later(_NODE_SECONDS), Addition(added.pool, added.number, zone))
            elif due <= view.now:
                del self._coming[name]
                self._cooling[added.pool.name] = view.later(self._cooldown)

    def _tell(self, pending: Sequence[Document], decision: Decision, wall: float) -> None:
        """Make the events of the pods that wait, where they have not heard the same before."""
        told: dict[str, str] = {}
        for pod in pending:
            event = self._event(pod, decision, wall)
            uid = pod["metadata"]["uid"]
            told[uid] = self._told.get(uid, "") if event is None else event["message"]
            if event is not None and told[uid] != self._told.get(uid):
                self._api.create(f"/api/v1/namespaces/{pod['metadata']['namespace']}/events", event)
        self._told = told

    def _event(self, pod: Document, decision: Decision, wall: float) -> dict[str, Any] | None:
        key = key_of(pod)
        if key in decision.triggers:
            return events.triggered(pod, decision.triggers[key], wall)
        if key in decision.refusals:
            return events.not_triggered(pod, decision.refusals[key], wall)
        return None
