"""The catalog's flags are what the packages on PyPI say, byte for byte."""

from pathlib import Path

from gke_llm_inference.catalog import load_catalog
from tools.extract_vllm_flags import FLAGS_DIRECTORY, read, render


def test_the_committed_flags_are_those_of_the_package(vllm_version: str, vllm_wheel: Path) -> None:
    extraction = read(vllm_wheel, vllm_version)
    assert not extraction.problems
    committed = (FLAGS_DIRECTORY / f"vllm-{vllm_version}.yaml").read_text("utf-8")
    assert render(extraction, load_catalog().flags["vllm"][vllm_version].date) == committed
