"""Settings of the way that images take to the nodes: through Artifact Registry, from which GKE streams them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import NonEmpty, Settings, refused

RegistryHost = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*\.[a-z0-9]+(:[0-9]{1,5})?$", max_length=253)
]
RegistryLocation = Annotated[str, StringConstraints(pattern=r"^([a-z]+(-[a-z]+)+[0-9]+|asia|europe|us)$")]
RepositoryId = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
SecretVersion = Annotated[
    str,
    StringConstraints(
        pattern=r"^projects/[a-z0-9][a-z0-9:.-]{3,62}/secrets/[A-Za-z0-9_-]{1,255}/versions/([1-9][0-9]*|latest)$"
    ),
]
GoogleProject = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9:.-]{4,62}$")]


class UpstreamCredentials(Settings):
    """Who a remote repository is for its upstream. The password or access token stays in Secret Manager."""

    username: NonEmpty
    """Name of the account."""
    secret_version: SecretVersion
    """Where its password or access token is, as projects/PROJECT/secrets/ID/versions/VERSION."""


class CreatedImageRegistry(Settings):
    """Remote repositories that the stack makes, one for each registry that its images come from."""

    mode: Literal["create"]
    """Repositories of the stack's own."""
    location: RegistryLocation | None = None
    """Region, or asia, europe or us; the cluster's region if absent. Changing it replaces the repositories."""
    credentials: dict[RegistryHost, UpstreamCredentials] = {}
    """Accounts by registry, such as docker.io; images are fetched without one if absent."""


class ExistingImageRegistry(Settings):
    """Repositories of Artifact Registry that exist already."""

    mode: Literal["existing"]
    """Repositories that exist already."""
    location: RegistryLocation | None = None
    """Their region, or asia, europe or us; the cluster's region if absent."""
    project: GoogleProject | None = None
    """Project that they are in; the stack's own if absent."""
    repositories: dict[RegistryHost, RepositoryId]
    """Ids of the repositories by the registry that each stands before, such as docker.io."""

    @model_validator(mode="after")
    def _some(self) -> "ExistingImageRegistry":
        if not self.repositories:
            raise refused(
                "names no repository",
                "no image would come through Artifact Registry",
                "add one under repositories, or remove imageRegistry",
            )
        return self


ImageRegistrySettings = Annotated[CreatedImageRegistry | ExistingImageRegistry, Field(discriminator="mode")]
"""The way that images take to the nodes."""
