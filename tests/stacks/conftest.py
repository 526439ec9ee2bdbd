"""Recordings that tests of stacks look into."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Recording
from tests.support import STACKS, Recordings

LONG_NAME = "an-inference-server-whose-name-goes-on-and-on-until-nobody-can-tell-it-from-"

LONG_NAMES = f"""
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {{mode: standard, location: us-central1}}
  gke-llm-inference:namespace: {"n" * 63}
  gke-llm-inference:nodePools:
    {LONG_NAME}pool-1: {{maxNodes: 8}}
    Pool With Spaces: {{accelerator: {{count: 2}}}}
  gke-llm-inference:servers:
    {LONG_NAME}one: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, replicas: 2}}
    {LONG_NAME}two: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct}}
    Gemma.7B: {{server: tgi, model: Qwen/Qwen2.5-7B-Instruct}}
    7b: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct}}
    Gëmma 7B ✓: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct}}
"""

ALL = (*STACKS, "gallery", "long-names")


def recording_of(recordings: Recordings, name: str) -> Recording:
    """The recording of a stack, of the gallery of components, or of the stack with long names."""
    if name == "gallery":
        return recordings.program(Path(__file__).parent.parent / "components" / "gallery.py")
    if name == "long-names":
        return recordings.config(LONG_NAMES)
    return recordings.stack(name)


# Scopes beyond a test keep the tests of one recording together, so that no process waits for another to make it.
@pytest.fixture(params=ALL, scope="module")
def recording(request: pytest.FixtureRequest, recordings: Recordings) -> Recording:
    """Each of the recordings that contracts hold for."""
    return recording_of(recordings, request.param)


@pytest.fixture(params=STACKS, scope="module")
def stack(request: pytest.FixtureRequest) -> str:
    """Each stack of the repository."""
    name: str = request.param
    return name
