"""How pods end, from the settings to what Kubernetes and Google get."""

from typing import Any

import pytest
import yaml

from tests.planning.support import QWEN, standard_stack
from tests.support import DEPLOYMENT, DISRUPTION_BUDGET, NODE_POOL, PROJECT, Recordings, of_type

SERVER = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 256, "replicas": 2}


def text_of(raw: dict[str, Any]) -> str:
    """A stack file with such settings, and a token that is there already."""
    keys = {
        f"{PROJECT}:{key}": value for key, value in {**raw, "huggingFace": {"tokenSource": "existingSecret"}}.items()
    }
    return yaml.safe_dump({"config": {"gcp:project": "my-project", **keys}})


def test_a_longer_end_on_spot_reaches_pool_and_pods(recordings: Recordings) -> None:
    server = {**SERVER, "shutdown": {"graceSeconds": 105}, "priorityClass": "serving"}
    pool = {"provisioning": {"model": "spot"}, "maxNodes": 2}
    raw = standard_stack({"l4": pool}, {"chat": server}, gkeVersion="1.36.0-gke.1")
    recording = recordings.config(text_of(raw))
    pools = {one.name: one for one in of_type(recording, NODE_POOL)}
    told = {name: one.inputs["nodeConfig"].get("kubeletConfig") for name, one in pools.items()}
    assert told.pop("l4") == {"shutdownGracePeriodSeconds": 120, "shutdownGracePeriodCriticalPodsSeconds": 15}
    assert set(told.values()) == {None}
    (deployment,) = of_type(recording, DEPLOYMENT)
    spec = deployment.inputs["spec"]["template"]["spec"]
    assert (spec["terminationGracePeriodSeconds"], spec["priorityClassName"]) == (105, "serving")
    (container,) = spec["containers"]
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}
    assert container["args"][-1] == "--shutdown-timeout=88"
    (budget,) = of_type(recording, DISRUPTION_BUDGET)
    assert budget.inputs["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.10.0", ["--disable-log-requests"]), ("0.19.1", ["--shutdown-timeout=60"])],
)
def test_the_command_line_ends_with_what_the_version_needs(
    recordings: Recordings, version: str, expected: list[str]
) -> None:
    raw = standard_stack({"l4": {"maxNodes": 2}}, {"chat": {**SERVER, "version": version}})
    recording = recordings.config(text_of(raw))
    (deployment,) = of_type(recording, DEPLOYMENT)
    (container,) = deployment.inputs["spec"]["template"]["spec"]["containers"]
    assert container["args"][-1:] == expected
    assert "priorityClassName" not in deployment.inputs["spec"]["template"]["spec"]
