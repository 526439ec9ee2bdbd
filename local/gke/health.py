"""What of an instance works and what does not, found out within seconds whatever is dead."""

from dataclasses import dataclass

import urllib3

from local.gke.api import Api, ApiError
from local.gke.certificates import KeyPair
from local.gke.control_plane import START_ORDER, Layout, name_of
from local.gke.processes import Process, recorded, running_as
from local.gke.state import State

SECONDS = 1.0
"""For how long a server that does not answer is waited for; those that do take milliseconds."""

STORE, SERVER = "etcd", "kube-apiserver"


@dataclass(frozen=True)
class Trouble:
    """A component that does not work, and what is wrong with it."""

    component: str
    problem: str

    def __str__(self) -> str:
        return f"{self.component} {self.problem}"


def processes_of(layout: Layout) -> list[Process]:
    """The processes of an instance, sorted by name, whether they run or not: on record, or found by what they run."""
    found = {(process.pid, process.started): process for process in recorded(layout.records)}
    running = running_as(lambda command: name_of(command, layout))
    found |= {(process.pid, process.started): process for process in running}
    return sorted(found.values(), key=lambda process: (process.name, process.pid))


def troubles(layout: Layout, state: State, processes: list[Process]) -> list[Trouble]:
    """What does not work of an instance that was started to the end; empty if all does.

    Processes that the system itself says are not there or stopped are not asked anything.
    """
    found = process_troubles(processes)
    if {trouble.component for trouble in found} & {STORE, SERVER}:
        return found
    return found + _of_servers(layout, state)


def process_troubles(processes: list[Process]) -> list[Trouble]:
    """The components that are dead or stopped."""
    return [trouble for name in START_ORDER if (trouble := _of_process(name, processes)) is not None]


def _of_process(name: str, processes: list[Process]) -> Trouble | None:
    own = [process for process in processes if process.name == name and process.alive]
    if not own:
        return Trouble(name, "is not running")
    stopped = next((process for process in own if process.stopped), None)
    return None if stopped is None else Trouble(name, f"is stopped (process {stopped.pid})")


def _of_servers(layout: Layout, state: State) -> list[Trouble]:
    problem = _problem(client(layout, state.server, seconds=SECONDS), "/readyz")
    if problem is None:
        return []
    # The API server cannot answer without its store.
    authority, user = _pair(layout, "store-authority"), _pair(layout, "etcd-client")
    store = _problem(Api(state.store, authority.certificate, user, seconds=SECONDS), "/health")
    return [Trouble(SERVER, problem)] if store is None else [Trouble(STORE, store), Trouble(SERVER, problem)]


def client(layout: Layout, server: str, **options: float) -> Api:
    """An administrator's client of an instance; none of its files is made or looked at here."""
    return Api(server, _pair(layout, "authority").certificate, _pair(layout, "administrator"), **options)


def _problem(api: Api, path: str) -> str | None:
    try:
        api.request("GET", path)
    except ApiError as error:
        # The first line that says what is not ready.
        failed = next(
            (line for line in str(error).splitlines() if line.startswith("[-]")), str(error).partition("\n")[0]
        )
        return f"is not ready: {failed.removeprefix('[-]')}"
    except urllib3.exceptions.NewConnectionError:
        return "cannot be reached: nobody listens on its port"  # it counts as a timeout there
    except urllib3.exceptions.TimeoutError:
        return f"does not answer within {SECONDS:g} s"
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        return f"cannot be reached: {error}"
    return None


def _pair(layout: Layout, name: str) -> KeyPair:
    return KeyPair(layout.certificates / f"{name}.crt", layout.certificates / f"{name}.key")
