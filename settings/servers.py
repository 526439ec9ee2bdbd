"""Settings of an inference server: which server, which model, on which GPUs, within which limits."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from catalog.facts import ModelArchitecture
from settings.base import Image, Labels, PositiveInt, Settings, Version
from settings.node_pools import AcceleratorSettings, OnDemandProvisioning, ProvisioningSettings

ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", max_length=200)]


class ArchitectureSettings(ModelArchitecture):
    """The numbers of a model that the catalogue does not have, as its config.json and repository state them."""

    model_config = ConfigDict(strict=True)

    gated: bool = False
    """Whether Hugging Face asks for a token before the model can be downloaded."""


class ResourceSettings(Settings):
    """Requests of the server's container; what is absent is planned."""

    cpu: Annotated[float, Field(gt=0)] | None = None
    """vCPU."""
    memory_gib: PositiveInt | None = None
    """GiB, shared memory included."""
    ephemeral_storage_gib: PositiveInt | None = None
    """GiB."""


class _ServerSettings(Settings):
    version: Version | None = None
    """Version of the server; the catalogue's default if absent."""
    image: Image | None = None
    """An image of your own; it must hold the version that `version` states."""
    model: ModelId
    """Hugging Face id, such as google/gemma-7b-it."""
    revision: Annotated[str, StringConstraints(pattern=r"^[\w./-]{1,200}$")] | None = None
    """Branch, tag or commit of the model's repository."""
    architecture: ArchitectureSettings | None = None
    """Needed for a model that the catalogue does not have."""
    accelerator: AcceleratorSettings = AcceleratorSettings()
    """GPUs of each replica."""
    node_pool: str | None = None
    """Pool of `nodePools` to run on; if absent, the cheapest that can hold the server."""
    provisioning: ProvisioningSettings = OnDemandProvisioning()
    """On Autopilot, how Google provides the machine; on Standard this belongs to the node pool."""
    replicas: Annotated[int, Field(ge=0)] = 1
    """Pods, each with the whole model; 0 keeps the server's objects without pods."""
    max_model_len: PositiveInt | None = None
    """Longest context, prompt and answer together, in tokens; the model's own limit if absent."""
    resources: ResourceSettings = ResourceSettings()
    """Requests of the container; planned where absent."""
    labels: Labels = {}
    """Labels of the pods beside the recommended ones."""


class VllmSettings(_ServerSettings):
    """A vLLM server."""

    server: Literal["vllm"]
    """vLLM."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the server may use; the version's default if absent."""
    max_num_seqs: PositiveInt | None = None
    """Most requests in one batch; the version's default if absent."""
    max_num_batched_tokens: PositiveInt | None = None
    """Most tokens in one step; the version's default if absent."""
    served_model_name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Name of the model in the API; the Hugging Face id if absent."""


class TgiSettings(_ServerSettings):
    """A Text Generation Inference server."""

    server: Literal["tgi"]
    """Text Generation Inference; in maintenance mode."""
    max_input_tokens: PositiveInt | None = None
    """Longest prompt in tokens; one less than maxModelLen if absent."""
    max_batch_prefill_tokens: PositiveInt | None = None
    """Most prompt tokens in one batch; the server's choice if absent."""
    cuda_memory_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the server may use; the server's default if absent."""


ServerSettings = Annotated[VllmSettings | TgiSettings, Field(discriminator="server")]
"""One inference server."""
