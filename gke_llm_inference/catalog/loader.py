"""Reads the catalog's YAML files into one immutable object."""

from functools import cache

from gke_llm_inference.catalog.catalog import Catalog
from gke_llm_inference.catalog.effects import read_effects
from gke_llm_inference.catalog.facts import MachineType, Prices
from gke_llm_inference.catalog.files import directory, read
from gke_llm_inference.catalog.loading_facts import read_loading
from gke_llm_inference.catalog.memory_facts import read_memory_facts
from gke_llm_inference.catalog.metric_facts import read_metrics
from gke_llm_inference.catalog.model_facts import read_models
from gke_llm_inference.catalog.preset_facts import read_presets
from gke_llm_inference.catalog.shutdown_facts import read_shutdown
from gke_llm_inference.catalog.tracing_facts import read_tracing
from gke_llm_inference.catalog.vulnerability_facts import read_vulnerabilities


@cache
def load_catalog() -> Catalog:
    """The catalog that ships with the package.

    Raises:
        pydantic.ValidationError: a file of the catalog does not have the shape that `catalog.facts` states.

    """
    root = directory()
    machines = read(root / "machine_types.yaml")
    prices = Prices.model_validate(read(root / "prices.yaml"))
    return Catalog.model_validate(
        {
            "accelerators": read(root / "accelerators.yaml")["accelerators"],
            "machineTypes": {
                name: _priced(name, MachineType.model_validate(raw), prices)
                for name, raw in machines["machineTypes"].items()
            },
            "systemMachineTypes": machines["systemMachineTypes"],
            "prices": prices,
            **read_models(),
            "loading": read_loading(),
            "servers": {kind: read(root / "servers" / f"{kind}.yaml") for kind in ("vllm", "tgi")},
            "access": {kind: read(root / "servers" / "access" / f"{kind}.yaml") for kind in ("vllm", "tgi")},
            "autoscaling": read(root / "autoscaling.yaml"),
            "gke": read(root / "gke.yaml"),
            "network": read(root / "network.yaml"),
            "picker": read(root / "endpoint_picker.yaml"),
            "registries": read(root / "image_registries.yaml"),
            "disks": read(root / "disks.yaml"),
            "startup": read(root / "startup.yaml"),
            "presets": read_presets(),
            "memory": read_memory_facts(),
            "effects": read_effects(),
            "shutdown": read_shutdown(),
            "metrics": read_metrics(),
            "gpuMetrics": read(root / "gpu_metrics.yaml"),
            "tracing": read_tracing(),
            "alerts": read(root / "alerts.yaml"),
            "vulnerabilities": read_vulnerabilities(),
        }
    )


def _priced(name: str, machine: MachineType, prices: Prices) -> MachineType:
    return machine.model_copy(update={"usd_per_hour": prices.of(name, machine, prices.reference_region)})
