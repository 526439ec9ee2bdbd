"""What a pod requests that has to suit the machines of all tiers."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.autopilot import autopilot_findings, raised_requests
from gke_llm_inference.planning.cache_disks import cache_storage_class, no_storage_class
from gke_llm_inference.planning.capacity_tiers.asked import gpu_of, machine_tiers
from gke_llm_inference.planning.capacity_tiers.findings import of_tier
from gke_llm_inference.planning.plan import ClusterPlan, PodResources
from gke_llm_inference.settings import Finding, ServerSettings


def other_gpus(settings: ServerSettings, catalog: Catalog) -> Iterator[tuple[int, ServerSettings]]:
    """The settings with each GPU that a tier has and the first one has not, with the place of that tier."""
    known = {settings.accelerator.type}
    for index, tier in machine_tiers(settings):
        gpu = gpu_of(tier, settings, catalog)
        if gpu not in known and gpu in catalog.accelerators:
            known.add(gpu)
            gpus = settings.accelerator.model_copy(update={"type": gpu, "memory_mib": None})
            yield index, settings.model_copy(update={"accelerator": gpus})


def raised_for_tiers(
    path: str,
    settings: ServerSettings,
    resources: PodResources,
    cluster: ClusterPlan,
    catalog: Catalog,
    *,
    local_ssd_gib: float = 0.0,
) -> tuple[PodResources, list[Finding]]:
    """The requests of a pod on Autopilot that hold for the GPUs of all tiers, and problems and warnings of them.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        resources: its requests, as they hold for the first tier.
        cluster: the cluster's plan.
        catalog: the facts to decide by.
        local_ssd_gib: what a pod may take of local SSDs on every tier, in GiB.

    """
    findings: list[Finding] = []
    for index, there in other_gpus(settings, catalog):
        found = autopilot_findings(path, there, cluster, catalog)
        resources, of_requests = raised_requests(path, there, resources, catalog, local_ssd_gib=local_ssd_gib)
        findings += of_tier(path, index, [*found, *of_requests])
    return resources, findings


def storage_class_for_tiers(path: str, settings: ServerSettings, catalog: Catalog) -> tuple[str | None, list[Finding]]:
    """The StorageClass of a disk that the machines of all tiers can attach, and the problem where there is none."""
    gpus = [settings.accelerator.type]
    found = cache_storage_class(gpus, catalog)
    if found is None:
        return None, [no_storage_class(path, gpus[0])]
    for index, there in other_gpus(settings, catalog):
        gpus.append(there.accelerator.type)
        found = cache_storage_class(gpus, catalog)
        if found is None:
            problem = no_storage_class(path, " and ".join(gpus))
            return None, list(of_tier(path, index, [problem]))
    return found, []
