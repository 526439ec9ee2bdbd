"""The store of models as resources: the bucket, who may read it, Jobs, and what comes after what."""

from typing import Any

import pytest

from gke_llm_inference.planning.model_store.specs import program_text
from gke_llm_inference.preview.recording import Recording
from tests.support import DEPLOYMENT, NETWORK_POLICY, SERVICE_ACCOUNT, Recordings, find, names_of, of_type

BUCKET = "gcp:storage/bucket:Bucket"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
JOB = "kubernetes:batch/v1:Job"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
COMMIT = "a" * 40
NAME = "my-project-gke-llm-inference-test-models"
POOL = (
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/"
    "my-project.svc.id.goog/subject/ns/llm-inference/sa/"
)
STACK = f"""\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {{mode: standard, location: us-central1, labels: {{team: ml}}}}
  gke-llm-inference:nodePools: {{l4: {{maxNodes: 4}}}}
  gke-llm-inference:huggingFace: {{tokenSource: existingSecret, secretName: hub, secretKey: word}}
  gke-llm-inference:modelStore: {{bucket: {{mode: create}}, projectNumber: "123456789012"}}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 4096
      revision: {COMMIT}
      modelSource: {{source: modelStore}}
    hub: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLen: 4096}}
"""


@pytest.fixture(scope="module")
def own(recordings: Recordings) -> Recording:
    return recordings.config(STACK)


@pytest.fixture(scope="module")
def anothers(recordings: Recordings) -> Recording:
    return recordings.config(
        STACK.replace("{mode: create}", "{mode: existing, name: ours}")
        .replace("  gke-llm-inference:modelStore: {", "  gke-llm-inference:modelStore: {copy: false, ")
        .replace(
            "gke-llm-inference:huggingFace: {tokenSource: existingSecret, secretName: hub, secretKey: word}", "a:b: c"
        )
    )


def job(recording: Recording) -> Any:
    (found,) = of_type(recording, JOB)
    return found


def test_the_bucket_is_nobody_elses_to_see_and_keeps_what_it_holds_and_nothing_more(own: Recording) -> None:
    assert find(own, BUCKET, "model-store-bucket").inputs == {
        "forceDestroy": False,
        "labels": {"team": "ml"},
        "lifecycleRules": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}],
        "location": "US-CENTRAL1",
        "name": NAME,
        "project": "my-project",
        "publicAccessPrevention": "enforced",
        "softDeletePolicy": {"retentionDurationSeconds": 0},
        "storageClass": "STANDARD",
        "uniformBucketLevelAccess": True,
        "versioning": {"enabled": False},
    }


def test_the_reader_reads_the_copier_writes_and_no_other_server_may_anything(own: Recording) -> None:
    assert {(one.name, one.inputs["role"], one.inputs["member"]) for one in of_type(own, MEMBER)} == {
        ("model-store-chat-object-viewer", "roles/storage.objectViewer", f"{POOL}chat"),
        ("model-store-chat-bucket-viewer", "roles/storage.bucketViewer", f"{POOL}chat"),
        ("model-store-model-copy-object-user", "roles/storage.objectUser", f"{POOL}model-copy"),
    }


def test_the_job_runs_the_program_as_an_account_of_its_own(own: Recording) -> None:
    inputs = job(own).inputs
    assert inputs["metadata"]["annotations"] == {"pulumi.com/replaceUnready": "true"}
    pod = inputs["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "model-copy"
    assert find(own, SERVICE_ACCOUNT, "model-store-account").inputs["metadata"]["name"] == "model-copy"
    program = find(own, CONFIG_MAP, "model-store-program").inputs
    assert program["metadata"]["name"] == pod["volumes"][0]["configMap"]["name"] == "model-copy"
    assert program["data"] == {"copy_model.py": program_text()}
    (secret,) = [one["secret"] for one in pod["volumes"] if "secret" in one]
    assert (secret["secretName"], secret["items"]) == ("hub", [{"key": "word", "path": "token"}])
    labels = inputs["spec"]["template"]["metadata"]["labels"]
    selector = find(own, NETWORK_POLICY, "model-store-network-policy").inputs["spec"]["podSelector"]["matchLabels"]
    assert selector.items() <= labels.items()


def test_pulumi_waits_longer_for_the_job_than_the_job_itself(own: Recording) -> None:
    found = job(own)
    assert found.inputs["spec"]["activeDeadlineSeconds"] == 1800
    assert found.options["customTimeouts"]["create"] == "1860s"


def test_pods_of_a_reader_come_after_its_rights_and_its_copy_and_others_wait_for_nothing(own: Recording) -> None:
    chat = names_of(find(own, DEPLOYMENT, "chat-deployment").dependencies)
    assert {job(own).name, "model-store-chat-object-viewer", "model-store-chat-bucket-viewer"} <= set(chat)
    hub = names_of(find(own, DEPLOYMENT, "hub-deployment").dependencies)
    assert not [name for name in hub if name.startswith("model-store")]
    before = set(names_of(job(own).dependencies))
    assert {
        "llm-inference",
        "model-store-account",
        "model-store-model-copy-object-user",
        "model-store-network-policy",
        "model-store-program",
    } <= before


def test_of_anothers_bucket_the_stack_gives_rights_and_copies_nothing_where_others_do(anothers: Recording) -> None:
    assert of_type(anothers, BUCKET) == of_type(anothers, JOB) == of_type(anothers, CONFIG_MAP) == []
    assert [one.inputs["bucket"] for one in of_type(anothers, MEMBER)] == ["ours", "ours"]
    assert [one.name for one in of_type(anothers, NETWORK_POLICY)] == ["chat-network-policy", "hub-network-policy"]
