import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import ACCOUNT, IAM_MEMBER, NODE_IDENTITY, children, find, names_of, of_type, shape

BASIC_ROLES = {"roles/owner", "roles/editor", "roles/viewer"}


def test_nodes_run_as_an_account_of_their_own_with_three_roles(gallery: Recording) -> None:
    assert shape(gallery, find(gallery, NODE_IDENTITY, "autopilot-nodes")) == {
        (ACCOUNT, "autopilot-nodes-account"),
        (IAM_MEMBER, "autopilot-nodes-artifactregistry-reader"),
        (IAM_MEMBER, "autopilot-nodes-container-defaultnodeserviceaccount"),
        (IAM_MEMBER, "autopilot-nodes-serviceusage-serviceusageconsumer"),
    }


def test_the_account_has_an_id_within_googles_thirty_characters(gallery: Recording) -> None:
    inputs = find(gallery, ACCOUNT, "autopilot-nodes-account").inputs
    account_id = inputs.pop("accountId")
    assert inputs == {"displayName": "Nodes of a GKE cluster for LLM inference", "project": "my-project"}
    assert account_id == "gke-llm-inference-test-nodes"
    assert 6 <= len(account_id) <= 30


@pytest.mark.parametrize(
    "role", ["artifactregistry.reader", "container.defaultNodeServiceAccount", "serviceusage.serviceUsageConsumer"]
)
def test_each_role_is_bound_to_the_account_in_the_project(gallery: Recording, role: str) -> None:
    binding = find(gallery, IAM_MEMBER, f"autopilot-nodes-{role.replace('.', '-').lower()}")
    assert binding.inputs == {"member": "[unknown]", "project": "my-project", "role": f"roles/{role}"}
    assert names_of(binding.property_dependencies["member"]) == ["autopilot-nodes-account"]


def test_no_identity_has_a_basic_role(gallery: Recording) -> None:
    bindings = of_type(gallery, IAM_MEMBER)
    assert len(bindings) == 3 * len(of_type(gallery, NODE_IDENTITY))
    assert not {binding.inputs["role"] for binding in bindings} & BASIC_ROLES


def test_an_identity_registers_its_email(gallery: Recording) -> None:
    identity = find(gallery, NODE_IDENTITY, "autopilot-nodes")
    assert identity.outputs == {"email": "[unknown]"}
    assert len(children(gallery, identity)) == 4
