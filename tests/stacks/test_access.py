"""Each exposure and routing on each kind of cluster for each server: previewed, and nothing open that should not be."""

from itertools import product

import pytest
import yaml

from gke_llm_inference.preview.recording import Severity
from tests.support import DEPLOYMENT, PROJECT, Recordings, of_type

GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
POOL = "kubernetes:inference.networking.k8s.io/v1:InferencePool"
POLICIES = [f"kubernetes:networking.gke.io/v1:{kind}" for kind in ("GCPBackendPolicy", "HealthCheckPolicy")]
CLASSES = {"internal": "gke-l7-rilb", "external": "gke-l7-regional-external-managed"}
CLUSTERS = {
    "autopilot": {"mode": "autopilot", "location": "us-central1"},
    "standard": {"mode": "standard", "location": "us-central1"},
    "existing": {"mode": "existing", "name": "shared", "location": "us-central1"},
}


def stack_file(exposure: str, mode: str, server: str, routing: str = "service") -> str:
    """A stack with one server of that kind."""
    settings = {
        "cluster": CLUSTERS[mode],
        **({"nodePools": {"l4": {"maxNodes": 2}}} if mode == "standard" else {}),
        "servers": {
            "chat": {
                "server": server,
                "model": "Qwen/Qwen2.5-7B-Instruct",
                "maxModelLen": 4096,
                "replicas": 2,
                "apiKeys": {"source": "existingSecret", "secretName": "keys"},
            }
        },
    }
    if exposure != "none":
        settings["gateway"] = {
            "exposure": exposure,
            "routing": routing,
            "hostname": "llm.example.com",
            "tls": {"source": "secret", "secretName": "certificate"},
            **({"proxySubnet": {"mode": "existing", "cidr": "10.99.0.0/23"}} if mode == "existing" else {}),
        }
    config = {"gcp:project": "my-project", **{f"{PROJECT}:{key}": value for key, value in settings.items()}}
    return yaml.safe_dump({"config": config})


COMBINATIONS = [
    one
    for one in product(("none", "internal", "external"), CLUSTERS, ("vllm", "tgi"), ("service", "inferenceGateway"))
    # Only a load balancer asks an endpoint picker.
    if (one[0], one[3]) != ("none", "inferenceGateway")
]
# Each exposure, cluster, server and routing is among them; the rest takes longer than it tells.
_FIRST = (
    ("internal", "autopilot", "tgi", "service"),
    ("external", "standard", "vllm", "inferenceGateway"),
    ("external", "existing", "tgi", "inferenceGateway"),
)


@pytest.mark.parametrize(
    ("exposure", "mode", "server", "routing"),
    [pytest.param(*one, marks=[] if one in _FIRST else [pytest.mark.processes]) for one in COMBINATIONS],
)
def test_every_combination_previews(
    exposure: str, mode: str, server: str, routing: str, recordings: Recordings
) -> None:
    recording = recordings.config(stack_file(exposure, mode, server, routing))
    assert recording.messages(Severity.ERROR) == ()
    gateways = [one.inputs["spec"] for one in of_type(recording, GATEWAY)]
    assert [one["gatewayClassName"] for one in gateways] == ([CLASSES[exposure]] if exposure != "none" else [])
    assert all(listener["protocol"] == "HTTPS" for one in gateways for listener in one["listeners"])
    for type_ in (ROUTE, *POLICIES):
        assert len(of_type(recording, type_)) == len(gateways)
    picked = routing == "inferenceGateway"
    kind, name = ("InferencePool", "chat-pool") if picked else ("Service", "chat")
    assert len(of_type(recording, POOL)) == picked
    for one in (route for type_ in POLICIES for route in of_type(recording, type_)):
        target = one.inputs["spec"]["targetRef"]
        assert (target["kind"], target["name"], one.inputs["metadata"]["name"]) == (kind, name, name)
    (deployment,) = [one for one in of_type(recording, DEPLOYMENT) if one.name == "chat-deployment"]
    assert len(of_type(recording, DEPLOYMENT)) == 1 + picked
    (container,) = deployment.inputs["spec"]["template"]["spec"]["containers"]
    variable = {"vllm": "VLLM_API_KEY", "tgi": "API_KEY"}[server]
    assert [one["valueFrom"] for one in container["env"] if one["name"] == variable] == [
        {"secretKeyRef": {"name": "keys", "key": "api_key"}}
    ]
    assert recording.exports.get("endpoints") == ({"chat": "https://llm.example.com/v1"} if gateways else None)
