"""What a step of a model takes at its peak: the forward pass, logits, and the sampler."""

from dataclasses import dataclass

from gke_llm_inference.catalog.memory_facts import VllmConstants
from gke_llm_inference.planning.memory.request import Kernels, Limits, MemoryRequest, family_group, weights_format
from gke_llm_inference.planning.memory.sharding import MIB, ModelShard
from gke_llm_inference.planning.memory.weights import allocator_waste_bytes

# Families whose feed-forward activation vLLM does not fuse with the quantization of its output.
_GELU_FAMILIES = ("gemma",)
# Families that soften their final logits with a tanh, for which a second copy is made.
_SOFTCAPPED_FAMILIES = ("gemma2",)
_TABLE_REST_MIB = 1.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What decides the peak of a step on one GPU."""

    shard: ModelShard
    family: str
    kernels: Kernels
    tokens: int
    rows: int

    @property
    def token_hidden(self) -> float:
        """MiB of one byte per token and hidden width."""
        return self.tokens * self.shard.hidden / MIB

    @property
    def row_vocabulary(self) -> float:
        """MiB of one byte per row and vocabulary entry."""
        return self.rows * self.shard.vocabulary / MIB


def step_of(request: MemoryRequest, shard: ModelShard, limits: Limits) -> Step:
    """The largest step that the request's limits allow."""
    return Step(
        shard=shard,
        family=request.family,
        kernels=weights_format(request.weights_format).kernels,
        tokens=limits.max_num_batched_tokens,
        rows=min(limits.max_num_seqs, limits.max_num_batched_tokens),
    )


def forward_mib(step: Step, constants: VllmConstants, *, compiled: bool) -> float:
    """Peak of the forward pass in MiB, without logits.

    T × (6 × feed-forward + k × hidden) bytes: gate and up projection with their product, and the copies of the
    residual stream that are alive with them. Compiled, those are 4 × hidden + 2 × query width. FP8 kernels add the
    quantized product, or with compilation fuse it into the activation.
    """
    forward = constants.forward
    tokens, hidden, width = step.tokens, step.shard.hidden, step.shard.feed_forward
    gelu = step.family.startswith(_GELU_FAMILIES)
    width_bytes = forward.feed_forward_bytes
    if compiled:
        hidden_bytes = forward.compiled_hidden_bytes
        query_bytes = forward.compiled_query_bytes
        if step.kernels == "fp8" and gelu:
            hidden_bytes += 2
        elif step.kernels == "fp8":
            width_bytes -= 1
    else:
        by_family = forward.eager_hidden_bytes
        hidden_bytes = by_family.get(family_group(step.family), by_family["default"])
        query_bytes = 0.0
        width_bytes += 1 if step.kernels == "fp8" else 0
    peak = tokens * (width_bytes * width + hidden_bytes * hidden + query_bytes * step.shard.query) / MIB
    if step.kernels in ("dense", "bitsandbytes"):
        peak += forward.workspace_mib
    if step.kernels == "bitsandbytes":
        # The gate and up projection is unpacked to 16 bits before it is multiplied.
        unpacked = 4 * width * hidden + tokens * 4 * (width + hidden)
        peak = max(peak, unpacked / MIB + forward.workspace_mib)
    return peak


def logits_mib(step: Step, constants: VllmConstants) -> float:
    """Peak in MiB while logits are computed for a full batch: part of every profile."""
    sampler = constants.sampler
    copies = 2 if step.family in _SOFTCAPPED_FAMILIES else 1
    return copies * sampler.logit_bytes * step.row_vocabulary + _beside_logits(step, constants)


def v1_sampler_mib(step: Step, constants: VllmConstants) -> float:
    """Peak in MiB of the sampler, which the V1 runner profiles with a full batch."""
    sampler = constants.sampler
    table = sampler.v1_vocabulary_bytes * step.shard.vocabulary / MIB
    return sampler.v1_row_bytes * step.row_vocabulary + table + _beside_logits(step, constants)


def cold_mib(step: Step, constants: VllmConstants) -> float:
    """Peak in MiB of a start with an empty compile cache.

    2 × vocabulary × hidden + 4 × T × hidden bytes, one more T × hidden with FP8 weights: torch tunes its kernels with
    inputs of which one has the size of the embedding table (torch._inductor's standalone compile).
    """
    forward, shard = constants.forward, step.shard
    table = forward.cold_embedding_bytes * shard.vocabulary * shard.hidden / shard.gpus
    table += allocator_waste_bytes(table, _TABLE_REST_MIB)
    hidden_bytes = forward.cold_hidden_bytes + (1 if step.kernels == "fp8" else 0)
    return table / MIB + hidden_bytes * step.token_hidden


def v2_sampler_mib(step: Step, constants: VllmConstants) -> float:
    """What the V2 runner takes in MiB beyond its profile when it samples a full batch at start."""
    runtime = constants.runtime
    return runtime.v2_row_bytes * step.row_vocabulary + runtime.v2_base_mib


def _beside_logits(step: Step, constants: VllmConstants) -> float:
    sampler = constants.sampler
    rows = sampler.row_hidden_bytes * step.rows * step.shard.hidden / MIB
    return sampler.hidden_bytes * step.token_hidden + rows + constants.forward.workspace_mib
