"""The way that a model takes to its server, which everything else about reading it follows from."""

from dataclasses import dataclass
from typing import Literal

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.model_source_facts import StreamerFacts
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import ServerSettings, VllmSettings

ModelPath = Literal["hub", "streamer", "gcsfuse", "hyperdiskMl", "volume"]
"""Hugging Face; a bucket by vLLM's streamer, as files, or through a volume that GKE fills; a volume of the team's."""
Reads = Literal["hub", "bucket", "node"]
"""Whom a pod itself calls for its model: Hugging Face, Cloud Storage, or nobody, as the node attaches a disk."""

_UNKNOWN_BUCKET = "BUCKET"


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a server's model comes from.

    Attributes:
        path: the way that it takes.
        bucket: the bucket that it lies in; empty where it lies in none of the stack's.
        prefix: its directory there, without slashes at the ends.
        reads: whom the pod itself calls for it.

    """

    path: ModelPath
    bucket: str = ""
    prefix: str = ""
    reads: Reads

    @property
    def uri(self) -> str:
        """Its directory in the bucket, as gs://BUCKET/MODEL/REVISION; empty where it lies in none of the stack's."""
        return f"gs://{self.bucket}/{self.prefix}" if self.bucket else ""

    @property
    def is_mounted(self) -> bool:
        """Whether the server finds it in a directory."""
        return self.path in ("gcsfuse", "hyperdiskMl", "volume")


def model_source_of(
    settings: ServerSettings, version: str, checkpoint: str, bucket: str | None, catalog: Catalog
) -> ModelSource:
    """Where a server's model comes from; by the streamer where nothing is said and it can be.

    Args:
        settings: the server's settings.
        version: version of the server.
        checkpoint: format of the checkpoint.
        bucket: the bucket of the stack's store of models, if it has one.
        catalog: the facts to decide by.

    """
    if settings.model_volume is not None:
        storage = settings.model_volume.storage
        return ModelSource(path="volume", reads="bucket" if storage == "gcsfuse" else "node")
    asked = settings.store_source
    if asked is None:
        return ModelSource(path="hub", reads="hub")
    by = asked.by
    if by is None:
        streams = why_not_streamed(settings, version, checkpoint, catalog.model_sources.streamer) is None
        by = "streamer" if streams else "gcsfuse"
    return ModelSource(
        path=by,
        bucket=bucket or _UNKNOWN_BUCKET,
        prefix=f"{settings.model}/{settings.revision or 'REVISION'}",
        reads="node" if by == "hyperdiskMl" else "bucket",
    )


def reader_account(key: str, settings: ServerSettings) -> str:
    """Kubernetes service account that reads the bucket for a server.

    That is the server's own, but for a volume that GKE fills: its pods then need no right to the bucket.

    Args:
        key: name of the server in the configuration.
        settings: its settings.

    """
    asked = settings.store_source
    name = dns_label(key)
    return dns_label(f"{name}-model") if asked is not None and asked.by == "hyperdiskMl" else name


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What keeps a server from the streamer.

    Attributes:
        setting: the setting that does.
        what: what is wrong with it.
        why: why the streamer cannot be used.

    """

    setting: str
    what: str
    why: str


def why_not_streamed(settings: ServerSettings, version: str, checkpoint: str, facts: StreamerFacts) -> Obstacle | None:
    """What keeps a server from the streamer; None where it can be used.

    Args:
        settings: the server's settings.
        version: version of the server.
        checkpoint: format of the checkpoint.
        facts: what the streamer can.

    """
    if not isinstance(settings, VllmSettings):
        return _of_by("it is a part of vLLM, and the server is another")
    if version_parts(version) < version_parts(facts.since):
        return _of_by(f"vLLM's image reads gs:// from {facts.since} on, and the server is {version}")
    for name in (settings.quantization, checkpoint):
        if name in facts.cannot_read:
            return _of_by(f"it reads safetensors for vLLM's own loader, and {name} has a loader of its own")
    if settings.load_format not in (None, "auto", facts.load_format):
        return Obstacle(
            setting="loadFormat",
            what=f"{settings.load_format} and the streamer exclude each other",
            why=f"the streamer is a load format itself, {facts.load_format}",
        )
    return None


def _of_by(why: str) -> Obstacle:
    return Obstacle(setting="modelSource.by", what="the streamer cannot read this model", why=why)
