"""The process that stands for Google's machines: adds, repairs, takes back and removes nodes, and makes disks.

`python -m local.gke.autoscaler DIRECTORY` runs until it is told to end. It keeps nothing: what it does follows from
what the cluster says, so it can be killed and started at any time.
"""

import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import urllib3

from gke_llm_inference.catalog import load_catalog
from local.gke.api import Api, ApiError
from local.gke.certificates import KeyPair
from local.gke.control_plane import AUTOSCALER, Layout
from local.gke.errors import LocalGkeError
from local.gke.nodes import POOL_LABEL, node, node_name
from local.gke.scaling import Amount, Place, additions, idle, places
from local.gke.simulation import Pool, Simulation
from local.gke.state import read_simulation, read_state

RECLAIM = "local-gke/reclaim"
"""Annotation of a Spot node that Google takes back."""

# From asking for a machine to a node that is ready; what users see of L4 machines is one to three minutes.
_NODE_SECONDS = 90
# GKE removes a node that was not needed for ten minutes, and repairs one that was not ready for as long
# (https://cloud.google.com/kubernetes-engine/docs/concepts/cluster-autoscaler, .../how-to/node-auto-repair).
_IDLE_SECONDS = 600
# The taint with which the cluster autoscaler closes a node that it is about to remove.
_LEAVING = "ToBeDeletedByClusterAutoscaler"
_REPAIR_SECONDS = 600
_POLL_SECONDS = 0.25
_RETRY_SECONDS = 1.0


class Autoscaler:
    """One look at the cluster at a time."""

    def __init__(self, api: Api, layout: Layout, speed: float) -> None:
        self._api = api
        self._layout = layout
        self._speed = speed
        system = load_catalog().gke.system_pods
        self._system = Amount(cpu=system.cpu_millicores / 1000, memory=system.memory_mib * 2**20)
        # When machines that were asked for are there, when nodes fell idle, when they fell silent.
        self._coming: dict[str, tuple[float, Pool, int]] = {}
        self._idle: dict[str, float] = {}
        self._silent: dict[str, float] = {}

    def look(self, now: float) -> None:
        """Do what is due at `now`, in seconds of any clock that only goes forward."""
        simulation = read_simulation(self._layout)
        if simulation is None:
            return
        nodes = self._api.items("/api/v1/nodes")
        pods = self._api.items("/api/v1/pods")
        self._add(simulation, nodes, pods, now)
        self._take_back(nodes, pods)
        self._repair(nodes, now)
        self._remove(simulation, nodes, pods, now)
        self._make_disks()

    def _add(self, simulation: Simulation, nodes: list[Any], pods: list[Any], now: float) -> None:
        present = {one["metadata"]["name"] for one in nodes}
        known = {pool.name for pool in simulation.pools}
        self._coming = {
            name: coming for name, coming in self._coming.items() if name not in present and coming[1].name in known
        }
        current = places(nodes, pods)
        for name, (_, pool, _) in self._coming.items():
            offered = Amount.of(node(pool, 0)["status"]["allocatable"])
            current.append(Place(name, pool.name, pool.labels, pool.taints, offered - self._system))
        pending = [pod for pod in pods if _is_pending(pod)]
        for added in additions(pending, current, simulation.pools, self._system):
            name = node_name(added.pool.name, added.number)
            # Nodes that a pool always has are there from its beginning.
            always = added.number < added.pool.min_nodes
            self._coming[name] = (now + (0 if always else _NODE_SECONDS / self._speed), added.pool, added.number)
        for due, pool, number in self._coming.values():
            if due <= now:
                self._create("/api/v1/nodes", node(pool, number))

    def _take_back(self, nodes: list[Any], pods: list[Any]) -> None:
        """Take Spot nodes: their kubelet ends the pods in the time that is left, then the machine is gone."""
        taken = {one["metadata"]["name"] for one in nodes if RECLAIM in one["metadata"].get("annotations", {})}
        for pod in pods:
            if pod["spec"].get("nodeName") in taken and pod["status"].get("phase") in ("Pending", "Running"):
                metadata = pod["metadata"]
                self._api.request(
                    "PATCH",
                    f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status",
                    {
                        "status": {
                            "phase": "Failed",
                            "reason": "Terminated",
                            "message": "Pod was terminated in response to imminent node shutdown.",
                        }
                    },
                    content_type="application/merge-patch+json",
                )
        for name in sorted(taken):
            self._api.delete(f"/api/v1/nodes/{name}")

    def _repair(self, nodes: list[Any], now: float) -> None:
        """Remove nodes that have been silent for long, as a machine that is made again."""
        silent = {one["metadata"]["name"] for one in nodes if not _is_ready(one)}
        self._silent = {name: self._silent.get(name, now) for name in silent}
        for name, since in sorted(self._silent.items()):
            if now - since >= _REPAIR_SECONDS / self._speed:
                self._api.delete(f"/api/v1/nodes/{name}")

    def _remove(self, simulation: Simulation, nodes: list[Any], pods: list[Any], now: float) -> None:
        pools = {pool.name: pool for pool in simulation.pools}
        ready = [one for one in nodes if _is_ready(one)]
        self._idle = {name: self._idle.get(name, now) for name in idle(ready, pods)}
        counts: dict[str, int] = {}
        for one in nodes:
            pool = one["metadata"]["labels"].get(POOL_LABEL, "")
            counts[pool] = counts.get(pool, 0) + 1
        for one in sorted(nodes, key=lambda item: str(item["metadata"]["name"]), reverse=True):
            name, pool = one["metadata"]["name"], one["metadata"]["labels"].get(POOL_LABEL, "")
            # A pool that is no longer there goes altogether.
            least = pools[pool].min_nodes if pool in pools else 0
            idle_for = now - self._idle.get(name, now)
            due = name in self._idle and idle_for >= _IDLE_SECONDS / self._speed and counts[pool] > least
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

    def _set_taints(self, name: str, taints: list[Any]) -> None:
        body = {"spec": {"taints": taints}}
        self._api.request("PATCH", f"/api/v1/nodes/{name}", body, content_type="application/merge-patch+json")

    def _make_disks(self) -> None:
        """Make the disks that claims wait for, and remove those that nobody claims any more."""
        for claim in self._api.items("/api/v1/persistentvolumeclaims"):
            chosen = claim["metadata"].get("annotations", {}).get("volume.kubernetes.io/selected-node")
            if claim["status"].get("phase") == "Pending" and chosen:
                self._create("/api/v1/persistentvolumes", _disk(claim))
        for volume in self._api.items("/api/v1/persistentvolumes"):
            if volume["status"].get("phase") == "Released":
                self._api.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")

    def _create(self, path: str, document: dict[str, Any]) -> None:
        try:
            self._api.request("POST", path, document)
        except ApiError as error:
            if error.status != 409:
                raise


def _disk(claim: dict[str, Any]) -> dict[str, Any]:
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": f"projects/local/disks/{name}"},
            # Who removes it is this process, as the driver's provisioner does on GKE.
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": spec.get("storageClassName", ""),
        },
    }


def _is_pending(pod: dict[str, Any]) -> bool:
    """Whether the scheduler has looked at the pod and found no place."""
    if pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
        return False
    return any(
        condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
        for condition in pod["status"].get("conditions", ())
    )


def _is_ready(one: dict[str, Any]) -> bool:
    conditions = one["status"].get("conditions", ())
    # A node without conditions has not spoken yet.
    return all(condition["status"] == "True" for condition in conditions if condition["type"] == "Ready")


def main(directory: Path) -> None:
    """Look at the cluster until SIGTERM comes."""
    layout = Layout(directory)
    state = read_state(layout)
    if state is None:
        raise LocalGkeError(f"{directory} holds no cluster")
    authority = KeyPair(layout.certificates / "authority.crt", layout.certificates / "authority.key")
    client = KeyPair(layout.certificates / f"{AUTOSCALER}.crt", layout.certificates / f"{AUTOSCALER}.key")
    autoscaler = Autoscaler(Api(state.server, authority.certificate, client), layout, state.speed)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.wait(_POLL_SECONDS):
        try:
            autoscaler.look(time.monotonic())
        except (ApiError, urllib3.exceptions.HTTPError, OSError):
            # The control plane may be starting or ending; the next look sees.
            traceback.print_exc()
            ended.wait(_RETRY_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
