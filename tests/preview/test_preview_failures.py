"""Everything that can be wrong with a configuration, a program or a command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.preview.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.preview.conftest import Result, Workspace

pytestmark = pytest.mark.processes

TOKEN = "hf_pLaNtEdToKeNpLaNtEdToKeN"


def failing(workspace: Workspace, *arguments: str, code: int = 1) -> Result:
    """Runs a preview that must fail, print nothing on stdout and write nothing."""
    out = workspace.directory.parent / "out"
    result = workspace.preview(*(arguments or ("--stack", "dev", "--json")), "--out", str(out))
    assert result.code == code, result.stderr
    assert result.stdout == ""
    assert not out.exists()
    assert TOKEN not in result.stderr
    assert "preview/" not in result.stderr.replace("preview/test", "")
    return result


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param("def f():\n    raise KeyError('boom')\nf()", ["line 12", "in f", "KeyError: 'boom'"], id="raises"),
        pytest.param("raise pulumi.RunError('just this')", ["error: just this\n"], id="run error"),
        pytest.param("import sys\nsys.exit(3)", ["exit code 3"], id="sys.exit"),
        pytest.param("import sys\nsys.exit('no more')", ["no more", "exit code 1"], id="sys.exit text"),
        pytest.param("import os\nos._exit(0)", ["before the program was finished"], id="vanishes"),
        pytest.param("import os\nos.kill(os.getpid(), 9)", ["SIGKILL"], id="killed"),
        pytest.param("x = = 1", ["__main__.py", "line 11", "SyntaxError"], id="syntax"),
        pytest.param("import no_such_package", ["No module named 'no_such_package'", "installed for"], id="import"),
        pytest.param("pulumi.log.error('wrong')", ["error: wrong"], id="log.error"),
        pytest.param(
            "Thing('test:index:T', 'a')\nThing('test:index:T', 'a')",
            ["Duplicate resource URN 'urn:pulumi:dev::demo::test:index:T::a'; try giving it a unique name"],
            id="duplicate",
        ),
        pytest.param(
            f"pulumi.Output.secret('{TOKEN}').apply(lambda t: int(t))",
            ["in <lambda>", "invalid literal for int()", "[secret]"],
            id="secret in exception",
        ),
        pytest.param("f'{pulumi.Output.from_input(1)}'; print('x')", ["__str__"], id="output as text"),
        pytest.param(
            "raise pulumi.InputPropertiesError('bad', [{'property_path': 'a.b', 'reason': 'too big'}])",
            ["a.b: too big"],
            id="properties",
        ),
        pytest.param("raise BaseException('base')", ["BaseException: base"], id="base exception"),
        pytest.param("pulumi.Config().require('absent')", ["demo:absent"], id="missing config"),
        pytest.param(
            "names = pulumi.runtime.invoke('x:y:z', {}).value['names']",
            ["cannot answer x:y:z", "NoneType"],
            id="plain invoke",
        ),
    ],
)
def test_programs_that_fail(workspace: Workspace, program: str, expected: list[str]) -> None:
    workspace.program(program)
    result = failing(workspace)
    for part in expected:
        assert part in result.stderr


def test_a_run_error_has_no_traceback(workspace: Workspace) -> None:
    workspace.program("raise pulumi.RunError('just this')")
    assert failing(workspace).stderr == "error: just this\n"


def test_the_traceback_holds_only_the_users_frames(workspace: Workspace) -> None:
    (workspace.directory / "helper.py").write_text("def work(value):\n    raise ValueError(value)\n")
    workspace.program("import helper\npulumi.Output.from_input('v').apply(helper.work)")
    stderr = failing(workspace).stderr
    assert 'helper.py", line 2, in work' in stderr
    assert "site-packages" not in stderr
    assert stderr.count("ValueError: v") == 1


def test_a_hanging_program_is_killed_with_its_children(workspace: Workspace) -> None:
    workspace.program("""
        import os, subprocess, time
        child = subprocess.Popen(["sleep", "300"])
        open("pid", "w").write(str(child.pid))
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open("daemon", "w").write(str(os.getpid()))
                time.sleep(300)
            os._exit(0)
        time.sleep(300)
    """)
    # Cold: a program in a fork of the warm Python is no child of its supervisor.
    result = workspace.preview("--stack", "dev", "--timeout", "3", cold=True)
    assert (result.code, result.stdout) == (1, "")
    assert "did not end within 3 seconds" in result.stderr
    for name in ("pid", "daemon"):
        pid = (workspace.directory / name).read_text()
        status = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
        assert status.strip()[:1] in ("", "Z")


def test_interrupt(workspace: Workspace) -> None:
    workspace.program("open('started', 'w').close()\nimport time\ntime.sleep(300)")
    command = [
        sys.executable,
        "-m",
        "gke_llm_inference",
        "preview",
        "--project-dir",
        str(workspace.directory),
        "--stack",
        "dev",
    ]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (workspace.directory / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "required"),
        (("--stack", "../x"), "is not a valid stack name"),
        (("--stack", "dev", "--timeout", "0"), "positive"),
        (("--stack", "dev", "--bogus"), "--bogus"),
    ],
)
def test_usage(workspace: Workspace, arguments: tuple[str, ...], expected: str) -> None:
    result = workspace.preview(*arguments)
    assert (result.code, result.stdout) == (2, "")
    assert expected in result.stderr or "name a stack" in result.stderr


def test_a_missing_stack_names_the_nearest(workspace: Workspace) -> None:
    workspace.stack(name="staging")
    result = failing(workspace, "--stack", "stagin")
    assert "did you mean 'staging'?" in result.stderr
    assert "stacks here: dev, staging" in result.stderr


def test_a_file_at_the_place_of_the_directory(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    result = workspace.preview("--stack", "dev", "--out", str(tmp_path / "out"))
    assert (result.code, result.stdout) == (1, "")
    assert "is not a directory" in result.stderr
    assert (tmp_path / "out").read_text() == "mine"
