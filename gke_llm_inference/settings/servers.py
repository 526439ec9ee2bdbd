"""Settings of an inference server: which server, which model, on which GPUs, within which limits."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, PrivateAttr, StringConstraints, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gke_llm_inference.catalog.facts import ModelArchitecture, Positive
from gke_llm_inference.catalog.model_facts import Task
from gke_llm_inference.catalog.preset_facts import CheckpointFormat
from gke_llm_inference.settings.access import ApiKeySettings, Exposure, Hostname, NoApiKeys, RouteSettings, Routing
from gke_llm_inference.settings.adapters import MOST_ADAPTERS, AdapterName, AdapterSettings
from gke_llm_inference.settings.autoscaling import AutoscalingSettings
from gke_llm_inference.settings.base import (
    DnsLabel,
    Image,
    Labels,
    ModelId,
    ObjectName,
    PositiveInt,
    Settings,
    Version,
    refused,
)
from gke_llm_inference.settings.boot_disks import ServerBootDisk
from gke_llm_inference.settings.calibration import Calibration
from gke_llm_inference.settings.capacity import MOST_TIERS, CapacityTier, tier_of
from gke_llm_inference.settings.compile_cache import KeepCompileCacheSettings
from gke_llm_inference.settings.lifecycle import ShutdownSettings
from gke_llm_inference.settings.media import MediaDomain, MediaLimits
from gke_llm_inference.settings.model_source import HuggingFaceSource, ModelSourceSettings, ModelStoreSource
from gke_llm_inference.settings.network_policy import ServerNetworkPolicySettings
from gke_llm_inference.settings.node_pools import AcceleratorSettings, OnDemandProvisioning, ProvisioningSettings
from gke_llm_inference.settings.pod import PodSettings
from gke_llm_inference.settings.pod_patch import PodPatchSettings
from gke_llm_inference.settings.speculation import SpeculationSettings
from gke_llm_inference.settings.workload import ObjectiveSettings, WorkloadSettings

MOST_REPLICAS = 1000
"""Replicas that a server may have."""
MOST_NODES = 16
"""Machines that a replica may span."""

# Each group is judged together.
_APART = (
    frozenset({"replicas", "autoscaling"}),
    frozenset({"exposure", "hostname", "routing", "routes", "apiKeys", "networkPolicy"}),
    frozenset({"pod", "podPatch"}),
    frozenset({"extraEnv"}),
    frozenset({"labels"}),
    frozenset({"priorityClass"}),
    frozenset({"shutdown"}),
)

VolumePath = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$", max_length=500)
]
CapacityList = Annotated[tuple[CapacityTier, ...], Field(strict=False, min_length=1, max_length=MOST_TIERS)]
MediaDomains = Annotated[tuple[MediaDomain, ...], Field(strict=False, min_length=1, max_length=100)]
ParserName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,60}$")]
PresetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,60}$")]


def apart_with(setting: str) -> frozenset[str]:
    """The keys of a server's settings that are judged together with one, if no other rests on them.

    What fits and what starts is the same whatever these say. None for any other setting.
    """
    return next((group for group in _APART if setting in group), frozenset())


class ArchitectureSettings(ModelArchitecture):
    """The numbers of a model that the catalog does not have, as its config.json and repository state them."""

    model_config = ConfigDict(strict=True)

    gated: bool = False
    """Whether Hugging Face asks for a token before the model can be downloaded."""
    family: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")] = "other"
    """Model family (model_type), such as llama; some techniques depend on it."""
    checkpoint: CheckpointFormat = "none"
    """How the checkpoint's weights are quantized."""
    checkpoint_bits: Literal[4, 8] | None = None
    """Bits of a weight in a compressed-tensors, GPTQ or bitsandbytes checkpoint; 4 if absent for the latter two."""
    checkpoint_type: Literal["float", "int"] = "float"
    """Whether the 8-bit weights of a compressed-tensors checkpoint are floating point (FP8) or integers (W8A8)."""
    checkpoint_group_size: PositiveInt | None = None
    """Weights that share a scale in a 4-bit checkpoint; 128 if absent."""
    checkpoint_blockwise: bool = False
    """Whether every block of an FP8 checkpoint's weights has a scale of its own (weight_block_size)."""
    checkpoint_bytes: Positive | None = None
    """Size of the checkpoint's files (total_size of its index); computed from the numbers if absent."""


class AcceleratorChoice(Settings):
    """GPUs that a goal may choose for a server."""

    type: str
    """GPU as GKE names it, such as nvidia-l4."""
    count: PositiveInt | None = None
    """How many of them each replica gets; as many as the goal chooses if absent."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value


class ServerAccelerator(AcceleratorSettings):
    """GPUs of each replica of a server."""

    memory_mib: Annotated[int, Field(ge=1024, le=10_000_000)] | None = None
    """Memory of one GPU as CUDA reports it, in MiB; the catalog's if absent."""
    choices: Annotated[tuple[AcceleratorChoice, ...], Field(strict=False)] = ()
    """GPUs that goals choose from, in place of type and count; a list in place of the mapping means the same."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, list):
            value = {"choices": value}
        if not isinstance(value, dict) or not value.get("choices"):
            return value
        # Until a goal has chosen, the server is one of the first GPU.
        first = value["choices"][0] if isinstance(value["choices"], list) else None
        named = first.get("type") if isinstance(first, dict) else first
        return {"type": named, **value} if isinstance(named, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> "ServerAccelerator":
        stated = self.model_fields_set & {"count", "memory_mib"}
        if self.choices and (stated or self.type != self.choices[0].type):
            raise refused(
                "states one GPU and several to choose from",
                "a goal chooses among the GPUs of the list, each with a count of its own",
                "keep the list alone, or type and count",
            )
        return self


class _OrList:
    """Marks GPUs that a list to choose from may stand for, in the JSON schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        gpus = handler(schema)
        choice = handler.resolve_ref_schema(gpus)["properties"]["choices"]["items"]
        listed = {"type": "array", "items": {"anyOf": [{"type": "string"}, choice]}, "minItems": 1}
        return {"anyOf": [gpus, listed]}


ServerGpus = Annotated[ServerAccelerator, _OrList()]
"""GPUs of each replica, or a list of them that a goal chooses from."""


class ResourceSettings(Settings):
    """Requests of the server's container; what is absent is planned."""

    cpu: Annotated[float, Field(ge=0.1, le=1000)] | None = None
    """vCPU."""
    memory_gib: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """GiB, shared memory included."""
    ephemeral_storage_gib: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """GiB on the node's own disk."""


class ModelVolume(Settings):
    """A volume of yours that holds the model already: the server reads it there and downloads nothing."""

    claim: DnsLabel
    """Name of the PersistentVolumeClaim, in the namespace of the servers."""
    path: VolumePath = ""
    """Directory of the model on the volume, without a slash at the beginning; the volume's root if empty."""
    storage: Literal["persistentDisk", "hyperdiskMl", "gcsfuse", "filestore"]
    """What the volume is; decides how long the model is expected to load."""
    access_mode: Literal["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce"] = "ReadOnlyMany"
    """Access mode of the claim; ReadWriteOnce serves one replica only. The server only ever reads."""

    @model_validator(mode="after")
    def _mountable(self) -> "ModelVolume":
        if self.access_mode == "ReadWriteMany" and self.storage in ("persistentDisk", "hyperdiskMl"):
            raise refused(
                f"{self.storage} has no volumes of accessMode ReadWriteMany",
                "a disk cannot be written to from several nodes, and the claim would stay pending",
                "use ReadOnlyMany",
            )
        return self


class _ServerSettings(Settings):
    version: Version | None = None
    """Version of the server; the catalog's default if absent."""
    image: Image | None = None
    """An image of your own; it must hold the version that `version` states."""
    model: ModelId
    """Hugging Face id, such as google/gemma-7b-it."""
    task: Task = "generate"
    """What the server does: generate text, or give one vector, score or class for each input."""
    adapters: Annotated[dict[AdapterName, AdapterSettings], Field(max_length=MOST_ADAPTERS)] = {}
    """Adapters (LoRA) that it serves beside its model, by the name that clients ask for."""
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{1,200}$")] | None = None
    """Branch, tag or commit of the model's repository."""
    model_volume: ModelVolume | None = None
    """A volume that holds the model already; what modelSource says if absent."""
    model_source: ModelSourceSettings = HuggingFaceSource(source="huggingFace")
    """Where the model comes from; each pod downloads it from Hugging Face if absent."""
    architecture: ArchitectureSettings | None = None
    """The numbers of a model that the catalog does not have."""
    config_file: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    """Path of such a model's config.json, from the project's directory; takes the place of architecture."""
    accelerator: ServerGpus = ServerAccelerator()
    """GPUs of each replica; if absent, or a list, a goal chooses the GPU too."""
    node_pool: str | None = None
    """Pool of `nodePools` to run on; if absent, the cheapest that can hold the server."""
    nodes: Annotated[int, Field(ge=1, le=MOST_NODES)] = 1
    """Machines that each replica spans, each with the GPUs of `accelerator`; needs LeaderWorkerSet above 1."""
    tensor_parallel_size: PositiveInt | None = None
    """GPUs that share every layer; all GPUs of a replica over its stages if absent."""
    pipeline_parallel_size: PositiveInt | None = None
    """Stages that share the layers; one for each of `nodes` if absent."""
    expert_parallel: bool | None = None
    """Whether each GPU holds whole experts instead of a slice of every expert; vLLM's default if absent: slices."""
    provisioning: ProvisioningSettings = OnDemandProvisioning(model="onDemand")
    """On Autopilot, how Google provides the machine; on Standard this belongs to the node pool."""
    local_ssds: Annotated[int, Field(ge=0, le=64)] = 0
    """Fewest 375 GB local SSDs of machines that GKE makes for the server; those of a node pool are in nodePools."""
    secondary_boot_disk: ServerBootDisk | None = None
    """A disk with the server's image, for nodes that GKE makes for it; those of a node pool have it in nodePools."""
    capacity: Annotated[tuple[CapacityTier, ...], Field(strict=False, min_length=1, max_length=MOST_TIERS)] | None = (
        None
    )
    """Ways in which Google provides the machine, tried in this order; what provisioning says if absent."""
    replicas: Annotated[int, Field(ge=0, le=MOST_REPLICAS)] = 1
    """Pods, each with the whole model; 0 keeps the server's objects without pods."""
    autoscaling: AutoscalingSettings | None = None
    """Bounds between which the number of pods follows the load; it takes the place of replicas."""
    presets: Annotated[tuple[PresetName, ...], Field(strict=False)] = ()
    """Goals and techniques, applied in this order; explicit settings win over them."""
    max_model_len: PositiveInt | None = None
    """Longest context in tokens, input and output together; the model's own limit if absent."""
    measured_tokens_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Output tokens per second of one replica, as measured by you; gives the plan a price for a million tokens."""
    workload: WorkloadSettings | None = None
    """Requests that the server gets; its speed is planned for them."""
    objectives: ObjectiveSettings | None = None
    """What is fast enough, and cheap enough, for the workload."""
    calibration: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    """Path of a file with what was measured on your GPU, from the project's directory; narrows the bands of speed."""
    allow_slow: bool = False
    """Whether objectives that the plan does not meet are a warning rather than refused."""
    allow_unfit: bool = False
    """Whether a server that does not fit its GPUs is a warning rather than refused."""
    max_output_tokens: PositiveInt | None = None
    """Most output tokens; what the input leaves of the context if absent."""
    quantization: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,40}$")] | None = None
    """Weight quantization as the server names it; what the checkpoint says if absent."""
    kv_cache_dtype: Literal["auto", "fp8_e4m3", "fp8_e5m2"] | None = None
    """Type of the KV cache; the weights' own if absent."""
    speculative_tokens: Annotated[int, Field(ge=1, le=16)] | None = None
    """Speculative tokens per step, by n-gram lookup in the prompt; no speculation if absent."""
    resources: ResourceSettings = ResourceSettings()
    """Requests of the container; planned where absent."""
    shutdown: ShutdownSettings = ShutdownSettings()
    """How long a pod that ends may take; planned where absent."""
    priority_class: ObjectName | None = None
    """An existing PriorityClass of the cluster; the cluster's own default if absent."""
    extra_args: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Extra arguments of the server: --flag, --flag=value, or a flag and then its values; checked for the version."""
    extra_env: dict[str, str] = {}
    """Extra environment variables of the server; none that hold a secret."""
    labels: Labels = {}
    """Labels of the pods beside the recommended ones."""
    pod: PodSettings = PodSettings()
    """What the pods get beside what is planned: variables from Secrets, volumes, tolerations."""
    pod_patch: PodPatchSettings | None = None
    """The last resort: a patch of the pod template, for what no setting can say."""
    network_policy: ServerNetworkPolicySettings | None = None
    """Who may talk to the server, and whom it may talk to, where that differs from the stack."""
    exposure: Exposure | None = None
    """Who may reach the server: nobody from outside of the cluster, the VPC, or the internet; gateway's if absent."""
    hostname: Hostname | None = None
    """Hostname under which the load balancer knows the server; gateway's if absent."""
    routing: Routing | None = None
    """How requests through the load balancer find a pod: any that is ready, or one that an endpoint picker chooses;
    gateway's if absent."""
    routes: Annotated[tuple[RouteSettings, ...], Field(strict=False)] = ()
    """Paths that the load balancer lets through beside those of the OpenAI API."""
    api_keys: ApiKeySettings = NoApiKeys(source="none")
    """Where the server finds the API keys that it accepts; whoever reaches it may use it if absent."""
    _measured: Calibration | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_number_of_pods(self) -> Self:
        if self.autoscaling is not None and "replicas" in self.model_fields_set:
            raise refused(
                "has replicas and autoscaling",
                "every update would set the number of pods back that the autoscaler has chosen",
                "remove replicas, and state autoscaling.minReplicas",
                at="replicas",
            )
        return self

    @model_validator(mode="after")
    def _one_place_of_the_model(self) -> Self:
        if self.model_volume is not None and isinstance(self.model_source, ModelStoreSource):
            raise refused(
                "has modelVolume and modelSource",
                "a server reads its model in one place",
                "remove modelVolume, or modelSource",
            )
        return self

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        if self.capacity is not None and "provisioning" in self.model_fields_set:
            raise refused(
                "has provisioning and capacity",
                "provisioning is a list of one tier, and only one list can hold",
                "remove provisioning, and state it as a tier of capacity",
            )
        return self

    @property
    def pools(self) -> bool:
        """Whether it gives one result for all tokens of an input, rather than generating more of them."""
        return self.task != "generate"

    @property
    def downloads(self) -> bool:
        """Whether its pods download the model from Hugging Face."""
        return self.model_volume is None and self.store_source is None

    @property
    def store_source(self) -> ModelStoreSource | None:
        """How it reads its model from the stack's store; None where it does not."""
        return self.model_source if isinstance(self.model_source, ModelStoreSource) else None

    @property
    def tiers(self) -> tuple[CapacityTier, ...]:
        """Ways in which Google provides the machine, in their order; one where `provisioning` states it."""
        return (tier_of(self.provisioning),) if self.capacity is None else self.capacity

    @property
    def most_replicas(self) -> int:
        """Pods that the server may come to have."""
        return self.replicas if self.autoscaling is None else self.autoscaling.max_replicas

    @property
    def most_pods(self) -> int:
        """The same in pods: every machine of a replica has one."""
        return self.most_replicas * self.nodes

    @property
    def stages(self) -> int:
        """Pipeline stages of each replica."""
        return self.nodes if self.pipeline_parallel_size is None else self.pipeline_parallel_size

    @property
    def shares(self) -> int:
        """GPUs that share every layer: at least one, also where stages do not divide the GPUs."""
        if self.tensor_parallel_size is not None:
            return self.tensor_parallel_size
        return max(1, self.accelerator.count * self.nodes // self.stages)

    @property
    def measured_speed(self) -> Calibration | None:
        """What the file of `calibration` says, once it is read."""
        return self._measured

    def calibrated_by(self, measured: Calibration) -> Self:
        """These settings with what the file of `calibration` says."""
        copy = self.model_copy()
        copy._measured = measured
        return copy


class VllmSettings(_ServerSettings):
    """A vLLM server."""

    server: Literal["vllm"]
    """vLLM."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the server may use; the version's default if absent."""
    max_num_seqs: PositiveInt | None = None
    """Most requests in one batch; the version's default if absent."""
    max_num_batched_tokens: PositiveInt | None = None
    """Most tokens in one step; the version's default if absent."""
    load_format: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")] | None = None
    """How weights are loaded, as vLLM names it; the version's choice if absent."""
    prefix_caching: bool | None = None
    """Whether requests with the same beginning share its KV cache; the version's default if absent."""
    chunked_prefill: bool | None = None
    """Whether prefill is chunked: a long prompt takes several steps; the version's default if absent."""
    attention_backend: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,40}$")] | None = None
    """Attention kernels, as vLLM names them; the version's choice if absent."""
    enforce_eager: bool | None = None
    """Whether to disable compilation and CUDA graphs: a faster start, slower output."""
    model_runner: Literal["V1", "V2"] | None = None
    """vLLM's model runner; the version's own choice if absent."""
    compile_cache: Literal["cold", "warm"] = "cold"
    """State of torch's compile cache when a pod starts: warm where an image of yours brings it (VLLM_CACHE_ROOT)."""
    keep_compile_cache: KeepCompileCacheSettings | None = None
    """Where the server keeps what it compiled, for later pods; it goes with each pod if absent."""
    max_loras: PositiveInt | None = None
    """Most adapters in one batch; all up to 4 if absent."""
    served_model_name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Name of the model in the API; the Hugging Face id if absent."""
    speculation: SpeculationSettings | None = None
    """How several tokens are guessed and verified at once; only what speculativeTokens says if absent."""
    structured_output_backend: Literal["auto", "xgrammar", "guidance", "outlines", "lm-format-enforcer"] | None = None
    """What holds answers to a JSON schema or grammar; the version's choice if absent."""
    tool_call_parser: ParserName | None = None
    """Parser of the calls of tools that the model writes, as the version names it; tools are not chosen if absent."""
    reasoning_parser: ParserName | None = None
    """Parser that tells reasoning from answers, as the version names it; both are one text if absent."""
    limit_mm_per_prompt: MediaLimits | None = None
    """Most images, videos and sounds in one prompt; the version's own limits if absent."""
    language_model_only: bool | None = None
    """Whether prompts have text alone, so that a vision tower takes no memory for images."""
    allowed_media_domains: (
        Annotated[tuple[MediaDomain, ...], Field(strict=False, min_length=1, max_length=100)] | None
    ) = None
    """Domains that images, videos and sounds are loaded from; any address if absent."""

    @property
    def takes_text_alone(self) -> bool:
        """Whether prompts may have no media, so that vLLM runs no vision tower."""
        limits = self.limit_mm_per_prompt
        none = limits is not None and (limits.image, limits.video) == (0, 0)
        return bool(self.language_model_only) or none


class TgiSettings(_ServerSettings):
    """A Text Generation Inference server."""

    server: Literal["tgi"]
    """Text Generation Inference; in maintenance mode."""
    max_input_tokens: PositiveInt | None = None
    """Most input tokens; one less than maxModelLen if absent."""
    max_batch_prefill_tokens: PositiveInt | None = None
    """Most prompt tokens in one batch; the server's choice if absent."""
    cuda_memory_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the server may use; the server's default if absent."""


ServerSettings = Annotated[VllmSettings | TgiSettings, Field(discriminator="server")]
"""One inference server."""
