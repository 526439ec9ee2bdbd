"""The slow tier: a real control plane with simulated nodes.

Skipped unless TEST_CLUSTER is 1, as `make test-cluster` sets; then programs that are not available are an error.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.gke import LocalGke
from tests.cluster.support import Cluster, running_gke
from tests.leftovers import nothing_outlives


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TEST_CLUSTER") == "1":
        return
    skip = pytest.mark.skip(reason="needs a control plane; make test-cluster runs it")
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No control plane, engine or plugin of these tests."""
    yield from nothing_outlives(tmp_path_factory.getbasetemp(), "TEST_CLUSTER")


@pytest.fixture(scope="session")
def standard_gke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGke]:
    yield from running_gke("standard", tmp_path_factory.mktemp("standard"))


@pytest.fixture(scope="session")
def autopilot_gke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGke]:
    yield from running_gke("autopilot", tmp_path_factory.mktemp("autopilot"))


@pytest.fixture
def standard(standard_gke: LocalGke) -> Iterator[Cluster]:
    yield from _fresh(standard_gke)


@pytest.fixture
def autopilot(autopilot_gke: LocalGke) -> Iterator[Cluster]:
    yield from _fresh(autopilot_gke)


def _fresh(gke: LocalGke) -> Iterator[Cluster]:
    """A cluster without namespaces and GPU nodes of an earlier test."""
    cluster = Cluster(gke)
    yield cluster
    cluster.clear()
