"""Nodes that go: idle, silent, at the end of their time, or taken back by Google."""

from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL
from local.gke.api import Api, ApiError
from local.gke.lifetimes import Grace
from local.gke.pools import POOL_LABEL
from local.gke.scaling import Decision, idle, key_of
from local.gke.view import Document, View, is_leaving, name_of, path_of_pod

# GKE removes a node that was not needed for ten minutes, and repairs one that was not ready for as long
# (https://cloud.google.com/kubernetes-engine/docs/concepts/cluster-autoscaler, .../how-to/node-auto-repair).
_IDLE_SECONDS = 600
_REPAIR_SECONDS = 600
# The taint with which the cluster autoscaler closes a node that it is about to remove.
_LEAVING = "ToBeDeletedByClusterAutoscaler"
_SHUT_DOWN = {
    "phase": "Failed",
    "reason": "Terminated",
    "message": "Pod was terminated in response to imminent node shutdown.",
}
_NOT_FOUND, _TOO_MANY_REQUESTS = 404, 429


class ScaleDown:
    """Since when nodes are idle or silent, and when Google's notice came to them."""

    def __init__(self, api: Api, catalog: Catalog) -> None:
        self._api = api
        self._limits = catalog.gke.shutdown
        self._idle: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._noticed: dict[str, float] = {}

    def look(self, view: View, decision: Decision) -> None:
        """Take away what has come to its end.

        Args:
            view: the cluster.
            decision: where pods go that need another place.

        """
        self._recycle(view, decision)
        self._take_back(view)
        self._repair(view)
        self._remove(view)

    def _recycle(self, view: View, decision: Decision) -> None:
        """Close nodes that end soon, and move each of their pods once there is a node for it."""
        ready = view.ready
        for one in view.recycled:
            self._cordon(one)
            for pod in view.on(name_of(one)):
                if not is_leaving(pod) and decision.places.get(key_of(pod)) in ready:
                    self._evict(pod)

    def _evict(self, pod: Document) -> None:
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        try:
            self._api.request("POST", f"{path_of_pod(pod)}/eviction", eviction)
        except ApiError as error:
            # A budget may say that another pod has to come first.
            if error.status not in (_NOT_FOUND, _TOO_MANY_REQUESTS):
                raise

    def _take_back(self, view: View) -> None:
        """Take nodes: their kubelet ends the pods in the time that is left, then the machine is gone."""
        self._noticed = {name: self._noticed.get(name, view.now) for name in map(name_of, view.taken)}
        for one in view.taken:
            self._cordon(one)
            name, grace = name_of(one), Grace.of(one, self._limits)
            elapsed = (view.now - self._noticed[name]) * view.speed
            running = view.on(name)
            for pod in running:
                if grace.until_end(pod) <= elapsed:
                    self._api.merge(f"{path_of_pod(pod)}/status", {"status": _SHUT_DOWN})
            if not running or grace.machine <= elapsed:
                self._api.delete(f"/api/v1/nodes/{name}")

    def _repair(self, view: View) -> None:
        """Remove nodes that have been silent for long, as a machine that is made again."""
        silent = {name_of(one) for one in view.nodes} - view.ready
        self._silent = {name: self._silent.get(name, view.now) for name in silent}
        for name, since in sorted(self._silent.items()):
            if view.now - since >= _REPAIR_SECONDS / view.speed:
                self._api.delete(f"/api/v1/nodes/{name}")

    def _remove(self, view: View) -> None:
        fewest = {pool.name: pool.min_nodes for pool in view.simulation.pools}
        ready = view.ready
        idle_nodes = idle([one for one in view.nodes if name_of(one) in ready], view.pods)
        self._idle = {name: self._idle.get(name, view.now) for name in idle_nodes}
        recycled = {name_of(one) for one in view.recycled}
        counts: dict[str, int] = {}
        for one in view.nodes:
            pool = one["metadata"]["labels"].get(POOL_LABEL, "")
            counts[pool] = counts.get(pool, 0) + 1
        for one in sorted(view.nodes, key=name_of, reverse=True):
            name, pool = name_of(one), one["metadata"]["labels"].get(POOL_LABEL, "")
            # A pool that is no longer there goes altogether, and a node that ends soon is not kept for later.
            least = 0 if name in recycled else fewest.get(pool, 0)
            patience = 0 if name in recycled else _patience(one, view)
            idle_for = view.now - self._idle.get(name, view.now)
            due = name in self._idle and idle_for >= patience / view.speed and counts[pool] > least
            taints = one["spec"].get("taints", [])
            leaving = any(taint["key"] == _LEAVING for taint in taints)
            if due and leaving:
                self._api.delete(f"/api/v1/nodes/{name}")
            elif due:
                # Closed first, removed at the next look: the scheduler may be about to use it.
                self._set_taints(name, [*taints, {"key": _LEAVING, "effect": "NoSchedule"}])
            elif leaving:
                self._set_taints(name, [taint for taint in taints if taint["key"] != _LEAVING])
            if due:
                counts[pool] -= 1

    def _cordon(self, one: Document) -> None:
        if not one["spec"].get("unschedulable"):
            self._api.merge(f"/api/v1/nodes/{name_of(one)}", {"spec": {"unschedulable": True}})

    def _set_taints(self, name: str, taints: list[Any]) -> None:
        self._api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})


def _patience(one: Document, view: View) -> int:
    """For how long a node may be idle: its compute class may say so."""
    found = view.classes.get(one["metadata"]["labels"].get(COMPUTE_CLASS_LABEL, ""))
    return _IDLE_SECONDS if found is None or found.idle_seconds is None else found.idle_seconds
