"""The catalog's flags are what the packages on PyPI say, byte for byte, and their variables have a class."""

import re
import zipfile
from pathlib import Path

from gke_llm_inference.catalog import load_catalog
from tools.extract_loading import registered
from tools.extract_vllm_flags import FLAGS_DIRECTORY, read, render


def test_the_committed_flags_are_those_of_the_package(vllm_version: str, vllm_wheel: Path) -> None:
    extraction = read(vllm_wheel, vllm_version)
    assert not extraction.problems
    committed = (FLAGS_DIRECTORY / f"vllm-{vllm_version}.yaml").read_text("utf-8")
    assert render(extraction, load_catalog().flags["vllm"][vllm_version].date) == committed


def test_every_variable_that_the_package_reads_has_a_class(vllm_wheel: Path) -> None:
    with zipfile.ZipFile(vllm_wheel) as package:
        source = package.read("vllm/envs.py").decode()
    names = set(re.findall(r'^    "([A-Za-z_0-9]+)":', source, re.MULTILINE))
    own, common = load_catalog().effects.variables("vllm")
    assert len(names) > 50
    assert sorted(name for name in names if not own.knows(name) and not common.knows(name)) == []


def test_a_package_has_the_classes_of_models_that_the_catalog_says(vllm_version: str, vllm_wheel: Path) -> None:
    known = load_catalog().loading["vllm"].classes
    assert {name for name, one in known.items() if one.has(vllm_version)} == registered(vllm_wheel) & known.keys()
