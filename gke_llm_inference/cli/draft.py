"""A stack of one server as a newcomer describes it, and the settings, plan and file that follow."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.cli.unfit import plan_unfit
from gke_llm_inference.errors import UsageError
from gke_llm_inference.planning import StackIdentity, StackPlan
from gke_llm_inference.planning.alternatives import Alternative
from gke_llm_inference.planning.machines import gpu_counts
from gke_llm_inference.pulumi_project.yaml_files import as_yaml
from gke_llm_inference.settings import Finding, Refusal, nearest, parse_settings, suggestion
from gke_llm_inference.settings.server_files import with_files

MODES = ("autopilot", "standard")
NO_GOAL = "none"
PLACEHOLDER_PROJECT = "my-project"
"""Stands for the Google Cloud project until there is one."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is known of the stack so far.

    Attributes:
        model: Hugging Face id; None until it is chosen.
        goal: name of a goal's preset; None for none.
        count: GPUs of each replica; None leaves them to the goal, or to the default.
        changes: more settings of the server, by path.

    """

    mode: str = "autopilot"
    region: str = "us-central1"
    model: str | None = None
    goal: str | None = None
    server: str = "vllm"
    accelerator: str = "nvidia-l4"
    count: int | None = None
    gcp_project: str = PLACEHOLDER_PROJECT
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def server_key(self) -> str:
        """Name of the server, from the model's."""
        slug = re.sub(r"[^a-z0-9]+", "-", str(self.model).rpartition("/")[2].lower()).strip("-")[:40].rstrip("-")
        return slug if slug[:1].isalpha() else f"model-{slug}".rstrip("-")

    def changed(self, alternative: Alternative) -> "Draft":
        """The draft with what was proposed for a server that does not fit."""
        changes = {**self.changes, **dict(alternative.changes)}
        model = changes.pop("model", self.model)
        kind = changes.pop("accelerator.type", self.accelerator)
        count = changes.pop("accelerator.count", self.count)
        return replace(self, model=model, accelerator=kind, count=count, changes=changes)


@dataclass(frozen=True)
class Outcome:
    """What becomes of a draft.

    Attributes:
        settings: the stack's settings as its file has them, by key without namespace.
        plan: the plan, of a server that does not fit as well; None where there is none.
        refusal: why the stack is refused; None if it is not.

    """

    settings: dict[str, Any]
    plan: StackPlan | None
    refusal: Refusal | None

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """What would fit instead, cheapest first."""
        return self.plan.servers[0].alternatives if self.plan is not None and self.refusal is not None else ()


def outcome_of(draft: Draft, identity: StackIdentity, directory: Path, catalog: Catalog) -> Outcome:
    """The settings and the plan of a draft whose model is chosen.

    Args:
        draft: the draft.
        identity: how the stack will be called.
        directory: where paths in the settings start.
        catalog: the facts to decide by.

    """
    found = [_outcome(draft, count, identity, directory, catalog) for count in _pool_counts(draft, catalog)]
    return next((one for one in found if one.refusal is None), found[0])


def checked_mode(text: str) -> str:
    """A mode. Raises UsageError for one that is not known."""
    return _one_of("mode", text, MODES)


def checked_goal(text: str, catalog: Catalog) -> str | None:
    """A goal's name, None for none. Raises UsageError for one that is not known."""
    goal = _one_of("goal", text, goals(catalog))
    return None if goal == NO_GOAL else goal


def goals(catalog: Catalog) -> tuple[str, ...]:
    """Names of the goals, and the word for none."""
    goals = (name for name, preset in catalog.presets.items() if preset.kind == "goal")
    # A new stack has no objectives to meet yet.
    return (*(name for name in goals if name != "objectives"), NO_GOAL)


def checked_region(text: str, accelerator: str, catalog: Catalog) -> str:
    """A region that has the GPU. Raises UsageError for another."""
    known = catalog.accelerators[accelerator].zones
    if text not in known:
        raise UsageError(f"{accelerator} is not offered in {text!r}; {suggestion(text, known)}")
    return text


def checked_model(text: str, catalog: Catalog) -> str:
    """A model of the catalog, in any case. Raises UsageError for another."""
    known = {name.casefold(): name for name in (*catalog.models, *catalog.checkpoints)}
    if text.casefold() in known:
        return known[text.casefold()]
    near = nearest(text, known.values())
    raise UsageError(
        f"{text!r} is not in the catalog; "
        + (f"did you mean {near}? Otherwise give" if near else "give")
        + " its numbers: write servers.NAME.configFile (its config.json) or servers.NAME.architecture into a stack file"
    )


def checked_accelerator(text: str, catalog: Catalog) -> str:
    """A GPU of the catalog. Raises UsageError for another."""
    return _one_of("GPU", text, tuple(catalog.accelerators))


def changes_of(assignments: list[str]) -> dict[str, Any]:
    """Settings from `KEY=VALUE`, the value as JSON or else as text. Raises UsageError for another form."""
    changes: dict[str, Any] = {}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"--set {text!r} is not KEY=VALUE, such as maxModelLen=4096")
        try:
            changes[key.strip()] = json.loads(value)
        except ValueError:
            changes[key.strip()] = value
    return changes


def needs_token(draft: Draft, catalog: Catalog) -> bool:
    """Whether Hugging Face asks for a token before the model can be downloaded."""
    known = catalog.models.get(str(draft.model)) or catalog.checkpoints.get(str(draft.model))
    return known is not None and known.gated


def with_flags(refusal: Refusal, alternatives: tuple[Alternative, ...]) -> Refusal:
    """The refusal with the options that make each change which it proposes."""
    if not alternatives:
        return refusal
    fix = "; or ".join(f"{one.what}: {' '.join(_flags(one))}" for one in alternatives[:3])
    return Refusal(replace(problem, fix=fix) if is_about_fit(problem) else problem for problem in refusal.problems)


def stack_file(settings: Mapping[str, Any], namespace: str, gcp_project: str, schema: str) -> str:
    """The text of a stack's file.

    Args:
        settings: its settings, by key without namespace.
        namespace: the Pulumi project's name.
        gcp_project: the Google Cloud project.
        schema: where editors find the JSON schema, from the file's directory.

    """
    config = {"gcp:project": gcp_project, **{f"{namespace}:{key}": value for key, value in settings.items()}}
    return f"# yaml-language-server: $schema={schema}\n{as_yaml({'config': config})}"


def _outcome(
    draft: Draft, pool_count: int | None, identity: StackIdentity, directory: Path, catalog: Catalog
) -> Outcome:
    raw = _settings(draft, pool_count, catalog)
    try:
        settings = with_files(parse_settings(raw), directory)
        return Outcome(raw, *plan_unfit(settings, identity, catalog))
    except Refusal as refusal:
        return Outcome(raw, None, refusal)


def _settings(draft: Draft, pool_count: int | None, catalog: Catalog) -> dict[str, Any]:
    accelerator: dict[str, Any] = {"type": draft.accelerator}
    if draft.count is not None:
        accelerator["count"] = draft.count
    server: dict[str, Any] = {"server": draft.server, "model": draft.model, "accelerator": accelerator}
    if draft.goal is not None:
        server["presets"] = [draft.goal]
    for path, value in draft.changes.items():
        *parents, key = path.split(".")
        target = server
        for parent in parents:
            target = target.setdefault(parent, {})
        target[key] = value
    settings: dict[str, Any] = {"cluster": {"mode": draft.mode, "location": draft.region}}
    if pool_count is not None:
        name = draft.accelerator.removeprefix("nvidia-") + (f"-x{pool_count}" if pool_count > 1 else "")
        settings["nodePools"] = {name: {"accelerator": {"type": draft.accelerator, "count": pool_count}}}
    if needs_token(draft, catalog):
        settings["huggingFace"] = {"tokenSource": "config"}
    settings["servers"] = {draft.server_key: server}
    return settings


def _pool_counts(draft: Draft, catalog: Catalog) -> list[int | None]:
    """GPUs of a node to try, fewest first; Autopilot has no node pools."""
    if draft.mode != "standard":
        return [None]
    least = draft.count or 1
    return [count for count in gpu_counts(draft.accelerator, catalog) if count >= least] or [least]


def _flags(alternative: Alternative) -> Iterator[str]:
    options = {"model": "--model ", "accelerator.type": "--accelerator ", "accelerator.count": "--count "}
    for path, value in alternative.changes:
        text = value if isinstance(value, str) else json.dumps(value)
        yield f"{options[path]}{text}" if path in options else f"--set {path}={text}"


def is_about_fit(problem: Finding) -> bool:
    """Whether a problem is that a server does not fit its GPUs."""
    return problem.what.startswith("does not fit")


def _one_of(what: str, text: str, known: tuple[str, ...]) -> str:
    if text in known:
        return text
    raise UsageError(f"{text!r} is not a {what}; {suggestion(text, known)}")
