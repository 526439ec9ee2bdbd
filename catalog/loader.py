"""Reads the catalogue's YAML files into one immutable object."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from catalog.facts import Catalog

_DIRECTORY = Path(__file__).parent


def _read(name: str) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load((_DIRECTORY / name).read_text("utf-8"), loader)  # noqa: S506 safe loader
    return document


@cache
def load_catalog() -> Catalog:
    """The catalogue that ships with the package.

    Raises:
        pydantic.ValidationError: a file of the catalogue does not have the shape that `catalog.facts` states.

    """
    machines = _read("machine_types.yaml")
    return Catalog.model_validate(
        {
            "accelerators": _read("accelerators.yaml")["accelerators"],
            "machineTypes": machines["machineTypes"],
            "priceRegion": machines["priceRegion"],
            "priceDate": str(machines["date"]),
            "models": _read("models.yaml")["models"],
            "servers": {kind: _with_date(_read(f"servers/{kind}.yaml")) for kind in ("vllm", "tgi")},
            "gke": _with_date(_read("gke.yaml")),
        }
    )


def _with_date(document: dict[str, Any]) -> dict[str, Any]:
    # YAML reads an ISO date as a date; the catalogue keeps it as text.
    return {**document, "date": str(document["date"])}
