"""A volume that GKE fills, through the real engine: before the pods, and another one beside it for another commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine.support import Bench, Events

COMMIT, OTHER = "a" * 40, "b" * 40
STACK = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster:
    {mode: standard, location: us-central1, gkeVersion: 1.36.4-gke.1000000, deletionProtection: false}
  gke-llm-inference:nodePools:
    l4: {accelerator: {type: nvidia-l4, count: 1}, maxNodes: 3, zones: [us-central1-a]}
  gke-llm-inference:modelStore:
    {bucket: {mode: existing, name: acme-models}, copy: false, projectNumber: "123456789012"}
  gke-llm-inference:servers:
    chat:
      server: vllm
      model: Qwen/Qwen2.5-7B-Instruct
      maxModelLen: 4096
      revision: REVISION
      modelSource: {source: modelStore, by: hyperdiskMl}
"""


def up(bench: Bench, commit: str) -> Events:
    return bench.run(bench.stack(STACK.replace("REVISION", commit)).up)


def claim_of(events: Events, operation: str = "create") -> str:
    (name,) = [name for done, name in events.steps if done == operation and name.endswith("-claim")]
    return name


def test_pods_come_after_their_volume_and_another_commit_is_another_volume(bench: Bench) -> None:
    first = up(bench, COMMIT)
    claim = claim_of(first)
    created = [name for operation, name in first.steps if operation == "create"]
    assert created.index("gcs-to-hdml-compute-class") < created.index(claim) < created.index("chat-deployment")
    found = bench.find("v1", "PersistentVolumeClaim", claim.removesuffix("-claim"))
    assert found is not None
    assert found["status"]["phase"] == "Bound"
    assert up(bench, COMMIT).steps == []
    second = up(bench, OTHER)
    another = claim_of(second)
    assert another != claim
    assert claim_of(second, "delete") == claim
    order = [second.steps.index(one) for one in (("create", another), ("update", "chat-deployment"), ("delete", claim))]
    assert order == sorted(order)
