"""Which command prints a revision's plan: this package's own, an old one only in an old revision of this project."""

import sys
from pathlib import Path

import pytest

from gke_llm_inference.diff.plans import read_plan
from gke_llm_inference.preview.process import Interpreter
from tests.support import REPOSITORY

OLD = ("catalog", "components", "planning", "preview", "settings")
PRINTS = """\
import json
from pathlib import Path
Path("has-run").touch()
print(json.dumps({"servers": {}, "from": "planning"}))
"""


@pytest.fixture
def interpreter() -> Interpreter:
    return Interpreter(Path(sys.executable), {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"})


def write(directory: Path, *files: str) -> None:
    for name in files:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(PRINTS if "planning" in name and "__init__" not in name else "")
    (directory / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    # Its settings are in the program, so that no plan can be read from the stack's file.
    (directory / "Pulumi.dev.yaml").write_text("config: {}\n")
    (directory / "__main__.py").write_text("")


@pytest.mark.parametrize("is_base", [True, False])
@pytest.mark.parametrize(
    "files",
    [
        ["planning.py"],
        ["planning/__init__.py", "planning/__main__.py"],
        ["planning/__main__.py", "settings.py", "policy/__init__.py", "components/__init__.py", "catalog.py"],
    ],
    ids=lambda files: files[0],
)
def test_a_teams_own_planning_is_never_run(
    files: list[str], is_base: bool, interpreter: Interpreter, tmp_path: Path
) -> None:
    write(tmp_path, *files)
    assert read_plan(interpreter, tmp_path, "dev", 60, is_base=is_base).get("from") is None
    assert not (tmp_path / "has-run").exists()


@pytest.mark.parametrize(
    ("is_base", "today", "expected"), [(True, False, "planning"), (False, False, None), (True, True, None)]
)
def test_an_old_revision_of_this_project_prints_its_plan_as_a_base(
    is_base: bool, today: bool, expected: str | None, interpreter: Interpreter, tmp_path: Path
) -> None:
    write(tmp_path, "planning/__main__.py", *(f"{name}/__init__.py" for name in OLD))
    if today:
        write(tmp_path, "gke_llm_inference/__init__.py")
    assert read_plan(interpreter, tmp_path, "dev", 60, is_base=is_base).get("from") == expected
    assert (tmp_path / "has-run").exists() is (expected is not None)
