"""What a stack that is watched consists of."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import Recordings, find, of_type

MONITORING = "kubernetes:monitoring.googleapis.com/v1:PodMonitoring"
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
        "enableComponents": ["SYSTEM_COMPONENTS"],
        "managedPrometheus": {"enabled": True, "autoMonitoringConfig": {"scope": "NONE"}},
    }
