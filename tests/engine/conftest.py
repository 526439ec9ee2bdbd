"""The tier with the real Pulumi engine: skipped unless TEST_ENGINE is set, as programs may have to be built first."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.binaries import ensure
from local.engine.command import EngineCommand, find_command
from local.engine.provider import NAME
from local.gke import LocalGke
from tests.cluster.support import running_gke
from tests.engine.support import Bench, bench_on
from tests.leftovers import nothing_outlives


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No control plane, engine or plugin of these tests."""
    yield from nothing_outlives(tmp_path_factory.getbasetemp(), "TEST_ENGINE")


@pytest.fixture(scope="session")
def command() -> EngineCommand:
    """The CLI: on PATH, in the cache, or built."""
    if not os.environ.get("TEST_ENGINE"):
        pytest.skip("TEST_ENGINE is not set; see make test-engine")
    return find_command(print)


@pytest.fixture(scope="session")
def provider(command: EngineCommand) -> Path:
    """Pulumi's Kubernetes provider of the version that is pinned here."""
    return ensure([NAME], print)[NAME]


@pytest.fixture(scope="session")
def standard_gke(command: EngineCommand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGke]:
    yield from running_gke("standard", tmp_path_factory.mktemp("standard"))


@pytest.fixture(scope="session")
def autopilot_gke(command: EngineCommand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGke]:
    yield from running_gke("autopilot", tmp_path_factory.mktemp("autopilot"))


@pytest.fixture
def bench(standard_gke: LocalGke, command: EngineCommand, provider: Path, tmp_path: Path) -> Iterator[Bench]:
    """An empty Standard cluster, an empty cloud and an empty state."""
    with bench_on(standard_gke, tmp_path, EngineCommand(Path(command.command)), provider) as made:
        yield made


@pytest.fixture
def autopilot_bench(autopilot_gke: LocalGke, command: EngineCommand, provider: Path, tmp_path: Path) -> Iterator[Bench]:
    """The same with an Autopilot cluster."""
    with bench_on(autopilot_gke, tmp_path, EngineCommand(Path(command.command)), provider) as made:
        yield made
