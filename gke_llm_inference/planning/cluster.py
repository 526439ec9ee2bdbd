"""Decides on the cluster: its name, project and region."""

import re

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import SYSTEM_COMPONENTS, ClusterPlan
from gke_llm_inference.settings import (
    ClusterSettings,
    DatabaseEncryption,
    ExistingCluster,
    Finding,
    StandardCluster,
    nearest,
    suggestion,
)

PROJECT_ID = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""Ids of projects."""
# Zones that GKE spreads a regional pool over unless it is told which.
_DEFAULT_ZONES = 3


def plan_cluster(
    settings: ClusterSettings,
    *,
    default_name: str,
    project: str | None,
    catalog: Catalog,
    collects_metrics: bool = False,
    fast_autoscaling: bool = False,
    gpu_metrics: bool = False,
) -> tuple[ClusterPlan, list[Finding]]:
    """The cluster's plan and the problems of its settings.

    Args:
        settings: the cluster's settings.
        default_name: name of a new cluster whose settings give none.
        project: Google Cloud project of the stack, if there is one.
        catalog: the facts to decide by.
        collects_metrics: whether the stack says itself which metrics are collected.
        fast_autoscaling: whether GKE reads the metrics of a server itself.
        gpu_metrics: whether GKE collects metrics of the GPUs.

    """
    problems: list[Finding] = []
    location = settings.location
    if location is not None and project is None:
        problems.append(
            Finding(
                path="gcp:project",
                what="is missing",
                why="a cluster in Google Cloud belongs to a project, and node pools fail without one",
                fix="pulumi config set gcp:project PROJECT",
            )
        )
    if project is not None and not PROJECT_ID.fullmatch(project):
        problems.append(
            Finding(
                path="gcp:project",
                what="is not a project id",
                why="ids are 6 to 30 lower-case letters, digits and dashes, letter first; a name or number is not one",
                fix="take the id that gcloud projects list shows",
            )
        )
    region = region_of(location) if location else None
    name = settings.name
    if name is None and not isinstance(settings, ExistingCluster):
        name = dns_label(default_name, catalog.gke.name_limits.cluster)
    if not isinstance(settings, ExistingCluster):
        problems += _encryption_problems(settings.database_encryption, region)
    if isinstance(settings, StandardCluster):
        problems += _zone_problems(settings, region)
        problems += _system_pool_problems(settings, region, catalog)
    return (
        ClusterPlan(
            settings=settings,
            name=name,
            project=project,
            location=location,
            region=region,
            service_account_id=None
            if isinstance(settings, ExistingCluster)
            else dns_label(f"{name}-nodes", catalog.gke.name_limits.service_account_id),
            system_disk_type=_system_disk_type(settings, catalog) if isinstance(settings, StandardCluster) else None,
            served_within_seconds=catalog.gke.served_within_seconds,
            collects_metrics=collects_metrics,
            fast_autoscaling=fast_autoscaling,
            monitored_components=tuple(
                sorted([*SYSTEM_COMPONENTS, *([catalog.gpu_metrics.component] if gpu_metrics else [])])
            ),
        ),
        problems,
    )


def _system_disk_type(settings: StandardCluster, catalog: Catalog) -> str | None:
    """Boot disk of the CPU pool: what its machines boot from."""
    return next(iter(catalog.disks.types(settings.system_pool.machine_type)), None)


def region_of(location: str) -> str:
    """The region of a region or zone."""
    return re.sub(r"-[a-z]$", "", location)


def _encryption_problems(encryption: DatabaseEncryption | None, region: str | None) -> list[Finding]:
    if encryption is None or encryption.location == region:
        return []
    return [
        Finding(
            path="cluster.databaseEncryption.key",
            what=f"is in {encryption.location}, the cluster in {region}",
            why="Google wants the key where the cluster is: its Secrets cannot be read while another region is down",
            fix=f"use a key of a key ring in {region}",
        )
    ]


def _zone_problems(settings: StandardCluster, region: str | None) -> list[Finding]:
    return [
        Finding(
            path=f"cluster.zones[{index}]",
            what=f"{zone} is not in {region}",
            why="a node pool can only use zones of the cluster's region, and Google says so after minutes",
            fix=f"use zones of {region}",
        )
        for index, zone in enumerate(settings.zones)
        if region_of(zone) != region
    ]


def _system_pool_problems(settings: StandardCluster, region: str | None, catalog: Catalog) -> list[Finding]:
    problems = []
    machine = settings.system_pool.machine_type
    known = [f"{kind}-{vcpus}" for kind, counts in catalog.system_machine_types.items() for vcpus in counts]
    if machine not in known:
        problems.append(
            Finding(
                path="cluster.systemPool.machineType",
                what=f"{machine} is not a general-purpose machine of the catalog",
                why="Google would reject the pool after the cluster is made",
                fix=suggestion(machine, known) if nearest(machine, known) else "use one such as e2-standard-4",
            )
        )
    zones = len(set(settings.zones)) or (_DEFAULT_ZONES if settings.location == region else 1)
    if settings.system_pool.max_nodes >= zones:
        return problems
    return [
        *problems,
        Finding(
            path="cluster.systemPool.maxNodes",
            what=f"{settings.system_pool.max_nodes} is less than the {zones} zones of the pool",
            why="a pool starts with one node in each of its zones",
            fix=f"use {zones} or more, or name fewer zones under cluster.zones",
        ),
    ]
