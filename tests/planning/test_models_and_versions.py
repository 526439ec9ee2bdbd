"""Which models and versions a plan takes, and what it says about the others."""

from __future__ import annotations

from typing import Any

import pytest

from gke_llm_inference.planning.versions import image_cuda, version_parts
from tests.planning.support import (
    CATALOG,
    GEMMA,
    QWEN,
    TGI,
    architecture,
    is_of_vulnerabilities,
    on_autopilot,
    only_pool,
    only_problem,
    planned,
    standard_stack,
)
from tests.settings.support import Raw, autopilot_stack

NO_TOKEN = {"tokenSource": "none"}


@pytest.mark.parametrize("source", [NO_TOKEN, None], ids=["none", "absent"])
@pytest.mark.parametrize(
    "server",
    [
        {},
        {"model": "meta-llama/Llama-3.1-8B-Instruct"},
        {"model": "me/mine", "architecture": architecture(gated=True)},
        {"architecture": architecture()},
    ],
    ids=["gemma", "llama", "described as gated", "gated, described as open"],
)
def test_a_gated_model_without_a_token_is_refused(server: Raw, source: Raw | None) -> None:
    raw = autopilot_stack(**server)
    del raw["huggingFace"]
    if source is not None:
        raw["huggingFace"] = source
    problem = only_problem(raw)
    model = server.get("model", "google/gemma-7b-it")
    assert problem.path == "servers.gemma.model"
    assert problem.what == f"{model} is gated and the stack has no Hugging Face token"
    assert "huggingFace.tokenSource" in problem.fix


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"tokenSource": "config"}, ("hf-secret", "hf_api_token")),
        ({"tokenSource": "config", "secretName": "a", "secretKey": "b"}, ("a", "b")),
        ({"tokenSource": "existingSecret", "secretName": "a", "secretKey": "b"}, ("a", "b")),
        ({"tokenSource": "secretManager", "secret": "s", "projectNumber": "123456"}, ("hf-secret", "hf_api_token")),
    ],
    ids=["config", "config elsewhere", "existing Secret", "Secret Manager"],
)
def test_a_gated_model_reads_its_token_from_the_secret_of_the_stack(source: Raw, expected: tuple[str, str]) -> None:
    (server,) = planned({**autopilot_stack(), "huggingFace": source}).servers
    assert server.uses_token
    assert (server.secret_name, server.secret_key) == expected


def test_an_open_model_needs_no_token() -> None:
    raw = {**autopilot_stack(**QWEN), "huggingFace": NO_TOKEN}
    (server,) = planned(raw).servers
    assert (server.uses_token, server.secret_name, server.secret_key) == (False, "", "")


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("google/gemma-7b-itt", "did you mean google/gemma-7b-it? Otherwise describe it"),
        ("Google/Gemma-7B-it", "did you mean google/gemma-7b-it? Otherwise describe it"),
        ("nobody/zzz", "describe it"),
    ],
)
def test_a_model_that_is_neither_known_nor_described_is_refused(model: str, fix: str) -> None:
    problem = only_problem(autopilot_stack(model=model))
    assert (problem.path, problem.what) == ("servers.gemma.model", f"{model} is not in the catalog")
    place = "under servers.gemma.architecture, or name its config.json under servers.gemma.configFile"
    assert problem.fix == f"{fix} {place}"


def test_a_model_that_is_described_needs_no_entry_in_the_catalog() -> None:
    plan = on_autopilot(model="me/mine", architecture=architecture(parameters=50 * 10**9))
    assert plan.model == "me/mine"
    assert plan.labels["ai.gke.io/model"] == "mine"
    assert plan.resources.cache_gib == 111  # ⌈93.13 GiB × 1.1⌉ + 8


@pytest.mark.parametrize(
    ("server", "version", "image"),
    [
        (GEMMA, "0.26.0", "docker.io/vllm/vllm-openai:v0.26.0"),
        ({**GEMMA, "version": "0.6.0"}, "0.6.0", "docker.io/vllm/vllm-openai:v0.6.0"),
        ({**GEMMA, "version": "0.10"}, "0.10.0", "docker.io/vllm/vllm-openai:v0.10.0"),
        ({**GEMMA, "version": "0.10.0"}, "0.10.0", "docker.io/vllm/vllm-openai:v0.10.0"),
        ({**GEMMA, "version": "0.12.3"}, "0.12.3", "docker.io/vllm/vllm-openai:v0.12.3"),
        ({**GEMMA, "version": "0.33.0"}, "0.33.0", "docker.io/vllm/vllm-openai:v0.33.0"),
        (TGI, "3.3.7", "ghcr.io/huggingface/text-generation-inference:3.3.7"),
        ({**TGI, "version": "2.3.1"}, "2.3.1", "ghcr.io/huggingface/text-generation-inference:2.3.1"),
        ({**TGI, "version": "3.0.0"}, "3.0.0", "ghcr.io/huggingface/text-generation-inference:3.0.0"),
    ],
    ids=lambda value: None if isinstance(value, str) else value["server"],
)
def test_a_known_version_or_one_in_between_is_planned_without_a_word(server: Raw, version: str, image: str) -> None:
    plan = planned(autopilot_stack(**server))
    assert (plan.servers[0].version, plan.servers[0].image) == (version, image)
    assert plan.servers[0].labels["app.kubernetes.io/version"] == version
    said = [one.path for one in plan.warnings if one.path.endswith("version") and not is_of_vulnerabilities(one)]
    assert said == []


@pytest.mark.parametrize(
    ("server", "what", "fix"),
    [
        ({**GEMMA, "version": "0.5.5"}, "vLLM 0.5.5 is older", "use 0.6.0 or later"),
        ({**TGI, "version": "2.3.0"}, "Text Generation Inference 2.3.0 is older", "use 2.3.1 or later"),
        ({**TGI, "version": "0.26.0"}, "Text Generation Inference 0.26.0 is older", "use 2.3.1 or later"),
    ],
    ids=lambda value: value["server"] if isinstance(value, dict) else None,
)
def test_a_version_older_than_every_known_one_is_refused(server: Raw, what: str, fix: str) -> None:
    problem = only_problem(autopilot_stack(**server))
    assert (problem.path, problem.fix) == ("servers.gemma.version", fix)
    assert problem.what == f"{what} than every version in the catalog"


@pytest.mark.parametrize(
    ("server", "tag", "newest"),
    [
        ({**GEMMA, "version": "0.33.1"}, "v0.33.1", "0.33.0"),
        ({**GEMMA, "version": "1.0"}, "v1.0.0", "0.33.0"),
        ({**TGI, "version": "4.0"}, "4.0.0", "3.3.7"),
    ],
    ids=lambda value: value["version"] if isinstance(value, dict) else value,
)
def test_a_version_newer_than_every_known_one_is_planned_with_a_warning(server: Raw, tag: str, newest: str) -> None:
    plan = planned(autopilot_stack(**server))
    (warning,) = [warning for warning in plan.warnings if warning.path == "servers.gemma.version"]
    assert "is newer than every version in the catalog" in warning.what
    assert warning.fix == f"use {newest}, or check the release notes"
    assert plan.servers[0].image.endswith(f":{tag}")


@pytest.mark.parametrize("server", [GEMMA, TGI], ids=["vllm", "tgi"])
def test_a_server_in_maintenance_is_planned_with_a_warning(server: Raw) -> None:
    warnings = {warning.path: warning for warning in planned(autopilot_stack(**server, maxModelLen=1024)).warnings}
    if server is GEMMA:
        assert warnings == {}
        return
    assert warnings["servers.gemma.server"].what == "Text Generation Inference is in maintenance mode"
    assert "vLLM or SGLang" in warnings["servers.gemma.server"].why
    assert warnings["servers.gemma.server"].fix == "use server: vllm"


def test_an_image_of_ones_own_takes_the_place_of_the_versions_image() -> None:
    plan = on_autopilot(image="registry.example/vllm:v0.26.0-cu129", version="0.26.0")
    assert (plan.image, plan.version) == ("registry.example/vllm:v0.26.0-cu129", "0.26.0")


@pytest.mark.parametrize(
    ("kind", "version", "image", "cuda"),
    [
        ("vllm", "0.6.0", "vllm/vllm-openai:v0.6.0", "12.1"),
        ("vllm", "0.10.0", "vllm/vllm-openai:v0.10.0", "12.8"),
        ("vllm", "0.19.1", "vllm/vllm-openai:v0.19.1", "12.8"),
        ("vllm", "0.20.0", "vllm/vllm-openai:v0.20.0", "13.0"),
        ("vllm", "0.26.0", "vllm/vllm-openai:v0.26.0", "13.0"),
        ("vllm", "0.26.0", "vllm/vllm-openai:v0.26.0-cu129", "12.9"),
        ("vllm", "0.10.0", "vllm/vllm-openai:v0.10.0-cu130", "13.0"),
        ("tgi", "3.3.7", "ghcr.io/huggingface/text-generation-inference:3.3.7", "12.4"),
        ("vllm", "0.26.0", "vllm/vllm-openai:cu129-nightly", "12.9"),
        ("vllm", "0.26.0", "localhost:5000/vllm@sha256:abc", "13.0"),
        pytest.param(
            *("tgi", "2.3.1", "r/huggingface-text-generation-inference-cu121.2-3.ubuntu2204.py311:1", "12.1"),
        ),
    ],
)
def test_the_cuda_version_follows_from_the_image_or_the_version(kind: Any, version: str, image: str, cuda: str) -> None:
    assert image_cuda(CATALOG.servers[kind], version, image) == cuda


@pytest.mark.parametrize(
    ("server", "driver"),
    [
        (GEMMA, "latest"),
        ({**GEMMA, "version": "0.10.0"}, "default"),
        ({**GEMMA, "image": "vllm/vllm-openai:v0.26.0-cu129"}, "default"),
        ({**GEMMA, "version": "0.20"}, "latest"),
        (TGI, "default"),
    ],
    ids=["CUDA 13", "CUDA 12.8", "CUDA 12.9 by image", "CUDA 13, short version", "TGI"],
)
def test_cuda_13_gets_the_latest_driver_and_older_cuda_the_default(server: Raw, driver: str) -> None:
    assert on_autopilot(**server).node_selector["cloud.google.com/gke-gpu-driver-version"] == driver
    assert only_pool(standard_stack({"l4": {}}, {"gemma": server})).driver_version == driver


def test_a_pool_gets_the_driver_for_the_newest_cuda_of_its_servers() -> None:
    servers = {"old": {**GEMMA, "version": "0.10.0"}, "new": GEMMA}
    assert only_pool(standard_stack({"l4": {"maxNodes": 2}}, servers)).driver_version == "latest"


def test_a_pool_keeps_the_driver_that_was_asked_for() -> None:
    assert only_pool(standard_stack({"l4": {"driverVersion": "default"}}, {"gemma": GEMMA})).driver_version == "default"


def test_versions_compare_by_their_numbers() -> None:
    assert version_parts("0.9.2") < version_parts("0.10.0") < version_parts("0.33.0") < version_parts("1.0.0")


def test_a_version_without_its_last_part_means_the_first_of_its_line() -> None:
    (warning,) = planned(autopilot_stack(version="0.10", maxModelLen=1024)).warnings
    assert is_of_vulnerabilities(warning)
    assert warning.what.startswith("vLLM 0.10.0 has ")
