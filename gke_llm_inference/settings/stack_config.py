"""Settings from a stack's configuration as Pulumi keeps it: texts by namespaced key, some of them encrypted."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.secret_rules import secrets_in
from gke_llm_inference.settings.annotations import fields_of
from gke_llm_inference.settings.base_file import read_base
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.merge import Origins, merged
from gke_llm_inference.settings.parse import parse_settings, secret_findings, suggestion
from gke_llm_inference.settings.pulumi_keys import API_KEY_NAME, BASE_KEY, TOKEN_KEY
from gke_llm_inference.settings.remainder import Remainder, remainder_of
from gke_llm_inference.settings.server_files import with_files
from gke_llm_inference.settings.stack import StackSettings


@dataclass(frozen=True)
class StackConfiguration:
    """A stack's settings and where they came from.

    Attributes:
        settings: the settings, with the architectures of config files read.
        stated: the settings as the files state them.
        origins: which file each value came from; names none for a stack without a base.

    """

    settings: StackSettings
    stated: StackSettings
    origins: Origins


class RefusedConfiguration(Refusal):
    """A configuration that cannot be read as a whole.

    Attributes:
        remainder: what can be read of it; None where nothing can.
        origins: which file each value came from.

    """

    def __init__(self, problems: Iterable[Finding], remainder: Remainder | None, origins: Origins) -> None:
        super().__init__(problems)
        self.remainder = remainder
        self.origins = origins


def settings_of(
    values: Mapping[str, str], secret_keys: Collection[str], project: str, directory: Path
) -> StackSettings:
    """Settings of a stack; see `configuration_of`."""
    return configuration_of(values, secret_keys, project, directory).settings


def configuration_of(
    values: Mapping[str, str],
    secret_keys: Collection[str],
    project: str,
    directory: Path,
    *,
    file: str = "the stack's file",
) -> StackConfiguration:
    """Settings of a stack: its own values over those of its base file, if it names one.

    Args:
        values: configuration by `namespace:key`; objects as JSON.
        secret_keys: keys whose values are encrypted.
        project: name of the Pulumi project, the namespace of the settings.
        directory: the project's directory, where the paths of `base`, `configFile` and `calibration` start.
        file: how the stack's file is called in messages.

    Raises:
        Refusal: with every problem of the configuration.

    """
    own, problems = _own_values(values, secret_keys, project)
    origins = Origins(file)
    if BASE_KEY in own:
        name = own.pop(BASE_KEY)
        try:
            base = read_base(name, directory)
        except Refusal as refusal:
            raise Refusal([*problems, *refusal.problems]) from None
        # The CLI hands over a null at the first level as an empty text.
        result = merged(base, name, {key: None if value == "" else value for key, value in own.items()}, file)
        own, origins = result.values, result.origins
        problems += result.problems
    refused_keys = {problem.path.partition(".")[0] for problem in problems}
    try:
        stated = parse_settings(own)
        settings = with_files(stated, directory)
    except Refusal as refusal:
        # A key that is refused as a whole is not missing.
        problems += [problem for problem in refusal.problems if problem.path not in refused_keys]
    if problems:
        # What is secret is looked at no further.
        remainder = None if any(secrets_in(own)) else remainder_of(own, problems, directory)
        raise RefusedConfiguration(origins.located(Refusal(problems)).problems, remainder, origins) from None
    return StackConfiguration(settings, stated, origins)


def _own_values(
    values: Mapping[str, str], secret_keys: Collection[str], project: str
) -> tuple[dict[str, Any], list[Finding]]:
    """The stack's own values by key without namespace, and the problems of those that are left out."""
    prefix = f"{project}:"
    raw: dict[str, Any] = {}
    problems: list[Finding] = []
    for full_key, text in sorted(values.items()):
        secret = full_key in secret_keys
        if not full_key.startswith(prefix):
            # The provider's own, or another project's: not ours to judge, except that the file is in git as well.
            if not secret:
                found = secrets_in({full_key: _decoded(text)}, names_tell=True)
                problems += secret_findings(found, key=full_key)
            continue
        key = full_key.removeprefix(prefix)
        if key == TOKEN_KEY or re.fullmatch(API_KEY_NAME, key):
            if not secret:
                word = "token" if key == TOKEN_KEY else "key"
                problems.append(
                    Finding(
                        path=key,
                        what="is not encrypted",
                        why=f"a {word} in clear text ends up in git and in the state",
                        fix=f"revoke it, then: pulumi config set --secret {key}",
                    )
                )
        elif secret:
            problems.append(
                Finding(
                    path=key,
                    what="holds an encrypted value",
                    why=f"settings are plain data that appears in plans and previews; only {TOKEN_KEY} and "
                    "API keys are secret",
                    fix="move the secret out of it",
                )
            )
        elif key in fields_of(StackSettings):
            raw[key] = _decoded(text)
        elif leaked := list(secret_findings(secrets_in({key: _decoded(text)}, names_tell=True))):
            problems += leaked
        elif key == BASE_KEY:
            raw[key] = _decoded(text)
        else:
            problems.append(
                Finding(
                    path=key,
                    what="is not a known key",
                    why="a misspelled key would be ignored silently",
                    fix=suggestion(key, [*fields_of(StackSettings), BASE_KEY, TOKEN_KEY]),
                )
            )
    return raw, problems


def _decoded(text: str) -> Any:
    """Structured values reach a program as JSON; everything else is the text itself, or a scalar's text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
