"""The shapes of the catalog's files: facts about GPUs, machines, models and servers, each with source and date."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GIB = 2**30
"""Bytes in one GiB."""

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of one weight by the checkpoint's dtype."""

Dtype = Literal["float32", "float16", "bfloat16"]
ProvisioningName = Literal["onDemand", "spot", "flexStart", "reservation"]
ServerKind = Literal["vllm", "tgi"]
Positive = Annotated[int, Field(gt=0)]
Price = Annotated[float, Field(ge=0)]


class Facts(BaseModel):
    """Base of every catalog entry: immutable, closed, camelCase in YAML."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        defer_build=True,
    )


class DescribedFacts(Facts):
    """Base of facts that a stack may state itself: what their fields mean is part of the settings' schema."""


class Quota(Facts):
    """Names of the regional Compute Engine quotas that one GPU counts against."""

    on_demand: str
    spot: str


class PodBounds(Facts):
    """An upper or lower bound that GKE Autopilot sets to the requests of one pod."""

    cpu: Positive
    """vCPU."""
    memory_gib: Positive
    """GiB."""
    ephemeral_storage_gib: Positive | None = None
    """GiB; None where GKE states no bound."""


class Accelerator(Facts):
    """A GPU model as GKE names it."""

    memory_gib: Positive
    """Marketing size of the memory, in GiB per GPU."""
    compute_capability: str
    """CUDA compute capability, such as 8.9."""
    quota: Quota
    driver: Literal["default", "latest"] | None = None
    """The driver that the GPU needs; None where the images decide alone."""
    zones: dict[str, tuple[str, ...]]
    """Zone letters that have the GPU, by region; none where the region has it in zones that are not known."""
    autopilot_maxima: dict[int, PodBounds] = Field(default_factory=dict)
    """The largest requests that Autopilot admits, by GPUs of the pod; none where they are not known."""

    def is_offered_in(self, region: str) -> bool:
        """Whether any zone of `region` has the GPU, known or not."""
        return region in self.zones

    def zones_in(self, region: str) -> tuple[str, ...]:
        """Full names of the zones in `region` that have the GPU, sorted; empty if there is none, or none is known."""
        return tuple(f"{region}-{letter}" for letter in sorted(self.zones.get(region, ())))


class UsdPerHour(Facts):
    """List price of a whole machine, GPUs included, in USD per hour."""

    on_demand: float
    spot: float


class FamilyPrice(Facts):
    """What a family's GPU and vCPU cost in a region, in USD per hour, each with the memory that comes with it."""

    gpu: Price
    vcpu: Price = 0
    spot_gpu: Price
    spot_vcpu: Price = 0

    def of(self, machine: "MachineType") -> UsdPerHour:
        """Price of a machine of the family."""
        return UsdPerHour(
            on_demand=round(machine.gpus * self.gpu + machine.vcpus * self.vcpu, 4),
            spot=round(machine.gpus * self.spot_gpu + machine.vcpus * self.spot_vcpu, 4),
        )


class Prices(Facts):
    """List prices by machine family and region."""

    source: str
    date: str
    reference_region: str
    """The region whose prices stand in for one without."""
    flex_start_discount: tuple[str, ...]
    """Families whose flex-start machines cost less than on-demand ones."""
    families: dict[str, dict[str, FamilyPrice]]

    def of(self, name: str, machine: "MachineType", region: str) -> UsdPerHour | None:
        """Price of the machine type `name` in a region; None where there is none."""
        price = self.families.get(machine_family(name), {}).get(region)
        return price.of(machine) if price else None


def machine_family(machine_type: str) -> str:
    """Family of a machine type, such as g2-standard of g2-standard-8."""
    return machine_type.rpartition("-")[0]


class MachineType(Facts):
    """A Compute Engine machine type with GPUs."""

    accelerator: str
    gpus: Positive
    vcpus: Positive
    memory_gib: Positive
    """Memory of the machine in GiB, before GKE's reservations."""
    local_ssds: Annotated[int, Field(ge=0)] | None = None
    """How many 375 GB local SSDs the machine may have; None where that is not known."""
    local_ssd_counts: tuple[Positive, ...] | None = None
    """What a compute class may ask for; that number alone if None, nothing where the machine always has all of them."""
    provisioning: tuple[ProvisioningName, ...] = ("onDemand", "spot", "flexStart", "reservation")
    """The ways in which Google sells the machine."""
    usd_per_hour: UsdPerHour | None = None
    """Price in the reference region, by which machines are compared; `Catalog.price` has every region's."""

    @property
    def has_local_ssds(self) -> bool:
        """Whether every machine of this type has its local SSDs by itself."""
        return bool(self.local_ssds) and self.local_ssd_counts == ()


class MemorySlice(Facts):
    """A slice of a node's memory of which kube-reserved takes a share."""

    up_to_mib: Positive | None = None
    share: float


class CpuSlice(Facts):
    """A slice of a node's CPU of which kube-reserved takes a share."""

    up_to_millicores: Positive | None = None
    share: float


class KernelMemory(Facts):
    """Memory that the kernel takes before the kubelet counts: total / divisor + memory_mib + swiotlb_mib."""

    memory_divisor: Positive
    memory_mib: Positive
    swiotlb_mib: Positive


class SystemPods(Facts):
    """What GKE's own DaemonSets request on a GPU node."""

    cpu_millicores: Positive
    memory_mib: Positive


class DiskReservation(Facts):
    """What GKE reserves of a boot disk of D GiB: min(half_share × D, base_gib + share × D, max_gib)."""

    half_share: float
    base_gib: float
    share: float
    max_gib: float


class BootDisk(Facts):
    """How much of a node's boot disk is left for pods."""

    partitions_gib: float
    eviction_share: float
    reserved: DiskReservation


class LocalSsd(Facts):
    """A local SSD of a node."""

    gib: Positive
    """GiB of one."""
    overhead_share: float
    """Share that the file system takes."""


class DiskFacts(Facts):
    """Which disks machines can have, by family."""

    source: str
    date: str
    families: dict[str, tuple[str, ...]]
    """Disk types by family, or by family and class; the first is the boot disk's unless another is asked for."""
    accelerators: dict[str, str]
    """Families of GPUs whose machines the catalog does not have."""
    storage_classes: dict[str, str]
    """GKE's own StorageClasses by the disk type that they make, the fastest first."""
    local_ssd: LocalSsd

    def types(self, machine_type: str) -> tuple[str, ...]:
        """Disk types of a machine type; none where its family is not known."""
        family, _, rest = machine_type.partition("-")
        return self.families.get(f"{family}-{rest.partition('-')[0]}") or self.families.get(family, ())

    def storage_class(self, types: tuple[str, ...]) -> str | None:
        """The fastest of GKE's own StorageClasses that makes one of these types; None if none does."""
        return next((name for kind, name in self.storage_classes.items() if kind in types), None)


class NameLimits(Facts):
    """Longest names that Google's APIs take, in characters."""

    cluster: Positive
    node_pool: Positive
    service_account_id: Positive
    network: Positive


class ShutdownLimits(Facts):
    """How long GKE waits for pods, in seconds."""

    spot: Positive
    """For a pod on a Spot machine, by default."""
    spot_node: Positive
    """For a Spot machine at most, where its node pool says so."""
    spot_critical: Positive
    """The end of that time, which is for system pods alone."""
    spot_node_since: str
    """GKE version from which a node pool can say so."""
    sleep_since: str
    """Kubernetes version from which the kubelet sleeps by itself before SIGTERM."""
    autoscaler: Positive
    """For a pod of a node that the autoscaler removes."""
    service: Positive
    """From a pod's deletion until nothing inside the cluster sends it new requests."""
    gateway: Positive
    """The same for a load balancer outside of it."""

    @property
    def spot_extended(self) -> int:
        """For a pod on a Spot machine whose node pool asks for the most."""
        return self.spot_node - self.spot_critical


class BootDiskFacts(Facts):
    """Disks that nodes start with."""

    standard_since: str
    """GKE version from which node pools have them."""
    autopilot_since: str
    """The same for nodes that GKE makes for pods."""
    label: str
    """What the label of a pod begins with that asks for one, before the disk image's name."""
    label_value: str
    """What its value begins with, before the disk image's project."""
    allowlist: str
    """Name of the one object in a cluster that allows disk images."""


class ComputeClassFacts(Facts):
    """What compute classes can do, by GKE version."""

    since: str
    """GKE version that serves them first."""
    auto_creation_since: str
    """From which a class makes node pools on a Standard cluster without the cluster's own auto-provisioning."""
    flex_start_since: str
    """From which flex-start machines carry GPUs."""
    cooldown_seconds: Positive
    """For how long the autoscaler leaves a tier alone that has no machine."""


class GkeFacts(Facts):
    """What GKE takes from a node and how far its objects may go."""

    source: str
    date: str
    system_pods: SystemPods
    kernel: KernelMemory
    eviction_mib: Positive
    kube_reserved_memory: tuple[MemorySlice, ...]
    kube_reserved_cpu: tuple[CpuSlice, ...]
    boot_disk: BootDisk
    autopilot_floors: dict[str, dict[int, PodBounds]]
    boot_disk_cache_gib: Positive
    name_limits: NameLimits
    shared_clients_per_gpu: Positive
    shutdown: ShutdownLimits
    secondary_boot_disk: BootDiskFacts
    compute_class: ComputeClassFacts
    served_within_seconds: dict[str, Positive]
    """How long a new cluster may take to serve custom resources, by API group; an empty name is every other group."""
    system_namespaces: tuple[str, ...]
    """Namespaces of Kubernetes and of GKE, with * for any end."""


class SlidingWindow(DescribedFacts):
    """Layers that attend to a window of tokens only."""

    size: Positive
    """Tokens in the window."""
    layers: Positive
    """Number of layers with the window; the others attend to all tokens."""


class Experts(DescribedFacts):
    """Mixture of experts: how many there are and how many a token visits."""

    count: Positive
    """Experts of a layer."""
    per_token: Positive
    """Experts that one token visits."""
    intermediate_size: Positive | None = None
    """Width of one expert (moe_intermediate_size); intermediateSize if absent."""
    shared_intermediate_size: Annotated[int, Field(ge=0)] = 0
    """Width of what every token visits beside the chosen experts."""


class ModelArchitecture(DescribedFacts):
    """What decides the size of a model: the numbers of its config.json, and its parameter count."""

    parameters: Positive
    """Every weight that a server loads, embeddings and vision towers included."""
    dtype: Dtype = "bfloat16"
    """Type of the checkpoint's weights."""
    layers: Positive
    """Transformer layers (num_hidden_layers)."""
    hidden_size: Positive
    """Width of the residual stream (hidden_size)."""
    intermediate_size: Positive
    """Width of one feed-forward block (intermediate_size)."""
    attention_heads: Positive
    """Query heads (num_attention_heads)."""
    kv_heads: Positive
    """Key and value heads (num_key_value_heads)."""
    head_dim: Positive
    """Width of one head (head_dim)."""
    vocab_size: Positive
    """Entries of the embedding table (vocab_size)."""
    max_positions: Positive
    """Longest context that the model was made for, in tokens."""
    tied_embeddings: bool = False
    """Whether the output layer shares the embedding's weights."""
    unquantized_parameters: Annotated[int, Field(ge=0)] = 0
    """Parameters besides embeddings that quantization leaves alone, such as those of a vision tower."""
    unloaded_parameters: Annotated[int, Field(ge=0)] = 0
    """Parameters of the checkpoint beside the others that a server does not load, such as those that predict further
    tokens."""
    vision_parameters: Annotated[int, Field(ge=0)] = 0
    """Parameters of a vision tower and of what brings its output to the language model."""
    latent_width: Positive | None = None
    """Width of a token's compressed keys and values (kv_lora_rank + qk_rope_head_dim), for latent attention."""
    sliding_window: SlidingWindow | None = None
    """Where some layers attend to a window of tokens only."""
    experts: Experts | None = None
    """Where a mixture of experts takes the place of the feed-forward block."""
    encoder_only: bool = False
    """Whether every token attends to all others, as in BERT: such a model keeps no keys and values, and generates
    nothing."""

    @property
    def weights_gib(self) -> float:
        """Size of the checkpoint at its own dtype, in GiB."""
        return self.parameters * DTYPE_BYTES[self.dtype] / GIB


class ContainerUser(Facts):
    """The user and group that a container runs as."""

    uid: Positive
    gid: int = Field(ge=0)


class CudaSince(Facts):
    """CUDA version of the images from a server version on."""

    since: str
    version: str


class InferenceServerFacts(Facts):
    """An inference server: its image, how it starts and where it listens."""

    source: str
    date: str
    title: str
    gke_label: str
    """Value of the label ai.gke.io/inference-server in Google's own manifests."""
    repository: str
    """Image without tag."""
    image_names: tuple[str, ...]
    """Last parts of the names of the makers' own images, whose tags are the server's versions."""
    image_words: tuple[str, ...]
    """Words by which an image's name says that it holds this server."""
    tag_prefix: str
    """What stands before the version in an image tag."""
    default_version: str
    known_versions: tuple[str, ...]
    """Versions whose behavior is known, oldest first."""
    cuda: tuple[CudaSince, ...]
    """CUDA of the images, oldest first; decides which NVIDIA driver the node needs."""
    command: tuple[str, ...]
    """Replaces the image's entry point; empty keeps it."""
    port: Positive
    health_path: str
    home: str
    """Directory on the cache volume that holds the model and every other cache."""
    working_directory: str | None = None
    """Where the image starts a server that calls a model by its path; None where a flag gives the model's name."""
    user: ContainerUser | None
    """The user to run as; None where the image needs root."""
    read_only_root_filesystem: bool
    environment: dict[str, str]
    maintenance: str | None = None
    """Set where the project takes no new features: what its makers say."""
    alternative: str | None = None
    """What to configure instead of a server in maintenance."""

    def image(self, version: str) -> str:
        """Image reference of `version`."""
        return f"{self.repository}:{self.tag_prefix}{version}"


Basis = Literal["measured", "published", "assumed"]
ModelStorage = Literal["nodeDisk", "persistentDisk", "gcsfuse", "filestore", "hyperdiskMl", "streamer"]
ImagePull = Literal["whole", "streamed", "preloaded"]


class Duration(Facts):
    """How long a part of a start takes, and what that rests on."""

    seconds: Positive
    basis: Basis
    source: str


class Rate(Facts):
    """How fast a model moves, and what that rests on."""

    gib_per_second: Annotated[float, Field(gt=0)]
    basis: Basis
    source: str


class StorageRate(Rate):
    """How fast a server loads a model from where it lies."""

    title: str


class MeasuredStart(Facts):
    """A start that others measured, from a node that is there to the first good answer."""

    title: str
    model: str
    version: str
    """Version of vLLM."""
    image: Literal["whole", "streamed", "preloaded", "there"]
    """How the image came to the node; there before the count began."""
    storage: ModelStorage
    """Where the model lay; nodeDisk is a download from Hugging Face first."""
    image_seconds: Annotated[int, Field(ge=0)]
    """What the image took of it."""
    seconds: Positive
    source: str


class StartupFacts(Facts):
    """What the parts of a start take."""

    source: str
    date: str
    node: Duration
    node_longest: Duration
    image: dict[ImagePull, Duration]
    streaming_hosts: tuple[str, ...]
    """Ends of the names of registries whose images GKE streams."""
    download: Rate
    storage: dict[ModelStorage, StorageRate]
    process: Duration
    compile: Duration
    compile_cached: Duration
    graphs: Duration
    measured: tuple[MeasuredStart, ...] = ()
    """Whole starts that others measured, which predictions are held against."""
