"""What a plan consists of: plain, frozen data that components translate into resources without arithmetic."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gke_llm_inference.catalog import ServerKind
from gke_llm_inference.catalog.facts import Basis
from gke_llm_inference.catalog.kubernetes_names import COMPUTE_CLASS_LABEL
from gke_llm_inference.catalog.model_facts import Task
from gke_llm_inference.planning.access.plan import AccessPlan, ApiKeyPlan
from gke_llm_inference.planning.alternatives import Alternative, FasterAlternative
from gke_llm_inference.planning.autoscaling.plan import AutoscalingPlan, MetricsAdapterPlan
from gke_llm_inference.planning.boot_disks.plan import AllowlistPlan
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan, ComputeClassPlan
from gke_llm_inference.planning.compile_cache.plan import CompileCachePlan
from gke_llm_inference.planning.groups.plan import LEADER_LABELS, GroupPlan
from gke_llm_inference.planning.image_registry.plan import ImageRegistryPlan
from gke_llm_inference.planning.memory import MemoryPlan
from gke_llm_inference.planning.model_source.plan import BucketCaches, FuseVolume, ModelSourcePlan, TransferNodes
from gke_llm_inference.planning.model_store.plan import ModelStorePlan
from gke_llm_inference.planning.network_policy.decide import NetworkPolicyPlan
from gke_llm_inference.planning.node_shutdown import NodeShutdown
from gke_llm_inference.planning.observability.plan import ObservabilityPlan
from gke_llm_inference.planning.pod.patch_plan import PodPatch
from gke_llm_inference.planning.pod.plan import PodExtras
from gke_llm_inference.settings import (
    AutopilotCluster,
    ExistingCluster,
    Finding,
    HuggingFaceSettings,
    NodePoolSettings,
    NodeTaint,
    StandardCluster,
    TracingSettings,
)

if TYPE_CHECKING:
    from gke_llm_inference.planning.performance.plan import PerformancePlan

SERVICE_PORT = 8000
"""Port of every server's Service."""

SYSTEM_COMPONENTS = ("SYSTEM_COMPONENTS",)
"""What GKE collects metrics of in any case."""

ClusterProfile = Literal["autopilot", "standard"]
DriverVersion = Literal["default", "latest"]
AfterSignal = Literal["cuts", "waits", "ignores"]
AnswerBasis = Literal["predicted", "stated", "assumed"]
StartPartName = Literal["node", "imagePull", "download", "load", "process", "compile", "graphs"]


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """The cluster of a stack.

    Attributes:
        settings: what was asked for, checked.
        name: name in Google Cloud; None for another stack's cluster and a kubeconfig context.
        project: Google Cloud project; None for a kubeconfig context.
        location: region or zone; None for a kubeconfig context, and for another stack's cluster unless stated.
        service_account_id: id of the nodes' service account, for a cluster that is made.
        region: region of `location`.
        system_disk_type: boot disk of the CPU pool's nodes, for a Standard cluster that is made.
        served_within_seconds: how long to wait for custom resources, by API group; an empty name is every other group.
        collects_metrics: whether the stack says itself which metrics are collected, so that GKE must not find
            applications to collect from by itself: it would collect them twice.
        fast_autoscaling: whether pods are scaled by the metrics that GKE reads itself, which takes its performance
            profile of the autoscaler.
        monitored_components: what GKE collects metrics of by itself, sorted.

    """

    settings: AutopilotCluster | StandardCluster | ExistingCluster
    name: str | None
    project: str | None
    location: str | None
    region: str | None
    service_account_id: str | None
    system_disk_type: str | None = None
    served_within_seconds: dict[str, int] = field(default_factory=dict)
    collects_metrics: bool = False
    fast_autoscaling: bool = False
    monitored_components: tuple[str, ...] = SYSTEM_COMPONENTS

    @property
    def protected(self) -> bool:
        """Whether nothing may delete or replace the cluster, as long as the settings say so."""
        return not isinstance(self.settings, ExistingCluster) and self.settings.deletion_protection

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the cluster's machines in Google Cloud."""
        return {} if isinstance(self.settings, ExistingCluster) else dict(sorted(self.settings.labels.items()))

    @property
    def profile(self) -> ClusterProfile:
        """How nodes come about: made by Google for each pod, or from node pools."""
        match self.settings:
            case AutopilotCluster():
                return "autopilot"
            case StandardCluster():
                return "standard"
            case ExistingCluster(profile=profile):
                return profile


@dataclass(frozen=True, kw_only=True)
class NodePoolPlan:
    """A GPU node pool.

    Attributes:
        key: its name in the configuration.
        name: its name as a DNS label, short enough for GKE to append a suffix.
        settings: what was asked for, checked.
        machine_type: machine of every node.
        zones: zones to take machines from, sorted.
        driver_version: NVIDIA driver that GKE installs.
        node_labels: Kubernetes labels of the nodes, by which servers find the pool.
        shutdown: how long its Spot machines take to end; None for GKE's own times.
        compute_class: the class that its nodes belong to alone; None where servers ask for the pool itself.

    """

    key: str
    name: str
    settings: NodePoolSettings
    machine_type: str
    zones: tuple[str, ...]
    driver_version: DriverVersion
    node_labels: dict[str, str]
    shutdown: NodeShutdown | None = None
    compute_class: str | None = None

    @property
    def taints(self) -> tuple[NodeTaint, ...]:
        """Taints of its nodes beside those of GKE, sorted; nodes of a compute class take its pods alone."""
        of_class = [NodeTaint(key=COMPUTE_CLASS_LABEL, value=self.compute_class)] if self.compute_class else []
        return tuple(sorted([*self.settings.taints, *of_class], key=lambda taint: (taint.key, taint.effect)))


@dataclass(frozen=True, kw_only=True)
class TokenPlan:
    """The Hugging Face token's way into the cluster; the token itself is not part of a plan.

    Attributes:
        settings: where the token comes from.
        project: Google Cloud project of the stack.
        namespace: Kubernetes namespace of the Secret.
        reader_name: Kubernetes service account that reads Secret Manager.

    """

    settings: HuggingFaceSettings
    project: str | None
    namespace: str
    reader_name: str


@dataclass(frozen=True, kw_only=True)
class PodResources:
    """Requests of the server's container; limits equal them, but for CPU on Standard nodes.

    Attributes:
        cpu_millicores: 1000 for one vCPU.
        memory_gib: GiB, shared memory included, as Kubernetes charges it to the container.
        shared_memory_gib: size limit of /dev/shm in GiB.
        ephemeral_storage_gib: GiB on the node's boot disk, the cache included where it is there.
        cache_gib: size limit in GiB of the cache volume: model, compiled kernels, temporary files.
        cache_on_disk: whether the cache has a disk of its own, as the boot disk could not hold it.
        cache_storage_class: StorageClass of such a disk; None where GKE has none for the machines.
        beside_cpu_millicores: what containers beside the server's request in all.
        beside_memory_gib: the same in GiB.
        before_cpu_millicores: the most that a container requests which runs before the server.
        before_memory_gib: the same in GiB.
        beside_disk_gib: GiB of the node's boot disk that containers beside the server's request.

    """

    cpu_millicores: int
    memory_gib: int
    shared_memory_gib: int
    ephemeral_storage_gib: int
    cache_gib: int
    cache_on_disk: bool
    cache_storage_class: str | None
    beside_cpu_millicores: int = 0
    beside_memory_gib: int = 0
    before_cpu_millicores: int = 0
    before_memory_gib: int = 0
    beside_disk_gib: int = 0

    @property
    def pod_disk_gib(self) -> int:
        """GiB of its node's boot disk that the pod requests."""
        return self.ephemeral_storage_gib + self.beside_disk_gib

    @property
    def pod_cpu_millicores(self) -> int:
        """What the pod requests of its node."""
        return max(self.cpu_millicores + self.beside_cpu_millicores, self.before_cpu_millicores)

    @property
    def pod_memory_gib(self) -> int:
        """The same in GiB."""
        return max(self.memory_gib + self.beside_memory_gib, self.before_memory_gib)


@dataclass(frozen=True, kw_only=True)
class ModelVolumePlan:
    """A volume with the model, which a pod mounts to read.

    Attributes:
        claim: name of its PersistentVolumeClaim; empty for a directory of a bucket.
        mount_path: where the container sees it.
        annotations: what the pod must carry for the volume's driver.
        sub_path: directory of the volume that is mounted; the whole volume if empty.
        working_directory: directory from which the server finds the mount by the model's name; the image's own if None.
        fuse: the directory of a bucket that it is; None for a claim.

    """

    claim: str
    mount_path: str
    annotations: dict[str, str]
    sub_path: str = ""
    working_directory: str | None = None
    fuse: FuseVolume | None = None


@dataclass(frozen=True, kw_only=True)
class StartPart:
    """A part of a start.

    Attributes:
        key: its name, as the plan's JSON has it.
        seconds: what it is expected to take on a new node.
        restart_seconds: what it takes when the container starts again in the same pod.
        later_seconds: what it takes on a new node once an earlier start has left what it needs; `seconds` if None.
        why: what decides on it.
        basis: whether its figures are measured, published or assumed.
        source: where its figures are from.

    """

    key: StartPartName
    seconds: float
    restart_seconds: float
    why: str
    basis: Basis
    source: str
    later_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class StartPlan:
    """A start from nothing, in the order in which its parts follow each other."""

    parts: tuple[StartPart, ...]
    first_image_seconds: float = 0
    """What the image may take while its repository fetches it from another registry, once for each version."""

    @property
    def expected_seconds(self) -> int:
        """From the container's start to its first good answer, for the first time on a node."""
        return math.ceil(sum(part.seconds for part in self.parts if part.key not in ("node", "imagePull")))

    @property
    def new_node_seconds(self) -> int:
        """From a pod that finds no node to its first good answer."""
        return math.ceil(sum(part.seconds for part in self.parts))

    @property
    def later_node_seconds(self) -> int:
        """The same for a pod that is not the first: it finds what an earlier one has left, such as a compile cache."""
        return math.ceil(sum(part.seconds if part.later_seconds is None else part.later_seconds for part in self.parts))

    @property
    def restart_seconds(self) -> int:
        """The same for a container that starts again in its pod: the cache volume is kept."""
        return math.ceil(sum(part.restart_seconds for part in self.parts))

    def part(self, key: StartPartName) -> StartPart:
        """One of the parts that every start has.

        Raises:
            StopIteration: the start has no such part.

        """
        return next(part for part in self.parts if part.key == key)


@dataclass(frozen=True, kw_only=True)
class ProbePlan:
    """When Kubernetes takes a container for started, ready and alive; all probes ask the health path.

    Attributes:
        startup_seconds: how long the container may take from its start to its first good answer.
        startup_period_seconds: seconds between two startup probes.

    """

    path: str
    startup_seconds: int
    startup_period_seconds: int = 10
    readiness_period_seconds: int = 5
    readiness_failures: int = 3
    liveness_period_seconds: int = 10
    liveness_failures: int = 6
    timeout_seconds: int = 5

    @property
    def startup_failures(self) -> int:
        """Failed startup probes after which Kubernetes restarts the container."""
        return -(-self.startup_seconds // self.startup_period_seconds)


@dataclass(frozen=True, kw_only=True)
class LongestAnswer:
    """The longest answer that a server's limits allow.

    Attributes:
        tokens: its tokens.
        token_ms: ms for each of them while the server is full.
        seconds: how long it may take, with a margin for prompts that come in meanwhile.
        basis: whether the time of a token is predicted, the objective that the stack states, or assumed.

    """

    tokens: int
    token_ms: float
    seconds: int
    basis: AnswerBasis


@dataclass(frozen=True, kw_only=True)
class ShutdownPlan:
    """How a pod ends: first out of the Service's endpoints, then SIGTERM, then the server drains, then it is killed.

    Attributes:
        sleep_seconds: how long the pod waits before SIGTERM, so that no new request reaches a server that ends.
        timeout_seconds: how long the server then waits for running answers; 0 where it does not wait.
        grace_seconds: after how many seconds in all Kubernetes kills what is left.
        answer_seconds: how long an answer may take that is never cut, from the last moment at which a request comes.
        after: what the server does on SIGTERM: waits for running answers, cuts them, or does not get the signal.
        longest: the longest answer that the server's limits allow.
        argument: what tells the server how long to wait; None where it has no flag for that.

    """

    sleep_seconds: int
    timeout_seconds: int
    grace_seconds: int
    answer_seconds: int
    after: AfterSignal
    longest: LongestAnswer
    argument: str | None = None

    @property
    def may_cut(self) -> bool:
        """Whether an answer may take longer than the pod waits for it."""
        return self.longest.seconds > self.answer_seconds

    @property
    def summary(self) -> str:
        """What happens when, in words."""
        wait = f"then {self.timeout_seconds} s for running answers; " if self.timeout_seconds else ""
        sleep = f"{self.sleep_seconds} s "
        sleep += "until no new request comes, " if wait else "for running answers, which SIGTERM cuts; "
        if self.after == "ignores":
            sleep = f"{self.sleep_seconds} s for running answers, as SIGTERM does not reach the server; "
        return f"{sleep}{wait}killed after {self.grace_seconds} s"

    @property
    def longest_summary(self) -> str:
        """How long answers may take, and which are cut."""
        longest = self.longest
        how = {"predicted": "predicted", "stated": "the objective", "assumed": "assumed"}[longest.basis]
        text = f"answers take up to {longest.seconds} s: {longest.tokens:,} tokens of {longest.token_ms:.0f} ms ({how})"
        return f"{text}; those over {self.answer_seconds} s may be cut" if self.may_cut else text


@dataclass(frozen=True, kw_only=True)
class RolloutPlan:
    """How an update replaces pods.

    Attributes:
        max_surge: pods above `replicas` during a rolling update.
        max_unavailable: pods below `replicas` during a rolling update.
        progress_deadline_seconds: how long an update may stand still before it counts as failed. Each pod that
            becomes available, and each old one that goes, starts the count again.
        longest_seconds: how long an update may take in all, if its pods start one after the other.
        disruption_budget: whether voluntary disruptions take one pod at a time.
        reason: why so many more or fewer pods.
        strategy: always RollingUpdate. Of a Recreate, Pulumi's provider may report success while no new pod runs yet:
            it judges by the old ReplicaSet.

    """

    max_surge: int
    max_unavailable: int
    progress_deadline_seconds: int
    longest_seconds: int
    disruption_budget: bool
    reason: str
    strategy: Literal["RollingUpdate"] = "RollingUpdate"


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint that the pod accepts; an empty value accepts any."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True)
class Decision:
    """Something that was decided for the user: by which preset or rule, what, and why."""

    origin: str
    what: str
    why: str

    def __str__(self) -> str:
        if self.what == "note":
            return f"{self.origin}: {self.why}"
        return f"{self.origin}: {self.what} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """What a goal did not choose.

    Attributes:
        what: GPUs, weights and limits in words.
        usd_per_hour: list price of all replicas.
        replicas: how many of them.
        ttft_ms: time to the first token, at the 95th percentile.
        tpot_ms: time per output token, at the 95th percentile.
        why: why it lost.

    """

    what: str
    usd_per_hour: float
    replicas: int
    ttft_ms: float
    tpot_ms: float
    why: str


@dataclass(frozen=True, kw_only=True)
class GoalChoice:
    """What the goals of a server chose.

    Attributes:
        goals: their names, the first one first.
        what: the choice in words.
        why: by what it won, with its figures and how far they may be off.
        settings: settings that it gives, by key; a stack that states them keeps the choice.
        runners_up: the next best, and why each lost.
        advice: what would be better and the stack rules out; empty if nothing is.

    """

    goals: tuple[str, ...]
    what: str
    why: str
    settings: tuple[tuple[str, str | int | float | bool], ...]
    runners_up: tuple[RunnerUp, ...] = ()
    advice: str = ""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The choice as decisions of the plan."""
        origin = ", ".join(self.goals)
        given = ", ".join(f"{key}: {_shown(value)}" for key, value in self.settings)
        decisions = [Decision(origin, f"takes {self.what}", self.why)]
        if given:
            decisions.append(Decision(origin, f"sets {given}", "a stack that states them keeps them"))
        if self.advice:
            decisions.append(Decision(origin, "advises", self.advice))
        return tuple(decisions)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, kw_only=True)
class AdapterPlan:
    """An adapter that a server serves beside its model.

    Attributes:
        name: by which clients ask for it.
        id: its repository at Hugging Face.
        revision: commit of that.
        rank: its rank.

    """

    name: str
    id: str
    revision: str
    rank: int


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """One inference server, decided.

    Attributes:
        key: its name in the configuration.
        name: name of its Kubernetes objects, a DNS label.
        uses_token: whether the token's Secret exists for this server to read.
        arguments: what settings and presets decide, and extra arguments.
        added_arguments: what the server gets besides, whatever its settings.
        environment: variables with plain values, sorted by name.
        user: user and group ids to run as; None where the image needs root.
        replicas: pods; the most of them where their number follows the load.
        machine_type: machine that the pod is planned for; None where the cluster's nodes are not known.
        node_selector: labels that the pod's node must have.
        decisions: what presets and rules decided, and why.
        model_volume: a volume with the model; None where it is downloaded or streamed.
        model_source: how it gets its model.
        measured_tokens_per_second: throughput of one replica as the stack states it, for the price of a token.
        memory: where the memory of each GPU goes.
        host_ipc: whether its pods take the IPC namespace of their node, as MPS needs it.
        api_keys: how it gets the API keys that it accepts; None where it asks for none.
        alternatives: what would fit, where the server does not or only just, cheapest first.
        performance: how fast it is; None where neither a workload nor objectives are stated, or it is not known.
        faster: what would meet its objectives, where it misses them, cheapest first.
        priority_class: PriorityClass of its pods; the cluster's default if None.
        pod: what its pods get beside what is planned.
        pod_patch: its pod template after the stack's patch of it; None where there is none.
        tracing: where it sends traces of its requests; None where it sends none.
        network_policy: who may talk to its pods, and whom they may talk to; None where nothing is denied.
        choice: what its goals chose, and what lost; None where no goal chose.
        autoscaling: how the number of its pods follows the load; None where it is fixed.
        compile_cache: where it keeps what it compiled; None where that goes with each pod.
        revision: branch, tag or commit of its model; None where nothing says.
        capacity: ways in which Google provides its machines; None where it states none.
        task: what it does.
        adapters: adapters that it serves beside its model, sorted by name.
        group: the machines that each replica spans; None where it runs in one pod.

    """

    key: str
    name: str
    namespace: str
    kind: ServerKind
    version: str
    image: str
    model: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    uses_token: bool
    secret_name: str
    secret_key: str
    home: str
    port: int
    service_port: int
    user: tuple[int, int] | None
    read_only_root_filesystem: bool
    replicas: int
    gpu_type: str
    gpu_count: int
    machine_type: str | None
    node_pool: str | None
    profile: ClusterProfile
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]
    resources: PodResources
    start: StartPlan
    probes: ProbePlan
    shutdown: ShutdownPlan
    rollout: RolloutPlan
    labels: dict[str, str]
    selector: dict[str, str]
    decisions: tuple[Decision, ...] = ()
    measured_tokens_per_second: float | None = None
    model_volume: ModelVolumePlan | None = None
    model_source: ModelSourcePlan | None = None
    memory: MemoryPlan | None = None
    alternatives: tuple[Alternative, ...] = ()
    choice: GoalChoice | None = None
    host_ipc: bool = False
    performance: "PerformancePlan | None" = None
    faster: tuple[FasterAlternative, ...] = ()
    priority_class: str | None = None
    added_arguments: tuple[str, ...] = ()
    api_keys: ApiKeyPlan | None = None
    autoscaling: AutoscalingPlan | None = None
    pod: PodExtras = field(default_factory=PodExtras)
    pod_patch: PodPatch | None = None
    compile_cache: CompileCachePlan | None = None
    revision: str | None = None
    capacity: CapacityPlan | None = None
    task: Task = "generate"
    adapters: tuple[AdapterPlan, ...] = ()
    group: GroupPlan | None = None

    @property
    def pods(self) -> int:
        """Pods of all replicas: one for each machine that a replica spans."""
        return self.replicas * (self.group.nodes if self.group else 1)

    @property
    def least_pods(self) -> int:
        """The same of the fewest replicas."""
        return self.least_replicas * (self.group.nodes if self.group else 1)

    @property
    def served_selector(self) -> dict[str, str]:
        """Labels of the pods that answer requests: of a group, its leader alone."""
        return {**self.selector, **LEADER_LABELS} if self.group else self.selector

    @property
    def compute_class(self) -> str | None:
        """Name of the compute class that its pods ask for; None where they ask for none."""
        made = self.capacity.compute_class if self.capacity else None
        return made.name if made else None

    @property
    def least_replicas(self) -> int:
        """Pods that it has at least."""
        return self.replicas if self.autoscaling is None else self.autoscaling.min_replicas

    @property
    def images(self) -> tuple[str, ...]:
        """The images of its pods, the server's first."""
        if self.pod_patch is not None:
            return tuple(self.pod_patch.images())
        return (self.image, *(one.image for one in (*self.pod.init_containers, *self.pod.containers)))

    @property
    def all_arguments(self) -> tuple[str, ...]:
        """The arguments that the container is started with."""
        return (*self.arguments, *self.added_arguments)

    network_policy: NetworkPolicyPlan | None = None
    tracing: TracingSettings | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to say about the server before it is made: whether it fits, and what was decided."""
        fit = (self.memory.summary,) if self.memory is not None else ()
        speed = (self.performance.summary,) if self.performance is not None else ()
        tiers = self.capacity.tiers if self.capacity else ()
        each = [f"capacity {tier.summary(self.start.new_node_seconds)}" for tier in tiers]
        group = (f"group: {self.group.summary}",) if self.group is not None else ()
        return (*fit, *group, *speed, self.start_summary, *each, *map(str, self.decisions))

    @property
    def start_summary(self) -> str:
        """How long a start takes and may take, and what there is to know of the image."""
        start = self.start
        return (
            f"start: {start.expected_seconds} s expected, {self.probes.startup_seconds} s allowed; "
            f"{start.new_node_seconds} s on a new node, with the image {start.part('imagePull').why}"
        )


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """A whole stack, decided: everything sorted by name, nothing left to compute."""

    cluster: ClusterPlan
    node_pools: tuple[NodePoolPlan, ...]
    token: TokenPlan
    servers: tuple[ServerPlan, ...]
    namespace: str
    create_namespace: bool
    namespace_labels: dict[str, str]
    access: AccessPlan = field(default_factory=AccessPlan)
    observability: ObservabilityPlan = field(default_factory=ObservabilityPlan)
    metrics_adapter: MetricsAdapterPlan | None = None
    image_registry: ImageRegistryPlan | None = None
    model_store: ModelStorePlan | None = None
    transfer_nodes: TransferNodes | None = None
    bucket_caches: BucketCaches | None = None
    boot_disk_allowlist: AllowlistPlan | None = None
    warnings: tuple[Finding, ...] = field(default=())

    @property
    def compute_classes(self) -> tuple[ComputeClassPlan, ...]:
        """The compute classes of its servers, each once, sorted by name."""
        found = [server.capacity.compute_class for server in self.servers if server.capacity]
        named = {one.name: one for one in found if one is not None}
        return tuple(one for _, one in sorted(named.items()))
