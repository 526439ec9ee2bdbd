"""Every argument that a preset can give is one of the real package's, and each of its choices too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.catalog.preset_facts import Technique
from gke_llm_inference.planning.command_line import command_line
from gke_llm_inference.planning.model_source.decide import place_of
from gke_llm_inference.planning.model_source.source import model_source_of
from gke_llm_inference.planning.model_source.streamer import plan_streamer
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.planning.presets import apply_presets
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import VllmSettings
from gke_llm_inference.settings.findings import problems_of
from tests.planning.support import CATALOG
from tools.extract_vllm_flags import read
from tools.preset_reference import cell

if TYPE_CHECKING:
    from pathlib import Path


# What a goal chooses is settings that a technique or a stack could state, and the planner holds it against the flags.
TECHNIQUES = [name for name, preset in load_catalog().presets.items() if isinstance(preset, Technique)]


@pytest.fixture(scope="module")
def fresh_flags(vllm_version: str, vllm_wheel: Path) -> ServerFlags:
    """The flags of the package, extracted anew rather than read from the catalog."""
    extraction = read(vllm_wheel, vllm_version)
    return ServerFlags.model_validate(
        {
            "server": "vllm",
            "version": vllm_version,
            "source": "the package",
            "date": "2026-11-23",
            "flags": extraction.flags,
        }
    )


def refused_by(flags: ServerFlags, arguments: tuple[str, ...]) -> list[str]:
    return [problem for text in arguments if text.startswith("-") and (problem := flags.check(text)) is not None]


@pytest.mark.parametrize("preset", TECHNIQUES)
def test_the_package_takes_the_arguments_of_every_allowed_cell(
    preset: str, vllm_version: str, fresh_flags: ServerFlags
) -> None:
    one = cell(preset, "vllm", vllm_version, CATALOG)
    assert bool(one.refusals) is not bool(one.arguments or one.notes)
    assert refused_by(fresh_flags, one.arguments) == []


@pytest.mark.parametrize("preset", TECHNIQUES)
def test_the_package_takes_all_arguments_of_a_server_with_the_preset_and_any_model(
    preset: str, vllm_version: str, fresh_flags: ServerFlags
) -> None:
    allowed = 0
    generators = [name for name, facts in CATALOG.models.items() if facts.task == "generate"]
    for name in (*generators, *(one for one, known in CATALOG.checkpoints.items() if known.base in generators)):
        settings = VllmSettings.model_validate(
            {"server": "vllm", "version": vllm_version, "model": name, "presets": (preset,)}
        )
        model, _ = served_model("server", settings, CATALOG)
        assert model is not None
        applied = apply_presets("server", settings, vllm_version, model, CATALOG)
        if problems_of(applied.findings):
            continue
        line, _, problems = command_line("server", applied.settings, vllm_version, CATALOG)
        allowed += 1
        assert (problems, refused_by(fresh_flags, tuple(one.text for one in line))) == ([], [])
    refused = bool(cell(preset, "vllm", vllm_version, CATALOG).refusals)
    assert refused is (allowed == 0) or preset == "squeezellm"


@pytest.mark.parametrize(
    "settings",
    [
        {"maxModelLen": 4096, "maxNumSeqs": 64, "maxNumBatchedTokens": 4096},
        {"gpuMemoryUtilization": 0.85, "enforceEager": True, "revision": "main", "servedModelName": "gemma"},
        {"prefixCaching": True, "chunkedPrefill": True, "kvCacheDtype": "auto", "loadFormat": "safetensors"},
    ],
    ids=["limits", "running", "switches"],
)
def test_the_package_takes_the_arguments_of_settings(
    settings: dict[str, object], vllm_version: str, fresh_flags: ServerFlags
) -> None:
    server = VllmSettings.model_validate(
        {"server": "vllm", "model": "google/gemma-7b-it", "version": vllm_version, **settings}
    )
    line, _, problems = command_line("server", server, vllm_version, CATALOG)
    assert (problems, refused_by(fresh_flags, tuple(one.text for one in line))) == ([], [])


@pytest.mark.parametrize(
    ("settings", "since"),
    [
        ({"speculation": {"method": "ngram", "numSpeculativeTokens": 3, "promptLookupMax": 4}}, "0.10.0"),
        ({"structuredOutputBackend": "outlines"}, "0.6.0"),
        ({"toolCallParser": "hermes"}, "0.6.0"),
        ({"reasoningParser": "qwen3"}, "0.10.0"),
        ({"limitMmPerPrompt": {"image": 2, "video": 0}}, "0.6.0"),
        ({"languageModelOnly": True, "allowedMediaDomains": ["a.example", "b.example"]}, "0.18.0"),
    ],
    ids=["speculation", "structured", "tools", "reasoning", "limits", "media"],
)
def test_the_package_takes_the_arguments_of_features(
    settings: dict[str, object], since: str, vllm_version: str, fresh_flags: ServerFlags
) -> None:
    if version_parts(vllm_version) < version_parts(since):
        pytest.skip("the setting is refused for this version")
    server = VllmSettings.model_validate(
        {"server": "vllm", "model": "google/gemma-7b-it", "version": vllm_version, **settings}
    )
    line, _, problems = command_line("server", server, vllm_version, CATALOG)
    texts = tuple(one.text for one in line if not fresh_flags.takes_several(one.text))
    assert (problems, refused_by(fresh_flags, texts)) == ([], [])


@pytest.mark.parametrize("gpus", [1, 2])
def test_the_package_takes_the_arguments_of_a_streamed_model(
    gpus: int, vllm_version: str, fresh_flags: ServerFlags
) -> None:
    facts = CATALOG.model_sources.streamer
    if version_parts(vllm_version) < version_parts(facts.since):
        pytest.skip("this version's image has no streamer for Cloud Storage")
    server = VllmSettings.model_validate(
        {
            "server": "vllm",
            "model": "google/gemma-7b-it",
            "version": vllm_version,
            "accelerator": {"type": "nvidia-l4", "count": gpus},
            "revision": "a" * 40,
            "modelSource": {"source": "modelStore"},
        }
    )
    model, _ = served_model("server", server, CATALOG)
    assert model is not None
    source = model_source_of(server, vllm_version, model.checkpoint, "acme-models", CATALOG)
    place = place_of(server, source, plan_streamer(server, vllm_version, model, 0, facts))
    line, _, problems = command_line("server", server, vllm_version, CATALOG, place)
    assert (problems, refused_by(fresh_flags, tuple(one.text for one in line))) == ([], [])
    assert line[0].text == f"gs://acme-models/google/gemma-7b-it/{'a' * 40}"


@pytest.mark.parametrize(
    ("argument", "versions"),
    [
        ("--quantization=squeezellm", ("0.6.0",)),
        ("--quantization=bitsandbytes", ("0.6.0", "0.10.0", "0.19.1", "0.26.0")),
        ("--swap-space=4", ("0.6.0", "0.10.0")),
        ("--attention-backend=FLASHINFER", ("0.19.1", "0.26.0", "0.33.0")),
        ("--kv-cache-dtype=fp8_e5m2", ("0.6.0", "0.10.0", "0.19.1", "0.26.0", "0.33.0")),
        ('--speculative-config={"method":"ngram"}', ("0.10.0", "0.19.1", "0.26.0", "0.33.0")),
        ("--no-enable-prefix-caching", ("0.10.0", "0.19.1", "0.26.0", "0.33.0")),
    ],
)
def test_the_package_has_the_flags_that_rules_by_version_rest_on(
    argument: str, versions: tuple[str, ...], vllm_version: str, fresh_flags: ServerFlags
) -> None:
    assert (fresh_flags.check(argument) is None) is (vllm_version in versions)
