"""An image of one's own against the server and the version that are planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gke_llm_inference.settings import Refusal
from tests.planning.support import existing_stack, only_problem, outcome_of

if TYPE_CHECKING:
    from tests.settings.support import Raw

DIGEST = f"sha256:{'a' * 64}"


def stack(image: str, server: str = "vllm", version: str | None = None) -> Raw:
    asked = {"server": server, "model": "google/gemma-7b-it", "maxModelLen": 2048, "image": image}
    return existing_stack({"gemma": {**asked, **({"version": version} if version else {})}})


@pytest.mark.parametrize(
    ("image", "server", "version"),
    [
        ("docker.io/vllm/vllm-openai:v0.26.0", "vllm", None),
        ("vllm/vllm-openai:v0.26.0-cu129", "vllm", None),
        ("vllm/vllm-openai:v0.10.0", "vllm", "0.10.0"),
        ("vllm/vllm-openai:v0.10", "vllm", "0.10.0"),
        ("europe-docker.pkg.dev/mine/mirror/vllm/vllm-openai:v0.19.1", "vllm", "0.19.1"),
        (f"vllm/vllm-openai:v0.26.0@{DIGEST}", "vllm", None),
        (f"vllm/vllm-openai@{DIGEST}", "vllm", None),
        ("registry.example:5000/mine/llm:2.1", "vllm", None),
        ("ghcr.io/huggingface/text-generation-inference:3.3.7", "tgi", None),
        ("ghcr.io/huggingface/text-generation-inference:2.3.1", "tgi", "2.3.1"),
        (
            "us-docker.pkg.dev/deeplearning-platform-release/gcr.io/"
            "huggingface-text-generation-inference-cu124.2-3.ubuntu2204.py311:latest-1",
            "tgi",
            "2.3.1",
        ),
    ],
)
def test_an_image_of_the_planned_version_is_planned_without_a_word(
    image: str, server: str, version: str | None
) -> None:
    outcome = outcome_of(stack(image, server, version))
    assert not isinstance(outcome, Refusal), str(outcome)
    assert [one for one in outcome.warnings if one.path == "servers.gemma.image"] == []


@pytest.mark.parametrize(
    ("image", "server", "version", "what"),
    [
        ("vllm/vllm-openai:v0.10.0", "vllm", None, "is of vLLM 0.10.0, and the plan is for 0.26.0"),
        ("vllm/vllm-openai:v0.26.1", "vllm", "0.26.0", "is of vLLM 0.26.1, and the plan is for 0.26.0"),
        (
            "mirror.example/v/vllm-openai:v0.33.0-cu130",
            "vllm",
            "0.10.0",
            "is of vLLM 0.33.0, and the plan is for 0.10.0",
        ),
        (f"vllm/vllm-openai:v0.19.1@{DIGEST}", "vllm", None, "is of vLLM 0.19.1, and the plan is for 0.26.0"),
        (
            "us-docker.pkg.dev/d/huggingface-text-generation-inference-cu124.2-3.ubuntu2204.py311:latest-1",
            "tgi",
            None,
            "is of Text Generation Inference 2.3, and the plan is for 3.3.7",
        ),
        ("vllm/vllm-openai:v0.26.0", "tgi", None, "is an image of vLLM, not of Text Generation Inference"),
        (
            "ghcr.io/huggingface/text-generation-inference:3.3.7",
            "vllm",
            None,
            "is an image of Text Generation Inference, not of vLLM",
        ),
        ("registry.example/tgi:3.3.7", "vllm", None, "is an image of Text Generation Inference, not of vLLM"),
        ("lmsysorg/sglang:v0.5.0-cu129", "vllm", None, "is an image of sglang, not of vLLM"),
        ("ollama/ollama:0.9.0", "vllm", None, "is an image of ollama, not of vLLM"),
        ("rocm/vllm:v0.26.0", "vllm", None, "is built for other hardware: rocm"),
        ("vllm/vllm-openai:v0.26.0-aarch64", "vllm", None, "is built for other hardware: aarch64"),
        ("ghcr.io/huggingface/text-generation-inference:3.3.7-rocm", "tgi", None, "is built for other hardware: rocm"),
        ("vllm/vllm-tpu:v0.26.0", "vllm", None, "is built for other hardware: tpu"),
    ],
)
def test_an_image_that_cannot_be_what_is_planned_is_refused(
    image: str, server: str, version: str | None, what: str
) -> None:
    problem = only_problem(stack(image, server, version))
    assert (problem.path, problem.what) == ("servers.gemma.image", what)
    assert problem.fix


@pytest.mark.parametrize(
    ("image", "what"),
    [
        ("mine/vllm:1.4.0", "its tag says 1.4.0, and the plan is for vLLM 0.26.0"),
        ("vllm/vllm-openai:nightly-0123abc", "its tag nightly-0123abc does not say which version it holds"),
    ],
)
def test_an_image_that_may_be_another_version_is_a_warning(image: str, what: str) -> None:
    outcome = outcome_of(stack(image))
    assert not isinstance(outcome, Refusal), str(outcome)
    (warning,) = [one for one in outcome.warnings if one.path == "servers.gemma.image"]
    assert warning.what == what
