"""How the number of a server's pods follows its load."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gke_llm_inference.settings.base import DnsLabel, Settings, refused

AutoscalingSource = Literal["native", "adapter", "keda"]
"""What reads the metrics: GKE itself, the Custom Metrics Stackdriver adapter, or KEDA."""

Replicas = Annotated[int, Field(ge=0, le=1000)]
Requests = Annotated[int, Field(ge=1, le=1_000_000)]
Subscription = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._~%+-]{2,254}$")]


class AutoscalingTarget(Settings):
    """Requests for each replica that the autoscaler aims at; planned where absent."""

    running_requests: Requests | None = None
    """Requests that are answered at once."""
    waiting_requests: Requests | None = None
    """Requests that wait until a replica has room."""


class HttpHolder(Settings):
    """KEDA's HTTP add-on holds requests: clients call its interceptor, which wakes the server."""

    holder: Literal["httpAddOn"]
    """KEDA's HTTP add-on, which must be on the cluster."""


class QueueHolder(Settings):
    """A subscription of Pub/Sub holds requests: what pulls from it calls the server."""

    holder: Literal["pubSub"]
    """A queue outside of the cluster."""
    subscription: Subscription
    """Id of the subscription, in the cluster's project."""
    messages: Requests = 1
    """Messages for each replica that the autoscaler aims at."""


ScaleToZero = Annotated[HttpHolder | QueueHolder, Field(discriminator="holder")]
"""What holds requests while a server has no pod."""


class AutoscalingSettings(Settings):
    """Pods that follow the load of a server, between two bounds."""

    min_replicas: Replicas = 1
    """Fewest pods; 0 needs scaleToZero."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Most pods; what pool and quota hold at most."""
    source: AutoscalingSource | None = None
    """What reads the metrics; that of the stack, or what the cluster's version allows, if absent."""
    target: AutoscalingTarget = AutoscalingTarget()
    """Load of a replica that is aimed at; planned from the KV cache, the workload and the objectives if absent."""
    scale_to_zero: ScaleToZero | None = None
    """What holds requests while there is no pod; needs minReplicas: 0."""

    @model_validator(mode="after")
    def _ordered(self) -> "AutoscalingSettings":
        if self.min_replicas > self.max_replicas:
            raise refused(
                f"minReplicas {self.min_replicas} exceeds maxReplicas {self.max_replicas}",
                "the autoscaler needs a range",
                "raise maxReplicas or lower minReplicas",
            )
        if not self.min_replicas and self.scale_to_zero is None:
            raise refused(
                "minReplicas is 0, and nothing holds requests",
                "without a pod there are no metrics of the server, and a Service refuses what comes: nothing would "
                "ever wake it",
                "add scaleToZero: {holder: httpAddOn}, or a queue as {holder: pubSub, subscription: NAME}; or use "
                "minReplicas: 1",
            )
        if self.min_replicas and self.scale_to_zero is not None:
            raise refused(
                f"scaleToZero is set, and minReplicas is {self.min_replicas}",
                "the server never has no pod, so there is nothing to hold requests for",
                "set minReplicas: 0, or remove scaleToZero",
            )
        return self


class StackAutoscalingSettings(Settings):
    """What all servers of a stack that scale have in common."""

    source: AutoscalingSource | None = None
    """What reads the metrics of servers that state nothing; what the cluster's version allows if absent."""
    metrics_adapter: Literal["create", "existing"] | None = None
    """Whether the stack makes the Custom Metrics Stackdriver adapter, of which a cluster has one, or it is there. If
    absent, a stack makes it that makes its cluster and has a server that needs it."""
    keda_namespace: DnsLabel = "keda"
    """Namespace of KEDA and of its HTTP add-on, which must be on the cluster where a server needs them."""
