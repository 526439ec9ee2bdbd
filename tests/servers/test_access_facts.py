"""What the catalog says of routes, guards and keys is what vLLM's packages on PyPI say, version by version."""

import ast
import json
import logging
import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.access.exposed import guarded_paths
from gke_llm_inference.planning.versions import version_parts

FACTS = load_catalog().access["vllm"]


@pytest.fixture(scope="session")
def sources(vllm_wheel: Path) -> dict[str, str]:
    """Modules of the package that are about its API, by path."""
    with zipfile.ZipFile(vllm_wheel) as package:
        return {
            name: package.read(name).decode()
            for name in package.namelist()
            if name.endswith(".py") and name.startswith(("vllm/entrypoints/", "vllm/utils", "vllm/envs.py"))
        }


def test_every_route_is_one_of_the_package_s(vllm_version: str, sources: dict[str, str]) -> None:
    text = "\n".join(source for name, source in sources.items() if "entrypoints" in name)
    found = {
        (path, method.upper()) for method, path in re.findall(r'@router\.(get|post|put|delete)\(\s*"([^"]+)"', text)
    }
    for route in FACTS.routes:
        has = version_parts(route.since) <= version_parts(vllm_version)
        assert ((route.path, route.method) in found) or not has, route


def test_the_guard_is_the_package_s(vllm_version: str, sources: dict[str, str]) -> None:
    text = "\n".join(source for name, source in sources.items() if "entrypoints" in name)
    stated = re.search(r"^GUARDED_PREFIX = (\(.*?\))", text, re.MULTILINE)
    prefixes = ast.literal_eval(stated[1]) if stated else ("/v1",)
    assert stated or re.search(r'path\.startswith\((?:f"\{root_path\}/v1"|"/v1")\)', text)
    assert guarded_paths(vllm_version, FACTS).prefixes == prefixes


def test_the_variable_is_read_and_an_argument_wins_over_it(sources: dict[str, str]) -> None:
    assert f'"{FACTS.key_variable}"' in sources["vllm/envs.py"]
    used = re.findall(r"if (?:tokens? ?:= ?)(.*?):\n", "\n".join(sources.values()))
    assert any("api_key" in one and "VLLM_API_KEY" in one for one in used), used


def test_a_file_with_two_keys_is_read_and_not_logged_from_the_stated_version_on(
    vllm_version: str, sources: dict[str, str], tmp_path: Path
) -> None:
    since = FACTS.key_file_since
    assert since is not None
    redacts = any("redact_sensitive_args(" in source and '"api_key"' in source for source in sources.values())
    assert redacts == (version_parts(since) <= version_parts(vllm_version))
    if redacts:
        path = tmp_path / "api-keys.yaml"
        path.write_text(json.dumps({"api-key": ["new", "old"]}))
        assert arguments_of(sources, path) == ["--api-key", "new", "old"]


def arguments_of(sources: dict[str, str], path: Path) -> Any:
    """What the package's own function makes of a configuration file."""
    for source in sources.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.name == "load_config_file":
                code = textwrap.dedent(ast.get_source_segment(source, node, padded=True) or "")
                names: dict[str, Any] = {"yaml": yaml, "json": json, "Any": Any, "logger": logging.getLogger()}
                exec(code, names)
                return names["load_config_file"](None, str(path))
    raise AssertionError("the package reads no configuration file")
