"""The provider that the tests here ask."""

from collections.abc import Iterator

import pytest

from tests.provider.support import Provider, running


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """One process for all tests of a worker."""
    with running() as made:
        yield made
