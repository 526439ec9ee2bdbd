"""Fixtures that several directories of tests share."""

from __future__ import annotations

import pytest

from tests.support import Recordings, shared_directory


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Recordings of programs, each made once in a test run."""
    return Recordings(shared_directory(tmp_path_factory, "recordings"))
