"""Extra arguments and variables, for what the settings do not cover; checked against the version's flags."""

import re
from collections.abc import Iterable, Sequence

from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.plan import SERVICE_PORT, Decision
from gke_llm_inference.secret_rules import holds_secret, is_secret_variable, kind_of_secret
from gke_llm_inference.settings import Finding

_SECRET_FLAGS = frozenset(
    {"--api-key", "--hf-token", "--huggingface-token", "--ngrok-authtoken", "--ssl-keyfile-password"}
)
# Flags that the plan itself depends on, with what to do instead.
_PLANNED = {
    "--model": "set model instead",
    "--model-id": "set model instead",
    "--num-shard": "set accelerator.count instead",
    "--pipeline-parallel-size": "set accelerator.count instead",
    "--port": f"remove it; the Service uses {SERVICE_PORT}",
    "--sharded": "set accelerator.count instead",
    "--tensor-parallel-size": "set accelerator.count instead",
}
# Variables on which the plan depends, by the setting that decides on them.
_PLANNED_VARIABLES = {"VLLM_USE_V2_MODEL_RUNNER": "modelRunner"}
# Pairs that the server refuses together.
_EXCLUSIVE = (("--max-input-length", "--max-input-tokens"), ("--dtype", "--quantize"))
_WITH_DTYPE = re.compile(r"--quantize=bitsandbytes(-nf4|-fp4)?")
_SHELL = re.compile(r"[;|&`<>\n\r\0]|\$\(|\$\{|&&|\|\|")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def merge_arguments(
    path: str, planned: tuple[Argument, ...], extra: Iterable[str], versions: Sequence[ServerFlags]
) -> tuple[tuple[Argument, ...], list[Decision], list[Finding]]:
    """Planned arguments with extra ones; an extra one takes the place of a planned one of the same flag.

    Args:
        path: where the server stands in the configuration.
        planned: arguments from the settings.
        extra: arguments from `extraArgs`.
        versions: flags of the server's version, or of its neighbors, any of which may hold.

    Returns:
        The arguments, what was overridden, and the problems of the extra arguments.

    """
    merged = list(planned)
    decisions: list[Decision] = []
    problems: list[Finding] = []
    for index, text in enumerate(extra):
        where = f"{path}.extraArgs[{index}]"
        problem = _argument_problem(where, text, versions)
        if problem is not None:
            problems.append(problem)
            continue
        argument = Argument(text, f"extraArgs[{index}]")
        name = _full_name(argument.flag, versions)
        other = _excluded(name, argument.text, merged, versions)
        if name in _PLANNED:
            problems.append(
                Finding(
                    path=where,
                    what=f"{name} cannot be set in extraArgs",
                    why="the rest of the plan depends on it",
                    fix=_PLANNED[name],
                )
            )
            continue
        if other is not None:
            problems.append(
                Finding(
                    path=where,
                    what=f"{name} cannot be combined with {other}",
                    why="the launcher refuses both",
                    fix="keep one of them",
                )
            )
            continue
        same = [
            position
            for position, one in enumerate(merged)
            if name is not None and _full_name(one.flag, versions) == name
        ]
        if same:
            old = merged[same[0]]
            if old.setting.startswith("extraArgs"):
                problems.append(
                    Finding(
                        path=where,
                        what=f"{argument.flag} is listed twice",
                        why="only the last would count",
                        fix="remove one",
                    )
                )
                continue
            merged[same[0]] = argument
            decisions.append(
                Decision(
                    "extraArgs", f"{argument.text} overrides {old.text}", "an extra argument replaces a planned one"
                )
            )
        else:
            merged.append(argument)
    return tuple(merged), decisions, problems


def environment_problems(path: str, variables: dict[str, str]) -> list[Finding]:
    """Problems of `extraEnv`: invalid names, secrets, and references that Kubernetes would expand."""
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
                    fix="keep the token under huggingFace; other secrets are not supported here",
                )
            )
        elif name in _PLANNED_VARIABLES:
            problems.append(
                Finding(
                    path=where,
                    what="cannot be set in extraEnv",
                    why="the rest of the plan depends on it",
                    fix=f"set {_PLANNED_VARIABLES[name]} instead",
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
    return problems


def _is_plain_name(name: str) -> bool:
    return bool(_VARIABLE.fullmatch(name)) and len(name) <= 100 and not holds_secret(name)


def _argument_problem(where: str, text: str, versions: Sequence[ServerFlags]) -> Finding | None:
    flag = text.partition("=")[0]
    if kind_of_secret(text.replace("--", "", 1)) or flag.replace("_", "-") in _SECRET_FLAGS:
        return Finding(
            path=where,
            what="would put a secret on the command line",
            why="everybody who may list processes or pods can read it",
            fix="keep the token under huggingFace; put an API key in front of the server, in a gateway",
        )
    if not text.startswith("--"):
        return Finding(
            path=where,
            what="does not begin with a flag",
            why="each entry is one argument; nothing is split at spaces",
            fix="write --flag=value, or --flag alone",
        )
    if _SHELL.search(text) or " " in flag:
        return Finding(
            path=where,
            what="contains shell syntax",
            why="arguments reach the server as they are: no shell expands, pipes or splits them",
            fix="write --flag=value with the literal value",
        )
    found = [flags.check(text) for flags in versions]
    if all(found):
        return Finding(
            path=where, what=found[0] or "", why="the server would refuse to start", fix="correct or remove it"
        )
    return None


def _full_name(flag: str, versions: Sequence[ServerFlags]) -> str | None:
    """Long name of a flag in the newest version that has it, with the key that it sets of a JSON flag, if any."""
    name = next((known for flags in reversed(versions) if (known := flags.name_of(flag)) is not None), None)
    _, dot, key = flag.partition(".")
    return f"{name}{dot}{key}" if name is not None else None


def _excluded(name: str | None, text: str, merged: Sequence[Argument], versions: Sequence[ServerFlags]) -> str | None:
    """The planned flag that TGI's launcher refuses beside the argument `text` of the flag `name`, if there is one."""
    if versions[-1].server != "tgi":
        return None
    for one, other in (*_EXCLUSIVE, *((second, first) for first, second in _EXCLUSIVE)):
        if name != one:
            continue
        for argument in merged:
            quantized_with_dtype = "--dtype" in (one, other) and (
                _WITH_DTYPE.fullmatch(argument.text) or _WITH_DTYPE.fullmatch(text)
            )
            if _full_name(argument.flag, versions) == other and not quantized_with_dtype:
                return other
    return None
