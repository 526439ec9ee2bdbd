"""Where the servers find the Hugging Face token. The token itself is never part of the settings."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gke_llm_inference.settings.base import DnsLabel, Settings

SecretKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]
SecretManagerId = Annotated[str, StringConstraints(pattern=r"^(projects/[a-z0-9-]+/secrets/)?[a-zA-Z0-9_-]{1,255}$")]


class NoToken(Settings):
    """No token: for models that anybody may download."""

    token_source: Literal["none"]
    """No token."""


class _KubernetesSecret(Settings):
    secret_name: DnsLabel = "hf-secret"  # noqa: S105 a Secret's name
    """Name of the Kubernetes Secret."""
    secret_key: SecretKey = "hf_api_token"  # noqa: S105 a Secret's key
    """Key of the token in the Secret."""


class ConfigToken(_KubernetesSecret):
    """The token is the encrypted config value `huggingFaceToken`; a Kubernetes Secret is made of it."""

    token_source: Literal["config"]
    """The encrypted config value huggingFaceToken."""


class ExistingSecretToken(_KubernetesSecret):
    """The token is in a Kubernetes Secret that exists already in the stack's namespace."""

    token_source: Literal["existingSecret"]
    """A Secret that exists already."""


class SecretManagerToken(_KubernetesSecret):
    """The token is in Google Secret Manager; GKE copies it to a Kubernetes Secret through Workload Identity."""

    token_source: Literal["secretManager"]
    """Google Secret Manager."""
    secret: SecretManagerId
    """Secret's id, or projects/PROJECT/secrets/ID for one of another project."""
    project_number: Annotated[str, StringConstraints(pattern=r"^[0-9]{6,20}$")]
    """Number, not id, of the cluster's project, by which IAM knows its Kubernetes service accounts."""
    version: Annotated[str, StringConstraints(pattern=r"^(latest|[1-9][0-9]*)$")] = "latest"
    """Version of the secret."""


HuggingFaceSettings = Annotated[
    NoToken | ConfigToken | ExistingSecretToken | SecretManagerToken, Field(discriminator="token_source")
]
"""The source of the Hugging Face token."""
