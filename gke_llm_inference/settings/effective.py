"""The settings of a stack as they take effect, and where each of them is from."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gke_llm_inference.pulumi_project.yaml_files import as_yaml
from gke_llm_inference.secret_rules import WHERE_SECRETS_GO, is_secret_variable
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.pulumi_keys import PROJECT
from gke_llm_inference.settings.stack_config import StackConfiguration

DEFAULT = "default"
"""The origin of a value that no file gives."""


def assert_no_secret(configuration: StackConfiguration) -> None:
    """Raises Refusal if a variable has the name of a secret: a plan refuses it, and here it would be printed."""
    found = [
        Finding(
            path=f"servers.{name}.extraEnv.{variable}",
            what="holds a secret",
            why="variables are in clear text in manifests, previews and the state",
            fix=WHERE_SECRETS_GO,
        )
        for name, server in sorted(configuration.stated.servers.items())
        for variable, value in sorted(server.extra_env.items())
        if is_secret_variable(variable, value)
    ]
    if found:
        raise configuration.origins.located(Refusal(found))


def effective_settings(configuration: StackConfiguration) -> dict[str, Any]:
    """Every setting with its defaults, as YAML or JSON would hold it; what is absent has no default."""
    values: dict[str, Any] = configuration.stated.model_dump(mode="json", by_alias=True, exclude_none=True)
    return values


def effective_yaml(configuration: StackConfiguration, project: str = PROJECT) -> str:
    """A stack file without a base that gives the same settings, except for other namespaces and the token."""
    config = {f"{project}:{key}": value for key, value in effective_settings(configuration).items()}
    return as_yaml({"config": config})


def effective_origins(configuration: StackConfiguration) -> dict[str, dict[str, Any]]:
    """Each value and its origin by path: a file's name or `default`."""
    stated = configuration.stated.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    given = {path for path, _ in _leaves(stated, "")}
    return {
        path: {"value": value, "origin": configuration.origins.of(path) if path in given else DEFAULT}
        for path, value in _leaves(effective_settings(configuration), "")
    }


def origins_text(configuration: StackConfiguration) -> str:
    """Each value and its origin on a line of its own."""
    rows = [
        (f"{path}: {json.dumps(entry['value'], ensure_ascii=False)}", entry["origin"])
        for path, entry in effective_origins(configuration).items()
    ]
    width = min(max((len(text) for text, _ in rows), default=0), 56)
    return "".join(f"{text:<{width}}  # {origin}\n" for text, origin in rows)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Scalars, lists and empty mappings by path; a list is one value, as a merge replaces it as a whole."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
