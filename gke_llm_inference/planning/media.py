"""Images, videos and sounds in prompts: how many, from where, and what they take."""

import json
from collections.abc import Iterator

from gke_llm_inference.planning.access.exposed import exposure_of
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.memory.unmeasured import sees
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, GatewaySettings, ServerSettings, VllmSettings

# 0.6.0 reads image=2,video=0 (nullable_kvs in vllm/engine/arg_utils.py); 0.10.0 reads JSON.
_JSON_SINCE = (0, 10, 0)
_PAIRS_UNTIL = (0, 7, 0)
_DOMAINS_SINCE = (0, 11, 0)
# 0.19.1 has --language-model-only, and 0.10.0 has not; --limit-mm-per-prompt with zeros means the same.
_TEXT_ONLY_SINCE = (0, 18, 0)
_OWN_FLAGS = ("--allowed-media-domains", "--language-model-only", "--limit-mm-per-prompt", "--no-language-model-only")


def media_arguments(settings: VllmSettings, version: str) -> tuple[Argument, ...]:
    """Arguments that bound media."""
    found = []
    limits = settings.limit_mm_per_prompt
    counts = limits.model_dump(exclude_none=True) if limits is not None else {}
    if counts:
        value = json.dumps(counts, separators=(",", ":"), sort_keys=True)
        if version_parts(version) < _JSON_SINCE:
            value = ",".join(f"{kind}={count}" for kind, count in sorted(counts.items()))
        found.append(Argument(f"--limit-mm-per-prompt={value}", "limitMmPerPrompt"))
    if settings.language_model_only:
        found.append(Argument("--language-model-only", "languageModelOnly"))
    if settings.allowed_media_domains is not None:
        found.append(Argument("--allowed-media-domains", "allowedMediaDomains"))
        found += [Argument(domain, "allowedMediaDomains") for domain in settings.allowed_media_domains]
    return tuple(found)


def media_problems(path: str, settings: ServerSettings, version: str, model: ServedModel) -> Iterator[Finding]:
    """Limits of media that a model or a version does not have."""
    if not isinstance(settings, VllmSettings):
        return
    parts = version_parts(version)
    limits = settings.limit_mm_per_prompt
    stated = [
        ("limitMmPerPrompt", limits is not None),
        ("languageModelOnly", bool(settings.language_model_only)),
        ("allowedMediaDomains", settings.allowed_media_domains is not None),
    ]
    if not sees(model.architecture):
        for key, given in stated:
            if given:
                yield Finding(
                    path=f"{path}.{key}",
                    what=f"{settings.model} takes text alone",
                    why="it has no tower for images, videos or sounds, so that there is nothing to bound",
                    fix="remove it, or use a model that sees",
                )
        return
    if limits is not None and _PAIRS_UNTIL <= parts < _JSON_SINCE:
        yield Finding(
            path=f"{path}.limitMmPerPrompt",
            what=f"how vLLM {version} spells it is not known",
            why="between 0.7 and 0.10 the flag went from image=2 to JSON",
            fix="use 0.10.0 or newer",
        )
    if settings.language_model_only and parts < _TEXT_ONLY_SINCE:
        yield Finding(
            path=f"{path}.languageModelOnly",
            what=f"vLLM {version} is not known to have --language-model-only",
            why="the server would not start",
            fix="use 0.18.0 or newer, or limitMmPerPrompt: {image: 0, video: 0}",
        )
    if settings.allowed_media_domains is not None and parts < _DOMAINS_SINCE:
        yield Finding(
            path=f"{path}.allowedMediaDomains",
            what=f"vLLM {version} has no --allowed-media-domains",
            why="it came with 0.11.0",
            fix="use 0.11.0 or newer, or forbid images with limitMmPerPrompt",
        )
    stated_twice = settings.allowed_media_domains is not None or limits is not None or settings.language_model_only
    for index, text in enumerate(settings.extra_args):
        if stated_twice and text.partition("=")[0].partition(".")[0].replace("_", "-") in _OWN_FLAGS:
            yield Finding(
                path=f"{path}.extraArgs[{index}]",
                what="says again what a setting says of media",
                why="the plan counts with the setting, and only one of them would hold",
                fix="remove it, or remove limitMmPerPrompt, languageModelOnly and allowedMediaDomains",
            )
    if settings.takes_text_alone and settings.allowed_media_domains is not None:
        yield Finding(
            path=f"{path}.allowedMediaDomains",
            what="names where media come from, of which there are none",
            why="prompts may have no images and no videos",
            fix="remove it, or allow images",
        )


def media_warnings(
    path: str, settings: ServerSettings, model: ServedModel, gateway: GatewaySettings
) -> Iterator[Finding]:
    """An exposed server that fetches whatever address a prompt names."""
    if not isinstance(settings, VllmSettings):
        return
    if not sees(model.architecture) or settings.takes_text_alone or settings.allowed_media_domains is not None:
        return
    if exposure_of(settings, gateway) == "none":
        return
    yield Finding(
        path=f"{path}.allowedMediaDomains",
        what="is not stated, and whoever reaches the server may have it fetch any address",
        why="vLLM loads images by the URL in a prompt, from inside of the cluster's network",
        fix="list the domains that images come from, from 0.11.0 on, or set limitMmPerPrompt: {image: 0, video: 0}",
        severity="warning",
    )
