"""Reads the catalogue's YAML files into one immutable object."""

from functools import cache

from catalog.facts import Catalog
from catalog.files import directory, read


@cache
def load_catalog() -> Catalog:
    """The catalogue that ships with the package.

    Raises:
        pydantic.ValidationError: a file of the catalogue does not have the shape that `catalog.facts` states.

    """
    root = directory()
    machines = read(root / "machine_types.yaml")
    models = read(root / "models.yaml")
    return Catalog.model_validate(
        {
            "accelerators": read(root / "accelerators.yaml")["accelerators"],
            "machineTypes": machines["machineTypes"],
            "systemMachineTypes": machines["systemMachineTypes"],
            "priceRegion": machines["priceRegion"],
            "priceDate": machines["date"],
            "models": models["models"],
            "checkpoints": models["checkpoints"],
            "servers": {kind: read(root / "servers" / f"{kind}.yaml") for kind in ("vllm", "tgi")},
            "gke": read(root / "gke.yaml"),
        }
    )
