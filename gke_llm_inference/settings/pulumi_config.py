"""Reads a stack's settings from Pulumi's configuration: the only place where the two meet."""

from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from gke_llm_inference.settings.access import ConfigApiKeys
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.hugging_face import ConfigToken
from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY
from gke_llm_inference.settings.stack import StackSettings
from gke_llm_inference.settings.stack_config import StackConfiguration, configuration_of


def read_settings() -> StackSettings:
    """Settings of the stack that Pulumi is running; see `read_configuration`."""
    return read_configuration().settings


def read_configuration() -> StackConfiguration:
    """Settings of the stack that Pulumi is running, and which file each came from.

    Raises:
        Refusal: with every problem of the configuration.

    """
    values = CONFIG.get()
    return configuration_of(
        values,
        {key for key in values if is_config_secret(key)},
        pulumi.get_project(),
        Path(pulumi.runtime.get_root_directory()),
        file=f"Pulumi.{pulumi.get_stack()}.yaml",
    )


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
        path=TOKEN_KEY,
        what="is not set",
        why="huggingFace.tokenSource is config, so servers that download gated models need it",
        fix=f"pulumi config set --secret {TOKEN_KEY}",
    )
    if not pulumi.runtime.is_dry_run():
        raise Refusal([missing])
    pulumi.log.warn(str(missing))
    return pulumi.Output.secret("not set yet")


def read_api_keys(settings: StackSettings) -> dict[str, pulumi.Output[str]]:
    """The API keys that servers take from the config, as Pulumi secrets by their names.

    A preview goes on without them, as it does without the Hugging Face token; a deployment does not. An empty key is
    none: a server with one would ask nobody for a key.

    Raises:
        Refusal: a deployment whose config lacks some.

    """
    users: dict[str, str] = {}
    for key, server in sorted(settings.servers.items(), reverse=True):
        if isinstance(server.api_keys, ConfigApiKeys):
            users |= dict.fromkeys(server.api_keys.keys, key)
    found: dict[str, pulumi.Output[str]] = {}
    missing: list[Finding] = []
    for name, user in sorted(users.items()):
        # Looked at only to tell whether it is empty; what is handed on is the secret.
        secret = pulumi.Config().get_secret(name) if (pulumi.Config().get(name) or "").strip() else None
        if secret is None:
            missing.append(
                Finding(
                    path=name,
                    what="is not set",
                    why=f"servers.{user}.apiKeys takes a key from it, and a server with an empty key asks for none",
                    fix=f"pulumi config set --secret {name}",
                )
            )
        found[name] = secret if secret is not None else pulumi.Output.secret("not set yet")
    if missing and not pulumi.runtime.is_dry_run():
        raise Refusal(missing)
    for one in missing:
        pulumi.log.warn(str(one))
    return found
