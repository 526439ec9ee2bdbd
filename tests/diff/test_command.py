"""The command on small projects with two revisions: whose code runs, what a bad base gives, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.diff.dependencies import pins, python_of
from gke_llm_inference.diff.render_markdown import MARKER
from gke_llm_inference.diff.revisions import base_at, base_in_directory
from gke_llm_inference.preview.errors import RevisionError
from tests.preview.conftest import REPOSITORY, Result, Workspace, make_workspace
from tests.warm_python import warm_python

pytestmark = pytest.mark.processes

PLANTED = "pLaNtEdEnViRoNmEnTsEcReT"

PROGRAM = """\
import parts
Thing("test:index:T", "a", {"version": parts.VERSION, "seen": sorted(parts.seen())})
"""
PARTS = """\
import os
from pathlib import Path

VERSION = {version!r}

def seen():
    # What a program of somebody else's would try.
    own = {{*os.environ.values(), *Path("/proc/self/environ").read_text().split("\\0")}}
    return [value for value in own if "pLaNtEd" in value]
"""
HANGS = "import time\ntime.sleep(600)\n"


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(workspace: Workspace, version: str) -> None:
    (workspace.directory / "parts.py").write_text(PARTS.format(version=version))
    git(workspace.directory, "add", "-A")
    git(workspace.directory, "commit", "-qm", version)


def command(workspace: Workspace, *arguments: str, cold: bool = False) -> list[str | Path]:
    python = sys.executable if cold else warm_python()
    return [python, "-m", "gke_llm_inference", "diff", "--project-dir", str(workspace.directory), *arguments]


def environment(workspace: Workspace) -> dict[str, str]:
    scratch = workspace.directory.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    # In the project, a worktree's own tree must come first all the same.
    path = os.pathsep.join([str(workspace.directory), str(REPOSITORY)])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TMPDIR": str(scratch),
        "GITHUB_TOKEN": PLANTED,
        "PULUMI_ACCESS_TOKEN": PLANTED,
    }


def diff(workspace: Workspace, *arguments: str, cold: bool = False) -> Result:
    ended = subprocess.run(
        command(workspace, *arguments, cold=cold),
        env=environment(workspace),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert PLANTED not in ended.stdout + ended.stderr
    assert_clean(workspace)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def assert_clean(workspace: Workspace) -> None:
    """No worktree and no temporary file is left."""
    assert git(workspace.directory, "worktree", "list").count("\n") == 1
    assert [path.name for path in (workspace.directory.parent / "scratch").iterdir()] == []


def stack_of(result: Result) -> Any:
    (stack,) = json.loads(result.stdout)["stacks"]
    return stack


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    """A repository whose last commit changes a module, and nothing else."""
    directory = tmp_path / "project"
    directory.mkdir()
    workspace = make_workspace(directory)
    git(directory, "init", "-q", "-b", "main")
    workspace.program(PROGRAM)
    commit(workspace, "old")
    git(directory, "tag", "before")
    return workspace


def test_each_revision_runs_its_own_code_and_sees_no_secret(project: Workspace) -> None:
    commit(project, "new")
    out = project.directory.parent / "out"
    result = diff(project, "--stack", "dev", "--base", "before", "--format", "json", "--out", str(out), cold=True)
    assert result.code == 0, result.stderr
    stack = stack_of(result)
    assert stack["outcome"] == "compared"
    (change,) = stack["resources"]
    assert change["properties"] == [{"path": "version", "old": "old", "new": "new"}]
    assert stack["tally"] == {"added": 0, "changed": 1, "replaced": 0, "renamed": 0, "removed": 0, "restarts": 0}
    assert sorted(path.name for path in out.iterdir()) == ["comment.md", "report.json", "report.txt"]
    assert (out / "report.json").read_text() == result.stdout
    assert (out / "comment.md").read_text().startswith(MARKER)


def test_a_stack_file_with_a_bad_name_is_a_problem_of_its_own(project: Workspace) -> None:
    stacks = project.directory
    (stacks / "Pulumi.not a name.yaml").write_text("config: {}\n")
    Path(os.fsdecode(os.fsencode(stacks) + b"/Pulumi.\xff\xfe.yaml")).write_text("config: {}\n")
    Path(stacks / f"Pulumi.{'n' * 120}.yaml").write_text("config: {}\n")
    (stacks / "Pulumi.broken.yaml").write_text("config: [\n")
    out = project.directory.parent / "out"
    result = diff(project, "--base", "before", "--format", "json", "--out", str(out))
    assert result.code == 1
    found = {one["stack"]: (one["outcome"], one["problems"]) for one in json.loads(result.stdout)["stacks"]}
    assert found.pop("dev")[0] == "compared"
    assert {outcome for outcome, _ in found.values()} == {"failed"}
    assert len(found) == 4
    assert found["not a name"][1][0].startswith("'not a name' is not a valid stack name")
    comment = (out / "comment.md").read_text("utf-8")
    assert comment.startswith(MARKER)
    assert "| `dev` |" in comment


def test_changes_that_are_not_committed_against_another_directory(project: Workspace, tmp_path: Path) -> None:
    git(project.directory, "worktree", "add", "-q", str(tmp_path / "copy"), "before")
    try:
        (project.directory / "parts.py").write_text(PARTS.format(version="edited"))
        ended = subprocess.run(
            command(project, "--stack", "dev", "--base-dir", str(tmp_path / "copy"), "--format", "text"),
            env=environment(project),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        git(project.directory, "worktree", "remove", "--force", str(tmp_path / "copy"))
    assert ended.returncode == 0, ended.stderr
    assert 'version "old" → "edited"' in ended.stdout
    assert "with changes that are not committed" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "break_base", "said"),
    [
        pytest.param(
            ["--base", "no-such-branch"],
            None,
            "`no-such-branch` is not a revision of this repository",
            id="no revision",
        ),
        pytest.param(["--base", "before"], "Pulumi.dev.yaml", "there is no stack 'dev'", id="no such stack"),
        pytest.param(["--base", "before"], "parts.py", "No module named 'parts'", id="does not run"),
    ],
)
def test_a_base_that_gives_nothing_shows_the_whole_stack_as_new(
    project: Workspace, arguments: list[str], break_base: str | None, said: str
) -> None:
    if break_base is not None:
        content = (project.directory / break_base).read_text()
        git(project.directory, "rm", "-q", break_base)
        git(project.directory, "commit", "-qm", "less")
        git(project.directory, "tag", "-f", "before")
        (project.directory / break_base).write_text(content)
    result = diff(project, "--stack", "dev", *arguments, "--format", "markdown")
    assert result.code == 0, result.stderr
    assert said in result.stdout
    assert "all new, nothing to compare with" in result.stdout
    assert "- 🟢 `a` (`test index.T`) is new" in result.stdout or "`a`" in result.stdout
    assert str(project.directory.parent) not in result.stdout.replace("/no/such/directory", "")


def test_a_program_that_fails_and_one_that_hangs(project: Workspace) -> None:
    (project.directory / "parts.py").write_text(
        "import pulumi\nraise pulumi.RunError('maxModelLen: <b>does not fit</b>')"
    )
    result = diff(project, "--stack", "dev", "--base", "before", "--format", "markdown")
    assert result.code == 1
    assert "❌ `dev`: fails" in result.stdout
    assert "```text\nmaxModelLen: <b>does not fit</b>\n```" in result.stdout
    (project.directory / "parts.py").write_text(HANGS)
    started = time.monotonic()
    result = diff(project, "--stack", "dev", "--base", "before", "--format", "markdown", "--timeout", "4")
    assert time.monotonic() - started < 60
    assert result.code == 1
    assert "the program did not end within 4 seconds and was killed" in result.stdout


def test_a_stack_that_goes(project: Workspace) -> None:
    project.stack(name="other")
    commit(project, "old")
    (project.directory / "Pulumi.dev.yaml").unlink()
    result = diff(project, "--format", "json")
    assert result.code == 0, result.stderr
    stacks = {stack["stack"]: stack for stack in json.loads(result.stdout)["stacks"]}
    assert {name: stack["outcome"] for name, stack in stacks.items()} == {"dev": "gone", "other": "compared"}
    assert {change["action"] for change in stacks["dev"]["resources"]} == {"removed"}
    assert stacks["other"]["resources"] == []


def test_bases_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="is not a directory"), base_in_directory(tmp_path / "absent"):
        pass
    with pytest.raises(RevisionError, match="is not in a git repository"), base_at("main", tmp_path):
        pass


def test_a_base_that_lacks_the_project_or_is_behind(project: Workspace) -> None:
    inner = project.directory / "inner"
    inner.mkdir()
    with pytest.raises(RevisionError, match="has no directory"), base_at("before", inner):
        pass
    commit(project, "newer")
    git(project.directory, "branch", "ahead")
    git(project.directory, "reset", "-q", "--hard", "before")
    with base_at("ahead", project.directory) as base:
        assert "1 commit that this tree lacks" in base.note
        assert (base.directory / "parts.py").read_text() == PARTS.format(version="newer")
    assert not base.directory.exists()
    assert git(project.directory, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(project: Workspace, number: signal.Signals) -> None:
    (project.directory / "parts.py").write_text(
        f"from pathlib import Path\nPath({str(project.directory.parent / 'up')!r}).touch()\n{HANGS}"
    )
    process = subprocess.Popen(
        command(project, "--stack", "dev", "--base", "before", cold=True),
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (project.directory.parent / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == (130 if number is signal.SIGINT else 128 + signal.SIGTERM)
    assert stdout == ""
    assert_clean(project)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--base", ""],
        ["--base=-x"],
        ["--base", "a", "--base-dir", "b"],
        ["--format", "html"],
        ["--timeout", "0"],
        ["--stack", "a b"],
    ],
)
def test_usage(project: Workspace, arguments: list[str]) -> None:
    result = diff(project, *arguments)
    assert result.code == 2
    assert result.stdout == ""


# Locked dependencies

FAKE_UV = """\
#!{python}
import os, sys
from pathlib import Path
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
if sys.argv[1] == "venv":
    directory = Path(sys.argv[-1], "bin")
    directory.mkdir(parents=True)
    (directory / "python").symlink_to(sys.executable)
elif {fails!r}:
    sys.exit("no such version")
"""


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A project whose lock differs from this one's, and the log of what was installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install_fake(tmp_path, monkeypatch, fails=False)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "requirements.txt").write_text("# made by hand\npulumi==3.200.0 \\\n    --hash=sha256:00\n")
    (tmp_path / "own.txt").write_text("pulumi==3.272.0 \\\n    --hash=sha256:11\n")
    return tmp_path / "base", tmp_path / "log"


def install_fake(directory: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> None:
    programs = directory / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "uv").write_text(FAKE_UV.format(python=sys.executable, log=str(directory / "log"), fails=fails))
    (programs / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def test_a_lock_that_differs_gets_an_environment_once(locks: tuple[Path, Path], tmp_path: Path) -> None:
    base, log = locks
    said: list[str] = []
    first, second = (python_of(base, tmp_path / "own.txt", said.append) for _ in range(2))
    assert first == second
    assert first.is_relative_to(tmp_path / "cache" / "gke-llm-inference")
    calls = log.read_text().splitlines()
    assert len(calls) == 2
    assert len(said) == 1
    assert "--require-hashes" in calls[1]
    assert "--no-build" in calls[1]
    assert pins(base) == {"pulumi": "3.200.0"}


def test_a_lock_that_says_the_same_needs_none(locks: tuple[Path, Path], tmp_path: Path) -> None:
    base, log = locks
    (tmp_path / "own.txt").write_text("# another remark\n\npulumi==3.200.0 \\\n--hash=sha256:00\n")
    assert python_of(base, tmp_path / "own.txt", lambda _: None) == Path(sys.executable)
    assert not log.exists()


def test_dependencies_that_cannot_be_installed(
    locks: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, log = locks
    install_fake(tmp_path, monkeypatch, fails=True)
    for _ in range(2):
        with pytest.raises(RevisionError, match="no such version"):
            python_of(base, tmp_path / "own.txt", lambda _: None)
    # A failed attempt is not taken for an environment.
    assert len(log.read_text().splitlines()) == 4
