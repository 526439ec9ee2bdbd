"""Bounds of what flags and variables take of a GPU that the plan does not model."""

from dataclasses import dataclass

from gke_llm_inference.catalog.effects import Amount
from gke_llm_inference.planning.memory.demand import FixedDemand
from gke_llm_inference.planning.memory.request import MemoryRequest, Unplanned, own_bytes
from gke_llm_inference.planning.memory.sharding import MIB, adapter_weights

_UNPACKED_TOKENS = 64 * 1024


@dataclass(frozen=True)
class Band:
    """What is taken beyond the plan, in MiB; below 0 where memory is freed.

    Attributes:
        low: at least.
        high: at most.
        weights: what of `low` is weights, which loading takes too.

    """

    low: float = 0.0
    high: float = 0.0
    weights: float = 0.0


def band_of(request: MemoryRequest, fixed: FixedDemand, activation: float, context: int) -> Band:
    """The band of all that is not modeled for a context."""
    if not fixed.unplanned:
        return Band()
    bands = [_band(one, request, fixed, activation, context) for one in fixed.unplanned]
    # Nothing frees more than all weights.
    low = max(-fixed.weights, sum(one.low for one in bands))
    weights = max(-fixed.weights, sum(one.weights for one in bands))
    return Band(low, max(low, sum(one.high for one in bands)), weights)


def _band(one: Unplanned, request: MemoryRequest, fixed: FixedDemand, activation: float, context: int) -> Band:
    def mib(amount: Amount) -> float:
        return (
            amount.mib
            + amount.weights * fixed.weights
            + amount.kv * fixed.layout.request_mib(context)
            + amount.activation * activation
            + amount.lora * _adapters_mib(one, request, fixed)
            + amount.window * _window_mib(fixed, context)
            + amount.logits * _logits_mib(request, fixed)
            + amount.latent * _latent_mib(request, fixed)
            + amount.per_unit * one.value
        )

    weights = one.at_least.weights * fixed.weights + min(0.0, one.at_least.per_unit * one.value)
    return Band(mib(one.at_least), mib(one.at_most), weights)


def _latent_mib(request: MemoryRequest, fixed: FixedDemand) -> float:
    """Keys and values that latent attention unpacks at once on one GPU."""
    given = request.architecture
    return 2 * _UNPACKED_TOKENS * given.attention_heads * given.head_dim / fixed.shard.gpus / MIB


def _adapters_mib(one: Unplanned, request: MemoryRequest, fixed: FixedDemand) -> float:
    """Buffers of all adapters on one GPU: of every linear layer, and whole ones of embeddings and output layer."""
    given, shard = request.architecture, fixed.shard
    tables = 2 * (given.vocab_size + given.hidden_size) if one.has_tables else 0
    return own_bytes(given) * one.adapters * (shard.layers * adapter_weights(given, shard.gpus) + tables) / MIB


def _window_mib(fixed: FixedDemand, context: int) -> float:
    """What windowed layers take more where they keep the whole context."""
    return max(0.0, fixed.layout.token_bytes * context / MIB - fixed.layout.request_mib(context))


def _logits_mib(request: MemoryRequest, fixed: FixedDemand) -> float:
    """Logits of all prompt tokens of a step, in 16 bits."""
    return 2 * fixed.limits.max_num_batched_tokens * request.architecture.vocab_size / MIB
