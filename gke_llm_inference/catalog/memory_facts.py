"""Facts that memory plans rest on: fitted constants, what differs by server version, and what GPUs really offer."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gke_llm_inference.catalog.effects import Amount
from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.files import directory, read

Runner = Literal["V0", "V1", "V2"]


class LongPositions(Facts):
    """Memory beside the rotary table that models with very long contexts hold."""

    from_tokens: int
    """Positions from which it is there."""
    mib: float


class WeightConstants(Facts):
    """What loaded weights take."""

    linear_bits: dict[str, float]
    """Bits of one weight of a linear layer, scales and zero points included, by weights format."""
    allocator_waste_mib: dict[int, float]
    """Largest remainder of a 2 MiB block that torch leaves with its tensor, by bits of a weight (16, 8, 4)."""
    long_positions: LongPositions
    row_state_bytes: float
    """Bytes per sequence and vocabulary entry that the V2 runner holds once the weights are loaded."""


class ForwardConstants(Facts):
    """What one step of T tokens takes at its peak, in bytes per token and width."""

    feed_forward_bytes: float
    """Per token and width of the feed-forward block: gate, up and their product."""
    eager_hidden_bytes: dict[str, float]
    """Per token and hidden width without compilation, by family; `default` for a family that was not measured."""
    compiled_hidden_bytes: float
    """Per token and hidden width, compiled."""
    compiled_query_bytes: float
    """Per token and width of all query heads, compiled."""
    cold_embedding_bytes: float
    """Per vocabulary entry and hidden width on a start with an empty compile cache."""
    cold_hidden_bytes: float
    """Per token and hidden width on such a start."""
    workspace_mib: float
    """Workspace of the matrix library for unquantized weights."""


class SamplerConstants(Facts):
    """What logits and sampling take at their peak."""

    logit_bytes: float
    """Per row and vocabulary entry: the logits that every profile computes."""
    hidden_bytes: float
    """Per token and hidden width, beside the logits."""
    row_hidden_bytes: float
    """Per row and hidden width, beside the logits."""
    v1_row_bytes: float
    """Per row and vocabulary entry: the sampler in the profile of the V1 runner."""
    v1_vocabulary_bytes: float
    """Per vocabulary entry, in the same profile."""


class LinearMib(Facts):
    """A figure in MiB as base + layers × layer + thousands of feed-forward width × width."""

    base: float
    layer: float
    width: float

    def at(self, layers: float, feed_forward: float) -> float:
        """The figure in MiB, never below 0."""
        return max(0.0, self.base + self.layer * layers + self.width * feed_forward / 1000)


class GraphConstants(Facts):
    """CUDA graphs, for the usual 51 sizes (256 sequences)."""

    estimate: LinearMib
    """What the V1 runner sets aside inside the budget."""
    v1_actual: LinearMib
    """What the V1 runner's graphs take in the end."""
    v2_actual: LinearMib
    """What the V2 runner's graphs take, outside the budget."""
    flashinfer_estimate_mib: float
    """Added to the estimate with an FP8 KV cache on FlashInfer."""
    flashinfer_actual_mib: float
    """Added to what the graphs take with an FP8 KV cache on FlashInfer."""
    outside_torch_layer_mib: float
    """Per layer: the part of the graphs that the driver allocates rather than torch."""


class RuntimeConstants(Facts):
    """What a server uses between its profile and its first answer, beside weights, KV cache and graphs."""

    process_mib: float
    """CUDA context and what torch does not allocate, as on an L4."""
    start_context_mib: float
    """Memory that is taken before vLLM compares what is free with its budget."""
    v2_row_bytes: float
    """Per sequence and vocabulary entry: the V2 runner samples a full batch once the KV cache is there."""
    v2_base_mib: float
    v2_graphs_mib: float
    """Added where the sampler decides and there are graphs."""
    forward_graphs_mib: float
    """Added where the forward pass decides and there are graphs."""
    v1_base_mib: float
    """Added to the V1 runner's profile."""
    flashinfer_workspace_mib: float
    """Least workspace of FlashInfer with an FP8 KV cache."""
    flashinfer_token_bytes: float
    """Workspace of FlashInfer per token and query width, where that is more."""
    peak_uncertainty_mib: float
    """A peak this near to the whole memory may or may not run."""


class NonTorchConstants(Facts):
    """Memory that torch does not allocate, in MiB per GPU."""

    eager: float
    """V2, and V1 without graphs."""
    graphs: LinearMib
    """V1 with graphs."""


class ErrorMargin(Facts):
    """How far a pool may be from its estimate: mib + weights_share × weights + activation_share × peak."""

    mib: float
    weights_share: float = 0.0
    activation_share: float = 0.0


class Residual(Facts):
    """Size of the differences between a formula and the measurements."""

    samples: int
    median: float
    worst: float


class VllmConstants(Facts):
    """Constants of one measured vLLM version."""

    source: str
    date: str
    version: str
    measurements: int
    """Runs that were measured, refused ones included."""
    used: int
    """Runs that the constants were fitted to."""
    block_tokens: int
    """Tokens in one block of the KV cache."""
    weights: WeightConstants
    forward: ForwardConstants
    sampler: SamplerConstants
    graphs: GraphConstants
    runtime: RuntimeConstants
    non_torch: NonTorchConstants
    error_margin: ErrorMargin
    """Error margin of the pool, from models that were left out of the fit."""
    residuals: dict[str, Residual] = Field(default={})
    """By formula; MiB unless the name says otherwise."""


class VllmVersionFacts(Facts):
    """What holds from a vLLM version on, until the next entry."""

    since: str
    utilization: float
    """Default of --gpu-memory-utilization."""
    runner: Runner
    """Model runner of dense models."""
    sparse_runner: Runner
    """Model runner of mixtures of experts."""
    graphs_in_budget: bool
    """Whether CUDA graphs are charged before the KV cache is sized."""
    cold_peak: bool
    """Whether a start with an empty compile cache has a higher peak (torch 2.8 and later)."""
    in_flight_batches: int
    """Batches of tokens that a sliding window must hold at once."""
    group_ratio: float
    """Layer types this near in number share groups of the larger number."""
    hybrid: bool
    """Whether sliding-window layers keep their window only."""
    streams_fp8: bool
    """Whether FP8 on load quantizes layer by layer, without a copy at the model's own precision."""
    split_limit_mib: int | None = None
    """Size from which torch's blocks are not split while weights are loaded; None where all are."""
    latent_attention: bool = True
    """Whether multi-head latent attention caches compressed keys and values rather than those of every head."""
    activation_factor: float = 1.0
    """How much larger the activation peak is than that of the measured version."""
    calibrated: bool = False
    error_margin: ErrorMargin | None = None
    """Error margin; the measured version's own if absent."""
    note: str = ""


class TgiVersionFacts(Facts):
    """What holds from a TGI version on, until the next entry."""

    since: str
    wiggle_room: float
    """TGI_WIGGLE_ROOM: share of the memory fraction that is used."""
    prefill_logprobs: bool
    """Whether warm-up computes the logits of every prompt token."""
    default_prefill_tokens: int
    default_context_tokens: int | None = None
    """Context unless one is set, as the launcher's source has it; the model's own where None."""
    error_margin: ErrorMargin
    note: str = ""


class TensorParallelFacts(Facts):
    """What splitting over GPUs adds, in MiB per GPU."""

    source: str
    non_torch_mib: float
    error_margin_mib: float


class VisibleMemory(Facts):
    """Memory of a GPU as torch sees it."""

    mib: int
    source: str


class ServerDefaults(Facts):
    """vLLM's own limits of a batch, by memory of the GPU."""

    from_mib: int
    max_num_seqs: int
    max_num_batched_tokens: int
    except_accelerators: tuple[str, ...] = ()


class VersionFacts(Facts):
    """Differences by server version, with their sources."""

    source: str
    date: str
    vllm: tuple[VllmVersionFacts, ...]
    tgi: tuple[TgiVersionFacts, ...]
    tensor_parallel: TensorParallelFacts
    visible_memory: dict[str, VisibleMemory]
    vllm_defaults: tuple[ServerDefaults, ...]
    """From the smallest GPU up."""


class UnmeasuredPart(Facts):
    """A part of models whose memory was not measured, with bounds of it."""

    name: str
    what: str
    """What it does, as the end of a sentence that begins with its name."""
    at_least: Amount = Amount()
    at_most: Amount


class UnmeasuredParts(Facts):
    """Parts of models whose memory was not measured."""

    experts: UnmeasuredPart
    encoder: UnmeasuredPart
    latent_attention: UnmeasuredPart
    vision: UnmeasuredPart
    no_images: UnmeasuredPart
    draft: UnmeasuredPart
    nvfp4: UnmeasuredPart
    mxfp4: UnmeasuredPart


class UnmeasuredFacts(Facts):
    """Bounds of what was not measured, and what they rest on."""

    source: str
    date: str
    parts: UnmeasuredParts


class MemoryFacts(Facts):
    """Everything that a memory plan rests on."""

    vllm: VllmConstants
    versions: VersionFacts
    unmeasured: UnmeasuredFacts


MEASURED_VERSION = "0.26.0"
"""The vLLM version that was measured."""


def measurements_path() -> Path:
    """The measurements that the constants were fitted to, one JSON object per line."""
    return directory("memory") / f"l4-measurements-vllm-{MEASURED_VERSION}.jsonl"


def experts_path() -> Path:
    """Starts of models with experts or latent attention, which bounds were held against; nothing is fitted to them."""
    return directory("memory") / f"experts-vllm-{MEASURED_VERSION}.jsonl"


def adapters_path() -> Path:
    """What buffers for adapters took at starts, on an H200 that told of an L4's memory."""
    return directory("memory") / f"adapters-vllm-{MEASURED_VERSION}.jsonl"


def pooling_path() -> Path:
    """Starts of servers that embed and rank, on an H200 that told of an L4's memory."""
    return directory("memory") / f"pooling-vllm-{MEASURED_VERSION}.jsonl"


def constants_path() -> Path:
    """The fitted constants of the measured vLLM version."""
    return directory("memory") / f"vllm-{MEASURED_VERSION}.yaml"


def read_version_facts() -> VersionFacts:
    """Read what differs by server version."""
    return VersionFacts.model_validate(read(directory("memory") / "versions.yaml"))


def read_unmeasured_facts() -> UnmeasuredFacts:
    """Read the bounds of what was not measured."""
    return UnmeasuredFacts.model_validate(read(directory("memory") / "unmeasured.yaml"))


def read_memory_facts() -> MemoryFacts:
    """Read the facts that ship with the package.

    Raises:
        pydantic.ValidationError: a file does not have the shape that this module states.

    """
    return MemoryFacts(
        vllm=VllmConstants.model_validate(read(constants_path())),
        versions=read_version_facts(),
        unmeasured=read_unmeasured_facts(),
    )
