"""How a server guesses several tokens ahead, to verify them in one step."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import ModelId, PositiveInt, Settings, refused

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
GuessedTokens = Annotated[int, Field(ge=1, le=16)]
Lookup = Annotated[int, Field(ge=1, le=64)]


class _Speculation(Settings):
    num_speculative_tokens: GuessedTokens
    """Tokens that are guessed and verified in every step."""
    acceptance_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of guesses that are right, each given that those before it were, as measured by you; without it no gain is
    stated."""


class NgramSpeculation(_Speculation):
    """Guesses by n-gram lookup in the prompt: no second model."""

    method: Literal["ngram"]
    """N-gram lookup."""
    prompt_lookup_min: Lookup | None = None
    """Shortest n-gram that is looked up; promptLookupMax if absent, and vLLM's own if both are."""
    prompt_lookup_max: Lookup | None = None
    """Longest n-gram that is looked up; promptLookupMin if absent."""

    @model_validator(mode="after")
    def _in_order(self) -> "NgramSpeculation":
        least, most = self.prompt_lookup_min, self.prompt_lookup_max
        if least is not None and most is not None and least > most:
            raise refused(
                f"looks up n-grams of {least} to {most} tokens",
                "the shortest is longer than the longest, which vLLM refuses",
                "make promptLookupMin at most promptLookupMax",
            )
        return self


class DraftModelSpeculation(_Speculation):
    """Guesses by a smaller model of the same vocabulary."""

    method: Literal["draftModel"]
    """A draft model."""
    model: ModelId
    """Hugging Face id of a model of the catalog."""
    revision: Commit
    """Commit of its repository."""
    tensor_parallel_size: PositiveInt | None = None
    """GPUs that share the draft; the server's own number, and vLLM takes no other."""


class _EagleHead(_Speculation):
    """Guesses by a head of one layer that was trained for the model."""

    model: ModelId
    """Hugging Face id of the head."""
    revision: Commit
    """Commit of its repository."""
    parameters: PositiveInt | None = None
    """Parameters of the head, as its page states them; estimated from the model's shapes if absent."""


class EagleSpeculation(_EagleHead):
    """Guesses by an EAGLE head."""

    method: Literal["eagle"]
    """An EAGLE head."""


class Eagle3Speculation(_EagleHead):
    """Guesses by an EAGLE-3 head."""

    method: Literal["eagle3"]
    """An EAGLE-3 head."""


SpeculationSettings = Annotated[
    NgramSpeculation | DraftModelSpeculation | EagleSpeculation | Eagle3Speculation, Field(discriminator="method")
]
"""How tokens are guessed."""
