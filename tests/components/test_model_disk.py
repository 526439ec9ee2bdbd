"""Volumes of Hyperdisk ML as resources: what fills them, what comes after what, and the caches of a bucket."""

from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import DEPLOYMENT, SERVICE_ACCOUNT, Recordings, find, names_of, of_type

COMMIT = "a" * 40
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
STORAGE_CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
DATA_SOURCE = "kubernetes:datalayer.gke.io/v1:GCPDataSource"
COMPUTE_CLASS = "kubernetes:cloud.google.com/v1:ComputeClass"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
CACHE = "gcp:storage/anywhereCache:AnywhereCache"
STACK = f"""\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {{mode: standard, location: us-central1, gkeVersion: 1.36.4-gke.1000000}}
  gke-llm-inference:nodePools: {{l4: {{maxNodes: 4, zones: [us-central1-a]}}}}
  gke-llm-inference:modelStore: {{bucket: {{mode: create}}, projectNumber: "123456789012"}}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 4096
      revision: {COMMIT}
      replicas: 3
      modelSource: {{source: modelStore, by: hyperdiskMl}}
    files:
      server: tgi
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 4096
      revision: {COMMIT}
      modelSource: {{source: modelStore, by: gcsfuse, anywhereCache: true}}
"""


@pytest.fixture(scope="module")
def own(recordings: Recordings) -> Recording:
    return recordings.config(STACK)


def only(recording: Recording, kind: str) -> Any:
    (found,) = of_type(recording, kind)
    return found


def test_the_volume_is_filled_before_the_pods_that_read_it(own: Recording) -> None:
    claim, source = only(own, CLAIM), only(own, DATA_SOURCE)
    assert claim.inputs["spec"]["dataSourceRef"]["name"] == source.inputs["metadata"]["name"]
    # A claim whose source is gone can never be deleted.
    assert {source.name, only(own, STORAGE_CLASS).name} <= set(names_of(claim.dependencies))
    # Half an hour, and 14.2 GiB at a fifth of the slowest volume's throughput.
    assert claim.options["customTimeouts"] == {"create": "1978s"}
    deployment = find(own, DEPLOYMENT, "chat-deployment")
    assert claim.name in names_of(deployment.dependencies)
    assert claim.name not in names_of(find(own, DEPLOYMENT, "files-deployment").dependencies)
    spec = deployment.inputs["spec"]["template"]["spec"]
    assert spec["nodeSelector"]["topology.kubernetes.io/zone"] == "us-central1-a"
    assert {"claimName": claim.inputs["metadata"]["name"], "readOnly": True} in [
        one.get("persistentVolumeClaim") for one in spec["volumes"]
    ]


def test_one_account_alone_reads_the_bucket_for_it(own: Recording) -> None:
    """The pods have another, which may read nothing."""
    source = only(own, DATA_SOURCE)
    assert source.inputs["spec"]["cloudStorage"] == {
        "serviceAccountName": "chat-model",
        "uri": f"gs://my-project-gke-llm-inference-test-models/Qwen/Qwen2.5-7B-Instruct/{COMMIT}/",
    }
    account = find(own, SERVICE_ACCOUNT, "chat-model-account")
    assert account.inputs["metadata"]["name"] == "chat-model"
    assert account.name in names_of(source.dependencies)
    readers = {one.inputs["member"].rpartition("/")[2] for one in of_type(own, MEMBER)}
    assert {"chat-model", "files"} <= readers
    assert "chat" not in readers
    members = {one.name for one in of_type(own, MEMBER) if one.inputs["member"].endswith("/sa/chat-model")}
    assert members <= set(names_of(source.dependencies))


def test_its_nodes_are_those_that_gke_looks_for(own: Recording) -> None:
    found = only(own, COMPUTE_CLASS)
    assert found.inputs["metadata"]["name"] == "gcs-to-hdml-compute-class"
    assert found.inputs["spec"] == {
        "priorities": [{"machineFamily": "c3"}, {"machineFamily": "c3d"}],
        "nodePoolAutoCreation": {"enabled": True},
        "whenUnsatisfiable": "DoNotScaleUp",
        # The account of the stack's own nodes; the preview does not know its address.
        "nodePoolConfig": {"serviceAccount": "[unknown]"},
    }
    assert found.name in names_of(only(own, CLAIM).dependencies)


def test_a_cache_is_in_the_zones_of_the_pods_that_want_one(own: Recording) -> None:
    cache = only(own, CACHE)
    assert (cache.inputs["zone"], cache.inputs["ttl"]) == ("us-central1-a", "3600s")


def test_a_stack_without_such_a_server_has_nothing_of_it(recordings: Recordings) -> None:
    plain = recordings.config(STACK.replace(", by: hyperdiskMl", "").replace(", anywhereCache: true", ""))
    assert not [kind for kind in (CLAIM, STORAGE_CLASS, DATA_SOURCE, COMPUTE_CLASS, CACHE) if of_type(plain, kind)]
