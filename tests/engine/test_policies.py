"""The policy pack in the real CLI says what the offline check says, and stops an update where it is mandatory."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation import EngineEvent

from gke_llm_inference.policy.preview_check import check_recording
from local.engine.errors import EngineError
from local.engine.stack import EngineStack
from tests.engine.support import Bench
from tests.policy.analyzer import said_offline
from tests.support import REPOSITORY, STACKS, Recordings

PACK = REPOSITORY / "policy-pack"
UNPROTECTED = """
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: standard, location: us-central1, deletionProtection: false}
  gke-llm-inference:nodePools:
    l4: {accelerator: {type: nvidia-l4, count: 1}, maxNodes: 2}
  gke-llm-inference:huggingFace: {tokenSource: config}
  gke-llm-inference:observability:
    metrics: {enabled: true}
    alerts: {enabled: true, notificationChannels: [projects/my-project/notificationChannels/1]}
  gke-llm-inference:servers:
    gemma: {server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}
"""


@pytest.fixture
def bench_with_analyzer(bench: Bench, tmp_path: Path) -> Bench:
    """The CLI starts a pack with its language host; this script does what that would, and no more."""
    directory = tmp_path / "analyzer"
    directory.mkdir()
    script = directory / "pulumi-analyzer-policy-python"
    script.write_text(f'#!/bin/sh\nexec \'{sys.executable}\' -u -m pulumi.policy "$1" "$2"\n')
    script.chmod(0o755)
    bench.environment = {**bench.environment, "PATH": os.pathsep.join([str(directory), bench.environment["PATH"]])}
    return bench


class Said:
    """Collects what policies say; give `take` as `on_event`."""

    def __init__(self) -> None:
        self.policies: list[tuple[str, str, str, str]] = []

    def take(self, event: EngineEvent) -> None:
        policy = event.policy_event
        if policy is not None:
            assert policy.policy_pack_name == "gke-llm-inference"
            message = policy.message.removesuffix("\n")
            self.policies.append((policy.policy_name, policy.enforcement_level, policy.resource_urn or "", message))


def previewed(stack: EngineStack, **options: Any) -> list[tuple[str, str, str, str]]:
    said = Said()
    stack.preview(said.take, policy_packs=[str(PACK)], **options)
    return sorted(said.policies)


@pytest.mark.parametrize("name", STACKS)
def test_a_preview_with_the_pack_says_what_the_offline_check_says(
    bench_with_analyzer: Bench, recordings: Recordings, name: str
) -> None:
    stack = bench_with_analyzer.stack_of(REPOSITORY / f"Pulumi.{name}.yaml")
    assert previewed(stack) == said_offline(check_recording(recordings.stack(name)))


def test_a_mandatory_policy_fails_the_preview_and_keeps_an_update_from_the_resource(
    bench_with_analyzer: Bench, recordings: Recordings, tmp_path: Path
) -> None:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(UNPROTECTED)
    stack = bench_with_analyzer.stack_of(path)
    said = Said()
    with pytest.raises(EngineError, match="preview failed"):
        stack.preview(said.take, policy_packs=[str(PACK)])
    assert sorted(said.policies) == said_offline(check_recording(recordings.file(path)))
    # Without a preview before it, an update makes what it comes to before the resource that the policy refuses.
    with pytest.raises(EngineError, match="deletion-protection"):
        stack.up(policy_packs=[str(PACK)])
    assert not [id_ for id_ in bench_with_analyzer.cloud.resources if "/clusters/" in id_]
    assert bench_with_analyzer.empty()
