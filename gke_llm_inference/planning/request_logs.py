"""No prompt in any log: what a version must be told for that, and what would undo it."""

from collections.abc import Sequence

from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.catalog.shutdown_facts import ServerShutdown
from gke_llm_inference.planning.extra import read_extra
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings


def log_arguments(version: str, facts: ServerShutdown) -> tuple[str, ...]:
    """What keeps prompts out of the log of a version that writes them there by default."""
    before, flag = facts.logs_prompts_before, facts.no_prompts_flag
    if before is None or flag is None or version_parts(version) >= version_parts(before):
        return ()
    return (flag,)


def log_warnings(
    path: str, settings: ServerSettings, versions: Sequence[ServerFlags], facts: ServerShutdown
) -> list[Finding]:
    """Warnings of extra arguments with which the log holds what users write or read.

    Args:
        path: where the server stands in the configuration.
        settings: the settings of the server.
        versions: flags of its version, or of the neighbors of that.
        facts: what the server logs.

    """
    logs = {one.flag: one.what for one in facts.prompt_logs}
    return [
        Finding(
            path=f"{path}.extraArgs[{one.index}]",
            what=f"{one.name} writes {logs[one.name]} to the log",
            why="the log goes to Cloud Logging, where it is kept and read by others than the users",
            fix="remove it",
            severity="warning",
        )
        for one in read_extra(settings.extra_args, versions)
        if one.name in logs and not one.is_off and (one.value or "").lower() != "false"
    ]
