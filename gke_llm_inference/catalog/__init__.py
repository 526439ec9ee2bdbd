"""Facts that plans rest on: GPUs, machine types, models, servers and GKE's own bounds, each with source and date.

Code holds rules, the catalog holds facts: adding a model or a machine is a change to a YAML file here.
"""

from gke_llm_inference.catalog.catalog import Catalog
from gke_llm_inference.catalog.facts import (
    GIB,
    Accelerator,
    InferenceServerFacts,
    MachineType,
    ModelArchitecture,
    PodBounds,
    ServerKind,
)
from gke_llm_inference.catalog.loader import load_catalog
from gke_llm_inference.catalog.model_facts import Model

__all__ = [
    "GIB",
    "Accelerator",
    "Catalog",
    "InferenceServerFacts",
    "MachineType",
    "Model",
    "ModelArchitecture",
    "PodBounds",
    "ServerKind",
    "load_catalog",
]
