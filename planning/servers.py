"""Decides on inference servers: image, arguments, requests, node, probes, rollout."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from catalog import Catalog, InferenceServerFacts, ModelArchitecture
from planning.accelerators import accelerator_problems, region_problems
from planning.arguments import tgi_arguments, vllm_arguments
from planning.machines import Allocatable, cheapest_machine
from planning.names import dns_label, label_value
from planning.node_pools import POOL_LABEL, driver_for
from planning.plan import ClusterPlan, NodePoolPlan, PodResources, ServerPlan, Toleration
from planning.pod import pod_need, pod_resources, probe_plan, rollout_plan, shutdown_plan
from planning.versions import image_cuda, version_findings, version_parts
from settings import (
    Finding,
    HuggingFaceSettings,
    NodePoolSettings,
    NoToken,
    ServerSettings,
    TgiSettings,
    VllmSettings,
    suggestion,
)

SERVICE_PORT = 8000
"""Port of every server's Service."""

_GPU_TAINT = "nvidia.com/gpu"


@dataclass(frozen=True)
class SizedServer:
    """A server whose pod is sized, before it is given a node."""

    key: str
    settings: ServerSettings
    facts: InferenceServerFacts
    version: str
    model: ModelArchitecture
    resources: PodResources
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
) -> tuple[SizedServer | None, list[Finding], list[Finding]]:
    """A server's pod, or the problems that prevent it; and warnings."""
    path = f"servers.{key}"
    facts = catalog.servers[settings.server]
    version = settings.version or facts.default_version
    problems = accelerator_problems(f"{path}.accelerator", settings.accelerator, catalog)
    version_problems, warnings = version_findings(path, version, facts)
    problems += version_problems
    if facts.maintenance:
        warnings.append(
            Finding(
                f"{path}.server",
                f"{facts.title} is in maintenance mode",
                facts.maintenance,
                f"{facts.alternative}",
            )
        )
    model, gated, model_problems = _model(path, settings, catalog)
    problems += model_problems
    if model is not None:
        problems += _limit_problems(path, settings, model)
        problems += _sharding_problems(path, settings, model)
    if gated and isinstance(token, NoToken):
        problems.append(
            Finding(
                f"{path}.model",
                f"{settings.model} is gated and the stack has no Hugging Face token",
                "the download would be refused and the pod restart forever",
                "set huggingFace.tokenSource, after accepting the model's licence with that account",
            )
        )
    if problems or model is None:
        return None, problems, warnings
    resources = pod_resources(settings.accelerator.count, model, settings.resources, catalog)
    sized = SizedServer(key, settings, facts, version, model, resources)
    if cluster.profile == "autopilot":
        sized, autopilot_problems = _on_autopilot(sized, cluster, catalog)
        problems += autopilot_problems
    elif settings.provisioning.model != "onDemand":
        problems.append(
            Finding(
                f"{path}.provisioning",
                "belongs to the node pool on a Standard cluster",
                "there the pool's machines are provisioned, not the pod's",
                "move it to nodePools",
            )
        )
    return (None if problems else sized), problems, warnings


def plan_server(
    sized: SizedServer,
    *,
    pool: NodePoolPlan | None,
    spare_gpus: int | None,
    cluster: ClusterPlan,
    token: HuggingFaceSettings,
    namespace: str,
    catalog: Catalog,
) -> ServerPlan:
    """The plan of a sized server.

    Args:
        sized: the server.
        pool: the node pool that it runs on, where the stack has one.
        spare_gpus: GPUs that stay free in that pool when all of the stack runs; None without a pool.
        cluster: the cluster's plan.
        token: the token's source.
        namespace: Kubernetes namespace.
        catalog: the facts to decide by.

    """
    settings, facts = sized.settings, sized.facts
    name = dns_label(sized.key)
    gpus = settings.accelerator.count
    spot = (pool.settings.provisioning if pool else settings.provisioning).model == "spot"
    match settings:
        case VllmSettings():
            arguments = vllm_arguments(settings, facts.port)
        case TgiSettings():
            arguments = tgi_arguments(settings, facts.port)
    probes = probe_plan(sized.model, facts.health_path)
    selector = {"app.kubernetes.io/component": "inference-server", "app.kubernetes.io/instance": name}
    labels = {
        **settings.labels,
        **selector,
        "ai.gke.io/inference-server": settings.server,
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
        arguments=arguments,
        environment=tuple(sorted(facts.environment.items())),
        uses_token=not isinstance(token, NoToken),
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
        probes=probes,
        shutdown=shutdown_plan(spot=spot),
        rollout=rollout_plan(settings.replicas, probes, cluster.profile, spare_gpus, gpus),
        labels=dict(sorted(labels.items())),
        selector=selector,
    )


def pods_per_node(server: SizedServer, pool: NodePoolSettings) -> int:
    """How many of the server's pods the GPUs of one node of the pool can serve, without sharing."""
    return min(pool.accelerator.count // server.settings.accelerator.count, max(1, server.settings.replicas))


def node_need(server: SizedServer, pool: NodePoolSettings) -> Allocatable:
    """What the server's pods on one full node of the pool request."""
    return pod_need(server.resources, pods_per_node(server, pool))


def _model(
    path: str, settings: ServerSettings, catalog: Catalog
) -> tuple[ModelArchitecture | None, bool, list[Finding]]:
    known = catalog.models.get(settings.model)
    if settings.architecture is not None:
        gated = settings.architecture.gated or (known is not None and known.gated)
        return settings.architecture, gated, []
    if known is not None:
        return known, known.gated, []
    return (
        None,
        False,
        [
            Finding(
                f"{path}.model",
                f"{settings.model} is not in the catalogue",
                "without the model's numbers nothing about it can be planned",
                f"{suggestion(settings.model, catalog.models)}; or describe it under {path}.architecture",
            )
        ],
    )


def _limit_problems(path: str, settings: ServerSettings, model: ModelArchitecture) -> list[Finding]:
    problems = []
    context = settings.max_model_len
    if context is not None and context > model.max_positions:
        problems.append(
            Finding(
                f"{path}.maxModelLen",
                f"{context} tokens are more than the model's {model.max_positions}",
                "the server refuses a context beyond what the model was made for",
                f"use {model.max_positions} or less",
            )
        )
    if isinstance(settings, TgiSettings):
        longest = context or model.max_positions
        if settings.max_input_tokens is not None and settings.max_input_tokens >= longest:
            problems.append(
                Finding(
                    f"{path}.maxInputTokens",
                    f"{settings.max_input_tokens} tokens of prompt leave no room for an answer within {longest}",
                    "the launcher wants the prompt to be shorter than the context",
                    f"use {longest - 1} or less",
                )
            )
    if isinstance(settings, VllmSettings):
        batched, sequences = settings.max_num_batched_tokens, settings.max_num_seqs
        if batched is not None and sequences is not None and batched < sequences:
            problems.append(
                Finding(
                    f"{path}.maxNumBatchedTokens",
                    f"{batched} is less than maxNumSeqs {sequences}",
                    "every request of a batch needs at least one token of it",
                    f"use {sequences} or more",
                )
            )
    return problems


def _sharding_problems(path: str, settings: ServerSettings, model: ModelArchitecture) -> list[Finding]:
    gpus, heads = settings.accelerator.count, model.attention_heads
    if heads % gpus == 0:
        return []
    divisors = [str(count) for count in range(1, 9) if heads % count == 0]
    return [
        Finding(
            f"{path}.accelerator.count",
            f"{gpus} GPUs cannot share {heads} attention heads",
            "tensor parallelism gives every GPU the same number of heads",
            f"use one of: {', '.join(divisors)}",
        )
    ]


def _on_autopilot(sized: SizedServer, cluster: ClusterPlan, catalog: Catalog) -> tuple[SizedServer, list[Finding]]:
    """The server with the requests that Autopilot would give it, and the problems of its requests there."""
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
    maximum = catalog.accelerators[accelerator.type].autopilot_maxima.get(accelerator.count)
    if maximum is None:
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
        return sized, problems
    floor = catalog.gke.autopilot_floors.get(accelerator.type, {}).get(accelerator.count)
    resources = sized.resources
    raised = replace(
        resources,
        cpu_millicores=max(resources.cpu_millicores, floor.cpu * 1000 if floor else 0),
        memory_gib=max(resources.memory_gib, floor.memory_gib if floor else 0),
    )
    for key, asked, limit, unit in (
        ("cpu", raised.cpu_millicores / 1000, maximum.cpu, "vCPU"),
        ("memoryGib", raised.memory_gib, maximum.memory_gib, "GiB"),
        ("ephemeralStorageGib", raised.ephemeral_storage_gib, maximum.ephemeral_storage_gib, "GiB"),
    ):
        if limit is not None and asked > limit:
            problems.append(
                Finding(
                    f"{path}.resources.{key}",
                    f"{asked:g} {unit} are more than Autopilot's {limit} for {accelerator.count} × {accelerator.type}",
                    "Autopilot rejects the pod",
                    f"use {limit} or less",
                )
            )
    return replace(sized, resources=raised), problems


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
