"""The shape of facts about access: which paths of a server a load balancer may let through, and what a key guards."""

from typing import Literal

from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.model_facts import Task


class ServerRoute(Facts):
    """A path of the OpenAI API, and the first version of the server that has it."""

    path: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    since: str
    tasks: tuple[Task, ...] = ("generate",)
    """Servers that have it, by what they do."""


class GuardedPaths(Facts):
    """Which paths need the API key, from a version on."""

    since: str
    prefixes: tuple[str, ...] = ()
    """Every path that starts with one of these, by any method."""
    posts: tuple[str, ...] = ()
    """These paths, where they are posted to."""

    def guards(self, path: str, method: str) -> bool:
        """Whether the server answers a path with 401 unless the request has the key."""
        return path.startswith(self.prefixes) or (method == "POST" and path in self.posts)


class AccessFacts(Facts):
    """How a server is reached, and by whom."""

    source: str
    date: str
    routes: tuple[ServerRoute, ...]
    """What is let through unless the stack says more."""
    guarded: tuple[GuardedPaths, ...]
    """Oldest version first."""
    key_variable: str
    """Environment variable that the server reads its one key from."""
    key_file_since: str | None = None
    """First version that reads several keys from a file, and does not log them; None where none does."""
    environment_with_key: dict[str, str] = {}
    """Variables without which the server would log its key."""
