"""What scales Deployments by metrics on GKE, as `autoscaling.yaml` states it."""

from gke_llm_inference.catalog.facts import Facts, Positive


class NativeFacts(Facts):
    """GKE's own way, AutoscalingMetric."""

    since: str
    """GKE version that serves it."""


class AdapterFacts(Facts):
    """The Custom Metrics Stackdriver adapter."""

    image: str
    namespace: str
    name: str
    """Name of its Deployment, its Service and its service account."""


class KedaFacts(Facts):
    """KEDA."""

    polling_seconds: Positive
    """How often it asks."""
    prometheus: str
    """Address of Managed Service for Prometheus, with PROJECT for the project's id."""


class HttpAddOnFacts(Facts):
    """KEDA's HTTP add-on."""

    interceptor: str
    """Service that clients call."""
    interceptor_port: Positive
    interceptor_pods: dict[str, str]
    """Labels of the interceptor's pods."""
    scaler: str
    """Service that KEDA asks."""
    scaler_port: Positive


class AutoscalingFacts(Facts):
    """What there is, and what the HorizontalPodAutoscaler allows."""

    source: str
    date: str
    longest_window_seconds: Positive
    longest_period_seconds: Positive
    down_window_seconds: Positive
    """How long load must be lower by default before pods go."""
    scale_to_zero_since: str
    """Kubernetes version from which an autoscaler may go to zero by itself."""
    waiting_requests: Positive
    """Waiting requests for each replica to begin with."""
    native: NativeFacts
    adapter: AdapterFacts
    keda: KedaFacts
    http_add_on: HttpAddOnFacts
