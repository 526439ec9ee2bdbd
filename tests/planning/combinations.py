"""Stacks with one server, in each combination of how it is reached, run, scaled and watched."""

from itertools import product
from typing import Any, NamedTuple

Raw = dict[str, Any]
EXPOSURES = ("none", "internal", "external")
CLUSTERS: dict[str, Raw] = {
    "autopilot": {"cluster": {"mode": "autopilot"}},
    "standard": {"cluster": {"mode": "standard"}, "nodePools": {"l4": {"maxNodes": 5}}},
    "existing": {"cluster": {"mode": "existing", "name": "shared"}},
}
SERVERS = ("vllm", "tgi")
ROUTINGS = ("service", "inferenceGateway")
SOURCES = {None: "1.36.4", "native": "1.37.0-gke.3100000", "adapter": "1.36.4", "keda": "1.36.4"}
"""Who counts a server's pods, with a version of GKE that has it; None for a fixed number."""
WATCHED: Raw = {
    "metrics": {"enabled": True},
    "alerts": {"enabled": True, "notificationChannels": ["projects/my-project/notificationChannels/1"]},
    "dashboards": {"enabled": True},
    "gpuMetrics": {"enabled": True},
    "tracing": {"endpoint": "http://collector.telemetry.svc.cluster.local:4317"},
}


class Combination(NamedTuple):
    """One of them; the last two are who counts the pods, and whether all of it is watched."""

    exposure: str
    mode: str
    server: str
    routing: str
    source: str | None
    watched: bool

    @property
    def picked(self) -> bool:
        """Whether an endpoint picker chooses the pod."""
        return self.routing == "inferenceGateway"

    @property
    def settings(self) -> Raw:
        """Settings of the stack."""
        cluster = CLUSTERS[self.mode]
        scaled: Raw = {"replicas": 2}
        if self.source:
            scaled = {"autoscaling": {"minReplicas": 2, "maxReplicas": 4, "source": self.source}}
        gateway: Raw = {
            "exposure": self.exposure,
            "routing": self.routing,
            "hostname": "llm.example.com",
            "tls": {"source": "secret", "secretName": "certificate"},
            **({"proxySubnet": {"mode": "existing", "cidr": "10.99.0.0/23"}} if self.mode == "existing" else {}),
        }
        return {
            **cluster,
            "cluster": {**cluster["cluster"], "location": "us-central1", "gkeVersion": SOURCES[self.source]},
            **({"gateway": gateway} if self.exposure != "none" else {}),
            **({"observability": WATCHED} if self.watched else {}),
            "servers": {
                "chat": {
                    "server": self.server,
                    "model": "Qwen/Qwen2.5-7B-Instruct",
                    "maxModelLen": 4096,
                    "apiKeys": {"source": "existingSecret", "secretName": "keys"},
                    **scaled,
                }
            },
        }


COMBINATIONS = [
    Combination(*one)
    for one in product(EXPOSURES, CLUSTERS, SERVERS, ROUTINGS, SOURCES, (False, True))
    # Only a load balancer asks an endpoint picker.
    if (one[0], one[3]) != ("none", "inferenceGateway")
]
