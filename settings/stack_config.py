"""Settings from a stack's configuration as Pulumi keeps it: texts by namespaced key, some of them encrypted."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from settings.findings import Finding, Refusal
from settings.model_config import with_config_files
from settings.parse import parse_settings, suggestion, tokens_in
from settings.pulumi_keys import TOKEN_KEY
from settings.stack import StackSettings


def settings_of(
    values: Mapping[str, str], secret_keys: Collection[str], project: str, directory: Path
) -> StackSettings:
    """Settings of a stack.

    Args:
        values: configuration by `namespace:key`; objects as JSON.
        secret_keys: keys whose values are encrypted.
        project: name of the Pulumi project, the namespace of the settings.
        directory: where the paths of `configFile` start.

    Raises:
        Refusal: with every problem of the configuration.

    """
    prefix = f"{project}:"
    raw: dict[str, Any] = {}
    problems: list[Finding] = []
    known = [field.alias or name for name, field in StackSettings.model_fields.items()]
    for full_key, text in sorted(values.items()):
        if not full_key.startswith(prefix):
            continue
        key = full_key.removeprefix(prefix)
        secret = full_key in secret_keys
        if key == TOKEN_KEY:
            if not secret:
                problems.append(
                    Finding(
                        TOKEN_KEY,
                        "is not encrypted",
                        "a token in clear text ends up in git and in the state",
                        f"revoke it, then: pulumi config set --secret {TOKEN_KEY}",
                    )
                )
        elif secret:
            problems.append(
                Finding(
                    key,
                    "holds an encrypted value",
                    f"settings are plain data that appears in plans and previews; only {TOKEN_KEY} is secret",
                    "move the secret out of it",
                )
            )
        elif leaked := list(tokens_in({key: _decoded(text)})):
            problems += leaked
        elif key not in known:
            problems.append(
                Finding(
                    key,
                    "is not a known key",
                    "a misspelt key would be ignored silently",
                    suggestion(key, [*known, TOKEN_KEY]),
                )
            )
        else:
            raw[key] = _decoded(text)
    refused_keys = {problem.path.partition(".")[0] for problem in problems}
    try:
        settings = with_config_files(parse_settings(raw), directory)
    except Refusal as refusal:
        # A key that is refused as a whole is not missing.
        rest = [problem for problem in refusal.problems if problem.path not in refused_keys]
        raise Refusal([*problems, *rest]) from None
    if problems:
        raise Refusal(problems)
    return settings


def _decoded(text: str) -> Any:
    """Structured values reach a program as JSON; everything else is the text itself, or a scalar's text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
