"""The part of a model that one GPU holds, and how its KV cache is laid out."""

from dataclasses import dataclass, replace

from gke_llm_inference.catalog import ModelArchitecture
from gke_llm_inference.catalog.memory_facts import VllmVersionFacts
from gke_llm_inference.planning.memory.request import Draft, MemoryRequest, kv_bytes

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class ModelShard:
    """What one GPU has of a model under tensor and pipeline parallelism; the largest part where they differ.

    Attributes:
        layers: layers on the GPU.
        windowed_layers: how many of them attend to a window.
        feed_forward: width of the feed-forward blocks that a token visits.
        query: width of all query heads.
        kv_heads: KV heads; one is copied to every GPU where there are more GPUs than heads.
        vocabulary: entries of the embedding table, padded to 64, over all GPUs.
        gpus: tensor-parallel GPUs.

    """

    layers: int
    windowed_layers: int
    hidden: int
    feed_forward: float
    query: float
    kv_heads: int
    vocabulary: int
    gpus: int


def heads_divide(given: ModelArchitecture, gpus: int) -> bool:
    """Whether every one of the GPUs gets the same number of attention heads."""
    return given.attention_heads % gpus == 0


def kv_heads_divide(given: ModelArchitecture, gpus: int) -> bool:
    """Whether KV heads can be split over the GPUs evenly, or copied to all of them."""
    return given.kv_heads % gpus == 0 or gpus % given.kv_heads == 0


def embedding_parameters(given: ModelArchitecture) -> int:
    """Parameters of the embedding table, and of the output layer where that has weights of its own."""
    return given.vocab_size * given.hidden_size * (1 if given.tied_embeddings else 2)


def text_parameters(given: ModelArchitecture) -> int:
    """Parameters of the language model alone, counted from the shapes of gated feed-forward blocks."""
    tables = embedding_parameters(given)
    attention = 2 * given.hidden_size * given.head_dim * (given.attention_heads + given.kv_heads)
    experts = given.experts
    width = given.intermediate_size
    if experts:
        width = (experts.intermediate_size or width) * experts.count + experts.shared_intermediate_size
    norms = 4 * given.hidden_size + 2 * given.head_dim
    block = 3 * given.hidden_size * width
    return tables + given.layers * (attention + block + norms) + given.hidden_size


def adapter_weights(given: ModelArchitecture, gpus: int = 1) -> float:
    """Weights of an adapter of all linear layers on one GPU, for each layer and rank.

    Of layers that split their output the first of both matrices is whole on every GPU, of those that split their input
    the second (vllm/lora/layers of 0.26.0).
    """
    query, kv = given.attention_heads * given.head_dim, given.kv_heads * given.head_dim
    experts = given.experts.count if given.experts else 1
    width = (given.experts.intermediate_size if given.experts else None) or given.intermediate_size
    whole = 4 * given.hidden_size + experts * 3 * given.hidden_size
    return whole + (2 * query + 2 * kv + experts * 3 * width) / gpus


def shard_of(request: MemoryRequest) -> ModelShard:
    """What one GPU has of the request's model."""
    given, gpus, stages = request.architecture, request.tensor_parallel, request.pipeline_parallel
    experts = given.experts
    width = given.intermediate_size
    if experts:
        visited = (experts.intermediate_size or width) * experts.per_token + experts.shared_intermediate_size
        # Layers without experts are of one width, those with experts of what a token visits.
        width = max(visited, width if experts.intermediate_size else 0)
    windowed = given.sliding_window.layers if given.sliding_window else 0
    layers = -(-given.layers // stages)
    return ModelShard(
        layers=layers,
        windowed_layers=min(layers, -(-windowed // stages)),
        hidden=given.hidden_size,
        feed_forward=width / gpus,
        query=given.attention_heads * given.head_dim / gpus,
        kv_heads=max(1, given.kv_heads // gpus),
        vocabulary=-(-given.vocab_size // 64) * 64,
        gpus=gpus,
    )


@dataclass(frozen=True, kw_only=True)
class CacheLayout:
    """How the KV cache of one GPU is cut into blocks that all layers of a group share.

    Attributes:
        block_tokens: tokens in a block.
        block_bytes: bytes of a block over the layers of one group.
        full_groups: groups of layers that attend to all tokens.
        windowed_groups: groups of layers that attend to a window.
        window_tokens: tokens that a windowed layer holds at most for one request.
        token_bytes: bytes of one token over all layers, as long as the context is within every window.

    """

    block_tokens: int
    block_bytes: int
    full_groups: int
    windowed_groups: int
    window_tokens: int
    token_bytes: int

    def request_blocks(self, tokens: int) -> int:
        """Blocks that one request of `tokens` takes.

        A windowed layer holds the window less one and the tokens in flight, and one block more as its beginning may
        lie within a block (vllm/v1/kv_cache_interface.py: SlidingWindowSpec).
        """
        blocks = self.full_groups * -(-tokens // self.block_tokens)
        if self.windowed_groups:
            held = min(self.window_tokens, tokens)
            blocks += self.windowed_groups * (-(-held // self.block_tokens) + 1)
        return blocks

    def pool_blocks(self, pool_mib: float) -> int:
        """Blocks in a pool of that size."""
        return max(0, int(pool_mib * MIB // self.block_bytes))

    def request_mib(self, tokens: int) -> float:
        """MiB that one request of `tokens` needs."""
        return self.request_blocks(tokens) * self.block_bytes / MIB


def vllm_layout(
    request: MemoryRequest, shard: ModelShard, version: VllmVersionFacts, block_tokens: int, batched: int
) -> CacheLayout:
    """Layout of vLLM's KV cache.

    Page: 2 × block × KV heads × head width × bytes per layer, for key and value. With windowed and full layers, the
    hybrid manager makes groups of as many layers as the rarer type has, padding the last group; of as many as the
    commoner type has where both are near in number (vllm/v1/core/kv_cache_utils.py). With multi-head latent attention
    a token has one compressed entry per layer. Before the hybrid manager every layer costs the full length.
    """
    given = request.architecture
    element = kv_bytes(request.kv_cache_dtype)
    per_layer = (request.mla_width or 2 * shard.kv_heads * given.head_dim) * element
    window = given.sliding_window
    windowed = shard.windowed_layers if window and version.hybrid else 0
    full = shard.layers - windowed
    kinds = [count for count in (full, windowed) if count]
    size = min(kinds)
    if max(kinds) < size * version.group_ratio:
        size = max(kinds)
    layout = CacheLayout(
        block_tokens=block_tokens,
        block_bytes=per_layer * block_tokens * size,
        full_groups=-(-full // size),
        windowed_groups=-(-windowed // size),
        window_tokens=window.size - 1 + version.in_flight_batches * batched if window else 0,
        token_bytes=per_layer * shard.layers,
    )
    return layout if request.draft is None else _with_draft(layout, request.draft, shard.gpus, element)


def _with_draft(layout: CacheLayout, draft: Draft, gpus: int, element: int) -> CacheLayout:
    """The layout with the layers of a second model, which has the same blocks.

    Without windows all layers are of one group. With them, groups are made of layers that are alike: the draft's are
    planned as whole groups more, which is never too little.
    """
    token = 2 * max(1, draft.kv_heads // gpus) * draft.head_dim * element * draft.layers
    whole = replace(layout, token_bytes=layout.token_bytes + token)
    if not layout.windowed_groups:
        return replace(whole, block_bytes=layout.block_bytes + token * layout.block_tokens)
    groups = -(-token * layout.block_tokens // layout.block_bytes)
    return replace(whole, full_groups=layout.full_groups + groups)


def tgi_layout(request: MemoryRequest, shard: ModelShard) -> CacheLayout:
    """Layout of TGI's KV cache: blocks of one token (FlashInfer), every layer at full length."""
    element = kv_bytes(request.kv_cache_dtype)
    token = (request.mla_width or 2 * shard.kv_heads * request.architecture.head_dim) * element * shard.layers
    return CacheLayout(
        block_tokens=1, block_bytes=token, full_groups=1, windowed_groups=0, window_tokens=0, token_bytes=token
    )
