"""Levels and settings of policies: from the environment's file, and from what a run adds to it.

Both are JSON in the form of the Pulumi CLI's `--policy-pack-config`: a policy's name with its level, or with an object
of `enforcementLevel` and settings; `all` stands for every policy's level.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from gke_llm_inference.policy.model import Level, Policy
from gke_llm_inference.policy.registry import POLICIES
from gke_llm_inference.settings.base import Settings
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.parse import parse_model, suggestion

DIRECTORY = Path(__file__).resolve().parent / "config"
STRICTEST = "prod"
ENVIRONMENT_KEY = "policy:environment"
"""Key of a stack's configuration that names its environment."""

_LEVEL_KEY = "enforcementLevel"
_ALL = "all"
# Other words for the environments that the project comes with.
_SYNONYMS = {"development": "dev", "local": "dev", "production": "prod", "stage": "staging"}


@dataclass(frozen=True)
class Configured:
    """A policy as one run checks it."""

    policy: Policy
    level: Level
    settings: Settings


def environments() -> list[str]:
    """Names of the environments that have a file, sorted."""
    return sorted(path.stem for path in DIRECTORY.glob("*.json"))


def environment_of(stack: str, stated: str | None = None) -> str:
    """The environment of a stack.

    What its configuration states, else the one environment that its name has as a word, as in `prod-eu`. A name that
    has none, or several, gets the strictest: a stack must not escape the rules by its name.

    Args:
        stack: name of the stack.
        stated: the value of `policy:environment`, if the stack's configuration has one.

    Raises:
        Refusal: there is no such environment as stated.

    """
    known = environments()
    if stated is not None:
        if stated not in known:
            raise Refusal(
                [
                    Finding(
                        path=ENVIRONMENT_KEY,
                        what="is not a known environment",
                        why="levels and settings of policies come from the environment's file in policy/config",
                        fix=suggestion(stated, known),
                    )
                ]
            )
        return stated
    words = re.split(r"[^a-z0-9]+", stack.lower())
    named = {_SYNONYMS.get(word, word) for word in words} & set(known)
    return named.pop() if len(named) == 1 else STRICTEST


def environment_document(environment: str) -> dict[str, Any]:
    """What the file of an environment says.

    Raises:
        Refusal: the file cannot be read.

    """
    return read_document(DIRECTORY / f"{environment}.json")


def read_document(path: Path) -> dict[str, Any]:
    """A file in the form of `--policy-pack-config`.

    Raises:
        Refusal: there is no such file, or it is not a JSON object.

    """
    form = "policies are configured by a JSON object of their names"
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Refusal(
            [Finding(path=str(path), what=f"cannot be read: {error.strerror}", why=form, fix="check the path")]
        ) from None
    except (ValueError, RecursionError):
        raise Refusal([Finding(path=str(path), what="is not JSON", why=form, fix="correct it")]) from None
    if not isinstance(document, dict):
        raise Refusal([Finding(path=str(path), what="is not a JSON object", why=form, fix="correct it")])
    return document


def configure(*documents: Mapping[str, Any]) -> tuple[Configured, ...]:
    """Every policy with its level and settings; a later document overrides an earlier one, setting by setting.

    Raises:
        Refusal: with every problem of the documents.

    """
    problems: list[Finding] = []
    levels: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {policy.name: {} for policy in POLICIES}
    for document in documents:
        ordered = sorted(document.items(), key=lambda item: item[0] != _ALL)
        for name, stated in ordered:
            given = dict(stated) if isinstance(stated, Mapping) else {_LEVEL_KEY: stated}
            if name != _ALL and name not in settings:
                problems.append(
                    Finding(
                        path=name,
                        what="is not a policy",
                        why="a misspelled name would be ignored silently",
                        fix=suggestion(name, [*settings, _ALL]),
                    )
                )
                continue
            if _LEVEL_KEY in given:
                level = given.pop(_LEVEL_KEY)
                if level not in get_args(Level):
                    problems.append(_no_level(name, level))
                for one in settings if name == _ALL else [name]:
                    levels[one] = level
            if name != _ALL:
                settings[name].update(given)
            elif given:
                fix = f"move {', '.join(sorted(map(str, given)))} to the policy that it is for"
                problems.append(
                    Finding(path=name, what="has settings", why="only levels can be set for all policies", fix=fix)
                )
    configured = []
    for policy in POLICIES:
        if policy.name not in levels:
            problems.append(_no_level(policy.name, None))
            continue
        try:
            parsed = parse_model(policy.settings, settings[policy.name], path=policy.name)
            configured.append(Configured(policy, levels[policy.name], parsed))
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return tuple(configured)


def _no_level(name: str, level: Any) -> Finding:
    return Finding(
        path=name,
        what="has no level" if level is None else "does not have a known level",
        why="the level says whether a violation stops a deployment",
        fix=suggestion(str(level or ""), get_args(Level)),
    )
