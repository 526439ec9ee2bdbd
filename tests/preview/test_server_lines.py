"""What a preview says of a server: as many pods as it has, or between which numbers it scales."""

from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.preview.render import render_text
from gke_llm_inference.preview.tree import INFERENCE_SERVER_TYPE
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE

STACK = Resource(urn="stack", type=STACK_TYPE, name="p-s", parent=None, custom=False)


def lines_of(*scalers: tuple[str, dict[str, Any]]) -> list[str]:
    server = Resource(
        urn="server", type=INFERENCE_SERVER_TYPE, name="chat", parent="stack", custom=False, outputs={"replicas": 4}
    )
    children = [
        Resource(urn=kind, type=f"kubernetes:{kind}", name=kind, parent="server", custom=True, inputs={"spec": spec})
        for kind, spec in scalers
    ]
    recording = Recording(project="p", stack="s", resources=(STACK, server, *children))
    return [line for line in render_text(recording).splitlines() if "  replicas" in line]


@pytest.mark.parametrize(
    ("scaler", "said"),
    [
        (("autoscaling/v2:HorizontalPodAutoscaler", {"minReplicas": 2, "maxReplicas": 4}), "2 to 4"),
        (("keda.sh/v1alpha1:ScaledObject", {"minReplicaCount": 0, "maxReplicaCount": 4}), "0 to 4"),
        (("autoscaling/v2:HorizontalPodAutoscaler", {"minReplicas": 4, "maxReplicas": 4}), "4"),
    ],
)
def test_a_server_that_scales_has_a_range(scaler: tuple[str, dict[str, Any]], said: str) -> None:
    assert lines_of(scaler) == [f"    replicas    {said}"]


def test_a_server_that_does_not_scale_has_a_number() -> None:
    assert lines_of(("policy/v1:PodDisruptionBudget", {"maxUnavailable": 1})) == ["    replicas    4"]
