"""The arithmetic of one GPU's part of a model: matrices, heads and bytes, counted from its architecture."""

from dataclasses import dataclass, replace

from gke_llm_inference.catalog import ModelArchitecture
from gke_llm_inference.catalog.memory_facts import WeightConstants
from gke_llm_inference.planning.memory.request import MemoryRequest, format_name, kv_bytes, own_bytes
from gke_llm_inference.planning.memory.sharding import embedding_parameters, shard_of

_GATED_MATRICES, _UNGATED_MATRICES = 3, 2
_OFF = 0.02


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A matrix that multiplies every row of a step.

    Attributes:
        inputs: width of its input.
        outputs: width of its output.
        copies: how many of them a layer holds, of which a row visits `visited`: the experts.

    """

    inputs: float
    outputs: float
    copies: int = 1
    visited: int = 1


@dataclass(frozen=True, kw_only=True)
class ModelShapes:
    """What one GPU computes for a token.

    Attributes:
        linears: matrices of one layer.
        layers: layers on the GPU, of which `windowed` attend to `window` tokens.
        hidden: width of the residual stream.
        feed_forward: width of the feed-forward block that a row visits.
        vocabulary: entries of the output layer on the GPU.
        query_heads: query heads on the GPU.
        weight_bytes: bytes of a linear layer's weight, scales included.
        head_bytes: bytes of an output layer's weight.
        kv_element_bytes: bytes of one element of the KV cache.
        kv_width: elements of one token's keys and values in one layer, or of what both are made of.
        gpus: GPUs that share every layer.

    """

    linears: tuple[Linear, ...]
    layers: int
    windowed: int
    window: int
    hidden: int
    feed_forward: float
    vocabulary: float
    query_heads: float
    kv_heads: int
    head_dim: int
    weight_bytes: float
    head_bytes: float
    kv_element_bytes: int
    kv_width: int
    gpus: int
    family: str

    @property
    def kv_token_bytes(self) -> float:
        """Bytes of one token's keys and values in one layer."""
        return self.kv_width * self.kv_element_bytes


def shapes_of(request: MemoryRequest, constants: WeightConstants) -> ModelShapes:
    """What one GPU of the request's server computes."""
    given, shard = request.architecture, shard_of(request)
    query = given.attention_heads * given.head_dim / shard.gpus
    kv = shard.kv_heads * given.head_dim
    attention = (Linear(inputs=shard.hidden, outputs=query + 2 * kv), Linear(inputs=query, outputs=shard.hidden))
    experts, into = given.experts, _matrices(given) - 1
    widths = [(given.intermediate_size, 1, 1)]
    if experts:
        widths = [(experts.intermediate_size or given.intermediate_size, experts.count, experts.per_token)]
        if experts.shared_intermediate_size:
            widths.append((experts.shared_intermediate_size, 1, 1))
    blocks = tuple(
        linear
        for width, copies, visited in widths
        for linear in (
            Linear(inputs=shard.hidden, outputs=into * width / shard.gpus, copies=copies, visited=visited),
            Linear(inputs=width / shard.gpus, outputs=shard.hidden, copies=copies, visited=visited),
        )
    )
    window = given.sliding_window
    return ModelShapes(
        linears=attention + blocks,
        layers=shard.layers,
        windowed=shard.windowed_layers,
        window=window.size if window else 0,
        hidden=shard.hidden,
        feed_forward=shard.feed_forward,
        vocabulary=shard.vocabulary / shard.gpus,
        query_heads=given.attention_heads / shard.gpus,
        kv_heads=shard.kv_heads,
        head_dim=given.head_dim,
        weight_bytes=constants.linear_bits[format_name(request.weights_format)] / 8,
        head_bytes=own_bytes(given),
        kv_element_bytes=kv_bytes(request.kv_cache_dtype),
        kv_width=given.latent_width or 2 * shard.kv_heads * given.head_dim,
        gpus=shard.gpus,
        family=request.family,
    )


def accounts_for(request: MemoryRequest, constants: WeightConstants) -> bool:
    """Whether the shapes make up the language model, to 2 % of its parameters: where its layers differ, they do not."""
    given = request.architecture
    shapes = shapes_of(replace(request, tensor_parallel=1, pipeline_parallel=1), constants)
    counted = shapes.layers * sum(one.inputs * one.outputs * one.copies for one in shapes.linears)
    counted += embedding_parameters(given)
    beside = (given.vision_parameters, given.unquantized_parameters)
    return any(abs(counted - (given.parameters - one)) <= _OFF * given.parameters for one in beside)


def _matrices(given: ModelArchitecture) -> int:
    """Matrices of a feed-forward block: three where it has a gate, by the count of parameters."""
    if given.experts:
        return _GATED_MATRICES
    attention = 2 * given.hidden_size * given.head_dim * (given.attention_heads + given.kv_heads)
    linear = given.parameters - given.unquantized_parameters - embedding_parameters(given)
    block = linear / given.layers - attention
    matrix = given.hidden_size * given.intermediate_size
    return _UNGATED_MATRICES if block < 2.5 * matrix else _GATED_MATRICES
