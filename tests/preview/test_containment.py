"""Nothing of a program outlives it, and however much it prints, what is kept is little."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gke_llm_inference.preview import process as processes
from gke_llm_inference.preview.output import LIMIT, BoundedOutput, cut_mark, mask_cut, shortened
from gke_llm_inference.preview.process import ChildProcess, ContainedProcess, Interpreter, kill_all, run_captured
from gke_llm_inference.preview.recorder import Recorder
from gke_llm_inference.preview.recording import Severity
from gke_llm_inference.preview.run import record
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from tests.preview.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

PYTHON = (sys.executable, "-I", "-S")
SECRET = "plantedPlantedPlanted0123456789"

PRELUDE = """
import os, signal, sys, time
def mark():
    with open(f"{os.getpid()}.pid", "w"):
        pass
def daemon(times=2):
    if os.fork():
        return
    for _ in range(times):
        os.setsid()
        if os.fork():
            os._exit(0)
    mark()
    for descriptor in range(3):
        os.close(descriptor)
    while True:
        time.sleep(60)
"""


def contained(directory: Path, program: str) -> ContainedProcess:
    """A program that leaves the ids of what it starts in a directory."""
    code = PRELUDE + textwrap.dedent(program)
    return ContainedProcess(
        [*PYTHON, "-c", code], {}, directory=directory, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def marked(directory: Path) -> list[int]:
    return [int(path.stem) for path in directory.glob("*.pid")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(directory: Path, count: int) -> None:
    end = time.monotonic() + 20
    while len(marked(directory)) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def groups() -> list[str]:
    """Control groups that runs of this process's kind have left."""
    return sorted(str(path) for path in Path("/sys/fs/cgroup").glob("**/gke-llm-inference-*"))


@pytest.fixture
def no_group_is_left() -> Iterator[None]:
    yield
    left = [path for path in groups() if not alive(int(path.rpartition("-")[2]))]
    assert left == []


ESCAPES = {
    "a new session": "if os.fork() == 0:\n    os.setsid()\n    mark()\n    time.sleep(60)",
    "a daemon": "daemon()",
    "many daemons": "[daemon(number % 4) for number in range(20)]",
    "a deaf one": "[signal.signal(number, signal.SIG_IGN) for number in (1, 2, 15)]\ndaemon()",
    "a stopped one": "daemon()\n"
    "while not [name for name in os.listdir() if name.endswith('.pid')]:\n    time.sleep(0.01)\n"
    "os.kill(int([name for name in os.listdir() if name.endswith('.pid')][0][:-4]), signal.SIGSTOP)",
    "one after the other": "if os.fork() == 0:\n"
    "    while True:\n        os.setsid() if os.getpid() != os.getsid(0) else None\n        mark()\n"
    "        if os.fork():\n            os._exit(0)\n        time.sleep(0.002)",
}


@pytest.mark.usefixtures("no_group_is_left")
@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("escape", ESCAPES)
def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path, escape: str, code: int) -> None:
    count = 20 if escape == "many daemons" else 1
    program = f"""
import subprocess
{ESCAPES[escape]}
while len([name for name in os.listdir() if name.endswith('.pid')]) < {count}:
    time.sleep(0.01)
os._exit({code})
"""
    running = contained(tmp_path, program)
    running.process.wait(20)
    assert running.end() == code
    assert len(marked(tmp_path)) >= count
    assert [pid for pid in marked(tmp_path) if alive(pid)] == []


@pytest.mark.usefixtures("no_group_is_left")
def test_a_program_that_takes_too_long_ends_with_all_that_it_left(tmp_path: Path) -> None:
    running = contained(tmp_path, "daemon()\nmark()\ntime.sleep(60)")
    wait_for(tmp_path, 2)
    started = time.monotonic()
    assert running.end() == -signal.SIGKILL
    assert time.monotonic() - started < 5
    assert [pid for pid in marked(tmp_path) if alive(pid)] == []
    assert running.end() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT])
def test_how_a_program_ended_is_told(tmp_path: Path, number: int) -> None:
    running = contained(tmp_path, f"signal.signal(2, signal.SIG_DFL)\nos.kill(os.getpid(), {int(number)})")
    running.process.wait(20)
    assert running.end() == -number


@pytest.mark.usefixtures("no_group_is_left")
def test_a_program_that_kills_its_supervisor_ends(tmp_path: Path) -> None:
    before = groups()
    running = contained(tmp_path, "daemon()\nmark()\nwhile True:\n    time.sleep(0.5)\n    os.kill(os.getppid(), 9)")
    wait_for(tmp_path, 2)
    grouped = len(groups()) > len(before)
    running.process.wait(20)
    assert running.end() == -signal.SIGKILL
    left = [pid for pid in marked(tmp_path) if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    # Without a control group, what is in a session of its own cannot be found any more.
    assert len(left) == (0 if grouped else 1)


def test_nothing_is_left_when_whoever_waits_is_killed(tmp_path: Path) -> None:
    waiter = f"""
        import sys, time
        sys.path.insert(0, {str(REPOSITORY)!r})
        from pathlib import Path
        from tests.preview.test_containment import contained
        contained(Path({str(tmp_path)!r}), "daemon()\\nmark()\\ntime.sleep(60)")
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(waiter)], cwd=REPOSITORY)
    wait_for(tmp_path, 2)
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while [pid for pid in marked(tmp_path) if alive(pid)] and time.monotonic() < end:
        time.sleep(0.02)
    assert [pid for pid in marked(tmp_path) if alive(pid)] == []


def test_everything_that_runs_can_be_ended_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    running = [contained(tmp_path / name, "daemon()\nmark()\ntime.sleep(60)") for name in ("a", "b")]
    for name in ("a", "b"):
        wait_for(tmp_path / name, 2)
    kill_all()
    assert [one.process.wait(20) for one in running] == [0, 0]
    assert [one.end() for one in running] == [-signal.SIGKILL] * 2
    assert [pid for name in ("a", "b") for pid in marked(tmp_path / name) if alive(pid)] == []


def test_an_interpreter_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        ChildProcess(lambda _secret: None, Interpreter(python=Path("/nowhere/python")))


def printing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> ChildProcess:
    """A child process that is this program, told its task as any other."""
    path = tmp_path / "child.py"
    path.write_text("import json, os, sys\ntask = json.load(sys.stdin)\n" + textwrap.dedent(program))
    monkeypatch.setattr(processes, "_CHILD", path)
    return ChildProcess(lambda _secret: None, Interpreter(environment={}))


def test_of_a_stream_without_end_the_start_and_the_end_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    megabytes = 200
    child = printing(
        tmp_path,
        monkeypatch,
        f"""
        for stream in (1, 2):
            os.write(stream, b"first")
            for _ in range({megabytes}):
                left = memoryview(bytes(2**20))
                while left:
                    left = left[os.write(stream, left):]
            os.write(stream, b"last")
        """,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with child:
        ended = child.run({}, 60)
    assert (ended.code, ended.timed_out) == (0, False)
    for text in (ended.stdout, ended.stderr):
        assert text.startswith("first\0")
        assert text.endswith("\0last")
        left_out = megabytes * 2**20 + len("firstlast") - LIMIT
        assert len(text) == LIMIT + len(cut_mark(left_out))
        assert cut_mark(left_out) in text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 * 1024


@pytest.mark.parametrize("flood", ["b'\"secret-%d\"\\n' % number", "b'x' * 65536", "b'\"' + b'y' * 60000 + b'\"\\n'"])
def test_a_program_with_more_secrets_than_can_be_kept_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: str
) -> None:
    program = f"number = 0\nwhile True:\n    number += 1\n    os.write(task['secretsDescriptor'], {flood})\n"
    with printing(tmp_path, monkeypatch, program) as child:
        ended = child.run({}, 60)
    assert (ended.flooded, ended.timed_out, ended.code) == (True, False, -signal.SIGKILL)


def test_what_prints_without_end_in_the_place_of_a_plan_is_none(tmp_path: Path) -> None:
    (tmp_path / "flood.py").write_text("import os\nwhile True:\n    os.write(1, bytes(65536))\n")
    (tmp_path / "fine.py").write_text("print('{}')\n")
    assert run_captured(["flood"], tmp_path, Interpreter(), 60) == ""
    assert run_captured(["fine"], tmp_path, Interpreter(), 60) == "{}\n"


@pytest.mark.parametrize("size", [0, 1, LIMIT // 2, LIMIT - 1, LIMIT])
@pytest.mark.parametrize("chunk", [1000, 65536, 10**7])
def test_what_is_within_the_bounds_is_kept_whole(size: int, chunk: int) -> None:
    content = bytes(48 + number % 10 for number in range(size))
    output = BoundedOutput()
    for start in range(0, size, chunk):
        output.add(content[start : start + chunk])
    assert output.text() == content.decode()


@pytest.mark.parametrize("kept", [1, 5, len(SECRET) - 1])
@pytest.mark.parametrize("secret", [SECRET, "pässwörd-" + "ü" * 20])
def test_a_secret_that_was_cut_is_not_shown_in_part(secret: str, kept: int) -> None:
    masker = SecretMasker()
    masker.add(secret)
    for cut_in_start in (True, False):
        output = BoundedOutput()
        raw = secret.encode()
        half = LIMIT // 2
        if cut_in_start:
            output.add(b"." * (half - kept) + raw + b"." * LIMIT)
        else:
            output.add(b"." * LIMIT + raw + b"." * (half - kept))
        shown = mask_cut(masker, output.text())
        assert set(shown.replace(shown[shown.index("\n[") : shown.index("]\n") + 2], "")) == {"."}


def test_a_message_is_shortened_and_a_flood_of_them_is_counted() -> None:
    masker = SecretMasker()
    recorder = Recorder("demo", "dev", masker)
    masker.add(SECRET)
    recorder.log(Severity.INFO, "x" * (128 * 1024 - 5) + SECRET + "y" * 10**6)
    for number in range(5000):
        recorder.log(Severity.WARNING, f"{number} " + "z" * 1000)
    recorder.log(Severity.ERROR, "the reason")
    recording = recorder.finish()
    (info,) = recording.messages(Severity.INFO)
    assert len(info.message) < 300 * 1024
    assert SECRET[:5] not in info.message
    warnings = recording.messages(Severity.WARNING)
    assert sum(len(entry.message) for entry in warnings) < 1100 * 1024
    kept = len(warnings) - 1
    assert f"{5000 - kept:,} more messages of the program were left out" in {entry.message for entry in warnings}
    assert recorder.problems() == ("the reason",)


def test_a_text_within_its_limit_is_not_touched() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdef", 4) == f"ab{cut_mark(2)}ef"


def test_a_preview_says_that_it_left_output_out(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: demo\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("")
    (tmp_path / "__main__.py").write_text("import pulumi\nfor _ in range(1000):\n    print('x' * 10000)\n")
    recording = record(tmp_path, "dev")
    assert "9,7" in recording.program_stdout
    assert "bytes were left out here" in recording.program_stdout
    assert len(recording.program_stdout) < LIMIT + 100
