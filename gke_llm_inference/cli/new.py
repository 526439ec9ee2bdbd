"""The subcommand `new`: a stack file from a few answers, planned before it is written."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from gke_llm_inference.cli import options  # noqa: TC001 - Typer reads the annotations
from gke_llm_inference.errors import ConfigError, UsageError
from gke_llm_inference.terminal import is_interactive, wrapped, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.cli.draft import Draft, Outcome
    from gke_llm_inference.pulumi_project.project import Project

_DEFAULT_NAME = "dev"
_SHIPPED_SCHEMA = Path("schemas/stack.schema.json")
_OWN_SCHEMA = "gke-llm-inference.schema.json"


def new(
    mode: options.Mode = None,
    region: options.Region = None,
    model: options.Model = None,
    goal: options.Goal = None,
    server: options.Server = "vllm",
    accelerator: options.Accelerator = "nvidia-l4",
    count: options.AnyCount = None,
    set: options.ServerSetting = None,  # noqa: A002 - the option's name
    gcp_project: options.GoogleProject = None,
    name: options.Name = None,
    output: options.Output = None,
    project: options.NewProject = None,
    project_dir: options.ProjectDirectory = None,
    force: options.Force = False,
) -> int:
    """Write a stack file from a few answers.

    Asks for mode, region, model and goal, unless they are given, and shows the plan as you answer. Nothing is written
    until it fits, and no file is replaced without --force. For a cluster that exists already, edit the file afterwards:
    cluster.mode is existing then.
    """
    place = _place(name, output, project, project_dir)
    from gke_llm_inference.cli.new_files import refuse_existing, refuse_missing_directory, refuse_other_schema

    if output is not None:
        refuse_missing_directory(output, place.directory if project is not None else None)
    if not force:
        refuse_existing([place.file])
        refuse_other_schema(*_schema(place), place.namespace)
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.draft import with_flags

    catalog = load_catalog()
    draft = _draft(mode, region, model, goal, server, accelerator, count, set, gcp_project, catalog)
    plan = _plan(place, catalog)
    given = {"mode": mode, "region": region, "model": model, "goal": goal}
    missing = [key for key, value in given.items() if value is None]
    if missing and not is_interactive():
        raise UsageError(
            f"add {', '.join(f'--{key}' for key in missing)}: this is not a terminal, so nothing can be asked"
        )
    if is_interactive():
        from gke_llm_inference.cli.questions import Interview

        also = ["gcp_project"] if missing and gcp_project is None else []
        draft = Interview(plan, catalog).complete(draft, [*missing, *also])
    outcome = plan(draft)
    if outcome.refusal is not None:
        raise with_flags(outcome.refusal, outcome.alternatives)
    from gke_llm_inference.cli.new_files import write_new

    files = _files(outcome, draft, place, project)
    write_new(files, force=force)
    for file in files:
        write(f"wrote {os.path.relpath(file)}\n")
    lines = [f"  {line}".rstrip() for line in _next_steps(outcome, draft, place, project, _command())]
    write("\n".join(["", "Next:", *lines, ""]))
    return 0


@dataclass(frozen=True)
class _Place:
    """Where the stack goes.

    Attributes:
        directory: the project's directory, or what may become one.
        namespace: the project's name.
        stack: the stack's name.
        file: the stack's file.
        named_file: where the project looks for the file of a stack of this name.
        has_project: whether there is a Pulumi.yaml, now or in the end.

    """

    directory: Path
    namespace: str
    stack: str
    file: Path
    named_file: Path
    has_project: bool


def _place(name: str | None, output: Path | None, project: str | None, project_dir: Path | None) -> _Place:
    from gke_llm_inference.cli.selection import NAMESPACE
    from gke_llm_inference.pulumi_project.names import is_name
    from gke_llm_inference.pulumi_project.project import check_stack_name, stack_of_file

    if name is None:
        name = (stack_of_file(output) if output is not None else None) or _DEFAULT_NAME
    check_stack_name(name)
    if project is not None:
        if not is_name(project):
            raise UsageError(
                f"--project {project!r} is not a valid project name: use letters, digits, '.', '_' and '-'"
            )
        directory = (project_dir or Path.cwd()).resolve()
        named_file = directory / f"Pulumi.{name}.yaml"
        return _Place(directory, project, name, output or named_file, named_file, has_project=True)
    existing = _existing(output, project_dir)
    if existing is None:
        directory = (output.parent if output is not None else Path.cwd()).resolve()
        named_file = directory / f"Pulumi.{name}.yaml"
        return _Place(directory, NAMESPACE, name, output or named_file, named_file, has_project=False)
    named_file = existing.stack_directory / f"Pulumi.{name}.yaml"
    return _Place(existing.directory, existing.name, name, output or named_file, named_file, has_project=True)


def _existing(output: Path | None, project_dir: Path | None) -> Project | None:
    """The project that the file will belong to, found as the other subcommands find it.

    Raises:
        ConfigError: it makes no sense, or there is none in the directory that was named.

    """
    from gke_llm_inference.cli.selection import directory_of
    from gke_llm_inference.pulumi_project.project import load_project

    try:
        directory = directory_of(output, project_dir)
    except ConfigError:
        return None
    return load_project(directory)


def _draft(
    mode: str | None,
    region: str | None,
    model: str | None,
    goal: str | None,
    server: str,
    accelerator: str,
    count: int | None,
    assignments: list[str] | None,
    gcp_project: str | None,
    catalog: Catalog,
) -> Draft:
    from gke_llm_inference.cli import draft as drafts

    accelerator = drafts.checked_accelerator(accelerator, catalog)
    changes = drafts.changes_of(assignments or [])
    own_numbers = bool({"configFile", "architecture"} & changes.keys())
    regions = catalog.accelerators[accelerator].zones
    return drafts.Draft(
        mode=drafts.checked_mode(mode) if mode is not None else drafts.MODES[0],
        region=drafts.checked_region(region, accelerator, catalog)
        if region is not None
        else next(iter(sorted(regions, key=lambda one: (one != "us-central1", one)))),
        model=model if model is None or own_numbers else drafts.checked_model(model, catalog),
        goal=drafts.checked_goal(goal, catalog) if goal is not None else None,
        server=server,
        accelerator=accelerator,
        count=count,
        gcp_project=gcp_project or drafts.PLACEHOLDER_PROJECT,
        changes=changes,
    )


def _plan(place: _Place, catalog: Catalog) -> Callable[[Draft], Outcome]:
    from gke_llm_inference.cli.draft import outcome_of
    from gke_llm_inference.planning import StackIdentity

    def plan(draft: Draft) -> Outcome:
        identity = StackIdentity(place.namespace, place.stack, draft.gcp_project)
        return outcome_of(draft, identity, place.directory, catalog)

    return plan


def _files(outcome: Outcome, draft: Draft, place: _Place, project: str | None) -> dict[Path, str]:
    """Every file to write, by path."""
    from gke_llm_inference.cli.draft import stack_file
    from gke_llm_inference.cli.new_files import has_content, project_files

    files = project_files(place.directory, project) if project is not None else {}
    schema, text = _schema(place)
    if not has_content(schema, text):
        files[schema] = text
    reference = Path(os.path.relpath(schema, place.file.parent.resolve())).as_posix()
    return {**files, place.file: stack_file(outcome.settings, place.namespace, draft.gcp_project, reference)}


def _schema(place: _Place) -> tuple[Path, str]:
    """The schema that the file names, and what is in it.

    It is the one of the checkout, if that is of this namespace; else one beside the file, by the name of the namespace
    where another has the usual name.
    """
    from gke_llm_inference.cli.new_files import has_content
    from gke_llm_inference.settings.schema import stack_schema

    text = json.dumps(stack_schema(place.namespace), indent=2) + "\n"
    shipped = place.directory / _SHIPPED_SCHEMA
    if has_content(shipped, text):
        return shipped, text
    directory = place.file.parent.resolve()
    usual, own = directory / _OWN_SCHEMA, directory / f"{place.namespace}.schema.json"
    return (own if os.path.lexists(usual) and not has_content(usual, text) else usual), text


def _command() -> str:
    """The command as it was started, to be typed again."""
    package = getattr(sys.modules["__main__"], "__package__", None)
    return f"python -m {package}" if package == "gke_llm_inference" else "gke-llm-inference"


def _next_steps(outcome: Outcome, draft: Draft, place: _Place, project: str | None, command: str) -> Iterator[str]:
    """What to do with the file, one thing a line; every command runs as it is printed."""
    from gke_llm_inference.cli.draft import PLACEHOLDER_PROJECT
    from gke_llm_inference.pulumi_project.project import find_project_directory, stack_of_file
    from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY

    start = Path.cwd()
    if place.has_project and find_project_directory(start, start) != place.directory:
        yield f"cd {quote(os.path.relpath(place.directory))}"
        start = place.directory
    config_file, selected = "", f"--stack {place.stack}"
    if not place.has_project or place.file.resolve() != place.named_file.resolve():
        config_file = f" --config-file {quote(os.path.relpath(place.file.resolve(), start.resolve()))}"
        selected = f"{selected}{config_file}" if stack_of_file(place.file) != place.stack else config_file.strip()
    yield f"{command} plan {selected}"
    if not place.has_project:
        yield ""
        needed = (
            f"To preview and deploy it, a Pulumi project named {place.namespace} is needed here: Pulumi.yaml and a "
            "program. With --project NAME and --force, this command writes all of it."
        )
        yield from (line.strip() for line in wrapped(needed, "  ", "  "))
        return
    if project is not None:
        yield "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    yield f"{command} preview {selected}"
    yield f"pulumi stack init {place.stack}"
    if draft.gcp_project == PLACEHOLDER_PROJECT:
        yield f"pulumi config set gcp:project YOUR_PROJECT{config_file}"
    if "huggingFace" in outcome.settings:
        yield f"# {draft.model} is gated: use a token of an account with access."
        yield f"pulumi config set --secret {TOKEN_KEY}{config_file}"
    yield f"pulumi up{config_file}"
