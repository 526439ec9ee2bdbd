"""The shape of facts about the endpoint picker of the Inference Gateway."""

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts, Positive
from gke_llm_inference.catalog.metric_facts import Concept


class PickerPorts(Facts):
    """Where an endpoint picker listens."""

    picks: Positive
    """For the load balancer, which asks it for a pod (gRPC, Envoy's external processing)."""
    health: Positive
    """For whoever asks whether it is well (gRPC); GKE's load balancers ask at 9003 unless told otherwise."""


class PickerRequests(Facts):
    """CPU and memory of an endpoint picker."""

    cpu_millicores: Positive
    cpu_millicores_per_replica: Positive
    """For each pod that it asks for its metrics."""
    memory_mib: Positive


class Scorer(Facts):
    """What an endpoint picker goes by."""

    plugin: str
    weight: Positive
    needs: Concept | None = None
    """Metric without which every pod would have the same score; None for what it knows by itself."""


class PickerFacts(Facts):
    """The endpoint picker: its image, what it takes, and which clusters it is for."""

    source: str
    date: str
    image: str
    version: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    gke_since: str
    """GKE version from which a cluster brings the definition of InferencePool v1."""
    config_version: str
    """API version of its configuration file."""
    ports: PickerPorts
    user: Positive
    metrics_interval_ms: Positive
    """How often each pod is asked for its metrics."""
    requests: PickerRequests
    metrics: dict[Concept, str]
    """Field of its configuration by what a metric says."""
    scorers: tuple[Scorer, ...]

    @property
    def pinned_image(self) -> str:
        """The image by its tag, which tells the version, and its digest."""
        return f"{self.image}:{self.version}@{self.digest}"
