"""Reads a stack's settings from Pulumi's configuration: the only place where the two meet."""

from pathlib import Path

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

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
