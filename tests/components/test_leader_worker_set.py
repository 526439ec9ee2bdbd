"""A server of several machines as it is made: its LeaderWorkerSet, what is served, and who may talk to whom."""

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.pod.patch import patch_findings
from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.settings import PodPatchSettings
from tests.support import DEPLOYMENT, REPOSITORY, Recordings, of_type

GROUPS = "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"
SERVICE = "kubernetes:core/v1:Service"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
# Fields of leaderworkerset.x-k8s.io/v1 that the object may have: sigs.k8s.io/lws v0.9.0, config/crd/bases.
FIELDS = {"leaderWorkerTemplate", "networkConfig", "replicas", "rolloutStrategy", "startupPolicy"}
TEMPLATE_FIELDS = {"leaderTemplate", "restartPolicy", "size", "workerTemplate"}


@pytest.fixture(params=["l4", "h100"], scope="module")
def recording(request: pytest.FixtureRequest, recordings: Recordings) -> Recording:
    return recordings.file(REPOSITORY / f"examples/multi-node/Pulumi.{request.param}.yaml")


def test_groups_take_the_place_of_a_deployment(recording: Recording) -> None:
    (groups,) = of_type(recording, GROUPS)
    assert of_type(recording, DEPLOYMENT) == []
    assert set(groups.inputs["spec"]) == FIELDS
    assert set(groups.inputs["spec"]["leaderWorkerTemplate"]) == TEMPLATE_FIELDS
    assert groups.inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Available"}


def test_both_templates_have_only_fields_that_kubernetes_knows(recording: Recording) -> None:
    (groups,) = of_type(recording, GROUPS)
    for role in ("leaderTemplate", "workerTemplate"):
        template = groups.inputs["spec"]["leaderWorkerTemplate"][role]
        findings = patch_findings(role, PodPatchSettings(patch=template), load_catalog().pod_fields)
        assert [str(finding) for finding in findings] == []


def test_only_leaders_are_served_to(recording: Recording) -> None:
    (service,) = of_type(recording, SERVICE)
    assert service.inputs["spec"]["selector"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"


def test_no_pod_is_there_before_the_policies_of_its_group(recording: Recording) -> None:
    (groups,) = of_type(recording, GROUPS)
    policies = {policy.urn for policy in of_type(recording, POLICY)}
    assert {urn.rpartition("::")[2] for urn in policies} == {"large-group-0-network-policy", "large-network-policy"}
    assert policies <= set(groups.dependencies)
