"""What guesses tokens ahead for a server: its arguments by version, what it takes of memory, and what refuses it."""

import json
from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog, ModelArchitecture
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.checkpoint_size import checkpoint_gib
from gke_llm_inference.planning.extra import arguments_named
from gke_llm_inference.planning.given import asked_goals
from gke_llm_inference.planning.memory.request import Draft, family_group, own_bytes
from gke_llm_inference.planning.memory.unmeasured import sees
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, VllmSettings, nearest
from gke_llm_inference.settings.speculation import (
    DraftModelSpeculation,
    Eagle3Speculation,
    EagleSpeculation,
    NgramSpeculation,
    SpeculationSettings,
)

# vllm/engine/arg_utils.py: older versions configure speculation by flags that were removed since.
_SINCE = (0, 10, 0)
# 0.10.0 refuses draft models (_is_v1_supported_oracle); 0.18 has them (vllm/v1/spec_decode/draft_model.py).
_DRAFTS_SINCE = (0, 18, 0)
# vllm/v1/spec_decode/draft_model.py of 0.26.0 has nothing against images; the versions before were not looked at.
_DRAFTS_WITH_IMAGES_SINCE = (0, 26, 0)
# 0.10.0: "Eagle3 is only supported for Llama models" (vllm/config.py); 0.19.1 is the next version looked at.
_EAGLE3_BEYOND_LLAMA = (0, 19, 0)
_METHODS = {"ngram": "ngram", "draftModel": "draft_model", "eagle": "eagle", "eagle3": "eagle3"}
_OWN_FLAGS = ("--speculative-config", "-sc", "--spec-method", "--spec-model", "--spec-tokens")


def speculation_of(settings: ServerSettings) -> SpeculationSettings | None:
    """How a server guesses; None where its settings say nothing, or only how many tokens."""
    return settings.speculation if isinstance(settings, VllmSettings) else None


def speculation_arguments(settings: VllmSettings) -> tuple[Argument, ...]:
    """VLLM's `--speculative-config`: fields of SpeculativeConfig in vllm/config/speculative.py."""
    asked = settings.speculation
    if asked is None:
        return ()
    value: dict[str, str | int] = {
        "method": _METHODS[asked.method],
        "num_speculative_tokens": asked.num_speculative_tokens,
    }
    if isinstance(asked, NgramSpeculation):
        if asked.prompt_lookup_min is not None:
            value["prompt_lookup_min"] = asked.prompt_lookup_min
        most = asked.prompt_lookup_max or asked.prompt_lookup_min
        if most is not None:
            value["prompt_lookup_max"] = most
    else:
        value |= {"model": asked.model, "revision": asked.revision}
        value["draft_tensor_parallel_size"] = settings.accelerator.count
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return (Argument(f"--speculative-config={text}", "speculation"),)


def draft_of(settings: ServerSettings, model: ServedModel, catalog: Catalog) -> Draft | None:
    """What the second model takes of memory; None without one, or where it is not known."""
    asked = speculation_of(settings)
    if isinstance(asked, DraftModelSpeculation):
        known = _known_draft(asked.model, catalog)
        if known is None:
            return None
        facts, gib = known
        return Draft(
            name=asked.model,
            layers=facts.layers,
            kv_heads=facts.kv_heads,
            head_dim=facts.head_dim,
            weights_bytes=int(gib * 2**30),
            rotary_positions=facts.max_positions,
        )
    if isinstance(asked, EagleSpeculation | Eagle3Speculation):
        facts = model.architecture
        return Draft(
            name=asked.model,
            layers=1,
            kv_heads=facts.kv_heads,
            head_dim=facts.head_dim,
            weights_bytes=(asked.parameters or head_parameters(facts)) * own_bytes(facts),
            rotary_positions=facts.max_positions,
        )
    return None


def head_parameters(given: ModelArchitecture) -> int:
    """Most parameters that an EAGLE head for a model has, where its page is not asked.

    One layer whose queries, keys and values see embedding and hidden state side by side, the matrix that joins three
    hidden states, an output layer and, in case they are not the model's own, embeddings (LlamaDecoderLayer and
    LlamaModel in vllm/model_executor/models/llama_eagle3.py, 0.26.0). A head has no experts: its feed-forward is one
    of the model's dense width.
    """
    hidden = given.hidden_size
    attention = 2 * hidden * given.head_dim * (given.attention_heads + 2 * given.kv_heads)
    output = hidden * given.head_dim * given.attention_heads
    block = 3 * hidden * given.intermediate_size
    return attention + output + block + 3 * hidden * hidden + 2 * given.vocab_size * hidden


def draft_gib(settings: ServerSettings, model: ServedModel, catalog: Catalog) -> float:
    """What a pod downloads of a second model, in GiB."""
    draft = draft_of(settings, model, catalog)
    return draft.weights_bytes / 2**30 if draft is not None else 0.0


def expected_tokens(guesses: int, acceptance: float) -> float:
    """Tokens that a step gives on average: (1 - a^(k+1)) / (1 - a) (Leviathan et al., arXiv 2211.17192, eq. 1)."""
    return float(sum(acceptance**power for power in range(guesses + 1)))


def speculation_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> Iterator[Finding]:
    """What does not go together with how a server guesses."""
    asked = speculation_of(settings)
    if asked is None:
        return
    yield from _version_problems(path, settings, version, model, asked)
    if settings.speculative_tokens is not None:
        yield Finding(
            path=f"{path}.speculation",
            what="stands beside speculativeTokens",
            why="a server guesses in one way, and both say how",
            fix="remove speculativeTokens and the preset ngram-speculation, or remove speculation",
        )
    for argument in arguments_named(_OWN_FLAGS, settings, version, catalog):
        yield Finding(
            path=f"{path}.extraArgs[{argument.index}]",
            what="would replace what speculation says",
            why="memory is planned for the second model that speculation names",
            fix="remove it, or remove speculation",
        )
    if isinstance(asked, NgramSpeculation):
        return
    yield from _place_problems(path, settings, catalog)
    if isinstance(asked, DraftModelSpeculation):
        yield from _draft_problems(path, settings, model, asked, catalog)


def token_problems(path: str, settings: ServerSettings, catalog: Catalog, *, has_token: bool) -> Iterator[Finding]:
    """The problem of a draft that is gated, in a stack without a token."""
    asked = speculation_of(settings)
    if not isinstance(asked, DraftModelSpeculation) or has_token:
        return
    known = catalog.models.get(asked.model) or catalog.checkpoints.get(asked.model)
    if known is not None and known.gated:
        yield Finding(
            path=f"{path}.speculation.model",
            what=f"{asked.model} is gated and the stack has no Hugging Face token",
            why="the download would be refused and the pod restart forever",
            fix="set huggingFace.tokenSource, after accepting the model's license with that account",
        )


def _version_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, asked: SpeculationSettings
) -> Iterator[Finding]:
    parts, where = version_parts(version), f"{path}.speculation.method"
    if parts < _SINCE:
        yield Finding(
            path=where,
            what=f"vLLM {version} is not known to speculate by settings",
            why="older versions configure speculation by flags that were removed since",
            fix="use 0.10.0 or newer",
        )
    elif asked.method == "draftModel" and parts < _DRAFTS_SINCE:
        yield Finding(
            path=where,
            what=f"vLLM {version} is not known to have draft models",
            why="its newer engine refuses them, and 0.18.0 is the first version that is known to take them",
            fix="use 0.18.0 or newer, or another method",
        )
    elif asked.method == "draftModel" and parts < _DRAFTS_WITH_IMAGES_SINCE and sees(model.architecture):
        yield Finding(
            path=where,
            what=f"vLLM {version} is not known to have draft models for a model that sees",
            why="a draft does not see the images that the guessed text is about",
            fix="use 0.26.0 or newer, or another method",
        )
    elif asked.method == "eagle3" and parts < _EAGLE3_BEYOND_LLAMA and not model.family.startswith("llama"):
        yield Finding(
            path=where,
            what=f"vLLM {version} is not known to have eagle3 for {model.family}",
            why="it began with models of the family llama alone",
            fix="use 0.19.0 or newer, or another method",
        )
    if isinstance(asked, DraftModelSpeculation) and asked.tensor_parallel_size not in (
        None,
        settings.accelerator.count,
    ):
        yield Finding(
            path=f"{path}.speculation.tensorParallelSize",
            what=f"is {asked.tensor_parallel_size} beside {settings.accelerator.count} GPUs",
            why="vLLM refuses a draft that is split otherwise than its model",
            fix="remove it",
        )


def _place_problems(path: str, settings: ServerSettings, catalog: Catalog) -> Iterator[Finding]:
    """Problems of a second model, which pods download from Hugging Face."""
    if not settings.downloads:
        yield Finding(
            path=f"{path}.speculation.model",
            what="would be downloaded from Hugging Face by a server that reads its model elsewhere",
            why="neither the store nor a volume is known to have it, and such pods need not reach Hugging Face",
            fix="use method: ngram, or let pods download the model",
        )
    for index, name in asked_goals(settings, catalog):
        yield Finding(
            path=f"{path}.presets[{index}]",
            what=f"{name} cannot choose for a server with a second model",
            why="goals compare memory and speed of the model alone",
            fix="remove it, and name the GPUs under accelerator",
        )


def _draft_problems(
    path: str, settings: ServerSettings, model: ServedModel, asked: DraftModelSpeculation, catalog: Catalog
) -> Iterator[Finding]:
    where = f"{path}.speculation.model"
    known = _known_draft(asked.model, catalog)
    if known is None:
        meant = nearest(asked.model, [*catalog.models, *catalog.checkpoints])
        yield Finding(
            path=where,
            what=f"{asked.model} is not in the catalog",
            why="without the draft's numbers its memory cannot be planned",
            fix=f"did you mean {meant}?" if meant else "use a model of the catalog: see gke-llm-inference models",
        )
        return
    facts, _ = known
    base = catalog.models.get(asked.model) or catalog.models[catalog.checkpoints[asked.model].base]
    target = model.architecture
    if base.task != "generate":
        yield Finding(
            path=where,
            what=f"{asked.model} does not generate text",
            why="a draft guesses the next tokens",
            fix="use a small model of the same family",
        )
    elif facts.vocab_size != target.vocab_size or family_group(base.family) != family_group(model.family):
        yield Finding(
            path=where,
            what=f"a vocabulary of {facts.vocab_size} tokens ({base.family}) is not that of {settings.model}, which "
            f"has {target.vocab_size} ({model.family})",
            why="guesses are tokens, and each would mean another text to the model that verifies them",
            fix="use a draft of the model's own family and generation",
        )
    if facts.parameters >= target.parameters:
        yield Finding(
            path=where,
            what=f"{asked.model} is not smaller than {settings.model}",
            why="guessing would take longer than generating",
            fix="use a draft of a tenth of the size or less",
        )


def _known_draft(name: str, catalog: Catalog) -> tuple[ModelArchitecture, float] | None:
    """A draft's numbers and the size of its checkpoint in GiB."""
    if (own := catalog.models.get(name)) is not None:
        return own, checkpoint_gib(own, own.checkpoint, None, None)
    checkpoint = catalog.checkpoints.get(name)
    if checkpoint is None:
        return None
    base = catalog.models[checkpoint.base]
    return base, checkpoint_gib(base, checkpoint.format, checkpoint.bits, None)
