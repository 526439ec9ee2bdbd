"""What a server makes of answers: structured output, calls of tools, and reasoning, as its version spells it."""

import json
from collections.abc import Iterator

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.flags import Flag
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.extra import flags_of
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, VllmSettings, suggestion

# vLLM has --structured-outputs-config from 0.11.0 on, and --guided-decoding-backend until then.
_STRUCTURED_SINCE = (0, 11, 0)
# Between 0.6.0 and 0.10.0 a second flag, --enable-reasoning, came and went.
_REASONING_SINCE = (0, 10, 0)
_PARSERS = (("toolCallParser", "--tool-call-parser"), ("reasoningParser", "--reasoning-parser"))
# Beginnings of parsers' names by what begins the family of models that they are for, where both are one maker's.
_MAKERS = {
    "deepseek": ("deepseek",),
    "gemma": ("gemma", "functiongemma"),
    "glm": ("glm",),
    "gpt_oss": ("openai",),
    "llama": ("llama",),
    "mistral": ("mistral", "ministral", "mixtral"),
    "phi": ("phi",),
    "qwen": ("qwen",),
}


def chat_arguments(settings: VllmSettings, version: str) -> tuple[Argument, ...]:
    """Arguments for structured output, tools and reasoning."""
    found = []
    backend = settings.structured_output_backend
    if backend is not None:
        text = f"--guided-decoding-backend={backend}"
        if version_parts(version) >= _STRUCTURED_SINCE:
            value = json.dumps({"backend": backend}, separators=(",", ":"))
            text = f"--structured-outputs-config={value}"
        found.append(Argument(text, "structuredOutputBackend"))
    if settings.tool_call_parser is not None:
        found.append(Argument("--enable-auto-tool-choice", "toolCallParser"))
        found.append(Argument(f"--tool-call-parser={settings.tool_call_parser}", "toolCallParser"))
    if settings.reasoning_parser is not None:
        found.append(Argument(f"--reasoning-parser={settings.reasoning_parser}", "reasoningParser"))
    return tuple(found)


def chat_problems(path: str, settings: ServerSettings, version: str, catalog: Catalog) -> Iterator[Finding]:
    """Parsers that a version does not have, or that a model cannot use."""
    if not isinstance(settings, VllmSettings):
        return
    if settings.reasoning_parser is not None and version_parts(version) < _REASONING_SINCE:
        yield Finding(
            path=f"{path}.reasoningParser",
            what=f"vLLM {version} is not known to parse reasoning",
            why="versions before 0.10.0 have no parser, or want another flag beside it",
            fix="use 0.10.0 or newer",
        )
    elif settings.structured_output_backend == "auto" and version_parts(version) < _REASONING_SINCE:
        yield Finding(
            path=f"{path}.structuredOutputBackend",
            what=f"vLLM {version} has no automatic choice",
            why="it came later",
            fix="use outlines or lm-format-enforcer, or 0.10.0 or newer",
        )
    for key, name, known in _unknown_parsers(settings, version, catalog):
        yield Finding(
            path=f"{path}.{key}",
            what=f"{name} is no parser of vLLM {version}",
            why="the server would not start",
            fix=suggestion(name, known),
        )
    if settings.tool_call_parser is None:
        return
    facts = catalog.models.get(settings.model)
    if facts is None and (checkpoint := catalog.checkpoints.get(settings.model)) is not None:
        facts = catalog.models[checkpoint.base]
    own_template = any(text.partition("=")[0] == "--chat-template" for text in settings.extra_args)
    if facts is not None and facts.chat_template is False and not own_template:
        yield Finding(
            path=f"{path}.toolCallParser",
            what=f"{settings.model} has no chat template",
            why="tools come with chats, and vLLM refuses chats of a model without a template",
            fix="use the model's instruct version, or give --chat-template in extraArgs",
        )


def chat_warnings(path: str, settings: ServerSettings, model: ServedModel) -> Iterator[Finding]:
    """Parsers that were made for models of another family."""
    if not isinstance(settings, VllmSettings):
        return
    for key, name in (("toolCallParser", settings.tool_call_parser), ("reasoningParser", settings.reasoning_parser)):
        made_for = next((maker for maker, names in _MAKERS.items() if (name or "").startswith(names)), None)
        own = next((maker for maker in _MAKERS if model.family.startswith((maker, *_MAKERS[maker]))), None)
        # Models distilled from R1 reason as it does, whatever they are built like.
        distilled = made_for == "deepseek" and "deepseek" in model.id.lower()
        if made_for is not None and own is not None and made_for != own and not distilled:
            yield Finding(
                path=f"{path}.{key}",
                what=f"{name} is a parser for models of {made_for}, and this one is of {model.family}",
                why="what the model writes may be passed on as plain text",
                fix="see the model's page for the parser that it names",
                severity="warning",
            )


def _unknown_parsers(
    settings: VllmSettings, version: str, catalog: Catalog
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    versions = flags_of(settings, version, catalog)
    names = {"toolCallParser": settings.tool_call_parser, "reasoningParser": settings.reasoning_parser}
    for key, flag_name in _PARSERS:
        name = names[key]
        flags = [flag for one in versions if (flag := one.find(flag_name)) is not None]
        if name is None or not flags or any(_takes(flag, name) for flag in flags):
            continue
        yield key, name, tuple(str(choice) for choice in flags[-1].choices)


def _takes(flag: Flag, name: str) -> bool:
    return not flag.choices or name in flag.choices
