"""Decides on a whole stack, or refuses it with every reason at once."""

from dataclasses import dataclass

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.planning.cluster import plan_cluster
from gke_llm_inference.planning.names import clashes
from gke_llm_inference.planning.node_pools import check_pools
from gke_llm_inference.planning.placement import Placement, place
from gke_llm_inference.planning.plan import StackPlan
from gke_llm_inference.planning.servers import SizedServer, plan_server, size_server
from gke_llm_inference.planning.startup import streaming_warnings
from gke_llm_inference.planning.token import plan_token
from gke_llm_inference.settings import Finding, Refusal, StackSettings

# The servers keep to the baseline Pod Security Standard; those that run as root do not keep to the restricted one.
_NAMESPACE_LABELS = {
    "app.kubernetes.io/managed-by": "pulumi",
    "app.kubernetes.io/part-of": "gke-llm-inference",
    "pod-security.kubernetes.io/enforce": "baseline",
    "pod-security.kubernetes.io/warn": "restricted",
}


@dataclass(frozen=True)
class StackIdentity:
    """Which stack is planned: Pulumi's names for it, and the Google Cloud project it goes to."""

    project: str
    stack: str
    gcp_project: str | None = None


def plan_stack(settings: StackSettings, identity: StackIdentity, catalog: Catalog | None = None) -> StackPlan:
    """The plan of a stack. Pure: the same input gives the same plan.

    Raises:
        Refusal: with every problem of the settings.

    """
    facts = catalog or load_catalog()
    cluster, problems = plan_cluster(
        settings.cluster,
        default_name=f"{identity.project}-{identity.stack}",
        project=identity.gcp_project,
        catalog=facts,
    )
    warnings: list[Finding] = []
    problems += clashes("servers", settings.servers)
    token, token_problems = plan_token(
        settings.hugging_face,
        project=identity.gcp_project,
        namespace=settings.namespace,
        servers=settings.servers,
    )
    problems += token_problems
    pools, pool_problems, pool_warnings = check_pools(settings.node_pools, cluster, facts)
    problems += pool_problems
    warnings += pool_warnings
    sized: list[SizedServer] = []
    for key, server in sorted(settings.servers.items()):
        nodes = [pool.accelerator.count for pool in pools.values() if pool.accelerator.type == server.accelerator.type]
        one, found, warned = size_server(
            key,
            server,
            cluster=cluster,
            token=settings.hugging_face,
            catalog=facts,
            most_gpus=max(nodes, default=None),
        )
        problems += found
        warnings += warned
        if one is not None:
            sized.append(one)
    # Where a pool is wrong itself, that no server finds its place says nothing new.
    placement = Placement(tuple(sized)) if pool_problems else place(sized, pools, cluster, facts)
    problems += placement.problems
    warnings += placement.warnings
    if problems:
        raise Refusal(problems)
    by_key = {pool.key: pool for pool in placement.pools}
    for placed in placement.servers:
        pool = by_key.get(placed.node_pool or "")
        warnings += streaming_warnings(placed.path, placed.settings, pool, cluster, facts.startup)
    return StackPlan(
        cluster=cluster,
        node_pools=placement.pools,
        token=token,
        servers=tuple(
            plan_server(
                server,
                pool=by_key.get(server.node_pool or ""),
                may_surge=server.key in placement.may_surge,
                cluster=cluster,
                token=settings.hugging_face,
                namespace=settings.namespace,
                catalog=facts,
            )
            for server in placement.servers
        ),
        namespace=settings.namespace,
        create_namespace=settings.create_namespace,
        namespace_labels=_NAMESPACE_LABELS,
        warnings=tuple(sorted(warnings)),
    )
