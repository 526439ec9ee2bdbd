"""Small Pulumi projects to preview, and the command to preview them with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.warm_python import warm_python

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]

PRELUDE = """\
import pulumi

class Thing(pulumi.CustomResource):
    def __init__(self, type_, name, props=None, opts=None):
        super().__init__(type_, name, props or {}, opts)

class Group(pulumi.ComponentResource):
    def __init__(self, type_, name, opts=None):
        super().__init__(type_, name, None, opts)

"""


@dataclass(frozen=True)
class Result:
    """What one run of the command gave."""

    code: int
    stdout: str
    stderr: str

    def document(self) -> Any:
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Workspace:
    """A directory with a project."""

    directory: Path

    def program(self, text: str, *, prelude: bool = True) -> None:
        (self.directory / "__main__.py").write_text((PRELUDE if prelude else "") + textwrap.dedent(text))

    def stack(self, text: str = "", name: str = "dev") -> None:
        (self.directory / f"Pulumi.{name}.yaml").write_text(textwrap.dedent(text))

    def preview(self, *arguments: str, cwd: Path | None = None, cold: bool = False, **environment: str) -> Result:
        """Runs the command; `cold` in a Python of its own, where what is read at the start or a signal matters."""
        command = [
            sys.executable if cold else warm_python(),
            "-m",
            "gke_llm_inference",
            "preview",
            "--project-dir",
            str(self.directory),
            *arguments,
        ]
        ended = subprocess.run(
            command,
            cwd=cwd or REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(ended.returncode, ended.stdout, ended.stderr)


def make_workspace(directory: Path) -> Workspace:
    (directory / "Pulumi.yaml").write_text("name: demo\nruntime: python\n")
    workspace = Workspace(directory)
    workspace.program("")
    workspace.stack()
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty project `demo` with the stack `dev`."""
    directory = tmp_path / "project"
    directory.mkdir()
    return make_workspace(directory)


@pytest.fixture(scope="session")
def new_workspace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Workspace]:
    """The same for fixtures that live longer than one test."""
    return lambda: make_workspace(tmp_path_factory.mktemp("project"))
