"""What Autopilot makes of a server's requests, and what it does not take."""

from dataclasses import replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.accelerators import region_problems
from gke_llm_inference.planning.plan import ClusterPlan, PodResources
from gke_llm_inference.settings import Finding, ServerAccelerator, ServerSettings


def autopilot_findings(path: str, settings: ServerSettings, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """Problems of settings that Autopilot does not take, whatever the pod requests."""
    accelerator = settings.accelerator
    problems: list[Finding] = []
    if cluster.region is not None:
        problems += region_problems(f"{path}.accelerator.type", accelerator.type, cluster.region, catalog)
    if settings.node_pool is not None:
        problems.append(
            Finding(
                path=f"{path}.nodePool",
                what="is not possible on Autopilot",
                why="Google manages the nodes there",
                fix="remove it",
            )
        )
    maxima = catalog.accelerators[accelerator.type].autopilot_maxima
    if not maxima:
        problems.append(
            Finding(
                path=f"{path}.accelerator.type",
                what=f"what Autopilot gives a pod with {accelerator.type} is not known",
                why="the catalog has no bounds of its requests, and Autopilot rejects a pod that asks for more",
                fix=f"use a Standard cluster, or one of: {', '.join(_known_on_autopilot(catalog))}",
            )
        )
    elif accelerator.count not in maxima:
        problems.append(
            Finding(
                path=f"{path}.accelerator.count",
                what=f"Autopilot has no machine with {accelerator.count} × {accelerator.type}",
                why="the pod would stay pending",
                fix=f"use {', '.join(map(str, sorted(maxima)))}, or a Standard cluster",
            )
        )
    return problems


def _known_on_autopilot(catalog: Catalog) -> list[str]:
    """GPUs whose bounds on Autopilot are known, sorted."""
    return sorted(name for name, facts in catalog.accelerators.items() if facts.autopilot_maxima)


def raised_requests(
    path: str, settings: ServerSettings, resources: PodResources, catalog: Catalog, *, local_ssd_gib: float = 0.0
) -> tuple[PodResources, list[Finding]]:
    """The requests that Autopilot gives a pod, and problems and warnings of them; for GPUs that it has.

    Where nodes have local SSDs, those `local_ssd_gib` GiB take the place of Autopilot's own maximum.
    """
    accelerator = settings.accelerator
    if accelerator.count not in catalog.accelerators[accelerator.type].autopilot_maxima:
        return resources, []
    floor = catalog.gke.autopilot_floors.get(accelerator.type, {}).get(accelerator.count)
    raised = replace(
        resources,
        cpu_millicores=max(resources.cpu_millicores, floor.cpu * 1000 if floor else 0),
        memory_gib=max(resources.memory_gib, floor.memory_gib if floor else 0),
    )
    return raised, [
        *_beyond_maximum(path, accelerator, raised, catalog, local_ssd_gib),
        *_raise_warnings(path, settings, raised),
    ]


def has_room_on_autopilot(accelerator: ServerAccelerator, resources: PodResources, catalog: Catalog) -> bool:
    """Whether Autopilot has a machine with these GPUs and room for these requests beside them."""
    offered = accelerator.count in catalog.accelerators[accelerator.type].autopilot_maxima
    return offered and not _beyond_maximum("", accelerator, resources, catalog)


def _beyond_maximum(
    path: str, accelerator: ServerAccelerator, resources: PodResources, catalog: Catalog, local_ssd_gib: float = 0.0
) -> list[Finding]:
    """Requests that are more than Autopilot gives a pod with these GPUs."""
    maximum = catalog.accelerators[accelerator.type].autopilot_maxima[accelerator.count]
    most_gib = int(local_ssd_gib) or maximum.ephemeral_storage_gib
    return [
        Finding(
            path=f"{path}.resources.{key}",
            what=f"{asked:g} {unit} are more than Autopilot's {limit} for {accelerator.count} × {accelerator.type}",
            why="Autopilot rejects the pod",
            fix=f"use {limit} or less",
        )
        for key, asked, limit, unit in (
            ("cpu", resources.pod_cpu_millicores / 1000, maximum.cpu, "vCPU"),
            ("memoryGib", resources.pod_memory_gib, maximum.memory_gib, "GiB"),
            ("ephemeralStorageGib", resources.ephemeral_storage_gib, most_gib, "GiB"),
        )
        if limit is not None and asked > limit
    ]


def _raise_warnings(path: str, settings: ServerSettings, raised: PodResources) -> list[Finding]:
    """Warnings of explicit requests that Autopilot raises."""
    asked, accelerator = settings.resources, settings.accelerator
    pairs = (
        ("cpu", asked.cpu, raised.cpu_millicores / 1000, "vCPU"),
        ("memoryGib", asked.memory_gib, raised.memory_gib, "GiB"),
    )
    return [
        Finding(
            path=f"{path}.resources.{key}",
            what=f"becomes {given:g} {unit}",
            why=f"Autopilot raises a pod with {accelerator.count} × {accelerator.type} to that, and bills it",
            fix="remove it, or use a Standard cluster",
            severity="warning",
        )
        for key, own, given, unit in pairs
        if own is not None and own < given
    ]
