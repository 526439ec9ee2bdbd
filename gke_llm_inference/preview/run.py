"""Recording what a Pulumi program would create: `record` runs it and returns the recording."""

import signal
from collections.abc import Callable
from pathlib import Path

from gke_llm_inference.errors import UsageError
from gke_llm_inference.preview.errors import ProgramError
from gke_llm_inference.preview.process import MOST_SECRETS, ChildProcess, Interpreter, ProcessResult
from gke_llm_inference.preview.recorder import Recorder
from gke_llm_inference.preview.recording import Recording, Severity
from gke_llm_inference.pulumi_project.project import load_project, load_stack
from gke_llm_inference.pulumi_protocol.masking import SecretMasker

DEFAULT_TIMEOUT = 120.0
"""Seconds a program may take."""


def record(
    project_dir: Path | str,
    stack: str | None = None,
    config_file: Path | str | None = None,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    interpreter: Interpreter | None = None,
    on_start: Callable[[], None] = lambda: None,
) -> Recording:
    """Run the program of a project for one stack, without engine, cloud or credentials, and records it.

    Args:
        project_dir: The directory of the project's Pulumi.yaml.
        stack: Name of the stack; its file is Pulumi.<stack>.yaml unless `config_file` says otherwise.
        config_file: Path of a stack's file anywhere; its name gives the stack's name if `stack` is None.
        timeout: Seconds after which the program is killed.
        interpreter: What runs the program; this process's own Python if None.
        on_start: Called once the program's process is there; what it does costs no time then.

    Returns:
        The recording, with every secret masked. Safe to call from several threads at once.

    Raises:
        UsageError: Neither stack nor file is given, or the timeout is not positive.
        ConfigError: The project or the stack's file is missing or wrong.
        ProgramError: The program failed, hung or vanished.

    """
    if not timeout > 0:
        raise UsageError("the timeout must be a positive number of seconds")
    masker = SecretMasker()
    # The child imports the SDK while this process reads the files and imports its own part of it.
    with ChildProcess(masker.add, interpreter) as child:
        on_start()
        project = load_project(Path(project_dir).resolve())
        config = load_stack(project, stack, Path(config_file) if config_file is not None else None)

        from gke_llm_inference.preview.monitor import MonitorServer

        recorder = Recorder(project.name, config.stack, masker)
        with MonitorServer(recorder) as server:
            ended = child.run(
                {
                    "monitor": server.address,
                    "project": project.name,
                    "stack": config.stack,
                    "organization": config.organization,
                    "config": config.values,
                    "secretKeys": config.secret_keys,
                    "program": str(project.program),
                    "directory": str(project.program.parent),
                    "rootDirectory": str(project.directory),
                },
                timeout,
            )
    recording = recorder.finish(ended.stdout, ended.stderr)
    problems = _problems(recorder, ended, timeout)
    if problems:
        raise ProgramError(
            problems,
            warnings=tuple(_located(entry.message, entry.urn) for entry in recording.messages(Severity.WARNING)),
            output=tuple(filter(None, (recording.program_stdout, recording.program_stderr))),
        )
    return recording


def _located(message: str, urn: str | None) -> str:
    return f"{urn}: {message}" if urn else message


def _problems(recorder: Recorder, ended: ProcessResult, timeout: float) -> tuple[str, ...]:
    """Why the run counts as failed, most important first; empty if it does not."""
    reported = recorder.problems()
    if ended.flooded:
        return (
            f"the program was killed: it declares more than {MOST_SECRETS:,} secrets, or very large ones\n"
            "  why: they could not all be kept out of what is shown",
            *reported,
        )
    if ended.timed_out:
        return (
            f"the program did not end within {timeout:g} seconds and was killed; see --timeout",
            *reported,
        )
    duplicates = tuple(message for message in reported if message.startswith("Duplicate resource URN"))
    if duplicates:
        return duplicates  # the tracebacks that follow from them add nothing
    if reported:
        return reported
    if ended.code < 0:
        return (f"the program's process was killed by {_signal_name(-ended.code)}",)
    if ended.code != 0:
        return (f"the program ended with exit code {ended.code}",)
    if not recorder.stack_finished:
        return ("the program's process ended before the program was finished",)
    return ()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
