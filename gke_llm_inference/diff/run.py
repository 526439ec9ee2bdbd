"""Runs both revisions of every stack, each with its own code, configuration and dependencies, and compares them."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gke_llm_inference.diff.compare import compare, everything_added, everything_removed
from gke_llm_inference.diff.dependencies import LOCK, pins, python_of
from gke_llm_inference.diff.effects import effects_of
from gke_llm_inference.diff.plans import facts_of, read_plan
from gke_llm_inference.diff.report import Report, StackReport, masked_comparison, masked_recording
from gke_llm_inference.diff.revisions import Revision, base_at, base_in_directory, head_of
from gke_llm_inference.diff.values import PropertyChange, differences
from gke_llm_inference.diff.wording import quote
from gke_llm_inference.errors import CommandError, ConfigError
from gke_llm_inference.preview.errors import ProgramError, RevisionError
from gke_llm_inference.preview.process import Interpreter, kill_all
from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.preview.run import record
from gke_llm_inference.pulumi_project.project import check_stack_name, load_project, stacks_of
from gke_llm_inference.pulumi_protocol.environment import child_environment
from gke_llm_inference.pulumi_protocol.masking import SecretMasker

_POLL_SECONDS = 0.05


def diff(
    project: Path,
    stacks: Sequence[str],
    *,
    base: str | None = None,
    base_directory: Path | None = None,
    timeout: float,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Report, tuple[SecretMasker, ...]]:
    """Compare stacks of a project with those of another revision.

    Args:
        project: the project as it is now.
        stacks: names of the stacks; all that have a file in either revision if empty.
        base: the git revision to compare with.
        base_directory: another copy of the project to compare with, instead of a revision.
        timeout: seconds that each program may take.
        progress: told what is being done.

    Returns:
        The report, and the secrets that must not be in what is made of it. A base that is unavailable or does not
        run is part of the report, and so is a program that fails.

    Raises:
        ConfigError: the project itself cannot be read, or there is no stack at all.
        UsageError: a name that no stack can have.

    """
    loaded = load_project(project)
    head = head_of(project)
    opening = base_in_directory(base_directory) if base_directory is not None else base_at(base or "HEAD", project)
    problem, found, base_python = "", None, None
    with ExitStack() as opened:
        try:
            found = opened.enter_context(opening)
            base_python = python_of(found.directory, project / LOCK, progress)
        except RevisionError as error:
            problem = f"{found.title}: {error}" if found else str(error)
        for name in stacks:
            for part in name.split("/"):
                check_stack_name(part, name)
        names = list(dict.fromkeys(stacks)) or sorted({*stacks_of(loaded), *_stacks_at(found)})
        if not names:
            raise ConfigError(
                f"{project}: there are no stacks here; write a Pulumi.NAME.yaml, or let gke-llm-inference new write it"
            )
        interpreter = Interpreter(environment=_environment(project))
        runs = [_Run(name, head, interpreter, is_base=False) for name in names]
        dependencies: tuple[PropertyChange, ...] = ()
        if found is not None and base_python is not None:
            runs += [_Run(name, found, replace(interpreter, python=base_python), is_base=True) for name in names]
            dependencies = tuple(differences(pins(found.directory), pins(project)))
        results = _run_all(runs, timeout, progress)
    maskers = tuple(ran.recording.masker for ran in results.values() if ran.recording is not None)
    known = stacks_of(loaded)
    report = Report(
        project=loaded.name,
        head=head.title,
        base=found.title if found else quote(base_directory or base or "HEAD"),
        stacks=tuple(
            _report(_text(name), results.get((name, True)), results[name, False], maskers, is_gone=name not in known)
            for name in names
        ),
        base_problem=problem,
        note=found.note if found else "",
        dependencies=dependencies,
    )
    return report, maskers


def _report(
    name: str, base: "_Ran | None", head: "_Ran", maskers: tuple[SecretMasker, ...], *, is_gone: bool
) -> StackReport:
    def mask(value: Any) -> Any:
        for masker in maskers:
            value = masker.mask_value(value)
        return value

    base = base or _Ran(None)
    base_plan, head_plan = facts_of(mask(base.plan), base.recording), facts_of(mask(head.plan), head.recording)
    if head.recording is None:
        if is_gone and base.recording is not None:
            gone = masked_comparison(everything_removed(base.recording), mask)
            return StackReport(name, "gone", gone, base_plan=base_plan)
        return StackReport(name, "failed", problems=mask(head.problems), base_plan=base_plan)
    newer = masked_recording(head.recording, mask)
    if base.recording is None:
        added = masked_comparison(everything_added(head.recording), mask)
        opened = effects_of(added, newer, head_plan)
        return StackReport(name, "no base", added, opened, head_plan=head_plan, problems=mask(base.problems))
    comparison = masked_comparison(compare(base.recording, head.recording), mask)
    effects = effects_of(comparison, newer, head_plan)
    return StackReport(name, "compared", comparison, effects, base_plan, head_plan)


@dataclass(frozen=True)
class _Run:
    """One revision of one stack."""

    stack: str
    revision: Revision
    interpreter: Interpreter
    is_base: bool


@dataclass(frozen=True)
class _Ran:
    """What a run gave: a recording, or why there is none."""

    recording: Recording | None
    problems: tuple[str, ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)


def _run_all(runs: Sequence[_Run], timeout: float, progress: Callable[[str], None]) -> dict[tuple[str, bool], _Ran]:
    """Run programs and plans side by side, as many as there are processors; an interrupt leaves none behind."""
    results: dict[tuple[str, bool], _Ran] = {}
    executor = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="diff")
    pending: list[Future[Any]] = []
    try:
        recordings = [executor.submit(_record, run, timeout) for run in runs]
        plans = [
            executor.submit(read_plan, run.interpreter, run.revision.directory, run.stack, timeout, is_base=run.is_base)
            for run in runs
        ]
        pending = [*recordings, *plans]
        for run, recording, plan in zip(runs, recordings, plans, strict=True):
            recorded = recording.result()
            progress(f"{run.stack}: {'base' if run.is_base else 'this tree'} has run")
            results[run.stack, run.is_base] = replace(recorded, plan=plan.result())
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in pending):
            kill_all()
            time.sleep(_POLL_SECONDS)
        raise
    executor.shutdown()
    return results


def _record(run: _Run, timeout: float) -> _Ran:
    directory = run.revision.directory
    try:
        return _Ran(record(directory, run.stack, timeout=timeout, interpreter=run.interpreter))
    except ProgramError as error:
        problems = error.problems
    except CommandError as error:
        # A file whose name is no stack's is a problem of its own, and not of the others.
        problems = (str(error),)
    except OSError as error:
        problems = (f"{error.filename or 'a file'}: {error.strerror or error}",)
    # Where a temporary tree lay says nothing, and would differ each time.
    return _Ran(
        None, tuple(_text(text.replace(f"{directory}{os.sep}", "").replace(str(directory), ".")) for text in problems)
    )


def _text(name: str) -> str:
    """A name of a file as text that can be written: what is not UTF-8 in it as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _environment(project: Path) -> dict[str, str]:
    """What both programs see: nothing of this tree's modules but what lies in their own."""
    environment = child_environment(dict(os.environ))
    entries = [
        entry
        for entry in environment.pop("PYTHONPATH", "").split(os.pathsep)
        if entry and not Path(entry).resolve().is_relative_to(project.resolve())
    ]
    return {**environment, "PYTHONPATH": os.pathsep.join(entries)} if entries else environment


def _stacks_at(revision: Revision | None) -> list[str]:
    try:
        return stacks_of(load_project(revision.directory)) if revision is not None else []
    except ConfigError:
        return []
