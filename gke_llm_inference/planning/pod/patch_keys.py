"""What a podPatch may never touch of a server that asks for API keys: acknowledging it would leave the server open."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.access_facts import AccessFacts
from gke_llm_inference.planning.access.plan import ApiKeyPlan
from gke_llm_inference.planning.pod.changes import Difference, Steps
from gke_llm_inference.planning.pod.names import API_KEYS_VOLUME, SERVER_CONTAINER, SERVER_PORT

_CONTAINERS = ("containers", "initContainers")
# What the server runs. Which paths its key guards, and who can attack it, is known of the planned one alone.
_PROGRAM = frozenset({"args", "command", "image"})


@dataclass(frozen=True, kw_only=True)
class KeyGuard:
    """What keeps a server closed to whoever has no key.

    Attributes:
        keys: how the server gets its API keys.
        facts: what is known of access to such servers.
        on_internet: whether the server is on the internet.

    """

    keys: ApiKeyPlan
    facts: AccessFacts
    on_internet: bool

    def problem(self, change: Difference) -> tuple[str, str] | None:
        """What a change does to it and why that must not be; None if nothing."""
        match change.steps:
            case ("spec", "containers", server, "env", name, *_) if _is_server(server):
                return self._variable(name[1:-1])
            case ("spec", "containers", server, field, *_) if _is_server(server) and field in _PROGRAM:
                return self._program(field, change.after)
            case ("spec", "containers", server, "volumeMounts", path, *_) if _is_server(server):
                touches = self.keys.file is not None and path == f"[{self.keys.file.rpartition('/')[0]}]"
                return self._keys() if touches else None
            case ("spec", "volumes", name, *_):
                return self._keys() if self.keys.file is not None and name == f"[{API_KEYS_VOLUME}]" else None
        return self._port(change) if self.on_internet else None

    def _variable(self, name: str) -> tuple[str, str] | None:
        if name == self.facts.key_variable:
            return self._keys()
        if name in self.facts.environment_with_key:
            return f"changes {name}", "the server would log its API key"
        return None

    def _program(self, field: str, after: Any) -> tuple[str, str] | None:
        if self.on_internet:
            return (
                f"changes the {_WORDS[field]} of a server on the internet",
                "which paths its API keys guard, and who can attack it, is known of what the plan runs alone",
            )
        if field == "args" and self.keys.file is not None and self.keys.file not in (after or ()):
            return self._keys()
        return None

    def _keys(self) -> tuple[str, str]:
        return "changes how the server gets its API keys", "without them it answers whoever reaches it"

    def _port(self, change: Difference) -> tuple[str, str] | None:
        """Requests go to the port of that name, whichever container has it."""
        if change.steps[:1] != ("spec",) or change.steps[1] not in _CONTAINERS:
            return None
        if _is_port_of_server(change.steps) or any(name == SERVER_PORT for name in _port_names(change)):
            return "changes where requests from the internet go", "what answers there may ask for no API key"
        return None


_WORDS = {"args": "arguments", "command": "command", "image": "image"}


def _is_server(step: str) -> bool:
    return step == f"[{SERVER_CONTAINER}]"


def _is_port_of_server(steps: Steps) -> bool:
    return steps[1] == "containers" and _is_server(steps[2]) and steps[3:4] == ("ports",)


def _port_names(change: Difference) -> Iterator[Any]:
    """Names of the ports that a change gives to a container."""
    after = change.after
    match change.steps[3:]:
        case ():
            yield from (port.get("name") for port in (after or {}).get("ports", ()))
        case ("ports", _):
            yield (after or {}).get("name")
        case ("ports", _, "name"):
            yield after
