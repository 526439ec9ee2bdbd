"""What a server that embeds, ranks or classifies cannot have, by its version and model."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.model_facts import Task
from gke_llm_inference.planning.extra import arguments_named
from gke_llm_inference.planning.given import asked_goals, current, is_explicit
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, VllmSettings

_SINCE = (0, 10, 0)
_VERBS: dict[Task, str] = {"generate": "generates text", "embed": "embeds", "rerank": "ranks", "classify": "classifies"}
# What says something of text that is generated, by the keys of a server's settings.
_OF_GENERATION = (
    *("calibration", "kvCacheDtype", "maxOutputTokens", "measuredTokensPerSecond", "objectives"),
    *("reasoningParser", "speculation", "speculativeTokens", "structuredOutputBackend", "toolCallParser", "workload"),
)
_OWN_FLAGS = ("--convert", "--hf-overrides", "--runner", "--task")
_OF_CHUNKS = ("chunkedPrefill", "prefixCaching")


def task_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> list[Finding]:
    """What does not go together with the server's task."""
    if not settings.pools:
        return list(_generating_problems(path, settings, model))
    if not isinstance(settings, VllmSettings):
        return [
            Finding(
                path=f"{path}.task",
                what=f"TGI does not {settings.task}",
                why="Text Generation Inference generates text and does nothing else",
                fix="use server vllm",
            )
        ]
    problems = [*_setting_problems(path, settings, version, catalog), *_encoder_problems(path, settings, model)]
    if version_parts(version) < _SINCE:
        where = "image" if settings.image is not None else "version"
        problems.append(
            Finding(
                path=f"{path}.{where}",
                what=f"vLLM {version} is not known to {settings.task}",
                why="its flag for the task came later",
                fix="use 0.10.0 or newer",
            )
        )
    return problems


def _generating_problems(path: str, settings: ServerSettings, model: ServedModel) -> Iterator[Finding]:
    if model.architecture.encoder_only:
        yield Finding(
            path=f"{path}.task",
            what=f"{settings.model} is an encoder, which generates nothing",
            why="it gives vectors, scores or classes",
            fix="set task to embed, rerank or classify",
        )


def _setting_problems(path: str, settings: VllmSettings, version: str, catalog: Catalog) -> Iterator[Finding]:
    verb = _VERBS[settings.task]
    for key in _OF_GENERATION:
        if is_explicit(settings, key) and current(settings, key) is not None:
            yield Finding(
                path=f"{path}.{key}",
                what=f"means nothing for a server that {verb}",
                why="it is about text that is generated, token by token from a KV cache",
                fix="remove it",
            )
    for index, name in asked_goals(settings, catalog):
        yield Finding(
            path=f"{path}.presets[{index}]",
            what=f"{name} cannot choose for a server that {verb}",
            why="goals go by predictions of generated text",
            fix="remove it, and name the GPUs under accelerator",
        )
    for argument in arguments_named(_OWN_FLAGS, settings, version, catalog):
        yield Finding(
            path=f"{path}.extraArgs[{argument.index}]",
            what=f"{argument.name} follows from the task",
            why="memory, routes and metrics are planned for what the setting task says",
            fix="remove it",
        )
    if settings.nodes > 1:
        yield Finding(
            path=f"{path}.nodes",
            what=f"are not planned for a server that {verb}",
            why="its models fit one machine",
            fix="remove it, and use replicas",
        )
    if settings.model_runner == "V2":
        yield Finding(
            path=f"{path}.modelRunner",
            what=f"V2 does not {settings.task}",
            why="vLLM's second model runner samples tokens",
            fix="remove it",
        )


def _encoder_problems(path: str, settings: VllmSettings, model: ServedModel) -> Iterator[Finding]:
    if not model.architecture.encoder_only:
        return
    context = settings.max_model_len or model.architecture.max_positions
    tokens = settings.max_num_batched_tokens
    if tokens is not None and tokens < context:
        yield Finding(
            path=f"{path}.maxNumBatchedTokens",
            what=f"{tokens} is less than the longest input of {context}",
            why="an encoder takes every input in whole, in one step",
            fix=f"use {context} or more, or a smaller maxModelLen",
        )
    for key in _OF_CHUNKS:
        if current(settings, key):
            yield Finding(
                path=f"{path}.{key}",
                what="is not for an encoder",
                why="it keeps no keys and values of what it has seen of an input",
                fix="remove it",
            )
    if settings.quantization is not None:
        yield Finding(
            path=f"{path}.quantization",
            what=f"{settings.quantization} is not known to work with an encoder",
            why="neither its memory nor what it does to the vectors is known",
            fix="remove it: the weights of encoders are small",
        )
