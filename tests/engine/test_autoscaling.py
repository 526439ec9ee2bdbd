"""Servers that scale, through the real engine: what scales them is made, and no update takes back what it decided."""

from typing import Any

import pytest

from local.engine.errors import EngineError
from tests.cluster.support import NAMESPACE
from tests.engine.support import Bench, wait_until
from tests.engine.test_lifecycle import standard, up

NATIVE = "1.37.0-gke.3100000"
GEMMA = "model: google/gemma-7b-it, maxModelLen: 4096"


def stack(server: str, version: str = NATIVE) -> str:
    """A Standard stack whose server has these settings, too."""
    text = standard(nodes=6)
    assert text.count(GEMMA) == 1
    assert text.count("location: us-central1,") == 1
    return text.replace(GEMMA, f"{GEMMA}, {server}").replace(
        "location: us-central1,", f"location: us-central1, gkeVersion: '{version}',"
    )


def scale(bench: Bench, replicas: int) -> None:
    """What Kubernetes' autoscaler does: it writes the Deployment's subresource as the controller manager."""
    bench.cluster.apps.patch_namespaced_deployment_scale(
        "gemma", NAMESPACE, {"spec": {"replicas": replicas}}, field_manager="kube-controller-manager"
    )


def replicas(bench: Bench) -> Any:
    return bench.deployment()["spec"]["replicas"]


def test_no_update_takes_back_what_the_autoscaler_decided(bench: Bench) -> None:
    up(bench, stack("replicas: 2"))
    assert replicas(bench) == 2

    turned_on = up(bench, stack("autoscaling: {maxReplicas: 4}"))
    assert ("create", "gemma-autoscaler") in turned_on.steps
    assert ("create", "gemma-autoscaling-metric") in turned_on.steps
    assert replicas(bench) == 2, "pods that serve stay until the autoscaler decides"

    scale(bench, 3)
    assert up(bench, stack("autoscaling: {maxReplicas: 4}")).steps == []
    changed = up(bench, stack("autoscaling: {maxReplicas: 5}, labels: {team: search}"))
    assert ("update", "gemma-deployment") in changed.steps
    assert ("update", "gemma-autoscaler") in changed.steps
    assert replicas(bench) == 3

    with pytest.raises(EngineError, match='conflict with "kube-controller-manager"'):
        up(bench, stack("replicas: 2"))
    assert replicas(bench) == 3, "the autoscaler's number is not taken back by force"
    up(bench, stack("autoscaling: {minReplicas: 2, maxReplicas: 2}"))
    wait_until(lambda: replicas(bench) == 2)
    turned_off = up(bench, stack("replicas: 2"))
    assert ("delete", "gemma-autoscaler") in turned_off.steps
    assert replicas(bench) == 2


def test_a_server_that_scales_from_the_start_is_never_given_a_number(bench: Bench) -> None:
    up(bench, stack("autoscaling: {minReplicas: 1, maxReplicas: 4}"))
    assert replicas(bench) == 1, "Kubernetes' own default"
    scale(bench, 4)
    up(bench, stack("autoscaling: {minReplicas: 1, maxReplicas: 4}, labels: {team: search}"))
    assert replicas(bench) == 4
    spec = bench.find("autoscaling/v2", "HorizontalPodAutoscaler", "gemma")
    assert spec is not None
    assert (spec["spec"]["minReplicas"], spec["spec"]["maxReplicas"]) == (1, 4)


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        (
            "maxReplicas: 4, source: keda",
            {"ScaledObject": "keda.sh/v1alpha1", "TriggerAuthentication": "keda.sh/v1alpha1"},
        ),
        (
            "minReplicas: 0, maxReplicas: 4, scaleToZero: {holder: httpAddOn}",
            {"ScaledObject": "keda.sh/v1alpha1", "InterceptorRoute": "http.keda.sh/v1beta1"},
        ),
    ],
    ids=["keda", "httpAddOn"],
)
def test_keda_s_resources_are_taken(bench: Bench, asked: str, kinds: dict[str, str]) -> None:
    up(bench, stack(f"autoscaling: {{{asked}}}"))
    for kind, api_version in kinds.items():
        assert bench.find(api_version, kind, "gemma") is not None
    assert up(bench, stack(f"autoscaling: {{{asked}}}")).steps == []


def test_the_adapter_comes_and_goes_with_the_server_that_needs_it(bench: Bench) -> None:
    made = up(bench, stack("autoscaling: {maxReplicas: 4}", version="1.36"))
    assert ("create", "metrics-adapter-external-v1beta1") in made.steps
    adapter = bench.api.get("apps/v1", "Deployment", "custom-metrics", "custom-metrics-stackdriver-adapter")
    assert adapter is not None
    assert "tolerations" not in adapter["spec"]["template"]["spec"]
    assert up(bench, stack("autoscaling: {maxReplicas: 4}", version="1.36")).steps == []

    gone = up(bench, stack("replicas: 1", version="1.36"))
    assert ("delete", "metrics-adapter-namespace") in gone.steps
    assert bench.api.get("v1", "Namespace", None, "custom-metrics") is None
