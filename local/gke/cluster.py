"""Start, stop, status and reset of one instance."""

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import urllib3
import yaml

from gke_llm_inference.planning.plan import ClusterProfile, StackPlan
from local.binaries import ensure
from local.gke import bootstrap, processes
from local.gke.api import Api, ApiError
from local.gke.control_plane import (
    AUTOSCALER,
    CONTEXT,
    PROGRAMS,
    START_ORDER,
    Credentials,
    Layout,
    commands,
    free_ports,
    write_kubeconfigs,
    write_scheduler,
)
from local.gke.damage import assert_whole
from local.gke.errors import DamagedError, LocalGkeError
from local.gke.files import remove
from local.gke.health import SERVER, STORE, Trouble, client, process_troubles, processes_of, troubles
from local.gke.processes import Process
from local.gke.simulation import Simulation, simulation_of
from local.gke.state import State, read_simulation, read_state, read_stock, read_usage, write_state, write_stock
from local.gke.stock import Stock
from local.gke.usage import Usage

DEFAULT_SPEED = 60.0
"""Seconds of simulated time in one second, unless told otherwise."""

_ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.1
_ATTEMPTS = 3
_FULL = "no space left on device"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """An instance that answers.

    Attributes:
        kubeconfig: file of whoever uses the cluster; it holds a key.
        context: its context.
        server: address of the API server.
        profile: whose rules the cluster has.
        speed: seconds of simulated time in one second.
        processes: what runs, sorted by name.

    """

    kubeconfig: Path
    context: str
    server: str
    profile: ClusterProfile
    speed: float
    processes: tuple[Process, ...]


@dataclass(frozen=True)
class Condition:
    """What of an instance works.

    Attributes:
        running: the instance, if all of it works.
        alive: names of its processes that are there, stopped or not; sorted.
        troubles: what does not work of an instance that is there, at least in part.

    """

    running: Running | None = None
    alive: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()


class LocalGke:
    """A simulated GKE whose state is in one directory; others can run beside it."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory).absolute()
        self._layout = Layout(self.directory)

    def start(
        self,
        profile: ClusterProfile = "standard",
        *,
        speed: float = DEFAULT_SPEED,
        progress: Progress = lambda _line: None,
        cancelled: threading.Event | None = None,
    ) -> Running:
        """Start the instance, or find it running; what was killed before is cleaned up first.

        Args:
            profile: whose rules the cluster has.
            speed: seconds of simulated time in one second.
            progress: gets one line of news at a time.
            cancelled: once set by another thread, the building of programs ends.

        Raises:
            BinariesError: the programs are neither here nor can be built.
            CancelledError: `cancelled` was set.
            DamagedError: what an earlier start wrote is damaged; nothing was touched.
            LocalGkeError: the control plane does not start, or runs with another profile.

        """
        if speed <= 0:
            raise LocalGkeError(f"the speed of simulated time must be above 0, not {speed:g}")
        binaries = ensure(PROGRAMS, progress, cancelled)
        with self._locked(self._claim) as lock:
            assert_whole(self._layout)
            running = self._running()
            if running is not None:
                if running.profile != profile:
                    raise LocalGkeError(
                        f"{self.directory} runs with the profile {running.profile}, not {profile}; reset it, or give "
                        "another directory"
                    )
                return running
            state = read_state(self._layout)
            if state is not None and state.profile != profile:
                raise LocalGkeError(
                    f"{self.directory} holds a cluster of profile {state.profile}, not {profile}; reset it, or give "
                    "another directory"
                )
            preferred = state.ports.api if state else None
            for attempt in range(1, _ATTEMPTS + 1):
                self._stop()
                state = State(profile, speed, free_ports(preferred))
                try:
                    self._start(state, binaries, lock, progress)
                    break
                except _PortTakenError:
                    # Somebody took a port between our look and the program's.
                    preferred = None
                    progress(f"a port was taken; trying others ({attempt} of {_ATTEMPTS})")
                    if attempt == _ATTEMPTS:
                        self._stop()
                        raise LocalGkeError("every port that was free a moment ago was taken; try again") from None
                except (ApiError, urllib3.exceptions.HTTPError) as error:
                    self._stop()
                    raise LocalGkeError(f"the cluster could not be set up: {error}; see {self._layout.logs}") from error
                except BaseException:
                    self._stop()
                    raise
            running = self._running()
            assert running is not None
            return running

    def running(self) -> Running | None:
        """The instance if it is whole: started to the end, every process at work, and the API ready."""
        return self._running()

    def assert_whole(self) -> None:
        """Raises DamagedError if a file that the instance cannot do without is not what was written there."""
        assert_whole(self._layout)

    def condition(self) -> Condition:
        """What of the instance works, within a few seconds whatever does not.

        Raises:
            DamagedError: what the instance is cannot be read.

        """
        state = read_state(self._layout)
        found = [process for process in processes_of(self._layout) if process.alive]
        alive = tuple(sorted({process.name for process in found}))
        if state is None or not state.complete or not found:
            return Condition(alive=alive)
        wrong = troubles(self._layout, state, found)
        if wrong:
            return Condition(alive=alive, troubles=tuple(wrong))
        running = Running(self._layout.kubeconfig, CONTEXT, state.server, state.profile, state.speed, tuple(found))
        return Condition(running, alive)

    def missing(self) -> list[Trouble]:
        """The components that are dead or stopped, as the system says; none is asked anything."""
        return process_troubles(processes_of(self._layout))

    def simulate(self, *plans: StackPlan) -> None:
        """Give the cluster the node pools that plans have or need, and the start-up times of their servers.

        Raises:
            LocalGkeError: the instance does not run.

        """
        self.simulate_as(simulation_of(plans))

    def simulate_as(self, simulation: Simulation) -> None:
        """Give the cluster such node pools and start-up times.

        Raises:
            LocalGkeError: the instance does not run, or does not take them.

        """
        running = self._running()
        if running is None:
            raise LocalGkeError(f"no cluster runs in {self.directory}; start it")
        try:
            bootstrap.apply_simulation(self._api(running.server), self._layout, simulation)
        except (ApiError, urllib3.exceptions.HTTPError) as error:
            raise LocalGkeError(f"the node pools could not be set: {error}; see {self._layout.logs}") from error

    @property
    def stock(self) -> Stock:
        """The machines that Google has."""
        return read_stock(self._layout)

    def set_stock(self, stock: Stock) -> None:
        """Let Google have such machines from now on.

        Raises:
            LocalGkeError: there is no instance.

        """
        if not self._is_ours():
            raise LocalGkeError(f"no cluster is in {self.directory}; start it")
        write_stock(self._layout, stock)

    @property
    def usage(self) -> Usage:
        """How long machines were there so far."""
        return read_usage(self._layout)

    def stop(self) -> None:
        """End every process; what the cluster holds stays for the next start.

        Raises:
            LocalGkeError: a process does not end.

        """
        if self._is_ours():
            with suppress(_GoneError), self._locked_if_possible():
                self._stop()

    def reset(self) -> None:
        """End every process and remove the directory, whatever state its files are in.

        Raises:
            LocalGkeError: the directory holds something else, or a process does not end.
            OSError: the directory cannot be removed; no process is left.

        """
        # What a reset that was killed has left.
        for left in self.directory.parent.glob(f"{self._removed}*"):
            remove(left)
        if not self._is_ours():
            if not self.directory.exists():
                # Somebody removed it; what was started from there may still run.
                self._stop()
                return
            raise LocalGkeError(f"{self.directory} is not a directory of a simulated GKE; nothing was removed")
        with suppress(_GoneError), self._locked_if_possible():
            self._stop()
            # At once, so that whoever waits for the lock finds a whole directory or none.
            removed = self.directory.with_name(f"{self._removed}{uuid.uuid4().hex}")
            self.directory.rename(removed)
            remove(removed)

    def owns(self, kubeconfig: Path | str, context: str | None = None) -> bool:
        """Whether a context of a kubeconfig, the current one unless named, leads to this very control plane."""
        try:
            own = yaml.safe_load(self._layout.kubeconfig.read_text("utf-8"))
            other = yaml.safe_load(Path(kubeconfig).read_text("utf-8"))
            return _cluster_of(own, CONTEXT) == _cluster_of(other, context or other["current-context"])
        except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration):
            return False

    def _start(self, state: State, binaries: dict[str, Path], lock: int, progress: Progress) -> None:
        started = time.monotonic()
        layout = self._layout
        layout.make()
        write_state(layout, state)
        credentials = Credentials.of(layout)
        write_kubeconfigs(layout, credentials, state.server)
        write_scheduler(layout)
        bootstrap.write_stages(layout, state.speed)
        every = commands(layout, binaries, credentials, state.ports, state.speed)
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
        environment["PYTHONPATH"] = str(_ROOT)

        def launch(*names: str) -> None:
            for name in names:
                (layout.records / f"{name}.json").unlink(missing_ok=True)
                (layout.logs / f"{name}.log").unlink(missing_ok=True)
                processes.launch(name, every[name], layout.records, layout.logs, environment, hold=lock)

        progress("starting etcd and kube-apiserver")
        # The API server waits for its store by itself.
        launch("etcd", "kube-apiserver")
        with bootstrap.first_client(layout, credentials, state.server) as api:
            self._wait_until_ready(api)
            progress(f"kube-apiserver answers after {time.monotonic() - started:.1f} s")
            bootstrap.grant(api)
            launch("kube-controller-manager", "kube-scheduler", "kwok", AUTOSCALER)
            bootstrap.populate(api, state.profile)
            bootstrap.apply_simulation(api, layout, self._simulation())
            self._wait_until_whole(api)
        write_state(layout, replace(state, complete=True))
        progress(f"the control plane is ready after {time.monotonic() - started:.1f} s: {state.server}")

    def _simulation(self) -> Simulation:
        """The node pools and start-up times of an earlier start; else those of a cluster that serves nothing yet."""
        return read_simulation(self._layout) or simulation_of(())

    def _wait_until_ready(self, api: Api) -> None:
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            self._check_processes("etcd", "kube-apiserver")
            try:
                api.request("GET", "/readyz")
                return
            except (ApiError, urllib3.exceptions.HTTPError):
                time.sleep(_POLL_SECONDS)
        raise LocalGkeError(f"kube-apiserver is not ready after {_READY_SECONDS:.0f} s; see {self._layout.logs}")

    def _wait_until_whole(self, api: Api) -> None:
        """Wait until controllers work: the default service account is their first sign."""
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            self._check_processes(*START_ORDER)
            on_record = {process.name for process in processes.recorded(self._layout.records)}
            if on_record == set(START_ORDER) and api.items("/api/v1/namespaces/default/serviceaccounts"):
                return
            time.sleep(_POLL_SECONDS)
        raise LocalGkeError(f"the controllers do nothing after {_READY_SECONDS:.0f} s; see {self._layout.logs}")

    def _check_processes(self, *names: str) -> None:
        """Raise if one of the processes has ended; one that is not on record yet is being started."""
        alive = {process.name: process.alive for process in processes.recorded(self._layout.records)}
        ended = next((name for name in names if alive.get(name) is False), None)
        if ended is None:
            return
        log = self._layout.logs / f"{ended}.log"
        lines = log.read_text("utf-8", errors="replace").strip().splitlines() if log.exists() else []
        if any("address already in use" in line for line in lines):
            raise _PortTakenError
        if any(_FULL in line.lower() for line in lines):
            raise LocalGkeError(f"{ended} ended at once: {_FULL} ({self.directory}); make room, and try again")
        tail = "\n".join(lines[-5:])
        raise LocalGkeError(f"{ended} ended at once; the end of {log}:\n{tail}")

    def _running(self) -> Running | None:
        try:
            return self.condition().running
        except DamagedError:
            return None

    def _stop(self) -> None:
        found = processes_of(self._layout)
        # Those that use the API first, then the API, then its store.
        groups = (
            [process for process in found if process.name not in (STORE, SERVER)],
            [process for process in found if process.name == SERVER],
            [process for process in found if process.name == STORE],
        )
        left = [process for group in groups for process in processes.stop(group, _STOP_SECONDS)]
        if left:
            names = ", ".join(f"{process.name} (process {process.pid})" for process in left)
            raise LocalGkeError(f"{names} could not be ended, so nothing of {self.directory} was removed")
        for path in self._layout.records.glob("*"):
            remove(path)

    def _api(self, server: str) -> Api:
        return client(self._layout, server)

    @property
    def _removed(self) -> str:
        """How the directory's name starts while it is being removed."""
        return f".{self.directory.name.lstrip('.')}.being-removed."

    def _claim(self) -> None:
        """Make the directory ours, or refuse one that holds something else."""
        if self.directory.exists() and not self._is_ours() and any(self.directory.iterdir()):
            raise LocalGkeError(f"{self.directory} holds something else; give an empty directory or a new one")
        self._layout.make()

    def _is_ours(self) -> bool:
        """Whether the directory is one that this class made, even if parts of it are gone by now."""
        if self._layout.records.is_dir() and self._layout.certificates.is_dir():
            return True
        own = self._layout.names
        names = {path.name for path in self.directory.iterdir()} if self.directory.is_dir() else set()
        return bool(names) and all(name in own or name.startswith(tuple(f".{one}." for one in own)) for name in names)

    @contextmanager
    def _locked(self, prepare: Callable[[], None] = lambda: None) -> Iterator[int]:
        """Let one command at a time change the instance; the lock's descriptor.

        Args:
            prepare: makes the directory where it may be missing.

        Raises:
            _GoneError: the directory was removed, and `prepare` does not make it.

        """
        path = self._layout.lock
        while True:
            prepare()
            try:
                file = path.open("a")
            except FileNotFoundError:
                if self.directory.exists():
                    continue
                raise _GoneError from None
            with file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Its last holder may have removed it, and a lock that nobody else finds keeps nobody out.
                if _is_at(file.fileno(), path):
                    yield file.fileno()
                    return

    @contextmanager
    def _locked_if_possible(self) -> Iterator[None]:
        """The lock, where it can be taken at all: to end everything must be possible on any disk."""
        with ExitStack() as stack:
            with suppress(OSError):
                stack.enter_context(self._locked())
            yield


class _GoneError(Exception):
    """The directory was removed by another command."""


class _PortTakenError(Exception):
    """A program found its port taken."""


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _cluster_of(kubeconfig: dict[str, list[dict[str, dict[str, str]]]], context: str) -> tuple[str, str]:
    """Address and authority of the cluster that a context names."""
    cluster = next(one["context"]["cluster"] for one in kubeconfig["contexts"] if str(one["name"]) == context)
    found = next(one["cluster"] for one in kubeconfig["clusters"] if str(one["name"]) == cluster)
    return found["server"], found["certificate-authority-data"]
