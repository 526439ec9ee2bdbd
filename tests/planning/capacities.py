"""Servers with each list of tiers, on each mode and family of machines, by each way to the model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from random import Random
from typing import Any

from gke_llm_inference.catalog.facts import machine_family
from tests.planning.support import CATALOG

Raw = dict[str, Any]

MODES = ("standard", "autopilot")
MODELS = ("reservation", "onDemand", "flexStart", "spot")
LISTS = tuple(one for length in range(1, len(MODELS) + 1) for one in permutations(MODELS, length))
"""Every list of ways in which Google gives machines, in every order."""
PATHS = ("huggingFace", "streamer", "gcsfuse", "hyperdiskMl")
# The smallest machine of each family that holds the pod, and a list that goes on with another family.
MACHINES = (
    *((name,) for name in ("g2-standard-8", "n1-standard-8", "g4-standard-48", "a2-highgpu-1g", "a2-ultragpu-1g")),
    *((name,) for name in ("a3-highgpu-1g", "a3-highgpu-8g", "a3-ultragpu-8g", "a4-highgpu-8g")),
    ("g2-standard-8", "a2-highgpu-1g"),
)
RESERVATION = "held"
_REGION = "us-central1"
_REVISION = "0" * 40
_MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@dataclass(frozen=True)
class Cell:
    """One of them."""

    number: int
    mode: str
    models: tuple[str, ...]
    machines: tuple[str, ...]
    path: str

    def __str__(self) -> str:
        return f"{self.number}: {self.mode} {'+'.join(self.machines)} {'>'.join(self.models)} {self.path}"

    @property
    def server(self) -> str:
        """The server's name."""
        return f"c{self.number}"

    @cached_property
    def tiers(self) -> tuple[tuple[str, str], ...]:
        """Model and machine type of each tier: all models on the first machine, then on the next one."""
        return tuple((model, machine) for machine in self.machines for model in self.models)

    @property
    def settings(self) -> Raw:
        """Settings of the server."""
        machine = CATALOG.machine_types[self.machines[0]]
        return {
            "server": "vllm",
            "model": _MODEL,
            "revision": _REVISION,
            "maxModelLen": 4096,
            "allowUnfit": True,
            "accelerator": {"type": machine.accelerator, "count": machine.gpus},
            "capacity": [_tier(model, machine_type) for model, machine_type in self.tiers],
            **self._source(machine.accelerator),
        }

    def _source(self, accelerator: str) -> Raw:
        if self.path == "huggingFace":
            return {}
        disk = {"disk": {"zone": _zone(accelerator)}} if self.path == "hyperdiskMl" else {}
        return {"modelSource": {"source": "modelStore", "by": self.path, **disk}}

    @property
    def refused(self) -> set[str]:
        """Where it is wrong, by what the catalog knows of the machines."""
        at = f"servers.{self.server}"
        machines = [CATALOG.machine_types[name] for name in self.machines]
        wrong = {
            f"{at}.capacity[{index}]"
            for index, (model, name) in enumerate(self.tiers)
            if model not in CATALOG.machine_types[name].provisioning
        }
        maxima = CATALOG.accelerators[machines[0].accelerator].autopilot_maxima
        if self.mode == "autopilot" and machines[0].gpus not in maxima:
            wrong.add(f"{at}.accelerator.{'count' if maxima else 'type'}")
        families = CATALOG.model_sources.hyperdisk_ml.families
        if self.path == "hyperdiskMl" and machine_family(self.machines[0]).partition("-")[0] not in families:
            wrong.add(f"{at}.modelSource.by")
        return wrong


CELLS = tuple(Cell(number, *one) for number, one in enumerate(product(MODES, LISTS, MACHINES, PATHS)))


def sample(cells: Sequence[Cell], count: int, seed: int) -> list[Cell]:
    """So many cells, among them each way to the model, each family and each first tier that occurs at all."""
    shuffled = Random(seed).sample(list(cells), len(cells))
    missing = {value for cell in cells for value in _values(cell)}
    chosen: list[Cell] = []
    for cell in shuffled:
        if _values(cell) & missing:
            chosen.append(cell)
            missing -= _values(cell)
    left = (cell for cell in shuffled if cell not in chosen)
    return sorted([*chosen, *(cell for cell, _ in zip(left, range(count - len(chosen)), strict=False))], key=_number)


def stack_of(cells: Iterable[Cell]) -> Raw:
    """The settings of one stack with the servers of cells of one mode."""
    chosen = list(cells)
    (mode,) = {cell.mode for cell in chosen}
    store = {"bucket": {"mode": "create", "name": "my-models"}, "copy": False, "projectNumber": "123456789012"}
    return {
        "cluster": {"mode": mode, "location": _REGION, "gkeVersion": "1.36.4-gke.1000000"},
        "huggingFace": {"tokenSource": "existingSecret"},
        "servers": {cell.server: cell.settings for cell in chosen},
        **({"modelStore": store} if any(cell.path != "huggingFace" for cell in chosen) else {}),
    }


def _tier(model: str, machine_type: str) -> Raw:
    held = {"name": RESERVATION} if model == "reservation" else {}
    return {"model": model, "machineType": machine_type, **held}


def _zone(accelerator: str) -> str:
    return next(iter(CATALOG.accelerators[accelerator].zones_in(_REGION)), f"{_REGION}-b")


def _values(cell: Cell) -> set[Any]:
    return {cell.mode, cell.path, cell.machines, ("first", cell.models[0]), ("length", len(cell.models))}


def _number(cell: Cell) -> int:
    return cell.number
