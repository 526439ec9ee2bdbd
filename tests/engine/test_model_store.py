"""The store of models through the real engine: servers wait for a copy, made once, and anew where it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.engine.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.support import Bench, Events

COMMIT, OTHER = "a" * 40, "b" * 40
STACK = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: standard, location: us-central1, deletionProtection: false}
  gke-llm-inference:nodePools:
    l4: {accelerator: {type: nvidia-l4, count: 1}, maxNodes: 2}
  gke-llm-inference:huggingFace: {tokenSource: config}
  gke-llm-inference:modelStore: {bucket: {mode: create}, projectNumber: "123456789012"}
  gke-llm-inference:servers:
    gemma:
      server: vllm
      model: google/gemma-7b-it
      maxModelLen: 4096
      revision: REVISION
      modelSource: {source: modelStore}
"""
HOPELESS = """
import pulumi

def _hopeless(args):
    if args.type_ != "kubernetes:batch/v1:Job":
        return None
    spec = dict(args.props["spec"])
    spec["activeDeadlineSeconds"] = 2
    spec["template"]["spec"]["nodeSelector"] = {"nowhere": "true"}
    return pulumi.ResourceTransformationResult({**args.props, "spec": spec}, args.opts)

pulumi.runtime.register_stack_transformation(_hopeless)
"""
"""Gives a program's Jobs two seconds, and no node."""


def stack(revision: str = COMMIT) -> str:
    return STACK.replace("REVISION", revision)


def up(bench: Bench, text: str, program: Path | None = None) -> Events:
    return bench.run(bench.stack(text, program=program).up)


def job_of(events: Events) -> str:
    (name,) = [
        name
        for operation, name in events.steps
        if operation == "create" and "model-store-model-copy-" in name and "object-user" not in name
    ]
    return name


def test_a_servers_pods_come_after_the_copy_which_is_made_once_for_each_revision(bench: Bench) -> None:
    first = up(bench, stack())
    job = job_of(first)
    created = [name for operation, name in first.steps if operation == "create"]
    assert created.index(job) < created.index("gemma-deployment")
    found = bench.find("batch/v1", "Job", job.removeprefix("model-store-"))
    assert found is not None
    assert found["status"]["succeeded"] == 1
    assert up(bench, stack()).steps == []
    bench.run(bench.stack(stack()).refresh)
    assert up(bench, stack()).steps == []
    second = up(bench, stack(OTHER))
    another = job_of(second)
    assert another != job
    assert second.steps.index(("create", another)) < second.steps.index(("update", "gemma-deployment"))
    assert second.steps[-1] == ("delete", job)
    assert bench.find("batch/v1", "Job", job.removeprefix("model-store-")) is None


def test_a_copy_that_fails_ends_the_update_and_the_next_makes_it_anew(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "hopeless.py"
    program.write_text(HOPELESS + bench.stack(stack()).project.program.read_text("utf-8"), encoding="utf-8")
    with pytest.raises(EngineError, match="DeadlineExceeded"):
        up(bench, stack(), program)
    assert not bench.deployed()
    events = up(bench, stack())
    replaced = [name for operation, name in events.steps if operation == "replace"]
    assert len(replaced) == 1
    assert replaced[0].startswith("model-store-model-copy-")
    assert bench.deployment()["status"]["readyReplicas"] == 1


def test_on_autopilot_the_copy_finds_a_node_too(autopilot_bench: Bench) -> None:
    text = stack().replace("mode: standard", "mode: autopilot")
    text = "\n".join(line for line in text.splitlines() if "nodePools" not in line and "l4:" not in line)
    events = up(autopilot_bench, text)
    job = autopilot_bench.find("batch/v1", "Job", job_of(events).removeprefix("model-store-"))
    assert job is not None
    assert job["status"]["succeeded"] == 1
    assert autopilot_bench.deployment()["status"]["readyReplicas"] == 1
