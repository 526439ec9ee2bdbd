"""Compute classes as they are made: their rules, what they wait for, and what waits for them."""

from typing import Any

import jsonschema
import pytest
import yaml

from gke_llm_inference.preview.recording import Recording
from tests.support import DEPLOYMENT, NODE_POOL, REPOSITORY, Recordings, find, names_of, of_type

CLASS = "kubernetes:cloud.google.com/v1:ComputeClass"
TIERS = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: standard, location: us-central1, gkeVersion: 1.35.1-gke.1000000}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 8192
      capacity:
        - {model: reservation, name: l4-res, project: shared-gpus, zones: [us-central1-a]}
        - onDemand
        - {model: flexStart, recycleLeadSeconds: 3600}
        - {model: spot, machineType: a2-highgpu-1g}
"""
POOLS = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: standard, location: us-central1}
  gke-llm-inference:nodePools:
    held: {provisioning: {model: reservation, name: l4-res}}
    spare: {provisioning: {model: spot}}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 8192
      capacity: [{nodePool: held}, {nodePool: spare}]
"""
SPEC = """\
whenUnsatisfiable: DoNotScaleUp
nodePoolAutoCreation: {enabled: true}
priorities:
  - machineType: g2-standard-8
    gpu: {type: nvidia-l4, count: 1, driverVersion: latest}
    reservations:
      affinity: Specific
      specific: [{name: l4-res, project: shared-gpus, zones: [us-central1-a]}]
    storage: {bootDiskType: pd-balanced, bootDiskSize: 100}
  - machineType: g2-standard-8
    gpu: {type: nvidia-l4, count: 1, driverVersion: latest}
    storage: {bootDiskType: pd-balanced, bootDiskSize: 100}
  - machineType: g2-standard-8
    gpu: {type: nvidia-l4, count: 1, driverVersion: latest}
    flexStart: {enabled: true, nodeRecycling: {leadTimeSeconds: 3600}}
    maxRunDurationSeconds: 604800
    capacityCheckWaitTimeSeconds: 1800
    storage: {bootDiskType: pd-balanced, bootDiskSize: 100}
  - machineType: a2-highgpu-1g
    gpu: {type: nvidia-tesla-a100, count: 1, driverVersion: latest}
    spot: true
    nodeSystemConfig:
      kubeletConfig: {shutdownGracePeriodSeconds: 120, shutdownGracePeriodCriticalPodsSeconds: 15}
    storage: {bootDiskType: pd-balanced, bootDiskSize: 100}
"""


@pytest.fixture(scope="module")
def tiers(recordings: Recordings) -> Recording:
    return recordings.config(TIERS)


@pytest.fixture(scope="module")
def pools(recordings: Recordings) -> Recording:
    return recordings.config(POOLS)


def test_a_class_has_a_rule_for_each_tier(tiers: Recording) -> None:
    (made,) = of_type(tiers, CLASS)
    spec = dict(made.inputs["spec"])
    assert spec.pop("nodePoolConfig").keys() == {"imageStreaming", "serviceAccount"}
    assert spec == yaml.safe_load(SPEC)
    assert made.inputs["metadata"] == {
        "name": "llm-inference-chat",
        "labels": {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"},
    }


def test_no_pod_is_there_before_its_class(tiers: Recording) -> None:
    deployment = find(tiers, DEPLOYMENT, "chat-deployment")
    assert "llm-inference-chat-compute-class" in names_of(deployment.dependencies)
    pod = deployment.inputs["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"cloud.google.com/compute-class": "llm-inference-chat"}


def test_ordered_pools_are_named_as_google_cloud_names_them(pools: Recording) -> None:
    (made,) = of_type(pools, CLASS)
    assert len(made.inputs["spec"]["priorities"]) == 2
    assert all(rule.keys() == {"nodepools"} for rule in made.inputs["spec"]["priorities"])
    assert {"held", "spare"} <= set(names_of(made.dependencies))


def test_nodes_of_ordered_pools_take_the_pods_of_their_class_alone(pools: Recording) -> None:
    name = "llm-inference-held-then-spare"
    for pool in of_type(pools, NODE_POOL)[-2:]:
        config = pool.inputs["nodeConfig"]
        assert config["labels"]["cloud.google.com/compute-class"] == name
        assert config["taints"] == [{"key": "cloud.google.com/compute-class", "value": name, "effect": "NO_SCHEDULE"}]


def test_every_field_is_one_that_the_definition_has(tiers: Recording, pools: Recording) -> None:
    definitions = yaml.safe_load((REPOSITORY / "local" / "gke" / "custom_resources.yaml").read_text("utf-8"))
    (schema,) = [closed(one["spec"]) for one in definitions if one["kind"] == "ComputeClass"]
    for recording in (tiers, pools):
        (made,) = of_type(recording, CLASS)
        jsonschema.validate(made.inputs["spec"], schema)


def closed(schema: Any) -> Any:
    """A schema that refuses every field which it does not name, as the API server does under strict validation."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    return made
