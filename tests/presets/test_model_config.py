"""A model that the catalog does not have, read from its config.json."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog.facts import SlidingWindow
from gke_llm_inference.planning.memory import served_weights_format
from gke_llm_inference.preview.run import record
from gke_llm_inference.settings import ArchitectureSettings, Finding, Refusal, parse_settings
from gke_llm_inference.settings.model_config import architecture_of, read_architecture
from gke_llm_inference.settings.server_files import with_files
from tests.planning.support import CATALOG, architecture, existing_stack
from tests.presets import configs, families
from tests.presets.support import stack
from tests.settings.support import PROPERTY
from tests.settings.test_pulumi_config import settings_of_stack, with_config
from tests.support import DEPLOYMENT, PROJECT, REPOSITORY, of_type, project_with

if TYPE_CHECKING:
    from pathlib import Path

    from tests.presets.configs import Config
    from tests.settings.support import Raw

PATH = "servers.gemma.configFile"
NUMBERS = (
    *("layers", "hidden_size", "intermediate_size", "attention_heads", "kv_heads", "head_dim", "vocab_size"),
    *("max_positions", "dtype", "tied_embeddings", "sliding_window", "experts"),
)
GENERATORS = [name for name, model in CATALOG.models.items() if model.task == "generate"]
REQUIRED = (
    *("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"),
    "max_position_embeddings",
)
OPTIONAL = ("num_key_value_heads", "head_dim", "num_local_experts", "num_experts_per_tok", "sliding_window")
ABSURD = [0, -1, 1.5, 32.0, True, False, "32", [], {}, 10**9, 10**30]


def read(config: Config, **changes: Any) -> ArchitectureSettings:
    """The architecture of a config.json with other keys; a key that is None is left out."""
    changed = {key: value for key, value in {**config, **changes}.items() if value is not ...}
    return architecture_of(changed, PATH)


def outcome_of(config: Config) -> ArchitectureSettings | Refusal:
    """What reading a config.json gives: an architecture or a refusal, never anything else."""
    try:
        return architecture_of(config, PATH)
    except Refusal as refusal:
        return refusal


def problems_of(config: Config, **changes: Any) -> list[Finding]:
    with pytest.raises(Refusal) as caught:
        read(config, **changes)
    assert {problem.path for problem in caught.value.problems} == {PATH}
    assert [problem for problem in caught.value.problems if not (problem.why and problem.fix)] == []
    return list(caught.value.problems)


# Families


@pytest.mark.parametrize("name", GENERATORS)
def test_the_numbers_of_a_model_are_those_of_the_catalog(name: str) -> None:
    known, found = CATALOG.models[name], read(configs.BY_MODEL[name])
    assert {key: getattr(found, key) for key in NUMBERS} == {key: getattr(known, key) for key in NUMBERS}
    assert (found.family, found.checkpoint, found.gated) == (known.family, known.checkpoint, False)
    assert (found.checkpoint_blockwise, found.vision_parameters) == (known.blockwise, known.vision_parameters)


@pytest.mark.parametrize("name", GENERATORS)
def test_parameters_are_exact_with_biases_norms_and_vision_tower(name: str) -> None:
    found, known = read(configs.BY_MODEL[name]), CATALOG.models[name]
    assert found.parameters == known.parameters
    if known.unquantized_parameters:
        assert found.unquantized_parameters == pytest.approx(known.unquantized_parameters, rel=0.002)


def test_experts_multiply_the_feed_forward_block() -> None:
    found = read(configs.MIXTRAL)
    assert found.experts is not None
    assert (found.experts.count, found.experts.per_token) == (8, 2)
    assert read(configs.MIXTRAL, num_experts_per_tok=...).experts is not None
    block, router = 3 * 4096 * 14336, 4096
    assert found.parameters - read(configs.MIXTRAL, num_local_experts=4).parameters == 32 * 4 * (block + router)


@pytest.mark.parametrize(
    ("changes", "tied"),
    [({}, True), ({"tie_word_embeddings": False}, False), ({"tie_word_embeddings": True}, True)],
)
def test_embeddings_of_gemma_are_tied_unless_the_file_says_otherwise(changes: Config, tied: bool) -> None:
    assert read(configs.GEMMA, **changes).tied_embeddings is tied
    untied = 256000 * 3072 if not tied else 0
    assert read(configs.GEMMA, **changes).parameters == 8_537_680_896 + untied


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"torch_dtype": "float16"}, "float16"),
        ({"torch_dtype": "float32"}, "float32"),
        ({"torch_dtype": ..., "dtype": "float16"}, "float16"),
        ({"torch_dtype": "float16", "dtype": "float32"}, "float32"),
        ({"torch_dtype": ...}, "bfloat16"),
        ({"torch_dtype": "float8_e4m3fn"}, "bfloat16"),
    ],
)
def test_the_type_of_weights_has_two_names(changes: Config, dtype: str) -> None:
    assert read(configs.LLAMA_8B, **changes).dtype == dtype


# Sliding windows


@pytest.mark.parametrize(
    ("config", "changes", "expected"),
    [
        (configs.MISTRAL, {}, None),
        (configs.MISTRAL, {"sliding_window": 4096}, SlidingWindow(size=4096, layers=32)),
        (configs.QWEN, {}, None),
        (configs.QWEN, {"use_sliding_window": True}, SlidingWindow(size=131072, layers=28)),
        (configs.GEMMA2_27B, {}, SlidingWindow(size=4096, layers=23)),
        (configs.GEMMA3_1B, {}, SlidingWindow(size=512, layers=22)),
        (configs.GEMMA3_1B, {"sliding_window_pattern": 2}, SlidingWindow(size=512, layers=13)),
        (configs.GEMMA3_1B, {"sliding_window_pattern": 1}, None),
        (configs.GEMMA3_1B, {"layer_types": ["full_attention"] * 26}, None),
        (configs.GEMMA3_1B, {"layer_types": configs.layer_types(26, 13)}, SlidingWindow(size=512, layers=24)),
        (configs.GEMMA3_1B, {"sliding_window": ...}, None),
        (configs.GEMMA3_1B, {"sliding_window_pattern": ...}, SlidingWindow(size=512, layers=22)),
    ],
    ids=[
        *("Mistral v0.3", "Mistral v0.1", "Qwen", "Qwen with windows", "Gemma 2", "Gemma 3", "every second"),
        *("every layer full", "all full by kind", "by kind", "no window", "Gemma 3 without pattern"),
    ],
)
def test_windowed_layers_are_counted(config: Config, changes: Config, expected: SlidingWindow | None) -> None:
    assert read(config, **changes).sliding_window == expected


# Checkpoints


@pytest.mark.parametrize(
    ("quantization", "format_", "bits"),
    [
        (configs.AWQ, "awq", None),
        (configs.GPTQ, "gptq", None),
        (configs.FP8, "fp8", None),
        (configs.BITSANDBYTES, "bitsandbytes", None),
        (configs.COMPRESSED_FP8, "compressed-tensors", 8),
        (configs.COMPRESSED_4_BITS, "compressed-tensors", 4),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors", 8),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": None}}, "compressed-tensors", 8),
        ({"quant_method": "AWQ"}, "awq", None),
        (None, "none", None),
        ("awq", "none", None),
    ],
)
def test_the_format_of_a_checkpoint_is_read(quantization: Any, format_: str, bits: int | None) -> None:
    found = read(configs.LLAMA_8B, quantization_config=quantization)
    assert (found.checkpoint, found.checkpoint_bits) == (format_, bits)
    assert found.parameters == 8_030_261_248


def test_8_bit_integers_are_told_from_fp8_and_8_bit_gptq_from_4_bit() -> None:
    int8 = {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "int"}}}}
    found = read(configs.LLAMA_8B, quantization_config=int8)
    assert (found.checkpoint, found.checkpoint_bits, found.checkpoint_type) == ("compressed-tensors", 8, "int")
    assert served_weights_format("compressed-tensors", 8, None, "vllm", found.checkpoint_type) == "ctw8a8"
    assert read(configs.LLAMA_8B, quantization_config=configs.COMPRESSED_FP8).checkpoint_type == "float"
    gptq8 = read(configs.LLAMA_8B, quantization_config={"quant_method": "gptq", "bits": 8})
    assert (gptq8.checkpoint, gptq8.checkpoint_bits) == ("gptq", 8)
    assert served_weights_format("gptq", 8, None, "vllm") == "gptq8"


def test_the_format_of_a_model_that_sees_stands_beside_its_text_part() -> None:
    found = read(configs.GEMMA3_27B, quantization_config=configs.COMPRESSED_4_BITS)
    assert (found.checkpoint, found.checkpoint_bits, found.family) == ("compressed-tensors", 4, "gemma3")


@pytest.mark.parametrize(
    "quantization", [*({"quant_method": name} for name in ("exl2", "aqlm", "modelopt", "quark", None)), {"bits": 4}]
)
def test_a_checkpoint_of_a_method_that_is_not_known_is_not_taken_for_an_unquantized_one(quantization: Config) -> None:
    (problem,) = problems_of(configs.LLAMA_8B, quantization_config=quantization)
    assert (problem.what, problem.why) == ("its quant_method is not supported", "the weights' size depends on it")
    assert problem.fix == (
        "use a checkpoint in one of: awq, gptq, fp8, compressed-tensors, bitsandbytes, mxfp4, nvfp4, fbgemm; "
        "or give the numbers under architecture"
    )


def test_a_method_that_is_not_known_is_reported_with_the_other_problems() -> None:
    found = problems_of(configs.LLAMA_8B, vocab_size=..., quantization_config={"quant_method": "exl2"})
    assert len(found) == 2


# Refusals


@pytest.mark.parametrize("key", REQUIRED)
def test_a_key_that_the_plan_needs_is_missed_by_name(key: str) -> None:
    for changes in ({key: ...}, {key: None}):
        (problem,) = problems_of(configs.LLAMA_8B, **changes)
        assert problem.what == f"{key} is missing"
        assert problem.why.endswith(", which the plan needs")
        assert problem.fix == "use the complete config.json, or give the numbers under architecture"


@pytest.mark.parametrize("value", ABSURD, ids=repr)
@pytest.mark.parametrize("key", REQUIRED)
def test_a_key_that_the_plan_needs_is_a_count(key: str, value: object) -> None:
    (problem,) = problems_of(configs.LLAMA_8B, **{key: value})
    assert problem.what == f"{key} is not a positive whole number"


@pytest.mark.parametrize("value", ABSURD, ids=repr)
@pytest.mark.parametrize("key", OPTIONAL)
def test_a_key_that_may_be_there_is_a_count_too(key: str, value: object) -> None:
    (problem,) = problems_of(configs.LLAMA_8B, **{key: value})
    assert (problem.what, problem.fix) == (f"{key} is not a positive whole number", "correct it")


def test_heads_that_cannot_be_shared_are_refused() -> None:
    (problem,) = problems_of(configs.LLAMA_8B, num_key_value_heads=5)
    assert problem.what == "32 query heads cannot share 5 KV heads"
    (problem,) = problems_of(configs.LLAMA_8B, hidden_size=4100)
    assert (problem.what, problem.fix) == ("hidden_size 4100 is not a multiple of 32 heads", "give head_dim")
    assert read(configs.LLAMA_8B, hidden_size=4100, head_dim=128).head_dim == 128
    found = problems_of(configs.LLAMA_8B, num_key_value_heads=5, hidden_size=4100)
    assert len(found) == 2


def test_all_problems_of_a_file_are_reported_together() -> None:
    found = problems_of({"num_hidden_layers": -1, "head_dim": "x", "sliding_window": 0})
    assert sorted(problem.what for problem in found) == sorted(
        [
            *(f"{key} is missing" for key in REQUIRED[1:]),
            *(f"{key} is not a positive whole number" for key in ("num_hidden_layers", "head_dim", "sliding_window")),
        ]
    )


def test_a_nested_file_without_numbers_is_refused_with_what_it_lacks() -> None:
    # As llava-hf/llava-1.5-7b-hf has it: transformers fills in a whole language model.
    text = {"_name_or_path": "lmsys/vicuna-7b-v1.5", "hidden_size": 4096, "intermediate_size": 11008}
    nested = {**families.LLAVA_15_7B, "text_config": {**text, "model_type": "llama", "num_hidden_layers": 32}}
    assert [problem.what for problem in problems_of(nested)] == [
        "max_position_embeddings is missing",
        "num_attention_heads is missing",
        "vocab_size is missing",
    ]


@pytest.mark.parametrize(
    ("model_type", "family"),
    [
        ("Qwen2.5-VL", "qwen25-vl"),
        ("gpt.x", "gptx"),
        ("", "other"),
        ("...", "other"),
        (None, "other"),
        (7, "other"),
        ("a" * 41, "a" * 40),
    ],
)
def test_any_model_type_is_read(model_type: object, family: str) -> None:
    assert read(configs.LLAMA_8B, model_type=model_type).family == family


@pytest.mark.parametrize("heads", [{"num_kv_heads": 8}, {"n_head_kv": 8}, {"num_key_value_heads": 8}])
def test_kv_heads_of_falcon_are_not_taken_for_as_many_as_query_heads(heads: Config) -> None:
    falcon = {key: value for key, value in configs.FALCON_40B.items() if key != "num_kv_heads"}
    assert read(falcon, **heads).kv_heads == 8


# As tiiuae/falcon-7b has it: one KV head for all of the 71, whatever num_kv_heads says.
FALCON_7B = {
    **{key: value for key, value in configs.FALCON_40B.items() if key != "num_kv_heads"},
    "hidden_size": 4544,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
    "new_decoder_architecture": False,
}


@pytest.mark.parametrize(
    ("changes", "kv_heads"),
    [
        ({}, 1),
        ({"multi_query": False}, 71),
        ({"num_kv_heads": 71}, 1),
    ],
    ids=["multi-query", "all heads", "num_kv_heads beside multi-query"],
)
def test_falcon_7b_shares_one_kv_head(changes: Config, kv_heads: int) -> None:
    found = read(FALCON_7B, **changes)
    assert (found.kv_heads, found.head_dim, found.intermediate_size, found.max_positions) == (kv_heads, 64, 18176, 2048)


_NAMED_OTHERWISE = ("num_attention_heads", "num_hidden_layers", "num_kv_heads")


@pytest.mark.parametrize("model_type", ["RefinedWeb", "RefinedWebModel"])
def test_the_older_names_of_falcon_are_falcon(model_type: str) -> None:
    older = {
        **{key: value for key, value in configs.FALCON_40B.items() if key not in _NAMED_OTHERWISE},
        "model_type": model_type,
        "n_head": 128,
        "n_head_kv": 8,
        "n_layer": 60,
    }
    found, known = read(older), read(configs.FALCON_40B)
    assert (found.layers, found.attention_heads, found.kv_heads) == (60, 128, 8)
    assert (found.family, found.parameters) == ("falcon", known.parameters)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**40),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)
_KEYS = st.sampled_from(
    [
        *(*REQUIRED, *OPTIONAL, "tie_word_embeddings", "torch_dtype", "dtype", "layer_types", "sliding_window_pattern"),
        *("use_sliding_window", "quantization_config", "text_config", "vision_config", "architectures", "model_type"),
        *("kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "v_head_dim", "n_routed_experts", "num_experts"),
        *("n_shared_experts", "moe_intermediate_size", "first_k_dense_replace", "moe_layer_freq", "mlp_only_layers"),
        *("moe_layers", "mlp_layer_types", "decoder_sparse_step", "num_nextn_predict_layers", "attention_bias"),
        *("ignore", "modules_to_not_convert", "config_groups", "dynamic", "bits", "group_size", "quant_method"),
        *("patch_size", "depth", "image_size", "spatial_merge_size", "deepstack_visual_indexes"),
    ]
)


@PROPERTY
@given(
    config=st.sampled_from([*configs.BY_MODEL.values(), *families.FAMILIES.values(), {}]),
    changes=st.dictionaries(_KEYS, st.one_of(_VALUES, st.dictionaries(_KEYS, _VALUES, max_size=3)), max_size=4),
)
def test_any_file_is_read_or_refused(config: Config, changes: Config) -> None:
    found = outcome_of({**copy.deepcopy(config), **changes})
    if isinstance(found, Refusal):
        assert {problem.path for problem in found.problems} == {PATH}
        return
    assert found.parameters > 0
    assert found.attention_heads % found.kv_heads == 0
    if found.sliding_window is not None and not changes.get("layer_types"):
        assert found.sliding_window.layers <= found.layers


# Files


def written(directory: Path, content: str | bytes, name: str = "config.json") -> Path:
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        ("", "config.json is not JSON", "download it again"),
        ("{", "config.json is not JSON", "download it again"),
        ("<html>not found</html>", "config.json is not JSON", "download it again"),
        (b"\xff\xfe{}", "config.json is not JSON", "download it again"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "config.json is not JSON", "download it again"),
        ("[]", "config.json is not a config.json", "check the path"),
        ("null", "config.json is not a config.json", "check the path"),
        ('"{}"', "config.json is not a config.json", "check the path"),
    ],
    ids=["empty", "cut off", "HTML", "no text", "too many digits", "list", "null", "text"],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str | bytes, what: str, fix: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_architecture(written(tmp_path, content), PATH)
    (problem,) = caught.value.problems
    assert (problem.path, problem.what, problem.fix) == (PATH, what, fix)
    assert str(tmp_path) not in str(problem)


def test_a_file_that_nests_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        read_architecture(written(tmp_path, "[" * 100_000), PATH)
    (problem,) = caught.value.problems
    assert (problem.path, problem.what) == (PATH, "config.json is not JSON")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    for name, why in (("gone.json", "No such file or directory"), ("folder.json", "Is a directory")):
        with pytest.raises(Refusal) as caught:
            read_architecture(tmp_path / name, PATH)
        (problem,) = caught.value.problems
        assert (problem.path, problem.what) == (PATH, f"{name} cannot be read")
        assert (problem.why, problem.fix) == (why, "correct the path")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 300):
        with pytest.raises(Refusal):
            read_architecture(tmp_path / name, PATH)


# Stacks


def stack_with(**servers: Raw) -> Raw:
    return existing_stack({name: {"server": "vllm", "model": "me/mine", **server} for name, server in servers.items()})


def test_files_are_found_from_the_directory_that_is_given(tmp_path: Path) -> None:
    written(tmp_path, json.dumps(configs.LLAMA_8B), "models/llama/config.json")
    settings = parse_settings(stack(model="me/mine", configFile="models/llama/config.json"))
    (server,) = with_files(settings, tmp_path).servers.values()
    assert server.architecture == read(configs.LLAMA_8B)
    absolute = parse_settings(stack(model="me/mine", configFile=str(tmp_path / "models/llama/config.json")))
    (server,) = with_files(absolute, tmp_path / "elsewhere").servers.values()
    assert server.architecture == read(configs.LLAMA_8B)


def test_a_file_takes_the_place_of_a_description(tmp_path: Path) -> None:
    written(tmp_path, json.dumps(configs.QWEN))
    described = architecture(layers=3)
    settings = parse_settings(stack(model="me/mine", configFile="config.json", architecture=described))
    (server,) = with_files(settings, tmp_path).servers.values()
    assert server.architecture == read(configs.QWEN)


def test_servers_without_a_file_are_left_as_they_are(tmp_path: Path) -> None:
    settings = parse_settings(stack())
    assert with_files(settings, tmp_path) == settings


def test_problems_of_all_files_are_reported_together(tmp_path: Path) -> None:
    written(tmp_path, "{}", "empty.json")
    raw = stack_with(a={"configFile": "gone.json"}, b={"configFile": "empty.json"}, c={})
    with pytest.raises(Refusal) as caught:
        with_files(parse_settings(raw), tmp_path)
    found = [(problem.path, problem.what) for problem in caught.value.problems]
    assert found[0] == ("servers.a.configFile", "gone.json cannot be read")
    assert found[1:] == [("servers.b.configFile", f"{key} is missing") for key in sorted(REQUIRED)]


def test_a_stack_reads_files_from_the_directory_of_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, json.dumps({**configs.LLAMA_8B, "quantization_config": configs.AWQ}), "models/mine.json")
    monkeypatch.setattr(pulumi.runtime, "get_root_directory", lambda: str(tmp_path))
    monkeypatch.chdir("/")
    settings = with_config(stack(model="me/mine", configFile="models/mine.json"), settings_of_stack)
    architecture = settings.servers["gemma"].architecture
    assert architecture is not None
    assert (architecture.parameters, architecture.checkpoint) == (8_030_261_248, "awq")


def test_problems_of_a_file_and_of_keys_are_reported_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi.runtime, "get_root_directory", lambda: str(tmp_path))
    raw = {**stack(model="me/mine", configFile="gone.json"), "namespase": "x"}
    with pytest.raises(Refusal) as caught:
        with_config(raw, settings_of_stack)
    assert [problem.path for problem in caught.value.problems] == ["namespase", PATH]


def project_of(directory: Path, server: Raw) -> Path:
    """The real program in a project of its own, with one server."""
    project_with(directory, REPOSITORY / "__main__.py")
    raw = existing_stack({"gemma": {"server": "vllm", "model": "me/mine", **server}})
    config = {f"{PROJECT}:{key}": value for key, value in raw.items()}
    (directory / "Pulumi.test.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    return directory


def test_a_preview_reads_the_file_of_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    written(tmp_path, json.dumps({**configs.GEMMA, "quantization_config": configs.AWQ}), "models/mine.json")
    recording = record(project_of(tmp_path, {"configFile": "models/mine.json", "presets": ["awq"]}), "test")
    (deployment,) = of_type(recording, DEPLOYMENT)
    (container,) = deployment.inputs["spec"]["template"]["spec"]["containers"]
    assert container["args"][:3] == ["me/mine", "--port=8000", "--tensor-parallel-size=1"]
