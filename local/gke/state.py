"""What is known about an instance between two commands."""

from dataclasses import asdict, dataclass
from typing import Any

from gke_llm_inference.planning.plan import ClusterProfile
from local.gke.control_plane import Layout, Ports
from local.gke.errors import DamagedError
from local.gke.files import read_document, read_json, write_json
from local.gke.simulation import Simulation
from local.gke.stock import Stock
from local.gke.usage import Usage


@dataclass(frozen=True)
class State:
    """An instance as it was started.

    Attributes:
        speed: seconds of simulated time in one second.
        complete: whether the start came to its end.

    """

    profile: ClusterProfile
    speed: float
    ports: Ports
    complete: bool = False

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self.ports.api}"

    @property
    def store(self) -> str:
        """Address of etcd."""
        return f"https://127.0.0.1:{self.ports.store}"


def read_state(layout: Layout) -> State | None:
    """The instance in `layout`; None if there is none.

    Raises:
        DamagedError: what was written down of it cannot be read.

    """
    document = read_document(layout.state)
    if document is None and not layout.state.exists():
        return None
    try:
        return _state_of(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(layout.state, f"it does not describe an instance ({error})") from None


def _state_of(document: Any) -> State:
    ports = Ports(**{name: _port(number) for name, number in document["ports"].items()})
    state = State(**{**document, "ports": ports})
    if state.profile not in ("standard", "autopilot"):
        raise ValueError(f"profile {state.profile!r}")
    if isinstance(state.speed, bool) or not state.speed > 0:
        raise ValueError(f"speed {state.speed!r}")
    if not isinstance(state.complete, bool):
        raise TypeError(f"complete {state.complete!r}")
    return state


def _port(number: Any) -> int:
    if type(number) is not int or not 0 < number < 2**16:
        raise ValueError(f"port {number!r}")
    return number


def write_state(layout: Layout, state: State) -> None:
    """Write down what the instance is."""
    write_json(layout.state, asdict(state))


def read_simulation(layout: Layout) -> Simulation | None:
    """Node pools and start-up times as they were last set; None where nothing that can be read is left of them.

    The next stack that is made ready sets them again.
    """
    document = read_json(layout.simulation)
    try:
        return None if document is None else Simulation.from_dict(document)
    except (AttributeError, KeyError, TypeError):
        return None


def read_stock(layout: Layout) -> Stock:
    """The machines that Google has as they were last set; all that anybody wants where nothing can be read of them."""
    return Stock(_numbers(read_json(layout.stock)))


def write_stock(layout: Layout, stock: Stock) -> None:
    """Write down which machines Google has."""
    write_json(layout.stock, stock.limits)


def read_usage(layout: Layout) -> Usage:
    """How long machines were there so far; not at all where nothing can be read of it."""
    return Usage(_numbers(read_json(layout.usage)))


def write_usage(layout: Layout, usage: Usage) -> None:
    """Write down how long machines were there."""
    write_json(layout.usage, usage.seconds)


def _numbers(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        return {}
    return {name: number for name, number in document.items() if isinstance(number, int | float)}
