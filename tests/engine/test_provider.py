"""Where the Kubernetes provider comes from, and where the engine finds it; none of it needs either."""

import socket
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from local.binaries import PROGRAMS, Progress
from local.engine.command import find_command
from local.engine.provider import NAME, find_provider, installed_provider, offer
from tests.support import REPOSITORY


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


def test_path_comes_before_what_was_built(tmp_path: Path, cache: Path) -> None:
    assert installed_provider() is None
    built = program(cache / PROGRAMS[NAME].module.key / NAME)
    assert find_provider(print) == installed_provider() == built
    own = program(tmp_path / "path" / NAME)
    assert find_provider(print) == installed_provider() == own


@pytest.mark.parametrize("find", [find_command, find_provider])
def test_what_is_not_here_is_built_from_pinned_sums_and_never_downloaded(
    find: Callable[[Progress], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: opened.append(arguments))
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_: opened.append(arguments))
    for module in ("command", "provider"):
        monkeypatch.setattr(f"local.engine.{module}.ensure", _built)
    with pytest.raises(_BuiltError):
        find(print)
    assert opened == []


class _BuiltError(Exception):
    """A build from a Go module was asked for."""


def _built(*_arguments: object) -> dict[str, Path]:
    raise _BuiltError


def test_every_module_that_is_built_has_its_sums() -> None:
    for module in {program.module for program in PROGRAMS.values()}:
        sums = (module.directory / "go.sum").read_text("utf-8")
        assert f"{module.source} v{module.version} h1:" in sums


def test_nothing_on_the_way_of_make_up_reaches_for_an_address_of_its_own() -> None:
    """What opens a connection there is Go, which holds go.sum against what it gets, and pip with hashes."""
    texts = {path: path.read_text("utf-8") for path in (REPOSITORY / "local").rglob("*.py")}
    words = ("urlopen", "urlretrieve", "requests.get", "curl", "wget", "PulumiCommand.install", '"plugin", "install"')
    assert {str(path): word for path, text in texts.items() for word in words if word in text} == {}


def test_the_engine_finds_it_as_the_version_that_the_sdk_asks_for(tmp_path: Path) -> None:
    first, second = program(tmp_path / "first" / NAME), program(tmp_path / "second" / NAME)
    for provider in (first, first, second):
        offer(provider, tmp_path / "home")
        (place,) = (tmp_path / "home" / "plugins").rglob(NAME)
        assert place.parent.name == f"resource-kubernetes-v{version('pulumi-kubernetes')}"
        assert place.resolve() == provider
