"""Where the Kubernetes provider comes from, and where the engine finds it; none of it needs either."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from local.binaries import PROGRAMS
from local.engine.provider import NAME, find_provider, offer

NO_COMMAND: Any = None


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing on PATH."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "cache" / "gke-llm-inference" / "binaries"


def test_path_comes_before_what_was_installed_and_that_before_what_was_built(tmp_path: Path, cache: Path) -> None:
    built = program(cache / PROGRAMS[NAME].module.key / NAME)
    assert find_provider(NO_COMMAND, print) == built
    directory = f"resource-kubernetes-v{version('pulumi-kubernetes')}"
    installed = program(cache / "pulumi-home" / "plugins" / directory / NAME)
    assert find_provider(NO_COMMAND, print) == installed
    own = program(tmp_path / "path" / NAME)
    assert find_provider(NO_COMMAND, print) == own


def test_what_cannot_be_downloaded_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError("no such host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("local.engine.provider.ensure", lambda names, _progress: dict.fromkeys(names, tmp_path))
    lines: list[str] = []
    assert find_provider(NO_COMMAND, lines.append) == tmp_path
    assert lines[-1] == f"{NAME}: cannot be downloaded (no such host); it is built from its Go module instead"


def test_the_engine_finds_it_as_the_version_that_the_sdk_asks_for(tmp_path: Path) -> None:
    first, second = program(tmp_path / "first" / NAME), program(tmp_path / "second" / NAME)
    for provider in (first, first, second):
        offer(provider, tmp_path / "home")
        (place,) = (tmp_path / "home" / "plugins").rglob(NAME)
        assert place.parent.name == f"resource-kubernetes-v{version('pulumi-kubernetes')}"
        assert place.resolve() == provider
