"""Which model a server loads, and how much it weighs: held against the files of published checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from gke_llm_inference.planning.checkpoint_size import checkpoint_gib
from gke_llm_inference.planning.memory import WEIGHTS_FORMATS, MemoryRequest, memory_request, plan_memory
from gke_llm_inference.planning.models import ServedModel, known_checkpoints, served_model
from gke_llm_inference.settings import Finding, TgiSettings, VllmSettings
from tests.planning.support import CATALOG, architecture
from tests.presets.support import (
    GEMMA,
    GEMMA3_27B_W4,
    LLAMA_8B,
    LLAMA_8B_AWQ,
    LLAMA_8B_FP8,
    LLAMA_13B,
    LLAMA_13B_GPTQ,
    LLAMA_70B,
    LLAMA_70B_AWQ,
)

GB_PER_GIB = 2**30 / 10**9

# GiB at the checkpoint's own precision, with FP8 linear layers, and with 4-bit linear layers in groups of 128.
TABLE = {
    "google/gemma-7b": (15.90, 8.68, 5.22),
    "google/gemma-7b-it": (15.90, 8.68, 5.22),
    "google/gemma-2-9b-it": (17.21, 9.46, 5.74),
    "google/gemma-2-27b-it": (50.71, 26.46, 14.80),
    "google/gemma-3-1b-it": (1.86, 1.21, 0.90),
    "google/gemma-3-4b-it": (8.01, 5.02, 3.59),
    "google/gemma-3-12b-it": (22.70, 12.68, 7.87),
    "google/gemma-3-27b-it": (51.10, 27.26, 15.80),
    "meta-llama/Llama-2-13b-hf": (24.24, 12.43, 6.75),
    "meta-llama/Llama-3.1-8B-Instruct": (14.96, 8.46, 5.33),
    "meta-llama/Llama-3.1-70B-Instruct": (131.42, 67.67, 37.04),
    "mistralai/Mistral-7B-Instruct-v0.3": (13.50, 7.00, 3.88),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": (86.99, 43.74, 22.96),
    "Qwen/Qwen2.5-7B-Instruct": (14.19, 8.11, 5.19),
    "tiiuae/falcon-40b-instruct": (77.93, 39.96, 21.71),
}
SEEING = ("google/gemma-3-4b-it", "google/gemma-3-12b-it", "google/gemma-3-27b-it")


def model_of(**server: Any) -> tuple[ServedModel | None, list[Finding]]:
    settings = VllmSettings.model_validate({"server": "vllm", **server})
    return served_model("servers.gemma", settings, CATALOG)


def model_named(name: str) -> ServedModel:
    model, problems = model_of(model=name)
    assert model is not None, problems
    return model


def request_of(model: ServedModel, quantization: str | None, server: str, version: str) -> MemoryRequest:
    kind = VllmSettings if server == "vllm" else TgiSettings
    settings = kind.model_validate({"server": server, "model": model.id, "quantization": quantization})
    return memory_request("servers.gemma", settings, version, model, CATALOG.memory)


def loaded_gib(
    model: ServedModel, quantization: str | None = None, server: str = "vllm", version: str = "0.26.0"
) -> float:
    """Weights on the GPU once they are loaded."""
    return plan_memory(request_of(model, quantization, server, version), CATALOG.memory).weights_mib / 1024


def peak_gib(model: ServedModel, quantization: str | None, server: str, version: str) -> float:
    """Memory that loading the weights takes at its peak."""
    return plan_memory(request_of(model, quantization, server, version), CATALOG.memory).load_peak_mib / 1024


@pytest.mark.parametrize(
    ("checkpoint", "gigabytes"),
    [
        (LLAMA_8B_AWQ, 5.73),
        (LLAMA_70B_AWQ, 39.77),
        (LLAMA_13B_GPTQ, 7.26),
        ("shuyuej/gemma-7b-GPTQ", 5.60),
        (LLAMA_8B_FP8, 9.08),
    ],
)
def test_a_checkpoint_weighs_what_its_files_weigh(checkpoint: str, gigabytes: float) -> None:
    model = model_named(checkpoint)
    assert model.checkpoint_gib * GB_PER_GIB == pytest.approx(gigabytes, abs=0.02)
    assert loaded_gib(model) == pytest.approx(model.checkpoint_gib, rel=0.02)


@pytest.mark.parametrize("model", [name for name in TABLE if name not in SEEING])
def test_weights_by_format_are_those_of_the_table(model: str) -> None:
    own, fp8, four_bits = TABLE[model]
    numbers = CATALOG.models[model]
    assert model_named(model).checkpoint_gib == checkpoint_gib(numbers, "none") == pytest.approx(own, abs=0.01)
    assert checkpoint_gib(numbers, "fp8") == pytest.approx(fp8, abs=0.01)
    assert checkpoint_gib(numbers, "awq") == checkpoint_gib(numbers, "gptq") == pytest.approx(four_bits, abs=0.01)


@pytest.mark.parametrize("model", SEEING)
def test_the_vision_tower_keeps_its_precision(model: str) -> None:
    _, fp8, four_bits = TABLE[model]
    assert checkpoint_gib(CATALOG.models[model], "fp8") == pytest.approx(fp8, abs=0.01)
    assert checkpoint_gib(CATALOG.models[model], "gptq") == pytest.approx(four_bits, abs=0.01)


@pytest.mark.parametrize("model", SEEING)
def test_a_model_with_a_vision_tower_weighs_what_the_table_says_at_its_own_precision(model: str) -> None:
    assert model_named(model).checkpoint_gib == pytest.approx(TABLE[model][0], abs=0.01)


def test_eight_bits_weigh_the_same_whatever_they_are_called() -> None:
    llama = model_named(LLAMA_8B)
    eight = loaded_gib(llama, "eetq", "tgi")
    assert eight == loaded_gib(llama, "bitsandbytes", "tgi") == pytest.approx(loaded_gib(llama, "fp8", "tgi"), rel=1e-4)


def test_bitsandbytes_has_eight_bits_on_tgi_and_four_on_vllm() -> None:
    llama = model_named(LLAMA_8B)
    four = loaded_gib(llama, "bitsandbytes", "vllm")
    assert four == loaded_gib(llama, "bitsandbytes-nf4", "tgi") == loaded_gib(llama, "bitsandbytes-fp4", "tgi")
    # 6.98 billion linear weights of 4.5 bits as measured, 1.05 billion of 16 bits, and a rotary table.
    assert four == pytest.approx(5.67, abs=0.01)
    assert loaded_gib(llama, "bitsandbytes", "tgi") == pytest.approx(8.51, abs=0.01)


@pytest.mark.parametrize("name", WEIGHTS_FORMATS)
def test_the_catalog_has_the_bits_of_every_format_once(name: str) -> None:
    bits = CATALOG.memory.vllm.weights.linear_bits
    assert list(bits) == list(WEIGHTS_FORMATS)
    precision = WEIGHTS_FORMATS[name].precision
    assert precision <= bits[name] <= precision * 1.13


@pytest.mark.parametrize(("bits", "gib"), [(4, 5.33), (8, 8.46), (None, 8.46)])
def test_a_compressed_tensors_checkpoint_weighs_by_its_bits(bits: int | None, gib: float) -> None:
    model = ServedModel("m/m", CATALOG.models[LLAMA_8B], "llama", False, "compressed-tensors", bits)
    assert model.checkpoint_gib == pytest.approx(gib, abs=0.01)


def test_an_fp8_checkpoint_weighs_half_of_its_linear_layers() -> None:
    assert model_named("RedHatAI/gemma-2-9b-it-FP8").checkpoint_gib == pytest.approx(9.46, abs=0.01)


def test_a_checkpoint_with_a_vision_tower_weighs_what_the_table_says() -> None:
    assert model_named(GEMMA3_27B_W4).checkpoint_gib == pytest.approx(15.80, abs=0.01)


@pytest.mark.parametrize(
    ("version", "server", "quantization", "gib"),
    [
        ("0.6.0", "vllm", "fp8", 15.90),
        ("0.10.0", "vllm", "fp8", 15.90),
        ("0.18.9", "vllm", "fp8", 15.90),
        ("0.19.0", "vllm", "fp8", 8.68),
        # The newer runner holds counts over the vocabulary for each of 256 sequences.
        ("0.33.0", "vllm", "fp8", 8.68 + 0.27),
        ("0.10.0", "vllm", None, 15.90),
        ("0.10.0", "vllm", "bitsandbytes", 5.53),
    ],
)
def test_older_vllm_needs_room_for_the_whole_model_before_it_quantizes_to_fp8(
    version: str, server: str, quantization: str | None, gib: float
) -> None:
    assert peak_gib(model_named(GEMMA), quantization, server, version) == pytest.approx(gib, abs=0.02)


def test_an_fp8_checkpoint_is_never_loaded_at_full_precision() -> None:
    checkpoint = model_named("RedHatAI/gemma-2-9b-it-FP8")
    assert peak_gib(checkpoint, "fp8", "vllm", "0.10.0") == loaded_gib(checkpoint, "fp8", "vllm", "0.10.0")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_embeddings_keep_the_precision_of_the_checkpoint(dtype: Any) -> None:
    numbers = CATALOG.models[LLAMA_13B].model_copy(update={"dtype": dtype})
    embeddings = 2 * 32000 * 5120
    expected = embeddings * (4 if dtype == "float32" else 2) + (numbers.parameters - embeddings)
    assert checkpoint_gib(numbers, "fp8") == pytest.approx(expected / 2**30, abs=0.001)
    assert checkpoint_gib(numbers, "none") == numbers.weights_gib


# Which model is served


@pytest.mark.parametrize("name", CATALOG.models)
def test_a_model_of_the_catalog_is_served_as_it_stands_there(name: str) -> None:
    known = CATALOG.models[name]
    served, problems = model_of(model=name)
    assert (served is None) is bool(problems) is (known.task != "generate")
    if served is not None:
        assert served == ServedModel(
            name,
            known,
            known.family,
            known.gated,
            known.checkpoint,
            checkpoint_blockwise=known.blockwise,
            loaded_as=known.loaded_as,
        )


@pytest.mark.parametrize("name", CATALOG.checkpoints)
def test_a_checkpoint_is_served_with_the_numbers_of_its_model(name: str) -> None:
    known = CATALOG.checkpoints[name]
    base = CATALOG.models[known.base]
    served = ServedModel(
        name,
        base,
        base.family,
        known.gated,
        known.format,
        known.bits,
        checkpoint_blockwise=known.blockwise,
        loaded_as=base.loaded_as,
        base=known.base,
    )
    assert model_of(model=name) == (served, [])


@pytest.mark.parametrize(
    ("model", "given", "family", "gated", "checkpoint"),
    [
        ("me/mine", {}, "other", False, "none"),
        ("me/mine", {"family": "gemma2", "gated": True, "checkpoint": "gptq"}, "gemma2", True, "gptq"),
        (GEMMA, {}, "other", True, "none"),
        (LLAMA_8B_AWQ, {"checkpoint": "awq"}, "other", False, "awq"),
    ],
    ids=["unknown", "described in full", "gated in the catalog", "checkpoint"],
)
def test_a_description_takes_the_place_of_the_catalog_but_opens_no_gate(
    model: str, given: dict[str, Any], family: str, gated: bool, checkpoint: str
) -> None:
    served, problems = model_of(model=model, architecture=architecture(**given))
    assert problems == []
    assert served is not None
    assert (served.id, served.family, served.gated, served.checkpoint) == (model, family, gated, checkpoint)
    assert (served.architecture.layers, served.architecture.parameters) == (16, 10**9)


@pytest.mark.parametrize(
    ("model", "nearest"),
    [
        ("google/gemma-7b-itt", "google/gemma-7b-it"),
        ("google/gemma-7b-awq", "google/gemma-7b-AWQ"),
        ("hugging-quants/Llama-3.1-8B-Instruct-AWQ-INT4", LLAMA_8B_AWQ),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest_model_or_checkpoint(model: str, nearest: str) -> None:
    served, (problem,) = model_of(model=model)
    assert served is None
    assert (problem.path, problem.what) == ("servers.gemma.model", f"{model} is not in the catalog")
    assert problem.fix.startswith(f"did you mean {nearest}?")
    assert "servers.gemma.architecture" in problem.fix


def test_known_checkpoints_are_those_of_the_model_and_format_alone() -> None:
    assert known_checkpoints(LLAMA_70B, ("awq",), CATALOG) == [LLAMA_70B_AWQ]
    assert known_checkpoints(LLAMA_70B, ("awq", "gptq"), CATALOG) == [
        LLAMA_70B_AWQ,
        LLAMA_70B_AWQ.replace("AWQ", "GPTQ"),
    ]
    assert known_checkpoints("google/gemma-7b", ("awq", "gptq"), CATALOG) == [
        *("TechxGenus/gemma-7b-GPTQ", "google/gemma-7b-AWQ", "shuyuej/gemma-7b-GPTQ")
    ]
    assert known_checkpoints(LLAMA_70B, ("fp8",), CATALOG) == []
    assert known_checkpoints("me/mine", ("awq",), CATALOG) == []
