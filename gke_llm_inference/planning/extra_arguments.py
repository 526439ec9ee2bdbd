"""Extra arguments and variables, for what the settings do not cover; checked against the version's flags."""

import re
from collections.abc import Iterable, Sequence

from gke_llm_inference.catalog import Catalog, ServerKind
from gke_llm_inference.catalog.effects import ServerEffects, VariableEffects
from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.extra import ExtraArgument, UnreadableError, long_name, read_extra, setting_value
from gke_llm_inference.planning.plan import Decision
from gke_llm_inference.secret_rules import WHERE_SECRETS_GO, holds_secret, is_secret_variable, kind_of_secret
from gke_llm_inference.settings import Finding, ServerSettings

# Pairs that the server refuses together.
_EXCLUSIVE = (("--max-input-length", "--max-input-tokens"), ("--dtype", "--quantize"))
_WITH_DTYPE = re.compile(r"--quantize=bitsandbytes(-nf4|-fp4)?")
_SHELL = re.compile(r"[;|&`<>\n\r\0]|\$\(|\$\{|&&|\|\|")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def merge_arguments(
    path: str,
    planned: tuple[Argument, ...],
    extra: Iterable[str],
    versions: Sequence[ServerFlags],
    effects: ServerEffects | None = None,
) -> tuple[tuple[Argument, ...], list[Decision], list[Finding]]:
    """Planned arguments with extra ones; an extra one takes the place of a planned one of the same flag.

    Args:
        path: where the server stands in the configuration.
        planned: arguments from the settings.
        extra: arguments from `extraArgs`.
        versions: flags of the server's version, or of its neighbors, any of which may hold.
        effects: what each flag does to a plan; without it, arguments are only merged.

    Returns:
        The arguments, what was overridden, and the problems of the extra arguments.

    """
    merged = list(planned)
    decisions: list[Decision] = []
    problems: list[Finding] = []
    read = list(read_extra(extra, versions))
    for one in read:
        where = f"{path}.extraArgs[{one.index}]"
        problem = _argument_problem(where, one, versions, effects)
        name = None if one.name is None else one.name + (f".{one.key}" if one.key else "")
        if problem is None:
            problem = _effect_problem(where, one, effects, versions) or _missing(where, one, read, effects)
        if problem is None and (other := _excluded(one, merged, versions)) is not None:
            problem = Finding(
                path=where,
                what=f"{one.name} cannot be combined with {other}",
                why="the launcher refuses both",
                fix="keep one of them",
            )
        same = [position for position, old in enumerate(merged) if name and _full_name(old.flag, versions) == name]
        old = merged[same[0]] if same else None
        repeats = one.name is not None and all(flags.repeats(one.name) for flags in versions if flags.find(one.name))
        if problem is None and old is not None and old.setting.startswith("extraArgs") and not repeats:
            problem = _listed_twice(where, one, versions)
        if problem is not None:
            problems.append(problem)
            continue
        arguments = [Argument(text, f"extraArgs[{one.index + place}]") for place, text in enumerate(one.texts)]
        if old is None or old.setting.startswith("extraArgs"):
            merged += arguments
            continue
        merged[same[0] : same[0] + 1] = arguments
        decisions.append(
            Decision(
                "extraArgs",
                f"{' '.join(one.texts)} overrides {old.text}",
                "an extra argument replaces a planned one",
            )
        )
    return tuple(merged), decisions, problems


def environment_problems(
    path: str, variables: dict[str, str], effects: Sequence[VariableEffects] = (), *, has_volume: bool = False
) -> list[Finding]:
    """Problems of `extraEnv`: invalid names, secrets, references that Kubernetes would expand, and what breaks the pod.

    Args:
        path: where the server stands in the configuration.
        variables: names and values.
        effects: what variables do to a plan, those of the server first.
        has_volume: whether the server reads its model from a volume.

    """
    problems = []
    for name, value in sorted(variables.items()):
        # A name may be a mistyped secret; only what is a plain name is shown.
        where = f"{path}.extraEnv" + (f".{name}" if _is_plain_name(name) else "")
        if not _VARIABLE.fullmatch(name):
            problems.append(
                Finding(
                    path=where,
                    what="is not a valid environment variable name",
                    why="names are letters, digits and _, and do not begin with a digit",
                    fix="rename it",
                )
            )
        elif is_secret_variable(name, value):
            problems.append(
                Finding(
                    path=where,
                    what="holds a secret",
                    why="variables are in clear text in manifests, previews and the state",
                    fix=WHERE_SECRETS_GO,
                )
            )
        elif "$(" in value:
            problems.append(
                Finding(
                    path=where,
                    what="refers to another variable",
                    why="Kubernetes would put that one's value here",
                    fix="remove $(",
                )
            )
        elif (problem := _variable_problem(where, name, value, effects, has_volume=has_volume)) is not None:
            problems.append(problem)
    return problems


def _variable_problem(
    where: str, name: str, value: str, effects: Sequence[VariableEffects], *, has_volume: bool
) -> Finding | None:
    for known in effects:
        if name in known.planned:
            return Finding(
                path=where,
                what="cannot be set in extraEnv",
                why="the rest of the plan depends on it",
                fix=known.planned[name],
            )
        refused = known.refusal(name)
        if refused is not None and refused.concerns(value) and not (refused.unless_volume and has_volume):
            return Finding(path=where, what="cannot be set in extraEnv", why=refused.why, fix=refused.fix)
        if known.knows(name):
            return None
    return None


def flag_variables(server: ServerKind, catalog: Catalog) -> dict[str, str]:
    """Variables that TGI's launcher reads in place of a flag, each with the flag; none of other servers."""
    if server != "tgi":
        return {}
    flags = {name for one in catalog.flags["tgi"].values() for name in one.flags}
    return {flag.removeprefix("--").replace("-", "_").upper(): flag for flag in sorted(flags)}


def flag_variable_problems(path: str, settings: ServerSettings, catalog: Catalog) -> list[Finding]:
    """Variables that the server reads in place of a flag: they would go past every check of arguments."""
    if not settings.extra_env:
        return []
    read = flag_variables(settings.server, catalog)
    effects = catalog.effects.servers[settings.server]
    return [
        Finding(
            path=f"{path}.extraEnv.{name}",
            what=f"the launcher reads it as {flag}",
            why="a variable goes past the checks of arguments, and the plan does not count with it",
            fix=effects.planned.get(flag)
            or (f"set {effects.settings[flag]} instead" if flag in effects.settings else f"use {flag} in extraArgs"),
        )
        for name in sorted(settings.extra_env)
        if (flag := read.get(name)) is not None
    ]


def _is_plain_name(name: str) -> bool:
    return bool(_VARIABLE.fullmatch(name)) and len(name) <= 100 and not holds_secret(name)


def _argument_problem(
    where: str, one: ExtraArgument, versions: Sequence[ServerFlags], effects: ServerEffects | None
) -> Finding | None:
    """What is wrong with the argument by itself: a secret, its form, or that no version of the server takes it."""
    secret = effects is not None and one.name in effects.secret
    if secret or any(kind_of_secret(text.replace("--", "", 1)) for text in one.texts):
        return Finding(
            path=where,
            what="would put a secret on the command line",
            why="everybody who may list processes or pods can read it",
            fix="keep the token under huggingFace; API keys under apiKeys",
        )
    if not one.texts[0].startswith("--"):
        return Finding(
            path=where,
            what="does not begin with a flag",
            why="each entry is one argument; nothing is split at spaces",
            fix="write --flag=value, or --flag alone",
        )
    if any(_SHELL.search(text) for text in one.texts) or " " in one.written:
        return Finding(
            path=where,
            what="contains shell syntax",
            why="arguments reach the server as they are: no shell expands, pipes or splits them",
            fix="write --flag=value with the literal value",
        )
    values = one.texts[1:]
    found = [flags.check_several(one.texts[0], values) if values else flags.check(one.texts[0]) for flags in versions]
    if all(found):
        return Finding(
            path=where, what=found[0] or "", why="the server would refuse to start", fix="correct or remove it"
        )
    return None


def _effect_problem(
    where: str, one: ExtraArgument, effects: ServerEffects | None, versions: Sequence[ServerFlags]
) -> Finding | None:
    """Why the plan does not allow the argument, by the class of its flag."""
    if effects is None or one.name is None:
        return None
    if one.name in effects.planned:
        return Finding(
            path=where,
            what=f"{one.name} cannot be set in extraArgs",
            why="the rest of the plan depends on it",
            fix=effects.planned[one.name],
        )
    refused = effects.refusal(one.name)
    if refused is not None and refused.concerns(one.value) and not _is_switched_off(one, versions):
        return Finding(path=where, what=f"{one.name} cannot be set in extraArgs", why=refused.why, fix=refused.fix)
    setting = effects.settings.get(one.name)
    try:
        if setting is not None and not one.key:
            setting_value(setting, one)
    except UnreadableError:
        return Finding(
            path=where,
            what=f"the plan cannot count with this value of {one.name}",
            why="how much memory it takes is only known when the server runs",
            fix=f"set {setting} instead",
        )
    return None


def _is_switched_off(one: ExtraArgument, versions: Sequence[ServerFlags]) -> bool:
    flags = [flag for known in versions if one.name and (flag := known.find(one.name)) is not None]
    return bool(flags) and flags[-1].type == "boolean" and one.is_off


def _missing(
    where: str, one: ExtraArgument, read: Sequence[ExtraArgument], effects: ServerEffects | None
) -> Finding | None:
    """The problem of a flag with which the server does not start unless another stands beside it."""
    needed = effects.needs.get(one.name or "") if effects is not None and not one.is_off else None
    if needed is None or any(other.name == needed and not other.is_off for other in read):
        return None
    return Finding(
        path=where,
        what=f"{one.name} needs {needed}",
        why="the server would refuse to start",
        fix=f"add {needed}, or remove {one.name}",
    )


def _listed_twice(where: str, one: ExtraArgument, versions: Sequence[ServerFlags]) -> Finding:
    several = one.name is not None and any(flags.takes_several(one.name) for flags in versions)
    return Finding(
        path=where,
        what=f"{one.written} is listed twice",
        why="only the last would count",
        fix=f"write {one.name} once, and after it each value as an entry of its own" if several else "remove one",
    )


def _full_name(flag: str, versions: Sequence[ServerFlags]) -> str | None:
    """Long name of a flag in the newest version that has it, with the key that it sets of a JSON flag, if any."""
    name = long_name(flag, versions)
    _, dot, key = flag.partition(".")
    return f"{name}{dot}{key}" if name is not None else None


def _excluded(argument: ExtraArgument, merged: Sequence[Argument], versions: Sequence[ServerFlags]) -> str | None:
    """The planned flag that TGI's launcher refuses beside the argument, if there is one."""
    if versions[-1].server != "tgi":
        return None
    for one, other in (*_EXCLUSIVE, *((second, first) for first, second in _EXCLUSIVE)):
        if argument.name != one:
            continue
        for old in merged:
            quantized_with_dtype = "--dtype" in (one, other) and (
                _WITH_DTYPE.fullmatch(old.text) or _WITH_DTYPE.fullmatch(argument.texts[0])
            )
            if _full_name(old.flag, versions) == other and not quantized_with_dtype:
                return other
    return None
