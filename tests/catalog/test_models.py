"""Every model of the catalog is what the tool makes of its config.json, and as large as its checkpoint."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from gke_llm_inference.catalog import GIB, load_catalog
from gke_llm_inference.planning.checkpoint_size import checkpoint_gib
from tests.presets.configs import BY_MODEL
from tools import model_entry
from tools.model_entry import entry_of
from tools.model_reference import page

CATALOG = load_catalog()
HERE = Path(__file__).parent
TOTALS: dict[str, int] = yaml.safe_load((HERE / "published_totals.yaml").read_text("utf-8"))
# What their makers say that a token visits, in billions: active_parameters in llmfit 1.1.17, data/hf_models.json.
ACTIVE = {
    "Qwen/Qwen3-30B-A3B": 3.3,
    "Qwen/Qwen3-235B-A22B": 22,
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 35,
    "deepseek-ai/DeepSeek-V3": 37,
    "moonshotai/Kimi-K2-Instruct": 32,
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 17,
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": 17,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 12.9,
    "mistralai/Mixtral-8x22B-Instruct-v0.1": 39.1,
}
# Values that the tensors of RedHatAI's NVFP4 checkpoints hold, by llmfit 1.1.17: bytes of two weights, scales, 16 bits.
NVFP4 = {"meta-llama/Llama-3.1-8B-Instruct": 4_976_808_384, "meta-llama/Llama-3.1-70B-Instruct": 40_606_377_056}


@pytest.mark.parametrize("name", CATALOG.models)
def test_parameters_are_within_a_percent_of_those_of_the_checkpoint(name: str) -> None:
    model = CATALOG.models[name]
    if name not in TOTALS:
        # No source states the total of these two as its makers count it.
        assert name in ("tiiuae/falcon-40b-instruct", "BAAI/bge-m3")
        return
    assert model.parameters + model.unloaded_parameters == pytest.approx(TOTALS[name], rel=0.01)


@pytest.mark.parametrize("name", CATALOG.models)
def test_an_entry_is_what_the_tool_makes_of_the_config(name: str) -> None:
    model = CATALOG.models[name]
    found = entry_of(
        BY_MODEL[name],
        license_name=model.license,
        gated=model.gated,
        chat_template=model.chat_template,
        source=model.source,
        date=model.date,
        task=model.task,
        total=TOTALS.get(name),
    )
    made = type(model).model_validate(found)
    kept = "unquantized_parameters"
    assert getattr(made, kept) == pytest.approx(getattr(model, kept), rel=0.002)
    assert made.model_copy(update={kept: 0}) == model.model_copy(update={kept: 0})


@pytest.mark.parametrize("name", CATALOG.models)
def test_every_entry_says_where_its_numbers_are_from_and_when_they_were_read(name: str) -> None:
    model = CATALOG.models[name]
    assert len(model.source.split()) >= 3
    assert date.fromisoformat(model.date) >= date(2026, 12, 1)


def test_there_are_at_least_forty_of_them_and_every_checkpoint_is_of_one() -> None:
    assert len(CATALOG.models) >= 40
    assert {checkpoint.base for checkpoint in CATALOG.checkpoints.values()} <= CATALOG.models.keys()
    assert not CATALOG.unplanned_models.keys() & CATALOG.models.keys()


@pytest.mark.parametrize("name", ACTIVE)
def test_what_a_token_visits_is_what_its_makers_say(name: str) -> None:
    assert (CATALOG.models[name].active_parameters or 0) / 10**9 == pytest.approx(ACTIVE[name], rel=0.03)


@pytest.mark.parametrize(("name", "billions"), [("openai/gpt-oss-20b", 3.6), ("openai/gpt-oss-120b", 5.1)])
def test_gpt_oss_visits_what_its_makers_say_without_the_embedding(name: str, billions: float) -> None:
    # activated_size_in_billions in xinference 4.1.0, model/llm/models/gpt-oss.json.
    model = CATALOG.models[name]
    visited = (model.active_parameters or 0) - model.vocab_size * model.hidden_size
    assert visited / 10**9 == pytest.approx(billions, rel=0.02)


@pytest.mark.parametrize("name", NVFP4)
def test_an_nvfp4_checkpoint_has_the_values_of_its_files(name: str) -> None:
    model = CATALOG.models[name]
    kept = 2 * model.vocab_size * model.hidden_size
    quantized = model.parameters - kept
    assert quantized / 2 + quantized / 16 + kept == pytest.approx(NVFP4[name], rel=0.001)
    assert checkpoint_gib(model, "nvfp4") * GIB == pytest.approx(quantized * 4.5 / 8 + 2 * kept, rel=0.001)


def test_every_class_of_a_model_is_one_that_some_version_has() -> None:
    classes = CATALOG.loading["vllm"].classes
    assert {model.loaded_as for model in CATALOG.models.values()} == classes.keys()
    newest = CATALOG.servers["vllm"].known_versions[-1]
    assert all(known.has(newest) and Version(known.since) <= Version(newest) for known in classes.values())


def test_the_page_about_models_is_generated() -> None:
    assert (HERE.parents[1] / "docs" / "models.md").read_text("utf-8") == page(CATALOG), "run: make generate"


def test_a_total_that_the_count_misses_is_refused() -> None:
    stated: dict[str, Any] = {"license_name": None, "gated": False, "chat_template": None, "source": "x y", "date": ""}
    config = BY_MODEL["Qwen/Qwen3-8B"]
    assert entry_of(config, **stated, total=8_200_000_000)["parameters"] == 8_190_735_360
    with pytest.raises(
        ValueError, match=r"^8,190,735,360 parameters are counted, and the checkpoint has 8,300,000,000$"
    ):
        entry_of(config, **stated, total=8_300_000_000)


def test_the_tool_prints_an_entry_with_what_lies_beside_the_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "config.json": BY_MODEL["Qwen/Qwen3-0.6B"],
        # 751,632,384 parameters in 16 bits: a copy of the embedding among them.
        "model.safetensors.index.json": {"metadata": {"total_size": 1_503_264_768}},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    paths = [str(tmp_path / name) for name in files]
    asked = ["Qwen/Qwen3-0.6B", paths[0], "--index", paths[1], "--tokenizer", paths[2], "--license", "apache-2.0"]
    assert model_entry.main([*asked, "--source", "a page", "--date", "2026-12-01"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)["Qwen/Qwen3-0.6B"]
    known = CATALOG.models["Qwen/Qwen3-0.6B"]
    assert (printed["parameters"], printed["unloadedParameters"]) == (596_049_920, 155_582_464)
    assert printed["parameters"] == known.parameters
    assert (printed["chatTemplate"], printed["license"], printed["loadedAs"]) == (
        True,
        "apache-2.0",
        "Qwen3ForCausalLM",
    )


def test_the_tool_says_what_of_a_config_cannot_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"architectures": ["LlamaForCausalLM"], "linear_key_head_dim": 128}', "utf-8")
    assert model_entry.main(["me/mine", str(file), "--license", "mit", "--source", "a b", "--date", "2026-12-01"]) == 1
    assert "layers that do not attend to all tokens" in capsys.readouterr().err
