"""One stack in the real engine: the project's own program, run inline, with state that nobody else shares."""

from __future__ import annotations

import json
import os
import re
import runpy
import secrets as random
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi
import yaml
from pulumi.automation import (
    LocalWorkspace,
    OnEvent,
    PreviewResult,
    ProjectSettings,
    RefreshResult,
    Stack,
    UpResult,
)
from pulumi.automation.errors import CommandError as FailedCommand
from pulumi.runtime.settings import SETTINGS

from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from local.engine import channels
from local.engine.checkpoint import Checkpoint, DamagedStateError
from local.engine.errors import EngineError
from local.engine.provider import offer
from local.engine.recovery import assert_unlocked, taken_up, unfinished
from local.gke.files import private_directory, remove, write_json, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pulumi.automation import CommandResult, EngineEvent

    from gke_llm_inference.pulumi_project.project import Project, StackConfig
    from local.engine.command import EngineCommand

T = TypeVar("T")

# The provider reads it itself, where it takes no argument of that name.
_PASSED_ON = ("PULUMI_K8S_ENABLE_PATCH_FORCE",)
_PROGRAM_NAMES = {"KUBECONFIG": "GKE_LLM_INFERENCE_KUBECONFIG"}


@dataclass(frozen=True)
class EngineStack:
    """A stack and where its state is.

    Attributes:
        command: the CLI.
        directory: holds everything that this class writes: state, its passphrase, the engine's own files.
        project: the project whose program is run, as it is.
        config: the stack's configuration, from its file. The file itself is never written.
        secrets: decrypted secrets by `namespace:key`; they reach the program and nothing else.
        provider: Pulumi's Kubernetes provider; without it, the engine looks for it on its own.
        environment: further variables of the engine.
        program: what is run instead of the project's program.

    """

    command: EngineCommand
    directory: Path
    project: Project
    config: StackConfig
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    provider: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Path | None = None

    def up(self, on_event: OnEvent | None = None, **options: Any) -> UpResult:
        """Makes the cluster what the program says. Finishes first what an earlier run left unfinished.

        Raises:
            EngineError: it failed, or another operation on this stack is running.

        """
        stack = self._ready(recover=True)
        return self._translating_errors(
            lambda: stack.up(on_event=self._masked(on_event), show_secrets=False, **options)
        )

    def preview(self, on_event: OnEvent | None = None, **options: Any) -> PreviewResult:
        """What `up` would do. Raises EngineError like `up`."""
        stack, tell = self._ready(recover=False), self._masked(on_event)
        return self._translating_errors(lambda: stack.preview(on_event=tell, **options))

    def refresh(self, on_event: OnEvent | None = None, **options: Any) -> RefreshResult:
        """Takes into the state what has become of the resources. Raises EngineError like `up`."""
        stack = self._ready(recover=True)
        return self._translating_errors(
            lambda: stack.refresh(on_event=self._masked(on_event), show_secrets=False, **options)
        )

    def destroy(self, on_event: OnEvent | None = None, **options: Any) -> None:
        """Deletes every resource of the stack. Raises EngineError like `up`."""
        stack, tell = self._ready(recover=True), self._masked(on_event)
        self._translating_errors(lambda: stack.destroy(on_event=tell, show_secrets=False, **options))

    @property
    def exists(self) -> bool:
        """Whether there is any state."""
        return self._checkpoint.exists

    def state(self) -> dict[str, Any]:
        """The deployment as the engine keeps it, secrets encrypted. Raises DamagedStateError if it cannot be read."""
        return self._checkpoint.latest()

    def forget(self) -> None:
        """Removes all state, of resources that are known to be gone. Raises EngineError if an engine is at work."""
        assert_unlocked(self.directory, self.config.stack)
        remove(self.directory / "backend")

    @property
    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self.directory / "backend", self.project.name, self.config.stack)

    @property
    def _work(self) -> Path:
        return self.directory / "work"

    def _ready(self, *, recover: bool) -> Stack:
        assert_unlocked(self.directory, self.config.stack)
        state = self.state()
        self._prepare()
        self._checkpoint.prune()
        channels.keep_apart()
        workspace = LocalWorkspace(
            work_dir=str(self._work),
            pulumi_home=str(self.directory / "home"),
            program=self._run,
            env_vars=self._variables,
            pulumi_command=self.command,
            project_settings=ProjectSettings(name=self.project.name, runtime="python"),
        )
        create_or_select = Stack.select if self.exists else Stack.create_or_select
        stack = self._translating_errors(lambda: create_or_select(self.config.stack, workspace))
        if recover and (urns := unfinished(state)):
            self._translating_errors(lambda: self._take_up(stack, urns))
        return stack

    @property
    def _variables(self) -> dict[str, str]:
        return {
            "PULUMI_BACKEND_URL": f"file://{self.directory / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.directory / "passphrase"),
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            **self.environment,
        }

    def _take_up(self, stack: Stack, urns: list[str]) -> None:
        """Finds out what has become of objects whose creation was cut off."""
        # By the CLI itself: the SDK's export would write secrets in clear.
        document = json.loads(self._command(["stack", "export"]).stdout)
        document["deployment"] = taken_up(document["deployment"])
        path = self._work / "recovered.json"
        write_json(path, document)
        self._command(["stack", "import", "--file", str(path)])
        path.unlink()
        stack.refresh(target=urns, show_secrets=False)

    def command_line(self, arguments: list[str]) -> CommandResult:
        """Runs the CLI on the stack, as a person would. Raises CommandError if it fails."""
        self._ready(recover=False)
        return self._command(arguments)

    def _command(self, arguments: list[str]) -> CommandResult:
        variables = {**self._variables, "PULUMI_HOME": str(self.directory / "home")}
        return self.command.run([*arguments, "--stack", self.config.stack], str(self._work), variables)

    def _prepare(self) -> None:
        """Writes what the engine reads: passphrase, and the plain part of the configuration."""
        for name in ("", "backend", "home", "work"):
            private_directory(self.directory / name)
        if self.provider is not None:
            offer(self.provider, self.directory / "home")
        passphrase = self.directory / "passphrase"
        if not passphrase.exists() or not passphrase.stat().st_size:
            if self.exists:
                raise DamagedStateError(
                    passphrase,
                    "it is missing or empty",
                    "the engine's state beside it cannot be decrypted without it",
                    "put it back",
                )
            write_private(passphrase, random.token_urlsafe(32).encode())
        path = self._work / f"Pulumi.{self.config.stack}.yaml"
        kept = _settings(path)
        plain = {key: value for key, value in self.config.values.items() if key not in self.config.secret_keys}
        # The engine's own lines stay: with them it decrypts the state.
        write_private(path, yaml.safe_dump({**kept, "config": plain}, sort_keys=True).encode())

    def _run(self) -> None:
        """The program, in the language server of the Automation API."""
        values = {**self.config.values, **self.secrets}
        for key in set(self.config.secret_keys) - set(self.secrets):
            del values[key]  # what stands there is not the secret
        pulumi.runtime.set_all_config(values, sorted(self.secrets))
        SETTINGS.root_directory = str(self.project.directory)
        runpy.run_path(str(self.program or self.project.program), run_name="__main__")

    def _translating_errors(self, operation: Callable[[], T]) -> T:
        try:
            with _environment_of_program(self.environment):
                return operation()
        except FailedCommand as error:
            if self.command.interrupted.is_set():
                raise KeyboardInterrupt from None
            raise EngineError(self._masker.mask_message(_error_message(error))) from None

    @property
    def _masker(self) -> SecretMasker:
        masker = SecretMasker()
        for secret in self.secrets.values():
            masker.add(secret)
        return masker

    def _masked(self, on_event: OnEvent | None) -> OnEvent | None:
        """What is told of events, without secrets: the engine passes on a program's own errors as they are."""
        if on_event is None:
            return None
        masker = self._masker

        def tell(event: EngineEvent) -> None:
            for message in (event.diagnostic_event, event.stdout_event):
                if message is not None:
                    message.message = masker.mask_message(message.message)
            on_event(event)

        return tell


def _settings(path: Path) -> dict[str, Any]:
    """What the engine has written to a stack file of its own."""
    try:
        document = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        document = None
    if not isinstance(document, dict):
        raise DamagedStateError(
            path,
            "it is not a stack file",
            "the engine's state cannot be decrypted without what it wrote there",
            "put a backup back",
        )
    return document


@contextmanager
def _environment_of_program(engine: Mapping[str, str]) -> Iterator[None]:
    """What the engine's own environment says holds for the program too, which runs in this process.

    But KUBECONFIG, of which its SDK makes an argument: the caller's clusters stay out, and the engine's has another
    name.
    """
    kept = dict(os.environ)
    os.environ.pop("KUBECONFIG", None)
    os.environ.update({_PROGRAM_NAMES.get(name, name): value for name, value in engine.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _error_message(error: FailedCommand) -> str:
    """What went wrong, out of all that the CLI printed."""
    printed = str(error)
    diagnostics = re.search(r"^Diagnostics:\n(.*?)(?=^\S|\Z)", printed, re.DOTALL | re.MULTILINE)
    if diagnostics is not None and "error: " in diagnostics[1]:
        return textwrap.dedent(diagnostics[1]).strip()
    errors = re.findall(r"^error: .*", printed, re.MULTILINE)
    return "\n".join(one.removeprefix("error: ") for one in errors) or printed.strip()
