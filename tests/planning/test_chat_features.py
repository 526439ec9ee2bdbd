"""Structured output, tools, reasoning and media: arguments by version, memory, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.settings import Refusal
from tests.planning.support import UNFIT, outcome_of, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

POOLS = {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 8}}
QWEN: Raw = {"server": "vllm", "model": "Qwen/Qwen3-8B", "maxModelLen": 4096, **UNFIT}
VISION: Raw = {"server": "vllm", "model": "Qwen/Qwen2.5-VL-7B-Instruct", "maxModelLen": 4096, **UNFIT}


def one(server: Raw, **keys: Any) -> Raw:
    return standard_stack(POOLS, {"s": {**server, **keys}})


def arguments(server: Raw, **keys: Any) -> list[str]:
    (with_them,) = planned(one(server, **keys)).servers
    version = {"version": keys["version"]} if "version" in keys else {}
    (without,) = planned(one(server, **version)).servers
    return [argument for argument in with_them.arguments if argument not in without.arguments]


@pytest.mark.parametrize(
    ("server", "keys", "expected"),
    [
        (QWEN, {"structuredOutputBackend": "xgrammar"}, ['--structured-outputs-config={"backend":"xgrammar"}']),
        (
            QWEN,
            {"structuredOutputBackend": "guidance", "version": "0.10.0"},
            ["--guided-decoding-backend=guidance"],
        ),
        (QWEN, {"toolCallParser": "hermes"}, ["--enable-auto-tool-choice", "--tool-call-parser=hermes"]),
        (QWEN, {"reasoningParser": "qwen3"}, ["--reasoning-parser=qwen3"]),
        (VISION, {"limitMmPerPrompt": {"image": 2, "video": 0}}, ['--limit-mm-per-prompt={"image":2,"video":0}']),
        (VISION, {"languageModelOnly": True}, ["--language-model-only"]),
        (
            VISION,
            {"allowedMediaDomains": ["images.acme.example", "cdn.acme.example"]},
            ["--allowed-media-domains", "images.acme.example", "cdn.acme.example"],
        ),
    ],
)
def test_a_version_is_told_in_its_own_words(server: Raw, keys: Raw, expected: list[str]) -> None:
    assert arguments(server, **keys) == expected


@pytest.mark.parametrize(
    ("server", "keys", "path", "what", "fix"),
    [
        (QWEN, {"toolCallParser": "hermez"}, "toolCallParser", "hermez is no parser of vLLM 0.26.0", "hermes"),
        (QWEN, {"reasoningParser": "qwen33"}, "reasoningParser", "qwen33 is no parser of vLLM 0.26.0", "qwen3"),
        (
            QWEN,
            {"limitMmPerPrompt": {"image": 2}},
            "limitMmPerPrompt",
            "takes text alone",
            "use a model that sees",
        ),
        (QWEN, {"languageModelOnly": True}, "languageModelOnly", "takes text alone", "remove it"),
        (
            VISION,
            {"languageModelOnly": True, "version": "0.10.0"},
            "languageModelOnly",
            "is not known to have --language-model-only",
            "limitMmPerPrompt",
        ),
        (
            VISION,
            {"allowedMediaDomains": ["a.example"], "version": "0.10.0"},
            "allowedMediaDomains",
            "has no --allowed-media-domains",
            "use 0.11.0 or newer",
        ),
        (
            VISION,
            {"allowedMediaDomains": ["a.example"], "languageModelOnly": True},
            "allowedMediaDomains",
            "of which there are none",
            "allow images",
        ),
        (
            VISION,
            {"limitMmPerPrompt": {"image": 1}, "extraArgs": ["--limit-mm-per-prompt.image=4"]},
            "extraArgs[0]",
            "says again",
            "remove it",
        ),
        (
            {**QWEN, "model": "meta-llama/Llama-2-13b-hf"},
            {"toolCallParser": "hermes"},
            "toolCallParser",
            "has no chat template",
            "instruct version",
        ),
    ],
)
def test_what_cannot_work_is_refused(server: Raw, keys: Raw, path: str, what: str, fix: str) -> None:
    (problem,) = problems_of(one(server, **keys))
    assert problem.path == f"servers.s.{path}"
    assert what in problem.what
    assert fix in problem.fix


def warnings(server: Raw, **keys: Any) -> list[str]:
    return [one.path for one in planned(one(server, **keys)).warnings if one.path.endswith(("Parser", "Domains"))]


def test_a_parser_of_another_family_is_told() -> None:
    assert warnings(QWEN, toolCallParser="llama3_json") == ["servers.s.toolCallParser"]
    assert warnings(QWEN, toolCallParser="hermes", reasoningParser="qwen3") == []
    assert warnings({**QWEN, "model": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"}, reasoningParser="deepseek_r1") == []


def test_an_exposed_server_that_fetches_from_anywhere_is_told() -> None:
    gateway = {"exposure": "internal", "hostname": "llm.acme.example"}

    def told(**keys: Any) -> list[str]:
        outcome = outcome_of({**one(VISION, **keys), "gateway": gateway})
        found = outcome.problems if isinstance(outcome, Refusal) else outcome.warnings
        return [finding.path for finding in found if finding.path.endswith("Domains")]

    assert told() == ["servers.s.allowedMediaDomains"]
    assert told(allowedMediaDomains=["images.acme.example"]) == []
    assert told(limitMmPerPrompt={"image": 0, "video": 0}) == []


def test_prompts_without_images_leave_more_room_for_certain() -> None:
    (sees,) = planned(one(VISION)).servers
    (blind,) = planned(one(VISION, limitMmPerPrompt={"image": 0, "video": 0})).servers
    (only,) = planned(one(VISION, languageModelOnly=True)).servers
    (one_image,) = planned(one(VISION, limitMmPerPrompt={"image": 1})).servers
    (many,) = planned(one(VISION, limitMmPerPrompt={"image": 20})).servers
    plans = [server.memory for server in (blind, only, one_image, many, sees)]
    bands = [plan.band_mib[1] for plan in plans if plan is not None]
    assert bands == sorted(bands)
    assert bands[0] == bands[1] < bands[2]
    weights = {plan.weights_mib for plan in plans if plan is not None}
    assert len(weights) == 1
