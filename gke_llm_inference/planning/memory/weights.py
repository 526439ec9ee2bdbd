"""What loaded weights take on one GPU, and what loading them takes."""

from gke_llm_inference.catalog.memory_facts import VllmConstants, WeightConstants
from gke_llm_inference.planning.memory.request import MemoryQuestion, format_name, own_bytes, weights_format
from gke_llm_inference.planning.memory.sharding import MIB, Share

_SEGMENT = 2 * MIB
# Rotary tables of Gemma 3 from 4B up: one of 8 × the positions for layers with full attention, one for the others.
_SCALED_FAMILY = "gemma3"
_SCALED_FROM = 131072
_SCALED_FACTOR = 9.0


def weights_mib(question: MemoryQuestion, share: Share, constants: WeightConstants) -> float:
    """Weights on one GPU in MiB.

    Linear layers at the format's bits; embeddings and the output layer at 16 bits in every format; the rotary table
    (positions × head width × 2 bytes); and what torch's allocator leaves unused behind each tensor. Embeddings are
    split over GPUs like linear layers (vocabulary-parallel). A stage of a pipeline that has an embedding counts
    one; the stage with the most is planned.
    """
    given = question.architecture
    name = format_name(question.weights_format)
    chosen = weights_format(name)
    bits = constants.linear_bits.get(name, chosen.linear_bits if chosen else 16.0)
    precision = chosen.precision if chosen else 16
    tables = 1 if given.tied_embeddings else 2
    table = given.vocab_size * given.hidden_size
    linear = max(0, given.parameters - table * tables) * share.layers / given.layers
    tables_here = 1 if question.pipeline_parallel > 1 else tables
    padded_table = share.vocabulary * given.hidden_size * own_bytes(given)
    total = linear * bits / 8 / share.gpus + tables_here * padded_table / share.gpus
    total += rotary_bytes(question) + _unsplit(question, share, bits, constants.unsplit_mib.get(precision, 0.0))
    longest = constants.long_positions
    extra = longest.mib if given.max_positions >= longest.from_tokens else 0.0
    return total / MIB + extra


def rotary_bytes(question: MemoryQuestion) -> float:
    """Bytes of the rotary tables; scaled by the factor that the model's configuration states."""
    given = question.architecture
    factor = question.rope_factor
    if factor is None:
        scaled = question.family.startswith(_SCALED_FAMILY) and given.max_positions >= _SCALED_FROM
        factor = _SCALED_FACTOR if scaled else 1.0
    return given.max_positions * given.head_dim * 2 * factor


def unsplit_bytes(tensor: float, most_mib: float) -> float:
    """What torch's allocator leaves unused behind a tensor: segments are multiples of 2 MiB, small rests stay."""
    if tensor < MIB:
        return 0.0
    rest = -tensor % _SEGMENT
    return rest if rest <= most_mib * MIB else 0.0


def load_peak_mib(
    question: MemoryQuestion,
    share: Share,
    weights: float,
    constants: VllmConstants,
    *,
    state_rows: int,
    streams: bool,
) -> float:
    """Memory of one GPU in MiB while weights are loaded.

    Args:
        question: what is planned.
        share: what one GPU has of the model.
        weights: loaded weights in MiB.
        constants: of the server.
        state_rows: sequences for which vLLM's V2 runner holds counts over the vocabulary; 0 for other runners.
        streams: whether formats that are made on load are made layer by layer, without a copy at 16 bits.

    """
    peak = weights + constants.weights.row_state_bytes * state_rows * share.vocabulary / MIB
    chosen = weights_format(question.weights_format)
    if chosen and chosen.on_load and not streams:
        own = question.architecture.parameters * own_bytes(question.architecture) / MIB
        peak = max(peak, own / share.gpus / question.pipeline_parallel)
    return peak


def _unsplit(question: MemoryQuestion, share: Share, bits: float, most_mib: float) -> float:
    given = question.architecture
    hidden, kv = given.hidden_size, share.kv_heads * given.head_dim
    feed_forward = given.intermediate_size / share.gpus
    byte = bits / 8
    per_layer = (
        hidden * (share.query + 2 * kv) * byte,
        hidden * share.query * byte,
        2 * hidden * feed_forward * byte,
        hidden * feed_forward * byte,
    )
    table = share.vocabulary * hidden * own_bytes(given) / share.gpus
    tables = 1 if given.tied_embeddings else 2
    layers = sum(unsplit_bytes(tensor, most_mib) for tensor in per_layer) * share.layers
    return layers + tables * unsplit_bytes(table, most_mib)
