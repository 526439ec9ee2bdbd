"""What a new cluster is given: rights, storage, GKE's own resources and rules, and the simulation."""

import datetime
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gke_llm_inference.planning.plan import ClusterProfile
from local.gke import objects
from local.gke.api import Api
from local.gke.control_plane import Credentials, Layout
from local.gke.files import write_json, write_private
from local.gke.simulation import Simulation
from local.gke.stages import stages

_FIRST_MINUTES = datetime.timedelta(minutes=10)
_THREADS = 8


@contextmanager
def first_client(layout: Layout, credentials: Credentials, server: str) -> Iterator[Api]:
    """A client that may do everything, with a certificate that is gone, and expired, soon after.

    Rights cannot be granted by anybody else on a cluster that has granted none.
    """
    with tempfile.TemporaryDirectory(dir=layout.certificates) as directory:
        first = credentials.authority.client(
            "first", "system:local-gke", "system:masters", valid=_FIRST_MINUTES, directory=Path(directory)
        )
        yield Api(server, credentials.authority.files.certificate, first)


def write_stages(layout: Layout, speed: float) -> None:
    """Write what KWOK does."""
    write_private(layout.stages, yaml.safe_dump_all(stages(speed), sort_keys=False).encode())


def grant(api: Api) -> None:
    """Make the user of the kubeconfig an administrator, and give the processes their rights."""
    _apply(api, objects.rights())


def populate(api: Api, profile: ClusterProfile) -> None:
    """Give the cluster what GKE's clusters have."""
    _apply(api, objects.custom_resources())
    _apply(api, objects.common())
    if profile == "autopilot":
        _apply(api, objects.autopilot())


def apply_simulation(api: Api, layout: Layout, simulation: Simulation) -> None:
    """Tell the admission policy how long servers take, and the autoscaler which pools there are."""
    api.apply(objects.start_times(simulation))
    write_json(layout.simulation, simulation.as_dict())


def _apply(api: Api, documents: list[dict[str, Any]]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(api.apply, documents))
