"""What is known about an instance between two commands."""

from dataclasses import asdict, dataclass

from gke_llm_inference.planning.plan import ClusterProfile
from local.gke.control_plane import Layout, Ports
from local.gke.files import read_json, write_json


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


def read_state(layout: Layout) -> State | None:
    """The instance in `layout`; None if there is none."""
    document = read_json(layout.state)
    if document is None:
        return None
    return State(**{**document, "ports": Ports(**document["ports"])})


def write_state(layout: Layout, state: State) -> None:
    """Write down what the instance is."""
    write_json(layout.state, asdict(state))
