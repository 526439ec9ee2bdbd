"""What stands against a server's adapters."""

from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.extra import arguments_named
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, VllmSettings

_OWN_FLAGS = ("--enable-lora", "--lora-modules", "--max-cpu-loras", "--max-lora-rank", "--max-loras")


def adapter_findings(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> Iterator[Finding]:
    """Problems of the adapters with each other, the model, the version and other settings."""
    if not settings.adapters:
        if isinstance(settings, VllmSettings) and settings.max_loras is not None:
            yield Finding(
                path=f"{path}.maxLoras",
                what="has no adapters to count",
                why="the server has none",
                fix="remove it, or state adapters",
            )
        return
    where = f"{path}.adapters"
    loading = catalog.loading[settings.server].adapters
    if loading is None or not isinstance(settings, VllmSettings):
        yield Finding(
            path=where,
            what="are not planned for TGI",
            why="it loads them at whatever revision it finds, and its memory for them is not known",
            fix="use server vllm",
        )
        return
    if settings.pools:
        yield Finding(
            path=where,
            what=f"are not planned for a server whose task is {settings.task}",
            why="they were made for text that is generated",
            fix="remove them",
        )
    if settings.nodes > 1:
        yield Finding(
            path=where,
            what="are not planned for a server that spans several machines",
            why="each of its pods would have to download all of them",
            fix="use one machine, or merge an adapter into the weights",
        )
    since = loading.experts_since if model.architecture.experts else loading.since
    if version_parts(version) < version_parts(since):
        yield Finding(
            path=f"{path}.{'image' if settings.image is not None else 'version'}",
            what=f"vLLM {version} is not known to serve adapters of {settings.model}",
            why="mixtures of experts take them since later" if model.architecture.experts else "it was not looked at",
            fix=f"use {since} or newer",
        )
    if model.loaded_as in loading.without or model.architecture.encoder_only:
        yield Finding(
            path=where,
            what=f"are not for {settings.model}",
            why=f"vLLM's class for it ({model.loaded_as}) takes none",
            fix="use another model, or merge an adapter into the weights",
        )
    if not settings.downloads:
        yield Finding(
            path=where,
            what="are downloaded from Hugging Face, and the server's model is not",
            why="its pods may have neither the way there nor a token",
            fix="use modelSource: {source: huggingFace}",
        )
    if settings.speculation is not None and settings.speculation.method != "ngram":
        yield Finding(
            path=f"{path}.speculation",
            what="by a second model is not planned for a server with adapters",
            why="that model knows none of them, and its guesses would rarely be right",
            fix="use the method ngram, or remove adapters",
        )
    yield from _each(where, settings, model, loading.ranks[-1])
    for argument in arguments_named(_OWN_FLAGS, settings, version, catalog):
        yield Finding(
            path=f"{path}.extraArgs[{argument.index}]",
            what=f"{argument.name} follows from adapters",
            why="two lists of adapters would not agree",
            fix="remove it, and use adapters and maxLoras",
        )


def _each(where: str, settings: VllmSettings, model: ServedModel, most: int) -> Iterator[Finding]:
    own = {settings.model, settings.served_model_name or settings.model}
    for name, one in sorted(settings.adapters.items()):
        if name in own:
            yield Finding(
                path=f"{where}.{name}",
                what="has the name of the server's model",
                why="a request could not say which of the two it is for",
                fix="give it another name",
            )
        if one.rank > most:
            yield Finding(
                path=f"{where}.{name}.rank",
                what=f"{one.rank} is above {most}",
                why="vLLM has no room for a larger rank",
                fix=f"use an adapter of rank {most} or less",
            )
        if one.base is not None and one.base not in (settings.model, model.base):
            yield Finding(
                path=f"{where}.{name}.base",
                what=f"{one.base} is another model than {settings.model}",
                why="its differences are to weights that the server does not have",
                fix=f"use an adapter of {settings.model}",
            )
    if settings.max_loras is not None and settings.max_loras > len(settings.adapters):
        yield Finding(
            path=where.removesuffix("adapters") + "maxLoras",
            what=f"{settings.max_loras} are more than the {len(settings.adapters)} adapters",
            why="every slot takes memory of the GPU, and one would always be empty",
            fix=f"use {len(settings.adapters)} or less",
        )
