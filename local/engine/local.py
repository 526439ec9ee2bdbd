"""The local stack: its own control plane, its own state, and nothing outside this machine."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.errors import CommandError
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.pulumi_project.project import load_stack
from gke_llm_inference.settings import ConfigToken, ExistingCluster
from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY
from gke_llm_inference.settings.stack_config import settings_of
from local.engine.checkpoint import Checkpoint, DamagedStateError
from local.engine.cluster import ApiServer, ClusterError
from local.engine.command import find_command, installed_command
from local.engine.display import Display, counted
from local.engine.errors import EngineError
from local.engine.exclusive import exclusively
from local.engine.provider import find_provider, installed_provider
from local.engine.recovery import assert_unlocked, end_plugins
from local.engine.stack import EngineStack
from local.engine.table import read_report, render, what_waits
from local.engine.tie import identity_of, tie
from local.engine.watch import watched
from local.gke import LocalGke, LocalGkeError
from local.gke.errors import DamagedError, explained
from local.gke.files import private_directory, remove
from local.gke.usage import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
_NOT_RUNNING = "the control plane does not run"
_LAST_RESORT = "`make down` removes all that the stack has on this machine, then `make up` makes it again"
_STATUS_SECONDS = 2.0
_DESTROY_SECONDS = 120.0
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
        EngineError: the deployment failed, what an earlier one wrote is damaged, or another command is at work.
        BinariesError: a program that is needed is not available.

    """
    with exclusively(stack.state_directory, "make up"):
        try:
            return _up(stack)
        except (LocalGkeError, DamagedStateError) as error:
            raise _with_last_resort(error) from None


def _with_last_resort(error: CommandError) -> EngineError:
    return EngineError(f"{error}\n  {'or' if 'fix: ' in str(error) else 'fix'}: {_LAST_RESORT}")


def _up(stack: LocalStack) -> int:
    started = time.monotonic()
    Checkpoint(stack.state_directory / "backend", stack.project.name, STACK).latest()
    secrets = _secrets(stack)
    command, provider, running = _set_up(stack)
    _say(f"control plane {running.server}; engine pulumi {command.version}; provider {provider}")
    display = Display(sys.stdout)
    engine = _engine(stack, stack.config, command, provider, running, secrets)
    try:
        if done := tie(engine, identity_of(connect(stack, running))):
            _say(done)
        with watched(stack.cluster, command):
            engine.up(display.show)
    except DamagedStateError:
        raise
    except EngineError:
        _say_what_waits(stack, running)
        _say("what was made so far stays; `make up` goes on from here, `make down` removes it")
        raise
    report = _report(stack, running)
    state = "up" if report.ready else "deployed, but not up: replicas are missing"
    _say(f"{counted(display.changes)}; {state}, after {time.monotonic() - started:.0f} s\n")
    return _shown(report)


def _say_what_waits(stack: LocalStack, running: Running) -> None:
    """The provider tells that pods are not ready, but not why. An API server that is silent is not waited for."""
    with suppress(EngineError):
        for line in what_waits(_report_in_time(stack, running)):
            _say(line)


def status(stack: LocalStack) -> int:
    """Shows what runs, within seconds whatever does not; 0 if every component works and every replica is ready.

    Raises:
        EngineError: the control plane is damaged, or does not answer.

    """
    try:
        condition = stack.cluster.condition()
    except DamagedError as error:
        raise _with_last_resort(error) from None
    if condition.running is not None:
        return _shown(_report_in_time(stack, condition.running))
    if not condition.alive:
        _say(f"{_NOT_RUNNING}; `make up` starts it")
        return 1
    _say("the control plane does not work:")
    for trouble in condition.troubles:
        _say(f"  {trouble}")
    if not condition.troubles:
        _say(f"  its start has not come to its end; running: {', '.join(condition.alive)}")
    _say("fix: `make up` starts it again with what it holds, `make down` removes it")
    return 1


def _report_in_time(stack: LocalStack, running: Running) -> Report:
    """The report, unless the API server takes longer than whoever asks for the status waits."""
    reports: list[Report | CommandError] = []

    def read() -> None:
        try:
            reports.append(_report(stack, running))
        except CommandError as error:
            reports.append(error)

    # Requests have time limits of their own, but a report is many of them.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(_STATUS_SECONDS)
    if not reports:
        raise EngineError(f"what runs cannot be read: kube-apiserver does not answer within {_STATUS_SECONDS:g} s")
    if isinstance(reports[0], CommandError):
        raise reports[0]
    return reports[0]


def _report(stack: LocalStack, running: Running) -> Report:
    try:
        used = report(stack.cluster.usage.lines(load_catalog()))
        return read_report(connect(stack, running), stack.plan, used)
    except ClusterError as error:
        raise EngineError(f"what runs cannot be read: {error}") from None


def _shown(report: Report) -> int:
    _say(render(report).rstrip())
    return 0 if report.ready else 1


def down(files: LocalFiles) -> int:
    """Deletes the stack, ends the control plane and removes everything that both wrote; 0 if nothing is left.

    The engine is asked to delete the stack where it can. Whatever is damaged, dead or wrong by now is no reason to
    keep what was made when it was right: it all goes with the control plane.

    Raises:
        EngineError: another command is at work, or a process does not end.

    """
    cluster = files.cluster
    if not cluster.directory.exists() and not files.state_directory.exists():
        cluster.reset()
        _say("nothing is up")
        return 0
    with _exclusively_if_possible(files):
        try:
            _destroy(files)
        except _NoDestroyError as error:
            _say(f"{error}\nwhat the control plane holds goes with its data")
        cluster.reset()
        end_plugins(files.state_directory / "home")
        remove(files.state_directory)
    _say("down: no process and no file is left")
    return 0


@contextmanager
def _exclusively_if_possible(files: LocalFiles) -> Iterator[None]:
    """The lock of the stack, where its file can be made at all: to remove everything must be possible on any disk."""
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(exclusively(files.state_directory, "make down"))
        yield


class _NoDestroyError(Exception):
    """The engine cannot delete the stack; the text says why."""


def _destroy(files: LocalFiles) -> None:
    """Lets the engine delete what it deployed.

    Raises:
        _NoDestroyError: it cannot.
        EngineError: another engine is at work.

    """
    assert_unlocked(files.state_directory, STACK)
    if not files.deployed:
        return
    try:
        config = load_stack(files.project, STACK, None)
    except CommandError as error:
        raise _NoDestroyError(
            f"the stack's file cannot be read, so the control plane goes with all that it holds:\n  {error}"
        ) from None
    try:
        running = _working(files)
        command, provider = installed_command(_say), installed_provider()
        if command is None or provider is None:
            raise _NoDestroyError("the engine's programs are not on this machine")
        engine = _engine(files, config, command, provider, running, {})
        if engine.exists:
            display = Display(sys.stdout)
            with command.limited(_DESTROY_SECONDS), watched(files.cluster, command):
                engine.destroy(display.show)
            _say(counted(display.changes))
    except DamagedStateError as error:
        raise _NoDestroyError(f"the engine cannot delete the stack:\n  {error.problem}") from None
    except CommandError as error:
        raise _NoDestroyError(f"the engine cannot delete the stack:\n  {error}") from None
    except OSError as error:
        raise _NoDestroyError(f"the engine cannot delete the stack:\n  {explained(error)}") from None


def _working(files: LocalFiles) -> Running:
    files.cluster.assert_whole()
    condition = files.cluster.condition()
    if condition.running is None:
        problems = "; ".join(map(str, condition.troubles)) if condition.alive else ""
        raise _NoDestroyError(f"the control plane does not work: {problems}" if problems else _NOT_RUNNING)
    return condition.running


def connect(files: LocalFiles, running: Running) -> ApiServer:
    """The control plane's API. Raises ClusterError if it does not answer."""
    private_directory(files.state_directory)
    return ApiServer(running.kubeconfig, running.context, files.state_directory / "discovery.json")


def _set_up(stack: LocalStack) -> tuple[EngineCommand, Path, Running]:
    """The CLI with the provider, and the control plane at the same time: where one is built, the other goes on."""
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        starting = pool.submit(stack.cluster.start, stack.plan.cluster.profile, progress=_say, cancelled=cancelled)
        try:
            command = find_command(_say)
            provider = find_provider(_say)
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
        environment={
            "KUBECONFIG": str(running.kubeconfig),
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            # It would be a download that nobody has checked.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        },
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
