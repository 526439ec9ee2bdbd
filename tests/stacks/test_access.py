"""Each exposure and routing on each kind of cluster for each server: previewed, and nothing open that should not be."""

from itertools import product

import pytest
import yaml

from gke_llm_inference.policy.preview_check import check_recording
from gke_llm_inference.preview.recording import Severity
from tests.planning.combinations import CLUSTERS, COMBINATIONS, EXPOSURES, ROUTINGS, SERVERS, SOURCES, Combination
from tests.support import DEPLOYMENT, PROJECT, Recordings, of_type

GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
POOL = "kubernetes:inference.networking.k8s.io/v1:InferencePool"
POLICIES = [f"kubernetes:networking.gke.io/v1:{kind}" for kind in ("GCPBackendPolicy", "HealthCheckPolicy")]
POD_MONITORING = "kubernetes:monitoring.googleapis.com/v1:PodMonitoring"
CLASSES = {"internal": "gke-l7-rilb", "external": "gke-l7-regional-external-managed"}
# What a stack of this kind may break at the levels of prod: it names no environment, and has no digests.
_KNOWN = {"image-digests", "model-revisions", "required-labels"}


def stack_file(combination: Combination) -> str:
    """The configuration of a stack."""
    settings = {f"{PROJECT}:{key}": value for key, value in combination.settings.items()}
    return yaml.safe_dump({"config": {"gcp:project": "my-project", **settings}})


def _sample() -> list[Combination]:
    """Each exposure, cluster, server and routing together, with every source and observability in turn."""
    turns = list(product(SOURCES, (False, True)))
    reached = [
        one
        for one in product(EXPOSURES, CLUSTERS, SERVERS, ROUTINGS)
        if Combination(*one, source=None, watched=False) in COMBINATIONS
    ]
    # By a number that shares no factor with that of the turns, neighbors differ in both.
    return [Combination(*one, *turns[index * 3 % len(turns)]) for index, one in enumerate(reached)]


SAMPLE = _sample()
# Each exposure, cluster, server, routing and observability is among them; the rest takes longer than it tells.
_FIRST = (
    ("internal", "autopilot", "tgi", "service"),
    ("external", "standard", "vllm", "inferenceGateway"),
    ("external", "existing", "tgi", "inferenceGateway"),
)


def test_every_source_is_previewed_with_each_exposure_cluster_and_server() -> None:
    for of in ("exposure", "mode", "server"):
        pairs = {(getattr(one, of), one.source) for one in SAMPLE}
        assert len(pairs) == len({getattr(one, of) for one in SAMPLE}) * len(SOURCES), of


@pytest.mark.parametrize(
    "combination",
    [pytest.param(one, marks=[] if one[:4] in _FIRST else [pytest.mark.processes]) for one in SAMPLE],
    ids=lambda one: "-".join([*one[:4], one.source or "fixed", "watched" if one.watched else "unwatched"]),
)
def test_every_combination_previews(combination: Combination, recordings: Recordings) -> None:
    exposure, mode, server, _, source, watched = combination
    recording = recordings.config(stack_file(combination))
    assert recording.messages(Severity.ERROR) == ()
    gateways = [one.inputs["spec"] for one in of_type(recording, GATEWAY)]
    assert [one["gatewayClassName"] for one in gateways] == ([CLASSES[exposure]] if exposure != "none" else [])
    assert all(listener["protocol"] == "HTTPS" for one in gateways for listener in one["listeners"])
    for type_ in (ROUTE, *POLICIES):
        assert len(of_type(recording, type_)) == len(gateways)
    picked = combination.picked
    kind, name = ("InferencePool", "chat-pool") if picked else ("Service", "chat")
    assert len(of_type(recording, POOL)) == picked
    for one in (route for type_ in POLICIES for route in of_type(recording, type_)):
        target = one.inputs["spec"]["targetRef"]
        assert (target["kind"], target["name"], one.inputs["metadata"]["name"]) == (kind, name, name)
    (deployment,) = [one for one in of_type(recording, DEPLOYMENT) if one.name == "chat-deployment"]
    adapted = source == "adapter" and mode != "existing"
    assert len(of_type(recording, DEPLOYMENT)) == 1 + picked + adapted
    (container,) = deployment.inputs["spec"]["template"]["spec"]["containers"]
    variable = {"vllm": "VLLM_API_KEY", "tgi": "API_KEY"}[server]
    assert [one["valueFrom"] for one in container["env"] if one["name"] == variable] == [
        {"secretKeyRef": {"name": "keys", "key": "api_key"}}
    ]
    assert recording.exports.get("endpoints") == ({"chat": "https://llm.example.com/v1"} if gateways else None)
    assert of_type(recording, POD_MONITORING) or not watched
    violated = {one.policy.name for one in check_recording(recording).found}
    assert violated <= _KNOWN | (set() if watched else {"server-alerts"})
