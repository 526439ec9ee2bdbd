"""Reads a stack's settings from Pulumi's configuration: the only place where the two meet."""

import json
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from settings.findings import Finding, Refusal
from settings.hugging_face import ConfigToken
from settings.model_config import with_config_files
from settings.parse import parse_settings, suggestion, tokens_in
from settings.pulumi_keys import TOKEN_KEY
from settings.stack import StackSettings


def read_settings() -> StackSettings:
    """Settings of the stack that Pulumi is running.

    Raises:
        Refusal: with every problem of the configuration.

    """
    prefix = f"{pulumi.get_project()}:"
    raw: dict[str, Any] = {}
    problems: list[Finding] = []
    known = [field.alias or name for name, field in StackSettings.model_fields.items()]
    for full_key, text in sorted(CONFIG.get().items()):
        if not full_key.startswith(prefix):
            continue
        key = full_key.removeprefix(prefix)
        secret = is_config_secret(full_key)
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
        settings = with_config_files(parse_settings(raw), Path(pulumi.runtime.get_root_directory()))
    except Refusal as refusal:
        # A key that is refused as a whole is not missing.
        rest = [problem for problem in refusal.problems if problem.path not in refused_keys]
        raise Refusal([*problems, *rest]) from None
    if problems:
        raise Refusal(problems)
    return settings


def read_token(settings: StackSettings) -> pulumi.Output[str] | None:
    """The Hugging Face token as a Pulumi secret, or None if the settings take it from elsewhere.

    A preview goes on without the token, so that a stack can be looked at before it has one; a deployment does not.

    Raises:
        Refusal: a deployment whose settings take the token from the config, which has none.

    """
    if not isinstance(settings.hugging_face, ConfigToken):
        return None
    # Looked at only to tell whether it is empty; what is handed on is the secret.
    if pulumi.Config().get(TOKEN_KEY):
        return pulumi.Config().get_secret(TOKEN_KEY)
    missing = Finding(
        TOKEN_KEY,
        "is not set",
        "huggingFace.tokenSource is config, so servers that download gated models need it",
        f"pulumi config set --secret {TOKEN_KEY}",
    )
    if not pulumi.runtime.is_dry_run():
        raise Refusal([missing])
    pulumi.log.warn(str(missing))
    return pulumi.Output.secret("not set yet")


def _decoded(text: str) -> Any:
    """Structured values reach a program as JSON; everything else is the text itself, or a scalar's text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
