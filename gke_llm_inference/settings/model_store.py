"""Settings of the store of models: a bucket that they are copied to once, and that servers read them from."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import ModelId, Settings, refused

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9_.]{1,220})[a-z0-9]$", max_length=222)]
NewBucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9_]{1,61}[a-z0-9]$")]
BucketLocation = Annotated[str, StringConstraints(pattern=r"^([a-z]+(-[a-z]+)+[0-9]+|asia|eu|us)$")]
ProjectNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{6,20}$")]


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit, which never comes to stand for other files."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def _commit(text: str) -> str:
    if not is_commit(text):
        raise refused(
            "is not a commit",
            "a branch or a tag may come to stand for other files, and what is recorded or stored must not",
            "give the commit's 40 hexadecimal digits; gke-llm-inference models --record finds it",
        )
    return text


Commit = Annotated[str, AfterValidator(_commit)]
"""A commit of a model's repository."""


class CreatedBucket(Settings):
    """A bucket that the stack makes."""

    mode: Literal["create"]
    """A bucket of the stack's own."""
    name: NewBucketName | None = None
    """Name, which nobody else's bucket may have; made of the project's and the stack's names if absent. Changing it
    replaces the bucket."""
    location: BucketLocation | None = None
    """Region, or asia, eu or us; the cluster's region if absent. Changing it replaces the bucket."""
    delete_contents: bool = False
    """Whether deleting the bucket deletes the models in it; a bucket that holds any is not deleted otherwise."""


class ExistingBucket(Settings):
    """A bucket that exists already."""

    mode: Literal["existing"]
    """A bucket that exists already."""
    name: BucketName
    """Its name."""
    location: BucketLocation | None = None
    """Its region, or asia, eu or us; the cluster's region if absent."""


BucketSettings = Annotated[CreatedBucket | ExistingBucket, Field(discriminator="mode")]
"""The bucket that models lie in."""


class StoredModelSettings(Settings):
    """A model that the store holds."""

    model: ModelId
    """Hugging Face id, such as google/gemma-7b-it."""
    revision: Commit
    """Commit of its repository."""


class ModelStoreSettings(Settings):
    """A bucket with models at pinned revisions, for servers with `modelSource.source: modelStore`."""

    bucket: BucketSettings
    """The bucket."""
    models: Annotated[tuple[StoredModelSettings, ...], Field(strict=False)] | None = None
    """What it holds; what the stack's servers read from it if absent."""
    copies: bool = Field(default=True, alias="copy")
    """Whether the stack copies the models from Hugging Face, once each; false where somebody else does."""
    project_number: ProjectNumber | None = None
    """Number, not id, of the cluster's project, by which IAM knows its Kubernetes service accounts; that of
    huggingFace if absent."""

    @model_validator(mode="after")
    def _each_once(self) -> "ModelStoreSettings":
        named = [(one.model, one.revision) for one in self.models or ()]
        if len(set(named)) != len(named):
            raise refused("names a model twice", "the store holds each revision once", "remove one of the two")
        return self
