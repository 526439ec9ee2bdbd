"""What a stack that is watched consists of."""

import json
from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import DEPLOYMENT, Recordings, find, of_type

MONITORING = "kubernetes:monitoring.googleapis.com/v1:PodMonitoring"
ALERT = "gcp:monitoring/alertPolicy:AlertPolicy"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
CLUSTER = "gcp:container/cluster:Cluster"


@pytest.fixture(scope="module")
def sample(recordings: Recordings) -> Recording:
    return recordings.program(Path(__file__).with_name("observability_sample.py"))


def test_every_server_has_a_pod_monitoring_of_its_name(sample: Recording) -> None:
    found = {one.name: one.inputs["metadata"]["name"] for one in of_type(sample, MONITORING)}
    assert found == {"observability-chat-metrics": "chat", "observability-old-metrics": "old"}
    chat = find(sample, MONITORING, "observability-chat-metrics").inputs
    assert chat["metadata"]["namespace"] == "llm-inference"
    assert chat["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "chat"
    assert chat["spec"]["endpoints"][0]["port"] == "http"


def test_gke_does_not_collect_a_second_time(sample: Recording) -> None:
    (cluster,) = of_type(sample, CLUSTER)
    assert cluster.inputs["monitoringConfig"] == {
        "enableComponents": ["DCGM", "SYSTEM_COMPONENTS"],
        "managedPrometheus": {"enabled": True, "autoMonitoringConfig": {"scope": "NONE"}},
    }


def test_an_alert_on_metrics_is_a_condition_in_promql_that_google_takes_before_it_knows_the_metrics(
    sample: Recording,
) -> None:
    queue = find(sample, ALERT, "observability-chat-queue").inputs
    assert queue["displayName"] == "chat: requests wait (gke-llm-inference-test)"
    assert (queue["severity"], queue["combiner"], queue["project"]) == ("WARNING", "OR", "my-project")
    assert queue["notificationChannels"] == ["projects/my-project/notificationChannels/123"]
    assert queue["userLabels"] == {"alert": "queue", "namespace": "llm-inference", "server": "chat"}
    (condition,) = queue["conditions"]
    told = condition["conditionPrometheusQueryLanguage"]
    assert told["query"].startswith("avg(avg_over_time(vllm:num_requests_waiting{")
    assert {key: told[key] for key in ("duration", "evaluationInterval", "disableMetricValidation")} == {
        "duration": "300s",
        "evaluationInterval": "60s",
        "disableMetricValidation": True,
    }
    assert queue["documentation"]["links"] == [
        {"displayName": "Runbook", "url": "https://wiki.example.com/runbooks#queue"}
    ]
    assert queue["documentation"]["mimeType"] == "text/markdown"
    assert "`kubectl get deployment -n llm-inference chat`" in queue["documentation"]["content"]


def test_an_alert_waits_for_its_server_as_a_first_start_is_no_outage(sample: Recording) -> None:
    alert = find(sample, ALERT, "observability-chat-no-replica")
    assert any(urn.endswith("Deployment::chat-deployment") for urn in alert.dependencies)


def test_the_alert_on_the_autoscaler_is_of_its_log_and_told_once_an_hour(sample: Recording) -> None:
    capacity = find(sample, ALERT, "observability-capacity").inputs
    (condition,) = capacity["conditions"]
    assert "cluster-autoscaler-visibility" in condition["conditionMatchedLog"]["filter"]
    assert capacity["alertStrategy"] == {"autoClose": "7200s", "notificationRateLimit": {"period": "3600s"}}


def test_a_dashboard_has_a_section_for_each_server(sample: Recording) -> None:
    dashboard = find(sample, DASHBOARD, "observability-dashboard").inputs
    assert dashboard["project"] == "my-project"
    document = json.loads(dashboard["dashboardJson"])
    assert document["displayName"] == "gke-llm-inference-test"
    widgets = [tile["widget"] for tile in document["mosaicLayout"]["tiles"]]
    assert [one["title"].partition(":")[0] for one in widgets if "collapsibleGroup" in one] == ["chat", "old"]
    assert "GPU utilization" in {one["title"] for one in widgets}


def test_a_server_whose_spans_hold_no_text_alone_is_traced(sample: Recording) -> None:
    traced = {}
    for name in ("chat", "old"):
        (container,) = find(sample, DEPLOYMENT, f"{name}-deployment").inputs["spec"]["template"]["spec"]["containers"]
        variables = {one["name"] for one in container["env"]}
        traced[name] = any("otlp" in one for one in container["args"]), "OTEL_SERVICE_NAME" in variables
    assert traced == {"chat": (True, True), "old": (False, False)}
