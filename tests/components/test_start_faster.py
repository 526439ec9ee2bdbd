"""What lets pods start faster: disks with images that a cluster allows, and places for what was compiled."""

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import DEPLOYMENT, Recordings, find, of_type

KIND = "kubernetes:node.gke.io/v1:GCPResourceAllowlist"
STACK = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 4096
      keepCompileCache: {storage: disk, sizeGib: 20}
      secondaryBootDisk: {image: projects/my-project/global/images/vllm}
"""


IN_BUCKET = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1, labels: {team: ml}}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 4096
      replicas: 2
      keepCompileCache: {storage: bucket, name: acme-chat, projectNumber: "123456789012"}
"""


@pytest.fixture(scope="module")
def recording(recordings: Recordings) -> Recording:
    return recordings.config(STACK)


def test_the_list_has_the_name_that_gke_looks_for(recording: Recording) -> None:
    (allowlist,) = of_type(recording, KIND)
    assert allowlist.inputs["metadata"]["name"] == "gke-secondary-boot-disk-allowlist"
    assert "namespace" not in allowlist.inputs["metadata"]
    assert allowlist.inputs["spec"] == {"allowedResourcePatterns": ["projects/my-project/global/images/vllm"]}


def test_pods_come_after_the_list_and_the_disk_of_their_cache(recording: Recording) -> None:
    deployment = find(recording, DEPLOYMENT, "chat-deployment")
    claim = find(recording, "kubernetes:core/v1:PersistentVolumeClaim", "chat-compile-cache")
    (allowlist,) = of_type(recording, KIND)
    assert {allowlist.urn, claim.urn} <= set(deployment.dependencies)
    assert claim.inputs["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert claim.inputs["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "20Gi"}},
        "storageClassName": "premium-rwo",
    }
    label = "cloud.google.com.node-restriction.kubernetes.io/gke-secondary-boot-disk-vllm"
    assert deployment.inputs["spec"]["template"]["spec"]["nodeSelector"][label] == "CONTAINER_IMAGE_CACHE.my-project"


def test_a_compute_class_names_the_disk_image_and_its_project(recordings: Recordings) -> None:
    tiers = "capacity: [onDemand, spot]"
    made = recordings.config(STACK.replace("maxModelLen: 4096", f"maxModelLen: 4096\n      {tiers}"))
    (one,) = of_type(made, "kubernetes:cloud.google.com/v1:ComputeClass")
    assert [rule["storage"]["secondaryBootDisks"] for rule in one.inputs["spec"]["priorities"]] == [
        [{"diskImageName": "vllm", "mode": "CONTAINER_IMAGE_CACHE", "project": "my-project"}]
    ] * 2
    assert one.inputs["spec"]["nodePoolConfig"]["imageStreaming"] == {"enabled": True}


def test_a_compute_class_attaches_local_ssds(recordings: Recordings) -> None:
    made = recordings.config(STACK.replace("maxModelLen: 4096", "maxModelLen: 4096\n      localSsds: 1"))
    (one,) = of_type(made, "kubernetes:cloud.google.com/v1:ComputeClass")
    (rule,) = one.inputs["spec"]["priorities"]
    assert (rule["machineType"], rule["storage"]["localSSDCount"]) == ("g2-standard-8", 1)


def test_a_bucket_of_compiled_code_is_written_by_one_account_alone(recordings: Recordings) -> None:
    made = recordings.config(IN_BUCKET)
    bucket = find(made, "gcp:storage/bucket:Bucket", "chat-compile-cache")
    assert bucket.inputs == {
        "forceDestroy": True,
        "labels": {"team": "ml"},
        "location": "US-CENTRAL1",
        "name": "acme-chat",
        "project": "my-project",
        "publicAccessPrevention": "enforced",
        "softDeletePolicy": {"retentionDurationSeconds": 0},
        "storageClass": "STANDARD",
        "uniformBucketLevelAccess": True,
        "versioning": {"enabled": False},
    }
    members = of_type(made, "gcp:storage/bucketIAMMember:BucketIAMMember")
    assert {(one.inputs["role"], one.inputs["member"].rpartition("/")[2]) for one in members} == {
        ("roles/storage.bucketViewer", "chat"),
        ("roles/storage.objectUser", "chat"),
    }
    deployment = find(made, DEPLOYMENT, "chat-deployment")
    assert {bucket.urn, *(one.urn for one in members)} <= set(deployment.dependencies)
