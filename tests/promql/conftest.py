"""The tier of queries: Prometheus's own engine over simulated series.

Skipped unless TEST_OBSERVABILITY is 1, as `make test-observability` sets; then an engine that is not available is an
error.
"""

import os
import sys
from pathlib import Path

import pytest

from local.binaries import ensure
from tests.promql.engine import Engine
from tests.promql.watched import Shown, answers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TEST_OBSERVABILITY") == "1":
        return
    skip = pytest.mark.skip(reason="needs Prometheus's engine; make test-observability runs it")
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def engine() -> Engine:
    paths = ensure(["promql-engine"], lambda line: print(line, file=sys.stderr, flush=True))
    return Engine(paths["promql-engine"])


@pytest.fixture(scope="session")
def shown(engine: Engine) -> Shown:
    return answers(engine)
