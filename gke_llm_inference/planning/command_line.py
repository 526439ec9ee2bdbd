"""The whole command line of a server: planned arguments and those of one's own, as its version takes them."""

from collections.abc import Sequence

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.arguments import Argument, ModelPlace, place_in, tgi_arguments, vllm_arguments
from gke_llm_inference.planning.chat_features import chat_arguments
from gke_llm_inference.planning.extra import flags_of
from gke_llm_inference.planning.extra_arguments import merge_arguments
from gke_llm_inference.planning.media import media_arguments
from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.planning.request_logs import log_warnings
from gke_llm_inference.planning.speculation import speculation_arguments
from gke_llm_inference.settings import Finding, ServerSettings, TgiSettings, VllmSettings


def command_line(
    path: str,
    settings: ServerSettings,
    version: str,
    catalog: Catalog,
    place: ModelPlace | None = None,
    pooling: Sequence[Argument] = (),
) -> tuple[tuple[Argument, ...], list[Decision], list[Finding]]:
    """Arguments of a server, what was overridden by extra ones, and which of them its version does not take.

    Args:
        path: where the server stands in the configuration.
        settings: the settings with presets applied.
        version: version of the server.
        catalog: the facts to decide by.
        place: where it finds its model; what the settings alone say if None.
        pooling: what tells it to pool; nothing for a server that generates.

    """
    place = place or place_in(settings)
    facts = catalog.servers[settings.server]
    match settings:
        case VllmSettings():
            planned = (
                *vllm_arguments(settings, facts.port, place),
                *speculation_arguments(settings),
                *chat_arguments(settings, version),
                *media_arguments(settings, version),
                *pooling,
            )
        case TgiSettings():
            planned = tgi_arguments(settings, facts.port, place)
    logs = catalog.shutdown[settings.server]
    # A version between two known ones has the flags of one or the other.
    flags = flags_of(settings, version, catalog)
    problems = [
        Finding(
            path=f"{path}.{argument.setting}",
            what=f"{facts.title} {version} refuses {argument.flag}: {problems[0]}",
            why="the server would not start",
            fix="leave the setting out, or use another version",
        )
        for argument in planned
        if argument.text.startswith("--")
        and all(problems := [None if one.takes_several(argument.text) else one.check(argument.text) for one in flags])
    ]
    effects = catalog.effects.servers[settings.server]
    merged, decisions, extra_problems = merge_arguments(path, planned, settings.extra_args, flags, effects)
    return merged, decisions, [*problems, *extra_problems, *log_warnings(path, settings, flags, logs)]
