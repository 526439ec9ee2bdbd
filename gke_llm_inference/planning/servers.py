"""The plan of a server that has its place: names, environment, node, probes, rollout."""

from collections.abc import Sequence
from dataclasses import replace

from gke_llm_inference.catalog.kubernetes_names import (
    ACCELERATOR_COUNT_LABEL,
    ACCELERATOR_LABEL,
    DRIVER_VERSION_LABEL,
    GPU_RESOURCE,
    SPOT_LABEL,
    ZONE_LABEL,
)
from gke_llm_inference.planning.access.api_keys import api_key_arguments, api_key_environment, plan_api_keys
from gke_llm_inference.planning.access.exposed import exposure_of, routing_of
from gke_llm_inference.planning.access.picker import picker_selector
from gke_llm_inference.planning.adapters.decide import (
    adapter_arguments,
    adapter_plans,
    download_container,
    with_download,
)
from gke_llm_inference.planning.boot_disks.decide import boot_disk_selector, held_images
from gke_llm_inference.planning.capacity_tiers.nodes import class_selector, tier_selector, tier_tolerations
from gke_llm_inference.planning.compile_cache.decide import cache_environment, plan_compile_cache
from gke_llm_inference.planning.compile_cache.plan import CompileCachePlan
from gke_llm_inference.planning.groups.decide import group_environment, plan_group
from gke_llm_inference.planning.image_registry.plan import fetched_from
from gke_llm_inference.planning.machines import cheapest_machine
from gke_llm_inference.planning.model_source.decide import (
    model_environment,
    plan_model_source,
    plan_mount,
    source_decision,
    zone_of,
)
from gke_llm_inference.planning.model_source.source import ModelSource
from gke_llm_inference.planning.names import dns_label, label_value
from gke_llm_inference.planning.network_policy.decide import plan_network_policy
from gke_llm_inference.planning.node_pools import POOL_LABEL, driver_for
from gke_llm_inference.planning.observability.tracing import tracing_arguments, tracing_environment, tracing_of
from gke_llm_inference.planning.plan import (
    SERVICE_PORT,
    ClusterPlan,
    Decision,
    NodePoolPlan,
    ServerPlan,
    ShutdownPlan,
    Toleration,
)
from gke_llm_inference.planning.pod.decide import plan_pod, pod_tolerations
from gke_llm_inference.planning.pod.patch import plan_patch
from gke_llm_inference.planning.pod.patch_keys import KeyGuard
from gke_llm_inference.planning.pod.patch_rules import PatchRules
from gke_llm_inference.planning.pod.template import planned_template
from gke_llm_inference.planning.pods import (
    pod_request,
    probe_plan,
    progress_deadline_seconds,
    rollout_plan,
)
from gke_llm_inference.planning.request_logs import log_arguments
from gke_llm_inference.planning.stages import TieredServer, TimedServer
from gke_llm_inference.planning.startup import plan_start
from gke_llm_inference.settings import Finding, HttpHolder, NoToken, ServerSettings, VllmSettings
from gke_llm_inference.settings.network_policy import policy_of

_SHARED_IPC = Decision(
    "sharing",
    "hostIPC",
    "MPS needs the IPC namespace of the node; a namespace that the stack makes enforces the privileged Pod Security "
    "Standard for it, as baseline forbids it",
)


def plan_server(server: TieredServer, shutdown: ShutdownPlan) -> ServerPlan:
    """The plan of a server that has its place, and whose pods end like that."""
    settings, facts, stack, pool = server.settings, server.facts, server.stack, server.pool
    cluster, catalog, token = stack.cluster, stack.catalog, stack.token
    name = dns_label(server.key)
    gpus = settings.accelerator.count
    sharing = pool.settings.sharing if pool else None
    host_ipc = sharing is not None and sharing.strategy == "mps"
    spot = server.on_spot
    uses_token = settings.downloads and stack.has_token
    source = plan_model_source(
        server.key,
        settings,
        server.source,
        pool=pool,
        region=cluster.region,
        namespace=stack.namespace,
        checkpoint_gib=server.model.checkpoint_gib,
        catalog=catalog,
    )
    api_keys = plan_api_keys(server.key, settings, cluster.project, catalog)
    start = plan_start(
        settings,
        server.image,
        server.model.checkpoint_gib,
        pool=pool,
        cluster=cluster,
        facts=catalog.startup,
        held=held_images(server.path, settings, pool),
        upstream=fetched_from(server.image, stack.image_registry),
        path=source.source.path,
    )
    probes = probe_plan(start.expected_seconds, facts.health_path)
    deadline = progress_deadline_seconds(start, probes, shutdown, catalog.startup)
    kept = plan_compile_cache(
        settings,
        facts,
        name=name,
        namespace=stack.namespace,
        image=server.image,
        cluster=cluster,
        token=token,
        catalog=catalog,
    )
    deadline += server.capacity.wait_seconds if server.capacity else 0
    selector = {"app.kubernetes.io/component": "inference-server", "app.kubernetes.io/instance": name}
    tracing = tracing_of(stack.observability.tracing, server.version, catalog.tracing[settings.server])
    network_policy = plan_network_policy(
        policy_of(stack.network_policy, settings.network_policy),
        catalog.network,
        selector=selector,
        groups=settings.replicas if settings.nodes > 1 else None,
        port=facts.port,
        reads=source.source.reads,
        keeps_in_bucket=kept is not None and kept.bucket is not None,
        cluster=cluster.settings,
        collects_metrics=stack.observability.metrics.enabled,
        native_autoscaling=stack.sources.has_native([settings]),
        tracing=tracing,
        proxy_range=stack.gateway.proxy_subnet.cidr if exposure_of(settings, stack.gateway) != "none" else None,
        holder=_holder(server),
        picker=picker_selector(name) if routing_of(settings, stack.gateway) == "inferenceGateway" else None,
    )
    labels = {
        **settings.labels,
        **selector,
        "ai.gke.io/inference-server": facts.gke_label,
        "ai.gke.io/model": label_value(settings.model.rpartition("/")[2]),
        "app.kubernetes.io/managed-by": "pulumi",
        "app.kubernetes.io/name": settings.server,
        "app.kubernetes.io/part-of": "gke-llm-inference",
        "app.kubernetes.io/version": label_value(server.version),
    }
    return ServerPlan(
        key=server.key,
        name=name,
        namespace=stack.namespace,
        kind=settings.server,
        version=server.version,
        image=server.image,
        model=settings.model,
        command=facts.command,
        arguments=tuple(argument.text for argument in server.arguments),
        added_arguments=(
            *_added_arguments(server, shutdown),
            *tracing_arguments(tracing, catalog.tracing[settings.server]),
            *api_key_arguments(api_keys),
            *(argument.text for argument in adapter_arguments(settings, facts.home, catalog)),
        ),
        environment=tuple(
            sorted(
                {
                    **facts.environment,
                    **api_key_environment(settings, catalog),
                    **_offline(server, source.source),
                    **_runner(settings),
                    **group_environment(settings),
                    **cache_environment(kept),
                    **tracing_environment(tracing, name),
                    **settings.extra_env,
                }.items()
            )
        ),
        uses_token=uses_token,
        secret_name="" if isinstance(token, NoToken) else token.secret_name,
        secret_key="" if isinstance(token, NoToken) else token.secret_key,
        home=facts.home,
        port=facts.port,
        service_port=SERVICE_PORT,
        user=(facts.user.uid, facts.user.gid) if facts.user else None,
        read_only_root_filesystem=facts.read_only_root_filesystem,
        replicas=settings.most_replicas,
        gpu_type=settings.accelerator.type,
        gpu_count=gpus,
        machine_type=pool.machine_type if pool else _machine(server),
        node_pool=pool.key if pool else None,
        profile=cluster.profile,
        node_selector=_node_selector(server, pool, cluster, zone_of(source.disk)),
        tolerations=_tolerations(server, pod_tolerations(settings.pod), spot=spot),
        resources=server.resources,
        start=start,
        probes=probes,
        shutdown=shutdown,
        rollout=rollout_plan(
            settings.most_replicas,
            deadline,
            cluster.profile,
            # A group more takes as many machines as it has pods.
            may_surge=server.may_surge and settings.nodes == 1,
            nodes=settings.nodes,
            pool_known=pool is not None,
            one_node=_on_one_node(settings, kept),
            fewest=settings.autoscaling.min_replicas if settings.autoscaling else None,
        ),
        labels=dict(sorted(labels.items())),
        selector=selector,
        decisions=(
            *server.decisions,
            *source_decision(settings, source.source, server.version, server.model.checkpoint, catalog),
            *([_SHARED_IPC] if host_ipc else []),
        ),
        measured_tokens_per_second=settings.measured_tokens_per_second,
        model_volume=plan_mount(settings, source, cluster, facts.working_directory, catalog),
        model_source=source,
        memory=server.memory,
        alternatives=server.alternatives,
        performance=server.performance,
        faster=server.faster,
        choice=server.choice,
        host_ipc=host_ipc,
        priority_class=settings.priority_class,
        network_policy=network_policy,
        tracing=tracing,
        api_keys=api_keys,
        compile_cache=kept,
        pod=with_download(
            plan_pod(settings.pod, stack.image),
            download_container(
                settings,
                image=server.image,
                home=facts.home,
                user=facts.user.uid if facts.user else None,
                secret=None if isinstance(token, NoToken) else (token.secret_name, token.secret_key),
            ),
        ),
        revision=settings.revision,
        capacity=server.capacity,
        task=settings.task,
        adapters=adapter_plans(settings),
        group=plan_group(settings, server.model.architecture.layers, pool),
    )


def _on_one_node(settings: ServerSettings, kept: CompileCachePlan | None) -> str | None:
    """The volume of its pods that only one node at a time can mount; None if they have no such volume."""
    volume = settings.model_volume
    if volume is not None and volume.access_mode == "ReadWriteOnce":
        return "the model's volume"
    return "the disk of the compile cache" if kept and kept.disk else None


def _holder(server: TimedServer) -> tuple[str, dict[str, str]] | None:
    """Namespace and labels of the pods that hold the server's requests while it has none."""
    asked = server.settings.autoscaling
    if asked is None or not isinstance(asked.scale_to_zero, HttpHolder):
        return None
    return server.stack.sources.asked.keda_namespace, server.stack.catalog.autoscaling.http_add_on.interceptor_pods


def with_patch(server: TimedServer, plan: ServerPlan) -> tuple[ServerPlan, list[Finding]]:
    """The plan with the pod template that the server's patch makes of it, and what stands against that."""
    asked, stack = server.settings.pod_patch, server.stack
    if asked is None:
        return plan, []
    rules = PatchRules(
        settings=server.settings,
        facts=server.facts,
        catalog=stack.catalog,
        selector=plan.selector,
        baseline=stack.enforces_baseline,
        guard=_key_guard(server, plan),
    )
    patch, findings = plan_patch(f"{server.path}.podPatch", asked, planned_template(plan), rules)
    decided = [Decision("podPatch", f"overrides {one.path}", one.values) for one in patch.overrides] if patch else []
    return replace(plan, pod_patch=patch, decisions=(*plan.decisions, *decided)), findings


def _key_guard(server: TimedServer, plan: ServerPlan) -> KeyGuard | None:
    if plan.api_keys is None:
        return None
    return KeyGuard(
        keys=plan.api_keys,
        facts=server.stack.catalog.access[server.settings.server],
        on_internet=exposure_of(server.settings, server.stack.gateway) == "external",
    )


def _added_arguments(server: TimedServer, shutdown: ShutdownPlan) -> tuple[str, ...]:
    """What a server of that version gets whatever its settings: how long it drains, and that it logs no prompts."""
    given = {argument.text for argument in server.arguments}
    logs = log_arguments(server.version, server.stack.catalog.shutdown[server.settings.server])
    return (*([shutdown.argument] if shutdown.argument else []), *(text for text in logs if text not in given))


def _machine(server: TieredServer) -> str | None:
    """The machine that a server without a pool of the stack is planned for; None where none is known."""
    if server.capacity is not None:
        return server.capacity.tiers[0].machine_type
    accelerator = server.settings.accelerator
    need = pod_request(server.resources)
    return cheapest_machine(accelerator.type, accelerator.count, need, server.stack.catalog)


def _offline(server: TimedServer, source: ModelSource) -> dict[str, str]:
    facts = server.stack.catalog.model_sources.streamer if source.path == "streamer" else None
    return model_environment(server.settings, server.version, facts)


def _node_selector(
    server: TieredServer, pool: NodePoolPlan | None, cluster: ClusterPlan, zone: str | None
) -> dict[str, str]:
    settings = server.settings
    disk = boot_disk_selector(settings, server.stack.catalog.gke.secondary_boot_disk)
    if server.capacity is not None and server.capacity.compute_class is not None:
        of_class = class_selector(server.capacity.compute_class.name)
        return of_class if zone is None else {**of_class, ZONE_LABEL: zone}
    selector = {ACCELERATOR_LABEL: settings.accelerator.type, **disk}
    if zone is not None:
        selector[ZONE_LABEL] = zone
    if pool is not None:
        selector[POOL_LABEL] = pool.name
    elif cluster.profile == "autopilot":
        selector[ACCELERATOR_COUNT_LABEL] = str(settings.accelerator.count)
        selector[DRIVER_VERSION_LABEL] = driver_for(server.cuda)
        selector |= tier_selector(settings.tiers[0])
    return dict(sorted(selector.items()))


def _runner(settings: ServerSettings) -> dict[str, str]:
    """The variable that chooses vLLM's model runner, where the stack chooses."""
    if isinstance(settings, VllmSettings) and settings.model_runner is not None:
        return {"VLLM_USE_V2_MODEL_RUNNER": "1" if settings.model_runner == "V2" else "0"}
    return {}


def _tolerations(server: TieredServer, asked: Sequence[Toleration], *, spot: bool) -> tuple[Toleration, ...]:
    tolerations = [Toleration(key=GPU_RESOURCE), *tier_tolerations(server.capacity)]
    if spot and server.capacity is None:
        tolerations.append(Toleration(key=SPOT_LABEL, value="true"))
    for pool in server.tier_pools or ((server.pool,) if server.pool else ()):
        effects = {
            "NO_SCHEDULE": "NoSchedule",
            "PREFER_NO_SCHEDULE": "PreferNoSchedule",
            "NO_EXECUTE": "NoExecute",
        }
        tolerations += [
            Toleration(key=taint.key, value=taint.value, effect=effects[taint.effect]) for taint in pool.settings.taints
        ]
    tolerations = list(dict.fromkeys(tolerations))
    known = {(toleration.key, toleration.effect) for toleration in tolerations}
    tolerations += [one for one in asked if (one.key, one.effect) not in known]
    return tuple(sorted(tolerations, key=lambda toleration: (toleration.key, toleration.effect)))
