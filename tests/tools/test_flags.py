"""Arguments are checked against the flags of their version, and the committed flags are the known ones."""

import itertools
import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from gke_llm_inference.catalog.facts import ServerKind
from gke_llm_inference.catalog.flags import Flag, FlagFiles, ServerFlags
from gke_llm_inference.catalog.loader import load_catalog

VLLM = ("0.6.0", "0.10.0", "0.19.1", "0.26.0", "0.33.0")
TGI = ("2.3.1", "3.3.7")
FILES: list[tuple[ServerKind, str]] = [*(("vllm", version) for version in VLLM), *(("tgi", version) for version in TGI)]


def flag(version: str, name: str, kind: ServerKind = "vllm") -> Flag:
    found = load_catalog().flags[kind][version].find(name)
    assert found is not None
    return found


def having(name: str) -> set[str]:
    """Versions of vLLM that have the flag under that very name."""
    return {version for version in VLLM if name in load_catalog().flags["vllm"][version].flags}


# Arguments


@pytest.mark.parametrize(
    ("version", "argument"),
    [
        ("0.10.0", "--max-model-len=1200"),
        ("0.10.0", "--max_model_len=1200"),
        ("0.10.0", "--max-model-len=25.6k"),
        ("0.10.0", "--max-model-len=4K"),
        ("0.10.0", "--revision=None"),
        ("0.10.0", "--num-gpu-blocks-override=None"),
        ("0.33.0", "--reasoning-parser="),
        ("0.26.0", "--max-model-len=auto"),
        ("0.26.0", "--max-model-len=-1"),
        ("0.10.0", "--kv-cache-dtype=fp8_e5m2"),
        ("0.10.0", "--quantization=awq"),
        ("0.10.0", "-q=awq"),
        ("0.10.0", "--quantization="),
        ("0.10.0", "-tp=2"),
        ("0.10.0", "--gpu-memory-utilization=0.95"),
        ("0.10.0", "--gpu-memory-utilization=1"),
        ("0.10.0", "--block-size=16"),
        ("0.10.0", "--enable-prefix-caching"),
        ("0.10.0", "--no-enable-prefix-caching"),
        ("0.10.0", "--no_enable_prefix_caching"),
        ("0.33.0", "--disable-prefix-caching"),
        ("0.33.0", "--device-memory-utilization=0.9"),
        ("0.10.0", "-O=3"),
        ("0.10.0", "-O3"),
        ("0.33.0", "-O3"),
        ("0.10.0", "--hf-token"),
        ("0.10.0", "--hf-token=x"),
        ("0.6.0", "--enable-chunked-prefill"),
        ("0.6.0", "--enable-chunked-prefill=False"),
        ("0.26.0", "--max-model-len=Auto"),
        ("0.10.0", "--compilation-config.level=3"),
        ("0.10.0", '--compilation-config={"level": 3}'),
        ("0.33.0", "--compilation_config.pass_config.fuse_norm_quant=true"),
        ("0.33.0", '--kv-transfer-config={"size": 80m, "name": "80m"}'),
        ("0.10.0", "--hf-overrides.rope_theta=1"),
        ("0.10.0", "--hf-overrides=some.function"),
        ("0.10.0", '--hf-overrides={"rope_theta": 1}'),
        ("0.10.0", "--served-model-name=gemma"),
        ("0.10.0", "--cuda-graph-sizes=8"),
        ("0.33.0", "--attention-backend=flashinfer"),
        ("0.33.0", "--attention-backend=TRITON_ATTN"),
        ("0.33.0", "--attention-backend=auto"),
        ("0.33.0", "--moe-backend=flashinfer-cutlass"),
        ("0.33.0", "--optimization-level=2"),
        ("0.33.0", "--reasoning-parser=none"),
        ("0.33.0", "--chat-template={{ bos_token }}=x"),
    ],
)
def test_vllm_takes(version: str, argument: str) -> None:
    assert load_catalog().flags["vllm"][version].check(argument) is None


@pytest.mark.parametrize(
    ("version", "argument", "message"),
    [
        ("0.19.1", "--swap-space=16", "--swap-space is not a flag of vLLM 0.19.1"),
        ("0.10.0", "--max-modl-len=1", "--max-modl-len is not a flag of vLLM 0.10.0; the nearest is --max-model-len"),
        ("0.10.0", "--max_modl_len=1", "--max_modl_len is not a flag of vLLM 0.10.0; the nearest is --max-model-len"),
        ("0.10.0", "max-model-len=1", "'max-model-len' is not a flag: a flag starts with --"),
        ("0.10.0", "--max-model-len", "--max-model-len needs a value: a whole number"),
        ("0.10.0", "--kv-cache-dtype", "--kv-cache-dtype needs a value: auto | fp8 | fp8_e4m3 | fp8_e5m2 | fp8_inc"),
        (
            "0.10.0",
            "--kv-cache-dtype=fp9",
            "--kv-cache-dtype=fp9: 'fp9' is not among auto, fp8, fp8_e4m3, fp8_e5m2, fp8_inc in vLLM 0.10.0",
        ),
        (
            "0.10.0",
            "--max-model-len=long",
            "--max-model-len=long: 'long' is not a whole number in vLLM 0.10.0",
        ),
        ("0.10.0", "--max-model-len=1.5K", "not a whole number"),
        ("0.10.0", "--max-model-len=auto", "not a whole number"),
        ("0.10.0", "--max-num-seqs=4k", "not a whole number"),
        ("0.10.0", "--block-size=12", "'12' is not among 1, 8, 16, 32, 64, 128"),
        ("0.10.0", "--gpu-memory-utilization=most", "'most' is not a number"),
        ("0.10.0", "--enforce-eager=true", "--enforce-eager takes no value, but has 'true'"),
        ("0.10.0", "--no-enable-lora=1", "--no-enable-lora takes no value"),
        ("0.6.0", "--enable-chunked-prefill=no", "'no' is not true or false"),
        ("0.10.0", "--compilation-config={level", "not JSON ("),
        ("0.10.0", "--compilation-config=3", "'3' is not a JSON object"),
        ("0.10.0", "--preemption-mode=None", "'None' is not among recompute, swap"),
        ("0.10.0", "--hf-overrides={x", "not JSON ("),
        ("0.10.0", "--compilation-config.level", "--compilation-config.level needs a value"),
        ("0.10.0", "--max-model-len.x=1", "sets a key, but --max-model-len of vLLM 0.10.0 is not JSON"),
        ("0.10.0", "--cuda-graph-sizes=many", "'many' is not a whole number"),
        ("0.33.0", "--quantization=bitsandbytes", ", nor from a plugin, in vLLM 0.33.0"),
        ("0.6.0", "--no-enable-prefix-caching", "is not a flag of vLLM 0.6.0"),
        ("0.10.0", "", "'' is not a flag"),
        ("0.6.0", "-O3", "-O3 is not a flag of vLLM 0.6.0"),
    ],
)
def test_vllm_refuses(version: str, argument: str, message: str) -> None:
    found = load_catalog().flags["vllm"][version].check(argument)
    assert found is not None
    assert message in found


@pytest.mark.parametrize(
    "argument",
    [
        "--num-shard=2",
        "--quantize=bitsandbytes-nf4",
        "--cuda-graphs=1,2,4",
        "--cuda-graphs=0",
        "--sharded=true",
        "--trust-remote-code",
        "--max-input-length=512",
        "--port=8080",
        "-p=8080",
        "--usage-stats=off",
    ],
)
def test_tgi_takes(argument: str) -> None:
    for version in TGI:
        assert load_catalog().flags["tgi"][version].check(argument) is None


@pytest.mark.parametrize(
    ("version", "argument", "message"),
    [
        ("2.3.1", "--kv-cache-dtype=fp8_e5m2", "is not a flag of TGI 2.3.1"),
        ("2.3.1", "--quantize=compressed-tensors", "'compressed-tensors' is not among awq, bitsandbytes"),
        ("3.3.7", "--quantize=squeezellm", "'squeezellm' is not among"),
        ("3.3.7", "--kv-cache-dtype=fp8", "'fp8' is not among fp8_e4m3fn, fp8_e5m2"),
        ("3.3.7", "--num_shard=2", "--num_shard is not a flag of TGI 3.3.7; the nearest is --num-shard"),
        ("3.3.7", "--num-shard=-1", "'-1' is less than 0, the least"),
        ("3.3.7", "--port=70000", "'70000' is more than 65535, the most"),
        ("3.3.7", "--cuda-graphs=1,x", "'1,x' is not a whole number"),
        ("3.3.7", "--sharded=True", "'True' is not true or false"),
        ("3.3.7", "--sharded", "--sharded needs a value: true or false"),
        ("3.3.7", "--trust-remote-code=true", "takes no value"),
        ("3.3.7", "--max-total-tokens=4k", "'4k' is not a whole number"),
        ("2.3.1", "--graceful-termination-timeout=90", "is not a flag"),
    ],
)
def test_tgi_refuses(version: str, argument: str, message: str) -> None:
    found = load_catalog().flags["tgi"][version].check(argument)
    assert found is not None
    assert message in found


def test_find_knows_every_name() -> None:
    flags = load_catalog().flags["vllm"]["0.10.0"]
    assert flags.find("--tensor-parallel-size") is flags.find("-tp") is flags.find("--tensor_parallel_size")
    assert flags.name_of("--no-enable-prefix-caching") == "--enable-prefix-caching"
    assert flags.name_of("--compilation-config.level") == "--compilation-config"
    assert flags.find("--swap-spaces") is None
    assert flags.name_of("--swap-spaces") is None


# Files


@pytest.mark.parametrize(("kind", "version"), FILES)
def test_files_are_complete_sorted_and_consistent(kind: ServerKind, version: str) -> None:
    flags = load_catalog().flags[kind][version]
    assert (flags.server, flags.version) == (kind, version)
    assert flags.source
    assert flags.date == "2026-11-22"
    assert list(flags.flags) == sorted(flags.flags)
    names = [name for long, flag in flags.flags.items() for name in (long, *flag.aliases, *flag.negated)]
    assert len(names) == len(set(names))
    for long, found in flags.flags.items():
        assert long.startswith("--")
        assert "_" not in long
        assert (found.type == "list") is (found.items is not None)
        assert not found.negated or found.type == "boolean"
        if found.choices and found.default not in (None, "") and not isinstance(found.default, list):
            assert found.default in found.choices
        default = found.default
        if default is not None and found.type in ("integer", "number", "text"):
            assert flags.check(f"{long}={default}") is None
        if default is not None and found.type == "json":
            assert flags.check(f"{long}={json.dumps(default)}") is None


def test_the_files_are_those_of_the_catalogue() -> None:
    assert tuple(load_catalog().flags["vllm"]) == VLLM
    assert tuple(load_catalog().flags["tgi"]) == TGI
    for kind, facts in load_catalog().servers.items():
        assert set(facts.known_versions) <= set(load_catalog().flags[kind])
        assert facts.default_version in load_catalog().flags[kind]


def test_only_the_version_that_is_asked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = Path.read_text

    def note(path: Path, *arguments: str) -> str:
        read.append(path.name)
        return real(path, *arguments)

    monkeypatch.setattr(Path, "read_text", note)
    flags = FlagFiles("vllm")
    assert flags["0.26.0"] is flags["0.26.0"]
    assert read == ["vllm-0.26.0.yaml"]


def test_a_version_without_a_file_is_named_with_those_that_have_one() -> None:
    with pytest.raises(KeyError, match=r"no flags of vLLM 0\.11\.0 in the catalog; there are 0\.6\.0, 0\.10\.0"):
        load_catalog().flags["vllm"]["0.11.0"]
    with pytest.raises(KeyError, match="no flags of TGI"):
        load_catalog().flags["tgi"]["../../vllm-0.26.0"]


def test_flags_are_closed_and_immutable(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        load_catalog().flags["vllm"]["0.26.0"].version = "1"  # type: ignore[misc]
    document = {"server": "tgi", "version": "1.0.0", "source": "s", "date": "d", "flags": {"--x": {"type": "texts"}}}
    (tmp_path / "tgi-1.0.0.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ValidationError):
        FlagFiles("tgi", tmp_path)["1.0.0"]


def test_a_server_of_one_flag() -> None:
    only = ServerFlags(
        server="tgi", version="1.0.0", source="s", date="d", flags={"--x": Flag(type="list", items="number")}
    )
    assert only.check("--x=1.5") is None
    assert only.check("--x") == "--x needs a value: a number"
    assert only.check("--zebra=1") == "--zebra is not a flag of TGI 1.0.0"


# What the versions are known for


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("--max-model-len", {*VLLM}),
        ("--tensor-parallel-size", {*VLLM}),
        ("--gpu-memory-utilization", {*VLLM}),
        ("--kv-cache-dtype", {*VLLM}),
        ("--enable-prefix-caching", {*VLLM}),
        ("--enable-chunked-prefill", {*VLLM}),
        ("--swap-space", {"0.6.0", "0.10.0"}),
        ("--kv-cache-memory-bytes", {"0.19.1", "0.26.0", "0.33.0"}),
        ("--attention-backend", {"0.19.1", "0.26.0", "0.33.0"}),
        ("--shutdown-timeout", {"0.19.1", "0.26.0", "0.33.0"}),
        ("--calculate-kv-scales", {"0.10.0", "0.19.1", "0.26.0"}),
        ("--speculative-model", {"0.6.0"}),
        ("--speculative-config", {"0.10.0", "0.19.1", "0.26.0", "0.33.0"}),
        ("--disable-log-requests", {"0.6.0", "0.10.0"}),
        ("--enable-log-requests", {"0.19.1", "0.26.0", "0.33.0"}),
        ("--async-scheduling", {"0.10.0", "0.19.1", "0.26.0", "0.33.0"}),
        ("--performance-mode", {"0.19.1", "0.26.0", "0.33.0"}),
        ("--device", {"0.6.0"}),
    ],
)
def test_which_versions_have_a_flag(name: str, versions: set[str]) -> None:
    assert having(name) == versions


@pytest.mark.parametrize(
    ("method", "versions"),
    [
        ("squeezellm", {"0.6.0"}),
        ("awq", {*VLLM}),
        ("gptq", {*VLLM}),
        ("awq_marlin", {*VLLM}),
        ("gptq_marlin", {*VLLM}),
        ("fp8", {*VLLM}),
        ("compressed-tensors", {*VLLM}),
        ("bitsandbytes", {"0.6.0", "0.10.0", "0.19.1", "0.26.0"}),
        ("gguf", {"0.6.0", "0.10.0", "0.19.1"}),
        ("auto_awq", {"0.26.0", "0.33.0"}),
    ],
)
def test_which_versions_have_a_quantization(method: str, versions: set[str]) -> None:
    assert {version for version in VLLM if method in flag(version, "--quantization").choices} == versions


@pytest.mark.parametrize(
    ("version", "choices"),
    [
        ("0.6.0", "auto fp8 fp8_e4m3 fp8_e5m2"),
        ("0.10.0", "auto fp8 fp8_e4m3 fp8_e5m2 fp8_inc"),
        ("0.19.1", "auto bfloat16 float16 fp8 fp8_ds_mla fp8_e4m3 fp8_e5m2 fp8_inc"),
    ],
)
def test_kv_cache_types(version: str, choices: str) -> None:
    assert flag(version, "--kv-cache-dtype").choices == tuple(choices.split())


def test_kv_cache_types_only_grow() -> None:
    found = [set(flag(version, "--kv-cache-dtype").choices) for version in VLLM]
    assert all(older <= newer for older, newer in itertools.pairwise(found))
    assert {"nvfp4", "int4_per_token_head"} <= found[-1]


@pytest.mark.parametrize(
    ("version", "utilisation"), [("0.6.0", 0.9), ("0.10.0", 0.9), ("0.19.1", 0.9), ("0.26.0", 0.92), ("0.33.0", 0.92)]
)
def test_default_memory_utilisation(version: str, utilisation: float) -> None:
    assert flag(version, "--gpu-memory-utilization").default == utilisation


def test_values_that_are_named_but_not_the_only_ones() -> None:
    mode = flag("0.33.0", "--tokenizer-mode")
    assert mode.choices == ()
    assert {"auto", "hf", "mistral"} <= set(mode.known)
    assert load_catalog().flags["vllm"]["0.33.0"].check("--tokenizer-mode=my_own") is None


def test_block_sizes() -> None:
    assert flag("0.6.0", "--block-size").choices == (8, 16, 32)
    assert flag("0.6.0", "--block-size").default == 16
    assert flag("0.10.0", "--block-size").choices == (1, 8, 16, 32, 64, 128)
    assert flag("0.33.0", "--block-size").choices == ()


def test_parsers_of_tool_calls() -> None:
    assert flag("0.6.0", "--tool-call-parser").choices == ("hermes", "mistral")
    assert "gemma4" not in flag("0.10.0", "--tool-call-parser").choices
    assert {"gemma4", "functiongemma", "qwen3_json", "hf"} <= set(flag("0.33.0", "--tool-call-parser").choices)


@pytest.mark.parametrize(
    ("kind", "version", "arguments"),
    [
        (
            "vllm",
            "0.10.0",
            "--tensor-parallel-size=1 --quantization=awq --kv-cache-dtype=fp8_e5m2 --max-model-len=1200 "
            "--swap-space=16 --gpu-memory-utilization=0.95 --max-num-seqs=4 --model=google/gemma-7b --host=0.0.0.0",
        ),
        (
            "tgi",
            "2.3.1",
            "--num-shard=2 --quantize=bitsandbytes --max-total-tokens=3072 --max-batch-prefill-tokens=512 "
            "--max-input-length=512 --model-id=google/gemma-7b",
        ),
    ],
)
def test_flags_of_the_guides_manifests_are_taken(kind: ServerKind, version: str, arguments: str) -> None:
    flags = load_catalog().flags[kind][version]
    assert [flags.check(argument) for argument in arguments.split() if flags.check(argument)] == []


def test_flags_of_the_launcher() -> None:
    older, newer = (set(load_catalog().flags["tgi"][version].flags) for version in TGI)
    assert newer - older == {
        "--kv-cache-dtype",
        "--prometheus-port",
        "--payload-limit",
        "--enable-prefill-logprobs",
        "--graceful-termination-timeout",
    }
    assert older <= newer
    assert flag("3.3.7", "--graceful-termination-timeout", "tgi").default == 90
    assert flag("3.3.7", "--payload-limit", "tgi").default == 2_000_000
