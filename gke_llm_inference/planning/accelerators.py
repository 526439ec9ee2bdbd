"""Checks of GPU requests against what Google offers."""

import difflib

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import (
    AcceleratorChoice,
    AcceleratorSettings,
    ExistingCluster,
    Finding,
    ServerAccelerator,
    suggestion,
)


def server_accelerator_findings(
    path: str, accelerator: ServerAccelerator, cluster: ClusterPlan, catalog: Catalog
) -> list[Finding]:
    """Problems and warnings of a server's GPUs.

    A GPU that the catalog lacks needs its memory from the stack and nodes that exist already: which machines have it,
    and at what price, is not known.
    """
    if accelerator.choices:
        return [
            problem
            for index, choice in enumerate(accelerator.choices)
            for problem in _choice_problems(f"{path}.choices[{index}]", choice, catalog)
        ]
    if accelerator.type in catalog.accelerators or accelerator.memory_mib is None:
        return accelerator_problems(path, accelerator, catalog) or _memory_problems(path, accelerator, catalog)
    if cluster.profile == "autopilot" or not isinstance(cluster.settings, ExistingCluster):
        return [
            Finding(
                path=f"{path}.type",
                what=f"the catalog has no machine type with {accelerator.type}",
                why="memoryMib states the GPU's memory, but not which machines have it",
                fix="use an existing Standard cluster that has such nodes, or one of: "
                + ", ".join(sorted(catalog.accelerators)),
            )
        ]
    return [
        Finding(
            path=f"{path}.type",
            what=f"{accelerator.type} is not in the catalog",
            why="memory is planned with the stated memoryMib; machine, zones, quota and price are not checked",
            fix="see that nodes of the cluster have the label cloud.google.com/gke-accelerator with this value",
            severity="warning",
        )
    ]


def _choice_problems(path: str, choice: AcceleratorChoice, catalog: Catalog) -> list[Finding]:
    """Problems of one of the GPUs that a goal may choose."""
    counts = gpu_counts(choice.type, catalog) or [1]
    gpus = ServerAccelerator(type=choice.type, count=choice.count or counts[0])
    return accelerator_problems(path, gpus, catalog) or _memory_problems(path, gpus, catalog)


def _memory_problems(path: str, accelerator: ServerAccelerator, catalog: Catalog) -> list[Finding]:
    if accelerator.memory_mib is not None or accelerator.type in catalog.memory.versions.visible_memory:
        return []
    return [
        Finding(
            path=f"{path}.type",
            what=f"the memory of {accelerator.type} is not known",
            why="a plan divides what CUDA reports, which is less than the marketing size",
            fix=f"give {path}.memoryMib as torch.cuda.mem_get_info reports it",
        )
    ]


def accelerator_problems(path: str, accelerator: AcceleratorSettings, catalog: Catalog) -> list[Finding]:
    """Problems of a GPU type and count: a GPU that GKE does not have, a count that no machine has."""
    if accelerator.type not in catalog.accelerators:
        return [
            Finding(
                path=f"{path}.type",
                what=f"{accelerator.type} is not a GPU of the catalog",
                why="a pod that asks for it would stay pending forever",
                fix=suggestion(accelerator.type, catalog.accelerators),
            )
        ]
    counts = gpu_counts(accelerator.type, catalog)
    if accelerator.count not in counts:
        larger = next((count for count in counts if count > accelerator.count), counts[-1])
        return [
            Finding(
                path=f"{path}.count",
                what=f"no machine has {accelerator.count} × {accelerator.type}",
                why=f"Google builds machines with {', '.join(map(str, counts))} of them",
                fix=f"use {larger}",
            )
        ]
    return []


def region_problems(path: str, accelerator: str, region: str, catalog: Catalog) -> list[Finding]:
    """A problem if the GPU is not available in the region."""
    facts = catalog.accelerators[accelerator]
    if facts.is_offered_in(region):
        return []
    return [
        Finding(
            path=path,
            what=f"{accelerator} is not offered in {region}",
            why="no node could be made there",
            fix=f"{_meant(region, catalog)}use one of: {', '.join(sorted(facts.zones))}",
        )
    ]


def _meant(region: str, catalog: Catalog) -> str:
    """What a region that nobody knows may be a typo of; another region of the same area is not one."""
    known = {known for facts in catalog.accelerators.values() for known in facts.zones}
    close = difflib.get_close_matches(region, sorted(known), n=1, cutoff=0.9)
    return f"did you mean {close[0]}? Otherwise " if close and region not in known else ""
