"""Parameters of a language model, counted from the shapes in its config.json, matrix by matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.model_family_facts import ModelFamily, Switch

EXPERT_KEYS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
"""Keys for the number of experts of a layer; families differ in the name only."""
PER_TOKEN_KEYS = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk", "moe_k")
"""Keys for the experts that a token visits."""
SHARED_EXPERT_KEYS = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
"""Keys for the number of experts that every token visits."""
SHARED_WIDTH_KEYS = ("shared_expert_intermediate_size", "shared_intermediate_size")
"""Keys for the width of what every token visits."""
FURTHER_TOKEN_KEYS = ("num_nextn_predict_layers", "num_mtp_layers")
"""Keys for the number of layers that predict further tokens."""
SPARSE_KEYS = (
    *(
        "decoder_sparse_step",
        "first_k_dense_replace",
        "interleave_moe_layer_step",
        "mlp_layer_types",
        "mlp_only_layers",
    ),
    *("moe_layer_end_index", "moe_layer_freq", "moe_layer_interval", "moe_layers"),
)
"""Keys that say which layers have experts."""
LATENT_KEYS = ("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
"""Keys of multi-head latent attention."""


@dataclass(frozen=True)
class Matrix:
    """A linear layer, or several of one kind in one layer of the model.

    Attributes:
        name: name in the checkpoint, without what stands before `layers`.
        parameters: its weights, without a bias.
        of_experts: whether it is one of those among which the router chooses.

    """

    name: str
    parameters: int
    of_experts: bool = False


@dataclass(frozen=True)
class Parameters:
    """Parameters of a language model.

    Attributes:
        matrices: the linear layers, which quantization may change.
        routers: routers of experts, which every quantization leaves alone.
        rest: norms, biases and tables of positions.
        tables: embedding, and the output layer where it has weights of its own.
        unloaded: what lies in the checkpoint and is not loaded: layers that predict further tokens.

    """

    matrices: tuple[Matrix, ...]
    routers: int
    rest: int
    tables: int
    unloaded: int

    @property
    def total(self) -> int:
        """All that a server loads."""
        return sum(matrix.parameters for matrix in self.matrices) + self.routers + self.rest + self.tables


def parameters_of(text: Mapping[str, Any], family: ModelFamily, *, tied: bool) -> Parameters:
    """Parameters of a language model.

    Args:
        text: keys of the language model under their usual names, with the family's defaults.
        family: how its layers are built.
        tied: whether the output layer shares the embedding's weights.

    """
    hidden, layers, vocabulary = text["hidden_size"], text["num_hidden_layers"], text["vocab_size"]
    sparse = sparse_layers(text)
    matrices: list[Matrix] = []
    routers = rest = 0
    norm = hidden * (2 if family.norm_bias else 1)
    attention_rest = _attention_rest(text, family)
    for layer in range(layers):
        matrices += _attention(text, f"layers.{layer}")
        matrices += _feed_forward(text, family, f"layers.{layer}", sparse=layer in sparse)
        rest += attention_rest + family.norms * norm
        if layer in sparse:
            routers += hidden * experts_of(text)
            rest += _expert_rest(text, family)
        elif _on(family.feed_forward_bias, text):
            rest += text["intermediate_size"] * (2 if family.gated else 1) + hidden
    rest += norm if family.final_norm else 0
    rest += vocabulary if _on(family.head_bias, text) else 0
    if family.learned_positions is not None:
        rest += (text["max_position_embeddings"] + family.learned_positions) * hidden
    # Each further layer has projections, norms, and copies of the embedding and the output layer of its own.
    further = first(text, FURTHER_TOKEN_KEYS) or 0
    last = [matrix.parameters for matrix in matrices if matrix.name.startswith(f"layers.{layers - 1}.")]
    extra = sum(last) + 2 * hidden * hidden + 2 * vocabulary * hidden + 5 * hidden
    return Parameters(
        matrices=tuple(matrices),
        routers=routers,
        rest=rest,
        tables=vocabulary * hidden * (1 if tied else 2),
        unloaded=further * extra,
    )


def sparse_layers(text: Mapping[str, Any]) -> frozenset[int]:
    """Layers with experts in place of one feed-forward block."""
    layers = text["num_hidden_layers"]
    if not experts_of(text):
        return frozenset()
    kinds, listed = text.get("mlp_layer_types"), text.get("moe_layers")
    if isinstance(kinds, list):
        return frozenset(layer for layer, kind in enumerate(kinds[:layers]) if kind == "sparse")
    if isinstance(listed, list):
        return frozenset(layer for layer in listed if isinstance(layer, int) and 0 <= layer < layers)
    step = first(text, ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval")) or 1
    frequency = text.get("moe_layer_freq") or 1
    without = {layer for layer in text.get("mlp_only_layers") or [] if isinstance(layer, int)}
    end = text.get("moe_layer_end_index")
    end = end if isinstance(end, int) and end >= 0 else layers

    def has_experts(layer: int) -> bool:
        if isinstance(frequency, list):
            chosen = layer < len(frequency) and bool(frequency[layer])
        else:
            chosen = layer % frequency == 0
        in_range = (text.get("first_k_dense_replace") or 0) <= layer <= end
        return chosen and in_range and (layer + 1) % step == 0 and layer not in without

    return frozenset(layer for layer in range(layers) if has_experts(layer))


def experts_of(text: Mapping[str, Any]) -> int:
    """Experts of a layer; 0 where the model has none."""
    return first(text, EXPERT_KEYS) or 0


def expert_width(text: Mapping[str, Any]) -> int:
    """Width of one expert."""
    width: int = text.get("moe_intermediate_size") or text["intermediate_size"]
    return width


def shared_width(text: Mapping[str, Any]) -> int:
    """Width of what every token visits beside the chosen experts; 0 where there is nothing."""
    return first(text, SHARED_WIDTH_KEYS) or (first(text, SHARED_EXPERT_KEYS) or 0) * expert_width(text)


def latent_width(text: Mapping[str, Any]) -> int | None:
    """What multi-head latent attention keeps of a token in every layer; None for other attention."""
    rank = text.get("kv_lora_rank")
    return rank + text["qk_rope_head_dim"] if rank else None


def first(text: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """The value of the first of the keys that the file has."""
    return next((text[key] for key in keys if text.get(key) is not None), None)


def _attention(text: Mapping[str, Any], layer: str) -> Iterator[Matrix]:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    where = f"{layer}.self_attn"
    rank = text.get("kv_lora_rank")
    if not rank:
        query, keys = heads * text["head_dim"], text["num_key_value_heads"] * text["head_dim"]
        yield Matrix(f"{where}.q_proj", hidden * query)
        yield Matrix(f"{where}.k_proj", hidden * keys)
        yield Matrix(f"{where}.v_proj", hidden * keys)
        yield Matrix(f"{where}.o_proj", query * hidden)
        return
    rope, plain, value = text["qk_rope_head_dim"], text["qk_nope_head_dim"], text["v_head_dim"]
    query = heads * (rope + plain)
    query_rank = text.get("q_lora_rank")
    if query_rank:
        yield Matrix(f"{where}.q_a_proj", hidden * query_rank)
        yield Matrix(f"{where}.q_b_proj", query_rank * query)
    else:
        yield Matrix(f"{where}.q_proj", hidden * query)
    yield Matrix(f"{where}.kv_a_proj_with_mqa", hidden * (rank + rope))
    yield Matrix(f"{where}.kv_b_proj", rank * heads * (plain + value))
    yield Matrix(f"{where}.o_proj", heads * value * hidden)


def _attention_rest(text: Mapping[str, Any], family: ModelFamily) -> int:
    """Biases, norms and sinks of a layer's attention."""
    hidden, heads, rank = text["hidden_size"], text["num_attention_heads"], text.get("kv_lora_rank")
    rest = heads if family.attention_sinks else 0
    if rank:
        query_rank = text.get("q_lora_rank") or 0
        rest += rank + query_rank
        if _on(family.query_key_value_bias, text):
            rest += rank + text["qk_rope_head_dim"] + query_rank
    else:
        dim, kv_heads = text["head_dim"], text["num_key_value_heads"]
        if _on(family.query_key_value_bias, text):
            rest += (heads + 2 * kv_heads) * dim
        if family.query_key_norm != "none" and _on(family.query_key_norm_switch, text):
            rest += 2 * dim if family.query_key_norm == "head" else (heads + kv_heads) * dim
    return rest + (hidden if _on(family.output_bias, text) else 0)


def _feed_forward(text: Mapping[str, Any], family: ModelFamily, layer: str, *, sparse: bool) -> Iterator[Matrix]:
    hidden, where = text["hidden_size"], f"{layer}.mlp"
    if not sparse:
        yield from _block(where, hidden, text["intermediate_size"], 1, gated=family.gated)
        return
    yield from _block(f"{where}.experts.0", hidden, expert_width(text), experts_of(text), gated=family.gated)
    if shared := shared_width(text):
        yield from _block(f"{where}.shared_experts", hidden, shared, 1, gated=family.gated)


def _block(where: str, hidden: int, width: int, copies: int, *, gated: bool) -> Iterator[Matrix]:
    for name in ("gate_proj", "up_proj", "down_proj") if gated else ("up_proj", "down_proj"):
        yield Matrix(f"{where}.{name}", copies * hidden * width, of_experts=".experts." in where)


def _expert_rest(text: Mapping[str, Any], family: ModelFamily) -> int:
    experts, hidden = experts_of(text), text["hidden_size"]
    rest = experts * (family.router_bias + family.correction_bias)
    if family.expert_bias:
        rest += experts * (2 * expert_width(text) + hidden)
    return rest + (hidden if family.shared_gate and shared_width(text) else 0)


def _on(switch: Switch, text: Mapping[str, Any]) -> bool:
    return bool(text.get(switch)) if isinstance(switch, str) else switch
