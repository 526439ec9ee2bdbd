"""Since when a class of models is known, from the registries of packages."""

import zipfile
from pathlib import Path

import pytest

from tools import extract_loading

OLD = "vllm/model_executor/models/__init__.py"
NEW = "vllm/model_executor/models/registry.py"


def wheel(folder: Path, version: str, module: str, source: str) -> Path:
    path = folder / f"vllm-{version}-cp38-abi3-manylinux1_x86_64.whl"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(module, source)
    return path


def test_a_class_is_known_from_its_first_version_to_its_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = '_GENERATION_MODELS = {"LlamaForCausalLM": ("llama", "Llama"), "FalconForCausalLM": ("falcon", "Falcon")}'
    new = """
_TEXT_GENERATION_MODELS = {"LlamaForCausalLM": ("llama", "Llama"), "Qwen3ForCausalLM": ("qwen3", "Qwen3")}
_PREVIOUSLY_SUPPORTED_MODELS = {"FalconForCausalLM": "0.6.0"}
_OTHERS: dict[str, str] = {"MixtralForCausalLM": "x"}
"""
    wheels = [wheel(tmp_path, "0.10.0", NEW, new), wheel(tmp_path, "0.6.0", OLD, old)]
    assert extract_loading.main([str(one) for one in wheels]) == 0
    assert capsys.readouterr().out == (
        "    FalconForCausalLM: {since: 0.6.0, until: 0.6.0}\n"
        "    LlamaForCausalLM: {since: 0.6.0}\n"
        "    Qwen3ForCausalLM: {since: 0.10.0}\n"
    )


def test_another_file_is_not_taken_for_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torch-2.0.0.whl").touch()
    assert extract_loading.main([str(tmp_path / "torch-2.0.0.whl")]) == 1
    assert capsys.readouterr().err == "torch-2.0.0.whl is not a package of vLLM\n"
