"""How a server reads a model from a bucket; the facts are read where a stack has one."""

from functools import cache

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts, Positive
from gke_llm_inference.catalog.files import directory, read


class StreamerFacts(Facts):
    """vLLM's Run:ai streamer, which reads weights from the bucket into the GPUs."""

    since: str
    """vLLM version whose image reads gs://."""
    distributed_since: str
    """vLLM version from which the GPUs of a pod share the reading."""
    offline_since: str
    """vLLM version from which gs:// and HF_HUB_OFFLINE go together."""
    load_format: str
    """What vLLM calls it."""
    cannot_read: tuple[str, ...]
    """Formats and quantizations that are no safetensors, or have a loader of their own."""
    concurrency: Positive
    """Threads that read, for each GPU."""
    buffer_gib: Positive
    """Memory that the threads read into, for each GPU, where no tensor is larger."""
    variables: tuple[str, ...]
    """Variables that vLLM overwrites with what its loader is configured with."""


class Since(Facts):
    """What a driver takes from a GKE version on.

    Attributes are names and values; a mount option is all in its name.
    """

    name: str
    value: str = ""
    since: str


class SidecarFacts(Facts):
    """What the container requests that reads the bucket beside the server."""

    cpu_millicores: Positive
    memory_gib: Positive
    ephemeral_storage_gib: Positive


class FuseFacts(Facts):
    """Cloud Storage FUSE: the bucket as a file system."""

    driver: str
    since: str
    """GKE version from which such a volume takes what follows at all."""
    annotations: dict[str, str]
    """What a pod carries that has such a volume."""
    attributes: tuple[Since, ...]
    """Attributes of the volume."""
    mount_options: tuple[Since, ...]
    """Options of the mount: what the profile for serving sets, without its cache."""
    buffered_read_since: str
    """GKE version from which a model is read ahead into memory."""
    sidecar: SidecarFacts


class HyperdiskMlFacts(Facts):
    """Hyperdisk ML, which GKE fills from a bucket."""

    since: str
    """GKE version that fills it."""
    auto_creation_since: str
    """GKE version from which a Standard cluster makes nodes for a ComputeClass by itself."""
    families: tuple[str, ...]
    """Families of machines with GPUs that attach it."""
    compute_class: str
    """The exact name of the ComputeClass whose nodes fill it."""
    compute_class_families: tuple[str, ...]
    """Families of those nodes, the first preferred."""
    transfer_cpus: Positive
    """vCPUs that the filling asks for."""
    provisioner: str
    disk_type: str
    smallest_gib: Positive
    """Size of the smallest volume."""
    throughput_mib: Positive
    """MiB per second that a volume is made with, all readers together."""


class AnywhereCacheFacts(Facts):
    """Anywhere Cache, which keeps what is read from a bucket in a zone."""

    ttl_seconds: Positive
    """How long it keeps what nobody reads, as the profile for serving has it."""


class ModelSourceFacts(Facts):
    """How a server reads a model from a bucket."""

    source: str
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    streamer: StreamerFacts
    gcsfuse: FuseFacts
    anywhere_cache: AnywhereCacheFacts
    hyperdisk_ml: HyperdiskMlFacts


@cache
def read_model_sources() -> ModelSourceFacts:
    """The facts that ship with the package.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    return ModelSourceFacts.model_validate(read(directory() / "model_sources.yaml"))
