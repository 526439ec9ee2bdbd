"""What a server that embeds, ranks or classifies needs: vLLM's pooling runner, by version and model."""

import json

from gke_llm_inference.catalog.model_facts import Task
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import ServerSettings, VllmSettings

# vllm/engine/arg_utils.py: 0.10.0 has --task alone, 0.10.1 has --runner beside it, 0.19.1 has --runner alone.
_RUNNER_SINCE = (0, 10, 1)
_OLD_TASKS: dict[Task, str] = {"embed": "embed", "rerank": "score", "classify": "classify"}
# The class of Qwen3's rerankers is that of its generators: the score is how much likelier the token "yes" is than "no".
# vllm/model_executor/models/config.py (Qwen3ForSequenceClassificationConfig), from 0.9.2 on.
_RANKING_OVERRIDES = {
    "Qwen3ForCausalLM": {
        "architectures": ["Qwen3ForSequenceClassification"],
        "classifier_from_token": ["no", "yes"],
        "is_original_qwen3_reranker": True,
    }
}


def pooling_settings(settings: ServerSettings, model: ServedModel) -> ServerSettings:
    """The settings of a server that pools, with its longest input stated: vLLM would take positions for tokens.

    A RoBERTa has two positions more than tokens (its padding's), and an input as long as all positions fails.
    """
    if not settings.pools or settings.max_model_len is not None:
        return settings
    return settings.model_copy(update={"max_model_len": model.architecture.max_positions})


def pooling_arguments(settings: ServerSettings, version: str, model: ServedModel) -> tuple[Argument, ...]:
    """What tells a version of vLLM to pool, and how it is to load a model of another class."""
    if not settings.pools or not isinstance(settings, VllmSettings):
        return ()
    runner = "--runner=pooling"
    if version_parts(version) < _RUNNER_SINCE:
        runner = f"--task={_OLD_TASKS[settings.task]}"
    overrides = _RANKING_OVERRIDES.get(model.loaded_as) if settings.task == "rerank" else None
    found = [Argument(runner, "task")]
    if overrides is not None:
        found.append(Argument(f"--hf-overrides={json.dumps(overrides, separators=(',', ':'), sort_keys=True)}", "task"))
    return tuple(found)


def pooling_decisions(settings: ServerSettings, model: ServedModel) -> tuple[Decision, ...]:
    """What follows from a task, and why."""
    if not settings.pools:
        return ()
    if model.architecture.encoder_only:
        why = "an encoder keeps no keys and values: no KV cache is planned, and every input is taken in whole"
    else:
        why = (
            "no KV cache is planned, as no request stays for longer than its steps; vLLM keeps what is left of its "
            "share of the GPU to take inputs in chunks"
        )
    return (Decision("task", settings.task, why),)
