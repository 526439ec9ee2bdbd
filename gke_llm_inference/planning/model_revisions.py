"""Models by their commit: a branch can come to hold other weights and code, a commit cannot."""

from collections.abc import Iterable, Iterator, Mapping

from gke_llm_inference.planning.plan import ServerPlan
from gke_llm_inference.settings import Finding, ServerSettings, StackSettings, nearest


def at_recorded_revision(server: ServerSettings, revisions: Mapping[str, str]) -> ServerSettings:
    """A server's settings with the commit that the stack records for its model; its own revision stays.

    A server that reads its model from a volume of its own downloads none.

    Args:
        server: the settings, with the model that it comes to serve.
        revisions: commits by model.

    """
    commit = revisions.get(server.model)
    if commit is None or server.revision is not None or server.model_volume is not None:
        return server
    return server.model_copy(update={"revision": commit})


def with_stored_revisions(settings: StackSettings) -> StackSettings:
    """The settings with recorded commits of the servers that read from a store, which is planned before servers are.

    The others get theirs when it is known which model they serve, as goals may choose another checkpoint.
    """
    servers = {
        key: server if server.store_source is None else at_recorded_revision(server, settings.model_revisions)
        for key, server in settings.servers.items()
    }
    if servers == settings.servers:
        return settings
    return settings.model_copy(update={"servers": servers})


def revision_warnings(revisions: Mapping[str, str], servers: Iterable[ServerPlan]) -> Iterator[Finding]:
    """Warnings of recorded commits that nothing uses, and of servers with a revision of their own beside one.

    Args:
        revisions: commits by model, as the stack records them.
        servers: the servers, planned.

    """
    served: dict[str, list[ServerPlan]] = {}
    for server in servers:
        served.setdefault(server.model, []).append(server)
    for model, commit in sorted(revisions.items()):
        if model not in served:
            meant = nearest(model, served)
            yield Finding(
                path=f"modelRevisions.{model}",
                what="is not the model of any server",
                why="a commit that nothing uses pins nothing",
                fix=f"did you mean {meant}?" if meant else "remove it",
                severity="warning",
            )
        for server in served.get(model, ()):
            if server.revision not in (None, commit):
                yield Finding(
                    path=f"servers.{server.key}.revision",
                    what=f"is {server.revision}, and modelRevisions has {commit} for {model}",
                    why="the server's own holds, and two revisions of one model are easily taken for one another",
                    fix="remove one of the two",
                    severity="warning",
                )
