"""The process that stands for Google's machines: adds, repairs, takes back and removes nodes, and makes disks.

`python -m local.gke.autoscaler DIRECTORY` runs until it is told to end. What it keeps in mind is of little account -
what it asked for, what ran out, since when a node is idle - so it can be killed and started at any time; all else
follows from what the cluster says.
"""

import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from gke_llm_inference.catalog import load_catalog
from local.gke.api import Api, ApiError
from local.gke.certificates import KeyPair
from local.gke.compute_classes import PRIORITY, ComputeClass, compute_class, priority_index
from local.gke.control_plane import AUTOSCALER, Layout
from local.gke.disks import make_disks
from local.gke.errors import LocalGkeError
from local.gke.scale_down import ScaleDown
from local.gke.scale_up import ScaleUp
from local.gke.simulation import Simulation
from local.gke.state import State, read_simulation, read_state, read_stock, read_usage, write_usage
from local.gke.view import View, name_of

_POLL_SECONDS = 0.25
_RETRY_SECONDS = 1.0
_WRITE_SECONDS = 1.0
_NOT_FOUND = 404
# What is looked at, in the order of a view's fields.
_KINDS = ("nodes", "pods", "persistentvolumeclaims", "persistentvolumes")


class Autoscaler:
    """One look at the cluster at a time."""

    def __init__(self, api: Api, layout: Layout, state: State) -> None:
        self._api = api
        self._layout = layout
        self._state = state
        self._catalog = load_catalog()
        self._up = ScaleUp(api, self._catalog)
        self._down = ScaleDown(api, self._catalog)
        self._usage = read_usage(layout)
        self._looked: float | None = None
        self._written = 0.0

    def look(self, now: float, wall: float) -> None:
        """Do what is due.

        Args:
            now: seconds of any clock that only goes forward.
            wall: seconds since 1970.

        """
        simulation = read_simulation(self._layout)
        if simulation is None:
            return
        listed = [self._api.items(f"/api/v1/{plural}") for plural in _KINDS]
        view = View(now, wall, self._state.speed, simulation, self._classes(simulation), *listed)
        self._count(view)
        decision = self._up.look(view, read_stock(self._layout))
        self._down.look(view, decision)
        self._annotate(view)
        make_disks(self._api, view.claims, view.volumes, view.classes)

    def _classes(self, simulation: Simulation) -> Mapping[str, ComputeClass]:
        autopilot = self._state.profile == "autopilot"
        try:
            documents = self._api.items("/apis/cloud.google.com/v1/computeclasses")
        except ApiError as error:
            # A cluster that starts does not know them yet.
            if error.status != _NOT_FOUND:
                raise
            documents = []
        return {
            name_of(one): compute_class(one, simulation.region, self._catalog, autopilot=autopilot) for one in documents
        }

    def _count(self, view: View) -> None:
        """Note how long the machines have been there."""
        if self._looked is not None:
            usage = self._usage.after(view.nodes, (view.now - self._looked) * view.speed)
            changed, self._usage = usage != self._usage, usage
            if changed and view.now - self._written >= _WRITE_SECONDS:
                write_usage(self._layout, usage)
                self._written = view.now
        self._looked = view.now

    def _annotate(self, view: View) -> None:
        """Say on nodes of compute classes which tier they are of now."""
        for one in view.nodes:
            metadata: Mapping[str, Any] = one["metadata"]
            index = priority_index(metadata["labels"], view.classes)
            if index is not None and metadata.get("annotations", {}).get(PRIORITY) != index:
                self._api.merge(f"/api/v1/nodes/{name_of(one)}", {"metadata": {"annotations": {PRIORITY: index}}})


def main(directory: Path) -> None:
    """Look at the cluster until SIGTERM comes."""
    layout = Layout(directory)
    state = read_state(layout)
    if state is None:
        raise LocalGkeError(f"{directory} holds no cluster")
    authority = KeyPair(layout.certificates / "authority.crt", layout.certificates / "authority.key")
    client = KeyPair(layout.certificates / f"{AUTOSCALER}.crt", layout.certificates / f"{AUTOSCALER}.key")
    autoscaler = Autoscaler(Api(state.server, authority.certificate, client), layout, state)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.wait(_POLL_SECONDS):
        try:
            autoscaler.look(time.monotonic(), time.time())
        except (ApiError, urllib3.exceptions.HTTPError, OSError):
            # The control plane may be starting or ending; the next look sees.
            traceback.print_exc()
            ended.wait(_RETRY_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
