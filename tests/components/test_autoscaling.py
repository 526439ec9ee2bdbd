"""What scales the pods of servers, and the adapter, as a stack registers them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.preview.recording import Recording
from tests.cluster.support import config_text
from tests.support import (
    CLUSTER,
    DEPLOYMENT,
    INFERENCE_SERVER,
    Recordings,
    children,
    expect_golden,
    find,
    of_type,
    shape,
)

HPA = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
METRIC = "kubernetes:autoscaling.gke.io/v1beta1:AutoscalingMetric"
SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"
TRIGGER_AUTHENTICATION = "kubernetes:keda.sh/v1alpha1:TriggerAuthentication"
INTERCEPTOR_ROUTE = "kubernetes:http.keda.sh/v1beta1:InterceptorRoute"
ADAPTER = "gke-llm-inference:index:MetricsAdapter"
GOLDEN = Path(__file__).with_name("golden")
NATIVE = "1.37.0-gke.3100000"
SMALL = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}


def recorded(recordings: Recordings, asked: dict[str, Any], version: str = "1.36") -> Recording:
    raw = {
        "cluster": {"mode": "autopilot", "location": "us-central1", "gkeVersion": version},
        "servers": {"chat": {**SMALL, "autoscaling": {"maxReplicas": 4, **asked}}, "fixed": SMALL},
    }
    return recordings.config(config_text(raw))


def scalers(recording: Recording) -> set[tuple[str, str]]:
    """What a server that scales has and one with a fixed number of pods has not."""
    chat, fixed = (shape(recording, find(recording, INFERENCE_SERVER, name)) for name in ("chat", "fixed"))
    return {(kind, name) for kind, name in chat if (kind, name.replace("chat-", "fixed-", 1)) not in fixed}


BUDGET = ("kubernetes:policy/v1:PodDisruptionBudget", "chat-disruption-budget")


@pytest.mark.parametrize(
    ("asked", "version", "expected"),
    [
        ({}, "1.36", {(HPA, "chat-autoscaler")}),
        ({}, NATIVE, {(HPA, "chat-autoscaler"), (METRIC, "chat-autoscaling-metric")}),
        (
            {"source": "keda"},
            "1.36",
            {(SCALED_OBJECT, "chat-scaled-object"), (TRIGGER_AUTHENTICATION, "chat-trigger-authentication")},
        ),
        (
            {"minReplicas": 0, "scaleToZero": {"holder": "httpAddOn"}},
            "1.36",
            {(SCALED_OBJECT, "chat-scaled-object"), (INTERCEPTOR_ROUTE, "chat-interceptor-route")},
        ),
    ],
    ids=["adapter", "native", "keda", "httpAddOn"],
)
def test_each_source_has_its_objects(
    recordings: Recordings, asked: dict[str, Any], version: str, expected: set[tuple[str, str]]
) -> None:
    recording = recorded(recordings, asked, version)
    assert scalers(recording) == {*expected, BUDGET}
    for kind, name in expected:
        made = find(recording, kind, name)
        assert find(recording, DEPLOYMENT, "chat-deployment").urn in made.dependencies
        assert made.inputs["metadata"]["name"] == "chat"


def test_the_deployment_leaves_the_number_of_pods_alone(recordings: Recordings) -> None:
    recording = recorded(recordings, {})
    chat, fixed = (find(recording, DEPLOYMENT, f"{name}-deployment") for name in ("chat", "fixed"))
    assert "replicas" not in chat.inputs["spec"]
    assert chat.options["ignoreChanges"] == ["spec.replicas"]
    assert fixed.inputs["spec"]["replicas"] == 1
    assert "ignoreChanges" not in fixed.options


def test_the_adapter_is_made_once_and_as_google_s_manifest_says(recordings: Recordings) -> None:
    recording = recorded(recordings, {})
    (adapter,) = of_type(recording, ADAPTER)
    documents = [one.inputs for one in children(recording, adapter) if one.type.startswith("kubernetes:")]
    text = yaml.safe_dump_all(
        sorted(documents, key=lambda one: (str(one["kind"]), str(one["metadata"]["name"]))), width=200
    )
    expect_golden(GOLDEN / "metrics-adapter.yaml", text)
    assert "nvidia.com/gpu" not in text
    granted = {
        (one.inputs["role"], str(one.inputs["member"]))
        for one in children(recording, adapter)
        if "member" in one.inputs
    }
    assert tuple(role for role, member in granted if "custom-metrics" in member) == ("roles/iam.workloadIdentityUser",)
    assert {role for role, _ in granted} == {"roles/iam.workloadIdentityUser", "roles/monitoring.viewer"}


def test_no_adapter_is_made_for_another_source(recordings: Recordings) -> None:
    for asked, version in (({}, NATIVE), ({"source": "keda"}, "1.36")):
        assert of_type(recorded(recordings, asked, version), ADAPTER) == []


def test_gke_s_own_way_turns_the_performance_profile_on(recordings: Recordings) -> None:
    assert find(recorded(recordings, {}, NATIVE), CLUSTER, "gke-cluster").inputs["podAutoscaling"] == {
        "hpaProfile": "PERFORMANCE"
    }
    assert "podAutoscaling" not in find(recorded(recordings, {}), CLUSTER, "gke-cluster").inputs
