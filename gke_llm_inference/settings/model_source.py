"""Where a server reads its model from: Hugging Face, or the stack's own store of models."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gke_llm_inference.settings.base import Settings, Zone, refused

ReadBy = Literal["streamer", "gcsfuse", "hyperdiskMl"]
"""How a server reads a model from a bucket."""


class HuggingFaceSource(Settings):
    """Hugging Face: each pod downloads the model when it starts."""

    source: Literal["huggingFace"]
    """Hugging Face."""


class HyperdiskSettings(Settings):
    """A volume of Hyperdisk ML, which GKE fills from the bucket once and all pods of the server read."""

    zone: Zone | None = None
    """Zone of the volume and of the server's pods; that of the node pool if absent, where it has one only."""
    throughput_mib: Annotated[int, Field(ge=400, le=1_000_000)] | None = None
    """MiB per second of the volume, all readers together; 2400 if absent."""


class ModelStoreSource(Settings):
    """The bucket of `modelStore`: pods read the pinned revision there and need neither token nor Hugging Face."""

    source: Literal["modelStore"]
    """The stack's store of models."""
    by: ReadBy | None = None
    """How pods read it: by vLLM's streamer, as files of Cloud Storage FUSE, or from a volume of Hyperdisk ML; if absent
    by the streamer where server, version and format allow it, else as files."""
    anywhere_cache: bool = False
    """Whether Anywhere Cache keeps what pods read in their zones, at a price; with `by: gcsfuse` or the streamer."""
    disk: HyperdiskSettings | None = None
    """The volume, with `by: hyperdiskMl`."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> "ModelStoreSource":
        if self.disk is not None and self.by != "hyperdiskMl":
            raise refused(
                "describes a volume that nothing makes",
                "only by: hyperdiskMl has a volume of its own",
                "set by: hyperdiskMl, or remove disk",
            )
        if self.anywhere_cache and self.by == "hyperdiskMl":
            raise refused(
                "has a cache that nothing reads",
                "by: hyperdiskMl reads the bucket once, when the volume is filled",
                "remove anywhereCache",
            )
        return self


ModelSourceSettings = Annotated[HuggingFaceSource | ModelStoreSource, Field(discriminator="source")]
"""Where a server reads its model from."""
