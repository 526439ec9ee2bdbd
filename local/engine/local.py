"""The local stack: its own control plane, its own state, and nothing outside this machine."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gke_llm_inference.errors import CommandError
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.pulumi_project.project import load_stack
from gke_llm_inference.settings import ConfigToken, ExistingCluster
from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY
from gke_llm_inference.settings.stack_config import settings_of
from local.engine.cluster import ApiServer, ClusterError
from local.engine.command import find_command
from local.engine.display import Display, counted
from local.engine.errors import EngineError
from local.engine.provider import find_provider
from local.engine.recovery import end_plugins
from local.engine.stack import EngineStack
from local.engine.table import read_report, render, what_waits
from local.gke import LocalGke

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gke_llm_inference.planning import StackPlan
    from gke_llm_inference.pulumi_project.project import Project, StackConfig
    from gke_llm_inference.settings import StackSettings
    from local.engine.command import EngineCommand
    from local.engine.table import Report
    from local.gke import Running

STACK = "local"
"""The stack that runs on this machine; every other one is Pulumi's own business."""
CONTEXT = "local"
"""Its kubeconfig context."""
PLACEHOLDER_TOKEN = "hf_placeholder-simulated-pods-download-nothing"  # noqa: S105 - says itself that it is none


@dataclass(frozen=True)
class LocalFiles:
    """Where the stack `local` of a project has what it writes."""

    project: Project

    @property
    def cluster(self) -> LocalGke:
        """The control plane."""
        return LocalGke(self.project.directory / ".local-gke")

    @property
    def state_directory(self) -> Path:
        """Everything that the engine writes."""
        return self.project.directory / ".local-pulumi"

    @property
    def deployed(self) -> bool:
        """Whether an engine has run."""
        return (self.state_directory / "backend").exists()


@dataclass(frozen=True)
class LocalStack(LocalFiles):
    """The stack `local` of a project, read and checked."""

    config: StackConfig
    settings: StackSettings
    plan: StackPlan

    @classmethod
    def read(cls, project: Project) -> LocalStack:
        """Reads the stack's file.

        Raises:
            ConfigError: it is missing or wrong.
            Refusal: its settings cannot work.
            EngineError: it is a stack for something else than this machine.

        """
        config = load_stack(project, STACK, None)
        settings = settings_of(config.values, config.secret_keys, project.name, project.directory)
        assert_local(settings)
        plan = plan_stack(settings, StackIdentity(project=project.name, stack=STACK))
        return cls(project, config, settings, plan)


def up(stack: LocalStack) -> int:
    """Starts the control plane, deploys the stack to it and shows what runs; 0 if every replica is ready.

    Raises:
        EngineError: the deployment failed.
        BinariesError: a program that is needed cannot be had.
        LocalGkeError: the control plane does not start.

    """
    started = time.monotonic()
    secrets = _secrets(stack)
    command, provider, running = _set_up(stack)
    _say(f"control plane {running.server}; engine pulumi {command.version}; provider {provider}")
    display = Display(sys.stdout)
    engine = _engine(stack, stack.config, command, provider, running, secrets)
    try:
        engine.up(display.show)
    except EngineError:
        _say_what_waits(stack, running)
        _say("what was made so far stays; `make up` goes on from here, `make down` removes it")
        raise
    report = _report(stack, running)
    state = "up" if report.ready else "deployed, but not up: replicas are missing"
    _say(f"{counted(display.changes)}; {state}, after {time.monotonic() - started:.0f} s\n")
    return _shown(report)


def _say_what_waits(stack: LocalStack, running: Running) -> None:
    """The provider tells that pods are not ready, but not why."""
    with suppress(ClusterError):
        for line in what_waits(read_report(connect(stack, running), stack.plan)):
            _say(line)


def status(stack: LocalStack) -> int:
    """Shows what runs; 0 if every replica is ready.

    Raises:
        EngineError: the control plane does not answer.

    """
    running = stack.cluster.running()
    if running is None:
        _say("the control plane does not run; `make up` starts it")
        return 1
    return _shown(_report(stack, running))


def _report(stack: LocalStack, running: Running) -> Report:
    try:
        return read_report(connect(stack, running), stack.plan)
    except ClusterError as error:
        raise EngineError(f"what runs cannot be read: {error}") from None


def _shown(report: Report) -> int:
    _say(render(report).rstrip())
    return 0 if report.ready else 1


def down(files: LocalFiles) -> int:
    """Deletes the stack, ends the control plane and removes everything that both wrote; 0 if nothing is left.

    A stack file that is wrong by now is no reason to keep what it was when it was right.

    Raises:
        EngineError: the stack could not be deleted; the control plane still runs then.

    """
    cluster = files.cluster
    if not cluster.directory.exists() and not files.state_directory.exists():
        cluster.reset()
        _say("nothing is up")
        return 0
    running = cluster.running()
    if running is None:
        _say("the control plane does not run; what it held goes with its data")
    elif files.deployed and (config := _config_or_none(files)) is not None:
        _destroy(files, config, running)
    cluster.reset()
    end_plugins(files.state_directory / "home")
    if files.state_directory.exists():
        shutil.rmtree(files.state_directory)
    _say("down: no process and no file is left")
    return 0


def _config_or_none(files: LocalFiles) -> StackConfig | None:
    try:
        return load_stack(files.project, STACK, None)
    except CommandError as error:
        _say(f"the stack's file cannot be read, so the control plane goes with all that it holds:\n  {error}")
        return None


def _destroy(files: LocalFiles, config: StackConfig, running: Running) -> None:
    command = find_command(_say)
    engine = _engine(files, config, command, find_provider(command, _say), running, {})
    if engine.exists:
        display = Display(sys.stdout)
        engine.destroy(display.show)
        _say(counted(display.changes))


def connect(files: LocalFiles, running: Running) -> ApiServer:
    """The control plane's API. Raises ClusterError if it does not answer."""
    files.state_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ApiServer(running.kubeconfig, running.context, files.state_directory / "discovery.json")


def _set_up(stack: LocalStack) -> tuple[EngineCommand, Path, Running]:
    """The CLI with the provider, and the control plane at the same time: where one is built, the other goes on."""
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        starting = pool.submit(stack.cluster.start, stack.plan.cluster.profile, progress=_say, cancelled=cancelled)
        try:
            command = find_command(_say)
            provider = find_provider(command, _say)
            running = starting.result()
        except BaseException:
            cancelled.set()
            raise
    stack.cluster.simulate(stack.plan)
    return command, provider, running


def _engine(
    files: LocalFiles,
    config: StackConfig,
    command: EngineCommand,
    provider: Path,
    running: Running,
    secrets: Mapping[str, str],
) -> EngineStack:
    return EngineStack(
        command=command,
        directory=files.state_directory,
        project=files.project,
        config=config,
        secrets=secrets,
        provider=provider,
        # Nothing but this control plane is known by the context's name, and no plugin of the user's takes part.
        environment={"KUBECONFIG": str(running.kubeconfig), "PULUMI_IGNORE_AMBIENT_PLUGINS": "true"},
    )


def _secrets(stack: LocalStack) -> dict[str, str]:
    if not isinstance(stack.settings.hugging_face, ConfigToken):
        return {}
    key = f"{stack.project.name}:{TOKEN_KEY}"
    # A real one would lie in clear in the store of the control plane, for nothing.
    _say("the token is a placeholder, as simulated pods download nothing")
    return {key: PLACEHOLDER_TOKEN}


def assert_local(settings: StackSettings) -> None:
    """Raises EngineError for a stack whose cluster is not the one on this machine."""
    cluster = settings.cluster
    if isinstance(cluster, ExistingCluster) and cluster.kubeconfig_context == CONTEXT:
        return
    asked = (
        f"kubeconfigContext: {cluster.kubeconfig_context}"
        if isinstance(cluster, ExistingCluster) and cluster.kubeconfig_context
        else f"mode: {cluster.mode}"
    )
    raise EngineError(
        f"cluster: '{asked}' is not for this machine\n"
        f"  why: stack '{STACK}' is deployed to a control plane of its own here, and touches no other cluster\n"
        f"  fix: in Pulumi.{STACK}.yaml, cluster: {{mode: existing, profile: standard, kubeconfigContext: {CONTEXT}}}; "
        "or give the stack another name, and deploy it with make up STACK=NAME"
    )


def _say(line: str) -> None:
    print(line, flush=True)
