"""The tier with the real Pulumi engine: skipped unless TEST_ENGINE is set, as the CLI may have to be built first."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.engine.command import EngineCommand, find_command
from tests.engine.support import Bench, bench_in


@pytest.fixture(scope="session")
def command() -> EngineCommand:
    """The CLI: on PATH, in the cache, or built."""
    if not os.environ.get("TEST_ENGINE"):
        pytest.skip("TEST_ENGINE is not set; see make test-engine")
    return find_command(print)


@pytest.fixture
def bench(command: EngineCommand, tmp_path: Path) -> Iterator[Bench]:
    """An empty cluster, an empty cloud and an empty state."""
    with bench_in(tmp_path, EngineCommand(Path(command.command))) as made:
        yield made
