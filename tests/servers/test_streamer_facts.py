"""What the catalog says of the streamer is what vLLM's packages on PyPI say, version by version."""

import ast
import re
import zipfile
from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.versions import version_parts

FACTS = load_catalog().model_sources.streamer
LOADER = "vllm/model_executor/model_loader/runai_streamer_loader.py"
SOURCES = (LOADER, "vllm/engine/arg_utils.py", "vllm/transformers_utils/runai_utils.py", "vllm/config/model.py")


@pytest.fixture(scope="session")
def sources(vllm_wheel: Path, vllm_version: str) -> dict[str, str]:
    if version_parts(vllm_version) < version_parts(FACTS.since):
        pytest.skip("this version's image has no streamer for Cloud Storage")
    with zipfile.ZipFile(vllm_wheel) as package:
        return {name: package.read(name).decode() for name in SOURCES}


def test_it_reads_gs_and_fetches_everything_but_weights_first(sources: dict[str, str]) -> None:
    assert '"gs://"' in sources["vllm/transformers_utils/runai_utils.py"]
    assert "maybe_pull_model_tokenizer_for_runai" in sources["vllm/config/model.py"]


def test_the_loader_takes_what_the_plan_configures_it_with(vllm_version: str, sources: dict[str, str]) -> None:
    text = sources[LOADER]
    keys = set(re.findall(r'"(concurrency|memory_limit|distributed)"', text))
    shares = version_parts(FACTS.distributed_since) <= version_parts(vllm_version)
    assert keys == {"concurrency", "memory_limit", *({"distributed"} if shares else ())}
    assert set(re.findall(r'"(RUNAI_STREAMER_(?:CONCURRENCY|MEMORY_LIMIT))"', text)) == set(FACTS.variables)


def test_from_a_version_on_it_finds_gs_though_it_is_offline(vllm_version: str, sources: dict[str, str]) -> None:
    """Before, HF_HUB_OFFLINE sends it to look for gs://... among downloads of Hugging Face."""
    tree = ast.parse(sources["vllm/engine/arg_utils.py"])
    (branch,) = [
        one for one in ast.walk(tree) if isinstance(one, ast.If) and ast.unparse(one.test).endswith("HF_HUB_OFFLINE")
    ]
    guarded = "is_cloud_storage(self.model)" in ast.unparse(branch)
    assert guarded == (version_parts(FACTS.offline_since) <= version_parts(vllm_version))
