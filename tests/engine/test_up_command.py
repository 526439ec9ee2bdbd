"""`python -m local.engine` as a user runs it: a whole life with Ctrl-C in the middle, on a control plane of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leftovers import left_below
from tests.support import REPOSITORY

FOREIGN = {
    "contexts": [{"name": "local", "context": {"cluster": "mine", "user": "me"}}],
    "clusters": [{"name": "mine", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "me", "user": {}}],
}
"""A user's own kubeconfig, whose context happens to have the name that the local stack's has."""


@pytest.fixture
def project(provider: Path, tmp_path: Path) -> Iterator[Path]:
    """A project, of which nothing runs afterwards, wherever its test ended."""
    directory = tmp_path / "project"
    directory.mkdir()
    for name in ("Pulumi.yaml", "Pulumi.local.yaml", "__main__.py"):
        shutil.copy(REPOSITORY / name, directory)
    (tmp_path / "kubeconfig").write_text(json.dumps(FOREIGN))
    yield directory
    for pid in left_below(directory):
        os.kill(pid, signal.SIGKILL)


def engine(project: Path, *arguments: str, interrupt_at: str | None = None) -> tuple[int, str]:
    """Runs the command; presses Ctrl-C once a line with a text comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.engine", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "KUBECONFIG": str(project.parent / "kubeconfig")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A group of its own, as a terminal gives one to what it runs in the foreground.
        start_new_session=True,
        # Whoever runs these tests in the background ignores it, and its children would.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if interrupt_at is not None and interrupt_at in line:
            os.killpg(process.pid, signal.SIGINT)
            interrupt_at = None
    return process.wait(), "".join(lines)


def test_up_interrupted_and_again_then_status_and_down(project: Path) -> None:
    before = sorted(path.name for path in project.iterdir())
    code, said = engine(project, "up", interrupt_at="Namespace v1 llm-inference created")
    assert (code, "interrupted; the same command goes on from here" in said) == (130, True)
    code, said = engine(project, "up")
    assert code == 0, said
    assert "gemma 1/1 google/gemma-7b-it g2-standard-8" in [" ".join(line.split()) for line in said.splitlines()]
    assert "Namespace v1 llm-inference created" not in said
    assert engine(project, "status")[0] == 0
    (project / "Pulumi.local.yaml").write_text("config: {gke-llm-inference:cluster: {mode: autopilot}}\n")
    assert engine(project, "up")[0] == 1
    code, said = engine(project, "down")
    assert (code, said.splitlines()[-1]) == (0, "down: no process and no file is left")
    assert sorted(path.name for path in project.iterdir()) == before
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(project).encode() in _read(one)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
