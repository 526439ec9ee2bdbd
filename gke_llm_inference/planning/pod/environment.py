"""Which variables of a server may come from Secrets and ConfigMaps: none of which the plan knows what it does."""

from collections.abc import Iterator, Mapping

from gke_llm_inference.catalog import Catalog, InferenceServerFacts
from gke_llm_inference.planning.access.api_keys import api_key_environment
from gke_llm_inference.planning.extra_arguments import flag_variables
from gke_llm_inference.planning.model_volume import offline_environment
from gke_llm_inference.planning.pod.names import TOKEN_VARIABLES
from gke_llm_inference.settings import Finding, ServerSettings

_UNKNOWN = "its value is not known to the plan, which counts on it"


def variable_findings(
    path: str, settings: ServerSettings, facts: InferenceServerFacts, catalog: Catalog
) -> Iterator[Finding]:
    """Problems of `pod.env` and `pod.envFrom`.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        facts: what is known of such servers.
        catalog: the facts to decide by.

    """
    decided = _decided(settings, facts, catalog)
    for name in sorted(settings.pod.env):
        reason = decided.get(name) or _effect(name, settings, catalog)
        if reason is not None:
            why, fix = reason
            yield Finding(path=f"{path}.pod.env.{name}", what="cannot be set in pod.env", why=why, fix=fix)
    seen: dict[str, int] = {}
    for index, source in enumerate(settings.pod.env_from):
        where = f"{path}.pod.envFrom[{index}].prefix"
        other = next((other for other in seen if _overlap(other, source.prefix)), None)
        if other is not None:
            yield Finding(
                path=where,
                what=f"may give a variable twice, as {other} of pod.envFrom[{seen[other]}] does",
                why="which of two values counts would hang on their order",
                fix="use prefixes of which none begins with the other",
            )
        seen.setdefault(source.prefix, index)
        clash = _guarded_by(source.prefix, decided, settings, catalog)
        if clash is not None:
            yield Finding(
                path=where,
                what=f"may give {clash}",
                why="what the keys are is not known to a plan, and it counts on that variable",
                fix="use another prefix, or name the variables one by one in pod.env",
            )


def decided_variable(
    name: str, settings: ServerSettings, facts: InferenceServerFacts, catalog: Catalog
) -> tuple[str, str] | None:
    """Why the plan decides on a variable of the server, and what to do instead; None where it does not."""
    return _decided(settings, facts, catalog).get(name) or _effect(name, settings, catalog)


def _decided(settings: ServerSettings, facts: InferenceServerFacts, catalog: Catalog) -> Mapping[str, tuple[str, str]]:
    """Variables that the plan sets or that a setting sets, each with why and what to do."""
    key_variable = catalog.access[settings.server].key_variable
    flags = flag_variables(settings.server, catalog)
    own = {**facts.environment, **api_key_environment(settings, catalog), **offline_environment(settings)}
    return {
        **{name: (f"the launcher reads it as {flag}, and {_UNKNOWN}", "remove it") for name, flag in flags.items()},
        **dict.fromkeys(own, ("the plan sets it", "remove it")),
        **dict.fromkeys(settings.extra_env, ("extraEnv sets it", "remove it from one of them")),
        **dict.fromkeys(TOKEN_VARIABLES, ("the plan sets it", "set huggingFace instead")),
        key_variable: ("the server reads its API key from it", "set apiKeys instead"),
    }


def _effect(name: str, settings: ServerSettings, catalog: Catalog) -> tuple[str, str] | None:
    """Why the plan does not allow the variable, and what to do, by its class."""
    for known in catalog.effects.variables(settings.server):
        if name in known.planned:
            return "the rest of the plan depends on it", known.planned[name]
        refused = known.refusal(name)
        if refused is not None and not (refused.unless_volume and not settings.downloads):
            return refused.why, refused.fix
        change = known.change(name)
        if change is not None:
            return f"it {change.what}, and {_UNKNOWN}", "set it in extraEnv"
        if known.knows(name):
            return None
    return None


def _guarded_by(prefix: str, decided: Mapping[str, object], settings: ServerSettings, catalog: Catalog) -> str | None:
    """The first variable with that prefix that the plan decides on."""
    guarded = {*decided}
    for known in catalog.effects.variables(settings.server):
        guarded |= {name for name, kind in known.classes() if kind in ("planned", "refused", "changes")}
    return next(
        (
            name
            for name in sorted(guarded)
            if name.startswith(prefix) or (name.endswith("*") and _overlap(name[:-1], prefix))
        ),
        None,
    )


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
