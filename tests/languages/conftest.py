"""The tier of other languages: skipped unless TEST_LANGUAGES is 1, as `make test-languages` sets.

It takes some three to six minutes, and half an hour more where the control plane, the Pulumi CLI and its plugins are
not built yet: it builds Pulumi's generators, installs npm packages, and deploys to a control plane on this machine.
Then what is missing is an error.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.languages.support import GENERATED, SCHEMA, TypeScript, run
from tests.leftovers import nothing_outlives

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TEST_LANGUAGES") == "1":
        return
    skip = pytest.mark.skip(reason="needs Go and Node.js; make test-languages runs it")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No control plane, engine or plugin of these tests."""
    yield from nothing_outlives(tmp_path_factory.getbasetemp(), "TEST_LANGUAGES")


@pytest.fixture(scope="session")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an SDK for each language that has a generator here."""
    directory = tmp_path_factory.mktemp("sdks")
    program = directory / "generator"
    run(["go", "build", "-o", program, "."], HERE / "go" / "sdks")
    for language in GENERATED:
        run([program, SCHEMA, language, directory / language], directory)
    return directory


@pytest.fixture(scope="session")
def typescript(sdks: Path, tmp_path_factory: pytest.TempPathFactory) -> TypeScript:
    """The example project with its SDK and its packages, as `pulumi install` leaves it."""
    project = TypeScript.example_in(tmp_path_factory.mktemp("typescript") / "project", sdks)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], project.directory)
    project.compile_sdk()
    return project


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    for tool in ("go", "node", "npm"):
        assert shutil.which(tool), f"{tool} is not on PATH"
    subprocess.run(["go", "version"], check=True, capture_output=True)
