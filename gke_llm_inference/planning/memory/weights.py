"""What loaded weights take on one GPU, and what loading them takes."""

from gke_llm_inference.catalog.memory_facts import VllmConstants, WeightConstants
from gke_llm_inference.planning.checkpoint_size import small_group_bits
from gke_llm_inference.planning.memory.allocator import quantized_on_load_waste
from gke_llm_inference.planning.memory.request import MemoryRequest, format_name, own_bytes, weights_format
from gke_llm_inference.planning.memory.sharding import MIB, ModelShard

_SEGMENT = 2 * MIB
# Rotary tables of Gemma 3 from 4B up: one of 8 × the positions for layers with full attention, one for the others.
_SCALED_FAMILY = "gemma3"
_SCALED_FROM = 131072
_SCALED_FACTOR = 9.0


def weights_mib(
    request: MemoryRequest,
    shard: ModelShard,
    constants: WeightConstants,
    *,
    streams: bool = False,
    split_limit_mib: int | None = None,
) -> float:
    """Weights on one GPU in MiB.

    Linear layers at the format's bits; embeddings and the output layer at 16 bits in every format; the rotary table
    (positions × head width × 2 bytes); and what torch's allocator leaves unused behind each tensor. Embeddings are
    split over GPUs like linear layers (vocabulary-parallel). A stage of a pipeline that has an embedding counts
    one; the stage with the most is planned.

    Args:
        request: what is planned.
        shard: what one GPU has of the model.
        constants: of the server.
        streams: whether formats that are made on load are made layer by layer.
        split_limit_mib: size from which torch's blocks are not split while weights are loaded.

    """
    given = request.architecture
    chosen = weights_format(request.weights_format)
    bits = constants.linear_bits[format_name(request.weights_format)]
    tables = 1 if given.tied_embeddings else 2
    table = given.vocab_size * given.hidden_size
    bits += small_group_bits(request.group_size)
    # What quantization leaves alone: routers, modules that the checkpoint lists, and a vision tower, which every stage
    # is planned with, as one of them has it.
    kept = min(given.unquantized_parameters, max(0, given.parameters - table * tables))
    linear = (given.parameters - table * tables - kept) * shard.layers / given.layers
    linear = max(0.0, linear)
    tables_here = 1 if request.pipeline_parallel > 1 else tables
    padded_table = shard.vocabulary * given.hidden_size * own_bytes(given)
    total = linear * bits / 8 / shard.gpus + tables_here * padded_table / shard.gpus
    total += kept * own_bytes(given) / shard.gpus
    total += rotary_bytes(request)
    if streams and format_name(request.weights_format) == "fp8":
        total += _waste_on_load(request, shard, split_limit_mib)
    else:
        total += _allocator_waste(request, shard, bits, constants.allocator_waste_mib[chosen.precision])
    longest = constants.long_positions
    extra = longest.mib if given.max_positions >= longest.from_tokens else 0.0
    return total / MIB + extra


def draft_mib(request: MemoryRequest) -> float:
    """Weights of a second model on one GPU in MiB: split like the model's, each GPU with a whole rotary table."""
    draft = request.draft
    if draft is None:
        return 0.0
    rotary = draft.rotary_positions * draft.head_dim * 2
    return (draft.weights_bytes / request.tensor_parallel + rotary) / MIB


def rotary_bytes(request: MemoryRequest) -> float:
    """Bytes of the rotary tables; scaled by the factor that the model's configuration states."""
    given = request.architecture
    if given.encoder_only:
        return 0.0  # its positions are learned, and counted with its parameters
    factor = request.rope_factor
    if factor is None:
        scaled = request.family.startswith(_SCALED_FAMILY) and given.max_positions >= _SCALED_FROM
        factor = _SCALED_FACTOR if scaled else 1.0
    return given.max_positions * given.head_dim * 2 * factor


def allocator_waste_bytes(tensor: float, most_mib: float) -> float:
    """What torch's allocator leaves unused behind a tensor: segments are multiples of 2 MiB, small rests stay."""
    if tensor < MIB:
        return 0.0
    rest = -tensor % _SEGMENT
    return rest if rest <= most_mib * MIB else 0.0


def load_peak_mib(
    request: MemoryRequest,
    shard: ModelShard,
    weights: float,
    constants: VllmConstants,
    *,
    state_rows: int,
    streams: bool,
) -> float:
    """Memory of one GPU in MiB while weights are loaded.

    Args:
        request: what is planned.
        shard: what one GPU has of the model.
        weights: loaded weights in MiB.
        constants: of the server.
        state_rows: sequences for which vLLM's V2 runner holds counts over the vocabulary; 0 for other runners.
        streams: whether formats that are made on load are made layer by layer, without a copy at 16 bits.

    """
    peak = weights + constants.weights.row_state_bytes * state_rows * shard.vocabulary / MIB
    chosen = weights_format(request.weights_format)
    if chosen.on_load and not streams:
        own = request.architecture.parameters * own_bytes(request.architecture) / MIB
        peak = max(peak, own / shard.gpus / request.pipeline_parallel)
    return peak


def _allocator_waste(request: MemoryRequest, shard: ModelShard, bits: float, most_mib: float) -> float:
    layer = [weights * bits / 8 for weights in _layer_weights(request, shard)]
    wasted = sum(allocator_waste_bytes(tensor, most_mib) for tensor in layer) * shard.layers
    return wasted + sum(allocator_waste_bytes(table, most_mib) for table in _table_bytes(request, shard))


def _waste_on_load(request: MemoryRequest, shard: ModelShard, split_limit_mib: int | None) -> int:
    """What torch's allocator leaves unused where each layer's weights are quantized as they are loaded."""
    return quantized_on_load_waste(
        tuple(int(table) for table in (*_table_bytes(request, shard), rotary_bytes(request))),
        tuple(int(weights) for weights in _layer_weights(request, shard)),
        shard.layers,
        own_bytes(request.architecture),
        None if split_limit_mib is None else split_limit_mib * MIB,
    )


def _layer_weights(request: MemoryRequest, shard: ModelShard) -> tuple[float, ...]:
    """Weights of each matrix of a layer on one GPU, as servers hold them: queries, keys and values are one."""
    given = request.architecture
    hidden, kv = given.hidden_size, shard.kv_heads * given.head_dim
    block, experts = hidden * given.intermediate_size / shard.gpus, given.experts
    if experts:
        # All experts of a layer are one tensor.
        block = experts.count * hidden * (experts.intermediate_size or given.intermediate_size) / shard.gpus
    return hidden * (shard.query + 2 * kv), hidden * shard.query, 2 * block, block


def _table_bytes(request: MemoryRequest, shard: ModelShard) -> tuple[float, ...]:
    given = request.architecture
    table = shard.vocabulary * given.hidden_size * own_bytes(given) / shard.gpus
    return (table,) * (1 if given.tied_embeddings else 2)
