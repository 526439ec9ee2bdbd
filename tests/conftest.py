"""Fixtures that several directories of tests share."""

import os

import pytest
from hypothesis import settings

from tests.support import Recordings, Shared, shared_directory

# A terminal is opened in a fork, in which gRPC would start its threads anew, on files that are closed there.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
# How long an example takes is the machine's load; timings are in benchmarks/.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Results that are made once in a test run, however many processes it has."""
    return Shared(shared_directory(tmp_path_factory, "shared"))


@pytest.fixture(scope="session")
def recordings(shared: Shared) -> Recordings:
    """Recordings of programs, each made once in a test run."""
    return Recordings(shared)
