"""What a cluster may be too old for."""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding


def is_since(cluster: ClusterPlan, since: str) -> bool | None:
    """Whether a cluster has a version of GKE or a later one; None where its version is not stated."""
    known = cluster.settings.gke_version
    return None if known is None else version_parts(known) >= version_parts(since)


def class_findings(where: str, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """The problem of a cluster without compute classes; every version that Google still supports has them."""
    since = catalog.gke.compute_class.since
    return [_too_old(where, "a compute class", since, cluster)] if is_since(cluster, since) is False else []


def flex_start_findings(where: str, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """Whether a cluster takes flex-start machines with GPUs."""
    since = catalog.gke.compute_class.flex_start_since
    match is_since(cluster, since):
        case True:
            return []
        case False:
            return [_too_old(where, "a flex-start machine with GPUs", since, cluster)]
        case _:
            return [
                Finding(
                    path=where,
                    what=f"a flex-start machine with GPUs needs GKE {since} or later",
                    why="the cluster would reject it before that, or leave the pod pending",
                    fix="set cluster.gkeVersion to what the cluster runs",
                    severity="warning",
                )
            ]


def auto_creation_findings(where: str, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """The problem of a Standard cluster that is not known to make node pools for a class."""
    since, known = catalog.gke.compute_class.auto_creation_since, cluster.settings.gke_version
    if is_since(cluster, since):
        return []
    has = f"cluster.gkeVersion is {known}" if known else "cluster.gkeVersion is not stated"
    return [
        Finding(
            path=where,
            what=f"needs GKE {since} or later on a Standard cluster, and {has}",
            why="before that, a compute class makes no node pools, and pods would stay pending",
            fix="set cluster.gkeVersion to what the cluster runs, or list node pools as {nodePool: NAME}",
        )
    ]


def _too_old(where: str, what: str, since: str, cluster: ClusterPlan) -> Finding:
    return Finding(
        path=where,
        what=f"{what} needs GKE {since} or later, and cluster.gkeVersion is {cluster.settings.gke_version}",
        why="the cluster would reject it",
        fix="upgrade the cluster, or ask for machines in another way",
    )
