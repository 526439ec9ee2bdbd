"""The shape of facts about model families: how their layers are built, and which keys of a config.json say nothing."""

from functools import cache
from typing import Any, Literal

from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.files import directory, read

Switch = bool | str
"""Whether something is there: always, never, or as a key of the file says."""


class ModelFamily(Facts):
    """How the language models of a family are built."""

    like: str = ""
    """Family whose facts hold where this one has none of its own."""
    name: str = ""
    """Family as presets and compatibility know it; the model_type if empty."""
    renamed: dict[str, str] = {}
    """The family's own keys, by the usual ones that they stand for."""
    defaults: dict[str, Any] = {}
    """What transformers fills in where a file leaves a key out."""
    gated: bool = True
    """Whether a feed-forward block has a gate: three matrices rather than two."""
    query_key_value_bias: Switch = "attention_bias"
    output_bias: Switch = "attention_bias"
    feed_forward_bias: Switch = "mlp_bias"
    head_bias: Switch = False
    """Bias of the output layer."""
    router_bias: bool = False
    correction_bias: bool = False
    """One weight for each expert, by which the router's choice is balanced."""
    expert_bias: bool = False
    attention_sinks: bool = False
    """One weight for each query head."""
    shared_gate: bool = False
    """Whether a gate decides how much of the shared expert is used."""
    query_key_norm: Literal["none", "head", "heads", "width"] = "none"
    """Norms of queries and keys: one weight per dimension of a head, of every head, or of all heads at once."""
    query_key_norm_switch: Switch = True
    norms: int = 2
    """Norms of a layer over the hidden width."""
    norm_bias: bool = False
    final_norm: bool = True
    tied: bool = False
    """Whether the output layer shares the embedding's weights unless the file says otherwise."""
    learned_positions: int | None = None
    """Rows that a table of positions has beside one for each; None where there is none."""

    def own_keys(self) -> set[str]:
        """Keys of a file that this family has beside the usual ones."""
        switches = (
            self.query_key_value_bias,
            self.output_bias,
            self.feed_forward_bias,
            self.head_bias,
            self.query_key_norm_switch,
        )
        return {*self.renamed, *(switch for switch in switches if isinstance(switch, str))}


class ModelFamilies(Facts):
    """All families, and what is known of keys in general."""

    source: str
    date: str
    families: dict[str, ModelFamily]
    harmless_keys: frozenset[str]
    """Keys that say nothing about sizes."""
    harmless_when_false: frozenset[str]
    """Keys that say nothing while they are false, beside every family's switches."""
    state_keys: frozenset[str]
    """Keys of models that keep a state for every request, which is not planned."""

    def of(self, model_type: str) -> ModelFamily:
        """The facts of a family; those of llama where it is not known."""
        own = self.families.get(model_type) or self.families["llama"]
        if not own.like:
            return own
        base = self.of(own.like)
        return base.model_copy(update={**own.model_dump(exclude_unset=True), "like": ""})


@cache
def model_families() -> ModelFamilies:
    """Read the facts about families.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    return ModelFamilies.model_validate(read(directory() / "model_families.yaml"))
