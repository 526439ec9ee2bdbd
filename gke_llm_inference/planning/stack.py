"""Decides on a whole stack, or refuses it with every reason at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.planning import steps
from gke_llm_inference.planning.access.decide import plan_access
from gke_llm_inference.planning.access.findings import gateway_findings
from gke_llm_inference.planning.autoscaling.collection import with_collected_metrics
from gke_llm_inference.planning.autoscaling.decide import plan_metrics_adapter
from gke_llm_inference.planning.autoscaling.findings import autoscaling_findings
from gke_llm_inference.planning.autoscaling.source import stack_sources
from gke_llm_inference.planning.boot_disks.decide import (
    allowlist_findings,
    plan_allowlist,
    pool_boot_disk_findings,
)
from gke_llm_inference.planning.cluster import plan_cluster
from gke_llm_inference.planning.compile_cache.state import bucket_clashes
from gke_llm_inference.planning.faster import FasterTrials
from gke_llm_inference.planning.flow import Flow, start
from gke_llm_inference.planning.goals import Goals
from gke_llm_inference.planning.image_digests import pinned, unused_digests
from gke_llm_inference.planning.image_registry.decide import plan_image_registry, unused_registries
from gke_llm_inference.planning.image_registry.plan import through
from gke_llm_inference.planning.lifecycle import sleep_problems
from gke_llm_inference.planning.model_revisions import revision_warnings, with_stored_revisions
from gke_llm_inference.planning.model_source.decide import plan_caches
from gke_llm_inference.planning.model_source.disk import plan_transfer
from gke_llm_inference.planning.model_store.decide import plan_model_store
from gke_llm_inference.planning.names import clashes
from gke_llm_inference.planning.namespaces import namespace_findings, namespace_labels, shared_ipc_warnings
from gke_llm_inference.planning.network_policy.findings import network_policy_findings
from gke_llm_inference.planning.node_pools import check_pools
from gke_llm_inference.planning.observability.dashboards import plan_rows
from gke_llm_inference.planning.observability.decide import plan_observability
from gke_llm_inference.planning.observability.findings import observability_findings
from gke_llm_inference.planning.plan import ServerPlan, StackPlan, TokenPlan
from gke_llm_inference.planning.quota import quota_problems
from gke_llm_inference.planning.stages import StackFrame
from gke_llm_inference.planning.token import plan_token
from gke_llm_inference.planning.trials import Trials
from gke_llm_inference.settings import Finding, Refusal, StackSettings
from gke_llm_inference.settings.findings import problems_of


@dataclass(frozen=True)
class StackIdentity:
    """Which stack is planned: Pulumi's names for it, and the Google Cloud project it goes to."""

    project: str
    stack: str
    gcp_project: str | None = None


def plan_stack(settings: StackSettings, identity: StackIdentity, catalog: Catalog | None = None) -> StackPlan:
    """The plan of a stack. Pure: the same input gives the same plan.

    Args:
        settings: the stack's settings.
        identity: which stack it is.
        catalog: the facts to decide by; those that ship with the package if absent.

    Raises:
        Refusal: with every problem of the settings.

    """
    catalog = catalog or load_catalog()
    settings = with_stored_revisions(with_collected_metrics(settings, stack_sources(settings, catalog.autoscaling)))
    stack, token, findings = frame_of(settings, identity, catalog)
    planned = _planned(settings, stack, findings, {})
    problems = problems_of([*planned.findings, *_quota_problems(settings, planned, catalog)])
    if problems:
        raise Refusal(problems)
    servers = tuple(server for server, _ in planned.servers)
    name = f"{identity.project}-{identity.stack}"
    adapter = plan_metrics_adapter(settings.autoscaling, stack, servers, name=name)
    access = plan_access(settings, stack.cluster, servers, catalog, name=name, image=stack.image)
    images = [
        *(image for server in servers for image in server.images),
        *(one.picker.image for one in access.servers if one.picker),
        *([adapter.image] if adapter else []),
        *([stack.model_store.copier.image] if stack.model_store and stack.model_store.copier else []),
    ]
    registry = stack.image_registry.used_for(images) if stack.image_registry else None
    warnings = [
        *planned.findings,
        *unused_digests(settings.image_digests, [registry.origin(image) for image in images] if registry else images),
        *revision_warnings(settings.model_revisions, servers),
        *unused_registries(settings.image_registry, registry),
        *shared_ipc_warnings(settings, servers),
    ]
    return StackPlan(
        cluster=stack.cluster,
        node_pools=planned.pools,
        token=token,
        servers=servers,
        namespace=settings.namespace,
        create_namespace=settings.create_namespace,
        namespace_labels=namespace_labels(servers),
        access=access,
        image_registry=registry,
        transfer_nodes=plan_transfer(servers, stack.cluster, catalog),
        bucket_caches=plan_caches(servers, catalog),
        metrics_adapter=adapter,
        model_store=stack.model_store,
        boot_disk_allowlist=plan_allowlist(settings, stack.cluster, catalog.gke.secondary_boot_disk),
        observability=replace(
            plan_observability(settings, stack.cluster, planned.pools, servers, catalog),
            rows=plan_rows(settings, stack.cluster, servers, planned.pools, catalog),
            title=name,
            has_dashboards=settings.observability.dashboards.enabled,
            project=stack.cluster.project,
        ),
        warnings=tuple(sorted(warnings)),
    )


def stack_problems(
    settings: StackSettings,
    identity: StackIdentity,
    catalog: Catalog | None = None,
    *,
    has_all_pools: bool = True,
    told: Mapping[str, Sequence[Finding]] | None = None,
) -> list[Finding]:
    """The problems of settings that may be a part of a stack's; see `plan_stack`.

    Args:
        settings: the settings, each server and node pool of them whole.
        identity: which stack it is.
        catalog: the facts to decide by; those that ship with the package if absent.
        has_all_pools: whether no node pool is missing; a server finds its place among those that are there otherwise.
        told: what is known already of servers that are not whole.

    """
    catalog = catalog or load_catalog()
    settings = with_stored_revisions(with_collected_metrics(settings, stack_sources(settings, catalog.autoscaling)))
    stack, _, findings = frame_of(settings, identity, catalog)
    if not has_all_pools:
        stack = replace(stack, pools_are_sound=False)
    planned = _planned(settings, stack, findings, told or {})
    return problems_of([*planned.findings, *_quota_problems(settings, planned, stack.catalog)])


def _quota_problems(settings: StackSettings, planned: Flow[ServerPlan], catalog: Catalog) -> list[Finding]:
    return quota_problems(settings.gpu_quota, [server for server, _ in planned.servers], planned.pools, catalog)


def _planned(
    settings: StackSettings, stack: StackFrame, findings: list[Finding], told: Mapping[str, Sequence[Finding]]
) -> Flow[ServerPlan]:
    """The servers after every step."""
    return (
        start(stack, settings.servers, findings, told)
        .each(steps.model)
        .each(steps.presets)
        .each(steps.limits)
        .each(steps.arguments)
        .each(steps.memory)
        .each(steps.pod)
        .together(steps.machine)
        .each(steps.performance)
        .each(steps.capacity)
        .each(steps.rollout)
    )


def frame_of(
    settings: StackSettings, identity: StackIdentity, catalog: Catalog
) -> tuple[StackFrame, TokenPlan, list[Finding]]:
    """What all servers have around them, with the problems and warnings of it."""
    sources = stack_sources(settings, catalog.autoscaling)
    cluster, of_cluster = plan_cluster(
        settings.cluster,
        default_name=f"{identity.project}-{identity.stack}",
        project=identity.gcp_project,
        catalog=catalog,
        collects_metrics=settings.observability.metrics.enabled,
        fast_autoscaling=sources.has_native(settings.servers.values()),
        gpu_metrics=settings.observability.gpu_metrics.enabled,
    )
    token, of_token = plan_token(
        settings.hugging_face,
        project=identity.gcp_project,
        namespace=settings.namespace,
        servers=settings.servers,
    )
    registry, of_registry = plan_image_registry(
        settings.image_registry,
        cluster,
        name=f"{identity.project}-{identity.stack}",
        project=identity.gcp_project,
        facts=catalog.registries,
    )
    store, of_store = plan_model_store(
        settings,
        cluster,
        name=f"{identity.project}-{identity.stack}",
        project=identity.gcp_project,
        catalog=catalog,
        image=lambda name: through(pinned(name, settings.image_digests), registry),
    )
    pools, of_pools = check_pools(settings.node_pools, cluster, catalog)
    frame = StackFrame(
        cluster=cluster,
        token=settings.hugging_face,
        namespace=settings.namespace,
        makes_namespace=settings.create_namespace,
        pools=pools,
        pools_are_sound=not problems_of(of_pools),
        image_digests=settings.image_digests,
        model_revisions=settings.model_revisions,
        network_policy=settings.network_policy,
        sound_pools=frozenset(key for key in pools if not _is_wrong(f"nodePools.{key}", of_pools)),
        catalog=catalog,
        propose=Trials(),
        propose_faster=FasterTrials(),
        gateway=settings.gateway,
        observability=settings.observability,
        sources=sources,
        choose=Goals(),
        image_registry=registry,
        model_store=store,
    )
    of_namespace = namespace_findings(settings, cluster, catalog)
    return (
        frame,
        token,
        [
            *of_cluster,
            *sleep_problems(cluster, catalog.gke.shutdown),
            *of_namespace,
            *of_token,
            *of_pools,
            *of_registry,
            *of_store,
            *pool_boot_disk_findings(settings.node_pools.items(), cluster, catalog.gke.secondary_boot_disk),
            *allowlist_findings(settings, cluster),
            *bucket_clashes(settings),
            *network_policy_findings(settings),
            *clashes("servers", settings.servers),
            *gateway_findings(settings, cluster, catalog),
            *observability_findings(settings, cluster, identity.gcp_project),
            *autoscaling_findings(settings, cluster, sources),
        ],
    )


def _is_wrong(path: str, findings: list[Finding]) -> bool:
    return any(problem.path == path or problem.path.startswith(f"{path}.") for problem in problems_of(findings))
