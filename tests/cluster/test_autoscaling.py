"""What scales servers is taken by a real API server, field by field, in both modes."""

from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.support import Cluster, Document, config_text, documents_of
from tests.planning.support import QWEN
from tests.support import Recordings

NATIVE = "1.37.0-gke.3100000"
WAYS: dict[str, tuple[Document, str, set[str]]] = {
    "native": ({}, NATIVE, {"HorizontalPodAutoscaler", "AutoscalingMetric"}),
    "adapter": ({}, "1.36", {"HorizontalPodAutoscaler", "APIService", "PodMonitoring"}),
    "keda": ({"source": "keda"}, "1.36", {"ScaledObject", "TriggerAuthentication", "PodMonitoring"}),
    "add-on": (
        {"minReplicas": 0, "scaleToZero": {"holder": "httpAddOn"}},
        "1.36",
        {"ScaledObject", "InterceptorRoute"},
    ),
    "queue": (
        {"minReplicas": 0, "source": "keda", "scaleToZero": {"holder": "pubSub", "subscription": "work"}},
        "1.36",
        {"ScaledObject", "TriggerAuthentication"},
    ),
}


def documents(recordings: Recordings, mode: str, way: str) -> list[Document]:
    asked, version, _ = WAYS[way]
    raw: dict[str, Any] = {
        "cluster": {"mode": mode, "location": "us-central1", "gkeVersion": version},
        **({"nodePools": {"l4": {"maxNodes": 4}}} if mode == "standard" else {}),
        "servers": {"gemma": {**QWEN, "maxModelLen": 4096, "autoscaling": {"maxReplicas": 4, **asked}}},
    }
    return documents_of(recordings.config(config_text(raw)))


@pytest.mark.parametrize("mode", ["standard", "autopilot"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_scales_a_server_is_taken_as_it_is_planned(
    request: pytest.FixtureRequest, recordings: Recordings, mode: str, way: str
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    made = documents(recordings, mode, way)
    assert WAYS[way][2] <= {one["kind"] for one in made}
    for one in made:
        applied = cluster.apply(one, dry_run=one["kind"] != "Namespace")
        if one["kind"] in ("AutoscalingMetric", "ScaledObject", "InterceptorRoute", "HorizontalPodAutoscaler"):
            assert applied["spec"] == {**applied["spec"], **one["spec"]}, "no field is another one than planned"


@pytest.mark.parametrize(
    ("way", "kind", "key"),
    [
        ("native", "AutoscalingMetric", "metrics"),
        ("keda", "ScaledObject", "triggers"),
        ("add-on", "InterceptorRoute", "scalingMetric"),
        ("adapter", "HorizontalPodAutoscaler", "behavior"),
    ],
)
def test_a_field_that_does_not_exist_is_refused(
    standard: Cluster, recordings: Recordings, way: str, kind: str, key: str
) -> None:
    made = documents(recordings, "standard", way)
    standard.apply(made[0])
    (document,) = [one for one in made if one["kind"] == kind]
    document["spec"][f"{key}s"] = document["spec"][key]
    with pytest.raises(DynamicApiError, match="field not declared in schema"):
        standard.apply(document, dry_run=True)
