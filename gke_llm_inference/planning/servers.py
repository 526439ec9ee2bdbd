"""Decides on inference servers: image, arguments, requests, node, probes, rollout."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog, InferenceServerFacts, load_catalog
from gke_llm_inference.planning.accelerators import region_problems, server_accelerator_findings
from gke_llm_inference.planning.alternatives import Alternative
from gke_llm_inference.planning.arguments import Argument, tgi_arguments, vllm_arguments
from gke_llm_inference.planning.compatibility import limit_problems
from gke_llm_inference.planning.extra_arguments import environment_problems, merge_arguments
from gke_llm_inference.planning.fit import check_fit
from gke_llm_inference.planning.machines import cheapest_machine, gpu_counts
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.model_volume import model_volume_problems, plan_model_volume, volume_environment
from gke_llm_inference.planning.models import ServedModel, served_model
from gke_llm_inference.planning.names import dns_label, label_value
from gke_llm_inference.planning.node_pools import POOL_LABEL, driver_for
from gke_llm_inference.planning.plan import ClusterPlan, Decision, NodePoolPlan, PodResources, ServerPlan, Toleration
from gke_llm_inference.planning.pods import (
    pod_need,
    pod_resources,
    probe_plan,
    progress_deadline_seconds,
    resource_problems,
    rollout_plan,
    shutdown_plan,
)
from gke_llm_inference.planning.presets import apply_presets
from gke_llm_inference.planning.startup import plan_start
from gke_llm_inference.planning.versions import (
    full_version,
    image_cuda,
    neighbouring_versions,
    version_findings,
    version_parts,
)
from gke_llm_inference.settings import (
    Finding,
    HuggingFaceSettings,
    NoToken,
    ServerAccelerator,
    ServerSettings,
    TgiSettings,
    VllmSettings,
)

SERVICE_PORT = 8000
"""Port of every server's Service."""

_GPU_TAINT = "nvidia.com/gpu"
_NOT_CHECKED: tuple[None, tuple[Alternative, ...], list[Finding], list[Finding]] = (None, (), [], [])


@dataclass(frozen=True)
class SizedServer:
    """A server whose pod is sized, before it is given a node."""

    key: str
    settings: ServerSettings
    facts: InferenceServerFacts
    version: str
    model: ServedModel
    resources: PodResources
    arguments: tuple[Argument, ...]
    decisions: tuple[Decision, ...]
    memory: MemoryPlan | None = None
    alternatives: tuple[Alternative, ...] = ()
    node_pool: str | None = None

    @property
    def path(self) -> str:
        """Where the server stands in the configuration."""
        return f"servers.{self.key}"

    @property
    def image(self) -> str:
        """Image to run."""
        return self.settings.image or self.facts.image(self.version)

    @property
    def cuda(self) -> str:
        """CUDA version of the image."""
        return image_cuda(self.facts, self.version, self.image)

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.settings.replicas * self.settings.accelerator.count


def size_server(
    key: str,
    settings: ServerSettings,
    *,
    cluster: ClusterPlan,
    token: HuggingFaceSettings,
    catalog: Catalog,
    most_gpus: int | None = None,
) -> tuple[SizedServer | None, list[Finding], list[Finding]]:
    """A server's pod, or the problems that prevent it; and warnings."""
    path = f"servers.{key}"
    facts = catalog.servers[settings.server]
    version = full_version(settings.version or facts.default_version)
    problems, warnings = version_findings(path, version, facts)
    if facts.maintenance:
        warnings.append(
            Finding(
                f"{path}.server",
                f"{facts.title} is in maintenance mode",
                facts.maintenance,
                f"{facts.alternative}",
            )
        )
    model, model_problems = served_model(path, settings, catalog)
    problems += model_problems
    decisions: tuple[Decision, ...] = ()
    arguments: tuple[Argument, ...] = ()
    if model is not None and problems:
        # What presets would give is not known for such a version; what the stack says itself is checked all the same.
        problems += limit_problems(path, settings, version, model, catalog)
    elif model is not None:
        choices = _gpus_with_room(settings, model, cluster, catalog, most_gpus)
        applied = apply_presets(path, settings, version, model, catalog, choices)
        settings, decisions = applied.settings, applied.decisions
        warnings += applied.warnings
        arguments, overridden, argument_problems = _arguments(path, settings, version, facts)
        decisions += tuple(overridden)
        problems += [*applied.problems, *limit_problems(path, settings, version, model, catalog)]
        # What a preset's rule or a limit says of a setting says more than that its flag is refused.
        told = {problem.path for problem in problems}
        problems += [problem for problem in argument_problems if problem.path not in told]
    accelerator_found, unlisted = server_accelerator_findings(
        f"{path}.accelerator", settings.accelerator, cluster, catalog
    )
    problems += accelerator_found
    warnings += unlisted
    problems += environment_problems(path, settings.extra_env)
    problems += model_volume_problems(path, settings)
    downloads = settings.model_volume is None
    if downloads and model is not None and model.gated and isinstance(token, NoToken):
        problems.append(
            Finding(
                f"{path}.model",
                f"{settings.model} is gated and the stack has no Hugging Face token",
                "the download would be refused and the pod restart forever",
                "set huggingFace.tokenSource, after accepting the model's licence with that account",
            )
        )
    if accelerator_found or model is None:
        return None, problems, warnings
    stored_gib = model.checkpoint_gib if downloads else 0.0
    resources = pod_resources(settings.accelerator.count, stored_gib, settings.resources, catalog)
    problems += resource_problems(path, resources, settings.resources, stored_gib)
    memory, found, unfit, tight = (
        check_fit(path, settings, version, model, cluster, catalog) if not problems else _NOT_CHECKED
    )
    problems += unfit
    warnings += tight
    sized = SizedServer(key, settings, facts, version, model, resources, arguments, decisions, memory, found)
    if cluster.profile == "autopilot":
        sized, autopilot_problems, autopilot_warnings = _on_autopilot(sized, cluster, catalog)
        problems += autopilot_problems
        warnings += autopilot_warnings
    elif settings.provisioning.model != "onDemand":
        problems.append(
            Finding(
                f"{path}.provisioning",
                "belongs to the node pool on a Standard cluster",
                "there the pool's machines are provisioned, not the pod's",
                "move it to nodePools",
            )
        )
    return sized, problems, warnings


def plan_server(
    sized: SizedServer,
    *,
    pool: NodePoolPlan | None,
    may_surge: bool,
    cluster: ClusterPlan,
    token: HuggingFaceSettings,
    namespace: str,
    catalog: Catalog,
) -> ServerPlan:
    """The plan of a sized server.

    Args:
        sized: the server.
        pool: the node pool that it runs on, where the stack has one.
        may_surge: whether one more pod finds room in that pool while all of the stack runs.
        cluster: the cluster's plan.
        token: the token's source.
        namespace: Kubernetes namespace.
        catalog: the facts to decide by.

    """
    settings, facts = sized.settings, sized.facts
    name = dns_label(sized.key)
    gpus = settings.accelerator.count
    spot = (pool.settings.provisioning if pool else settings.provisioning).model == "spot"
    volume = settings.model_volume
    uses_token = volume is None and not isinstance(token, NoToken)
    start = plan_start(
        settings,
        sized.image,
        sized.model.checkpoint_gib,
        pool=pool,
        cluster=cluster,
        facts=catalog.startup,
    )
    probes = probe_plan(start.expected_seconds, facts.health_path)
    shutdown = shutdown_plan(spot=spot)
    deadline = progress_deadline_seconds(start, probes, shutdown, catalog.startup)
    selector = {"app.kubernetes.io/component": "inference-server", "app.kubernetes.io/instance": name}
    labels = {
        **settings.labels,
        **selector,
        "ai.gke.io/inference-server": facts.gke_label,
        "ai.gke.io/model": label_value(settings.model.rpartition("/")[2]),
        "app.kubernetes.io/managed-by": "pulumi",
        "app.kubernetes.io/name": settings.server,
        "app.kubernetes.io/part-of": "gke-llm-inference",
        "app.kubernetes.io/version": label_value(sized.version),
    }
    need = pod_need(sized.resources)
    return ServerPlan(
        key=sized.key,
        name=name,
        namespace=namespace,
        kind=settings.server,
        version=sized.version,
        image=sized.image,
        model=settings.model,
        command=facts.command,
        arguments=tuple(argument.text for argument in sized.arguments),
        environment=tuple(
            sorted(
                {
                    **facts.environment,
                    **volume_environment(volume),
                    **_runner(settings),
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
        replicas=settings.replicas,
        gpu_type=settings.accelerator.type,
        gpu_count=gpus,
        machine_type=pool.machine_type if pool else cheapest_machine(settings.accelerator.type, gpus, need, catalog),
        node_pool=pool.key if pool else None,
        profile=cluster.profile,
        node_selector=_node_selector(sized, pool, cluster),
        tolerations=_tolerations(pool, spot=spot),
        resources=sized.resources,
        start=start,
        probes=probes,
        shutdown=shutdown,
        rollout=rollout_plan(
            settings.replicas,
            deadline,
            cluster.profile,
            may_surge=may_surge,
            pool_known=pool is not None,
            one_node=volume is not None and volume.access_mode == "ReadWriteOnce",
        ),
        labels=dict(sorted(labels.items())),
        selector=selector,
        decisions=sized.decisions,
        measured_tokens_per_second=settings.measured_tokens_per_second,
        model_volume=plan_model_volume(volume),
        memory=sized.memory,
        alternatives=sized.alternatives,
    )


def planned_arguments(
    path: str, settings: ServerSettings, version: str, catalog: Catalog
) -> tuple[tuple[str, ...], list[Finding]]:
    """Arguments of a server with presets applied, and which of them its version does not take."""
    arguments, _, problems = _arguments(path, settings, version, catalog.servers[settings.server])
    return tuple(argument.text for argument in arguments), problems


def _arguments(
    path: str, settings: ServerSettings, version: str, facts: InferenceServerFacts
) -> tuple[tuple[Argument, ...], list[Decision], list[Finding]]:
    """Arguments that this version of the server accepts, or which of them it does not."""
    match settings:
        case VllmSettings():
            planned = vllm_arguments(settings, facts.port)
        case TgiSettings():
            planned = tgi_arguments(settings, facts.port)
    # A version between two known ones has the flags of one or the other.
    flags = [load_catalog().flags[settings.server][known] for known in neighbouring_versions(version, facts)]
    problems = [
        Finding(
            f"{path}.{argument.setting}",
            f"{facts.title} {version} refuses {argument.flag}: {problems[0]}",
            "the server would not start",
            "leave the setting out, or use another version",
        )
        for argument in planned
        if argument.text.startswith("--") and all(problems := [one.check(argument.text) for one in flags])
    ]
    merged, decisions, extra_problems = merge_arguments(path, planned, settings.extra_args, flags)
    return merged, decisions, [*problems, *extra_problems]


def _on_autopilot(
    sized: SizedServer, cluster: ClusterPlan, catalog: Catalog
) -> tuple[SizedServer, list[Finding], list[Finding]]:
    """The server with the requests that Autopilot would give it, and the problems and warnings of it there."""
    settings, path = sized.settings, sized.path
    accelerator = settings.accelerator
    problems: list[Finding] = []
    if cluster.region is not None:
        problems += region_problems(f"{path}.accelerator.type", accelerator.type, cluster.region, catalog)
    if settings.node_pool is not None:
        problems.append(
            Finding(
                f"{path}.nodePool",
                "is not possible on Autopilot",
                "there are no node pools of yours",
                "remove it",
            )
        )
    if settings.provisioning.model not in ("onDemand", "spot"):
        problems.append(
            Finding(
                f"{path}.provisioning.model",
                f"{settings.provisioning.model} needs a node pool",
                "Autopilot takes it from a compute class, which this project does not make",
                "use onDemand or spot, or a Standard cluster",
            )
        )
    if accelerator.count not in catalog.accelerators[accelerator.type].autopilot_maxima:
        problems.append(
            Finding(
                f"{path}.accelerator.count",
                f"Autopilot has no machine with {accelerator.count} × {accelerator.type}",
                "the pod would stay pending",
                "use "
                + ", ".join(map(str, sorted(catalog.accelerators[accelerator.type].autopilot_maxima)))
                + ", or a Standard cluster",
            )
        )
        return sized, problems, []
    floor = catalog.gke.autopilot_floors.get(accelerator.type, {}).get(accelerator.count)
    resources = sized.resources
    raised = replace(
        resources,
        cpu_millicores=max(resources.cpu_millicores, floor.cpu * 1000 if floor else 0),
        memory_gib=max(resources.memory_gib, floor.memory_gib if floor else 0),
    )
    problems += _beyond_autopilot(path, accelerator, raised, catalog)
    return replace(sized, resources=raised), problems, _raised(sized, raised)


def _beyond_autopilot(
    path: str, accelerator: ServerAccelerator, resources: PodResources, catalog: Catalog
) -> list[Finding]:
    """Requests that are more than Autopilot gives a pod with these GPUs."""
    maximum = catalog.accelerators[accelerator.type].autopilot_maxima[accelerator.count]
    return [
        Finding(
            f"{path}.resources.{key}",
            f"{asked:g} {unit} are more than Autopilot's {limit} for {accelerator.count} × {accelerator.type}",
            "Autopilot rejects the pod",
            f"use {limit} or less",
        )
        for key, asked, limit, unit in (
            ("cpu", resources.cpu_millicores / 1000, maximum.cpu, "vCPU"),
            ("memoryGib", resources.memory_gib, maximum.memory_gib, "GiB"),
            ("ephemeralStorageGib", resources.ephemeral_storage_gib, maximum.ephemeral_storage_gib, "GiB"),
        )
        if limit is not None and asked > limit
    ]


def _gpus_with_room(
    settings: ServerSettings, model: ServedModel, cluster: ClusterPlan, catalog: Catalog, most_gpus: int | None
) -> list[int]:
    """Numbers of GPUs that the stack's nodes have, with room for what the server requests beside them."""
    accelerator = settings.accelerator

    def has_room(count: int) -> bool:
        if cluster.profile != "autopilot":
            return True
        asked = accelerator.model_copy(update={"count": count})
        stored_gib = model.checkpoint_gib if settings.model_volume is None else 0.0
        resources = pod_resources(count, stored_gib, settings.resources, catalog)
        offered = count in catalog.accelerators[accelerator.type].autopilot_maxima
        return offered and not _beyond_autopilot("", asked, resources, catalog)

    counts = gpu_counts(accelerator.type, catalog)
    return [count for count in counts if (most_gpus is None or count <= most_gpus) and has_room(count)]


def _raised(sized: SizedServer, raised: PodResources) -> list[Finding]:
    """Warnings of explicit requests that Autopilot raises."""
    asked, accelerator = sized.settings.resources, sized.settings.accelerator
    pairs = (
        ("cpu", asked.cpu, raised.cpu_millicores / 1000, "vCPU"),
        ("memoryGib", asked.memory_gib, raised.memory_gib, "GiB"),
    )
    return [
        Finding(
            f"{sized.path}.resources.{key}",
            f"becomes {given:g} {unit}",
            f"Autopilot raises a pod with {accelerator.count} × {accelerator.type} to that, and bills it",
            "remove it, or use a Standard cluster",
        )
        for key, own, given, unit in pairs
        if own is not None and own < given
    ]


def _node_selector(sized: SizedServer, pool: NodePoolPlan | None, cluster: ClusterPlan) -> dict[str, str]:
    settings = sized.settings
    selector = {"cloud.google.com/gke-accelerator": settings.accelerator.type}
    if pool is not None:
        selector[POOL_LABEL] = pool.name
    elif cluster.profile == "autopilot":
        selector["cloud.google.com/gke-accelerator-count"] = str(settings.accelerator.count)
        selector["cloud.google.com/gke-gpu-driver-version"] = driver_for(sized.cuda)
        if settings.provisioning.model == "spot":
            selector["cloud.google.com/gke-spot"] = "true"
    return dict(sorted(selector.items()))


def _runner(settings: ServerSettings) -> dict[str, str]:
    """The variable that chooses vLLM's model runner, where the stack chooses."""
    if isinstance(settings, VllmSettings) and settings.model_runner is not None:
        return {"VLLM_USE_V2_MODEL_RUNNER": "1" if settings.model_runner == "V2" else "0"}
    return {}


def newest_cuda(servers: Iterable[SizedServer]) -> str:
    """Newest CUDA version among the servers' images; empty if there are none."""
    return max((server.cuda for server in servers), key=version_parts, default="")


def _tolerations(pool: NodePoolPlan | None, *, spot: bool) -> tuple[Toleration, ...]:
    tolerations = [Toleration(key=_GPU_TAINT)]
    if spot:
        tolerations.append(Toleration(key="cloud.google.com/gke-spot", value="true"))
    if pool is not None:
        effects = {
            "NO_SCHEDULE": "NoSchedule",
            "PREFER_NO_SCHEDULE": "PreferNoSchedule",
            "NO_EXECUTE": "NoExecute",
        }
        tolerations += [
            Toleration(key=taint.key, value=taint.value, effect=effects[taint.effect]) for taint in pool.settings.taints
        ]
    return tuple(sorted(tolerations, key=lambda toleration: (toleration.key, toleration.effect)))
