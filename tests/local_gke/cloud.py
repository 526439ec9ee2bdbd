"""A cluster in memory: what an API server would hold, a scheduler that binds, and the autoscaler in its own time."""

import copy
import re
from pathlib import Path
from typing import Any

from gke_llm_inference.planning.plan import ClusterProfile
from local.gke.api import Api, ApiError
from local.gke.autoscaler import Autoscaler
from local.gke.control_plane import Layout, Ports
from local.gke.files import write_json
from local.gke.pools import Pool
from local.gke.scaling import Amount, decide, places
from local.gke.simulation import Simulation
from local.gke.state import State, read_usage, write_stock
from local.gke.stock import Stock
from local.gke.usage import Usage

Document = dict[str, Any]

_EVICTION = re.compile(r"(.*)/eviction")


class _Objects(Api):
    """Objects by their path."""

    def __init__(self) -> None:
        self.held: dict[str, Document] = {}
        self.events: list[str] = []
        self.evictions_allowed = True

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Any = None,
    ) -> Any:
        match method:
            case "GET":
                plural = path.rpartition("/")[2]
                return {"items": [copy.deepcopy(one) for key, one in sorted(self.held.items()) if f"/{plural}/" in key]}
            case "DELETE":
                self.held.pop(path, None)
            case "PATCH":
                path = path.removesuffix("/status")
                if path not in self.held:
                    raise ApiError(404, "not found")
                self.held[path] = _merged(self.held[path], body)
            case "POST" if evicted := _EVICTION.fullmatch(path):
                if not self.evictions_allowed:
                    raise ApiError(429, "the budget")
                self.held.pop(evicted[1], None)
            case "POST" if path.endswith("/events"):
                self.events.append(f"{body['involvedObject']['name']} {body['reason']}: {body['message']}")
            case "POST":
                self.held.setdefault(f"{path}/{body['metadata']['name']}", copy.deepcopy(body))
        return {}


class Cloud:
    """The cluster, at one simulated second in one second."""

    def __init__(self, directory: Path, *pools: Pool, profile: ClusterProfile = "standard") -> None:
        self._layout = Layout(directory)
        write_json(self._layout.simulation, Simulation(pools).as_dict())
        self._api = _Objects()
        self._autoscaler = Autoscaler(self._api, self._layout, State(profile, 1.0, Ports(1, 2, 3)))
        self.now = 0.0

    def declare(self, compute_class: Document) -> None:
        """Make a compute class, or change it."""
        name = compute_class["metadata"]["name"]
        self._api.held[f"/apis/cloud.google.com/v1/computeclasses/{name}"] = compute_class

    def has(self, **limits: int) -> None:
        """Let Google have so many machines of each kind, and all that anybody wants of the others."""
        write_stock(self._layout, Stock(limits))

    def run(self, pod: Document) -> None:
        """Make a pod."""
        self._api.held[f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"] = pod

    def end(self, name: str) -> None:
        """Delete a pod."""
        self._api.held.pop(f"/api/v1/namespaces/default/pods/{name}")

    def annotate(self, node: str, key: str) -> None:
        """Annotate a node."""
        self._api.held[f"/api/v1/nodes/{node}"]["metadata"]["annotations"][key] = "now"

    def allow_evictions(self, *, allowed: bool) -> None:
        """Whether budgets let pods go."""
        self._api.evictions_allowed = allowed

    def after(self, seconds: float, *, every: float = 10) -> "Cloud":
        """The cluster so many seconds later, looked at every few."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + every)
            self._autoscaler.look(self.now, 1_000_000.0 + self.now)
            self._schedule()
        return self

    @property
    def nodes(self) -> list[str]:
        """The model of each node's machine, sorted."""
        return sorted(map(_model, self._of("nodes")))

    @property
    def names(self) -> list[str]:
        """The names of the nodes."""
        return [one["metadata"]["name"] for one in self._of("nodes")]

    @property
    def homes(self) -> dict[str, str]:
        """The model of the machine that each running pod is on."""
        models = {
            one["metadata"]["name"]: one["metadata"]["annotations"]["local-gke/machine"] for one in self._of("nodes")
        }
        return {
            one["metadata"]["name"]: models[one["spec"]["nodeName"]].split()[0]
            for one in self._of("pods")
            if one["spec"].get("nodeName") in models and one["status"]["phase"] != "Failed"
        }

    @property
    def phases(self) -> dict[str, str]:
        """The phase of each pod."""
        return {one["metadata"]["name"]: one["status"]["phase"] for one in self._of("pods")}

    @property
    def indices(self) -> list[str]:
        """What each node says of the place of its tier."""
        return [one["metadata"]["annotations"].get("ccc_priority_index", "") for one in self._of("nodes")]

    @property
    def events(self) -> list[str]:
        """What pods were told."""
        return self._api.events

    @property
    def usage(self) -> Usage:
        """How long machines were there."""
        return read_usage(self._layout)

    def _of(self, plural: str) -> list[Document]:
        found: list[Document] = self._api.request("GET", f"/{plural}")["items"]
        return found

    def _schedule(self) -> None:
        """Bind pods to the nodes that are open."""
        nodes = [one for one in self._of("nodes") if not one["spec"].get("unschedulable")]
        pods = self._of("pods")
        waiting = [one for one in pods if not one["spec"].get("nodeName")]
        for key, node in decide(waiting, places(nodes, pods), [], Amount()).places.items():
            path = f"/api/v1/namespaces/default/pods/{key.partition('/')[2]}"
            self._api.held[path] = _merged(
                self._api.held[path], {"spec": {"nodeName": node}, "status": {"phase": "Running"}}
            )


def _model(node: Document) -> str:
    words: str = node["metadata"]["annotations"]["local-gke/machine"]
    return words.split()[0]


def _merged(old: Document, change: Document) -> Document:
    merged = dict(old)
    for key, value in change.items():
        merged[key] = _merged(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged
