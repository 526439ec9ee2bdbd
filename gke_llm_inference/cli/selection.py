"""Which project and which stack a command is about, the same for every subcommand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gke_llm_inference.errors import ConfigError, UsageError
from gke_llm_inference.pulumi_project.project import find_project_directory, load_project, load_stack

if TYPE_CHECKING:
    from gke_llm_inference.planning import StackIdentity
    from gke_llm_inference.pulumi_project.project import Project, StackConfig
    from gke_llm_inference.settings.stack_config import StackConfiguration

NAMESPACE = "gke-llm-inference"
"""Namespace of the settings in a stack file that belongs to no project."""


@dataclass(frozen=True)
class Selection:
    """A stack, as its file states it."""

    project: Project
    stack: StackConfig
    path: Path
    """The stack's file."""

    @property
    def identity(self) -> StackIdentity:
        """What the planner knows the stack by."""
        from gke_llm_inference.planning import StackIdentity

        return StackIdentity(
            project=self.project.name, stack=self.stack.stack, gcp_project=self.stack.values.get("gcp:project")
        )

    def configuration(self) -> StackConfiguration:
        """Its settings.

        Raises:
            Refusal: with every problem of them and of the servers that can be planned all the same, each with the
                file that it is from.

        """
        from gke_llm_inference.settings.findings import Refusal
        from gke_llm_inference.settings.stack_config import configuration_of

        project, stack = self.project, self.stack
        try:
            return configuration_of(stack.values, stack.secret_keys, project.name, project.directory, file=stack.file)
        except Refusal as refusal:
            from gke_llm_inference.planning.remainder import with_the_rest

            raise with_the_rest(refusal, self.identity) from None


def select(stack: str | None, config_file: Path | None, project_directory: Path | None) -> Selection:
    """The stack that the options name. A file alone needs no project.

    Raises:
        UsageError: they name none.
        ConfigError: the project or the file is missing or wrong.

    """
    require_stack(stack, config_file)
    project = _project(config_file, project_directory)
    loaded = load_stack(project, stack, config_file)
    return Selection(project, loaded, config_file or project.stack_directory / loaded.file)


def require_stack(stack: str | None, config_file: Path | None) -> None:
    """Raises UsageError if the options name no stack."""
    if stack is None and config_file is None:
        raise UsageError("name a stack with --stack or its file with --config-file")


def program_directory(config_file: Path | None, project_directory: Path | None) -> Path:
    """The project whose program a preview runs.

    This is the one place that would name a program of the package's own for a stack file outside of any project.

    Raises:
        ConfigError: there is none.

    """
    try:
        return directory_of(config_file, project_directory)
    except ConfigError as error:
        if config_file is None:
            raise
        raise ConfigError(
            f"{error}\nA preview runs the project's program. "
            "'gke-llm-inference plan' needs none; 'gke-llm-inference new --project NAME' writes one."
        ) from None


def namespace_of(project_directory: Path | None) -> str:
    """Namespace of the settings in the stack files of a project, or of none.

    Raises:
        ConfigError: the project is wrong.

    """
    try:
        directory = directory_of(None, project_directory)
    except ConfigError:
        return NAMESPACE
    return load_project(directory).name


def directory_of(config_file: Path | None, project_directory: Path | None) -> Path:
    """The project's directory: as the options say, else upward from here, else upward from the stack's file.

    Raises:
        ConfigError: there is none.

    """
    if project_directory is not None:
        return project_directory.resolve()
    here = Path.cwd()
    if config_file is None:
        return find_project_directory(here)
    try:
        return find_project_directory(here)
    except ConfigError as error:
        try:
            return find_project_directory(config_file.resolve().parent)
        except ConfigError:
            raise error from None


def _project(config_file: Path | None, project_directory: Path | None) -> Project:
    try:
        directory = directory_of(config_file, project_directory)
    except ConfigError:
        if config_file is None:
            raise
        from gke_llm_inference.pulumi_project.project import project_without_program

        return project_without_program(config_file.resolve().parent, NAMESPACE)
    return load_project(directory)
