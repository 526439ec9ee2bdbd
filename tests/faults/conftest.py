"""The tier that attacks the stack on this machine: skipped unless TEST_FAULTS is set, see make test-faults.

It is bounded: what does not begin within `SECONDS` is left out, and the table says so.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from local.binaries import ensure
from local.engine.command import find_command
from local.engine.provider import find_provider
from local.gke.control_plane import PROGRAMS
from tests.faults.stack import Stack
from tests.faults.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 525.0
"""A test takes less than the rest of ten minutes."""


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """What was tried; written once every test has ended."""
    if not os.environ.get("TEST_FAULTS"):
        pytest.skip("TEST_FAULTS is not set; see make test-faults")
    ensure(PROGRAMS, print)
    find_command(print)
    find_provider(print)
    table = Table()
    yield table
    table.write()


@pytest.fixture(autouse=True)
def _in_time(table: Table, request: pytest.FixtureRequest) -> None:
    if time.monotonic() - table.started > SECONDS:
        table.left_out.append(request.node.name)
        pytest.skip("there is no time left")


@pytest.fixture
def stack(table: Table, tmp_path: Path) -> Iterator[Stack]:
    """A project whose stack was never up; nothing of it is left afterwards."""
    stack = Stack.made_in(tmp_path / "project")
    yield stack
    stack.end()


@pytest.fixture(scope="session")
def two_at_once(
    table: Table, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, list[tuple[int, str]]]]:
    """A project that two commands brought up at once, and how they ended."""
    stack = Stack.made_in(tmp_path_factory.mktemp("deployed") / "project")
    both = [stack.start("up") for _ in range(2)]
    yield stack, sorted((running.wait() for running in both), key=lambda ended: ended[0])
    stack.end()


@pytest.fixture(scope="session")
def snapshot(two_at_once: tuple[Stack, list[tuple[int, str]]]) -> Stack:
    """A project whose stack is up, but for the control plane's processes; its files lie in `kept` too."""
    stack, _ = two_at_once
    stack.up()
    stack.gke.stop()
    shutil.copytree(stack.directory, stack.kept, symlinks=True)
    return stack


@pytest.fixture
def deployed(snapshot: Stack) -> Iterator[Stack]:
    """A project whose stack is up, with its control plane running."""
    snapshot.restore()
    snapshot.gke.start()
    yield snapshot
    snapshot.end()
