"""How far a server's plan is: one frozen result for each step, which the next step takes and adds to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gke_llm_inference.catalog import Catalog, InferenceServerFacts
from gke_llm_inference.planning.adapters.decide import adapters_gib
from gke_llm_inference.planning.alternatives import Alternative, FasterAlternative
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.autoscaling.source import StackSources
from gke_llm_inference.planning.capacity_tiers.known import KnownMachines
from gke_llm_inference.planning.capacity_tiers.plan import CapacityPlan
from gke_llm_inference.planning.image_digests import pinned
from gke_llm_inference.planning.image_registry.plan import ImageRegistryPlan, through
from gke_llm_inference.planning.known_speeds import KnownSpeeds
from gke_llm_inference.planning.memory import MemoryPlan, MemoryRequest
from gke_llm_inference.planning.model_source.source import ModelSource, model_source_of
from gke_llm_inference.planning.model_source.streamer import Streamer, plan_streamer
from gke_llm_inference.planning.model_store.plan import ModelStorePlan
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.plan import ClusterPlan, Decision, GoalChoice, NodePoolPlan, PodResources
from gke_llm_inference.planning.speculation import draft_gib
from gke_llm_inference.planning.versions import image_cuda
from gke_llm_inference.settings import (
    Finding,
    GatewaySettings,
    HuggingFaceSettings,
    NetworkPolicySettings,
    NodePoolSettings,
    NoToken,
    ObservabilitySettings,
    ServerSettings,
)

if TYPE_CHECKING:
    from gke_llm_inference.planning.performance.plan import PerformancePlan
    from gke_llm_inference.planning.presets import Applied, Chosen


@dataclass(frozen=True, kw_only=True)
class StackFrame:
    """What all servers of a stack have around them.

    Attributes:
        cluster: the cluster's plan.
        token: where the Hugging Face token comes from.
        namespace: Kubernetes namespace of the servers.
        makes_namespace: whether the stack makes it.
        pools: settings of the node pools; none where the stack may not have any.
        pools_are_sound: whether the pools' own settings have no problem, and all of them are there.
        sound_pools: those that have no problem.
        image_digests: digests of images by name and tag.
        network_policy: what the stack says about network policies.
        catalog: the facts to decide by.
        gateway: the load balancers' settings.
        observability: what is to be watched.
        sources: what decides on what reads the metrics of servers that scale.
        propose: what would fit instead of a server that does not; None where nothing is to be proposed.
        propose_faster: what would meet the objectives of a server that misses them; None as above.
        speeds: what plans the speed of servers.
        machines: what finds machines for tiers.
        choose: what a server's goals choose; None where they are not to choose.
        image_registry: repositories that images may come through; None where they are pulled from their own registries.
        model_revisions: commits of models by id, for servers that state no revision.
        model_store: the bucket with models; None without one.

    """

    cluster: ClusterPlan
    token: HuggingFaceSettings
    namespace: str
    makes_namespace: bool
    pools: Mapping[str, NodePoolSettings]
    pools_are_sound: bool
    sound_pools: frozenset[str]
    image_digests: Mapping[str, str]
    network_policy: NetworkPolicySettings
    catalog: Catalog
    gateway: GatewaySettings
    observability: ObservabilitySettings
    sources: StackSources
    propose: "Callable[[CommandedServer, MemoryPlan], tuple[Alternative, ...]] | None" = None
    propose_faster: "Callable[[PlacedServer, PerformancePlan], tuple[FasterAlternative, ...]] | None" = None
    speeds: KnownSpeeds = field(default_factory=KnownSpeeds)
    machines: KnownMachines = field(default_factory=KnownMachines)
    choose: "Callable[[ModeledServer, Applied], Chosen] | None" = None
    image_registry: ImageRegistryPlan | None = None
    model_store: ModelStorePlan | None = None
    model_revisions: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_token(self) -> bool:
        """Whether the stack has a Hugging Face token."""
        return not isinstance(self.token, NoToken)

    def image(self, name: str) -> str:
        """An image as pods run it: with the digest that the stack records, through its repository."""
        return through(pinned(name, self.image_digests), self.image_registry)

    @property
    def enforces_baseline(self) -> bool:
        """Whether its namespace is known to enforce the baseline Pod Security Standard."""
        shares_ipc = any(pool.sharing and pool.sharing.strategy == "mps" for pool in self.pools.values())
        return self.makes_namespace and not shares_ipc

    @cached_property
    def pools_with_local_ssds(self) -> int:
        """How many pools have local SSDs."""
        return sum(1 for pool in self.pools.values() if pool.local_ssds)

    def most_gpus(self, accelerator: str) -> int | None:
        """The most GPUs of a kind that a node of the stack's pools has; None if it has no such pool."""
        counts = [pool.accelerator.count for pool in self.pools.values() if pool.accelerator.type == accelerator]
        return max(counts, default=None)


@dataclass(frozen=True, kw_only=True)
class AskedServer:
    """A server as the stack asks for it; from the step `presets` on, its settings have the presets applied."""

    key: str
    settings: ServerSettings
    stack: StackFrame

    @property
    def path(self) -> str:
        """Where the server stands in the configuration."""
        return f"servers.{self.key}"


@dataclass(frozen=True, kw_only=True)
class ModeledServer(AskedServer):
    """After the step `model`: which server of which version loads which model.

    Attributes:
        version_is_known: whether the catalog knows how such a version behaves.
        gpus_are_known: whether there are nodes with such GPUs.

    """

    facts: InferenceServerFacts
    version: str
    model: ServedModel
    version_is_known: bool
    gpus_are_known: bool

    @property
    def image(self) -> str:
        """Image to run."""
        return self.stack.image(self.settings.image or self.facts.image(self.version))

    @property
    def cuda(self) -> str:
        """CUDA version of the image."""
        return image_cuda(self.facts, self.version, self.image)

    @property
    def stored_gib(self) -> float:
        """Size of what the pod downloads, in GiB."""
        own = 0.0
        if self.settings.downloads:
            own = self.model.checkpoint_gib + adapters_gib(self.settings, self.model)
        return own + draft_gib(self.settings, self.model, self.stack.catalog)

    @property
    def source(self) -> ModelSource:
        """Where its model comes from."""
        store = self.stack.model_store
        bucket = store.bucket.name if store else None
        return model_source_of(self.settings, self.version, self.model.checkpoint, bucket, self.stack.catalog)

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.settings.most_pods * self.settings.accelerator.count


@dataclass(frozen=True, kw_only=True)
class PresetServer(ModeledServer):
    """After the step `presets`: what they decided.

    Attributes:
        decisions: what was decided, and why.
        own: the settings as the stack states them, with what its goals gave in their place.
        choice: what its goals chose; None where no goal chose.

    """

    decisions: tuple[Decision, ...]
    own: ServerSettings
    choice: GoalChoice | None = None


@dataclass(frozen=True, kw_only=True)
class LimitedServer(PresetServer):
    """After the step `limits`: the memory request that its settings come to."""

    request: MemoryRequest

    @property
    def streamer(self) -> Streamer | None:
        """How its model is streamed from a bucket; None where it is not."""
        if self.source.path != "streamer":
            return None
        facts = self.stack.catalog.model_sources.streamer
        return plan_streamer(self.settings, self.version, self.model, self.request.host_gib, facts)

    @property
    def host_gib(self) -> int:
        """What its pod keeps in memory beside what every server does, in GiB."""
        streamer = self.streamer
        return self.request.host_gib + (streamer.host_gib if streamer else 0)


@dataclass(frozen=True, kw_only=True)
class CommandedServer(LimitedServer):
    """After the step `arguments`: its command line."""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True, kw_only=True)
class WeighedServer(CommandedServer):
    """After the step `memory`: its memory plan, and what would fit instead; none where something else is wrong."""

    memory: MemoryPlan | None
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, kw_only=True)
class SizedServer(WeighedServer):
    """After the step `pod`: what each of its pods requests."""

    resources: PodResources


@dataclass(frozen=True, kw_only=True)
class PlacedServer(SizedServer):
    """After the step `machine`: where its pods run.

    Attributes:
        pool: its node pool; None where the stack has none.
        may_surge: whether one more pod finds room in the pool while all of the stack runs.
        tier_pools: node pools that it tries in order, `pool` the first; none where it lists fewer than two.

    """

    pool: NodePoolPlan | None
    may_surge: bool
    tier_pools: tuple[NodePoolPlan, ...] = ()

    @property
    def on_spot(self) -> bool:
        """Whether its machines, or those of one of its tiers, may be taken back at any time."""
        pools = self.tier_pools or ((self.pool,) if self.pool else ())
        if pools:
            return any(pool.settings.provisioning.model == "spot" for pool in pools)
        return any(tier.model == "spot" for tier in self.settings.tiers)


@dataclass(frozen=True, kw_only=True)
class TimedServer(PlacedServer):
    """After the step `performance`: how fast it is; None where nothing is asked of its speed, or it is not known.

    Attributes:
        faster: what would meet its objectives, where it misses them.

    """

    performance: "PerformancePlan | None"
    faster: tuple[FasterAlternative, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TieredServer(TimedServer):
    """After the step `capacity`: its tiers; None where it states none."""

    capacity: CapacityPlan | None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where servers go, or why they do not.

    Attributes:
        servers: the servers that have a place.
        pools: the node pools, each with its machine.
        findings: what stands in the way, and what may go wrong.

    """

    servers: tuple[PlacedServer, ...]
    pools: tuple[NodePoolPlan, ...] = ()
    findings: tuple[Finding, ...] = ()
