"""Every metric that the catalog names is exposed by the servers' own source, version by version."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.metric_facts import Concept, ExposedMetric

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gke_llm_inference.catalog import ServerKind

CATALOG = load_catalog()
MODULES = ("vllm/engine/metrics.py", "vllm/v1/metrics/loggers.py")
"""The engines' own metrics: V0's and V1's."""
OF_V1_ALONE = {"prefixCacheHits", "prefixCacheQueries"}
TGI_SOURCES = ("router/src", "backends/v3/src")
TGI_REPOSITORY = os.environ.get("TGI_REPOSITORY", "")


@dataclass(frozen=True)
class Found:
    """A metric in a module of the package."""

    name: str
    kind: str
    hidden: bool
    """Whether it is exposed only where someone asks for hidden metrics."""


def exposed(name: str, kind: str) -> str:
    """What Python's client makes of a name: a counter's ends in _total, once."""
    return f"{name.removesuffix('_total')}_total" if kind == "counter" else name


def found_in(source: str) -> Iterator[Found]:
    tree = ast.parse(source)
    hidden = [
        (node.lineno, node.body[-1].end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "show_hidden_metrics" in ast.unparse(node.test)
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not (kind := re.search("gauge|counter|histogram", _called(node), re.I)):
            continue
        for keyword in node.keywords:
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                inside = any(first <= node.lineno <= last for first, last in hidden)
                yield Found(exposed(str(keyword.value.value), kind[0].lower()), kind[0].lower(), inside)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def expected(server: ServerKind, version: str) -> Iterator[tuple[Concept, ExposedMetric]]:
    for concept in get_args(Concept):
        if metric := CATALOG.metrics[server].metric(concept, version):
            yield concept, metric


@pytest.fixture(scope="session")
def engines(vllm_wheel: Path) -> dict[str, list[Found]]:
    """What each engine of the package exposes, and the one metric whose name is in a variable."""
    with zipfile.ZipFile(vllm_wheel) as package:
        sources = {name: package.read(name).decode() for name in MODULES if name in package.namelist()}
    known = {name: list(found_in(source)) for name, source in sources.items()}
    for name, source in sources.items():
        if re.search(r'name = "vllm:cache_config_info"', source):
            known[name].append(Found("vllm:cache_config_info", "gauge", hidden=False))
    return known


def test_every_engine_of_the_package_exposes_every_metric(vllm_version: str, engines: dict[str, list[Found]]) -> None:
    checked = 0
    for concept, metric in expected("vllm", vllm_version):
        for module, metrics in engines.items():
            if module == MODULES[0] and concept in OF_V1_ALONE:
                continue
            assert Found(metric.name, metric.kind, hidden=False) in metrics, (concept, module)
            checked += 1
    assert checked > 10


def test_the_package_has_no_metric_that_the_catalog_denies_it(
    vllm_version: str, engines: dict[str, list[Found]]
) -> None:
    known = {one.name for metrics in engines.values() for one in metrics if not one.hidden}
    named = {metric.name for _, metric in expected("vllm", vllm_version)}
    for concept, metric in CATALOG.metrics["vllm"].metrics.items():
        if CATALOG.metrics["vllm"].metric(concept, vllm_version) is None:
            assert not known & {one.name for one in metric.names}, concept
    assert named <= known


@pytest.mark.skipif(not TGI_REPOSITORY, reason="TGI_REPOSITORY names no clone of huggingface/text-generation-inference")
@pytest.mark.parametrize("version", CATALOG.servers["tgi"].known_versions)
def test_the_tag_of_tgi_has_every_metric(version: str) -> None:
    tag = f"v{version}"
    found = subprocess.run(
        [
            "git",
            "-C",
            TGI_REPOSITORY,
            "grep",
            "-hE",
            r"(gauge|counter|histogram)!\(",
            tag,
            "--",
            "router/src",
            "backends/v3/src",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    known = {(name, kind) for kind, name in re.findall(r'\b(gauge|counter|histogram)!\(\s*"([a-z_]+)"', found)}
    assert {(metric.name, metric.kind) for _, metric in expected("tgi", version)} <= known
