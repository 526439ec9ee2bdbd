"""Decides on the cluster: its name, project and region."""

import re

from catalog import Catalog
from planning.names import dns_label
from planning.plan import ClusterPlan
from settings import ClusterSettings, ExistingCluster, Finding, StandardCluster


def plan_cluster(
    settings: ClusterSettings, *, default_name: str, project: str | None, catalog: Catalog
) -> tuple[ClusterPlan, list[Finding]]:
    """The cluster's plan and the problems of its settings.

    Args:
        settings: the cluster's settings.
        default_name: name of a new cluster whose settings give none.
        project: Google Cloud project of the stack, if there is one.
        catalog: the facts to decide by.

    """
    problems: list[Finding] = []
    location = settings.location
    if location is not None and project is None:
        problems.append(
            Finding(
                "gcp:project",
                "is missing",
                "a cluster in Google Cloud belongs to a project, and node pools fail without one",
                "pulumi config set gcp:project PROJECT",
            )
        )
    region = region_of(location) if location else None
    name = settings.name
    if name is None and not isinstance(settings, ExistingCluster):
        name = dns_label(default_name, catalog.gke.name_limits.cluster)
    if isinstance(settings, StandardCluster):
        problems += _zone_problems(settings, region)
    return (
        ClusterPlan(
            settings=settings,
            name=name,
            project=project,
            location=location,
            region=region,
            service_account_id=dns_label(f"{name}-nodes", catalog.gke.name_limits.service_account_id),
        ),
        problems,
    )


def region_of(location: str) -> str:
    """The region of a region or zone."""
    return re.sub(r"-[a-z]$", "", location)


def _zone_problems(settings: StandardCluster, region: str | None) -> list[Finding]:
    return [
        Finding(
            f"cluster.zones[{index}]",
            f"{zone} is not in {region}",
            "a node pool can only use zones of the cluster's region, and Google says so after minutes",
            f"use zones of {region}",
        )
        for index, zone in enumerate(settings.zones)
        if region_of(zone) != region
    ]
