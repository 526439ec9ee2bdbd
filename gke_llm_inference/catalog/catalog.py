"""The catalog: all facts that a plan rests on, in one object that is passed along."""

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field, SkipValidation

from gke_llm_inference.catalog.access_facts import AccessFacts
from gke_llm_inference.catalog.alert_facts import Alerts
from gke_llm_inference.catalog.autoscaling_facts import AutoscalingFacts
from gke_llm_inference.catalog.effects import Effects
from gke_llm_inference.catalog.facts import (
    Accelerator,
    DiskFacts,
    Facts,
    GkeFacts,
    InferenceServerFacts,
    MachineType,
    Prices,
    ServerKind,
    StartupFacts,
    UsdPerHour,
)
from gke_llm_inference.catalog.flags import ServerFlags, flag_files
from gke_llm_inference.catalog.gpu_metric_facts import GpuMetrics
from gke_llm_inference.catalog.loading_facts import ServerLoading
from gke_llm_inference.catalog.memory_facts import MemoryFacts
from gke_llm_inference.catalog.metric_facts import ServerMetrics
from gke_llm_inference.catalog.model_facts import Checkpoint, Model, UnplannedModel
from gke_llm_inference.catalog.model_source_facts import ModelSourceFacts, read_model_sources
from gke_llm_inference.catalog.model_store_facts import ModelStoreFacts, read_model_store_facts
from gke_llm_inference.catalog.network_facts import NetworkFacts
from gke_llm_inference.catalog.performance_facts import PerformanceFacts, read_performance_facts
from gke_llm_inference.catalog.picker_facts import PickerFacts
from gke_llm_inference.catalog.pod_fields import PodFields, read_pod_fields
from gke_llm_inference.catalog.preset_facts import Goal, Technique
from gke_llm_inference.catalog.registry_facts import RegistryFacts
from gke_llm_inference.catalog.shutdown_facts import ServerShutdown
from gke_llm_inference.catalog.tracing_facts import ServerTracing
from gke_llm_inference.catalog.vulnerability_facts import ServerVulnerabilities
from gke_llm_inference.catalog.workload_facts import WorkloadProfile, read_workload_profiles


class Catalog(Facts):
    """All facts that a plan rests on."""

    accelerators: dict[str, Accelerator]
    machine_types: dict[str, MachineType]
    system_machine_types: dict[str, tuple[int, ...]]
    """General-purpose machines: vCPU counts by family and class, such as e2-standard."""
    prices: Prices
    models: dict[str, Model]
    checkpoints: dict[str, Checkpoint]
    loading: dict[ServerKind, ServerLoading]
    """What each server loads: classes of models, and formats by GPU."""
    unplanned_models: dict[str, UnplannedModel]
    """Models by id whose plan would be wrong."""
    servers: dict[ServerKind, InferenceServerFacts]
    access: dict[ServerKind, AccessFacts]
    """What a load balancer may let through to each server, and what an API key guards."""
    autoscaling: AutoscalingFacts
    gke: GkeFacts
    network: NetworkFacts
    picker: PickerFacts
    """The endpoint picker of the Inference Gateway."""
    registries: RegistryFacts
    """Registries that a remote repository of Artifact Registry can stand before."""
    disks: DiskFacts
    startup: StartupFacts
    presets: dict[str, Technique | Goal]
    """Presets by name, sorted."""
    memory: MemoryFacts
    effects: Effects
    """What each flag and variable of a server does to a plan."""
    shutdown: dict[ServerKind, ServerShutdown]
    """What each server does when its pods end."""
    metrics: dict[ServerKind, ServerMetrics]
    """What each server measures, and the name that each version gives it."""
    alerts: Alerts
    """What raises an alert, and what to do then."""
    gpu_metrics: GpuMetrics
    """What GKE measures of GPUs."""
    tracing: dict[ServerKind, ServerTracing]
    """What each server sends to a collector of traces."""
    vulnerabilities: dict[ServerKind, ServerVulnerabilities]
    """Known vulnerabilities by server."""
    flags: Annotated[Mapping[ServerKind, Mapping[str, ServerFlags]], SkipValidation] = Field(
        default_factory=flag_files, exclude=True
    )
    """Flags by server and version, oldest version first; a version's are read when they are asked for."""

    read_performance: Annotated[Callable[[], PerformanceFacts], SkipValidation] = Field(
        default=read_performance_facts, exclude=True
    )
    """Where facts about speed come from; they are read when they are asked for."""
    read_workloads: Annotated[Callable[[], Mapping[str, WorkloadProfile]], SkipValidation] = Field(
        default=read_workload_profiles, exclude=True
    )
    """Where profiles of workloads come from; they are read when they are asked for."""
    read_model_store: Annotated[Callable[[], ModelStoreFacts], SkipValidation] = Field(
        default=read_model_store_facts, exclude=True
    )
    """Where facts about a store of models come from; they are read when they are asked for."""
    read_model_sources: Annotated[Callable[[], ModelSourceFacts], SkipValidation] = Field(
        default=read_model_sources, exclude=True
    )
    """Where facts about reading from a bucket come from; they are read when they are asked for."""
    read_pod_fields: Annotated[Callable[[], PodFields], SkipValidation] = Field(default=read_pod_fields, exclude=True)
    """Where the fields of pod templates come from; they are read when they are asked for."""

    @property
    def pod_fields(self) -> PodFields:
        """The fields of a pod template, and how they merge."""
        return self.read_pod_fields()

    @property
    def model_store(self) -> ModelStoreFacts:
        """What copies models to a bucket."""
        return self.read_model_store()

    @property
    def model_sources(self) -> ModelSourceFacts:
        """How a server reads a model from a bucket."""
        return self.read_model_sources()

    @property
    def performance(self) -> PerformanceFacts:
        """What predictions of speed rest on."""
        return self.read_performance()

    @property
    def workloads(self) -> Mapping[str, WorkloadProfile]:
        """Profiles of workloads by name, sorted."""
        return self.read_workloads()

    def price(self, machine_type: str, region: str | None) -> tuple[UsdPerHour | None, str]:
        """List price of a machine type in a region, and the region that it is of.

        The price is None where the catalog has none; where the region is not known, the reference region stands in.
        """
        machine = self.machine_types[machine_type]
        if region is None:
            return machine.usd_per_hour, self.prices.reference_region
        return self.prices.of(machine_type, machine, region), region
