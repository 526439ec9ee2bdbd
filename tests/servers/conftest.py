"""The slow tier: real packages from PyPI.

Skipped unless TEST_SERVERS is set: to versions such as `0.10.0,0.33.0`, to `default` (the guide's and the newest), or
to `all` of the catalog. Packages (170 to 430 MB each) are kept in `$XDG_CACHE_HOME/gke-llm-inference/packages`.
"""

import os
from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from tools.extract_vllm_flags import wheel_of

DEFAULT_VERSIONS = ("0.10.0", "0.33.0")


def chosen_versions() -> tuple[str, ...]:
    chosen = os.environ.get("TEST_SERVERS", "").strip()
    known = tuple(load_catalog().flags["vllm"])
    if chosen in ("", "all", "default"):
        return {"": (), "all": known, "default": DEFAULT_VERSIONS}[chosen]
    versions = tuple(chosen.replace(",", " ").split())
    unknown = sorted(set(versions) - set(known))
    if unknown:
        raise pytest.UsageError(f"TEST_SERVERS has {', '.join(unknown)}; the catalog has {', '.join(known)}")
    return versions


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gke-llm-inference" / "packages"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vllm_version" in metafunc.fixturenames:
        versions = chosen_versions()
        skipped = pytest.param("none", marks=pytest.mark.skip(reason="TEST_SERVERS names no version"))
        metafunc.parametrize("vllm_version", versions or [skipped], scope="session")


@pytest.fixture(scope="session")
def vllm_wheel(vllm_version: str) -> Path:
    """The package of the version, from the cache or from PyPI."""
    return wheel_of(vllm_version, cache_directory())
